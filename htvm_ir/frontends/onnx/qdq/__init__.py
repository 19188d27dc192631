"""QDQ networks: float operators between DequantizeLinear and QuantizeLinear, as tf2onnx and onnxruntime write them."""

from __future__ import annotations

from collections.abc import Mapping

from htvm_ir.frontends.onnx.operators import Operator
from htvm_ir.frontends.onnx.qdq.boundaries import convert_dequantize, convert_quantize
from htvm_ir.frontends.onnx.qdq.elementwise import convert_binary, convert_clip, convert_function
from htvm_ir.frontends.onnx.qdq.layers import convert_conv, convert_gemm, convert_matmul
from htvm_ir.frontends.onnx.qdq.moves import (
    convert_concat,
    convert_copy,
    convert_pad,
    convert_reshape,
    convert_shape,
    convert_slice,
    convert_split,
    convert_tail,
    convert_transpose,
)
from htvm_ir.frontends.onnx.qdq.spatial import convert_average, convert_max_pool, convert_reduce_mean
from htvm_ir.frontends.onnx.quantised.net import QuantisedNet
from htvm_ir.frontends.onnx.quantised.tables import FUNCTIONS

_RESHAPE = Operator(convert_reshape, ("reshape",), "shape and axes constant")
_AVERAGE = Operator(convert_average, ("pool", "requant"), "N, C, (H,) W; no dilation")
_MAX = Operator(convert_max_pool, ("pool",), "N, C, (H,) W; no dilation; first result only")
_BOUND = Operator(convert_clip, ("requant",), "of one tensor and constant numbers", computed=None)
_TAIL = Operator(convert_tail, (), "at the end of the network, left to the caller")
_FUNCTION = Operator(convert_function, ("lookup",), "of one 8-bit tensor", since=6)


def _arithmetic(op: str) -> Operator[QuantisedNet]:
    limits = "operands of one shape, or one a constant; a constant behind a layer is its bias or its factor"
    return Operator(convert_binary, (op, "requant"), limits, computed=None, since=7)


OPERATORS: Mapping[str, Operator[QuantisedNet]] = {
    "QuantizeLinear": Operator(
        convert_quantize, ("requant", "lookup"), "one constant scale (constants: per axis)", ("float32",), since=10
    ),
    "DequantizeLinear": Operator(convert_dequantize, (), "one constant scale (constants: per axis)", since=10),
    "Conv": Operator(
        convert_conv, ("conv2d", "requant"), "1-D or 2-D, any groups; weights of 8 bits, per tensor or per channel"
    ),
    "MatMul": Operator(convert_matmul, ("dense", "conv2d", "requant"), "with a constant matrix of 8 bits"),
    "Gemm": Operator(
        convert_gemm,
        ("dense", "conv2d", "requant"),
        "with a constant matrix of 8 bits; alpha = beta = 1, no transA",
        since=7,
    ),
    "AveragePool": _AVERAGE,
    "GlobalAveragePool": Operator(convert_average, ("pool", "requant"), "N, C, (H,) W"),
    "ReduceMean": Operator(convert_reduce_mean, ("pool", "requant"), "over H and W of N, C, H, W"),
    "MaxPool": _MAX,
    "GlobalMaxPool": Operator(convert_max_pool, ("pool",), "N, C, (H,) W"),
    "Concat": Operator(convert_concat, ("concat", "requant"), "on any scales", computed=None),
    "Pad": Operator(convert_pad, ("pad",), "mode constant, with a number that 8 bits hold", since=2),
    "Slice": Operator(convert_slice, ("slice",), "bounds constant, steps positive"),
    "Split": Operator(convert_split, ("slice",), "sizes constant", since=2, has_results=True),
    "Transpose": Operator(convert_transpose, ("transpose",)),
    "Shape": Operator(convert_shape, (), "a constant: every shape is known"),
    "Cast": Operator(convert_copy, (), "of real numbers, to float", since=6),
    "Add": _arithmetic("add"),
    "Sub": _arithmetic("sub"),
    "Mul": _arithmetic("mul"),
    "Div": Operator(
        convert_binary, ("lookup",), "by a constant, or functions of one 8-bit tensor", computed=None, since=7
    ),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _RESHAPE),
    "Identity": Operator(convert_copy, ()),
    "Dropout": Operator(convert_copy, (), "as at inference", since=7),
    "Relu": Operator(convert_clip, ("requant",)),
    "Clip": Operator(convert_clip, ("requant",), "bounds constant numbers"),
    "Max": _BOUND,
    "Min": _BOUND,
    **dict.fromkeys(("Softmax", "LogSoftmax"), _TAIL),
    **dict.fromkeys(FUNCTIONS, _FUNCTION),
}
"""Operators of the standard domain."""
