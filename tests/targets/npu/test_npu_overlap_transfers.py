"""Transfers beside the jobs of neighbouring kernels mean the same, and one that comes too early is found."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import RandomNet  # pyright: ignore[reportMissingImports]
from xdsl.dialects.builtin import DictionaryAttr, ModuleOp, StringAttr
from xdsl.dialects.func import CallOp, FuncOp
from xdsl.dialects.memref import AllocOp
from xdsl.ir import Operation
from xdsl.rewriter import InsertPoint, Rewriter
from xdsl.utils.exceptions import InterpretationError

from htvm_ir.dialects.accel import AwaitOp, LaunchOp
from htvm_ir.dialects.dma import StartOp, WaitOp
from htvm_ir.frontends.onnx import import_model
from htvm_ir.interpreters.run import run
from htvm_ir.passes.overlap_kernels import HIDDEN
from htvm_ir.passes.pipeline import PIPELINE, pass_class, run_passes
from htvm_ir.passes.plan_memory import ARENA
from htvm_ir.passes.set_target import SetTarget
from htvm_ir.passes.workloads import KERNEL, main_function
from htvm_ir.targets import registry
from htvm_ir.targets.npu.target import npu
from htvm_ir.targets.target import Host

RUNS: dict[str, dict[str, Any]] = {
    "eager": {"order": "eager"},
    "lazy": {"order": "lazy"},
    "checked": {"order": "checked"},
    "eager on poisoned memory": {"order": "eager", "overlay": True, "poison": True},
    "lazy on poisoned memory": {"order": "lazy", "overlay": True, "poison": True},
}
SHAPE = (6, 9, 7)
INPUT = np.random.default_rng(1).integers(-128, 128, (1, *SHAPE)).astype(np.int8)


@contextmanager
def on_npu(**changes: Any) -> Generator[None]:
    """An npu whose CPU is never chosen."""
    given: dict[str, Any] = {"rows": 8, "l1": 8192, "weight_memory": 4096, "residency": False}
    slow = replace(npu(**given | changes), host=Host(per_mac=1000, per_element={"other": 1000}))
    with patch.object(registry, "load_target", return_value=slow):
        yield


def network(seed: int = 0) -> ModuleOp:
    """Two convolutions, a depthwise one beside them, a sum and a pool."""
    net = RandomNet(np.random.default_rng(seed), SHAPE)
    x = net.conv("x0", 20, (3, 3), pads=(1, 1, 1, 1), lo=0)
    y = net.conv(x, 20, (3, 3), pads=(1, 1, 1, 1), groups=20)
    z = net.conv(y, 20, (1, 1))
    return import_model(net.model(net.pool(net.add(x, z, 1, -128), "MaxPool", (2, 2), 1)))


def lowered(module: ModuleOp, last: str) -> ModuleOp:
    """The module after the passes up to ``last``, verified after each."""
    names = PIPELINE[: PIPELINE.index(last) + 1]
    return run_passes(module, [SetTarget("npu"), *(pass_class(name)() for name in names if name != "lower-host")])


def caught(module: ModuleOp, expected: Any) -> set[str]:
    """The runs that fail or give another result."""
    found: set[str] = set()
    for name, options in RUNS.items():
        try:
            (result,) = run(module, [INPUT], **options)
        except InterpretationError:
            found.add(name)
        else:
            found |= set() if np.array_equal(result, expected) else {name}
    return found


def parts(module: ModuleOp) -> list[FuncOp]:
    """The functions that ``@main`` calls, in order."""
    functions = {op.sym_name.data: op for op in module.ops if isinstance(op, FuncOp)}
    calls = [op for op in main_function(module).body.block.ops if isinstance(op, CallOp)]
    return [functions[call.callee.string_value()] for call in calls]


def kernel_of(function: FuncOp) -> str:
    return str(function.attributes.get(KERNEL, function.sym_name.data))


def test_first_loads_begin_before_the_kernel_before_is_done() -> None:
    with on_npu():
        functions = parts(lowered(network(), "overlap-transfers"))
    kernels = [kernel_of(function) for function in functions]
    assert any(kernels[n] == kernels[n + 2] != kernels[n + 1] for n in range(len(kernels) - 2))
    assert any(ops(function) == {StartOp} for function in functions)


def test_the_gain_is_told() -> None:
    with on_npu():
        hidden = lowered(network(), "overlap-transfers").attributes[HIDDEN]
    assert isinstance(hidden, DictionaryAttr)
    assert sum(value.value.data for value in hidden.data.values()) > 0  # pyright: ignore[reportAttributeAccessIssue]


@settings(deadline=None, max_examples=12)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1024, 2048, 8192]),
    st.sampled_from([1024, 4096]),
    st.sampled_from([2, 3]),
    st.sampled_from([1, 4]),
    st.booleans(),
)
def test_the_meaning_stays(seed: int, l1: int, weights: int, buffers: int, queue: int, residency: bool) -> None:
    (expected,) = run(network(seed), [INPUT])
    settings = {"l1": l1, "weight_memory": weights, "buffers": buffers, "dma_queue": queue, "residency": residency}
    with on_npu(**settings):
        module = lowered(network(seed), "plan-memory")
        assert not caught(module, expected)
    arena = module.attributes[ARENA]
    assert isinstance(arena, DictionaryAttr)
    assert arena.data["L1"].value.data <= l1  # pyright: ignore[reportAttributeAccessIssue]
    assert arena.data["WM"].value.data <= weights  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("changes", [{"buffers": 1}, {"dma_queue": 1}])
def test_what_must_not_overlap_does_not(changes: dict[str, int]) -> None:
    with on_npu(**changes):
        module = lowered(network(), "pipeline-dma")
        before = str(module)
        run_passes(module, [pass_class("overlap-transfers")()])
    assert str(module) == before


def test_a_second_run_changes_nothing() -> None:
    with on_npu():
        module = lowered(network(), "overlap-transfers")
        before = str(module)
        run_passes(module, [pass_class("overlap-transfers")()])
    assert str(module) == before


def test_kernels_that_are_cut_already_stay_in_their_order() -> None:
    """The last convolution is taken for one that is cut; the two before it overlap as ever."""
    net = RandomNet(np.random.default_rng(3), SHAPE)
    x = net.conv(net.conv("x0", 20, (3, 3), pads=(1, 1, 1, 1)), 20, (3, 3), pads=(1, 1, 1, 1), lo=0)
    model = import_model(net.model(net.add(net.conv(x, 20, (1, 1)), x, 1, -128)))
    (expected,) = run(model, [INPUT])
    with on_npu(weight_memory=16 * 1024):
        module = lowered(model, "overlap-kernels")
        functions = [op for op in module.ops if isinstance(op, FuncOp) and op.body.blocks]
        cut = next(f for f in functions if "conv2d_2" in f.sym_name.data)
        cut.attributes[KERNEL] = StringAttr("array_conv2d_2")
        run_passes(module, [pass_class("overlap-transfers")()])
        names = [function.sym_name.data for function in parts(module)]
        assert names.count("array_conv2d_2") == 1 and any("conv2d_1_part" in name for name in names)
        run_passes(module, [pass_class("plan-memory")()])
        assert not caught(module, expected)


def early_load(module: ModuleOp) -> tuple[CallOp, CallOp]:
    """A call that waits for a store, and the one behind it that loads what the store has written."""
    calls = [op for op in main_function(module).body.block.ops if isinstance(op, CallOp)]
    functions = parts(module)
    found = (n for n in range(1, len(calls)) if ops(functions[n - 1]) == {WaitOp} and ops(functions[n]) == {StartOp})
    place = next(found)
    return calls[place - 1], calls[place]


def ops(function: FuncOp) -> set[type[Operation]]:
    """The kinds of things that a function starts or waits for."""
    return {type(op) for op in function.body.block.ops if isinstance(op, StartOp | WaitOp | LaunchOp | AwaitOp)}


def load_before_the_wait(module: ModuleOp) -> None:
    """A tile is loaded while what it is a part of is still being stored."""
    wait, load = early_load(module)
    moved(load, wait)


def load_before_the_store(module: ModuleOp) -> None:
    """The same before anything was stored."""
    wait, load = early_load(module)
    kernel = wait.callee.string_value().partition("_part")[0]
    calls = [op for op in main_function(module).body.block.ops if isinstance(op, CallOp)]
    first = next(call for call in calls if call.callee.string_value().startswith(kernel))
    for value in load.arguments:
        if isinstance(value.owner, AllocOp) and first.is_before_in_block(value.owner):
            moved(value.owner, first)
    moved(load, first)


def moved(op: Operation, before: Operation) -> None:
    op.detach()
    Rewriter.insert_op(op, InsertPoint.before(before))


def forget_a_wait_of_the_neighbour(module: ModuleOp) -> None:
    """A store is never waited for, though what it writes is read by the next kernel."""
    waits = [op for op in module.walk() if isinstance(op, WaitOp) and not isinstance(op.token.owner, StartOp)]
    assert waits
    Rewriter.erase_op(waits[0])


def use_a_tile_that_is_on_its_way(module: ModuleOp) -> None:
    """The wait for a tile loaded beside the kernel before comes behind the job that reads it."""
    wait = next(
        op for f in parts(module) for op in f.body.block.ops if isinstance(op, WaitOp) and _is_waited_before_a_job(op)
    )
    block = wait.parent
    assert block is not None and block.last_op is not None
    moved(wait, block.last_op)


def _is_waited_before_a_job(wait: WaitOp) -> bool:
    block = wait.parent
    assert block is not None
    job = next((op for op in block.ops if isinstance(op, AwaitOp)), None)
    return not isinstance(wait.token.owner, StartOp) and job is not None and wait.is_before_in_block(job)


@pytest.mark.parametrize(
    ("bug", "runs"),
    [
        (load_before_the_wait, {"checked"}),
        (load_before_the_store, {"eager", "eager on poisoned memory"}),
        (forget_a_wait_of_the_neighbour, {"eager", "lazy", "checked"}),
        (use_a_tile_that_is_on_its_way, {"lazy", "lazy on poisoned memory"}),
    ],
)
def test_a_planted_mistake_is_caught(bug: Any, runs: set[str]) -> None:
    (expected,) = run(network(), [INPUT])
    with on_npu():
        module = lowered(network(), "overlap-transfers")
        bug(module)
        run_passes(module, [pass_class("plan-memory")()], verify=False)
        assert caught(module, expected) >= runs
