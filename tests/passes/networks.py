"""Small integer networks for the tests of the passes, and targets so small that their tiling is not trivial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import log2, prod
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from xdsl.context import Context
from xdsl.dialects.builtin import IntegerType, ModuleOp, StringAttr, TensorType, i8
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.parser import Parser
from xdsl.passes import ModulePass
from xdsl.universe import Universe

from htvm_ir.dialects import graph
from htvm_ir.passes.fold_constants import constant
from htvm_ir.passes.set_target import SetTarget
from htvm_ir.targets import registry
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

    def requant(self, x: SSAValue, shift: int | Sequence[int], lo: int = -128, **options: Any) -> SSAValue:
        shifts = (shift,) if isinstance(shift, int) else shift
        return self.emit(graph.RequantOp(x, i8, shift=shifts, lo=lo, **options))

    def accumulate(
        self,
        x: SSAValue,
        channels: int,
        kernel: tuple[int, int],
        strides: tuple[int, int] = (1, 1),
        pads: tuple[int, int, int, int] = (0, 0, 0, 0),
        dilations: tuple[int, int] = (1, 1),
        groups: int = 1,
    ) -> SSAValue:
        """A convolution without requantisation."""
        weights = self.noise((channels, graph.shape_of(x)[1] // groups, *kernel), 100)
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


def inputs_of(module: ModuleOp, seed: int = 0) -> list[Array]:
    """Noise for the arguments of ``@main``."""
    function = next(op for op in module.ops if isinstance(op, FuncOp))
    random, arrays = np.random.default_rng(seed), list[Array]()
    for type_ in function.function_type.inputs:
        assert isinstance(type_, TensorType) and isinstance(type_.element_type, IntegerType)
        low, end = type_.element_type.value_range()
        arrays.append(random.integers(low, end, type_.get_shape()).astype(f"i{type_.element_type.width.data // 8}"))
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

    def problem(self, workload: Workload, target: Target) -> Problem:
        halves = [replace(m, size=m.size // 2) if m.name == self.local else m for m in target.memories]
        return super().problem(workload, replace(target, memories=tuple(halves)))


def overlapping(target: Target) -> Target:
    """The target with channels that move data while the engine computes, and buffers to profit from it."""
    channels = tuple(replace(channel, overlaps=True) for channel in target.channels)
    return replace(target, channels=channels, engines=(DoubleBuffered(),))


def small_diana(l1_bytes: int, weight_bytes: int = 64 * 1024) -> Target:
    """DIANA with less L1 (and weight memory), so that layers of a few kilobytes must be cut."""
    return diana(replace(DIANA, l1_bytes=l1_bytes, weight_memory_bytes=weight_bytes))


@pytest.fixture
def use_target(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that makes a target the one that is found under every name."""

    def use(target: Target) -> None:
        def load(_: str) -> Target:
            return target

        monkeypatch.setattr(registry, "load_target", load)

    return use
