"""The digital core's tiling problem against what its plans really lower to, and what they really take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path

import numpy as np
import pytest
from random_networks import Plan, Planned, RandomNet, dispatched, planned, random_network, slow_cpu
from xdsl.context import Context
from xdsl.dialects.builtin import DictionaryAttr, IntegerAttr, MemRefType, ModuleOp
from xdsl.dialects.func import FuncOp

from htvm_ir.dialects.accel import CPU, LaunchOp, kernels
from htvm_ir.dialects.dma import StartOp, transfer_shape
from htvm_ir.dialects.tiled import PlanAttr
from htvm_ir.driver.compile import Options, compile_model
from htvm_ir.driver.edges import edges
from htvm_ir.driver.execute import execute
from htvm_ir.driver.samples import load_samples
from htvm_ir.interpreters.run import Runner
from htvm_ir.passes.mappings import best_variant, usual_variants
from htvm_ir.passes.pipeline import pass_class
from htvm_ir.passes.plan_memory import ARENA
from htvm_ir.passes.workloads import block_workload
from htvm_ir.targets.diana import tiles
from htvm_ir.targets.diana.target import diana
from htvm_ir.targets.target import Job

DIANA = diana()
GRANULE = 32


def conv(c: int, h: int, w: int, k: int, kernel: tuple[int, int], stride: int, pads: tuple[int, int, int, int]):
    """A network of one convolution; as many groups as channels if ``k`` is 0."""
    net = RandomNet(np.random.default_rng(0), (c, h, w))
    return net, net.conv("x0", k or c, kernel, (stride, stride), pads, groups=1 if k else c)


def dense(inputs: int, outputs: int):
    net = RandomNet(np.random.default_rng(0), (inputs,))
    return net, net.dense("x0", outputs)


def add(*shape: int):
    net = RandomNet(np.random.default_rng(0), shape)
    return net, net.add("x0", "x0", 1, 0)


LAYERS = {
    "k is no multiple of 16": conv(3, 6, 20, 33, (3, 3), 1, (1, 1, 1, 1)),
    "narrow, stride 2": conv(5, 17, 9, 17, (7, 7), 2, (3, 2, 1, 3)),
    "1x1, stride 2": conv(40, 12, 12, 16, (1, 1), 2, (0, 0, 0, 0)),
    "asymmetric padding": conv(2, 8, 33, 20, (5, 3), 1, (0, 2, 4, 1)),
    "more padding than kernel": conv(4, 5, 17, 3, (1, 1), 1, (2, 0, 3, 1)),
    "few rows, large kernel": conv(4, 2, 17, 18, (7, 7), 1, (6, 3, 5, 3)),
    "tiles with all rows": conv(3, 6, 30, 18, (7, 1), 1, (5, 0, 4, 0)),
    "depthwise": conv(35, 4, 20, 0, (3, 5), 1, (1, 2, 1, 2)),
    "depthwise, stride 2": conv(18, 13, 9, 0, (5, 3), 2, (2, 0, 2, 1)),
    "depthwise, one channel left": conv(17, 4, 20, 0, (3, 3), 1, (1, 1, 1, 1)),
    "depthwise, tiles with all rows": conv(18, 6, 30, 0, (7, 1), 1, (5, 0, 4, 0)),
    "dense": dense(70, 55),
    "sum of narrow maps": add(9, 3, 5),
    "sum of vectors": add(77),
}


@dataclass(frozen=True)
class Lowered:
    """One kernel under one plan: what the problem says, what the lowered code holds, what it computes."""

    plan: Plan
    predicted: int
    counted: int
    local_bytes: int
    arena: int
    outputs: tuple[bytes, ...]


def software(function: FuncOp) -> int:
    """The CPU's cycles in a kernel by the model's averages."""
    cycles = tiles.KERNEL_SOFTWARE
    for op in function.walk():
        if isinstance(op, StartOp):
            _, count = pieces(op)
            single = DIANA.channel(op.channel.string_value()).software
            cycles += single if count == 1 else tiles.STRIDED_SOFTWARE + count * tiles.PIECE_SOFTWARE
        elif isinstance(op, LaunchOp):
            cycles += job_software(op)
    return cycles


def job_software(op: LaunchOp) -> int:
    """The CPU's cycles for one job."""
    if op.kernel.data == "depthwise":
        return tiles.DEPTHWISE_SOFTWARE + op.fields["channels"] * tiles.CHANNEL_SOFTWARE
    if op.kernel.data == "blocks":
        return blocks_software(op)
    if op.fields.get("pitch"):
        return tiles.JOB_SOFTWARE + tiles.rows_software(op.fields["oy"])
    return tiles.SUM_SOFTWARE if op.kernel.data == "add" else tiles.JOB_SOFTWARE


def blocks_software(op: LaunchOp) -> int:
    """The CPU's cycles of a depthwise job in diagonal blocks; the core may have to wait for the second list."""
    fields = op.fields
    channels, rows = fields["channels"], fields["oy"] if fields["pitch"] else 0
    software = tiles.list_software(fields["lanes"], rows)
    first = DIANA.engine(op.engine_name).cycles(Job("blocks", {**fields, "channels": 16}))
    wait = max(0, software - first) if channels > 16 else 0
    return tiles.BLOCKS_SOFTWARE + software + -(-channels // 16) * tiles.TRIGGER_SOFTWARE + wait


def devices(function: FuncOp) -> int:
    """Cycles of all transfers and jobs of a kernel, by the cost functions that the device models use."""
    cycles = 0
    for op in function.walk():
        if isinstance(op, LaunchOp):
            cycles += DIANA.engine(op.engine_name).cycles(Job(op.kernel.data, op.fields))
        elif isinstance(op, StartOp):
            cycles += DIANA.channel(op.channel.string_value()).cycles(*pieces(op))
    return cycles


def pieces(start: StartOp) -> tuple[int, int]:
    """Bytes and number of the contiguous pieces of a transfer."""
    ends = [transfer_shape(v.type) for v in start.operands if isinstance(v.type, MemRefType)]
    loops = max(ends, key=len)
    return loops[-1][0], prod(count for count, _ in loops[:-1])


def lower(module: ModuleOp, plan: Plan) -> ModuleOp:
    """A dispatched module with one kernel on the array, down to addresses; what the CPU computes stays tensor ops."""
    module = module.clone()
    for kernel in kernels(module):
        if kernel.engine_name != CPU:
            sizes = {name: size for name, size in plan.items() if isinstance(size, int)}
            kernel.plan = PlanAttr(sizes, mapping=str(plan.get("mapping", "")))
    names = ("assign-layouts", "apply-plan", "bufferize", "explicit-dma", "plan-memory")
    for name in names:
        pass_class(name)().apply(Context(), module)
    module.verify()
    return module


def arena(module: ModuleOp) -> int:
    """Planned bytes of L1."""
    sizes = module.attributes[ARENA]
    assert isinstance(sizes, DictionaryAttr)
    size = sizes.data["L1"]
    assert isinstance(size, IntegerAttr)
    return size.value.data


def plans(problem: Planned) -> Iterator[tuple[Plan, int]]:
    """Every legal plan, with the bytes of L1 the problem counts."""
    local = next(c for c in problem.problem.capacities if c.name == "L1")
    for point in problem.points():
        for order in problem.problem.orders:
            yield problem.plan(point, order), local.missing(point) + local.limit


@cache
def lowered(layer: str) -> list[Lowered]:
    """A layer under all its legal plans."""
    net, last = LAYERS[layer]
    model = net.model(last)
    module = dispatched(model)
    ((_, problems),) = planned(model).items()
    x = np.random.default_rng(1).integers(-128, 128, (1, *net.shape)).astype(np.int8)
    results: list[Lowered] = []
    for problem, (plan, local_bytes) in ((p, found) for p in problems for found in plans(p)):
        low = lower(module, plan)
        function = next(f for f in low.ops if isinstance(f, FuncOp) and f.sym_name.data.startswith("digital"))
        outputs = tuple(v.tobytes() for v in Runner(low, order="lazy", overlay=True).run([x]))
        counted = devices(function) + software(function)
        results.append(Lowered(plan, problem.latency(plan), counted, local_bytes, arena(low), outputs))
    return results


@pytest.mark.parametrize("layer", LAYERS)
def test_predicted_cycles_are_those_of_the_lowered_transfers_and_jobs(layer: str):
    wrong = [plan for plan in lowered(layer) if plan.predicted != plan.counted]
    assert not wrong, wrong[0]


@pytest.mark.parametrize("layer", LAYERS)
def test_l1_is_counted_safely_and_tightly(layer: str):
    wrong = [plan for plan in lowered(layer) if not 0 <= plan.local_bytes - plan.arena <= 2 * GRANULE]
    assert not wrong, wrong[0]


@pytest.mark.parametrize("layer", LAYERS)
def test_every_legal_plan_computes_the_same(layer: str):
    net, last = LAYERS[layer]
    x = np.random.default_rng(1).integers(-128, 128, (1, *net.shape)).astype(np.int8)
    expected = tuple(v.tobytes() for v in Runner(dispatched(net.model(last))).run([x]))
    wrong = [plan for plan in lowered(layer) if plan.outputs != expected]
    assert not wrong, wrong[0]


@pytest.mark.parametrize("layer", LAYERS)
def test_the_planner_finds_the_cheapest_of_all_mappings_and_tiles(layer: str):
    net, last = LAYERS[layer]
    ((_, problems),) = planned(net.model(last)).items()
    module = dispatched(net.model(last))
    for name in ("assign-layouts", "plan-tiles"):
        pass_class(name)().apply(Context(), module)
    (found,) = (kernel.plan for kernel in kernels(module) if kernel.engine_name != CPU)
    assert isinstance(found, PlanAttr) and found.proven.data
    chosen = next(p for p in problems if p.mapping == found.mapping.data)
    alike = [p for p in problems if p.layouts == chosen.layouts]
    assert found.latency.data + chosen.constants == min(
        p.latency(plan) + p.constants for p in alike for plan, _ in plans(p)
    )


def test_a_price_of_constants_decides_between_mappings():
    """Sixteen channels a job are the fastest and have the largest weights."""
    net, last = conv(64, 6, 20, 0, (3, 3), 1, (1, 1, 1, 1))
    (kernel,) = (k for k in kernels(dispatched(net.model(last))) if k.engine_name != CPU)
    workload = block_workload(kernel.body.block)
    chosen: dict[float, str] = {}
    for price in (0.0, 0.3, 1.0):
        target = diana(constant_price=price)
        engine = target.engine("digital")
        found = best_variant(engine, usual_variants(engine, workload), target, 5.0)
        assert isinstance(found, tuple)
        chosen[price] = found[0].mapping
    assert chosen == {0.0: "blocks16", 0.3: "blocks8", 1.0: "blocks4"}


def test_the_layers_are_really_cut():
    """Otherwise the tests above would compare next to nothing."""
    counts = {layer: len({tuple(sorted(plan.plan.items())) for plan in lowered(layer)}) for layer in LAYERS}
    assert min(counts.values()) >= 2, counts
    assert sum(counts.values()) > 60


def measure(model: str, plan: dict[str, Plan] | None = None) -> tuple[dict[str, int], dict[str, int]]:
    """Cycles of each kernel: of those on the array as predicted, of all on the virtual SoC."""
    with slow_cpu():
        compiled = compile_model(model, Options(plan=plan, overlap=False))
    layers = compiled.report["layers"]
    predicted = {layer["kernel"]: layer["cycles"] for layer in layers if layer["engine"] == "digital"}
    samples = load_samples("random:1", *edges(compiled.module), 1)
    return predicted, execute(compiled, "default", samples).layer_cycles


def assert_close(predicted: dict[str, int], measured: dict[str, int], kernel: float, total: float) -> None:
    """Relative errors of each kernel and of their sum."""
    errors = {name: cycles / measured[name] - 1 for name, cycles in predicted.items()}
    print({name: (cycles, measured[name], f"{errors[name]:+.2%}") for name, cycles in predicted.items()})
    assert max(map(abs, errors.values())) < kernel, errors
    assert abs(sum(predicted.values()) / sum(measured[name] for name in predicted) - 1) < total


def test_resnet8_takes_the_predicted_cycles():
    predicted, measured = measure("zoo:resnet8")
    assert len(predicted) == 13
    assert_close(predicted, measured, kernel=0.02, total=0.001)


@pytest.mark.parametrize("seed", [102, 104, 109])
def test_forced_tilings_take_the_predicted_cycles(seed: int, tmp_path: Path):
    net, last = random_network(seed)
    path = tmp_path / "network.onnx"
    path.write_bytes(net.model(last).SerializeToString())
    random = np.random.default_rng(seed)
    chosen = {kernel: problems[random.integers(len(problems))] for kernel, problems in planned(net.model(last)).items()}
    plan = {kernel: problem.draw(random) for kernel, problem in chosen.items()}
    predicted, measured = measure(str(path), plan)
    assert predicted.keys() == plan.keys()
    assert_close(predicted, measured, kernel=0.05, total=0.01)
