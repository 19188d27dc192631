"""Float cases of the `onnx` package as 8-bit ones; what they give is computed by its reference evaluator."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from node_cases import Array, Network
from onnx import TensorProto, helper, numpy_helper

from htvm_ir.frontends.onnx import qdq, typed

_LAYERS = ("Conv", "MatMul", "Gemm")
"""Operators whose constant operand 1 holds weights, and operand 2 a bias."""


def integer_variant(net: Network) -> Network | None:
    """The case on int8 or uint8 tensors, if ONNX gives the operator a meaning there; ``None`` if not."""
    node = net.model.graph.node[-1]
    is_typed = all(n.op_type in typed.OPERATORS for n in net.model.graph.node)
    if not is_typed or not _is_float(net) or _is_long(net):
        return None
    dtype = _dtype(net)
    model = onnx.ModelProto()
    model.CopyFrom(net.model)
    element = helper.np_dtype_to_tensor_dtype(dtype)
    for info in (*model.graph.input, *model.graph.output):
        if info.type.tensor_type.elem_type == TensorProto.FLOAT:
            info.type.tensor_type.elem_type = element
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(_codes(numpy_helper.to_array(tensor), dtype), tensor.name))
    inputs = [_codes(values, dtype) for values in net.inputs]
    variant = replace(net, name=f"{net.name}, {dtype}", model=model, inputs=inputs)
    if node.op_type != "MaxPool":
        return _evaluated(variant)
    # the evaluator pads integers with NaN
    real = _evaluated(replace(net, inputs=[values.astype(np.float32) for values in inputs]))
    return replace(variant, outputs=[output.astype(dtype) for output in real.outputs])


def _codes(values: Array, dtype: np.dtype[Any]) -> Array:
    """Float data as integers that fill a good part of their type, and overflow in sums."""
    limits = np.iinfo(dtype)
    return np.clip(np.rint(values * 50), limits.min, limits.max).astype(dtype)


def qdq_variant(net: Network) -> Network | None:
    """The case between QuantizeLinear and DequantizeLinear; ``None`` if it is no float operator of QDQ networks."""
    *before, node = net.model.graph.node
    is_operator = node.op_type in qdq.OPERATORS and "Linear" not in node.op_type
    is_alone = all(n.op_type == "Reshape" for n in before)
    is_old = node.op_type == "Dropout" and len(node.attribute) > 0  # no form in the opsets of QDQ's evaluator
    if is_old or not (is_operator and is_alone and _is_float(net)) or _is_long(net):
        return None
    model = onnx.ModelProto()
    model.CopyFrom(net.model)
    builder = _Quantiser(model, _dtype(net))
    builder.inputs(net.inputs)
    builder.weights()
    builder.outputs(net.outputs)
    return _evaluated(replace(net, name=f"{net.name}, QDQ {builder.dtype}", model=model, steps=1))


class _Quantiser:
    """Puts pairs of QuantizeLinear and DequantizeLinear around the last node of ``model``."""

    def __init__(self, model: onnx.ModelProto, dtype: np.dtype[Any]) -> None:
        self.graph, self.dtype = model.graph, dtype
        self.node = model.graph.node[-1]
        self.scale = np.float32(1)
        for entry in model.opset_import:
            entry.version = max(entry.version, 19)

    def inputs(self, values: Sequence[Array]) -> None:
        """Quantises what the node computes with."""
        computed = [name for name in self.node.input if any(name in n.output for n in self.graph.node)]
        pairs = [self._pair(name, f"{name}.dq", v) for name, v in zip(computed, values, strict=True)]
        position = len(self.graph.node) - 1
        for nodes in reversed(pairs):
            for item in reversed(nodes):
                self.graph.node.insert(position, item)
        self.node = self.graph.node[-1]
        for index, name in enumerate(self.node.input):
            if name in computed:
                self.node.input[index] = f"{name}.dq"

    def _pair(self, name: str, result: str, values: Array) -> list[onnx.NodeProto]:
        """From ``name`` to ``result``, on a scale for ``values``."""
        limits = np.iinfo(self.dtype)
        low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
        self.scale = np.float32((high - low) / 255 or 1)
        zero = self.dtype.type(np.clip(round(limits.min - low / self.scale), limits.min, limits.max))
        form = [self._constant(f"{result}.scale", self.scale), self._constant(f"{result}.zero", zero)]
        quantise = helper.make_node("QuantizeLinear", [name, *form], [f"{result}.codes"])
        return [quantise, helper.make_node("DequantizeLinear", [f"{result}.codes", *form], [result])]

    def _constant(self, name: str, value: Any) -> str:
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def weights(self) -> None:
        """Quantises the constant operands of a layer."""
        if self.node.op_type not in _LAYERS:
            return
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in self.graph.initializer}
        source = self.scale
        for index, kind in ((1, np.dtype(np.int8)), (2, np.dtype(np.int32))):
            name = self.node.input[index] if index < len(self.node.input) else ""
            if name not in constants:
                continue
            scale = source
            if index == 1:
                source = source * (scale := np.float32(np.abs(constants[name]).max() / 127))
            codes = np.rint(constants[name] / scale).astype(kind)
            operands = [self._constant(f"{name}.codes", codes), self._constant(f"{name}.scale", scale)]
            self.graph.node.insert(0, helper.make_node("DequantizeLinear", operands, [f"{name}.dq"]))
            self.node = self.graph.node[-1]
            self.node.input[index] = f"{name}.dq"

    def outputs(self, values: Sequence[Array]) -> None:
        """Quantises the float results, and makes their integers the outputs."""
        del self.graph.output[:]
        for index, name in enumerate(list(self.node.output)):
            if values[index].dtype != np.float32:
                self.node.output[index] = ""
                continue
            self.node.output[index] = f"{name}.real"
            quantise, _ = self._pair(f"{name}.real", name, values[index])
            self.graph.node.append(quantise)
            element = helper.np_dtype_to_tensor_dtype(self.dtype)
            self.graph.output.append(helper.make_tensor_value_info(f"{name}.codes", element, values[index].shape))
            self.node = next(n for n in self.graph.node if f"{name}.real" in n.output)


def _is_float(net: Network) -> bool:
    """Whether the case computes float32 of float32."""
    return all(values.dtype == np.float32 for values in (*net.inputs, *net.outputs[:1])) and bool(net.inputs)


def _is_long(net: Network) -> bool:
    """Whether the reference evaluator, which loops in Python, would take seconds; or there is nothing to compute."""
    sizes = [values.size for values in (*net.inputs, *net.outputs)]
    has_windows = net.model.graph.node[-1].op_type.endswith(("Pool", "Conv"))
    return min(sizes) == 0 or (has_windows and max(sizes) > 5000)


def _dtype(net: Network) -> np.dtype[Any]:
    """int8 or uint8, of which one half of the cases each."""
    return np.dtype((np.int8, np.uint8)[len(net.name) % 2])


def _evaluated(net: Network) -> Network:
    """The network with what the reference evaluator makes of its inputs."""
    from onnx.reference import ReferenceEvaluator

    names = [info.name for info in net.model.graph.input]
    feeds = {name: values[None] for name, values in zip(names, net.inputs, strict=True)}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        results = ReferenceEvaluator(net.model).run(None, feeds)
    return replace(net, outputs=[np.asarray(result) for result in results])
