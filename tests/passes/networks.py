"""Small integer networks for the tests of the passes, and targets so small that their tiling is not trivial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import log2, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.context import Context
from xdsl.dialects.builtin import IntegerType, ModuleOp, StringAttr, TensorType, i8
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.parser import Parser
from xdsl.passes import ModulePass
from xdsl.universe import Universe
from xdsl.utils.comparisons import signed_value_range

from htvm_ir.dialects import graph
from htvm_ir.passes.fold_constants import constant
from htvm_ir.passes.set_target import SetTarget
from htvm_ir.targets.diana.digital import Digital
from htvm_ir.targets.diana.parameters import DIANA
from htvm_ir.targets.diana.target import diana
from htvm_ir.targets.target import Target
from htvm_ir.targets.workload import Workload
from htvm_ir.tiling.problem import Problem

Array = NDArray[Any]


class Net:
    """Builds ``@main`` op by op; weights, biases and inputs are reproducible noise.

    Accumulators are shifted so that most results neither saturate nor vanish.
    """

    def __init__(self, *shapes: Sequence[int], seed: int = 0):
        self.random = np.random.default_rng(seed)
        self.shapes = shapes
        self.block = Block(arg_types=[TensorType(i8, shape) for shape in shapes])
        self.arguments = list(self.block.args)
        self.count = 0

    def emit(self, op: Operation) -> SSAValue:
        """Append an op under a name of its own."""
        op.attributes[graph.NAME] = StringAttr(f"t{self.count}")
        self.count += 1
        self.block.add_op(op)
        return op.results[0]

    def noise(self, shape: Sequence[int], limit: int, dtype: str = "int8") -> Array:
        return self.random.integers(-limit, limit + 1, tuple(shape)).astype(dtype)

    def constant(self, array: Array) -> SSAValue:
        op = constant(array)
        self.block.add_op(op)
        return op.result

    def requant(
        self, x: SSAValue, shift: int | Sequence[int], lo: int = -128, element: Attribute = i8, **options: Any
    ) -> SSAValue:
        shifts = (shift,) if isinstance(shift, int) else shift
        return self.emit(graph.RequantOp(x, element, shift=shifts, lo=lo, **options))

    def accumulate(
        self,
        x: SSAValue,
        channels: int,
        kernel: tuple[int, int],
        strides: tuple[int, int] = (1, 1),
        pads: tuple[int, int, int, int] = (0, 0, 0, 0),
        dilations: tuple[int, int] = (1, 1),
        groups: int = 1,
        dead: int = 0,
    ) -> SSAValue:
        """A convolution without requantisation; its last ``dead`` channels are constant."""
        weights = self.noise((channels, graph.shape_of(x)[1] // groups, *kernel), 100)
        weights[channels - dead :] = 0
        bias = self.constant(self.noise((channels,), 20000, "int32"))
        return self.emit(graph.Conv2dOp(x, self.constant(weights), bias, strides, pads, dilations, groups))

    def conv(self, x: SSAValue, channels: int, kernel: tuple[int, int], *, lo: int = -128, **options: Any) -> SSAValue:
        """A convolution as the digital array computes it; ``options`` as of :meth:`accumulate`."""
        taps = prod(kernel) * graph.shape_of(x)[1] // options.get("groups", 1)
        return self.requant(self.accumulate(x, channels, kernel, **options), 6 + round(log2(taps) / 2), lo)

    def depthwise(self, x: SSAValue, kernel: tuple[int, int], **options: Any) -> SSAValue:
        channels = graph.shape_of(x)[1]
        return self.conv(x, channels, kernel, groups=channels, **options)

    def dense(self, x: SSAValue, outputs: int, lo: int = -128) -> SSAValue:
        inputs = graph.shape_of(x)[1]
        weights, bias = self.noise((outputs, inputs), 100), self.noise((outputs,), 20000, "int32")
        acc = self.emit(graph.DenseOp(x, self.constant(weights), self.constant(bias)))
        return self.requant(acc, 6 + round(log2(inputs) / 2), lo)

    def add(self, a: SSAValue, b: SSAValue, lo: int = -128, shift: int = 1) -> SSAValue:
        return self.requant(self.emit(graph.AddOp(a, b)), shift, lo)

    def pool(self, kind: str, x: SSAValue, kernel: tuple[int, int], strides: tuple[int, int]) -> SSAValue:
        return self.emit(graph.PoolOp(kind, x, kernel, strides, (0, 0, 0, 0), "floor"))

    def flatten(self, x: SSAValue) -> SSAValue:
        return self.emit(graph.ReshapeOp(x, [1, prod(graph.shape_of(x))]))

    def module(self, *results: SSAValue) -> ModuleOp:
        """The finished, verified module; it is set to DIANA."""
        self.block.add_op(ReturnOp(*results))
        types: list[Attribute] = [value.type for value in results]
        module = ModuleOp([FuncOp("main", (self.block.arg_types, types), Region(self.block))])
        SetTarget().apply(Context(), module)
        module.verify()
        return module

    def inputs(self) -> list[Array]:
        """Noise for the arguments."""
        return [self.noise(shape, 127) for shape in self.shapes]


SAME = (1, 1, 1, 1)


def convolutions() -> ModuleOp:
    """Channels that are no multiples of 16, a stride, a 1x1 kernel."""
    net = Net((1, 3, 12, 11))
    x = net.conv(net.arguments[0], 20, (3, 3), pads=SAME)
    x = net.conv(x, 33, (3, 3), strides=(2, 2), pads=SAME, lo=0)
    return net.module(net.conv(x, 17, (1, 1)))


def depthwise() -> ModuleOp:
    """With and without stride; 9 channels."""
    net = Net((1, 9, 12, 7))
    x = net.depthwise(net.arguments[0], (3, 3), pads=SAME, lo=0)
    return net.module(net.depthwise(x, (5, 3), strides=(2, 2), pads=(2, 1, 2, 1)))


def residual() -> ModuleOp:
    """A branch around a convolution, ReLU after the sum, and a sum of a tensor with itself."""
    net = Net((1, 5, 8, 9))
    x = net.conv(net.arguments[0], 18, (1, 1))
    y = net.add(net.conv(x, 18, (3, 3), pads=SAME), x, lo=0)
    return net.module(net.conv(net.add(y, y), 20, (3, 3), strides=(2, 2), pads=SAME))


def classifier() -> ModuleOp:
    """Two outputs: a dense layer after a mean and one on a whole map."""
    net = Net((1, 6, 4, 5))
    x = net.conv(net.arguments[0], 24, (3, 3), pads=SAME, lo=0)
    mean = net.flatten(net.pool("average", x, (4, 5), (1, 1)))
    whole = net.flatten(net.pool("max", x, (2, 2), (2, 2)))
    return net.module(net.dense(mean, 40), net.dense(whole, 33))


def keywords() -> ModuleOp:
    """A 10x4 kernel of stride 2, which the array has not."""
    net = Net((1, 1, 24, 10))
    x = net.conv(net.arguments[0], 18, (10, 4), strides=(2, 2), pads=(4, 1, 5, 1))
    return net.module(net.conv(x, 17, (3, 3), strides=(2, 2), pads=SAME))


def narrow() -> ModuleOp:
    """Maps of three columns under a kernel of seven, and padding that differs on all sides."""
    net = Net((1, 4, 16, 3))
    x = net.conv(net.arguments[0], 17, (7, 7), pads=(3, 3, 3, 3))
    return net.module(net.conv(x, 18, (5, 3), strides=(2, 2), pads=(0, 2, 4, 0)))


def outputs() -> ModuleOp:
    """Two inputs; two outputs, one of which is read on and one of which has 32 bits."""
    net = Net((1, 18, 6, 5), (1, 18, 6, 5))
    left, right = net.arguments
    x = net.add(left, right)
    return net.module(x, net.accumulate(net.conv(x, 20, (3, 3), pads=SAME), 2, (1, 1)))


def leftovers() -> ModuleOp:
    """Constants to compute, a ReLU and an identity to merge, and a clip only the CPU can do."""
    net = Net((1, 4, 6, 7))
    weights = net.requant(net.constant(net.noise((18, 4, 3, 3), 30000, "int32")), 8)
    bias = net.emit(graph.AddOp(*(net.constant(net.noise((18,), 9000, "int32")) for _ in range(2))))
    acc = net.emit(graph.Conv2dOp(net.arguments[0], weights, bias, (1, 1), SAME))
    x = net.requant(net.requant(net.requant(acc, 9), 0), 0, lo=0)
    y = net.conv(x, 6, (1, 1), groups=3, lo=-100)
    return net.module(net.conv(y, 20, (3, 3), pads=SAME))


def clips() -> ModuleOp:
    """Clips to 7 bits, which no array of 8 bits has, between convolutions that it has."""
    net = Net((1, 5, 12, 11))
    x = net.requant(net.accumulate(net.arguments[0], 18, (3, 3), pads=SAME), 8, lo=-64, hi=63)
    return net.module(net.conv(x, 20, (3, 3), pads=SAME))


def dead() -> ModuleOp:
    """Constant channels, some of them 0, before a convolution with padding and one without."""
    net = Net((1, 5, 12, 11))
    x = net.conv(net.arguments[0], 22, (3, 3), pads=SAME, lo=0, dead=6)
    return net.module(net.conv(net.conv(x, 20, (3, 3), pads=SAME, dead=3), 17, (1, 1)))


def random_network(seed: int, steps: int = 8) -> ModuleOp:
    """Layers that the array takes and layers that it refuses, with branches and up to three outputs."""
    net = Net((1, 4, 6, 5), (1, 4, 6, 5), seed=seed)
    values: list[SSAValue] = list(net.arguments)
    for _ in range(steps):
        x = values[int(net.random.integers(len(values)))]
        values.append(_random_layer(net, x, [v for v in values if v.type == x.type]))
    chosen = net.random.integers(len(values), size=net.random.integers(1, 4))
    return net.module(values[-1], *(values[i] for i in chosen[1:]))


def _random_layer(net: Net, x: SSAValue, same: Sequence[SSAValue]) -> SSAValue:
    """One layer that keeps the shape: 4 channels of 6x5."""
    lo = int(net.random.choice([-128, 0, -100]))
    match int(net.random.integers(9)):
        case 0 | 1:
            return net.conv(x, 4, (3, 3), pads=SAME, lo=lo)
        case 2:
            return net.depthwise(x, (3, 3), pads=SAME, lo=lo)
        case 3:
            return net.conv(x, 4, (3, 1), pads=(1, 0, 1, 0), groups=2)
        case 4 | 5:
            return net.add(x, same[int(net.random.integers(len(same)))], lo=lo)
        case 6:
            return net.emit(graph.PoolOp("max", x, (3, 3), (1, 1), SAME, "floor"))
        case 7:
            return net.requant(x, int(net.random.integers(2)), lo)
        case _:
            dense = net.dense(net.flatten(x), 120, lo)
            return net.emit(graph.ReshapeOp(dense, graph.shape_of(x)))


def inputs_of(module: ModuleOp, seed: int = 0) -> list[Array]:
    """Noise for the arguments of ``@main``."""
    function = next(op for op in module.ops if isinstance(op, FuncOp))
    random, arrays = np.random.default_rng(seed), list[Array]()
    for type_ in function.function_type.inputs:
        assert isinstance(type_, TensorType) and isinstance(type_.element_type, IntegerType)
        low, end = signed_value_range(bits := type_.element_type.width.data)
        arrays.append(random.integers(low, end, type_.get_shape()).astype(f"i{bits // 8}"))
    return arrays


def parse(text: str) -> ModuleOp:
    """A verified module from text."""
    context = Context()
    for name, factory in Universe.get_multiverse().all_dialects.items():
        context.register_dialect(name, factory)
    module = Parser(context, text).parse_module()
    module.verify()
    return module


def apply(module: ModuleOp, *passes: ModulePass) -> ModuleOp:
    """Run passes in place and verify after each."""
    for step in passes:
        step.apply(Context(), module)
        module.verify()
    return module


def count(module: ModuleOp, name: str) -> int:
    """How many ops of a name the module holds."""
    return sum(op.name == name for op in module.walk())


class DoubleBuffered(Digital):
    """The digital array with room for two tiles of each operand: it plans with half of its memory."""

    buffers = 2

    def may_stay(self, workload: Workload) -> frozenset[int]:
        return frozenset()  # it would be counted twice

    def problem(self, workload: Workload, target: Target) -> Problem:
        halves = [replace(m, size=m.size // 2) if m.name == self.local else m for m in target.memories]
        return super().problem(workload, replace(target, memories=tuple(halves)))


def overlapping(target: Target) -> Target:
    """The target with channels that move data while the engine computes, and buffers to profit from it."""
    channels = tuple(replace(channel, overlaps=True) for channel in target.channels)
    return replace(target, channels=channels, engines=(DoubleBuffered(),))


def small_diana(l1_bytes: int, weight_bytes: int = 64 * 1024, **changes: Any) -> Target:
    """DIANA with less L1 (and weight memory), so that layers of a few kilobytes must be cut."""
    return diana(replace(DIANA, l1_bytes=l1_bytes, weight_memory_bytes=weight_bytes), **changes)
