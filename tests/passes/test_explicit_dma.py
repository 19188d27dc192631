"""``explicit-dma``: every transfer and job of a nest, none of them twice, and the same result."""

from __future__ import annotations

from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lowering import caught, kernel, lowered, of_type, reference, use_target
from networks import Net, apply, parse, small_diana
from xdsl.dialects.builtin import MemRefType, ModuleOp, StringAttr
from xdsl.dialects.memref import AllocOp, GlobalOp
from xdsl.ir import Operation

from htvm_ir.dialects.accel import AwaitOp, LaunchOp
from htvm_ir.dialects.dma import StartOp, WaitOp
from htvm_ir.dialects.tiled import NestOp
from htvm_ir.errors import HtvmError
from htvm_ir.passes.explicit_dma import ExplicitDma, stored_box
from htvm_ir.passes.pipeline_dma import root
from htvm_ir.passes.plan_memory import PlanMemory
from htvm_ir.targets.layout import Layout


@pytest.fixture(autouse=True)
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    use_target(monkeypatch, small_diana(64 * 1024))


def conv_net() -> ModuleOp:
    net = Net((1, 16, 12, 16))
    return net.module(net.conv(net.arguments[0], 40, (3, 3), pads=(1, 1, 1, 1)))


def moved_bytes(op: StartOp) -> int:
    assert isinstance(op.source.type, MemRefType)
    return prod(op.source.type.get_shape())


def test_a_tile_that_stays_is_not_loaded_again() -> None:
    """3 tiles of rows and 3 of channels: channels inside keep the input tile, rows inside do not."""
    for tile, loaded in (({"y": 4, "k": 16}, 3), ({"k": 16, "y": 4}, 9)):
        block = kernel(lowered(conv_net(), "explicit-dma", tile))
        fills = [op for op in of_type(block, StartOp) if isinstance(root(op.destination).owner, AllocOp)]
        assert len(fills) == loaded
        assert len(of_type(block, LaunchOp)) == len(of_type(block, StartOp)) - loaded == 9


def test_the_halo_is_loaded_and_the_output_stored_once() -> None:
    block = kernel(lowered(conv_net(), "explicit-dma", {"y": 4, "k": 16}))
    sizes = [moved_bytes(op) for op in of_type(block, StartOp)]
    row = 16 * 16
    assert [size for size in sizes if size % (5 * row) == 0 or size == 6 * row] == [5 * row, 6 * row, 5 * row]
    assert sum(sizes) == (5 + 6 + 5) * row + 40 * 12 * 16


def test_every_start_is_waited_for_at_once() -> None:
    block = kernel(lowered(conv_net(), "explicit-dma", {"y": 4, "k": 16}, depth=2))
    for start, wait in zip(of_type(block, StartOp, LaunchOp), of_type(block, WaitOp, AwaitOp), strict=True):
        assert start.next_op is wait
        assert wait.token is start.token


def test_buffers_take_turns() -> None:
    block = kernel(lowered(conv_net(), "explicit-dma", {"y": 4, "k": 16}, depth=2))
    outputs = [root(op.output) for op in of_type(block, LaunchOp)]
    assert len(of_type(block, AllocOp)) == 4
    assert outputs[0::2] == [outputs[0]] * 5
    assert outputs[1::2] == [outputs[1]] * 4
    assert outputs[0] is not outputs[1]


def test_constants_are_packed_once_and_each_job_gets_its_part() -> None:
    module = lowered(conv_net(), "explicit-dma", {"y": 4, "k": 16})
    (packed,) = [op for op in module.ops if isinstance(op, GlobalOp)]
    assert packed.type.memory_space == StringAttr("L2")
    parts = [op.constants for op in of_type(kernel(module), LaunchOp)]
    sizes = [prod(part.type.get_shape()) for part in parts[:3]]
    assert sum(sizes) == prod(packed.type.get_shape())


@settings(deadline=None, max_examples=10)
@given(
    kind=st.sampled_from(["conv", "depthwise", "strided", "add"]),
    rows=st.sampled_from([4, 8, 12]),
    channels=st.sampled_from([16, 32]),
    outer=st.sampled_from(["y", "k"]),
    depth=st.integers(1, 3),
)
def test_the_meaning_stays(kind: str, rows: int, channels: int, outer: str, depth: int) -> None:
    net = Net((1, 32, 12, 16))
    (x,) = net.arguments
    pads = (1, 1, 1, 1)
    tile = {"y": rows, "k": channels} if outer == "y" else {"k": channels, "y": rows}
    match kind:
        case "add":
            module, tile = net.module(net.add(x, x)), {"k": channels}
        case "depthwise":
            module = net.module(net.depthwise(x, (3, 3), pads=pads))
        case "strided":
            net = Net((1, 16, 24, 32))
            module = net.module(net.conv(net.arguments[0], 32, (3, 3), strides=(2, 2), pads=pads))
        case _:
            module = net.module(net.conv(x, 32, (3, 3), pads=pads))
    inputs, expected = reference(module)
    apply(lowered(module, "explicit-dma", tile, depth), PlanMemory())
    assert not caught(module, inputs, expected)


def test_nests_on_tensors_are_refused() -> None:
    module = lowered(conv_net(), "apply-plan", {"y": 4, "k": 16})
    with pytest.raises(HtvmError, match="works on tensors; run bufferize first"):
        apply(module, ExplicitDma())


def test_an_engine_that_takes_no_gaps_gets_none() -> None:
    """Rows of an input that stays in L1 do not follow each other, which a job of DIANA's could not read."""
    module = parse(
        """
        #map = #accel.layout<0, 1, 2, 3 : 16 xor 3>
        builtin.module attributes {accel.target = #accel.target<"diana">} {
        func.func private @f(%x: memref<256xi8, "L1">, %y: memref<1x16x8x16xi8, "L2">)
            attributes {accel.types = [tensor<1x2x8x16xi8, #map>, tensor<1x16x8x16xi8, #map>]} {
          %weights = arith.constant dense<1> : tensor<16x2x1x1xi8>
          tiled.nest @digital "rows" grid <y = 8 by 7>
              windows [#tiled.window<_, _, y, _>, #tiled.window<_, _, _, _>, #tiled.window<_, _, y, _>]
              buffers [1, 1] ins(%x, %weights : memref<256xi8, "L1">, tensor<16x2x1x1xi8>)
              outs(%y : memref<1x16x8x16xi8, "L2">) attributes {accel.resident = {"0" = 256 : i64}} {
          ^bb0(%a: tensor<1x2x7x16xi8, #map>, %w: tensor<16x2x1x1xi8>):
            %acc = graph.conv2d %a, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] groups 1
                : tensor<1x2x7x16xi8, #map>, tensor<16x2x1x1xi8> -> tensor<1x16x7x16xi32>
            %r = graph.requant "floor" %acc multiplier [1] shift [5] zero_point 0 range 0 to 127
                : tensor<1x16x7x16xi32> -> tensor<1x16x7x16xi8, #map>
            tiled.yield %r : tensor<1x16x7x16xi8, #map>
          }
          func.return
        }
        }
        """
    )
    with pytest.raises(HtvmError, match="resident operand 0 have gaps, which engine 'digital' does not take"):
        apply(module, ExplicitDma())


def test_nothing_of_the_nest_is_left() -> None:
    module = lowered(conv_net(), "explicit-dma", {"y": 4, "k": 16})
    left: list[Operation] = [op for op in module.walk() if isinstance(op, NestOp) or op.name == "arith.constant"]
    assert not left


def test_a_box_keeps_groups_whole() -> None:
    layout = Layout((0, 2, 3, 1), (1, 8, 1, 1))
    shape = (1, 20, 6, 5)
    assert stored_box(layout, shape, [(0, 1), (0, 20), (2, 3), (0, 5)]) == ((0, 1), (2, 3), (0, 5), (0, 24))
    assert stored_box(layout, shape, [(0, 1), (16, 4), (0, 6), (0, 5)]) == ((0, 1), (0, 6), (0, 5), (16, 8))
    for start, size in ((4, 8), (8, 4)):
        with pytest.raises(HtvmError, match=f"cuts axis 1 at {start}, inside a group of 8 elements"):
            stored_box(layout, shape, [(0, 1), (start, size), (0, 6), (0, 5)])
