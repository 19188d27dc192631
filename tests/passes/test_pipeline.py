"""Which passes belong to which tiler, and what they are told."""

from __future__ import annotations

from typing import Any

import pytest

from htvm_ir.passes.pipeline import NUMERICS, OPTIMAL_ONLY, PIPELINE, TILERS, default_passes, pipeline


def options(tiler: str, name: str) -> dict[str, Any]:
    """The fields of one pass of a tiler's pipeline."""
    return next(vars(step) for step in default_passes(1.5, tiler=tiler) if step.name == name)


def test_the_baseline_goes_without_what_only_the_optimal_planner_has() -> None:
    assert pipeline() == PIPELINE
    assert set(PIPELINE) >= OPTIMAL_ONLY
    for tiler in ("dory", "none"):
        assert pipeline(tiler=tiler) == tuple(name for name in PIPELINE if name not in OPTIMAL_ONLY)
    assert set(pipeline(tiler="dory")) - set(pipeline(tiler="htvm")) == {"legalize-convs"}


@pytest.mark.parametrize("numerics", NUMERICS)
@pytest.mark.parametrize("tiler", TILERS)
def test_the_passes_are_those_of_the_names(numerics: str, tiler: str) -> None:
    names = tuple(step.name for step in default_passes(numerics=numerics, tiler=tiler))
    assert names == pipeline(numerics, tiler)
    assert set(NUMERICS[numerics]) <= set(names)


@pytest.mark.parametrize("tiler", TILERS)
def test_passes_are_told_who_plans(tiler: str) -> None:
    assert options(tiler, "plan-tiles") == {"seconds": 1.5, "tiler": tiler}
    assert options(tiler, "explicit-dma") == {"reload": tiler != "optimal"}
