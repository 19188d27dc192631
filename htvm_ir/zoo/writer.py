"""Writes ONNX integer networks the way DIANA's training flow exports them.

All tensors are float32 and hold integers. A layer is `Conv|Gemm|Add -> Div(2**shift) -> Floor -> Max(lo) ->
Min(hi)`, `Div` absent at shift 0; an analog layer is `Conv -> Div -> Floor -> Max(-32) -> Min(31) -> Mul -> Add ->
Div -> Floor -> Max(lo) -> Min(hi)`, Mul and Add with numbers for each channel. The network's edges are `Div(scale) ->
Floor -> Max -> Min` and `Mul(scale)`. A layer's result is the tensor of the layer's name; what lies inside it is
`<layer>.<operator>`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from htvm_ir.zoo.arithmetic import ADC_MAX, ADC_MIN, INT8_MAX, INT8_MIN, Array, Pads

OPSET = 13
IR_VERSION = 7  # the one opset 13 was released with


class IntegerNetWriter:
    """Collects the nodes of one network; each layer method returns the name of the layer's result.

    `shape` is the input's, without the batch axis, which is 1.
    """

    def __init__(self, name: str, shape: Sequence[int]) -> None:
        self._name = name
        self._inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, *shape])]
        self._outputs: list[onnx.ValueInfoProto] = []
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}

    def input(self, scale: float) -> str:
        """The graph input divided by `scale` and clipped to int8."""
        scaled = self._node("Div", "input.div", ["input", self._constant(scale)])
        return self._requantise("input.int8", scaled, 0, INT8_MIN)

    def conv(
        self,
        name: str,
        x: str,
        weight: Array,
        bias: Array,
        *,
        stride: int,
        pads: Pads,
        groups: int,
        shift: int,
        lo: int,
        hi: int = INT8_MAX,
    ) -> str:
        """Convolution with weight (O, C / groups, kh, kw) and bias (O,)."""
        acc = self._conv(name, [x, *self._parameters(name, weight, bias)], weight, stride, pads, groups)
        return self._requantise(name, acc, shift, lo, hi)

    def analog(
        self,
        name: str,
        x: str,
        weight: Array,
        *,
        stride: int,
        pads: Pads,
        gain: int,
        mul: Array,
        add: Array,
        shift: int,
        lo: int,
        hi: int,
    ) -> str:
        """Convolution with ternary weight (O, C, kh, kw) and converters of gain 2**`gain`; mul and add are (O,)."""
        acc = self._conv(name, [x, self._initializer(f"{name}.weight", weight)], weight, stride, pads, 1)
        result = self._requantise(f"{name}.adc", acc, gain, ADC_MIN, ADC_MAX)
        for op, numbers in (("Mul", mul), ("Add", add)):
            constant = self._initializer(f"{name}.{op.lower()}", numbers.reshape(1, -1, 1, 1))
            result = self._node(op, f"{name}.{op.lower()}ed", [result, constant])
        return self._requantise(name, result, shift, lo, hi)

    def dense(self, name: str, x: str, weight: Array, bias: Array, *, shift: int, lo: int) -> str:
        """Dense layer with weight (O, C) and bias (O,)."""
        parameters = self._parameters(name, weight, bias)
        acc = self._node("Gemm", f"{name}.gemm", [x, *parameters], transB=1)
        return self._requantise(name, acc, shift, lo)

    def add(self, name: str, a: str, b: str, *, shift: int, lo: int, hi: int = INT8_MAX) -> str:
        """Sum of two tensors of one shape and one scale."""
        return self._requantise(name, self._node("Add", f"{name}.add", [a, b]), shift, lo, hi)

    def global_average(self, name: str, x: str) -> str:
        """Mean over the map, rounded down, flattened to (1, C)."""
        mean = self._node("GlobalAveragePool", f"{name}.mean", [x])
        flat = self._node("Flatten", f"{name}.flatten", [mean], axis=1)
        return self._requantise(name, flat, 0, INT8_MIN)

    def output(self, x: str, features: int, scale: float) -> None:
        """Makes x (1, features), multiplied by `scale`, the graph output."""
        self._node("Mul", "output", [x, self._constant(scale)])
        info = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, features])
        self._outputs.append(info)

    def model(self) -> onnx.ModelProto:
        """The network as a model."""
        graph = helper.make_graph(
            self._nodes,
            self._name,
            self._inputs,
            self._outputs,
            initializer=list(self._initializers.values()),
        )
        return helper.make_model(
            graph,
            producer_name="htvm_ir",
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )

    def _conv(self, name: str, operands: Sequence[str], weight: Array, stride: int, pads: Pads, groups: int) -> str:
        return self._node(
            "Conv",
            f"{name}.conv",
            operands,
            kernel_shape=weight.shape[2:],
            strides=[stride, stride],
            pads=pads,
            dilations=[1, 1],
            group=groups,
        )

    def _requantise(self, name: str, acc: str, shift: int, lo: int, hi: int = INT8_MAX) -> str:
        if shift:
            acc = self._node("Div", f"{name}.div", [acc, self._constant(2.0**shift)])
        floor = self._node("Floor", f"{name}.floor", [acc])
        low = self._node("Max", f"{name}.max", [floor, self._constant(lo)])
        return self._node("Min", name, [low, self._constant(hi)])

    def _node(self, op: str, result: str, operands: Sequence[str], **attributes: Any) -> str:
        name = f"{result}.{op.lower()}" if "." not in result else result
        self._nodes.append(helper.make_node(op, operands, [result], name=name, **attributes))
        return result

    def _parameters(self, name: str, weight: Array, bias: Array) -> tuple[str, str]:
        return self._initializer(f"{name}.weight", weight), self._initializer(f"{name}.bias", bias)

    def _constant(self, value: float) -> str:
        return self._initializer(f"const.{value:g}", np.array([value], np.float32))

    def _initializer(self, name: str, value: Array) -> str:
        self._initializers[name] = numpy_helper.from_array(value.astype(np.float32), name)
        return name
