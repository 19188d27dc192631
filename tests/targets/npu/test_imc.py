"""The in-memory-compute array: its weights of few bits, jobs, cycles, limits, tiles, and its device."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_array import PLAIN, conv
from test_npu_devices import L2Bus
from workloads import expected, maps, requants, tile_by_tile, workloads

from htvm_ir.errors import HtvmError
from htvm_ir.targets.npu.devices import ArrayDevice
from htvm_ir.targets.npu.engine import Array
from htvm_ir.targets.npu.imc import InMemoryArray
from htvm_ir.targets.npu.imc_device import ImcDevice
from htvm_ir.targets.npu.job import encode
from htvm_ir.targets.npu.memories import LocalMemory
from htvm_ir.targets.npu.packing import pack, unpack
from htvm_ir.targets.npu.parameters import NPU, SHARED_BASE, Parameters
from htvm_ir.targets.npu.target import npu
from htvm_ir.targets.registry import load_target
from htvm_ir.targets.target import Job
from htvm_ir.targets.workload import Tensor, Workload, dimensions, tile_workload, tiles
from htvm_ir.tiling.brute_force import brute_force
from htvm_ir.tiling.problem import Problem, Solution
from htvm_ir.tiling.prune import lower_bound
from htvm_ir.tiling.solve import solve

P = replace(NPU, imc_rows=1152)
IMC = InMemoryArray(P)
SMALL = Parameters(rows=4, cols=4, l1=1024, weight_memory=512, imc_rows=800, imc_cols=24, imc_write=2)
BITS = st.integers(2, 8)


@st.composite
def narrow(draw: st.DrawFn, bits: st.SearchStrategy[int] = BITS) -> tuple[Workload, int]:
    """A layer whose weights have some bits, and how many."""
    workload, chosen = draw(workloads(("conv2d", "dense"))), draw(bits)
    assert workload.weights is not None
    return replace(workload, weights=workload.weights >> 8 - chosen), chosen


def array_of(bits: int, parameters: Parameters = P) -> InMemoryArray:
    return InMemoryArray(replace(parameters, imc_bits=bits))


@settings(deadline=None, max_examples=150)
@given(narrow())
def test_jobs_compute_the_reference(layer: tuple[Workload, int]) -> None:
    workload, bits = layer
    array = array_of(bits)
    assert array.match(workload) is None
    inputs, noise = maps(workload), np.full(7, 0xA5, np.uint8)
    output = np.zeros(workload.output.size + noise.size, np.uint8)
    constants = np.concatenate([array.pack(workload), noise])
    array.execute(array.job(workload), [x.reshape(-1).view(np.uint8) for x in inputs], constants, output)
    assert not output[workload.output.size :].any()
    got = output[: workload.output.size].view(np.int8).reshape(workload.output.shape)
    np.testing.assert_array_equal(got, expected(workload, inputs))


@settings(deadline=None, max_examples=40)
@given(narrow(), st.integers(1, 20), st.integers(1, 6))
def test_jobs_on_parts_of_maps_in_l1_leave_the_rest_alone(layer: tuple[Workload, int], k: int, y: int) -> None:
    workload, bits = layer
    inputs = maps(workload)
    got = tile_by_tile(array_of(bits), workload, inputs, {"k": k, "y": y})
    np.testing.assert_array_equal(got, expected(workload, inputs))


@settings(deadline=None, max_examples=60)
@given(narrow(), st.integers(1, 20))
def test_tiles_read_their_part_of_the_constants(layer: tuple[Workload, int], k: int) -> None:
    workload, bits = layer
    array, packed = array_of(bits), array_of(bits).pack(workload)
    for tile in tiles({"k": workload.output.shape[1]}, {"k": min(k, workload.output.shape[1])}, ("k",)):
        start, size = array.packed_range(workload, tile)
        part = tile_workload(workload, tile)
        if not array.job(workload)["scaled"] or array.job(part)["scaled"]:
            np.testing.assert_array_equal(packed[start : start + size], array.pack(part))


@settings(deadline=None, max_examples=60)
@given(BITS, st.integers(1, 9), st.integers(1, 30), st.integers(0, 2**32 - 1), st.data())
def test_packed_weights_are_as_narrow_as_they_can_be(
    bits: int, k: int, taps: int, seed: int, data: st.DataObject
) -> None:
    weights = np.random.default_rng(seed).integers(-(1 << bits - 1), 1 << bits - 1, (k, taps))
    requant = data.draw(requants(k, "dense"))
    layer = Workload("dense", (Tensor((1, taps)),), Tensor((1, k)), weights=weights, requant=requant)
    scaled = bool(IMC.job(layer)["scaled"])
    packed = pack(layer, bits)
    assert len(packed) == k * (4 + 16 * scaled + -(-taps * bits // 8))
    np.testing.assert_array_equal(unpack(packed, (k, taps), scaled, bits).weights, weights)


@pytest.mark.parametrize(
    ("workload", "cycles"),
    [
        (conv(k=40), 27 * 1 + 120 * 8),  # 40 weights of 4 bits are 20 bytes: a row is written in a cycle
        (conv(k=500), 27 * 8 + 120 * 8),
        (Workload("dense", (Tensor((1, 300)),), Tensor((1, 65)), weights=np.ones((65, 300))), 300 * 2 + 8),
    ],
    ids=["conv2d", "wide", "dense"],
)
def test_cycles_of_a_job(workload: Workload, cycles: int) -> None:
    assert IMC.cycles(IMC.job(workload)) == cycles + 20


@pytest.mark.parametrize(
    ("workload", "reason"),
    [
        (conv(weights=np.full((40, 3, 3, 3), 8)), "weights of 8 to 8: the in-memory array holds 4 bits, -8 to 7"),
        (conv(weights=np.full((40, 3, 3, 3), -9)), "weights of -9 to -9"),
        (conv(k=4, c=4, groups=4, weights=np.ones((4, 1, 3, 3), np.int64)), "4 groups"),
        (conv(k=4, c=129), "1161 inputs of a kernel: the in-memory array has 1152 rows"),
        (conv(k=600, requant=replace(PLAIN, shift=(*range(9, 19),) * 60)), "a scale for each of 600 channels"),
        (conv(dilations=(2, 2)), "dilation: the in-memory array"),
        (conv(weights=None), "not constant"),
        (Workload("pool", (Tensor((1, 3, 4, 4)),), Tensor((1, 3, 2, 2)), window=(2, 2), mode="max"), "has no pool"),
    ],
)
def test_refusals_say_why(workload: Workload, reason: str) -> None:
    refused = IMC.match(workload)
    assert refused is not None and reason in refused


def test_it_is_there_on_demand() -> None:
    assert [engine.name for engine in load_target("npu").engines] == ["array"]
    target = load_target("npu,imc_rows=256,imc_cols=64,ext_memory=1m")
    array, imc = target.engines
    assert (array.constants, imc.constants, imc.load_constants) == ("EXT", "EXT", "imc_external")
    assert {target.channel(name).port for name in ("imc_inputs", "imc_outputs", "imc_weights", "weights")} == {""}
    assert "imc_rows=1161" in (imc.match(conv(k=4, c=129)) or "")


@pytest.mark.parametrize("text", ["imc_bits=1", "imc_bits=9", "imc_cols=0", "imc_pixel=0", "imc_write=0"])
def test_impossible_parameters_are_refused(text: str) -> None:
    with pytest.raises(HtvmError, match="npu"):
        load_target(f"npu,imc_rows=64,{text}")


def problem_of(workload: Workload, **changes: Any) -> Problem:
    target = npu(SMALL, **changes)
    return target.engine("imc").problem(workload, target)


@settings(deadline=None, max_examples=25)
@given(
    narrow(),
    st.sampled_from([1, 2, 3]),
    st.sampled_from([256, 1024, 4096]),
    st.sampled_from([0, 4096]),
    st.sets(st.integers(0, 1)),
)
def test_the_solver_agrees_with_brute_force(
    layer: tuple[Workload, int], buffers: int, l1: int, external: int, resident: set[int]
) -> None:
    workload, bits = layer
    problem = problem_of(
        replace(workload, resident=frozenset(resident)), imc_bits=bits, buffers=buffers, l1=l1, ext_memory=external
    )
    if workload.output.shape[1] * (workload.output.shape[2:] or (1,))[0] <= 100:  # brute force is slow
        assert solve(problem) == brute_force(problem)


@settings(deadline=None, max_examples=40)
@given(narrow(), st.integers(0, 2**32 - 1))
def test_no_run_is_faster_than_its_bounds(layer: tuple[Workload, int], seed: int) -> None:
    problem, random = problem_of(layer[0], imc_bits=layer[1]), np.random.default_rng(seed)
    for _ in range(20):
        point = {d.name: int(random.integers(len(d.sizes))) for d in problem.dimensions}
        for order in problem.orders:
            chains = [sum(term.at(point) for term in chain) for chain in problem.chains(order)]
            assert lower_bound(problem) <= max(chains) <= problem.latency(point, order)


@settings(deadline=None, max_examples=40)
@given(narrow())
def test_tiles_fit_columns_and_memories(layer: tuple[Workload, int]) -> None:
    workload, bits = layer
    array, solution = array_of(bits, SMALL), solve(problem_of(workload, imc_bits=bits))
    if array.match(workload) is not None or not isinstance(solution, Solution):
        return
    steps = tiles(dimensions(workload), solution.sizes, solution.order)
    assert all(tile["k"][1] <= SMALL.imc_cols for tile in steps)
    largest = max(array.packed_range(workload, tile)[1] for tile in steps)
    assert largest * solution.sizes["constants"] <= SMALL.weight_memory


class Chip:
    """Both arrays on memories that are filled from outside."""

    def __init__(self) -> None:
        self.bus = L2Bus()
        self.l1, self.weights = LocalMemory("L1", P.l1), LocalMemory("WM", P.weight_memory)
        self.array = ArrayDevice(self.bus, self.l1, self.weights, P)
        self.imc = ImcDevice(self.bus, self.l1, self.weights, P)

    def start(self, engine: Array, workload: Workload, source: int, output: int, constants: int) -> Any:
        """Put a job's operands where it reads them, and start it; the inputs."""
        (x,), packed = maps(workload), engine.pack(workload)
        fill(self.l1, source, x.view(np.uint8).reshape(-1))
        fill(self.weights, constants, packed)
        device = self.imc if isinstance(engine, InMemoryArray) else self.array
        self.run(device, encode(engine.job(workload), [source], output, constants))
        return x

    def run(self, device: ArrayDevice, words: tuple[int, ...]) -> None:
        self.bus.write(SHARED_BASE, np.array(words, "<u4").tobytes())
        device.write(ArrayDevice.START, 4, SHARED_BASE)


def fill(memory: LocalMemory, start: int, data: Any) -> None:
    memory.data[start : start + data.size] = data
    memory.written[start : start + data.size] = True


def test_both_arrays_work_at_one_time() -> None:
    chip, first, second = Chip(), conv(k=20), conv(k=24, weights=np.full((24, 3, 3, 3), -3))
    a = chip.start(Array(P), first, 0, 2048, 0)
    b = chip.start(IMC, second, 8192, 10240, 4096)
    chip.array.read(ArrayDevice.WAIT, 4)
    chip.imc.read(ArrayDevice.WAIT, 4)
    assert chip.bus.now == max(Array(P).cycles(Array(P).job(first)), IMC.cycles(IMC.job(second)))
    for workload, x, place in ((first, a, 2048), (second, b, 10240)):
        got = chip.l1.data[place : place + workload.output.size].view(np.int8).reshape(workload.output.shape)
        np.testing.assert_array_equal(got, expected(workload, [x]))


def test_no_array_touches_what_the_other_works_on() -> None:
    chip = Chip()
    chip.start(Array(P), conv(k=20), 0, 2048, 0)
    with pytest.raises(HtvmError, match="which array is working on"):
        chip.start(IMC, conv(k=24), 8192, 2048, 4096)


@pytest.mark.parametrize(
    ("changes", "kernel", "reason"),
    [
        ({"c": 200}, "conv2d", r"imc: weights of 1800 x 40 in 1152 rows x 512 columns"),
        ({"k": 513}, "conv2d", r"imc: weights of 27 x 513 in"),
        ({}, "depthwise", "imc: no depthwise"),
    ],
)
def test_jobs_of_another_array_are_faults(changes: dict[str, int], kernel: str, reason: str) -> None:
    chip, job = Chip(), IMC.job(conv())
    with pytest.raises(HtvmError, match=reason):
        chip.run(chip.imc, encode(Job(kernel, {**job.fields, **changes}), [0], 4096, 0))
