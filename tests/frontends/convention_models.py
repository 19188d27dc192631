"""Random networks as NEMO, QuantLab and Deeploy write them, small enough that float32 is exact."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx_models import Array, model, node

Shape = tuple[int, ...]
INT64, FLOAT = TensorProto.INT64, TensorProto.FLOAT


@dataclass
class Net:
    """A network under construction; ``shapes`` and greatest magnitudes of its tensors by name."""

    random: np.random.Generator
    nodes: list[onnx.NodeProto] = field(default_factory=list[onnx.NodeProto])
    constants: dict[str, Array] = field(default_factory=dict[str, Array])
    shapes: dict[str, Shape] = field(default_factory=dict[str, Shape])
    reach: dict[str, int] = field(default_factory=dict[str, int])

    def constant(self, array: Array | float) -> str:
        name = f"k{len(self.constants)}"
        self.constants[name] = np.asarray(array)
        return name

    def op(self, kind: str, *inputs: str, shape: Shape | None = None, **attributes: object) -> str:
        """A node's result, of the shape of its first operand that has one."""
        name = f"t{len(self.nodes)}"
        self.nodes.append(node(kind, " ".join(inputs), name, **attributes))
        self.shapes[name] = shape or next(self.shapes[i] for i in inputs if i in self.shapes)
        return name

    def conv(self, x: str, **attributes: object) -> str:
        """A convolution with weights of -4 to 4."""
        _, channels, height, width = self.shapes[x]
        count, size, stride = (int(v) for v in self.random.integers([1, 1, 1], [5, 4, 3]))
        weights = self.random.integers(-4, 5, (count, channels, size, size)).astype(np.float32)
        pads, strides = [size // 2] * 4, [stride] * 2
        sides = ((n + 2 * (size // 2) - size) // stride + 1 for n in (height, width))
        name = self.op(
            "Conv", x, self.constant(weights), shape=(1, count, *sides), pads=pads, strides=strides, **attributes
        )
        self.reach[name] = self.reach[x] * 4 * prod(weights.shape[1:])
        return name

    def factors(self, x: str, least: int) -> tuple[Array, Array]:
        """A multiplier and an addend for each channel that keep everything below 2**23."""
        count, limit = self.shapes[x][1], max(1, min(300, 2**22 // self.reach[x]))
        mul = self.random.integers(least * limit, limit, count, endpoint=True)
        mul[mul == 0] = 1
        return mul, self.random.integers(-(2**21), 2**21, count)

    def pooled(self, x: str) -> str:
        _, channels, height, width = self.shapes[x]
        if min(height, width) < 2 or self.random.integers(2):
            return x
        name = self.op("MaxPool", x, shape=(1, channels, height // 2, width // 2), kernel_shape=[2, 2], strides=[2, 2])
        self.reach[name] = self.reach[x]
        return name

    def model(self, outputs: list[str], *inputs: str) -> onnx.ModelProto:
        shapes = {name: self.shapes[name] for name in inputs}
        return model(self.nodes, self.constants, inputs=shapes, outputs=outputs)


def new_net(seed: int, reach: int, *inputs: str) -> Net:
    net = Net(np.random.default_rng(seed))
    size = (1, *(int(v) for v in net.random.integers([1, 3, 3], [4, 9, 9])))
    for name in inputs:
        net.shapes[name], net.reach[name] = size, reach
    return net


def nemo_layer(net: Net, x: str) -> str:
    """``Conv -> Mul(kappa) -> Add(lambda) -> Cast -> Mul -> Div -> Cast -> Clip``, the division in 64-bit integers."""
    acc = net.conv(x)
    kappa, offset = net.factors(acc, 0)
    column = (1, -1, 1, 1)
    scaled = net.op("Mul", net.constant(kappa.reshape(column).astype(np.float32)), acc)
    moved = net.op("Add", scaled, net.constant(offset.reshape(column).astype(np.float32)))
    factor, divisor = int(net.random.integers(1, 60)), int(net.random.choice([2**18, 2**21, 2**20 - 1, 300_007]))
    product = net.op("Mul", net.op("Cast", moved, to=INT64), net.constant(np.array([factor])))
    quotient = net.op("Div", product, net.constant(np.array(divisor)))
    whole = net.op("Cast", quotient, to=INT64) if net.random.integers(2) else quotient
    result = net.op("Clip", net.op("Cast", whole, to=FLOAT), net.constant(0.0), net.constant(255.0))
    net.reach[result] = 255
    return result


def nemo(seed: int) -> onnx.ModelProto:
    """Layers, a residual sum on a common scale, a dense layer with a sigmoid, and each of its outputs alone."""
    net = new_net(seed, 255, "x")
    x = net.pooled(nemo_layer(net, "x"))
    for _ in range(int(net.random.integers(2))):
        x = net.pooled(nemo_layer(net, x))
    factors = [net.op("Mul", x, net.constant(float(f))) for f in net.random.integers(1, 40, 2)]
    total = net.op("Floor", net.op("Div", net.op("Add", *factors), net.constant(16.0)))
    flat = net.op("Flatten", total, shape=(1, prod(net.shapes[total])))
    weights = net.random.integers(-9, 10, (net.shapes[flat][1], 3)).astype(np.float32)
    dense = net.op("MatMul", flat, net.constant(weights), shape=(1, 3))
    picked = [
        net.op("Unsqueeze", net.op("Gather", dense, net.constant(np.array(i)), axis=1), net.constant(np.array([1])))
        for i in range(3)
    ]
    return net.model([*picked, net.op("Sigmoid", dense)], "x")


def quantlab(seed: int) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """Two inputs, two outputs, ``Conv -> Mul -> Add -> Div -> Floor -> Clip``; with its own attributes, and without."""
    net = new_net(seed, 128, "x", "z")

    def layer(x: str) -> str:
        acc = net.conv(x, weight_bits=2, bias_bits=32)
        mul, add = (p.reshape(-1, 1, 1).astype(np.float32) for p in net.factors(acc, -1))
        moved = net.op("Add", net.op("Mul", acc, net.constant(mul)), net.constant(add))
        divided = net.op("Div", moved, net.constant(float(2 ** net.random.integers(8, 20))))
        low, high = [(0.0, 3.0), (0.0, 255.0), (-128.0, 127.0), (-2.0, 1.0)][net.random.integers(4)]
        result = net.op("Clip", net.op("Floor", divided), net.constant(low), net.constant(high))
        net.reach[result] = 255
        return result

    total = net.op("Add", "x", "z")
    net.reach[total] = 256
    proto = net.model([net.pooled(layer(total)), net.pooled(layer("z"))], "x", "z")
    plain = onnx.ModelProto()
    plain.CopyFrom(proto)
    for item in plain.graph.node:
        kept = [a for a in item.attribute if not a.name.endswith("_bits")]
        del item.attribute[:]
        item.attribute.extend(kept)
    return proto, plain


@dataclass(frozen=True)
class Shift:
    """The parameters of a RequantShift."""

    mul: Array
    add: Array
    divisor: int
    levels: int
    signed: bool

    def apply(self, x: Array) -> Array:
        """``clip(floor((x * mul + add + div / 2) / div), lo, hi)`` in Python's integers, on [1, C, ...]."""
        column = (1, -1, *(1 for _ in x.shape[2:]))
        mul, add = (p.astype(object).reshape(column) for p in (self.mul, self.add))
        result = (2 * (x.astype(object) * mul + add) + self.divisor) // (2 * self.divisor)
        low = -(self.levels // 2) if self.signed else 0
        return np.clip(result, low, low + self.levels - 1).astype(np.int64)


def requant_shift(seed: int) -> tuple[onnx.ModelProto, Array, Shift]:
    """A convolution (its weights) and a RequantShift in one of its dialects."""
    random = np.random.default_rng(seed)
    weights = random.integers(-128, 128, (3, 2, 3, 3))
    channels, divisor = int(random.choice([1, 3])), int(random.choice([2**8, 2**24, 3**9, 1]))
    mul = random.integers(-(2**20), 2**20, channels)
    add = random.integers(-(2**30), 2**30, channels)
    shift = Shift(mul, add, divisor, int(random.choice([4, 256])), bool(random.integers(2)))
    as_tensor = helper.make_tensor("", TensorProto.INT32, [1], [shift.levels])
    levels = {"n_levels": shift.levels} if random.integers(2) else {"n_levels_out": as_tensor}
    signed = {} if shift.signed and random.integers(2) else {"signed": int(shift.signed)}
    domain = ["", "PACTOps", "deeploy"][random.integers(3)]
    div = float(divisor) if random.integers(2) else divisor
    flat = (
        {"m": mul, "a": add} if random.integers(2) else {"m": mul.reshape(1, -1, 1, 1), "a": add.reshape(1, -1, 1, 1)}
    )
    nodes = [
        node("Conv", "x w", "c", pads=[1, 1, 1, 1]),
        node("RequantShift", "c m a", "y", domain=domain, div=div, **levels, **signed),
    ]
    constants = {"w": weights.astype(np.float32), **{name: p.astype(np.float32) for name, p in flat.items()}}
    return model(nodes, constants), weights, shift
