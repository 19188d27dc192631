"""What tells a quantised network from an integer net, at a glance."""

from __future__ import annotations

from htvm_ir.frontends.onnx.graph import Graph

MARKS = frozenset(
    {
        "QuantizeLinear",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "QLinearConv",
        "QLinearMatMul",
        "ConvInteger",
        "MatMulInteger",
    }
)
"""Operators of the standard domain that are made for quantisation."""

MICROSOFT_DOMAIN = "com.microsoft"
"""The domain of others."""

BYTES: tuple[str, ...] = ("INT8", "UINT8")
"""Element types of inputs that a network of typed tensors has."""


def may_be_quantised(graph: Graph) -> bool:
    """Whether a network has any sign of stating its quantisation; no sign: it does not."""
    marked = any(node.op in MARKS or node.domain == MICROSOFT_DOMAIN for node in graph.nodes)
    return marked or all(item.element in BYTES for item in graph.inputs)
