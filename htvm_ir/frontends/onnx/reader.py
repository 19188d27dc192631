"""Reads an ONNX model into the graph view and checks what does not depend on a convention."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from htvm_ir.errors import HtvmError
from htvm_ir.frontends.onnx.folding import fold
from htvm_ir.frontends.onnx.graph import (
    LARGEST_TENSOR,
    Array,
    Declared,
    Graph,
    Input,
    Node,
    live_nodes,
    sort_nodes,
)

if TYPE_CHECKING:
    import onnx


def read_graph(source: Path | onnx.ModelProto, name: str | None = None) -> Graph:
    """The graph of a model file or of a model in memory; the batch of its inputs is set to 1.

    ``name`` replaces the model's name (the stem of the file, or the graph's own). Raises HtvmError
    for anything that is not a sound model.
    """
    if isinstance(source, Path):
        model, folder, own = _parse(source), source.parent, source.stem
    else:
        model, folder, own = source, None, source.graph.name
    try:
        opsets = {_domain(entry.domain): entry.version for entry in model.opset_import}
        return _Reader(folder, opsets).graph(model.graph, name or own or "model")
    except UnicodeDecodeError:
        raise HtvmError("not a readable ONNX model: a name is not UTF-8") from None


def _parse(path: Path) -> onnx.ModelProto:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise HtvmError("no such file") from None
    except IsADirectoryError:
        raise HtvmError("is a directory; name the .onnx file in it") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise HtvmError(f"cannot be read: {reason}") from None
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, UnicodeDecodeError):
        raise HtvmError("not an ONNX model, or a truncated one") from None
    if not model.HasField("graph") or not model.HasField("ir_version"):
        raise HtvmError("not an ONNX model: it holds no graph")
    return model


class _Reader:
    """Turns a GraphProto into the view; ``folder`` is where external data lies, if anywhere."""

    def __init__(self, folder: Path | None, opsets: dict[str, int]) -> None:
        self._folder, self._opsets = folder, opsets

    def graph(self, proto: onnx.GraphProto, name: str) -> Graph:
        outputs = [output.name for output in proto.output]
        if not outputs or not proto.node:
            raise HtvmError("the graph has no outputs or no nodes")
        if proto.sparse_initializer:
            raise HtvmError("sparse initializers are not supported; store the weights densely")
        constants = {tensor.name: self._array(tensor) for tensor in proto.initializer}
        inputs = [_input(value) for value in proto.input if value.name not in constants]
        if len({value.name for value in inputs}) < len(inputs):
            raise HtvmError("two inputs of the graph have one name")
        given = constants.keys() | {value.name for value in inputs}
        nodes = sort_nodes([self._node(node) for node in proto.node], given.__contains__)
        made = {result for node in nodes for result in node.outputs}
        for output in outputs:
            if output not in made:
                raise HtvmError(f"output '{output}': no node produces it")
        computed = _fold_constants(nodes, constants)
        return Graph(
            name,
            inputs,
            outputs,
            live_nodes(computed, outputs),
            constants,
            {value.name: _declared(value) for value in (*proto.value_info, *proto.output)},
            self._opsets,
        )

    def _node(self, proto: onnx.NodeProto) -> Node:
        attributes = {a.name: value for a in proto.attribute if (value := self._value(a)) is not None}
        return Node(
            proto.op_type, _domain(proto.domain), proto.name, tuple(proto.input), tuple(proto.output), attributes, proto
        )

    def _value(self, proto: onnx.AttributeProto) -> Any:
        """An attribute as a plain value; ``None`` for kinds no supported operator has."""
        kinds = type(proto)
        match proto.type:
            case kinds.INT:
                return proto.i
            case kinds.FLOAT:
                return proto.f
            case kinds.STRING:
                return proto.s.decode("utf-8", "replace")
            case kinds.INTS:
                return tuple(proto.ints)
            case kinds.FLOATS:
                return tuple(proto.floats)
            case kinds.TENSOR:
                return self._array(proto.t)
            case _:
                return None

    def _array(self, tensor: onnx.TensorProto) -> Array:
        from onnx import numpy_helper

        if tensor.data_location == type(tensor).EXTERNAL:
            self._load_external(tensor)
        try:
            array = numpy_helper.to_array(tensor)
        except Exception as error:  # the helper raises whatever a damaged tensor provokes
            reason = str(error).split("\n")[0]
            raise HtvmError(f"constant '{tensor.name}' is damaged: {reason}") from None
        if array.dtype.kind not in "biuf":
            raise HtvmError(f"constant '{tensor.name}' holds {array.dtype}, not numbers")
        return array

    def _load_external(self, tensor: onnx.TensorProto) -> None:
        from onnx.external_data_helper import load_external_data_for_tensor

        if self._folder is None:
            raise HtvmError(f"constant '{tensor.name}' lies in an external file; load the model with its data")
        try:
            load_external_data_for_tensor(tensor, str(self._folder))
        except Exception as error:  # onnx raises its own, OSError, ValueError and more
            reason = str(error).split("\n")[0]
            raise HtvmError(f"constant '{tensor.name}': its external data cannot be read: {reason}") from None


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def _fold_constants(nodes: list[Node], constants: dict[str, Array]) -> list[Node]:
    """Adds what the sorted nodes compute from constants alone; returns the other nodes."""
    rest: list[Node] = []
    for node in nodes:
        operands = [constants.get(name) for name in node.inputs if name]
        known = [operand for operand in operands if operand is not None]
        result = fold(node, known) if len(known) == len(operands) else None
        if result is None:
            rest.append(node)
        else:
            constants[node.output] = result
    return rest


def _declared(value: onnx.ValueInfoProto) -> Declared | None:
    """The shape a value declares, ``None`` if it declares none."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return tuple(d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim)


def _input(value: onnx.ValueInfoProto) -> Input:
    from onnx import TensorProto

    where = f"input '{value.name}'"
    shape = _declared(value)
    if not shape:
        raise HtvmError(f"{where} has no shape; export the model with a fixed input shape")
    batch, *rest = shape
    if batch not in (None, 1) and len(shape) > 1:
        raise HtvmError(f"{where} has batch {batch}; export the model with batch 1")
    sizes = [batch if batch is not None else 1]
    for axis, size in enumerate(rest, 1):
        if size is None:
            raise HtvmError(f"{where} has no fixed size in axis {axis}; only the batch may be free")
        sizes.append(size)
    if min(sizes) < 1 or prod(sizes) > LARGEST_TENSOR:
        raise HtvmError(f"{where} has shape {sizes}; sizes must be positive and fit 32 bits")
    try:
        element = TensorProto.DataType.Name(value.type.tensor_type.elem_type)
    except ValueError:
        raise HtvmError(f"{where} has an unknown element type") from None
    return Input(value.name, tuple(sizes), element)
