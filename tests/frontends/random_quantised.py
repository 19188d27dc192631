"""Random networks in the QDQ and QOperator conventions: stages between 8-bit tensors, chained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from qdq_models import Network

MICROSOFT = {"domain": "com.microsoft"}


@dataclass(frozen=True)
class Tensor:
    """An 8-bit tensor NAME with the constants NAME.s and NAME.z; ``spread`` is the size of its typical number."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero: int

    @property
    def spread(self) -> float:
        return 60 * self.scale


class Builder:
    """Appends stages to ``net``; ``draw`` chooses."""

    def __init__(self, draw: st.DrawFn, operators: bool) -> None:
        self.draw, self.operators = draw, operators
        self.count = 0
        dtype = draw(st.sampled_from(["int8", "uint8"]))
        shape = (1, draw(st.sampled_from([2, 3, 8])), draw(st.integers(5, 9)), draw(st.integers(5, 9)))
        self.net = Network(shape, dtype)
        self.last = self.tensor("x", shape, draw(st.floats(0.01, 0.1)), dtype)
        self.net.op("DequantizeLinear", "x x.s x.z", "x.f")

    def tensor(self, name: str, shape: tuple[int, ...], scale: float, dtype: str = "") -> Tensor:
        dtype = dtype or (self.last.dtype if self.operators else self.draw(st.sampled_from(["int8", "uint8"])))
        limits = np.iinfo(dtype)
        zero = self.draw(st.sampled_from([0, 3, (limits.min + limits.max) // 2 + 9]))
        self.net.format(name, scale, zero, dtype)
        return Tensor(name, shape, dtype, float(np.float32(scale)), zero)

    def steps(self) -> float:
        """Steps of a typical number; no ratio of scales is a small fraction, whose ties float32 decides by noise."""
        return self.draw(st.integers(30, 90)) + 0.3719

    def name(self) -> str:
        self.count += 1
        return f"t{self.count}"

    def end(self, source: str, name: str, shape: tuple[int, ...], spread: float) -> None:
        """QuantizeLinear(source), on a scale that suits ``spread``."""
        self.last = self.tensor(name, shape, spread / self.steps())
        self.net.op("QuantizeLinear", f"{source} {name}.s {name}.z", name)
        self.net.op("DequantizeLinear", f"{name} {name}.s {name}.z", f"{name}.f")

    def operator(self, kind: str, name: str, tail: str = "", spread: float = 1.0, **attributes: object) -> None:
        """A com.microsoft operator from the last tensor to the next one of the same shape."""
        x = self.last
        self.last = self.tensor(name, x.shape, spread / self.steps())
        operands = f"{x.name} {x.name}.s {x.name}.z{tail} {name}.s {name}.z"
        self.net.op(kind, operands, name, **MICROSOFT, **attributes)
        self.net.op("DequantizeLinear", f"{name} {name}.s {name}.z", f"{name}.f")

    def weights(self, name: str, shape: tuple[int, ...], axis: int) -> float:
        """Int8 weights on a scale for each index of ``axis``; returns the largest scale."""
        scale = np.linspace(0.002, 0.006, shape[axis])
        seed = self.draw(st.integers(0, 99))
        # 7 bits: onnxruntime's kernels for uint8 times int8 saturate in 16 bits on processors without VNNI
        values = np.random.default_rng(seed).integers(-63, 64, shape)
        self.net.constant(f"{name}w", values, "int8").dequantize(f"{name}w", scale, axis=axis)
        bias = np.random.default_rng(seed).integers(-900, 900, shape[axis])
        self.net.constant(f"{name}b", bias, "int32")
        self.net.format(f"{name}b", scale.astype(np.float32) * np.float32(self.last.scale), 0, "int32")
        self.net.op("DequantizeLinear", f"{name}b {name}b.s {name}b.z", f"{name}b.f", axis=0)
        return 0.006


def conv(build: Builder) -> None:
    """A convolution with random geometry."""
    draw, x, name = build.draw, build.last, build.name()
    groups = x.shape[1] if draw(st.booleans()) else 1
    channels = x.shape[1] if groups > 1 else draw(st.sampled_from([1, 4, 5]))
    kernel = [draw(st.integers(1, min(3, x.shape[2 + i]))) for i in range(2)]
    pads = [draw(st.integers(0, kernel[i % 2] - 1)) for i in range(4)]
    strides = [draw(st.integers(1, 2)) for _ in range(2)]
    scale = build.weights(name, (channels, x.shape[1] // groups, *kernel), 0)
    size = [(x.shape[2 + i] + pads[i] + pads[2 + i] - kernel[i]) // strides[i] + 1 for i in range(2)]
    spread = scale * 40 * x.spread * np.sqrt(np.prod(kernel) * x.shape[1] / groups)
    attributes = {"pads": pads, "strides": strides, "group": groups}
    shape = (1, channels, *size)
    if build.operators:
        build.last = build.tensor(name, shape, spread / build.steps())
        operands = f"{x.name} {x.name}.s {x.name}.z {name}w {name}w.s {name}w.z {name}.s {name}.z {name}b"
        build.net.op("QLinearConv", operands, name, **attributes)
        build.net.op("DequantizeLinear", f"{name} {name}.s {name}.z", f"{name}.f")
        return
    build.net.op("Conv", f"{x.name}.f {name}w.f {name}b.f", f"{name}c", **attributes)
    if draw(st.booleans()):
        build.net.op("Relu", f"{name}c", f"{name}r")
        build.end(f"{name}r", name, shape, spread)
    else:
        build.end(f"{name}c", name, shape, spread)


def pool(build: Builder) -> None:
    """A maximum or an average over windows."""
    draw, x, name = build.draw, build.last, build.name()
    kind = draw(st.sampled_from(["MaxPool", "AveragePool"]))
    kernel = [draw(st.integers(1, min(3, x.shape[2 + i]))) for i in range(2)]
    strides = [draw(st.integers(1, 2)) for _ in range(2)]
    size = [(x.shape[2 + i] - kernel[i]) // strides[i] + 1 for i in range(2)]
    build.net.op(kind, f"{x.name}.f", f"{name}p", kernel_shape=kernel, strides=strides)
    build.end(f"{name}p", name, (*x.shape[:2], *size), x.spread)


def function(build: Builder) -> None:
    """A table."""
    x, name = build.last, build.name()
    kind = build.draw(st.sampled_from(["Sigmoid", "LeakyRelu"] if build.operators else ["Tanh", "Elu", "HardSigmoid"]))
    spread = x.spread if kind in ("LeakyRelu", "Elu") else 1.0
    if build.operators:
        build.operator(f"QLinear{kind}", name, spread=spread)
    else:
        build.net.op(kind, f"{x.name}.f", f"{name}p")
        build.end(f"{name}p", name, x.shape, spread)


def binary(build: Builder) -> None:
    """The tensor and a function of it, added, subtracted or multiplied."""
    draw, x = build.draw, build.last
    function(build)
    y, name = build.last, build.name()
    kind = draw(st.sampled_from(["Add", "Mul"] if build.operators else ["Add", "Sub", "Mul"]))
    spread = max(x.spread, y.spread) if kind != "Mul" else x.spread * y.spread
    if build.operators:
        build.operator(f"QLinear{kind}", name, f" {x.name} {x.name}.s {x.name}.z", spread)
    else:
        build.net.op(kind, f"{x.name}.f {y.name}.f", f"{name}p")
        build.end(f"{name}p", name, x.shape, spread)


def concat(build: Builder) -> None:
    """The tensor and a function of it, side by side."""
    x = build.last
    function(build)
    y, name = build.last, build.name()
    axis = build.draw(st.integers(1, 3))
    shape = tuple(2 * n if i == axis else n for i, n in enumerate(x.shape))
    build.net.op("Concat", f"{y.name}.f {x.name}.f", f"{name}p", axis=axis)
    build.end(f"{name}p", name, shape, max(x.spread, y.spread))


def move(build: Builder) -> None:
    """Padded, sliced or transposed, then quantised again."""
    draw, x, name = build.draw, build.last, build.name()
    kind = draw(st.sampled_from(["Pad", "Slice", "Transpose"]))
    shape = list(x.shape)
    if kind == "Pad":
        before, after = draw(st.integers(0, 2)), draw(st.integers(0, 2))
        build.net.constant(f"{name}a", [0, 0, before, 0, 0, 0, after, 1], "int64")
        build.net.op(kind, f"{x.name}.f {name}a", f"{name}p")
        shape = [1, shape[1], shape[2] + before + after, shape[3] + 1]
    elif kind == "Slice":
        build.net.constant(f"{name}a", [1], "int64").constant(f"{name}e", [99], "int64")
        build.net.constant(f"{name}x", [draw(st.sampled_from([a for a in (1, 2, 3) if shape[a] > 1] or [0]))], "int64")
        axis = int(build.net.constants[f"{name}x"][0])
        build.net.constants[f"{name}a"][0] = min(1, shape[axis] - 1)
        build.net.op(kind, f"{x.name}.f {name}a {name}e {name}x", f"{name}p")
        shape[axis] -= min(1, shape[axis] - 1)
    else:
        build.net.op(kind, f"{x.name}.f", f"{name}p", perm=[0, 2, 3, 1])
        shape = [1, shape[2], shape[3], shape[1]]
    build.end(f"{name}p", name, tuple(shape), x.spread)


STAGES: dict[str, Callable[[Builder], None]] = {
    "conv": conv,
    "pool": pool,
    "function": function,
    "binary": binary,
    "concat": concat,
    "move": move,
}


def classifier(build: Builder) -> None:
    """Flattened, then a dense layer, with QGemm or MatMul and Add."""
    x, name = build.last, build.name()
    features = int(np.prod(x.shape))
    spread = 0.006 * 40 * x.spread * np.sqrt(features)
    if build.operators:
        build.net.op("Flatten", x.name, f"{name}v")
        scale = build.weights(name, (features, 5), 1)
        build.last = build.tensor(name, (1, 5), spread / build.steps())
        operands = f"{name}v {x.name}.s {x.name}.z {name}w {name}w.s {name}w.z {name}b {name}.s {name}.z"
        build.net.op("QGemm", operands, name, **MICROSOFT)
        assert scale > 0
    else:
        build.net.op("Flatten", f"{x.name}.f", f"{name}v")
        build.weights(name, (features, 5), 1)
        build.net.op("MatMul", f"{name}v {name}w.f", f"{name}m").op("Add", f"{name}m {name}b.f", f"{name}p")
        build.end(f"{name}p", name, (1, 5), spread)


@st.composite
def single_stages(draw: st.DrawFn, kind: str, operators: bool) -> tuple[Network, Tensor]:
    """A network of one stage and its output."""
    build = Builder(draw, operators)
    {**STAGES, "classifier": classifier}[kind](build)
    return build.net, build.last


@st.composite
def chains(draw: st.DrawFn, operators: bool) -> tuple[Network, Tensor]:
    """Three stages and a classifier."""
    build = Builder(draw, operators)
    for kind in draw(st.lists(st.sampled_from(sorted(STAGES)), min_size=3, max_size=3)):
        STAGES[kind](build)
    classifier(build)
    return build.net, build.last
