"""Random networks in DIANA's integer convention, as ONNX models, and random legal plans for their kernels.

Shapes are what the digital core finds awkward: widths and channels that are no multiples of 16, maps of a few columns
in front of strides and 7x7 kernels, asymmetric padding, layers that only the CPU computes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from itertools import product
from math import log2, prod
from typing import Any
from unittest.mock import patch

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from xdsl.dialects.builtin import ModuleOp

from htvm_ir.dialects.accel import CPU, kernels
from htvm_ir.frontends.onnx import import_model
from htvm_ir.passes.mappings import Layouts, constants_cost, variants
from htvm_ir.passes.pipeline import pass_class, run_passes
from htvm_ir.passes.set_target import SetTarget
from htvm_ir.passes.workloads import block_workload, module_target
from htvm_ir.targets import registry
from htvm_ir.targets.diana.target import diana
from htvm_ir.targets.target import Host
from htvm_ir.tiling.problem import Problem

Array = NDArray[Any]
Pads = tuple[int, int, int, int]
Shape = tuple[int, ...]

KERNELS = (1, 1, 3, 3, 5, 7)
MAX_WORK = 150_000
"""Products a layer may need: the CPU kernels and the emulator are slow."""

Plan = dict[str, int | str]
"""Tile sizes in the order of the loops, and ``mapping``, if it is not the usual one."""

MAX_JOBS = 40
"""Tiles a forced plan may have; every one of them is code."""


@dataclass
class RandomNet:
    """A model that grows by layers; ``shapes`` are those of the layers' results, without the batch axis."""

    random: np.random.Generator
    shape: Shape
    nodes: list[onnx.NodeProto] = field(default_factory=list[onnx.NodeProto])
    constants: dict[str, Array] = field(default_factory=dict[str, Array])
    shapes: dict[str, Shape] = field(default_factory=dict[str, Shape])

    def __post_init__(self) -> None:
        self.shapes["x0"] = self.shape
        self._node("Div", ["input", self._constant(1.0)], "input.div")
        self._requant("x0", "input.div", 0, -128)

    def conv(
        self,
        x: str,
        channels: int,
        kernel: tuple[int, int],
        strides: tuple[int, int] = (1, 1),
        pads: Pads = (0, 0, 0, 0),
        *,
        groups: int = 1,
        lo: int = -128,
        hi: int = 127,
    ) -> str:
        """A convolution with noise as weights, shifted so that most results neither saturate nor vanish."""
        c, h, w = self.shapes[x]
        out = [(n + pads[i] + pads[i + 2] - kernel[i]) // strides[i] + 1 for i, n in enumerate((h, w))]
        name = self._next((channels, *out))
        weights = self._weights(name, (channels, c // groups, *kernel))
        options = {"kernel_shape": kernel, "strides": strides, "pads": pads, "group": groups}
        self._node("Conv", [x, *weights], f"{name}.acc", **options)
        return self._requant(name, f"{name}.acc", 6 + round(log2(c // groups * prod(kernel)) / 2), lo, hi)

    def dense(self, x: str, outputs: int, lo: int = -128) -> str:
        """A dense layer on a vector."""
        (inputs,) = self.shapes[x]
        name = self._next((outputs,))
        self._node("Gemm", [x, *self._weights(name, (outputs, inputs))], f"{name}.acc", transB=1)
        return self._requant(name, f"{name}.acc", 6 + round(log2(inputs) / 2), lo)

    def add(self, a: str, b: str, shift: int, lo: int) -> str:
        """A residual sum."""
        name = self._next(self.shapes[a])
        self._node("Add", [a, b], f"{name}.acc")
        return self._requant(name, f"{name}.acc", shift, lo)

    def pool(self, x: str, kind: str, kernel: tuple[int, int], stride: int) -> str:
        """``MaxPool`` or ``AveragePool``."""
        c, h, w = self.shapes[x]
        name = self._next((c, (h - kernel[0]) // stride + 1, (w - kernel[1]) // stride + 1))
        result = name if kind == "MaxPool" else f"{name}.mean"
        self._node(kind, [x], result, kernel_shape=kernel, strides=(stride, stride))
        if kind != "MaxPool":
            self._requant(name, result, 0, -128)
        return name

    def flatten(self, x: str) -> str:
        """A map as a vector."""
        name = self._next((prod(self.shapes[x]),))
        self._node("Flatten", [x], name, axis=1)
        return name

    def model(self, x: str, *, layers: bool = False) -> onnx.ModelProto:
        """The network that ends with ``x``; with ``layers`` every layer's result is an output."""
        nodes = [*self.nodes, helper.make_node("Mul", [x, self._constant(1.0)], ["output"], name="output")]
        outputs = [("output", self.shapes[x]), *(self.shapes.items() if layers else ())]
        infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, *s]) for name, s in outputs]
        graph_input = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, *self.shape])
        initializers = [numpy_helper.from_array(value, name) for name, value in self.constants.items()]
        graph = helper.make_graph(nodes, "random", [graph_input], infos, initializers)
        return helper.make_model(graph, ir_version=7, opset_imports=[helper.make_opsetid("", 13)])

    def _next(self, shape: Iterable[int]) -> str:
        name = f"x{len(self.shapes)}"
        self.shapes[name] = tuple(shape)
        return name

    def _weights(self, name: str, shape: Sequence[int]) -> list[str]:
        self.constants[f"{name}.weight"] = self.random.integers(-100, 101, shape).astype(np.float32)
        self.constants[f"{name}.bias"] = self.random.integers(-9000, 9001, shape[0]).astype(np.float32)
        return [f"{name}.weight", f"{name}.bias"]

    def _requant(self, name: str, source: str, shift: int, lo: int, hi: int = 127) -> str:
        if shift:
            source = self._node("Div", [source, self._constant(2.0**shift)], f"{name}.div")
        source = self._node("Floor", [source], f"{name}.floor")
        source = self._node("Max", [source, self._constant(lo)], f"{name}.max")
        return self._node("Min", [source, self._constant(hi)], name)

    def _constant(self, value: float) -> str:
        self.constants[f"const.{value:g}"] = np.array([value], np.float32)
        return f"const.{value:g}"

    def _node(self, op: str, operands: Sequence[str], result: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, operands, [result], name=result, **attributes))
        return result


@dataclass
class Draw:
    """Adds random layers to a network; a layer that would be too large or empty is drawn again."""

    net: RandomNet
    random: np.random.Generator

    def layer(self, x: str) -> str:
        """One more layer on ``x``."""
        kinds = (self._conv, self._conv, self._depthwise, self._sum, self._pool, self._blocks, self._refused)
        return self._choice(kinds, (6, 2, 3, 3, 1, 1, 1))(x)

    def classifier(self, x: str) -> str:
        """Two dense layers on the whole map, or on its mean."""
        _, h, w = self.net.shapes[x]
        if self.random.integers(2) or prod(self.net.shapes[x]) > 2000:
            x = self.net.pool(x, "AveragePool", (h, w), 1)
        hidden = self.net.dense(self.net.flatten(x), self._upto(40), self._lo())
        return self.net.dense(hidden, self._upto(40))

    def _conv(self, x: str) -> str:
        kernel, stride = self._kernel(x), int(self.random.integers(1, 3))
        c, h, w = self.net.shapes[x]
        limit = max(1, MAX_WORK // (c * prod(kernel) * max(1, h * w // stride**2)))
        channels = min(self._upto(40), limit)
        return self.net.conv(x, channels, kernel, (stride, stride), self._pads(x, kernel), lo=self._lo())

    def _depthwise(self, x: str) -> str:
        c, kernel = self.net.shapes[x][0], self._kernel(x)
        if c == 1:
            return self._conv(x)
        stride = int(self.random.integers(1, 3))
        return self.net.conv(x, c, kernel, (stride, stride), self._pads(x, kernel), groups=c, lo=self._lo())

    def _sum(self, x: str) -> str:
        """A sum with an earlier map of the same shape, else with a convolution of this one."""
        same = [n for n, s in self.net.shapes.items() if s == self.net.shapes[x] and n != x]
        kernel = self._kernel(x, square=True)
        half = kernel[0] // 2
        lo, shift = self._lo(), int(self.random.integers(2))
        if not same:
            c = self.net.shapes[x][0]
            groups = 1 if c * c * prod(kernel) * prod(self.net.shapes[x][1:]) < MAX_WORK else c
            same = [self.net.conv(x, c, kernel, pads=(half, half, half, half), groups=groups)]
        a, b = self.random.permutation([x, str(self.random.choice(same))])
        return self.net.add(str(a), str(b), shift, lo)

    def _pool(self, x: str) -> str:
        _, h, w = self.net.shapes[x]
        kind = str(self.random.choice(["MaxPool", "AveragePool"]))
        return self.net.pool(x, kind, (min(2, h), min(3, w)), int(self.random.integers(1, 3)))

    def _blocks(self, x: str) -> str:
        """10x4 with stride 2, or another kernel the array lacks, which can be rewritten."""
        c, h, w = self.net.shapes[x]
        kernel = self._choice(((10, 4), (2, 2), (4, 3), (1, 6)))
        if c > 8 or h * w < 60:
            return self._conv(x)
        return self.net.conv(x, self._upto(20), kernel, (2, 2), self._pads(x, kernel))

    def _refused(self, x: str) -> str:
        """What the array cannot: a clip of its own, kernels of nine rows, groups, unequal strides."""
        c, h, w = self.net.shapes[x]
        if c * h * w > 1500:
            return self._pool(x)
        which = int(self.random.integers(4))
        if which == 0:
            return self.net.conv(x, 3, (1, 1), hi=100)
        if which == 1:
            return self.net.conv(x, 3, (9, 1), pads=(8, 0, 8, 0))
        if which == 2 and c % 2 == 0 and c > 2:
            return self.net.conv(x, 4, (1, 1), groups=2)
        return self.net.conv(x, 5, (1, 1), (1, 2))

    def _kernel(self, x: str, *, square: bool = False) -> tuple[int, int]:
        """Wider kernels than the map are drawn often: then most of what they read is padding."""
        c, h, w = self.net.shapes[x]
        sizes = [
            k for k in product(KERNELS, KERNELS) if c * h * w * prod(k) < MAX_WORK and (k[0] == k[1] or not square)
        ]
        return self._choice(sizes or [(1, 1)])

    def _pads(self, x: str, kernel: tuple[int, int]) -> Pads:
        """Up to kernel - 1 on each side, and enough for one output."""
        _, h, w = self.net.shapes[x]
        if self.random.integers(2):
            return kernel[0] // 2, kernel[1] // 2, kernel[0] // 2, kernel[1] // 2
        top, left, bottom, right = (int(self.random.integers(0, n)) for n in (*kernel, *kernel))
        return top, left, max(bottom, kernel[0] - h - top), max(right, kernel[1] - w - left)

    def _lo(self) -> int:
        return self._choice((-128, 0))

    def _upto(self, limit: int) -> int:
        """Small numbers and multiples of 16 and their neighbours."""
        near = [n for n in (1, 2, 3, 5, 8, 15, 16, 17, 20, 31, 32, 33, 40) if n <= limit]
        return self._choice(near)

    def _choice(self, options: Sequence[Any], weights: Sequence[int] | None = None) -> Any:
        shares = None if weights is None else np.array(weights) / sum(weights)
        return options[int(self.random.choice(len(options), p=shares))]


def random_network(seed: int, layers: int = 10) -> tuple[RandomNet, str]:
    """A network of some layers, and the name of its result."""
    random = np.random.default_rng(seed)
    shape = (int(random.integers(1, 21)), int(random.integers(2, 25)), int(random.integers(1, 41)))
    net = RandomNet(random, shape)
    draw, x = Draw(net, random), "x0"
    for _ in range(layers):
        x = draw.layer(x)
    return net, draw.classifier(x) if random.integers(2) else x


@dataclass(frozen=True)
class Planned:
    """The tiling problem of one kernel under one mapping, and how to ask it about a plan.

    constants: cycles that the packed constants count for. layouts: of the input and the output.
    """

    problem: Problem
    mapping: str = ""
    constants: float = 0.0
    layouts: Layouts = ()

    def points(self) -> Iterator[dict[str, int]]:
        """Every tile that fits, in indices of the candidates."""
        names = [d.name for d in self.problem.dimensions]
        for indices in product(*(range(len(d.sizes)) for d in self.problem.dimensions)):
            if self.problem.fits(point := dict(zip(names, indices, strict=True))):
                yield point

    def plan(self, point: dict[str, int], order: Sequence[str]) -> Plan:
        """A point as the compiler takes it: the mapping, and sizes in the order of the loops."""
        sizes = {name: self.problem.sizes(point)[name] for name in order}
        return {"mapping": self.mapping, **sizes} if self.mapping else dict(sizes)

    def latency(self, plan: Plan) -> int:
        """Predicted cycles of a plan."""
        sizes = {name: size for name, size in plan.items() if isinstance(size, int)}
        point = {d.name: d.sizes.index(sizes[d.name]) for d in self.problem.dimensions}
        return self.problem.latency(point, tuple(sizes))

    def draw(self, random: np.random.Generator) -> Plan:
        """A legal plan of at most MAX_JOBS tiles, mostly finer than the solver would choose."""
        legal = [point for point in self.points() if self._tiles(point) <= MAX_JOBS]
        order = self.problem.orders[random.integers(len(self.problem.orders))]
        return self.plan(legal[random.integers(len(legal))], order)

    def _tiles(self, point: dict[str, int]) -> int:
        return prod(dimension.counts()[point[dimension.name]] for dimension in self.problem.dimensions)


def slow_cpu(**changes: Any) -> AbstractContextManager[object]:
    """DIANA with a CPU that is never chosen where an engine takes an op: the arrays are what is to be tested.

    changes: to DIANA's parameters.
    """
    slow = replace(diana(**changes), host=Host(per_mac=1000, per_element={"convert_layout": 1, "other": 1000}))
    return patch.object(registry, "load_target", return_value=slow)


def dispatched(model: onnx.ModelProto, **changes: Any) -> ModuleOp:
    """A model on DIANA up to the decision which engine computes what, with a CPU too slow to be chosen.

    changes: to DIANA's parameters.
    """
    names = ("fold-constants", "fold-dead-channels", "fuse-requant", "legalize-convs", "orient-maps", "dispatch")
    with slow_cpu(**changes):
        return run_passes(import_model(model), [SetTarget(), *(pass_class(name)() for name in names)])


def planned(model: onnx.ModelProto) -> dict[str, list[Planned]]:
    """The tiling problems of every kernel on an engine, one for each mapping."""
    module = dispatched(model)
    target = module_target(module)
    found: dict[str, list[Planned]] = {}
    for kernel in kernels(module):
        if kernel.engine_name != CPU:
            engine = target.engine(kernel.engine_name)
            mapped = variants(engine, block_workload(kernel.body.block))
            found[kernel.kernel.data] = [
                Planned(engine.problem(w, target), w.mapping, constants_cost(engine, w, target), engine.layouts(w))
                for w in mapped
            ]
    return found
