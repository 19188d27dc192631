"""Networks with planted dead channels: ops drawn at random, and layers whose channels are constant or never read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import IntegerType, ModuleOp, Signedness, StringAttr, TensorType, i8
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Operation, Region, SSAValue

from htvm_ir.dialects import graph
from htvm_ir.passes.fold_constants import constant

Array = NDArray[Any]
ui8 = IntegerType(8, Signedness.UNSIGNED)


class Net:
    """Builds ``@main`` op by op; every tensor has a name."""

    def __init__(self, *shapes: Sequence[int], seed: int = 0):
        self.random = np.random.default_rng(seed)
        self.block = Block(arg_types=[TensorType(i8, shape) for shape in shapes])
        self.count = 0

    def emit(self, op: Operation) -> SSAValue:
        op.attributes[graph.NAME] = StringAttr(f"t{self.count}")
        self.count += 1
        self.block.add_op(op)
        return op.results[0]

    def constant(self, array: Any, dtype: str = "int8") -> SSAValue:
        op = constant(np.asarray(array, dtype))
        self.block.add_op(op)
        return op.result

    def conv(self, x: SSAValue, weights: Any, bias: Any = None, **options: Any) -> SSAValue:
        """The accumulators; ``options`` as of the op, with stride 1 and no padding unless they say otherwise."""
        defaults: dict[str, Any] = {"strides": (1, 1), "pads": (0, 0, 0, 0)}
        column = None if bias is None else self.constant(bias, "int32")
        return self.emit(graph.Conv2dOp(x, self.constant(weights), column, **(defaults | options)))

    def dense(self, x: SSAValue, weights: Any, bias: Any = None, zero_point: int = 0) -> SSAValue:
        column = None if bias is None else self.constant(bias, "int32")
        return self.emit(graph.DenseOp(x, self.constant(weights), column, zero_point))

    def requant(self, x: SSAValue, element: Any = i8, **options: Any) -> SSAValue:
        lo, hi = graph.element_limits(element)
        limits: dict[str, Any] = {"lo": lo, "hi": hi}
        return self.emit(graph.RequantOp(x, element, **(limits | options)))

    def module(self, *results: SSAValue) -> ModuleOp:
        self.block.add_op(ReturnOp(*results))
        types = [value.type for value in results]
        module = ModuleOp([FuncOp("main", (self.block.arg_types, types), Region(self.block))])
        module.verify()
        return module


class RandomNet(Net):
    """Grows a network by random ops on its tensors of rank 4."""

    def __init__(self, seed: int):
        super().__init__((1, 3, 6, 5), seed=seed)
        self.tensors: list[SSAValue] = list(self.block.args)

    def pick(self, *numbers: Any) -> Any:
        return numbers[self.random.integers(len(numbers))]

    def chance(self, probability: float) -> bool:
        return bool(self.random.random() < probability)

    def grow(self, steps: int) -> ModuleOp:
        """The network after so many ops, ending in one or two of its tensors or a dense layer."""
        ops: list[Callable[[SSAValue], SSAValue | None]] = [
            *[self.layer] * 4,
            *[self.depthwise] * 3,
            *[self.pair] * 2,
            *(self.concat, self.pool, self.lookup, self.cut, self.frame, self.blocks, self.turn),
        ]
        for _ in range(steps):
            source = self.tensors[-1] if self.chance(0.7) else self.pick(*self.tensors)
            result = ops[self.random.integers(len(ops))](source)
            if result is not None:
                self.tensors.append(result)
        last = self.layer(self.tensors[-1])
        match self.pick("tensor", "tensors", "dense"):
            case "tensor":
                return self.module(last)
            case "tensors":
                return self.module(last, self.pick(*self.tensors[1:] or [last]))
            case _:
                return self.module(self.classify(last))

    def weights(self, *shape: int) -> Array:
        """Noise with rows (constant channels) and columns (channels nobody reads) of zeros."""
        weights = self.random.integers(-128, 128, shape)
        weights[self.random.random(shape[0]) < self.pick(0, 0.5, 0.9)] = 0
        weights[:, self.random.random(shape[1]) < self.pick(0, 0, 0.4)] = 0
        return weights

    def bias(self, channels: int) -> Array | None:
        """Some biases saturate the result, the others are small."""
        limit = self.pick(0, 400, 400, 1 << 22)
        return None if limit == 0 else self.random.integers(-limit, limit, channels)

    def scaled(self, acc: SSAValue, element: Any = None) -> SSAValue:
        """To 8 bits, each channel with a scale of its own."""
        channels = graph.shape_of(acc)[1]
        rounding = self.pick("floor", "half_even", "gemmlowp", "single")
        count = self.pick(1, channels)
        signs = self.random.choice([-1, 1], count, p=[0.2, 0.8])
        multiplier = (self.random.integers(1 << 29, 1 << 30, count) * signs).tolist()
        shift = self.random.integers(34, 40, count).tolist()
        zero_point = int(self.random.integers(-20, 20))
        element = element or self.pick(i8, i8, ui8)
        reach = 1 << 40 if rounding == "floor" else 0
        addend = self.random.integers(-reach, reach, self.pick(1, channels), endpoint=True).tolist()
        options = {"rounding": rounding, "zero_point": zero_point, "addend": addend}
        return self.requant(acc, element, multiplier=multiplier, shift=shift, **options)

    def window(self, x: SSAValue, size: tuple[int, int]) -> dict[str, Any]:
        """Stride, padding and zero point; padding as wide as it takes for one output at least."""
        _, _, height, width = graph.shape_of(x)
        pads = [int(self.random.integers(0, n)) if self.chance(0.6) else 0 for n in (*size, *size)]
        pads[2] = max(pads[2], size[0] - height - pads[0])
        pads[3] = max(pads[3], size[1] - width - pads[1])
        return {"strides": (self.pick(1, 2), 1), "pads": tuple(pads)}

    def zero_point(self, x: SSAValue) -> int:
        low, high = graph.element_limits(graph.tensor_type(x).element_type)
        return self.pick(0, low, high, 7)

    def layer(self, x: SSAValue) -> SSAValue:
        size, channels = (self.pick(1, 3), self.pick(1, 2)), self.pick(2, 4, 6)
        weights = self.weights(channels, graph.shape_of(x)[1], *size)
        spatial = self.window(x, size)
        return self.scaled(self.conv(x, weights, self.bias(channels), zero_point=self.zero_point(x), **spatial))

    def depthwise(self, x: SSAValue) -> SSAValue:
        groups, size = graph.shape_of(x)[1], (self.pick(1, 3), self.pick(1, 3))
        channels = groups * self.pick(1, 1, 2)
        spatial = self.window(x, size) | {"groups": groups, "zero_point": self.zero_point(x)}
        return self.scaled(self.conv(x, self.weights(channels, 1, *size), self.bias(channels), **spatial))

    def pair(self, x: SSAValue) -> SSAValue | None:
        others = [v for v in self.tensors if graph.shape_of(v) == graph.shape_of(x)]
        other = self.pick(*others)
        if self.chance(0.2):
            other = self.constant(self.random.integers(-128, 128, graph.shape_of(x)))
        kind = self.pick(graph.AddOp, graph.AddOp, graph.SubOp, graph.MulOp)
        result = self.emit(kind(x, other))
        return self.requant(result, multiplier=(1,), shift=(2,), zero_point=self.pick(0, -9))

    def concat(self, x: SSAValue) -> SSAValue | None:
        """With one or two more tensors that differ along one axis only."""
        axis, type_ = self.pick(1, 1, 1, 2), graph.tensor_type(x)

        def rest(value: SSAValue) -> list[int]:
            return np.delete(graph.shape_of(value), axis).tolist()

        alike = [
            v for v in self.tensors if graph.tensor_type(v).element_type == type_.element_type and rest(v) == rest(x)
        ]
        joined = [x, *(self.pick(*alike) for _ in range(self.pick(1, 2)))]
        if self.chance(0.2) and type_.element_type == i8:
            joined.append(self.constant(np.full(graph.shape_of(x), 9)))
        return self.emit(graph.ConcatOp(joined, axis)) if len(joined) * graph.shape_of(x)[axis] < 20 else None

    def pool(self, x: SSAValue) -> SSAValue | None:
        _, _, height, width = graph.shape_of(x)
        size = (min(2, height), min(2, width))
        pads = (self.pick(0, size[0] - 1), 0, 0, self.pick(0, size[1] - 1))
        kind = self.pick("max", "average", "sum")
        result = self.emit(graph.PoolOp(kind, x, size, (1, self.pick(1, 2)), pads, self.pick("floor", "half_away")))
        return self.scaled(result) if kind == "sum" else result

    def lookup(self, x: SSAValue) -> SSAValue:
        table = np.maximum(self.random.integers(-128, 128, 256), self.pick(-128, 90))
        return self.emit(graph.LookupOp(x, self.constant(table)))

    def cut(self, x: SSAValue) -> SSAValue | None:
        """A slice, often of channels."""
        shape = graph.shape_of(x)
        offsets = [int(self.random.integers(0, (n + 1) // 2)) for n in shape]
        strides = [self.pick(1, 1, 2) for _ in shape]
        sizes = [(n - o - 1) // s + 1 for n, o, s in zip(shape, offsets, strides, strict=True)]
        return self.emit(graph.SliceOp(x, offsets, sizes, strides))

    def frame(self, x: SSAValue) -> SSAValue:
        edges = self.pick((0, 0, 1, 0), (0, 0, 0, 1), (0, 1, 0, 0))
        return self.emit(graph.PadOp(x, edges, (0, 0, self.pick(0, 1), 0), self.pick(0, 7)))

    def blocks(self, x: SSAValue) -> SSAValue | None:
        _, channels, height, _ = graph.shape_of(x)
        if channels > 4:
            return None
        return self.emit(graph.SpaceToDepthOp(x, (2, 1), (height % 2, 0, 0, 0)))

    def turn(self, x: SSAValue) -> SSAValue:
        """Out of the channels' axis, through another shape, and perhaps back."""
        turned = self.emit(graph.TransposeOp(x, (0, 2, 3, 1)))
        n, height, width, channels = graph.shape_of(turned)
        if self.chance(0.3):
            return turned
        flat = self.emit(graph.ReshapeOp(turned, (n, height * width, 1, channels)))
        return self.emit(graph.TransposeOp(flat, (0, 3, 1, 2)))

    def classify(self, x: SSAValue) -> SSAValue:
        size = int(np.prod(graph.shape_of(x)))
        flat = self.emit(graph.ReshapeOp(x, (1, size)))
        return self.dense(flat, self.weights(3, size), self.bias(3), self.zero_point(x))


def inputs_of(module: ModuleOp, seed: int) -> list[Array]:
    """Noise for the arguments of ``@main``, the extremes among it."""
    function = next(op for op in module.ops if isinstance(op, FuncOp))
    random = np.random.default_rng(seed)
    shapes = [graph.shape_of(argument) for argument in function.body.block.args]
    noise = [random.integers(-128, 128, shape) for shape in shapes]
    return [np.where(random.random(a.shape) < 0.2, random.choice([-128, 127]), a).astype(np.int8) for a in noise]
