"""The tiling problem with the analog core's DMA beside the digital core, against what its plans lower to and take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_networks import dispatched, random_network, slow_cpu
from test_tiles import GRANULE, LAYERS, job_software, pieces
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp
from xdsl.dialects.memref import AllocOp

from htvm_ir.dialects.accel import CPU, AwaitOp, DispatchOp, LaunchOp, kernels
from htvm_ir.dialects.dma import StartOp, WaitOp
from htvm_ir.dialects.tiled import PlanAttr
from htvm_ir.driver.compile import Options, compile_model
from htvm_ir.driver.edges import edges
from htvm_ir.driver.execute import execute
from htvm_ir.driver.samples import load_samples
from htvm_ir.interpreters.run import Runner
from htvm_ir.passes.mappings import variants
from htvm_ir.passes.pipeline import pass_class
from htvm_ir.passes.workloads import block_workload, module_target
from htvm_ir.targets.diana import tiles
from htvm_ir.targets.diana.target import diana
from htvm_ir.targets.target import Job
from htvm_ir.targets.workload import Workload
from htvm_ir.tiling.brute_force import brute_force
from htvm_ir.tiling.problem import Order, Problem
from htvm_ir.tiling.solve import solve

COPY: dict[str, Any] = {"copy_engine": "analog"}
PLAIN, COPYING = diana(), diana(**COPY)
ORDERS = ("eager", "lazy", "checked")
SAMPLES = 8
"""Plans of a layer that are lowered and run."""


@cache
def module_of(layer: str) -> ModuleOp:
    net, last = LAYERS[layer]
    return dispatched(net.model(last), **COPY)


def the_kernel(module: ModuleOp) -> DispatchOp:
    (found,) = (kernel for kernel in kernels(module) if kernel.engine_name != CPU)
    return found


def workloads(layer: str) -> list[Workload]:
    """The layer under each mapping, and with operands that stay in L1."""
    engine, workload = COPYING.engine("digital"), block_workload(the_kernel(module_of(layer)).body.block)
    last = len(workload.inputs)
    sets = (frozenset[int](), frozenset({0}), frozenset({last}), frozenset(range(last + 1)))
    return [replace(w, resident=resident) for w in variants(engine, workload) for resident in sets]


def points(problem: Problem) -> Iterator[tuple[dict[str, int], Order]]:
    """Random choices, legal or not."""
    random = np.random.default_rng(len(problem.dimensions))
    for _ in range(20):
        point = {d.name: int(random.integers(len(d.sizes))) for d in problem.dimensions}
        yield point, problem.orders[random.integers(len(problem.orders))]


@pytest.mark.parametrize("layer", LAYERS)
def test_the_solver_agrees_with_brute_force_and_bounds_hold(layer: str):
    for workload in workloads(layer):
        problem = COPYING.engine("digital").problem(workload, COPYING)
        assert solve(problem) == brute_force(problem)
        for point, order in points(problem):
            chains = [sum(term.at(point) for term in chain) for chain in problem.chains(order)]
            assert max(chains) <= problem.latency(point, order)


@pytest.mark.parametrize("layer", LAYERS)
def test_one_buffer_each_takes_as_long_as_the_core_s_own_dma(layer: str):
    for workload in workloads(layer):
        problem, plain = (target.engine("digital").problem(workload, target) for target in (COPYING, PLAIN))
        for point, order in points(plain):
            single = {**point, **dict.fromkeys(problem.choices, 0)}
            assert problem.fits(single) == plain.fits(point)
            assert problem.latency(single, order) == plain.latency(point, order)


def lower(module: ModuleOp, plan: PlanAttr) -> ModuleOp:
    """The kernel under a plan, down to addresses."""
    module = module.clone()
    the_kernel(module).plan = plan
    for name in ("assign-layouts", "apply-plan", "bufferize", "explicit-dma", "pipeline-dma", "plan-memory"):
        pass_class(name)().apply(Context(), module)
    module.verify()
    return module


def draw(layer: str) -> Iterator[tuple[PlanAttr, int]]:
    """Some legal plans of the layer as it is, and the cycles they are predicted to take."""
    random = np.random.default_rng(len(layer))
    problems = [(w, COPYING.engine("digital").problem(w, COPYING)) for w in workloads(layer) if not w.resident]
    for _ in range(SAMPLES):
        workload, problem = problems[random.integers(len(problems))]
        while True:
            point = {d.name: int(random.integers(len(d.sizes))) for d in problem.dimensions}
            if problem.fits(point):
                break
        order = problem.orders[random.integers(len(problem.orders))]
        sizes = problem.sizes(point)
        depths = (*[sizes["inputs"]] * len(workload.inputs), sizes["output"])
        plan = PlanAttr({name: sizes[name] for name in order}, depths, mapping=workload.mapping)
        yield plan, problem.latency(point, order)


def counted(function: FuncOp) -> int:
    """Cycles of a lowered kernel: the CPU drives transfers and starts jobs, which go on until they are awaited."""
    now, end = tiles.KERNEL_SOFTWARE, 0
    for op in function.walk():
        if isinstance(op, StartOp):
            channel, (length, count) = COPYING.channel(op.channel.string_value()), pieces(op)
            software = channel.software if count == 1 else tiles.STRIDED_SOFTWARE + count * tiles.PIECE_SOFTWARE
            now += channel.cycles(length, count) + software
        elif isinstance(op, LaunchOp):
            engine, job = COPYING.engine(op.engine_name), Job(op.kernel.data, op.fields)
            now += job_software(op) + engine.cycles(job) - engine.detached(job)
            end = now + engine.detached(job)
        elif isinstance(op, AwaitOp):
            now = max(now, end)
    return now


def one_at_a_time(function: FuncOp) -> bool:
    """Whether every transfer has been waited for when the next one starts."""
    flying = 0
    for op in function.walk():
        flying += isinstance(op, StartOp) - isinstance(op, WaitOp)
        if flying > 1:
            return False
    return flying == 0


@pytest.mark.parametrize("layer", LAYERS)
def test_lowered_plans_take_the_predicted_cycles_and_compute_the_same_in_every_order(layer: str):
    net, last = LAYERS[layer]
    x = np.random.default_rng(1).integers(-128, 128, (1, *net.shape)).astype(np.int8)
    with slow_cpu(**COPY):
        expected = [v.tobytes() for v in Runner(dispatched(net.model(last))).run([x])]
        for plan, predicted in draw(layer):
            low = lower(module_of(layer), plan)
            function = next(f for f in low.ops if isinstance(f, FuncOp) and f.sym_name.data.startswith("digital"))
            assert counted(function) == predicted, plan
            assert one_at_a_time(function)
            for order in ORDERS:
                assert [v.tobytes() for v in Runner(low, order=order, overlay=True).run([x])] == expected, plan


def test_many_plans_have_two_buffers():
    """Otherwise the test above would compare next to nothing."""
    found = [plan.depths for layer in LAYERS for plan, _ in draw(layer)]
    assert min(sum(depths[n] == 2 for depths in found) for n in (0, -1)) > len(found) // 3


def test_l1_has_room_for_all_buffers():
    for layer in LAYERS:
        engine = COPYING.engine("digital")
        for plan, _ in draw(layer):
            low = lower_buffers(layer, plan)
            workload = replace(workloads(layer)[0], mapping=plan.mapping.data)
            problem = engine.problem(workload, COPYING)
            sizes = {**plan.tile, "inputs": plan.depths[0], "output": plan.depths[-1]}
            point = {d.name: d.sizes.index(sizes[d.name]) for d in problem.dimensions}
            local = next(c for c in problem.capacities if c.name == "L1")
            assert 0 <= local.missing(point) + local.limit - low <= 2 * GRANULE * sum(plan.depths)


def lower_buffers(layer: str, plan: PlanAttr) -> int:
    """Bytes of the L1 buffers that a plan lowers to, each rounded up to whole granules of the DMA."""
    with slow_cpu(**COPY):
        low = lower(module_of(layer), plan)
    types = [op.memref.type for op in low.walk() if isinstance(op, AllocOp)]
    sizes = [type_.get_shape()[0] for type_ in types if type_.memory_space == StringAttr("L1")]
    return sum(-(-size // GRANULE) * GRANULE for size in sizes)


@pytest.mark.parametrize("seed", [102, 104, 109])
def test_solved_plans_take_the_predicted_cycles_on_the_virtual_soc(seed: int, tmp_path: Path):
    """In so little L1 that tiles are cut; nothing else overlaps."""
    net, last = random_network(seed)
    path = tmp_path / "network.onnx"
    path.write_bytes(net.model(last).SerializeToString())
    with slow_cpu(**COPY, l1_bytes=6 * 1024):
        target = module_target(dispatched(net.model(last), **COPY, l1_bytes=6 * 1024))
        assert target.channel("copy_in").lent_by == "analog"
        compiled = compile_model(str(path), Options(overlap=False))
    layers = [layer for layer in compiled.report["layers"] if layer["engine"] == "digital"]
    samples = load_samples("random:1", *edges(compiled.module), 1)
    done = execute(compiled, "default", samples, check=True)
    assert done.check is not None and not done.check.failed
    errors = {layer["kernel"]: layer["cycles"] / done.layer_cycles[layer["kernel"]] - 1 for layer in layers}
    assert max(map(abs, errors.values())) < 0.06, errors
    total = sum(layer["cycles"] for layer in layers) / sum(done.layer_cycles[layer["kernel"]] for layer in layers)
    assert abs(total - 1) < 0.02, errors
