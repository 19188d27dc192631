"""A job of the array as numbers: the fields the compiler sets and the words the array fetches."""

from __future__ import annotations

from collections.abc import Sequence

from htvm_ir.arithmetic import ROUNDINGS
from htvm_ir.targets.npu.runs import Runs
from htvm_ir.targets.target import Job

KERNELS = ("conv2d", "depthwise", "add", "max", "average", "sum")
"""What the array computes, by the number in word 0; a dense layer is a conv2d of one pixel."""

WEIGHTED = ("conv2d", "depthwise")
"""Kernels with constants in the weight memory."""

FIELDS: dict[str, tuple[int, int]] = {
    "c": (1, 0xFFFF),
    "iy": (1, 0xFFFF),
    "ix": (1, 0xFFFF),
    "k": (1, 0xFFFF),
    "oy": (1, 0xFFFF),
    "ox": (1, 0xFFFF),
    "input_pitch": (0, 0xFF_FFFF),  # bytes from channel to channel of each map in L1
    "second_pitch": (0, 0xFF_FFFF),
    "output_pitch": (0, 0xFF_FFFF),
    "fy": (1, 255),
    "fx": (1, 255),
    "sy": (1, 255),
    "sx": (1, 255),
    "top": (0, 254),
    "left": (0, 254),
    "mean": (0, 3),  # rounding of an average, as index of arithmetic.MEAN_ROUNDINGS
    "source_unsigned": (0, 1),
    "result_unsigned": (0, 1),
    "zero_point": (-128, 255),  # of the input
    "scaled": (0, 1),  # multiplier, shift and addend stand beside each channel's bias
    "rounding": (0, len(ROUNDINGS) - 1),
    "multiplier": (-(2**31), 2**31 - 1),
    "shift": (0, 62),
    "addend": (-(2**62), 2**62),
    "result_zero_point": (-128, 255),
    "lo": (-128, 255),
    "hi": (-128, 255),
}
"""Least and greatest value of each field: geometry, formats, requantisation."""

ADDRESSES = ("input", "second", "output", "constants")
"""Byte offsets in L1, the last one in the weight memory; what a kernel lacks is 0."""

WORDS = 1 + len(ADDRESSES) + len(FIELDS) + 1
"""A word for the kernel, each address and each field, two for the addend."""

_MASK = 0xFFFF_FFFF


def violation(job: Job) -> str | None:
    """The first field that does not fit the instruction, or the map whose planes lie over each other, in words."""
    for name, (low, high) in FIELDS.items():
        if not low <= job[name] <= high:
            return f"{name} = {job[name]}: an instruction holds {low} to {high}"
    *inputs, output = map_runs(job)
    for name, runs in (*zip(("input_pitch", "second_pitch"), inputs, strict=False), ("output_pitch", output)):
        if runs.pitch < runs.size:
            return f"{name} = {runs.pitch}: a plane has {runs.size} bytes"
    return None


def map_runs(job: Job) -> tuple[Runs, ...]:
    """The planes of each input of a job in L1, then those of its output."""
    source, result = job["iy"] * job["ix"], job["oy"] * job["ox"]
    pitches = ("input_pitch", "second_pitch") if job.kernel == "add" else ("input_pitch",)
    inputs = (Runs(job["c"], source, job[name]) for name in pitches)
    return *inputs, Runs(job["k"], result, job["output_pitch"])


def encode(job: Job, inputs: Sequence[int], output: int, constants: int) -> tuple[int, ...]:
    """The words of a job whose operands lie at these addresses."""
    first, *second = inputs
    words = [KERNELS.index(job.kernel), first, *(second or [0]), output, constants]
    for name in FIELDS:
        words.append(job[name] & _MASK)
        if name == "addend":
            words.append(job[name] >> 32 & _MASK)
    return tuple(words)


def decode(words: Sequence[int]) -> tuple[Job, dict[str, int]] | str:
    """The job and its addresses, or what is wrong with the words."""
    rest = iter(words)
    kernel = next(rest)
    if kernel >= len(KERNELS):
        return f"kernel {kernel} is unknown"
    addresses = {name: next(rest) for name in ADDRESSES}
    fields: dict[str, int] = {}
    for name, (low, _) in FIELDS.items():
        word = next(rest)
        bits = 64 if name == "addend" else 32
        word |= next(rest) << 32 if name == "addend" else 0
        fields[name] = word - (word >> bits - 1 << bits) if low < 0 else word
    job = Job(KERNELS[kernel], fields)
    return violation(job) or (job, addresses)
