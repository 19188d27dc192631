"""QDQ networks: float operators between DequantizeLinear and QuantizeLinear, as tf2onnx and onnxruntime write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from htvm_ir.frontends.onnx.graph import Node
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
    convert_tail,
    convert_transpose,
)
from htvm_ir.frontends.onnx.qdq.spatial import convert_average, convert_max_pool, convert_reduce_mean
from htvm_ir.frontends.onnx.quantised.net import QuantisedNet
from htvm_ir.frontends.onnx.quantised.tables import FUNCTIONS

HANDLERS: Mapping[str, Callable[[QuantisedNet, Node], None]] = {
    "QuantizeLinear": convert_quantize,
    "DequantizeLinear": convert_dequantize,
    "Conv": convert_conv,
    "MatMul": convert_matmul,
    "Gemm": convert_gemm,
    "AveragePool": convert_average,
    "GlobalAveragePool": convert_average,
    "ReduceMean": convert_reduce_mean,
    "MaxPool": convert_max_pool,
    "GlobalMaxPool": convert_max_pool,
    "Concat": convert_concat,
    "Pad": convert_pad,
    "Slice": convert_slice,
    "Transpose": convert_transpose,
    "Shape": convert_shape,
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), convert_reshape),
    **dict.fromkeys(("Identity", "Dropout", "Cast"), convert_copy),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), convert_binary),
    **dict.fromkeys(("Relu", "Clip", "Max", "Min"), convert_clip),
    **dict.fromkeys(("Softmax", "LogSoftmax"), convert_tail),
    **dict.fromkeys(FUNCTIONS, convert_function),
}
"""Operators of the standard domain."""
