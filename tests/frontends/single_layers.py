"""A quantised model cut into its layers: from 8-bit tensors to the next one, each a model of its own."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import helper
from qdq_models import Array, reference

_TAILS = {"Softmax", "QLinearSoftmax"}


@dataclass(frozen=True)
class Layer:
    """``model`` computes ``expected`` (onnxruntime's) from ``inputs``; ``kinds`` are its operators."""

    model: onnx.ModelProto
    inputs: list[Array]
    expected: Array
    kinds: frozenset[str]


def layers(path: Path, x: Array) -> Iterator[Layer]:
    """The layers of a model, with onnxruntime's tensors for input ``x``."""
    model = onnx.load(path)
    constants = {tensor.name for tensor in model.graph.initializer}
    ends = [n.output[0] for n in model.graph.node if _quantises(n) and n.input[0] not in constants]
    values = _tensors(model, x, ends)
    for end in ends:
        nodes = _cone(model, end, values)
        read = {name for node in nodes for name in node.input}
        sources = sorted(read & (values.keys() - {end}))
        kinds = frozenset(node.op_type for node in nodes)
        if not kinds & _TAILS:
            inputs = [values[name] for name in sources]
            yield Layer(_model(model, nodes, dict(zip(sources, inputs, strict=True)), end), inputs, values[end], kinds)


def _quantises(node: onnx.NodeProto) -> bool:
    return node.op_type == "QuantizeLinear" or node.op_type.startswith(("QLinear", "QGemm"))


def _tensors(model: onnx.ModelProto, x: Array, names: list[str]) -> dict[str, Array]:
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    given = model.graph.input[0].name
    return {given: x, **dict(zip(names, reference(watched, {given: x}), strict=True))}


def _cone(model: onnx.ModelProto, end: str, known: Container[str]) -> list[onnx.NodeProto]:
    """The nodes that compute ``end`` from known tensors, in order."""
    wanted, nodes = {end}, list[onnx.NodeProto]()
    for node in reversed(model.graph.node):
        if wanted & set(node.output):
            nodes.insert(0, node)
            wanted.update(name for name in node.input if name not in known)
    return nodes


def _model(model: onnx.ModelProto, nodes: list[onnx.NodeProto], sources: dict[str, Array], end: str) -> onnx.ModelProto:
    read = {name for node in nodes for name in node.input}
    kind = helper.np_dtype_to_tensor_dtype
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info(name, kind(array.dtype), array.shape) for name, array in sources.items()],
        [helper.make_empty_tensor_value_info(end)],
        [tensor for tensor in model.graph.initializer if tensor.name in read],
    )
    return helper.make_model(graph, ir_version=8, opset_imports=model.opset_import)
