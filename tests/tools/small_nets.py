"""A network small enough to compile in a moment, and what goes with it."""

from __future__ import annotations

from pathlib import Path

import onnx

from htvm_ir.zoo.builder import NetBuilder

SHAPE = (4, 6, 6)
"""Channels, height and width of the input."""

OUTPUTS = 5


def net() -> onnx.ModelProto:
    """Two convolutions, a residual sum, the mean and a dense layer, with quantised edges."""
    builder = NetBuilder("small", SHAPE, scale=1 / 16)
    a = builder.conv("conv1", builder.input, 16, (3, 3))
    b = builder.conv("conv2", a, 16, (3, 3), relu=False)
    pooled = builder.global_average("pool", builder.add("sum", a, b))
    builder.output(builder.dense("logits", pooled, OUTPUTS, relu=False), 1 / 4)
    return builder.model()


def save(model: onnx.ModelProto, path: Path) -> Path:
    """Write a model; returns the path."""
    path.write_bytes(model.SerializeToString())
    return path
