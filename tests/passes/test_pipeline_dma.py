"""``pipeline-dma`` makes a software pipeline and keeps the meaning; mistakes planted in one are found by running it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from lowering import caught, kernel, lowered, of_type, reference, use_target
from networks import Net, apply, count, overlapping, parse, small_diana
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.memref import AllocOp, SubviewOp
from xdsl.ir import Block, Operation
from xdsl.rewriter import InsertPoint, Rewriter

from htvm_ir.dialects.accel import AwaitOp, LaunchOp
from htvm_ir.dialects.attributes import integers, values
from htvm_ir.dialects.dma import StartOp, WaitOp
from htvm_ir.passes.pipeline_dma import PipelineDma, root
from htvm_ir.passes.plan_memory import PlanMemory

TILE = {"y": 4, "k": 16}


@pytest.fixture(autouse=True)
def double_buffered(monkeypatch: pytest.MonkeyPatch) -> None:
    use_target(monkeypatch, overlapping(small_diana(64 * 1024)))


def conv_net() -> ModuleOp:
    """A convolution: TILE cuts it into 3 x 2 tiles, and an input tile stays for two jobs."""
    net = Net((1, 16, 12, 16))
    return net.module(net.conv(net.arguments[0], 32, (3, 3), pads=(1, 1, 1, 1)))


def depthwise_net() -> ModuleOp:
    net = Net((1, 32, 12, 16))
    return net.module(net.depthwise(net.arguments[0], (3, 3), pads=(1, 1, 1, 1)))


def add_net() -> ModuleOp:
    net = Net((1, 16, 12, 16), (1, 16, 12, 16))
    left, right = net.arguments
    return net.module(net.add(left, right))


def dense_net() -> ModuleOp:
    net = Net((1, 40))
    return net.module(net.dense(net.arguments[0], 100))


NETS = {
    "conv": (conv_net, TILE),
    "depthwise": (depthwise_net, TILE),
    "add": (add_net, {"k": 4}),
    "dense": (dense_net, {"k": 16}),
}


def loads(block: Block) -> list[StartOp]:
    return [op for op in of_type(block, StartOp) if isinstance(root(op.destination).owner, AllocOp)]


def stores(block: Block) -> list[StartOp]:
    return [op for op in of_type(block, StartOp) if op not in loads(block)]


def wait_of(start: StartOp) -> WaitOp:
    wait = start.token.get_user_of_unique_use()
    assert isinstance(wait, WaitOp)
    return wait


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("name", NETS)
def test_the_meaning_stays(name: str, depth: int) -> None:
    build, tile = NETS[name]
    module = build()
    inputs, expected = reference(module)
    lowered(module, "plan-memory", tile, depth)
    assert count(module, "accel.launch") > 2
    assert not caught(module, inputs, expected)


def test_the_next_tile_comes_in_and_the_last_goes_out_beside_a_job() -> None:
    block = kernel(lowered(conv_net(), "pipeline-dma", TILE, 2))
    at = {op: number for number, op in enumerate(block.ops)}
    launches, awaits = of_type(block, LaunchOp), of_type(block, AwaitOp)
    assert (len(launches), len(loads(block)), len(stores(block))) == (6, 3, 6)
    for load, job in zip(loads(block)[1:], (0, 2), strict=True):  # beside the first job of the tile before
        assert at[launches[job]] < at[load] < at[awaits[job]]
        assert at[awaits[job + 1]] < at[wait_of(load)] < at[launches[job + 2]]
    for job, store in enumerate(stores(block)[:-1]):
        assert at[awaits[job]] < at[store] < at[launches[job + 1]] < at[awaits[job + 1]] < at[wait_of(store)]


def test_a_channel_has_the_transfers_of_one_job_in_flight() -> None:
    """So a wait for all that a channel was given costs nothing."""
    block = kernel(lowered(conv_net(), "pipeline-dma", TILE, 2))
    in_flight: dict[str, int] = {}
    for op in of_type(block, StartOp, WaitOp):
        start = op if isinstance(op, StartOp) else op.token.owner
        channel = start.channel.string_value()
        in_flight[channel] = in_flight.get(channel, 0) + (1 if op is start else -1)
        assert in_flight[channel] <= 1


def test_one_buffer_leaves_no_room_for_the_next_tile() -> None:
    block = kernel(lowered(conv_net(), "pipeline-dma", TILE, 1))
    at = {op: number for number, op in enumerate(block.ops)}
    awaits = of_type(block, AwaitOp)
    for load, last_reader in zip(loads(block)[1:], (1, 3), strict=True):
        assert at[load] > at[awaits[last_reader]]


def test_a_second_run_changes_nothing() -> None:
    module = lowered(conv_net(), "pipeline-dma", TILE, 2)
    before = str(module)
    assert str(apply(module, PipelineDma())) == before


def test_without_overlap_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    use_target(monkeypatch, small_diana(64 * 1024))
    module = lowered(conv_net(), "explicit-dma", TILE, 2)
    before = str(module)
    assert str(apply(module, PipelineDma())) == before


HAND_WRITTEN = """
builtin.module attributes {{accel.target = #accel.target<"diana">}} {{
  func.func @f(%x: memref<64xi8, "L2">, %y: memref<64xi8, "L2">, %i: index, %v: i8) {{
    %a = memref.alloc() : memref<64xi8, "L1">
    %b = memref.alloc() : memref<64xi8, "L1">
    %s = dma.start @digital_out %a to %x : memref<64xi8, "L1"> to memref<64xi8, "L2">
    dma.wait %s
    {between}
    %l = dma.start @digital_in {source} to %b : memref<64xi8, "L2"> to memref<64xi8, "L1">
    dma.wait %l
    func.return
  }}
}}
"""


@pytest.mark.parametrize(
    ("between", "source", "order"),
    [
        ("", "%y", ["load", "store", "wait for load", "wait for store"]),
        ("", "%x", ["store", "wait for store", "load", "wait for load"]),
        ('memref.store %v, %y[%i] : memref<64xi8, "L2">', "%y", ["store", "wait for store", "load", "wait for load"]),
        ("%n = arith.addi %i, %i : index", "%y", ["load", "store", "wait for load", "wait for store"]),
    ],
    ids=["independent", "what was stored", "written by the CPU", "unrelated"],
)
def test_order_that_matters_is_kept(between: str, source: str, order: list[str]) -> None:
    module = apply(parse(HAND_WRITTEN.format(between=between, source=source)), PipelineDma())
    assert [describe(op) for op in of_type(kernel(module), StartOp, WaitOp)] == order


def describe(op: StartOp | WaitOp) -> str:
    if isinstance(op, StartOp):
        return {"digital_in": "load", "digital_out": "store"}[op.channel.string_value()]
    assert isinstance(op.token.owner, StartOp)
    return f"wait for {describe(op.token.owner)}"


Bug = Callable[[Block], None]


def moved(op: Operation, place: InsertPoint) -> None:
    op.detach()
    Rewriter.insert_op(op, place)


def forget_a_wait(block: Block) -> None:
    Rewriter.erase_op(wait_of(loads(block)[1]))


def launch_during_the_load(block: Block) -> None:
    moved(wait_of(loads(block)[1]), InsertPoint.before(of_type(block, AwaitOp)[2]))


def launch_before_the_load(block: Block) -> None:
    moved(wait_of(loads(block)[1]), InsertPoint.after(of_type(block, AwaitOp)[2]))


def store_during_the_job(block: Block) -> None:
    moved(of_type(block, AwaitOp)[0], InsertPoint.after(stores(block)[0]))


def store_before_the_job(block: Block) -> None:
    moved(of_type(block, AwaitOp)[5], InsertPoint.after(wait_of(stores(block)[5])))


def one_input_buffer(block: Block) -> None:
    first, second = (root(load.destination) for load in loads(block)[:2])
    second.replace_all_uses_with(first)


def one_output_buffer(block: Block) -> None:
    first, second = (root(store.source) for store in stores(block)[:2])
    second.replace_all_uses_with(first)


def a_row_too_low(block: Block) -> None:
    view = loads(block)[1].source.owner
    assert isinstance(view, SubviewOp)
    n, c, y, x = values(view.static_offsets)
    view.properties["static_offsets"] = integers([n, c, y + 1, x])


EVERY_RUN = {"eager", "lazy", "checked", "overlay"}
LATE_RUNS = {"lazy", "checked", "overlay"}


@pytest.mark.parametrize(
    ("bug", "runs"),
    [
        (forget_a_wait, EVERY_RUN),
        (launch_before_the_load, LATE_RUNS),
        (launch_during_the_load, {"checked"}),
        (store_before_the_job, LATE_RUNS),
        (store_during_the_job, {"checked"}),
        (one_input_buffer, {"eager", "checked"}),
        (one_output_buffer, LATE_RUNS),
        (a_row_too_low, EVERY_RUN),
    ],
)
def test_a_planted_bug_is_caught(bug: Bug, runs: set[str]) -> None:
    """Neither order shows a race whose two sides happen to take effect in the intended order; a checked run does."""
    module = conv_net()
    inputs, expected = reference(module)
    bug(kernel(lowered(module, "pipeline-dma", TILE, 2)))
    apply(module, PlanMemory())
    assert caught(module, inputs, expected) == runs
