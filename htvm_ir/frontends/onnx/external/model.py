"""The ONNX model of a region, and the operation that calls its kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from xdsl.dialects.builtin import Float32Type, IntegerType, Signedness, TensorType, f32, i8, i32
from xdsl.ir import Attribute, SSAValue

from htvm_ir.dialects.external import ExternalOp
from htvm_ir.dialects.graph import tensor_type
from htvm_ir.errors import HtvmError
from htvm_ir.frontends.onnx.emit import Emitter
from htvm_ir.frontends.onnx.external.kernel import Compiler
from htvm_ir.frontends.onnx.external.regions import Region
from htvm_ir.frontends.onnx.graph import Graph, Node, Shape

if TYPE_CHECKING:
    import onnx

FLOAT, UINT8, INT8, INT32 = 1, 2, 3, 6
"""onnx.TensorProto.DataType of the tensors between kernels."""

_ELEMENTS: Mapping[int, Attribute] = {FLOAT: f32, UINT8: IntegerType(8, Signedness.UNSIGNED), INT8: i8, INT32: i32}

_COSTS = {"Exp": 25, "Erf": 40, "Sigmoid": 30, "Tanh": 35, "Softmax": 35, "LogSoftmax": 60, "Gelu": 45, "Pow": 20}
"""Operations for each element of the result (model choice); 2 for the rest."""


@dataclass(frozen=True)
class Casts:
    """Between tensors that hold integers and the float tensors a region was written for.

    ``inputs``: whether integers that enter become float; ``output``: the type its result becomes, None = it stays.
    """

    inputs: bool = False
    output: int | None = None


def element_number(type_: Attribute) -> int:
    """The ONNX number of an element type."""
    return next(number for number, element in _ELEMENTS.items() if element == type_)


def append_kernel(
    emit: Emitter,
    graph: Graph,
    node: Node,
    region: Region,
    operands: Mapping[str, tuple[SSAValue, Shape]],
    compiler: Compiler,
    casts: Casts | None = None,
) -> SSAValue:
    """The result of a region on ``operands`` by ONNX name.

    Raises:
        HtvmError: the model is beyond the compiler, or its result of a type no tensor between kernels has.
    """
    model, work = _model(graph, region, operands, casts or Casts())
    shape, element = _result(region, model)
    try:
        kernel = compiler(region.symbol, model)
    except HtvmError as error:
        raise HtvmError(f"{region.reason}; {error}") from None
    constants = [
        emit.constant(f"{region.symbol}.{index}", region.symbol, _stored(array))
        for index, array in enumerate(kernel.constants)
    ]
    inputs = [*(value for value, _ in operands.values()), *constants]
    kinds = list(dict.fromkeys(inner.op for inner in region.nodes))
    reason = f"TVM's kernel of {', '.join(kinds)}: {region.reason}"
    op = ExternalOp(
        region.symbol,
        kernel.source,
        inputs,
        [TensorType(element, shape)],
        workspace=kernel.workspace,
        work=work,
        reason=reason,
    )
    return emit.append(node, op, region.output)


def _stored(array: Any) -> Any:
    return array.view(np.int8) if array.dtype == np.bool_ else array


def _model(
    graph: Graph, region: Region, operands: Mapping[str, tuple[SSAValue, Shape]], casts: Casts
) -> tuple[onnx.ModelProto, int]:
    """The inferred model with its types, and how many operations it takes."""
    import onnx
    from onnx import helper, numpy_helper, shape_inference

    inputs: list[onnx.ValueInfoProto] = []
    before: list[onnx.NodeProto] = []
    for index, (name, (value, shape)) in enumerate(operands.items()):
        number = element_number(tensor_type(value).element_type)
        entered = name
        if casts.inputs and number != FLOAT:
            entered = f"htvm_input_{index}"
            before.append(helper.make_node("Cast", [entered], [name], to=FLOAT))
        inputs.append(helper.make_tensor_value_info(entered, number, shape))
    after: list[onnx.NodeProto] = []
    output = region.output
    if casts.output is not None:
        output = "htvm_output"
        after.append(helper.make_node("Cast", [region.output], [output], to=casts.output))
    used = dict.fromkeys(name for node in region.nodes for name in node.inputs if name in graph.constants)
    weights = [numpy_helper.from_array(np.ascontiguousarray(graph.constants[name]), name) for name in used]
    result = onnx.ValueInfoProto(name=output)
    nodes = [*before, *(node.proto for node in region.nodes), *after]
    opsets = [helper.make_opsetid(domain, version) for domain, version in graph.opsets.items()]
    model = helper.make_model(helper.make_graph(nodes, region.symbol, inputs, [result], weights), opset_imports=opsets)
    try:
        inferred = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception as error:  # onnx raises its own InferenceError, RuntimeError and others
        raise HtvmError(f"{region.reason}; onnx finds no shapes: {' '.join(str(error).split())[:160]}") from None
    return inferred, _work(inferred)


def _result(region: Region, model: onnx.ModelProto) -> tuple[Shape, Attribute]:
    """Shape and element type of the result."""
    kind = model.graph.output[0].type.tensor_type
    shape = tuple(int(d.dim_value) for d in kind.shape.dim)
    if not kind.HasField("shape") or 0 in shape:
        raise HtvmError(f"{region.reason}; the shape of '{region.output}' is not known before it runs")
    if kind.elem_type not in _ELEMENTS:
        stored = "tensors between kernels hold float32, int8, uint8 or int32"
        raise HtvmError(f"{region.reason}; '{region.output}' has another type: {stored}")
    return shape, _ELEMENTS[kind.elem_type]


def _work(model: onnx.ModelProto) -> int:
    """Arithmetic operations, roughly."""
    known = (*model.graph.value_info, *model.graph.output, *model.graph.input)
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in known}
    shapes |= {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    total = 0
    for node in model.graph.node:
        elements = prod(shapes.get(node.output[0], [1]))
        each = _COSTS.get(node.op_type, 2)
        if node.op_type == "Conv":
            each = 2 * prod(shapes.get(node.input[1], [1])[1:])
        elif node.op_type in ("MatMul", "Gemm"):
            each = 2 * shapes.get(node.input[0], [1])[-1]
        elif node.op_type == "LayerNormalization":
            each = 12
        total += elements * each
    return max(1, total)


def is_float(value: SSAValue) -> bool:
    """Whether a tensor holds real numbers."""
    return isinstance(tensor_type(value).element_type, Float32Type)
