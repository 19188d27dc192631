"""Software pipelines of the npu mean the same in every order of effects, and planted mistakes show."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from random_networks import RandomNet  # pyright: ignore[reportMissingImports]
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import Block, Operation
from xdsl.rewriter import InsertPoint, Rewriter
from xdsl.utils.exceptions import InterpretationError

from htvm_ir.dialects.accel import CPU, AwaitOp, LaunchOp, kernels
from htvm_ir.dialects.dma import StartOp, WaitOp
from htvm_ir.dialects.tiled import PlanAttr
from htvm_ir.frontends.onnx import import_model
from htvm_ir.interpreters.run import run
from htvm_ir.passes.pipeline import PIPELINE, pass_class, run_passes
from htvm_ir.passes.plan_memory import PlanMemory
from htvm_ir.passes.set_target import SetTarget
from htvm_ir.passes.workloads import block_workload
from htvm_ir.targets import registry
from htvm_ir.targets.npu.target import npu
from htvm_ir.targets.target import Host

RUNS: dict[str, dict[str, Any]] = {
    "eager": {"order": "eager"},
    "lazy": {"order": "lazy"},
    "checked": {"order": "checked"},
    "overlay": {"order": "lazy", "overlay": True},
}
TILE = {"k": 8, "y": 3}
INPUT = np.random.default_rng(1).integers(-128, 128, (1, 6, 9, 7)).astype(np.int8)


@pytest.fixture(autouse=True)
def small_npu(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tiles of 8 channels are legal, and the CPU is never chosen. Maps stay in L1 if that is asked for."""
    staying = getattr(request, "param", False)
    slow = replace(npu(rows=8, residency=staying), host=Host(per_mac=1000, per_element={"other": 1000}))
    with patch.object(registry, "load_target", return_value=slow):
        yield


def network() -> ModuleOp:
    """A convolution, a depthwise one, a sum and a pool; with TILE the first has 3 x 3 tiles."""
    net = RandomNet(np.random.default_rng(0), INPUT.shape[1:])
    x = net.conv("x0", 20, (3, 3), pads=(1, 1, 1, 1), lo=0)
    y = net.conv(x, 20, (3, 3), pads=(1, 1, 1, 1), groups=20)
    return import_model(net.model(net.pool(net.add(x, y, 1, -128), "MaxPool", (2, 2), 1)))


def lowered(module: ModuleOp, depths: tuple[int, int, int]) -> ModuleOp:
    """The module up to pipeline-dma, with so many buffers for inputs, constants and output."""
    run_passes(module, [SetTarget("npu")])
    for name in PIPELINE[: PIPELINE.index("pipeline-dma") + 1]:
        if name == "plan-residency":
            for dispatch in kernels(module):
                if dispatch.engine_name != CPU:
                    inputs, constants, output = depths
                    count = len(block_workload(dispatch.body.block).inputs)
                    dispatch.plan = PlanAttr(TILE, (*[inputs] * count, output), constant_buffers=constants)
        run_passes(module, [pass_class(name)()])
    return module


def caught(module: ModuleOp, expected: Any) -> set[str]:
    """The runs that fail or give another result."""
    run_passes(module, [PlanMemory()])
    found: set[str] = set()
    for name, options in RUNS.items():
        try:
            (result,) = run(module, [INPUT], **options)
        except InterpretationError:
            found.add(name)
        else:
            found |= set() if np.array_equal(result, expected) else {name}
    return found


def conv_block(module: ModuleOp) -> Block:
    """The body of the first kernel."""
    return next(op for op in module.ops if isinstance(op, FuncOp)).body.block


def starts(block: Block, channel: str) -> list[StartOp]:
    return [op for op in block.ops if isinstance(op, StartOp) and op.channel.string_value() == channel]


def wait_of(start: StartOp) -> WaitOp:
    wait = start.token.get_user_of_unique_use()
    assert isinstance(wait, WaitOp)
    return wait


@pytest.mark.parametrize("depths", [(1, 1, 1), (2, 2, 2), (3, 3, 3), (1, 3, 2), (3, 1, 1), (2, 1, 3)])
def test_the_meaning_stays(depths: tuple[int, int, int]) -> None:
    (expected,) = run(network(), [INPUT])
    assert not caught(lowered(network(), depths), expected)


@pytest.mark.parametrize("small_npu", [True], indirect=True)
def test_jobs_on_rows_of_maps_that_stay_mean_the_same() -> None:
    """Every kernel has tiles of 8 channels and 3 rows: of its operands in L1 these are bytes with gaps."""
    (expected,) = run(network(), [INPUT])
    module = lowered(network(), (2, 2, 2))
    jobs = [op.fields for op in module.walk() if isinstance(op, LaunchOp)]
    for source, result in ((True, False), (False, True), (True, True)):
        assert any(_gaps(job) == (source, result) for job in jobs)
    assert not caught(module, expected)


def _gaps(job: Mapping[str, int]) -> tuple[bool, bool]:
    """Whether the planes of the input, and those of the output, lie apart."""
    return job["input_pitch"] > job["iy"] * job["ix"], job["output_pitch"] > job["oy"] * job["ox"]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_buffers_decide_how_many_loads_come_before_the_first_job(depth: int) -> None:
    block = conv_block(lowered(network(), (depth, 1, 1)))
    first = next(op for op in block.ops if isinstance(op, LaunchOp))
    before = [start for start in starts(block, "inputs") if start.is_before_in_block(first)]
    assert len(before) == depth


def forget_a_wait(block: Block) -> None:
    Rewriter.erase_op(wait_of(starts(block, "inputs")[1]))


def constants_too_late(block: Block) -> None:
    moved(wait_of(starts(block, "weights")[1]), block.last_op)


def store_before_the_job_is_done(block: Block) -> None:
    moved([op for op in block.ops if isinstance(op, AwaitOp)][-1], block.last_op)


def moved(op: Operation, before: Operation | None) -> None:
    assert before is not None
    op.detach()
    Rewriter.insert_op(op, InsertPoint.before(before))


@pytest.mark.parametrize(
    ("bug", "runs"),
    [
        (forget_a_wait, set(RUNS)),
        (constants_too_late, {"lazy", "checked", "overlay"}),
        (store_before_the_job_is_done, {"lazy", "checked", "overlay"}),
    ],
)
def test_a_planted_mistake_is_caught(bug: Callable[[Block], None], runs: set[str]) -> None:
    (expected,) = run(network(), [INPUT])
    module = lowered(network(), (2, 2, 2))
    bug(conv_block(module))
    assert caught(module, expected) >= runs
