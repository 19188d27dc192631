"""The exact arithmetic of a job on the bytes of L1 and of the weight memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from htvm_ir import arithmetic
from htvm_ir.arithmetic import IntArray
from htvm_ir.targets.npu.job import WEIGHTED, map_runs
from htvm_ir.targets.npu.packing import Bytes, record_bytes, unpack
from htvm_ir.targets.target import Job


def constant_bytes(job: Job, bits: int = 8) -> int:
    """Bytes of the constants of a job that has any, whose weights have so many bits."""
    return job["k"] * record_bytes(taps(job), bool(job["scaled"]), bits)


def taps(job: Job) -> int:
    """Weights of one output channel."""
    return job["fy"] * job["fx"] * (job["c"] if job.kernel == "conv2d" else 1)


def execute(job: Job, inputs: Sequence[Bytes], constants: Bytes, output: Bytes, bits: int = 8) -> None:
    """Compute a valid job; maps are row-major [C, H, W] with gaps between planes, weights of so many bits."""
    *sources, result = map_runs(job)
    dtype, shape = np.uint8 if job["source_unsigned"] else np.int8, (1, job["c"], job["iy"], job["ix"])
    maps = [runs.view(x).view(dtype).reshape(shape) for runs, x in zip(sources, inputs, strict=True)]
    scales = ([job["multiplier"]], [job["shift"]], [job["addend"]])
    if job.kernel == "add":
        acc = arithmetic.add(*maps)
    elif job.kernel in WEIGHTED:
        per_kernel = job["c"] if job.kernel == "conv2d" else 1
        found = unpack(constants, (job["k"], per_kernel, job["fy"], job["fx"]), bool(job["scaled"]), bits)
        acc = _convolve(job, maps[0], found.weights, found.bias)
        scales = found.scales or scales
    else:
        acc = _pool(job, maps[0])
    result.view(output)[...] = _requantise(job, acc, scales).reshape(result.count, result.size)


def _convolve(job: Job, x: IntArray, weights: IntArray, bias: IntArray) -> IntArray:
    groups = 1 if job.kernel == "conv2d" else job["c"]
    strides = (job["sy"], job["sx"])
    return arithmetic.conv2d(_cut(job, x), weights, bias, strides, _pads(job), (1, 1), groups, job["zero_point"])


def _pool(job: Job, x: IntArray) -> IntArray:
    window, strides = (job["fy"], job["fx"]), (job["sy"], job["sx"])
    rounding = arithmetic.MEAN_ROUNDINGS[job["mean"]]
    return arithmetic.pool(_cut(job, x), job.kernel, window, strides, _pads(job), rounding)


def _extent(job: Job, axis: str) -> int:
    """Rows or columns of the input from the first padded to the last that a window touches."""
    return (job[f"o{axis}"] - 1) * job[f"s{axis}"] + job[f"f{axis}"]


def _cut(job: Job, x: IntArray) -> IntArray:
    """The input without rows and columns that no window touches."""
    return x[:, :, : _extent(job, "y") - job["top"], : _extent(job, "x") - job["left"]]


def _pads(job: Job) -> tuple[int, int, int, int]:
    """Top, left, bottom, right; the last two are what the windows reach beyond the input."""
    bottom = max(0, _extent(job, "y") - job["top"] - job["iy"])
    right = max(0, _extent(job, "x") - job["left"] - job["ix"])
    return job["top"], job["left"], bottom, right


def _requantise(job: Job, acc: IntArray, scales: tuple[list[int], list[int], list[int]]) -> Bytes:
    multiplier, shift, addend = scales
    rounding = arithmetic.ROUNDINGS[job["rounding"]]
    dtype = np.dtype(np.uint8 if job["result_unsigned"] else np.int8)
    limits = (job["result_zero_point"], job["lo"], job["hi"])
    result = arithmetic.requantize(acc, rounding, multiplier, shift, *limits, dtype, addend)
    return np.ascontiguousarray(result).view(np.uint8).reshape(-1)
