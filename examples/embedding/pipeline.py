"""Another xDSL compiler that uses our dialects and passes, with a pass of its own between them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from xdsl.builder import ImplicitBuilder
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, TensorType, i8
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass, PassPipeline

from htvm_ir.backend.c.package import render
from htvm_ir.dialects import graph
from htvm_ir.dialects.accel import DispatchOp
from htvm_ir.passes.fold_constants import constant
from htvm_ir.passes.pipeline import PIPELINE, pass_class
from htvm_ir.passes.set_target import SetTarget


@dataclass(frozen=True)
class CountEngines(ModulePass):
    """A pass of this compiler's own: how many kernels each engine got. It reads our IR like any other."""

    name = "count-engines"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        engines = [d.engine_name for d in op.walk() if isinstance(d, DispatchOp)]
        print(", ".join(f"{engines.count(name)} on {name}" for name in sorted(set(engines))))


def noise(*shape: int, limit: int = 60) -> SSAValue:
    """Weights; a compiler with a front end has better ones."""
    values = np.random.default_rng(len(shape)).integers(-limit, limit + 1, shape)
    return constant(values.astype("int8" if len(shape) > 1 else "int32")).result


def conv(x: SSAValue, channels: int, shift: int) -> SSAValue:
    """A 3x3 convolution with ReLU."""
    weights, bias = noise(channels, graph.shape_of(x)[1], 3, 3), noise(channels, limit=2000)
    sums = graph.Conv2dOp(x, weights, bias, strides=(1, 1), pads=(1, 1, 1, 1))
    return graph.RequantOp(sums.result, i8, shift=(shift,), lo=0).result


def network(channels: int = 16, size: int = 16) -> ModuleOp:
    """Two convolutions, and the sum of what they compute."""
    main = FuncOp("main", ([TensorType(i8, [1, 3, size, size])], [TensorType(i8, [1, channels, size, size])]))
    with ImplicitBuilder(main.body) as (image,):
        first = conv(image, channels, 8)
        total = graph.AddOp(first, conv(first, channels, 8))
        ReturnOp(graph.RequantOp(total.result, i8, shift=(1,)).result)
    return ModuleOp([main])


def pipeline(target: str) -> PassPipeline:
    """Our passes, but for the ones that reorder kernels, and this compiler's own behind ``dispatch``."""
    without = ("plan-overlap", "chunk-host", "overlap-kernels")
    passes: list[ModulePass] = [SetTarget(target)]
    for name in PIPELINE:
        if name not in without:
            passes.append(pass_class(name)())
        if name == "dispatch":
            passes.append(CountEngines())
    return PassPipeline(tuple(passes))


def main(arguments: Sequence[str] | None = None) -> None:
    """Compile, and write the C files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the C files")
    parser.add_argument("--target", default="diana")
    options = parser.parse_args(arguments)
    module = network()
    pipeline(options.target).apply(Context(), module)
    module.verify()
    for name, text in render(module, "residual").items():
        path: Path = options.output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(path)


if __name__ == "__main__":
    main()
