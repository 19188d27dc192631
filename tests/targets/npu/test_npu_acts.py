"""What the CPU does for a nest, act by act: it takes what the pipeline takes, and uses each buffer for one tile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from workloads import workloads

from htvm_ir.targets.npu.parameters import Parameters
from htvm_ir.targets.npu.target import npu
from htvm_ir.targets.workload import Workload
from htvm_ir.tiling.acts import JOB, Act, acts
from htvm_ir.tiling.pipeline import Pipeline

EXTERNAL = (0, 4096)
"""Sizes of the external memory: none, and some, behind a port of its own."""


@st.composite
def nests(draw: st.DrawFn) -> tuple[Pipeline, dict[str, int], dict[str, int], dict[str, int]]:
    """A pipeline and any choice of its tiles and buffers, whether or not these have room."""
    workload: Workload = draw(workloads())
    workload = replace(workload, resident=frozenset(draw(st.sets(st.integers(0, len(workload.inputs))))))
    target = npu(
        Parameters(rows=4, cols=4), dma_queue=draw(st.integers(1, 4)), ext_memory=draw(st.sampled_from(EXTERNAL))
    )
    problem = target.engines[0].problem(workload, target)
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    point = {d.name: int(random.integers(len(d.sizes))) for d in problem.dimensions}
    counts = {d.name: d.counts()[point[d.name]] for d in problem.dimensions}
    order = draw(st.sampled_from(problem.orders))
    assert isinstance(problem.pipeline, Pipeline)
    depths = {name: problem.sizes(point)[name] for name in problem.choices}
    return problem.pipeline, point, {name: counts[name] for name in order}, depths


def run(done: tuple[Act, ...], pipeline: Pipeline) -> int:
    """The CPU's time behind all acts."""
    software = pipeline.software
    now, ends = software.kernel, list[int]()
    ports, queues = dict[str, int](), dict[str, list[int]]()
    operands = [*pipeline.loads, *([] if pipeline.store is None else [pipeline.store])]
    port_of = {operand.name: operand.port for operand in operands}
    for act in done:
        end = 0
        if act.waits_for is not None:
            now = max(now, ends[act.waits_for]) + software.wait
        elif act.operand == JOB:
            now += software.job
            end = now + act.work
        else:
            queue = queues.setdefault(act.operand, [])
            now = max(now + software.transfer, queue[-pipeline.queue] if len(queue) >= pipeline.queue else 0)
            end = ports[port_of[act.operand]] = max(now, ports.get(port_of[act.operand], 0)) + act.work
            queue.append(end)
        ends.append(end)
    return now


@settings(deadline=None, max_examples=60)
@given(nests())
def test_the_acts_take_the_cycles_of_the_pipeline(
    nest: tuple[Pipeline, dict[str, int], dict[str, int], dict[str, int]],
) -> None:
    """But for some waits that have nothing to wait for: of the last stores, and of inputs, the pipeline counts one."""
    pipeline, point, counts, depths = nest
    done = acts(pipeline, point, counts, depths)
    cycles = run(done, pipeline)
    last = max(number for number, act in enumerate(done) if act.operand == JOB)
    stores = sum(act.waits_for is not None for act in done[last + 1 :])
    more = max(stores - 1, 0) + sum(act.waits_for is not None and act.part > 0 for act in done)
    latency = pipeline.latency(point, counts, depths)
    assert latency <= cycles <= latency + pipeline.software.wait * more


@settings(deadline=None, max_examples=40)
@given(nests())
def test_a_buffer_is_filled_when_no_job_needs_it_any_more(
    nest: tuple[Pipeline, dict[str, int], dict[str, int], dict[str, int]],
) -> None:
    done = acts(*nest)
    loads = {load.name for load in nest[0].loads}
    flying: dict[tuple[tuple[str, int], int], int] = {}
    for number, act in enumerate(done):
        started = number if act.waits_for is None else act.waits_for
        for part in [(slot, act.part) for slot in act.slots]:
            assert flying.get(part, started) == started  # nothing else is in flight there
            if act.waits_for is None:
                flying[part] = number
            else:
                del flying[part]
    assert not flying
    jobs = [act for act in done if act.operand == JOB and act.waits_for is None]
    assert all({name for name, _ in job.slots} >= loads for job in jobs)
