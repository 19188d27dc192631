"""Arithmetic on indices folds what is known of them."""

from __future__ import annotations

from xdsl.dialects.func import ReturnOp
from xdsl.ir import Block

from htvm_ir.passes.host_loops.arithmetic import Value
from htvm_ir.passes.host_loops.emitter import Emitter


def places(high: int, unroll: int, divisor: int) -> list[Value]:
    """``i / 2 % divisor`` and ``i % divisor`` in each copy of the body of a loop over i."""
    Block([anchor := ReturnOp()])
    emit, found = Emitter(anchor), list[Value]()
    emit.loop(
        0, high, "i", lambda i: found.extend((emit.rem(emit.div(i, 2), divisor), emit.rem(i, divisor))), unroll=unroll
    )
    return found


def test_remainders_in_copies_of_a_body_are_numbers() -> None:
    assert places(12, 4, 2) == [0, 0, 0, 1, 1, 0, 1, 1]
    assert places(24, 6, 3) == [0, 0, 0, 1, 1, 2, 1, 0, 2, 1, 2, 2]


def test_remainders_of_other_distances_are_computed() -> None:
    assert not any(isinstance(place, int) for place in places(12, 3, 2))
