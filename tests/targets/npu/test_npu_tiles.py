"""The tiling problem: its bounds hold, the solver finds what trying everything finds, every tile fits its memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from workloads import workloads

from htvm_ir.targets.npu.parameters import Parameters
from htvm_ir.targets.npu.target import npu
from htvm_ir.targets.target import Target
from htvm_ir.targets.workload import Requant, Tensor, Workload, dimensions, tile_workload, tiles
from htvm_ir.tiling.brute_force import brute_force
from htvm_ir.tiling.problem import Problem, Solution
from htvm_ir.tiling.prune import lower_bound
from htvm_ir.tiling.solve import solve

SMALL = Parameters(rows=4, cols=4, l1=1024, weight_memory=512)
EXTERNAL = (0, 4096)
"""Sizes of the external memory: none, and some, behind a port of its own."""


def problem_of(workload: Workload, target: Target) -> Problem:
    (array,) = target.engines
    return array.problem(workload, target)


@st.composite
def staying(draw: st.DrawFn) -> Workload:
    """A workload of which any operands may stay in L1."""
    workload = draw(workloads())
    return replace(workload, resident=frozenset(draw(st.sets(st.integers(0, len(workload.inputs))))))


@settings(deadline=None, max_examples=25)
@given(staying(), st.sampled_from([1, 2, 3]), st.sampled_from([256, 1024, 4096]), st.sampled_from(EXTERNAL))
def test_the_solver_agrees_with_brute_force(workload: Workload, buffers: int, l1: int, external: int) -> None:
    problem = problem_of(workload, npu(SMALL, l1=l1, buffers=buffers, ext_memory=external))
    if workload.output.shape[1] * (workload.output.shape[2:] or (1,))[0] <= 100:  # brute force is slow
        assert solve(problem) == brute_force(problem)


@settings(deadline=None, max_examples=60)
@given(staying(), st.integers(0, 2**32 - 1), st.sampled_from(EXTERNAL))
def test_no_run_is_faster_than_its_bounds(workload: Workload, seed: int, external: int) -> None:
    problem, random = problem_of(workload, npu(SMALL, ext_memory=external)), np.random.default_rng(seed)
    for _ in range(20):
        point = {d.name: int(random.integers(len(d.sizes))) for d in problem.dimensions}
        for order in problem.orders:
            chains = [sum(term.at(point) for term in chain) for chain in problem.chains(order)]
            assert lower_bound(problem) <= max(chains) <= problem.latency(point, order)


@settings(deadline=None, max_examples=40)
@given(staying())
def test_tiles_fit_the_memories(workload: Workload) -> None:
    """The capacities are what explicit-dma allocates: each operand's largest tile, as often as it is buffered."""
    target = npu(SMALL)
    (array,) = target.engines
    solution = solve(problem_of(workload, target))
    if not isinstance(solution, Solution):
        return
    steps = tiles(dimensions(workload), solution.sizes, solution.order)
    rows = zip(*(array.local_bytes(tile_workload(workload, tile)) for tile in steps), strict=True)
    names = [*["inputs"] * len(workload.inputs), "output"]
    moved = [max(sizes) * solution.sizes.get(name, 0) for name, sizes in zip(names, rows, strict=True)]
    whole = array.local_bytes(workload)
    total = sum(whole[n] if n in workload.resident else moved[n] for n in range(len(names)))
    assert total <= SMALL.l1
    if workload.weights is not None:
        largest = max(array.packed_range(workload, tile)[1] for tile in steps)
        assert largest * solution.sizes["constants"] <= SMALL.weight_memory


@settings(deadline=None, max_examples=40)
@given(staying())
def test_rows_are_cut_where_a_map_is_moved(workload: Workload) -> None:
    problem = problem_of(workload, npu(SMALL))
    rows = [dimension.sizes for dimension in problem.dimensions if dimension.name == "y"]
    padded = workload.kind == "pool" and any(workload.pads)
    moves = len(workload.resident) <= len(workload.inputs)
    assert all((len(sizes) == workload.output.shape[2]) == (moves and not padded) for sizes in rows if sizes != (1,))
    assert ("output" in problem.choices) == (len(workload.inputs) not in workload.resident)


def test_nothing_is_gained_by_moving_what_could_stay() -> None:
    """A sum of two maps in L1 takes its jobs; through L2 it takes its transfers, which are longer."""
    requant = Requant("floor", (1,), (1,), 0, -128, 127)
    workload = Workload("add", (Tensor((1, 16, 8, 8)),) * 2, Tensor((1, 16, 8, 8)), requant=requant)
    sets: list[frozenset[int]] = [frozenset(), frozenset({0}), frozenset({0, 1}), frozenset({0, 1, 2})]
    found = [solve(problem_of(replace(workload, resident=resident), npu())) for resident in sets]
    cycles = [solution.latency for solution in found if isinstance(solution, Solution)]
    assert cycles == sorted(cycles, reverse=True) and len(set(cycles)) == 4
    assert cycles[-1] == 10 + 4 + 20 + 64 + 2


@pytest.mark.parametrize("resident", [0, 1])
def test_what_moves_overlaps_jobs_on_rows_of_what_stays(resident: int) -> None:
    """A convolution from L1 to L2, or from L2 to L1, takes its jobs or its transfers, not both."""
    workload = Workload(
        "conv2d",
        (Tensor((1, 16, 32, 32)),),
        Tensor((1, 16, 32, 32)),
        weights=np.ones((16, 16, 1, 1), np.int64),
        requant=Requant("floor", (1,), (8,), 0, -128, 127),
        resident=frozenset({resident}),
    )
    target = npu(dma_width=16)
    solution = solve(problem_of(workload, target))
    jobs = transfers = 16 * 32 * 32 // 16
    assert isinstance(solution, Solution) and solution.proven and solution.sizes["y"] < 32
    assert solution.latency < 1.5 * max(jobs, transfers)
    (array,) = target.engines
    part = tile_workload(workload, {"k": (0, 16), "y": (4, 2)})
    spans = [16 * 2 * 32, 16 * 2 * 32]
    spans[resident] = 15 * 32 * 32 + 2 * 32
    assert array.local_bytes(part) == tuple(spans)


def test_one_buffer_makes_transfers_and_jobs_wait_for_each_other() -> None:
    """A convolution that computes about as long as it moves data: overlap nearly halves its time."""
    workload = Workload(
        "conv2d",
        (Tensor((1, 32, 32, 32)),),
        Tensor((1, 32, 32, 32)),
        weights=np.ones((32, 32, 1, 1), np.int64),
        requant=Requant("floor", (1,), (8,), 0, -128, 127),
    )
    single, double, triple = (solve(problem_of(workload, npu(buffers=n))) for n in (1, 2, 3))
    assert isinstance(single, Solution) and isinstance(double, Solution) and isinstance(triple, Solution)
    assert single.sizes["inputs"] == single.sizes["output"] == 1
    assert max(double.sizes["inputs"], double.sizes["output"]) == 2
    assert triple.latency <= double.latency < single.latency / 1.3
    assert all(solution.proven for solution in (single, double, triple))


def test_layers_with_a_scale_for_each_channel_keep_their_channels_together() -> None:
    plain = Requant("half_even", (3,), (8,), 0, -128, 127)
    workload = Workload("dense", (Tensor((1, 8)),), Tensor((1, 64)), weights=np.ones((64, 8)), requant=plain)
    scaled = replace(workload, requant=replace(plain, multiplier=tuple(range(1, 65))))
    sizes = [problem_of(w, npu()).dimensions[0].sizes for w in (workload, scaled)]
    assert len(sizes[0]) > 1 and sizes[1] == (64,)


@pytest.mark.parametrize("rows", [1, 3, 16, 32])
def test_any_number_of_rows_gives_candidates(rows: int) -> None:
    requant = Requant("floor", (1,), (8,), 0, -128, 127)
    workload = Workload("dense", (Tensor((1, 8)),), Tensor((1, 20)), weights=np.ones((20, 8)), requant=requant)
    target = npu(rows=rows)
    sizes = problem_of(workload, target).dimensions[0].sizes
    assert sizes[-1] == 20 and all(size % rows == 0 or rows % size == 0 or size == 20 for size in sizes)
