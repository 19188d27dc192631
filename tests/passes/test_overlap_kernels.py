"""``overlap-kernels`` lets the CPU work while an engine does, and keeps the meaning; what is planted in it is found."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from lowering import RUNS, caught, lowered, reference, use_target
from networks import SAME, Net, apply, inputs_of, overlapping, random_network, small_diana
from xdsl.dialects.builtin import DictionaryAttr, ModuleOp
from xdsl.dialects.func import CallOp
from xdsl.dialects.memref import AllocOp
from xdsl.ir import BlockArgument
from xdsl.rewriter import InsertPoint, Rewriter

from htvm_ir.dialects import graph
from htvm_ir.dialects.accel import CPU, AwaitOp, PreparedType, PrepareOp, kernels
from htvm_ir.dialects.tiled import PlanAttr
from htvm_ir.interpreters.run import run
from htvm_ir.passes.overlap_kernels import HIDDEN, OverlapKernels
from htvm_ir.passes.pipeline import PIPELINE, pass_class
from htvm_ir.passes.plan_memory import PlanMemory
from htvm_ir.passes.workloads import main_function


def branches() -> ModuleOp:
    """A convolution beside a pooling of the same map, which only the CPU computes; then the sum."""
    net = Net((1, 16, 16, 16))
    x = net.conv(net.arguments[0], 16, (1, 1))
    left = net.conv(x, 16, (7, 7), pads=(3, 3, 3, 3))
    right = net.emit(graph.PoolOp("max", x, (3, 3), (1, 1), SAME, "floor"))
    return net.module(net.add(left, right))


def calls(module: ModuleOp) -> list[str]:
    return [op.callee.string_value() for op in main_function(module).body.block.ops if isinstance(op, CallOp)]


def test_the_cpu_pools_while_the_array_computes() -> None:
    module = lowered(branches(), "overlap-kernels")
    order = calls(module)
    start, pool, finish = (
        order.index(name) for name in ("digital_conv2d_1_part1", "cpu_pool_2", "digital_conv2d_1_part2")
    )
    assert start < pool < finish
    hidden = module.attributes[HIDDEN]
    assert isinstance(hidden, DictionaryAttr) and list(hidden.data) == ["digital_conv2d_1"]


def test_a_chain_stays_as_it_is() -> None:
    net = Net((1, 16, 8, 16))
    x = net.conv(net.conv(net.arguments[0], 16, (3, 3), pads=SAME), 16, (3, 3), pads=SAME)
    module = lowered(net.module(x), "pipeline-dma")
    before = str(module)
    assert str(apply(module, OverlapKernels())) == before


def blocks() -> ModuleOp:
    """Depthwise and pointwise layers in turn: the array runs lists of jobs for the former."""
    net = Net((1, 32, 8, 8))
    x = net.arguments[0]
    for _ in range(3):
        x = net.conv(x, 32, (3, 3), pads=SAME, groups=32)
        x = net.conv(x, 32, (1, 1))
    return net.module(x)


def test_lists_are_made_while_the_layer_before_computes() -> None:
    module = lowered(blocks(), "overlap-kernels")
    order = calls(module)
    first, second = (f"digital_conv2d_{n}" for n in (1, 2))
    assert order.index(f"{first}_part1") < order.index(f"{second}_part1") < order.index(f"{first}_part2")
    inputs, expected = reference(blocks())
    assert not caught(apply(module, PlanMemory()), inputs, expected)


@pytest.mark.parametrize("channels", [64, 32])
def test_more_is_prepared_beside_a_job_that_takes_long_enough(channels: int) -> None:
    """Beside the layers between lists; if these are over too soon, the second list waits."""
    net = Net((1, channels, 2, 2))
    x = net.arguments[0]
    for _ in range(3):
        x = net.conv(x, channels, (3, 3), pads=SAME, groups=channels)
        x = net.conv(x, channels, (1, 1))
    module = net.module(x)
    inputs, expected = reference(module)
    lowered(module, "overlap-kernels")
    prepared = [op for op in module.walk() if isinstance(op, PrepareOp)]
    assert [op.beside is not None for op in prepared] == [False, channels == 64, channels == 64]
    assert not caught(apply(module, PlanMemory()), inputs, expected)


def test_nothing_is_prepared_between_the_tiles_of_a_kernel_that_prepares_each() -> None:
    net = Net((1, 32, 8, 16))
    x = net.arguments[0]
    for kernel in ((3, 3), (5, 5), (3, 3)):
        x = net.conv(x, 32, kernel, pads=(kernel[0] // 2,) * 4, groups=32)
    module = net.module(x)
    inputs, expected = reference(module)
    lowered(module, "plan-residency")
    for dispatch in kernels(module):
        if dispatch.engine_name != CPU:
            dispatch.plan = PlanAttr({"k": 16, "y": 8}, (1, 1), mapping="blocks8")
    for name in PIPELINE[PIPELINE.index("plan-tiles") :]:
        if name != "lower-host":
            apply(module, pass_class(name)())
    assert not caught(module, inputs, expected)


def test_a_second_job_prepared_too_early_is_caught() -> None:
    """There is room for one: its list would be written over that of the first."""
    module = lowered(blocks(), "overlap-kernels")
    inputs, expected = reference(blocks())
    prepared = [op for op in main_function(module).body.block.ops if isinstance(op, CallOp) and op.results]
    parts = [op for op in prepared if isinstance(op.results[0].type, PreparedType)]
    assert len(parts) > 1
    first, last = parts[0], parts[-1]
    early = [*(value.owner for value in last.arguments if isinstance(value.owner, AllocOp)), last]
    for op in early:
        op.detach()
    Rewriter.insert_op(early, InsertPoint.after(first))
    assert caught(apply(module, PlanMemory()), inputs, expected)


@pytest.mark.parametrize("network", [branches, blocks])
def test_a_second_run_changes_nothing(network: Callable[[], ModuleOp]) -> None:
    module = lowered(network(), "overlap-kernels")
    before = str(module)
    assert str(apply(module, OverlapKernels())) == before


@pytest.mark.parametrize("pipelined", [False, True])
def test_the_meaning_stays(pipelined: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if pipelined:  # then transfers are in flight between the parts as well
        use_target(monkeypatch, overlapping(small_diana(64 * 1024)))
    module = branches()
    inputs, expected = reference(module)
    assert not caught(lowered(module, "plan-memory"), inputs, expected)


@pytest.mark.parametrize("seed", range(8))
def test_the_meaning_of_random_networks_stays(seed: int) -> None:
    module = random_network(seed)
    inputs = inputs_of(module)
    expected = run(module, inputs)
    lowered(module, "plan-memory")
    for options in RUNS.values():
        for result, wanted in zip(run(module, inputs, **options), expected, strict=True):
            np.testing.assert_array_equal(result, wanted)


def forget_the_wait(module: ModuleOp) -> None:
    """The second part of the convolution returns at once what it was to wait for, and what it was to store."""
    wait = next(op for op in module.walk() if isinstance(op, AwaitOp) and isinstance(op.token, BlockArgument))
    Rewriter.erase_op(wait)


def read_before_the_wait(module: ModuleOp) -> None:
    """The sum comes before the second part of the convolution."""
    block = main_function(module).body.block
    part = next(op for op in block.ops if isinstance(op, CallOp) and op.callee.string_value().endswith("part2"))
    reader = next(op for op in block.ops if isinstance(op, CallOp) and "add" in op.callee.string_value())
    part.detach()
    Rewriter.insert_op(part, InsertPoint.after(reader))


@pytest.mark.parametrize(
    ("bug", "runs"),
    [(forget_the_wait, {"eager", "lazy", "checked", "overlay"}), (read_before_the_wait, {"lazy", "overlay"})],
)
def test_a_planted_bug_is_caught(bug: Callable[[ModuleOp], None], runs: set[str]) -> None:
    module = branches()
    inputs, expected = reference(module)
    lowered(module, "overlap-kernels")
    bug(module)
    assert caught(apply(module, PlanMemory()), inputs, expected) >= runs
