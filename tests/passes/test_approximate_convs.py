"""``approximate-convs``: the converters' arithmetic in the network, where an engine needs it and it saves time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Array, Net, apply, count, inputs_of
from xdsl.dialects.builtin import ModuleOp

from htvm_ir.dialects import graph
from htvm_ir.dialects.accel import kernels
from htvm_ir.interpreters.run import Runner
from htvm_ir.passes.approximate_convs import ApproximateConvs, approximated
from htvm_ir.passes.dispatch import Dispatch


def ternary(channels: int, outputs: int, size: int = 6, *, limit: int = 1, bias: int = 200, **options: Any) -> ModuleOp:
    """A 3x3 convolution of 7-bit inputs whose requantisation the digital array refuses."""
    net = Net((1, channels, size, size))
    x = net.requant(net.arguments[0], 1, -64, hi=63)
    weights = net.constant(net.noise((outputs, channels, 3, 3), limit))
    offset = net.constant(net.noise((outputs,), bias, "int32"))
    acc = net.emit(graph.Conv2dOp(x, weights, offset, (1, 1), (1, 1, 1, 1)))
    return net.module(net.requant(acc, 8, 0, multiplier=(3,), **options))


def outputs(module: ModuleOp) -> Array:
    return Runner(module).run(inputs_of(module))[0].astype(int)


def converters(module: ModuleOp) -> list[tuple[int, ...]]:
    """Shift and range of what clips to the converters' range."""
    found = [op for op in module.walk() if isinstance(op, graph.RequantOp) and op.hi.value.data == 31]
    return [(*op.shift.get_values(), op.lo.value.data, op.hi.value.data) for op in found]


def test_a_convolution_becomes_converted_sums_scaled_back():
    module = ternary(16, 8)
    exact = outputs(module)
    apply(module, ApproximateConvs())
    assert approximated(module) == ["t1"]
    ((shift, low, high),) = converters(module)
    assert (low, high) == (-32, 31)
    assert 3 <= shift <= 7
    error = np.abs(outputs(module) - exact)
    assert 0 < error.max() <= (3 << shift >> 8) + 1
    apply(module, Dispatch())
    assert "analog" in [op.engine_name for op in kernels(module)]


def test_the_scale_of_the_error_is_a_step_of_the_converters():
    """Without saturation the error of an accumulator is at most half a step, rounded up."""
    net = Net((1, 4, 6, 6))
    x = net.requant(net.arguments[0], 3, -16, hi=15)
    conv = net.emit(graph.Conv2dOp(x, net.constant(net.noise((8, 4, 1, 1), 1)), None, (1, 1), (0, 0, 0, 0)))
    module = net.module(conv)
    exact = outputs(module)
    apply(module, ApproximateConvs())
    ((shift, _, _),) = converters(module)
    assert shift == 1  # four inputs of at most 16 fit 7 bits
    assert np.abs(outputs(module) - exact).max() == 1 << shift >> 1


def test_sums_that_fit_the_converters_stay_exact():
    net = Net((1, 4, 6, 6))
    x = net.requant(net.arguments[0], 5, -4, hi=3)
    conv = net.emit(graph.Conv2dOp(x, net.constant(net.noise((8, 4, 1, 1), 1)), None, (1, 1), (0, 0, 0, 0)))
    module = net.module(conv)
    exact = outputs(module)
    apply(module, ApproximateConvs())
    assert converters(module) == [(0, -32, 31)]
    np.testing.assert_array_equal(outputs(module), exact)


@settings(max_examples=4, deadline=None)
@given(groups=st.sampled_from((2, 3, 9)), rest=st.integers(1, 128))
def test_deep_convolutions_are_cut_into_groups_of_channels(groups: int, rest: int):
    """3x3 kernels have 128 input channels in the array's 1152 rows; the parts are summed exactly."""
    module = ternary(128 * (groups - 1) + rest, 4, 4)
    exact = outputs(module)
    apply(module, ApproximateConvs())
    found = converters(module)
    assert count(module, "graph.slice") == len(found) >= groups
    assert len(set(found)) == 1
    ((shift, _, _), *_) = found
    assert np.abs(outputs(module) - exact).max() <= len(found) * (3 << shift >> 8) + 1


def test_eight_bit_weights_stay():
    module = ternary(16, 8, limit=100)
    apply(module, ApproximateConvs())
    assert approximated(module) == converters(module) == []


@pytest.mark.parametrize(("limits", "expected"), [((0, 3), 1), ((-128, 127), 6)])
def test_where_the_result_saturates_the_converters_may(limits: tuple[int, int], expected: int):
    """2-bit results need a finer gain than 8-bit ones."""
    net = Net((1, 64, 6, 6))
    x = net.requant(net.arguments[0], 1, -64, hi=63)
    conv = net.emit(graph.Conv2dOp(x, net.constant(net.noise((8, 64, 3, 3), 1)), None, (1, 1), (1, 1, 1, 1)))
    module = net.module(net.requant(conv, 4, limits[0], hi=limits[1], rounding="half_up"))
    apply(module, ApproximateConvs())
    ((shift, _, _),) = converters(module)
    assert shift == expected


def test_an_addend_moves_the_window():
    """Results of 0 to 3 from sums around 200: the converters must reach them."""
    net = Net((1, 64, 6, 6))
    x = net.requant(net.arguments[0], 1, -64, hi=63)
    conv = net.emit(graph.Conv2dOp(x, net.constant(net.noise((8, 64, 3, 3), 1)), None, (1, 1), (1, 1, 1, 1)))
    module = net.module(net.requant(conv, 4, 0, hi=3, addend=(-200,)))
    exact = outputs(module)
    apply(module, ApproximateConvs())
    assert [shift for shift, _, _ in converters(module)] == [3]
    assert np.abs(outputs(module) - exact).max() <= 1
