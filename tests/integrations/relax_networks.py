"""Integer networks in Relax, and how to run them; needs TVM."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htvm_ir.integrations.tvm.bindings import relax, tvm

Array = NDArray[Any]


class RelaxNet:
    """Builds ``main`` op by op; weights and biases are reproducible noise."""

    def __init__(self, *shapes: Sequence[int], seed: int = 0):
        self.relax = relax()
        self.op = self.relax.op
        self.random = np.random.default_rng(seed)
        self.shapes = shapes
        self.builder = self.relax.BlockBuilder()
        self.inputs = [self.relax.Var(f"x{n}", self.relax.TensorType(s, "int8")) for n, s in enumerate(shapes)]

    def const(self, value: Any, dtype: str = "int32") -> Any:
        return self.relax.const(np.asarray(value).astype(dtype), dtype)

    def noise(self, shape: Sequence[int], limit: int, dtype: str) -> Array:
        return self.random.integers(-limit, limit + 1, tuple(shape)).astype(dtype)

    def emit(self, expression: Any) -> Any:
        return self.builder.emit(expression)

    def conv(self, x: Any, channels: int, kernel: int = 3, **options: Any) -> Any:
        """int32 accumulators with a bias."""
        shape = [int(n) for n in x.ty.shape]
        weights = self.noise((channels, shape[1] // options.get("groups", 1), kernel, kernel), 100, "int8")
        bias = self.noise((1, channels, 1, 1), 2000, "int32")
        options = {"padding": (kernel // 2,) * 2, **options}
        sums = self.emit(self.op.nn.conv2d(x, self.relax.const(weights), out_dtype="int32", **options))
        return self.emit(self.op.add(sums, self.relax.const(bias)))

    def requant(self, x: Any, shift: int, low: int = -128) -> Any:
        shifted = self.emit(self.op.right_shift(x, self.const(shift)))
        return self.emit(self.op.astype(self.emit(self.op.clip(shifted, low, 127)), "int8"))

    def widened(self, x: Any) -> Any:
        return self.emit(self.op.astype(x, "int32"))

    def build(self, make: Any) -> Any:
        """The module of what ``make(net, *inputs)`` returns."""
        with self.builder.function("main", self.inputs):
            with self.builder.dataflow():
                result = self.builder.emit_output(make(self, *self.inputs))
            self.builder.emit_func_output(result)
        return self.builder.get()


SIX_SHAPE = (1, 3, 12, 11)


def six_convolutions(net: RelaxNet, x: Any) -> Any:
    """Channels that are no multiples of 16, strides, a 1x1 kernel, a depthwise layer, ReLU."""
    x = net.requant(net.conv(x, 20), 9)
    x = net.requant(net.conv(x, 33, strides=(2, 2)), 9, low=0)
    x = net.requant(net.conv(x, 33, groups=33), 7)
    x = net.requant(net.conv(x, 17, 1), 8)
    x = net.requant(net.conv(x, 16, 5), 9)
    return net.requant(net.conv(x, 8, strides=(2, 2)), 9)


def run(mod: Any, inputs: Sequence[Array], folder: Path) -> list[Array]:
    """Build for this machine, export, load, run in the VM."""
    built = relax().build(relax().transform.RunCodegen()(mod), target="llvm")
    path = folder / "network.so"
    built.export_library(str(path))
    device = tvm().cpu()
    machine = relax().VirtualMachine(tvm().runtime.load_module(str(path)), device)
    result = machine["main"](*(tvm().runtime.tensor(array, device) for array in inputs))
    return [r.numpy() for r in ([result] if hasattr(result, "numpy") else result)]
