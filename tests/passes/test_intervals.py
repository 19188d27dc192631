"""What is proven about a tensor is true, and tight where an engine depends on it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import SAME, Net, apply
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, IntegerType, Signedness, i32
from xdsl.ir import SSAValue

from htvm_ir.dialects import graph
from htvm_ir.dialects.accel import kernels
from htvm_ir.dialects.attributes import integers
from htvm_ir.interpreters.run import run
from htvm_ir.passes.dispatch import Dispatch
from htvm_ir.passes.intervals import RANGE, interval
from htvm_ir.passes.workloads import main_function

SHAPE = (1, 4, 6, 5)
ui8 = IntegerType(8, Signedness.UNSIGNED)


@pytest.mark.parametrize(("stated", "expected"), [((-5, 6), (-5, 6)), (None, (-128, 127))])
def test_the_caller_s_promise_is_a_proof(stated: tuple[int, int] | None, expected: tuple[int, int]):
    net = Net((1, 4, 6, 6))
    module = net.module(x := net.pool("max", net.arguments[0], (2, 2), (2, 2)))
    function = main_function(module)
    if stated is not None:
        function.arg_attrs = ArrayAttr([DictionaryAttr({RANGE: integers(stated)})])
    assert interval(x) == interval(function.body.block.args[0]) == expected
    apply(module, Dispatch())
    assert interval(kernels(module)[0].body.block.args[0]) == expected
    assert interval(kernels(module)[0].results_[0]) == expected


def layer(net: Net, kind: str, x: SSAValue, y: SSAValue, low: int, high: int) -> SSAValue:
    """An op on 8-bit tensors of SHAPE; an i8 tensor of SHAPE goes on."""
    match kind:
        case "conv2d":
            weights = net.constant(net.noise((4, 4, 3, 3), 5))
            return net.emit(graph.Conv2dOp(x, weights, None, (1, 1), SAME, zero_point=low))
        case "add":
            return net.emit(graph.AddOp(x, y))
        case "sub":
            return net.emit(graph.SubOp(x, y))
        case "mul":
            return net.emit(graph.MulOp(x, y, (low, high)))
        case "lookup":
            return net.emit(graph.LookupOp(x, net.constant(net.random.integers(low, high + 1, 256).astype(np.int8))))
        case "sum" | "max" | "average":
            return net.emit(graph.PoolOp(kind, x, (3, 3), (1, 1), SAME, "half_away"))
        case "concat":
            half = [net.emit(graph.SliceOp(v, (0,) * 4, (1, 2, 6, 5), (1,) * 4)) for v in (x, y)]
            return net.emit(graph.ConcatOp(half, 1))
        case "pad":
            part = net.emit(graph.SliceOp(x, (0, 0, 1, 0), (1, 4, 4, 5), (1,) * 4))
            return net.emit(graph.PadOp(part, (0, 0, 1, 0), (0, 0, 1, 0), high))
        case _:
            turned = net.emit(graph.TransposeOp(x, (0, 2, 3, 1)))
            return net.emit(graph.ReshapeOp(net.flatten(turned), SHAPE))


KINDS = ("conv2d", "add", "sub", "mul", "lookup", "sum", "max", "average", "concat", "pad", "move")
CLIPS = st.tuples(st.integers(-128, 127), st.integers(-128, 127)).map(sorted)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(KINDS), CLIPS), min_size=1, max_size=6), st.integers(0, 99))
def test_every_element_lies_in_its_interval(layers: list[tuple[str, list[int]]], seed: int) -> None:
    net = Net(SHAPE, SHAPE, seed=seed)
    tensors = list(net.arguments)
    x, y = tensors
    for kind, (low, high) in layers:
        result = layer(net, kind, x, y, low, high)
        x, y = net.requant(result, 3, low, hi=high), x
        tensors += [result, x]
    results = run(net.module(*tensors), net.inputs())
    for value, result in zip(tensors, results, strict=True):
        low, high = interval(value)
        assert low <= result.min() and result.max() <= high


def test_intervals_are_tight() -> None:
    net = Net((1, 4, 6, 6))
    clipped = net.requant(net.accumulate(net.arguments[0], 4, (1, 1)), 5, 3, hi=9)
    assert interval(clipped) == interval(net.flatten(clipped)) == (3, 9)
    assert interval(net.emit(graph.SpaceToDepthOp(clipped, (2, 2), (1, 1, 1, 1)))) == (0, 9)
    assert interval(net.emit(graph.AddOp(clipped, clipped))) == (6, 18)
    assert interval(net.emit(graph.SubOp(clipped, clipped))) == (-6, 6)
    assert interval(net.emit(graph.MulOp(clipped, clipped, (5, 4)))) == (-10, 20)
    assert interval(net.emit(graph.PoolOp("sum", clipped, (2, 2), (2, 2), (0, 0, 0, 0)))) == (0, 36)
    assert interval(net.emit(graph.PadOp(clipped, (0, 0, 1, 0), (0,) * 4, -1))) == (-1, 9)
    table = net.constant((np.arange(256) % 7).astype(np.int8))
    assert interval(net.emit(graph.LookupOp(clipped, table))) == (0, 6)
    weights = net.constant(np.array([[[[2]], [[-1]], [[0]], [[0]]]], np.int8))
    bias = net.constant(np.array([100], np.int32))
    assert interval(net.emit(graph.Conv2dOp(clipped, weights, bias, (1, 1), (0, 0, 0, 0)))) == (100 - 9, 100 + 18)
    assert interval(net.requant(clipped, 0, -(2**31), i32, hi=2**31 - 1)) == (-(2**31), 2**31 - 1)


def test_a_type_is_the_last_resort() -> None:
    """Sums that may leave 32 bits are as wide as these; unsigned numbers begin at 0."""
    net = Net((1, 4))
    wide = net.requant(net.arguments[0], 0, -(2**31), i32, hi=2**31 - 1)
    assert interval(net.emit(graph.AddOp(wide, wide))) == (-(2**31), 2**31 - 1)
    assert interval(net.emit(graph.LookupOp(net.arguments[0], net.constant(np.zeros(256, np.uint8))))) == (0, 0)
    assert interval(net.requant(net.arguments[0], 0, 0, ui8, hi=200)) == (0, 200)
