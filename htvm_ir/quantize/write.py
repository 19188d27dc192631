"""An integer network as ONNX in DIANA's convention: float32 tensors that hold integers.

Every partial sum is below 2^24 and every divisor a power of two, so float32 arithmetic is exact whatever the order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from htvm_ir.quantize.convert import Converted, Step
from htvm_ir.quantize.exponents import INT8
from htvm_ir.quantize.network import Array, Conv, Linear, Move, Pool

OPSET = 13
IR_VERSION = 7  # the one opset 13 was released with


def to_onnx(converted: Converted) -> onnx.ModelProto:
    """The model, batch 1; inputs and outputs are real numbers under the names of the original."""
    return _Writer(converted).model()


class _Writer:
    """``names``: tensor of the network -> ONNX tensor of its integers."""

    def __init__(self, converted: Converted) -> None:
        self.converted = converted
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.outputs = set(converted.network.outputs)
        self.names: dict[str, str] = {}

    def model(self) -> onnx.ModelProto:
        network = self.converted.network
        for source in network.sources:
            self._input(source.name)
        for step in self.converted.steps:
            self._step(step)
        shapes = {layer.name: layer.shape for layer in network.layers}
        for name, tensor in network.outputs.items():
            scale = self._constant(2.0 ** self.converted.form(tensor).exponent)
            self.nodes.append(helper.make_node("Mul", [self.names[tensor], scale], [name], name=f"{name}.mul"))
        graph = helper.make_graph(
            self.nodes,
            network.name,
            [helper.make_tensor_value_info(s.name, TensorProto.FLOAT, s.shape) for s in network.sources],
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, shapes[t]) for n, t in network.outputs.items()],
            initializer=list(self.constants.values()),
        )
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, producer_name="htvm_ir", ir_version=IR_VERSION, opset_imports=opsets)

    def _input(self, name: str) -> None:
        """``clip(floor(input / scale + 1/2))``."""
        scaled = self._node("Div", f"{name}.div", [name, self._constant(self.converted.scales[name])])
        half = self._node("Add", f"{name}.half", [scaled, self._constant(0.5)])
        self.names[name] = self._clipped(f"{name}.integer", half, 0, *INT8)

    def _step(self, step: Step) -> None:
        layer = step.layer
        name = f"{layer.name}.integer" if layer.name in self.outputs else layer.name
        operands = [self.names[operand] for operand in layer.inputs]
        self.names[layer.name] = name
        match layer:
            case Linear():
                sums = self._linear(step, layer, name, operands)
            case Pool():
                sums = self._pool(layer, name, operands)
            case Move():
                self._move(layer, name, operands)
                return
            case _:
                sums = operands[0] if len(operands) == 1 else self._node("Add", f"{name}.add", operands)
        self._clipped(name, sums, step.shift, step.form.low, step.form.high)

    def _linear(self, step: Step, layer: Linear, name: str, operands: Sequence[str]) -> str:
        assert step.weights is not None and step.bias is not None
        parts = [(f"{name}.weight", step.weights), (f"{name}.bias", step.bias)]
        inputs = [*operands, *(self._initializer(*part) for part in parts)]
        if not isinstance(layer, Conv):
            return self._node("Gemm", f"{name}.gemm", inputs, transB=1)
        win = layer.window
        return self._node(
            "Conv",
            f"{name}.conv",
            inputs,
            kernel_shape=win.kernel,
            strides=win.strides,
            pads=win.pads,
            dilations=win.dilations,
            group=layer.groups,
        )

    def _pool(self, layer: Pool, name: str, operands: Sequence[str]) -> str:
        win, op = layer.window, "AveragePool" if layer.average else "MaxPool"
        pooled = self._node(op, f"{name}.pool", operands, kernel_shape=win.kernel, strides=win.strides, pads=win.pads)
        return self._node("Add", f"{name}.half", [pooled, self._constant(0.5)]) if layer.average else pooled

    def _move(self, layer: Move, name: str, operands: Sequence[str]) -> None:
        if layer.permutation:
            self._node("Transpose", name, operands, perm=layer.permutation)
            return
        shape = self._initializer(f"{name}.shape", np.array(layer.shape), np.int64)
        self._node("Reshape", name, [*operands, shape])

    def _clipped(self, name: str, sums: str, shift: int, low: int, high: int) -> str:
        if shift:
            sums = self._node("Div", f"{name}.div", [sums, self._constant(2.0**shift)])
        floor = self._node("Floor", f"{name}.floor", [sums])
        least = self._node("Max", f"{name}.max", [floor, self._constant(low)])
        return self._node("Min", name, [least, self._constant(high)])

    def _node(self, op: str, result: str, operands: Sequence[str], **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, operands, [result], name=result, **attributes))
        return result

    def _constant(self, value: float) -> str:
        return self._initializer(f"const.{value!r}", np.array([value]))

    def _initializer(self, name: str, value: Array, kind: type[Any] = np.float32) -> str:
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value.astype(kind)), name)
        return name
