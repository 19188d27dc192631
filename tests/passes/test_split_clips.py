"""``split-clips``: the same results, and only where it brings an op onto an engine."""

from __future__ import annotations

import numpy as np
import pytest
from networks import Net, apply, inputs_of
from xdsl.dialects.builtin import ModuleOp

from htvm_ir.dialects import graph
from htvm_ir.interpreters.run import Runner
from htvm_ir.passes.split_clips import SplitClips


def ranges(module: ModuleOp) -> list[tuple[int, int]]:
    """The clips of a module in order."""
    return [(op.lo.value.data, op.hi.value.data) for op in module.walk() if isinstance(op, graph.RequantOp)]


def clipped(lo: int, hi: int, shift: int = 9, zero_point: int = 0) -> ModuleOp:
    net = Net((1, 3, 8, 8))
    return net.module(net.requant(net.accumulate(net.arguments[0], 4, (3, 3)), shift, lo, hi=hi, zero_point=zero_point))


@pytest.mark.parametrize(
    ("before", "after"),
    [((0, 63), [(0, 127), (0, 63)]), ((-32, 31), [(-128, 127), (-32, 31)]), ((5, 127), [(-128, 127), (5, 127)])],
)
def test_the_engine_clips_to_the_type_and_the_cpu_to_the_range(before: tuple[int, int], after: list[tuple[int, int]]):
    module = clipped(*before)
    expected = Runner(module).run(inputs_of(module))
    apply(module, SplitClips())
    assert ranges(module) == after
    np.testing.assert_array_equal(Runner(module).run(inputs_of(module)), expected)
    names = [op.attributes[graph.NAME] for op in module.walk() if isinstance(op, graph.RequantOp)]
    assert [str(name) for name in names] == ['"t1.unclipped"', '"t1"']


def test_what_an_engine_takes_or_would_refuse_anyway_stays():
    taken, refused = clipped(-128, 127), clipped(0, 63, zero_point=3)
    for module in (taken, refused):
        before = ranges(module)
        apply(module, SplitClips())
        assert ranges(module) == before


def test_a_convolution_that_will_be_rewritten_is_split():
    """2x2 becomes 3x3 later; its clip must not keep it from that."""
    net = Net((1, 3, 8, 8))
    module = net.module(net.requant(net.accumulate(net.arguments[0], 4, (2, 2)), 9, 0, hi=63))
    apply(module, SplitClips())
    assert ranges(module) == [(0, 127), (0, 63)]
