"""The nearest legal tile."""

from __future__ import annotations

from htvm_ir.tiling.nearest import nearest
from htvm_ir.tiling.problem import Capacity, Dimension, Factor, Infeasible, Problem, Product

SIZES = ((16, 32, 48), (2, 3, 8))


def problem(limit: int) -> Problem:
    """Two dimensions, whose product is limited."""
    dimensions = tuple(Dimension(name, sizes[-1], sizes) for name, sizes in zip("ky", SIZES, strict=True))
    area = Product(1, tuple(Factor(d.name, d.sizes) for d in dimensions))
    return Problem(dimensions, (Capacity("L1", limit, (area,)),), (), (("k", "y"),), ())


def sizes(limit: int, **wanted: int) -> dict[str, int] | Infeasible:
    """The sizes of the answer."""
    point = nearest(problem(limit), wanted)
    return point if isinstance(point, Infeasible) else problem(limit).sizes(point)


def test_a_legal_tile_is_taken() -> None:
    assert sizes(1000, k=32, y=3) == {"k": 32, "y": 3}


def test_between_two_sizes_the_nearer_and_then_the_smaller() -> None:
    assert sizes(1000, k=41, y=7) == {"k": 48, "y": 8}
    assert sizes(1000, k=40, y=5) == {"k": 32, "y": 3}


def test_what_is_not_named_is_whole() -> None:
    assert sizes(1000, k=1) == {"k": 16, "y": 8}


def test_where_it_does_not_fit_the_second_dimension_gives_way_first() -> None:
    assert sizes(150, k=48, y=8) == {"k": 48, "y": 3}
    assert sizes(90, k=48, y=8) == {"k": 32, "y": 2}
    assert sizes(95, k=33, y=3) == {"k": 32, "y": 2}


def test_what_is_wanted_whole_gives_way_last() -> None:
    assert sizes(150, k=32, y=8) == {"k": 16, "y": 8}


def test_nothing_fits() -> None:
    assert sizes(31, k=48, y=8) == Infeasible("L1", 1)
