"""QOperator networks: operators on 8-bit tensors that carry their scales as operands, com.microsoft's included."""

from __future__ import annotations

from collections.abc import Mapping

from htvm_ir.frontends.onnx.operators import Operator
from htvm_ir.frontends.onnx.qdq.boundaries import convert_dequantize, convert_quantize
from htvm_ir.frontends.onnx.qoperator.layers import (
    convert_conv,
    convert_conv_integer,
    convert_gemm,
    convert_matmul,
    convert_matmul_integer,
)
from htvm_ir.frontends.onnx.qoperator.pointwise import (
    convert_average,
    convert_binary,
    convert_concat,
    convert_function,
    convert_reduce_mean,
    convert_softmax,
)
from htvm_ir.frontends.onnx.quantised.net import QuantisedNet

_CONV, _MATRIX, _SUMS = ("conv2d", "requant"), ("dense", "conv2d", "requant"), "; the result holds 32-bit sums"
_WEIGHTS = "constant weights, scales and zero points"

OPERATORS: Mapping[str, Operator[QuantisedNet]] = {
    "QLinearConv": Operator(convert_conv, _CONV, f"1-D or 2-D, any groups; {_WEIGHTS}"),
    "QLinearMatMul": Operator(convert_matmul, _MATRIX, f"with a constant matrix; {_WEIGHTS}"),
    "ConvInteger": Operator(convert_conv_integer, _CONV[:1], f"1-D or 2-D, any groups; {_WEIGHTS}{_SUMS}"),
    "MatMulInteger": Operator(convert_matmul_integer, _MATRIX[:2], f"with a constant matrix; {_WEIGHTS}{_SUMS}"),
}
"""Operators of the standard domain."""

_SCALES = "constant scales and zero points"
_AVERAGE = Operator(convert_average, ("pool", "requant"), f"N, C, (H,) W, channels first; {_SCALES}")
_FUNCTION = Operator(convert_function, ("lookup",), _SCALES)

MICROSOFT: Mapping[str, Operator[QuantisedNet]] = {
    "QGemm": Operator(convert_gemm, _MATRIX, f"with a constant matrix; {_WEIGHTS}; alpha = beta = 1, no transA"),
    "QLinearAdd": Operator(convert_binary, ("add", "requant"), f"one shape; {_SCALES}", computed=(0, 3)),
    "QLinearMul": Operator(convert_binary, ("mul", "requant"), f"one shape; {_SCALES}", computed=(0, 3)),
    "QLinearAveragePool": _AVERAGE,
    "QLinearGlobalAveragePool": _AVERAGE,
    "QLinearReduceMean": Operator(convert_reduce_mean, ("pool", "requant"), f"over H and W of N, C, H, W; {_SCALES}"),
    "QLinearConcat": Operator(convert_concat, ("concat", "requant"), _SCALES, computed=None),
    "QLinearSigmoid": _FUNCTION,
    "QLinearLeakyRelu": _FUNCTION,
    "QLinearSoftmax": Operator(convert_softmax, (), "at the end of the network, left to the caller"),
    "QuantizeLinear": Operator(
        convert_quantize, ("requant", "lookup"), "one constant scale (constants: per axis)", ("float32",)
    ),
    "DequantizeLinear": Operator(convert_dequantize, (), "one constant scale (constants: per axis)"),
}
"""Operators of domain com.microsoft."""
