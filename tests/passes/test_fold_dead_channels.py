"""``fold-dead-channels``: fewer multiply-accumulates, the same bits in everything that stays."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dead_networks import Array, Net, RandomNet, inputs_of
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import apply, parse
from xdsl.dialects.builtin import ModuleOp, StringAttr, i32
from xdsl.ir import SSAValue

from htvm_ir.dialects import graph
from htvm_ir.dialects.attributes import values
from htvm_ir.frontends.onnx import import_model
from htvm_ir.interpreters.run import Runner
from htvm_ir.passes.bounds import bounds_of
from htvm_ir.passes.fold_dead_channels import MACS, FoldDeadChannels, kept_indices, kept_part, network_macs
from htvm_ir.passes.fold_dead_channels import macs as count_macs
from htvm_ir.passes.workloads import main_function

MODELS = Path(os.environ.get("HTVM_MODELS", Path(__file__).parents[3] / "shared" / "models"))
VWW = MODELS / "mlperf_tiny" / "vww"

DEAD = [[[[3]]], [[[0]]], [[[-2]]]]
"""A pointwise layer from one channel to three, the second of them constant."""


def macs(module: ModuleOp) -> tuple[int, int]:
    """Before and after, by the pass and by counting anew."""
    found = network_macs(module), count_macs(module)
    assert found[0] == found[1] or values(module.attributes[MACS]) == found  # pyright: ignore[reportArgumentType]
    return found


def same_bits(before: ModuleOp, after: ModuleOp, inputs: list[Array]) -> None:
    """Equal results, and in every tensor that is left the elements that stayed."""
    expected, kept = Runner(before).layers(inputs), kept_indices(after)
    for name, got in Runner(after).layers(inputs).items():
        np.testing.assert_array_equal(got, kept_part(expected[name], kept.get(name)), err_msg=name)
    for got, result in zip(Runner(after).run(inputs), Runner(before).run(inputs), strict=True):
        np.testing.assert_array_equal(got, result)


def folded(net: Net, *results: SSAValue) -> ModuleOp:
    """The network after the pass, compared with itself before."""
    before = net.module(*results)
    after = apply(before.clone(), FoldDeadChannels())
    same_bits(before, after, inputs_of(before, 1))
    return after


def channels(module: ModuleOp) -> list[int]:
    """Of the results of all convolutions and dense layers."""
    layers = (graph.Conv2dOp, graph.DenseOp)
    return [graph.shape_of(op.result)[1] for op in module.walk() if isinstance(op, layers)]


def start(bias: int = 5, **options: Any) -> tuple[Net, SSAValue]:
    """A network whose first layer has a constant channel."""
    net = Net((1, 1, 5, 4))
    return net, net.requant(net.conv(net.block.args[0], DEAD, [1, bias, 2]), **options)


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 2**32), st.integers(1, 12))
def test_random_networks_keep_every_bit(seed: int, steps: int):
    before = RandomNet(seed).grow(steps)
    after = apply(before.clone(), FoldDeadChannels())
    same_bits(before, after, inputs_of(before, seed))
    assert macs(after)[1] <= macs(after)[0]
    once = str(after)
    assert str(apply(after, FoldDeadChannels())) == once


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32), st.integers(1, 12))
def test_every_value_lies_in_its_bounds(seed: int, steps: int):
    module = RandomNet(seed).grow(steps)
    bounds = {
        op.attributes[graph.NAME].data: bounds_of(main_function(module).body.block)[op.results[0]]  # pyright: ignore
        for op in main_function(module).body.block.ops
        if graph.NAME in op.attributes
    }
    for sample in range(3):
        for name, value in Runner(module).layers(inputs_of(module, seed + sample)).items():
            if name in bounds:
                assert (bounds[name].lo <= value).all()
                assert (value <= bounds[name].hi).all()
                assert bounds[name].lo.dtype == value.dtype


def test_a_constant_goes_into_the_next_bias():
    net, a = start()
    assert channels(folded(net, net.conv(a, [[[[1]], [[7]], [[2]]]]))) == [2, 1]


@pytest.mark.parametrize(("constant", "zero_point", "left"), [(5, 5, 2), (5, 0, 3), (0, 0, 2), (0, 5, 3)])
def test_padding_in_place_of_a_constant_keeps_it(constant: int, zero_point: int, left: int):
    for pads in ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)):
        net, a = start(constant)
        kernel = np.arange(1, 28).reshape(1, 3, 3, 3)
        assert channels(folded(net, net.conv(a, kernel, pads=pads, zero_point=zero_point))) == [left, 1]


def test_padding_under_zero_taps_keeps_nothing():
    net, a = start()
    kernel = np.zeros((1, 3, 2, 1))
    kernel[:, :, 1] = 3  # the row above the image is not read
    assert channels(folded(net, net.conv(a, kernel, pads=(1, 0, 0, 0)))) == [2, 1]


@pytest.mark.parametrize(("zero_point", "left"), [(5, [2, 2, 1]), (0, [3, 3, 1])])
def test_a_depthwise_convolution_hands_on_what_has_no_border(zero_point: int, left: list[int]):
    net, a = start()
    weights = np.arange(1, 28).reshape(3, 1, 3, 3)
    acc = net.conv(a, weights, [4, 5, 6], pads=(1, 1, 1, 1), groups=3, zero_point=zero_point)
    b = net.requant(acc, shift=(4,))
    assert channels(folded(net, net.conv(b, [[[[1]], [[7]], [[2]]]]))) == left


def test_a_depthwise_convolution_with_zero_weights_ends_what_comes_before():
    net = Net((1, 2, 5, 4))
    a = net.requant(net.conv(net.block.args[0], np.full((3, 2, 1, 1), 9)), shift=(4,))
    weights = np.ones((3, 1, 3, 3))
    weights[1] = 0
    b = net.requant(net.conv(a, weights, [1, 2, 3], pads=(1, 1, 1, 1), groups=3), shift=(4,))
    after = folded(net, net.conv(b, [[[[1]], [[7]], [[2]]]]))
    assert channels(after) == [2, 2, 1]
    assert macs(after) == (20 * (6 + 27 + 3), 20 * (4 + 18 + 2))


def test_what_saturates_is_constant():
    net = Net((1, 1, 5, 4))
    acc = net.conv(net.block.args[0], [[[[3]]], [[[4]]]], [0, 100_000])
    assert channels(folded(net, net.conv(net.requant(acc), [[[[1]], [[7]]]], [3]))) == [1, 1]


def test_what_nobody_reads_is_not_computed():
    net = Net((1, 1, 5, 4))
    a = net.requant(net.conv(net.block.args[0], [[[[3]]], [[[4]]]]))
    assert channels(folded(net, net.conv(a, [[[[1]], [[0]]]]))) == [1, 1]


def test_the_result_of_the_network_keeps_its_channels():
    net, a = start()
    assert channels(folded(net, net.conv(a, [[[[1]], [[7]], [[2]]]]), a)) == [3, 1]


@pytest.mark.parametrize(("other", "left"), [(DEAD, [2, 2, 1]), ([[[[1]]], [[[1]]], [[[1]]]], [3, 3, 1])])
def test_a_sum_loses_a_channel_with_both_of_its_operands(other: Any, left: list[int]):
    net, a = start()
    b = net.requant(net.conv(net.block.args[0], other, [7, 8, 9]))
    total = net.requant(net.emit(graph.AddOp(a, b)), multiplier=(3, 4, 5), shift=(1, 2, 3))
    assert channels(folded(net, net.conv(total, [[[[1]], [[7]], [[2]]]]))) == left


def test_a_product_with_a_constant_narrows_the_constant():
    net, a = start()
    b = net.emit(graph.MulOp(a, net.constant(np.arange(60).reshape(1, 3, 5, 4)), (0, 0)))
    c = net.requant(b, shift=(5,))
    # channel 1 is known everywhere, but differs from place to place: only one output for the whole image can take it
    assert channels(folded(net, net.conv(c, np.ones((2, 3, 5, 4))))) == [2, 2]


def test_a_layer_of_constants_keeps_one_channel():
    net = Net((1, 2, 5, 4))
    a = net.requant(net.conv(net.block.args[0], np.zeros((4, 2, 1, 1)), [1, 2, 3, 4]))
    after = folded(net, net.conv(a, np.full((2, 4, 1, 1), 3)))
    assert channels(after) == [1, 2]


def test_flattened_channels_leave_a_dense_layer():
    net, a = start()
    flat = net.emit(graph.ReshapeOp(a, (1, 60)))
    after = folded(net, net.dense(flat, np.arange(120).reshape(2, 60), [1, 2]))
    assert channels(after) == [2, 2]
    assert [graph.shape_of(op.weights) for op in after.walk() if isinstance(op, graph.DenseOp)] == [(2, 40)]


def test_channels_leave_through_every_move():
    net, a = start()
    joined = net.emit(graph.ConcatOp([a, net.block.args[0], a], 1))
    part = net.emit(graph.SliceOp(joined, (0, 1, 0, 0), (1, 5, 5, 2), (1, 1, 1, 2)))
    framed = net.emit(graph.PadOp(part, (0, 0, 0, 1), (0, 0, 0, 0), 5))
    mean = net.emit(graph.PoolOp("average", framed, (2, 2), (1, 1), (0, 1, 1, 0)))
    cells = net.emit(graph.SpaceToDepthOp(mean, (1, 3), (0, 0, 0, 0)))
    turned = net.emit(graph.TransposeOp(cells, (0, 2, 3, 1)))
    flat = net.emit(graph.ReshapeOp(turned, (1, 75)))
    weights = np.arange(150).reshape(2, 75) % 100 + 1
    after = folded(net, net.dense(flat, weights))
    assert channels(after) == [2, 2]
    assert graph.shape_of(next(op.input for op in after.walk() if isinstance(op, graph.DenseOp))) == (1, 45)


def test_a_channel_that_padding_repeats_goes_with_all_or_stays():
    net, a = start()
    framed = net.emit(graph.PadOp(a, (0, 1, 0, 0), (0, 1, 0, 0), 7))
    assert channels(folded(net, net.conv(framed, [[[[0]], [[0]], [[7]], [[0]], [[0]]]]))) == [3, 1]


def test_a_shape_that_takes_channels_apart_keeps_them():
    net = Net((1, 1, 1, 1))
    a = net.requant(net.conv(net.block.args[0], np.ones((4, 1, 1, 1)), np.arange(4)))
    square = net.emit(graph.ReshapeOp(a, (1, 2, 2, 1)))
    assert channels(folded(net, net.conv(square, [[[[1], [1]], [[1], [0]]]]))) == [4, 1]
    net = Net((1, 1, 1, 1))
    a = net.requant(net.conv(net.block.args[0], np.ones((4, 1, 1, 1)), np.arange(4)))
    square = net.emit(graph.ReshapeOp(a, (1, 2, 2, 1)))
    turned = net.emit(graph.ReshapeOp(square, (1, 4)))
    assert channels(folded(net, net.dense(turned, [[1, 2, 3, 0]]))) == [4, 1]


def test_other_readers_need_everything():
    module = parse(
        """
        func.func @main(%x : tensor<1x1x2x2xi8>, %some : i1, %any : tensor<?xi8>) -> tensor<1x2x2x2xi32> {
          %w = arith.constant dense<[[[[1]]], [[[0]]]]> : tensor<2x1x1x1xi8>
          %a = graph.conv2d %x, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] groups 1
            : tensor<1x1x2x2xi8>, tensor<2x1x1x1xi8> -> tensor<1x2x2x2xi32>
          %b = graph.requant "floor" %a multiplier [1] shift [0] zero_point 0 range -128 to 127
            : tensor<1x2x2x2xi32> -> tensor<1x2x2x2xi8>
          %y = scf.if %some -> (tensor<1x2x2x2xi32>) {
            scf.yield %a : tensor<1x2x2x2xi32>
          } else {
            %c = graph.add %b, %b : tensor<1x2x2x2xi8>, tensor<1x2x2x2xi8> -> tensor<1x2x2x2xi32>
            scf.yield %c : tensor<1x2x2x2xi32>
          }
          func.return %y : tensor<1x2x2x2xi32>
        }"""
    )
    assert channels(apply(module, FoldDeadChannels())) == [2]


def test_what_may_wrap_is_not_known():
    """A bias so close to the greatest number that the accumulator may go on at the smallest."""
    net = Net((1, 1, 5, 4))
    acc = net.conv(net.block.args[0], [[[[100]]], [[[100]]]], [2**31 - 1, 2**31 - 20_000])
    a = net.requant(acc, multiplier=(1 << 30,), shift=(40,))
    assert channels(folded(net, net.conv(a, [[[[1]], [[7]]]]))) == [1, 1]


def test_sums_of_wide_windows_may_wrap():
    net = Net((1, 1, 5, 4))
    wide = net.requant(net.conv(net.block.args[0], [[[[1]]]]), i32, multiplier=(1 << 30,), lo=2**30, hi=2**31 - 1)
    total = net.emit(graph.PoolOp("sum", wide, (2, 1), (1, 1), (0, 0, 0, 0)))
    a = net.requant(total, multiplier=(1,), lo=0)
    block = net.block
    bounds = bounds_of(block)[total]
    assert (int(bounds.lo.min()), int(bounds.hi.max())) == (-(2**31), 2**31 - 1)
    assert channels(folded(net, net.conv(a, [[[[1]]]]))) == [1, 1]


def test_indices_count_from_the_model_after_a_second_run():
    net = Net((1, 1, 2, 2))
    a = net.requant(net.conv(net.block.args[0], np.ones((4, 1, 1, 1)), np.arange(4)))
    after = folded(net, net.conv(a, [[[[1]], [[0]], [[2]], [[3]]]]))
    name = next(n for n, axes in kept_indices(after).items() if axes == [(), (0, 2, 3), (), ()])
    last = [op for op in after.walk() if isinstance(op, graph.Conv2dOp)][-1]
    net.block = last.parent_block() or net.block
    weights = net.constant([[[[1]], [[0]], [[3]]]])
    weights.owner.detach()  # pyright: ignore[reportAttributeAccessIssue]
    net.block.insert_op_before(weights.owner, last)  # pyright: ignore[reportArgumentType]
    last.operands[1] = weights
    assert kept_indices(apply(after, FoldDeadChannels()))[name] == [(), (0, 3), (), ()]


def test_accumulators_may_have_the_name_of_their_tensor():
    net = Net((1, 1, 2, 2))
    a = net.requant(net.conv(net.block.args[0], np.ones((4, 1, 1, 1)), np.arange(4)))
    requant = a.owner
    assert isinstance(requant, graph.RequantOp)
    conv = requant.operands[0].owner
    assert isinstance(conv, graph.Conv2dOp)
    conv.attributes[graph.NAME] = name = requant.attributes[graph.NAME]
    assert isinstance(name, StringAttr)
    after = folded(net, net.conv(a, [[[[1]], [[0]], [[2]], [[0]]]]))
    assert kept_indices(after)[name.data] == [(), (0, 2), (), ()]


@pytest.mark.skipif(not VWW.is_dir(), reason=f"no trained model at {VWW}")
def test_visual_wake_words_executes_half_of_its_multiplications():
    before = import_model(VWW / "vww_int8.onnx", rounding="tflite")
    after = apply(before.clone(), FoldDeadChannels())
    assert macs(after)[0] == 7_489_664
    assert macs(after)[1] <= 3_950_000
    golden = np.load(VWW / "golden16.npz")
    same_bits(before, after, [golden["input"][:1]])
    for image, logits in zip(golden["input"], golden["logits"], strict=True):
        np.testing.assert_array_equal(Runner(after).run([image[None]])[0].ravel(), logits.ravel())
