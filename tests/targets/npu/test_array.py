"""The array's contract: its arithmetic, packed constants, jobs as words, cycles, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from workloads import expected, maps, tile_by_tile, workloads

from htvm_ir.errors import HtvmError
from htvm_ir.targets.npu.engine import Array
from htvm_ir.targets.npu.job import FIELDS, decode, encode, violation
from htvm_ir.targets.npu.parameters import NPU
from htvm_ir.targets.registry import load_target
from htvm_ir.targets.target import Job
from htvm_ir.targets.workload import Requant, Tensor, Workload, dimensions, tile_workload, tiles

ARRAY = Array()
PLAIN = Requant("floor", (1,), (8,), 0, -128, 127)


def conv(k: int = 40, c: int = 3, kernel: tuple[int, int] = (3, 3), **changes: Any) -> Workload:
    """A convolution of a 10 x 12 map with padding that keeps its size."""
    fy, fx = kernel
    plain = Workload(
        "conv2d",
        (Tensor((1, c, 10, 12)),),
        Tensor((1, k, 10, 12)),
        weights=np.ones((k, c, fy, fx), np.int64),
        pads=(fy // 2, fx // 2, fy // 2, fx // 2),
        requant=PLAIN,
    )
    return replace(plain, **changes)


def computed(workload: Workload, inputs: list[Any]) -> Any:
    """What the array leaves of a job whose memories hold noise behind the operands."""
    noise = np.full(7, 0xA5, np.uint8)
    bytes_in = [np.concatenate([x.reshape(-1).view(np.uint8), noise]) for x in inputs]
    output = np.zeros(workload.output.size + noise.size, np.uint8)
    constants = np.concatenate([ARRAY.pack(workload), noise])
    ARRAY.execute(ARRAY.job(workload), bytes_in, constants, output)
    assert not output[workload.output.size :].any()
    return output[: workload.output.size].view(np.int8).reshape(workload.output.shape)


@settings(deadline=None, max_examples=150)
@given(workloads())
def test_jobs_compute_the_reference(workload: Workload) -> None:
    assert ARRAY.match(workload) is None
    inputs = maps(workload)
    np.testing.assert_array_equal(computed(workload, inputs), expected(workload, inputs))


@settings(deadline=None, max_examples=80)
@given(workloads(), st.integers(1, 20), st.integers(1, 6), st.booleans())
def test_jobs_on_parts_of_maps_in_l1_leave_the_rest_alone(workload: Workload, k: int, y: int, rows_first: bool) -> None:
    padded = workload.kind == "pool" and any(workload.pads)
    sizes = {"y": 99 if padded else y, "k": k} if rows_first else {"k": k, "y": 99 if padded else y}
    inputs = maps(workload)
    np.testing.assert_array_equal(tile_by_tile(ARRAY, workload, inputs, sizes), expected(workload, inputs))


@settings(deadline=None, max_examples=40)
@given(workloads(("conv2d", "depthwise")), st.integers(1, 20), st.integers(1, 6))
def test_tiles_read_their_part_of_the_constants(workload: Workload, k: int, y: int) -> None:
    extents = dimensions(workload)
    sizes = {"k": min(k, extents["k"]), "y": min(y, extents["y"])}
    packed = ARRAY.pack(workload)
    for tile in tiles(extents, sizes, ("k", "y")):
        start, size = ARRAY.packed_range(workload, tile)
        part = tile_workload(workload, tile)
        if len({*(part.requant or PLAIN).shift}) > 1 or not ARRAY.job(workload)["scaled"]:
            np.testing.assert_array_equal(packed[start : start + size], ARRAY.pack(part))


@settings(deadline=None, max_examples=60)
@given(workloads(), st.lists(st.integers(0, 2**20), min_size=4, max_size=4))
def test_words_hold_all_of_a_job(workload: Workload, addresses: list[int]) -> None:
    job = ARRAY.job(workload)
    first, second, output, constants = addresses
    inputs = [first, second] if job.kernel == "add" else [first]
    decoded = decode(encode(job, inputs, output, constants))
    assert not isinstance(decoded, str)
    assert decoded[0] == job
    assert decoded[1] == {
        "input": first,
        "second": second if job.kernel == "add" else 0,
        "output": output,
        "constants": constants,
    }


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_beyond_its_width_is_no_job(name: str) -> None:
    job = ARRAY.job(conv())
    beyond = Job(job.kernel, {**job.fields, name: FIELDS[name][1] + 1})
    reason = violation(beyond)
    assert reason is not None and reason.startswith(name)
    if name != "multiplier":  # its width is that of a word
        assert decode(encode(beyond, [0], 0, 0)) == reason


@pytest.mark.parametrize("name", ["input_pitch", "second_pitch", "output_pitch"])
def test_planes_do_not_lie_over_each_other(name: str) -> None:
    job = ARRAY.job(Workload("add", (Tensor((1, 3, 5, 7)),) * 2, Tensor((1, 3, 5, 7)), requant=PLAIN))
    assert violation(job) is None and job[name] == 35
    assert violation(Job(job.kernel, {**job.fields, name: 36})) is None
    assert violation(Job(job.kernel, {**job.fields, name: 34})) == f"{name} = 34: a plane has 35 bytes"


@pytest.mark.parametrize(
    ("workload", "cycles"),
    [
        (conv(), 3 * 8 * 27),  # ceil(40 / 16) * ceil(120 / 16) * 3 * 3 * 3
        (conv(k=16, c=16, kernel=(1, 1)), 8 * 16),
        (conv(k=20, c=20, groups=20, weights=np.ones((20, 1, 3, 3), np.int64)), 2 * 8 * 9),
        (Workload("dense", (Tensor((1, 30)),), Tensor((1, 33)), weights=np.ones((33, 30)), requant=PLAIN), 3 * 30),
        (Workload("add", (Tensor((1, 3, 5, 7)),) * 2, Tensor((1, 3, 5, 7)), requant=PLAIN), 7),
        (Workload("pool", (Tensor((1, 20, 4, 6)),), Tensor((1, 20, 2, 2)), window=(2, 3), mode="max"), 2 * 6),
    ],
    ids=["conv2d", "pointwise", "depthwise", "dense", "add", "pool"],
)
def test_cycles_of_a_job(workload: Workload, cycles: int) -> None:
    assert ARRAY.cycles(ARRAY.job(workload)) == cycles + NPU.job_start == cycles + 20


@pytest.mark.parametrize(
    ("workload", "reason"),
    [
        (conv(dilations=(2, 2)), "dilation"),
        (conv(k=4, c=4, groups=2, weights=np.ones((4, 2, 3, 3), np.int64)), "2 groups"),
        (conv(pads=(3, 1, 1, 1)), "padding"),
        (conv(weights=None), "not constant"),
        (conv(weights=np.full((40, 3, 3, 3), 200)), "8 bits"),
        (conv(requant=None), "requantised"),
        (conv(inputs=(Tensor((1, 3, 10, 12), "i32"),)), "8-bit"),
        (conv(output=Tensor((1, 40, 10, 12), "i32")), "8 bits"),
        (conv(strides=(300, 1)), "sy = 300"),
        (Workload("mul", (Tensor((1, 3)),), Tensor((1, 3)), requant=PLAIN), "no mul"),
        (Workload("add", (Tensor((1, 3)),), Tensor((1, 3)), requant=PLAIN), "constant"),
    ],
)
def test_refusals_say_why(workload: Workload, reason: str) -> None:
    refused = ARRAY.match(workload)
    assert refused is not None and reason in refused


def test_parameters_change_the_literal() -> None:
    target = load_target("npu,rows=32,l1=128k,dma_width=16")
    (array,) = target.engines
    assert isinstance(array, Array)
    assert (array.parameters.rows, array.parameters.cols) == (32, 16)
    assert target.memory("L1").size == 128 * 1024
    assert {channel.bytes_per_cycle for channel in target.channels} == {16}
    assert array.cycles(array.job(conv())) == 2 * 8 * 27 + 20


@pytest.mark.parametrize(
    "text", ["buffers=4", "rows=0", "l2=1000", "ext_memory=1000", "ext_memory=65m", "ext_width=0", "colums=3"]
)
def test_impossible_parameters_are_refused(text: str) -> None:
    with pytest.raises(HtvmError, match="npu"):
        load_target(f"npu,{text}")
