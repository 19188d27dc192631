"""The contract of the array: what it takes, its operands, its jobs, their cycles and arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from htvm_ir.arithmetic import MEAN_ROUNDINGS, ROUNDINGS
from htvm_ir.targets.layout import Layout
from htvm_ir.targets.npu import datapath, packing
from htvm_ir.targets.npu.costs import job_cycles
from htvm_ir.targets.npu.job import WEIGHTED, encode, violation
from htvm_ir.targets.npu.parameters import NPU, Parameters
from htvm_ir.targets.npu.runs import planes
from htvm_ir.targets.npu.tiles import Tiling
from htvm_ir.targets.target import Bytes, Call, Data, Engine, Job, Target
from htvm_ir.targets.workload import Requant, Tile, Workload
from htvm_ir.tiling.problem import Problem

LIMITS = {"i8": (-128, 127), "ui8": (0, 255)}
"""Least and greatest value of the element types the array reads and writes."""


DESCRIPTORS = "L2"
"""The memory from which jobs are fetched."""


@dataclass(frozen=True)
class Array(Engine):
    """R x C multipliers of 8 bits: R output channels by C pixels; maps in L1, constants in the weight memory."""

    parameters: Parameters = NPU
    name: str = "array"
    local: str = "L1"
    constants: str = "L2"
    constants_local: str = "WM"
    load: str = "inputs"
    store: str = "outputs"
    load_constants: str = "weights"
    wait: str = "npu_wait"
    kinds: tuple[str, ...] = ("conv2d", "dense", "add", "pool")

    title: ClassVar[str] = "the array"

    def match(self, workload: Workload) -> str | None:
        return next(self._refusals(workload), None)

    def layouts(self, workload: Workload) -> tuple[Layout, ...]:
        return tuple(Layout.row_major(len(t.shape)) for t in (*workload.inputs, workload.output))

    def pack(self, workload: Workload) -> Bytes:
        return np.zeros(0, np.uint8) if workload.weights is None else packing.pack(workload)

    def packed_range(self, workload: Workload, tile: Tile) -> tuple[int, int]:
        if workload.weights is None:
            return 0, 0
        start, size = tile.get("k", (0, workload.output.shape[1]))
        record = len(self.pack(workload)) // workload.output.shape[1]
        return start * record, size * record

    def local_bytes(self, workload: Workload) -> tuple[int, ...]:
        return tuple(planes(workload, index).span for index in range(len(workload.inputs) + 1))

    def job(self, workload: Workload) -> Job:
        c, iy, ix = _map_shape(workload.inputs[0].shape)
        k, oy, ox = _map_shape(workload.output.shape)
        fields = {"c": c, "iy": iy, "ix": ix, "k": k, "oy": oy, "ox": ox}
        first, *second, output = (planes(workload, index).pitch for index in range(len(workload.inputs) + 1))
        fields |= {"input_pitch": first, "second_pitch": (*second, 0)[0], "output_pitch": output}
        names = ("fy", "fx", "sy", "sx", "top", "left")
        fields |= dict(zip(names, (*_window(workload), *workload.strides, *workload.pads[:2]), strict=True))
        fields |= {"mean": MEAN_ROUNDINGS.index(workload.mean_rounding), "zero_point": workload.zero_point}
        fields["source_unsigned"] = int(workload.inputs[0].dtype == "ui8")
        fields["result_unsigned"] = int(workload.output.dtype == "ui8")
        return Job(_kernel(workload), fields | _scaling(workload))

    def cycles(self, job: Job) -> int:
        return job_cycles(job, self.parameters)

    def execute(self, job: Job, inputs: Sequence[Bytes], constants: Bytes, output: Bytes) -> None:
        datapath.execute(job, inputs, constants, output)

    def call(self, job: Job, inputs: Sequence[int], output: int, constants: str) -> Call:
        place = int(constants) if job.kernel in WEIGHTED else 0
        return Call("npu_start", (Data(encode(job, inputs, output, place), DESCRIPTORS),))

    def may_stay(self, workload: Workload) -> frozenset[int]:
        return frozenset(range(len(workload.inputs) + 1)) if self.parameters.residency else frozenset()

    def problem(self, workload: Workload, target: Target) -> Problem:
        return Tiling(self, self.parameters, workload, target).problem()

    def _refusals(self, workload: Workload) -> Iterator[str]:
        """Every reason against the workload, the most telling first."""
        shape = workload.output.shape
        if workload.kind not in self.kinds:
            yield f"{self.title} has no {workload.kind}; it computes {', '.join(self.kinds)}"
            return
        if len(shape) not in (2, 4) or shape[0] != 1:
            yield f"shape {list(shape)}: {self.title} computes on [1, C, H, W] and [1, N]"
            return
        if len({t.dtype for t in workload.inputs}) != 1 or workload.inputs[0].dtype not in LIMITS:
            yield "operands must be of one 8-bit type"
            return
        if workload.output.dtype not in LIMITS:
            yield "the result must be of 8 bits; requantise it"
            return
        if workload.kind in ("add", "pool"):
            yield from self._map_refusals(workload)
        if workload.kind in ("conv2d", "dense"):
            yield from self._layer_refusals(workload)
        if (reason := violation(self.job(workload))) is not None:
            yield reason

    def _map_refusals(self, workload: Workload) -> Iterator[str]:
        if workload.kind == "add" and len(workload.inputs) != 2:
            yield "a sum with a constant: the array adds two feature maps"
        if workload.requant is not None and packing.is_scaled(workload.requant):
            yield "a scale for each channel: without weights there is one for all"

    def _layer_refusals(self, workload: Workload) -> Iterator[str]:
        if workload.weights is None:
            yield f"the weights are not constant; {self.title} reads prepacked weights"
            return
        if np.abs(workload.weights.astype(np.int64) + 0.5).max(initial=0) > 128:
            yield "the weights do not fit 8 bits; quantise them to int8"
        if workload.requant is None:
            yield f"the 32-bit result leaves {self.title} only requantised to 8 bits (add a clip)"
        if workload.dilations != (1, 1):
            yield f"dilation: {self.title} computes dense kernels only (write out the zeros between the taps)"
        if workload.groups != 1 and not workload.is_depthwise:
            yield f"{workload.groups} groups: the array takes 1 group or one for each channel"
        if any(pad >= size for pad, size in zip(workload.pads, workload.kernel * 2, strict=True)):
            yield f"padding {list(workload.pads)}: as wide as the kernel or wider"


def _map_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Channels, rows, columns; a vector is a map of one pixel."""
    return (shape[1], shape[2], shape[3]) if len(shape) == 4 else (shape[1], 1, 1)


def _window(workload: Workload) -> tuple[int, int]:
    return workload.window if workload.kind == "pool" else workload.kernel


def _kernel(workload: Workload) -> str:
    if workload.kind == "pool":
        return workload.mode
    if workload.kind == "add":
        return "add"
    return "depthwise" if workload.is_depthwise else "conv2d"


def _scaling(workload: Workload) -> dict[str, int]:
    """The requantisation; the numbers of a scaled layer are in its constants."""
    lo, hi = LIMITS[workload.output.dtype]
    requant = workload.requant or Requant("floor", (1,), (0,), 0, lo, hi)
    one = not packing.is_scaled(requant)
    return {
        "scaled": int(not one),
        "rounding": ROUNDINGS.index(requant.rounding),
        "multiplier": requant.multiplier[0] if one else 1,
        "shift": requant.shift[0] if one else 0,
        "addend": requant.addend[0] if one else 0,
        "result_zero_point": requant.zero_point,
        "lo": max(lo, requant.lo),
        "hi": min(hi, requant.hi),
    }
