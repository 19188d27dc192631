"""Kernels of the CPU have one price: of tensors, when chunks are planned, and of buffers, when they are scheduled."""

from __future__ import annotations

from collections import Counter

import pytest
from lowering import lowered
from test_plan_overlap import CASES
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import CallOp, FuncOp

from htvm_ir.dialects.accel import CPU, DispatchOp, kernels
from htvm_ir.passes.chunks import CHUNKS, chunks_of
from htvm_ir.passes.host_prices import host_cycles
from htvm_ir.passes.workloads import main_function, module_target


def called(module: ModuleOp) -> Counter[str]:
    """Cycles of the CPU's kernels by name, of all functions that ``@main`` calls."""
    target = module_target(module)
    functions = {f.sym_name.data: f for f in module.ops if isinstance(f, FuncOp)}
    total = Counter[str]()
    for call in (op for op in main_function(module).body.block.ops if isinstance(op, CallOp)):
        for op in functions[call.callee.string_value()].body.block.ops:
            if isinstance(op, DispatchOp) and op.engine_name == CPU:
                total[op.kernel.data] += host_cycles(op, target)
    return total


@pytest.mark.parametrize("name", CASES)
def test_a_kernel_costs_what_its_chunks_cost(name: str) -> None:
    planned, split = lowered(CASES[name][0](), "plan-overlap"), lowered(CASES[name][0](), "chunk-host")
    target = module_target(planned)
    on_cpu = [dispatch for dispatch in kernels(planned) if dispatch.engine_name == CPU]
    assert {d.kernel.data: host_cycles(d, target) for d in on_cpu} == called(split)


def test_calls_and_gaps_between_rows_cost_something() -> None:
    for name in CASES:
        module = lowered(CASES[name][0](), "plan-overlap")
        (dispatch,) = (d for d in kernels(module) if chunks_of(d) is not None)
        in_chunks = host_cycles(dispatch, module_target(module))
        del dispatch.attributes[CHUNKS]
        assert host_cycles(dispatch, module_target(module)) < in_chunks, name
