"""Taking small networks down the pipeline with tiles of one's choice, and running the result in every way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from networks import Array, apply, inputs_of
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import Block, Operation
from xdsl.utils.exceptions import InterpretationError

from htvm_ir.dialects.accel import CPU, LaunchOp, kernels
from htvm_ir.dialects.tiled import PlanAttr
from htvm_ir.interpreters.run import run
from htvm_ir.passes.pipeline import PIPELINE, pass_class
from htvm_ir.passes.workloads import block_workload
from htvm_ir.targets import registry
from htvm_ir.targets.target import Target

RUNS: dict[str, dict[str, Any]] = {
    "eager": {"order": "eager"},
    "lazy": {"order": "lazy"},
    "checked": {"order": "checked"},
    "overlay": {"order": "lazy", "overlay": True},
}
"""Ways to run a module with planned memory; all of them agree if it is correct."""


def use_target(monkeypatch: pytest.MonkeyPatch, target: Target) -> Target:
    """Make a target the one that is found under every name, for one test."""

    def load_target(name: str) -> Target:
        return target

    monkeypatch.setattr(registry, "load_target", load_target)
    return target


def lowered(module: ModuleOp, last: str, tile: dict[str, int] | None = None, depth: int = 1) -> ModuleOp:
    """The module after the passes up to ``last``, in place; kernels of the CPU stay as they are.

    tile, depth: plan by hand for every kernel of an engine; otherwise the solver plans.
    """
    for name in PIPELINE[: PIPELINE.index(last) + 1]:
        if name == "lower-host":  # its loops have tests of their own and are slow to interpret
            continue
        if name == "plan-residency" and tile is not None:
            for dispatch in kernels(module):
                if dispatch.engine_name != CPU:
                    operands = (*block_workload(dispatch.body.block).inputs, "output")
                    dispatch.plan = PlanAttr(tile, (depth,) * len(operands))
        apply(module, pass_class(name)())
    return module


def kernel(module: ModuleOp) -> Block:
    """The body of the kernel with the most jobs."""
    blocks = [op.body.block for op in module.ops if isinstance(op, FuncOp)]
    return max(blocks, key=lambda block: len(of_type(block, LaunchOp)))


def of_type(block: Block, *types: type[Operation]) -> list[Any]:
    """The ops of these types, in order."""
    return [op for op in block.ops if isinstance(op, types)]


def caught(module: ModuleOp, inputs: Sequence[Array], expected: Array) -> set[str]:
    """The runs that fail or give another result."""
    found: set[str] = set()
    for name, options in RUNS.items():
        try:
            (result,) = run(module, inputs, **options)
        except InterpretationError:
            found.add(name)
        else:
            found |= set() if np.array_equal(result, expected) else {name}
    return found


def reference(module: ModuleOp) -> tuple[list[Array], Array]:
    """Noise for the inputs of a module at level 1, and its output."""
    inputs = inputs_of(module)
    (expected,) = run(module, inputs)
    return inputs, expected
