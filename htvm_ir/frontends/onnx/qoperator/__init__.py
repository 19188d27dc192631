"""QOperator networks: operators on 8-bit tensors that carry their scales as operands, com.microsoft's included."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from htvm_ir.frontends.onnx.graph import Node
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

HANDLERS: Mapping[str, Callable[[QuantisedNet, Node], None]] = {
    "QLinearConv": convert_conv,
    "QLinearMatMul": convert_matmul,
    "ConvInteger": convert_conv_integer,
    "MatMulInteger": convert_matmul_integer,
}
"""Operators of the standard domain."""

MICROSOFT: Mapping[str, Callable[[QuantisedNet, Node], None]] = {
    "QGemm": convert_gemm,
    "QLinearAdd": convert_binary,
    "QLinearMul": convert_binary,
    "QLinearAveragePool": convert_average,
    "QLinearGlobalAveragePool": convert_average,
    "QLinearReduceMean": convert_reduce_mean,
    "QLinearConcat": convert_concat,
    "QLinearSigmoid": convert_function,
    "QLinearLeakyRelu": convert_function,
    "QLinearSoftmax": convert_softmax,
    "QuantizeLinear": convert_quantize,
    "DequantizeLinear": convert_dequantize,
}
"""Operators of domain com.microsoft."""
