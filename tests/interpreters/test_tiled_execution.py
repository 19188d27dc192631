"""A nest computes what its op computes on whole tensors, for any tile size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ir_modules import Array, evaluate, module_of, parse, random_array, tensor_like
from xdsl.dialects.builtin import IntegerType, TensorType
from xdsl.ir import Block, Operation
from xdsl.utils.exceptions import InterpretationError

from htvm_ir.dialects import graph, tiled
from htvm_ir.interpreters.run import run
from htvm_ir.targets.layout import Layout
from htvm_ir.targets.workload import Tensor, Window, Workload, dimensions, windows

FEW = settings(deadline=None, max_examples=25)


@dataclass(frozen=True)
class Convolution:
    """A convolution and how to tile it: ``sizes`` maps dimensions, outermost first, to tile sizes."""

    x: Array
    weights: Array
    bias: Array
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilations: tuple[int, int]
    groups: int
    sizes: Mapping[str, int]

    def op(self, x: Any, weights: Any, bias: Any) -> graph.Conv2dOp:
        return graph.Conv2dOp(x, weights, bias, self.strides, self.pads, self.dilations, self.groups)

    def workload(self) -> Workload:
        result = graph.shape_of(self.op(*self.placeholders()).result)
        return Workload(
            "conv2d",
            (Tensor(self.x.shape),),
            Tensor(result),
            self.weights,
            self.bias,
            self.strides,
            self.pads,
            self.dilations,
            self.groups,
        )

    def placeholders(self) -> tuple[Any, ...]:
        return tuple(Block(arg_types=[tensor_like(a) for a in (self.x, self.weights, self.bias)]).args)

    def body(self, tile_types: Sequence[TensorType[Any]]) -> Block:
        """The convolution of a full interior tile; rows outside the input come from the window."""
        block = Block(arg_types=tile_types)
        top, left, bottom, right = self.pads
        pads = (0, left, 0, right) if "y" in self.sizes else (top, left, bottom, right)
        depthwise = self.groups > 1
        groups = graph.shape_of(block.args[0])[1] if depthwise else 1
        x, weights, bias = block.args
        conv = graph.Conv2dOp(x, weights, bias, self.strides, pads, self.dilations, groups)
        block.add_ops([conv, tiled.YieldOp(conv.result)])
        return block


def attribute(axes: Sequence[Window]) -> tiled.WindowAttr:
    return tiled.WindowAttr([(w.dimension, w.stride, w.offset, w.extent) for w in axes])


def tile_type(array: Array, axes: Sequence[Window], sizes: Mapping[str, int]) -> TensorType[Any]:
    """The type of a full interior tile."""
    shape = [
        extent if w.dimension is None else (sizes[w.dimension] - 1) * w.stride + w.extent
        for w, extent in zip(axes, array.shape, strict=True)
    ]
    return TensorType(IntegerType(array.dtype.itemsize * 8), shape)


def nest(case: Convolution) -> tuple[Any, list[tiled.WindowAttr]]:
    workload = case.workload()
    spans = windows(workload, tuple(case.sizes))
    grid = tiled.GridAttr(dimensions(workload), case.sizes)
    arrays = (case.x, case.weights, case.bias)
    types = [tile_type(a, axes, case.sizes) for a, axes in zip(arrays, spans, strict=False)]
    attributes = [attribute(axes) for axes in spans]
    result = TensorType(IntegerType(32), workload.output.shape)

    def build(*operands: Any) -> Operation:
        return tiled.NestOp("digital", "conv", grid, attributes, [1, 1], operands, case.body(types), results=[result])

    return build, attributes


@st.composite
def tiled_convolutions(draw: st.DrawFn) -> Convolution:
    depthwise = draw(st.booleans())
    c, k = draw(st.tuples(st.integers(2, 5), st.integers(1, 5)))
    fy, fx = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    height, width = draw(st.tuples(st.integers(3, 9), st.integers(3, 5)))
    strides = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    dilations = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    pads = draw(st.tuples(*[st.integers(0, 2)] * 4))
    assume(dilations[0] * (fy - 1) < height + pads[0] + pads[2])
    assume(dilations[1] * (fx - 1) < width + pads[1] + pads[3])
    outputs = c if depthwise else k
    rows = (height + pads[0] + pads[2] - dilations[0] * (fy - 1) - 1) // strides[0] + 1
    order = draw(st.sampled_from([("k",), ("y",), ("k", "y"), ("y", "k")]))
    limits = {"k": outputs, "y": rows}
    seed = draw(st.integers(0, 1000))
    return Convolution(
        random_array(seed, (1, c, height, width)),
        random_array(seed + 1, (outputs, 1 if depthwise else c, fy, fx)),
        random_array(seed + 2, (outputs,), -1000, 1000, "int32"),
        strides,
        pads,
        dilations,
        c if depthwise else 1,
        {name: draw(st.integers(1, limits[name])) for name in order},
    )


@FEW
@given(tiled_convolutions())
def test_a_tiled_convolution_is_the_convolution(case: Convolution):
    arrays = [case.x, case.weights, case.bias]
    build, _ = nest(case)
    np.testing.assert_array_equal(evaluate(arrays, build), evaluate(arrays, case.op))


@FEW
@given(st.integers(1, 20), st.integers(1, 20), st.data())
def test_a_tiled_dense_is_the_dense(inputs: int, outputs: int, data: st.DataObject):
    size = data.draw(st.integers(1, outputs))
    arrays = [
        random_array(1, (1, inputs)),
        random_array(2, (outputs, inputs)),
        random_array(3, (outputs,), -1000, 1000, "int32"),
    ]
    workload = Workload("dense", (Tensor((1, inputs)),), Tensor((1, outputs)), arrays[1], arrays[2])
    spans = windows(workload, ("k",))

    def build(*operands: Any) -> Operation:
        body = Block(arg_types=[tile_type(a, w, {"k": size}) for a, w in zip(arrays, spans, strict=False)])
        x, weights, bias = body.args
        dense = graph.DenseOp(x, weights, bias)
        body.add_ops([dense, tiled.YieldOp(dense.result)])
        grid = tiled.GridAttr({"k": outputs}, {"k": size})
        result = TensorType(IntegerType(32), (1, outputs))
        return tiled.NestOp(
            "digital", "dense", grid, [attribute(w) for w in spans], [1, 1], operands, body, results=[result]
        )

    np.testing.assert_array_equal(evaluate(arrays, build), evaluate(arrays, graph.DenseOp))


ADD = """
func.func @main(%a: tensor<1x5x7x4xi8>, %b: tensor<1x5x7x4xi8>) -> tensor<1x5x7x4xi32> {{
  %r = tiled.nest @digital "add" grid {grid} windows [{window}, {window}, {output}] buffers [1, 1, 1]
      ins(%a, %b : tensor<1x5x7x4xi8>, tensor<1x5x7x4xi8>) {{
  ^bb0(%x: tensor<1x2x3x4xi8>, %y: tensor<1x2x3x4xi8>):
    %s = graph.add %x, %y {{graph.name = "sum"}} : tensor<1x2x3x4xi8>, tensor<1x2x3x4xi8> -> tensor<1x2x3x4xi32>
    tiled.yield %s : tensor<1x2x3x4xi32>
  }} -> tensor<1x5x7x4xi32>
  func.return %r : tensor<1x5x7x4xi32>
}}
"""
GRID, WINDOW = "<k = 5 by 2, y = 7 by 3>", "#tiled.window<_, k, y, _>"


def test_a_nest_is_captured_as_a_whole():
    a, b = random_array(1, (1, 5, 7, 4)), random_array(2, (1, 5, 7, 4))
    seen: list[tuple[str, Array]] = []
    module = parse(ADD.format(grid=GRID, window=WINDOW, output=WINDOW))
    run(module, [a, b], capture=lambda name, value: seen.append((name, value)))
    ((name, value),) = seen
    assert name == "sum"
    np.testing.assert_array_equal(value, a.astype(np.int32) + b)


@pytest.mark.parametrize(
    ("grid", "output", "message"),
    [
        ("<k = 5 by 2, y = 6 by 3>", WINDOW, r"element \[0, 0, 6, 0\] is written 0 times, not once"),
        (GRID, "#tiled.window<_, k, y + 1, _>", r"lies partly outside the output \[1, 5, 7, 4\]"),
        (GRID, "#tiled.window<_, k, y * 1 : 1, _>", None),
        ("<k = 4 by 2, y = 7 by 3>", WINDOW, "is written 0 times"),
    ],
)
def test_every_element_is_written_once(grid: str, output: str, message: str | None):
    arrays = [random_array(1, (1, 5, 7, 4)), random_array(2, (1, 5, 7, 4))]
    module = parse(ADD.format(grid=grid, window=WINDOW, output=output))
    if message is None:
        np.testing.assert_array_equal(run(module, arrays)[0], arrays[0].astype(np.int32) + arrays[1])
        return
    with pytest.raises(InterpretationError, match=message):
        run(module, arrays)


HALO = """
func.func @main(%a: tensor<1x1x6x4xi8>) -> tensor<1x1x6x4xi8> {
  %r = tiled.nest @digital "pool" grid <y = 6 by 3>
      windows [#tiled.window<_, _, y, _>, #tiled.window<_, _, y : 2, _>] buffers [1, 1] ins(%a : tensor<1x1x6x4xi8>) {
  ^bb0(%x: tensor<1x1x3x4xi8>):
    %p = graph.pool "max" %x kernel [2, 1] strides [1, 1] pads [1, 0, 1, 0] rounding "floor"
      : tensor<1x1x3x4xi8> -> tensor<1x1x4x4xi8>
    tiled.yield %p : tensor<1x1x4x4xi8>
  } -> tensor<1x1x6x4xi8>
  func.return %r : tensor<1x1x6x4xi8>
}
"""


def test_overlapping_output_tiles_are_caught():
    text = HALO.replace("tensor<1x1x6x4xi8> {\n  %r", "tensor<1x1x7x4xi8> {\n  %r")
    text = text.replace("} -> tensor<1x1x6x4xi8>", "} -> tensor<1x1x7x4xi8>")
    text = text.replace("return %r : tensor<1x1x6x4xi8>", "return %r : tensor<1x1x7x4xi8>")
    with pytest.raises(InterpretationError, match=r"output element \[0, 0, 3, 0\] is written 2 times, not once"):
        run(parse(text), [random_array(1, (1, 1, 6, 4))])


def test_a_body_that_gives_another_shape_is_caught():
    text = """
    func.func @main(%a: tensor<1x1x3x4xi8>) -> tensor<1x1x3x4xi8> {
      %r = tiled.nest @digital "pool" grid <y = 3 by 2>
          windows [#tiled.window<_, _, _, _>, #tiled.window<_, _, y, _>] buffers [1, 1] ins(%a : tensor<1x1x3x4xi8>) {
      ^bb0(%x: tensor<1x1x3x4xi8>):
        %p = graph.pool "max" %x kernel [2, 1] strides [1, 1] pads [0, 0, 0, 0] rounding "floor"
          : tensor<1x1x3x4xi8> -> tensor<1x1x2x4xi8>
        tiled.yield %p : tensor<1x1x2x4xi8>
      } -> tensor<1x1x3x4xi8>
      func.return %r : tensor<1x1x3x4xi8>
    }
    """
    with pytest.raises(InterpretationError, match=r"is \[1, 1, 1, 4\], the body gives \[1, 1, 2, 4\]"):
        run(parse(text), [random_array(1, (1, 1, 3, 4))])


BUFFERS = """
func.func @main(%a: memref<1x6x7x16xi8>, %c: memref<1x7x5x4xi32>) {
  tiled.nest @digital "add" grid <k = 5 by 2, y = 7 by 3>
      windows [#tiled.window<_, k, y, _>, #tiled.window<_, k, y, _>, #tiled.window<_, k, y, _>] buffers [1, 1, 1]
      ins(%a, %a : memref<1x6x7x16xi8>, memref<1x6x7x16xi8>) outs(%c : memref<1x7x5x4xi32>) {
  ^bb0(%x: tensor<1x2x3x4xi8, #accel.layout<0, 1 : 2, 2, 3 : 16 xor 3>>,
       %y: tensor<1x2x3x4xi8, #accel.layout<0, 1 : 2, 2, 3 : 16 xor 3>>):
    %s = graph.add %x, %y : tensor<1x2x3x4xi8, #accel.layout<0, 1 : 2, 2, 3 : 16 xor 3>>,
      tensor<1x2x3x4xi8, #accel.layout<0, 1 : 2, 2, 3 : 16 xor 3>> -> tensor<1x2x3x4xi32, #accel.layout<0, 2, 1, 3>>
    tiled.yield %s : tensor<1x2x3x4xi32, #accel.layout<0, 2, 1, 3>>
  }
  func.return
}
"""


def test_on_buffers_tiles_are_cut_from_the_unpacked_tensor():
    layout = Layout((0, 1, 2, 3), (1, 2, 1, 16), 3)
    a = random_array(1, (1, 5, 7, 4))
    stored = layout.pack(a).reshape(1, 6, 7, 16)
    module = parse(BUFFERS.replace("%c: memref<1x7x5x4xi32>", "%c: memref<1x7x5x4xi32> {accel.output}"))
    (result,) = run(module, [stored])
    np.testing.assert_array_equal(result, (2 * a.astype(np.int32)).transpose(0, 2, 1, 3))


def test_a_halo_on_a_rounded_axis_is_refused():
    text = BUFFERS.replace("0, 1 : 2, 2, 3 : 16 xor 3", "0, 1 : 2, 2 : 8, 3 : 16 xor 3")
    text = text.replace("1x6x7x16", "1x6x8x16").replace(
        "windows [#tiled.window<_, k, y, _>", "windows [#tiled.window<_, k, y - 1 : 1, _>"
    )
    text = text.replace("%c: memref<1x7x5x4xi32>", "%c: memref<1x7x5x4xi32> {accel.output}")
    with pytest.raises(InterpretationError, match="axis 2 is rounded up in memory and tiled with a halo"):
        run(parse(text), [np.zeros((1, 6, 8, 16), np.int8)])


def test_module_of_returns_the_nest_result():
    case = Convolution(
        random_array(1, (1, 2, 4, 4)),
        random_array(2, (3, 2, 3, 3)),
        random_array(3, (3,), -5, 5, "int32"),
        (1, 1),
        (1, 1, 1, 1),
        (1, 1),
        1,
        {"y": 3},
    )
    build, attributes = nest(case)
    assert str(attributes[0]) == "#tiled.window<_, _, y - 1 : 3, _>"
    module = module_of([case.x, case.weights, case.bias], build)
    assert run(module, [case.x, case.weights, case.bias])[0].shape == (1, 3, 4, 4)
