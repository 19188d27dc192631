"""The contract of DIANA's analog core: what it takes, its jobs, their cycles and arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from htvm_ir.targets.diana import analog_approximation, analog_packing, costs
from htvm_ir.targets.diana.analog_instruction import (
    ADC_HIGH,
    ADC_LOW,
    CONFIG_WORDS,
    GAIN_ONE,
    INPUT_HIGH,
    INPUT_LOW,
    ROW,
    AnalogInstruction,
    config,
    program,
)
from htvm_ir.targets.diana.analog_packing import K_LAYOUT
from htvm_ir.targets.diana.analog_tiles import (
    analog_problem,
    column_block,
    granule_fault,
    local_bytes,
    slices,
    unrolled,
)
from htvm_ir.targets.diana.parameters import DIANA, Parameters
from htvm_ir.targets.layout import Layout
from htvm_ir.targets.target import Bytes, Call, Data, Engine, Job, Loops, Target
from htvm_ir.targets.workload import Approximation, Tile, Workload, as_array, converted_part
from htvm_ir.tiling.problem import Problem

if TYPE_CHECKING:
    from htvm_ir.tiling import dory

MAX_SHIFT = 15
"""The gain is a power of two in unsigned Q16.16."""
MAX_PAD = 3
MAX_SIDE = 1023
MAX_CHANNELS = 960
"""Fields of the instruction: two bits of padding, ten of extents, four of blocks of 64 input channels."""

ONLY = "put the converters into the network, or --numerics=analog"
ANYWAY = ", or --numerics=analog"
"""What lets a convolution onto the array all the same."""

GEOMETRY = ("c", "k", "cx", "cy", "fx", "fy", "ox", "oy", "stride")
PADS = ("pad_top", "pad_left", "pad_bottom", "pad_right")


@dataclass(frozen=True)
class Analog(Engine):
    """1152 x 512 ternary weights in memory, 7-bit inputs, 6-bit converters; sums are neither biased nor stored wide."""

    parameters: Parameters = DIANA
    name: str = "analog"
    local: str = "L1"
    constants: str = "L2"
    load: str = "analog_in"
    store: str = "analog_out"
    wait: str = "diana_analog_wait"
    kinds: tuple[str, ...] = ("conv2d",)

    def match(self, workload: Workload) -> str | None:
        return next(self._refusals(workload), None)

    def approximate(self, workload: Workload) -> Approximation | str:
        if workload.kind != "conv2d" or workload.weights is None:
            return self.match(workload) or "the analog array computes it exactly"
        limit = min(self.parameters.analog_rows // prod(workload.kernel), MAX_CHANNELS)
        reason = "no group of input channels fits the array"
        for size in (limit, *range(limit // 32 * 32, 0, -32)):  # multiples of 32 can always be transferred
            parts = analog_approximation.parts(workload, size)
            requant = analog_approximation.converters(workload, parts, MAX_SHIFT)
            reasons = (self.match(converted_part(workload, where, requant)) for where in parts)
            reason = next(filter(None, reasons), None)
            if reason is None:
                return Approximation(parts, requant)
        return reason

    def layouts(self, workload: Workload) -> tuple[Layout, ...]:
        return (K_LAYOUT, K_LAYOUT)

    def pack(self, workload: Workload) -> Bytes:
        weights = as_array(workload.weights).astype(np.int8)
        block = column_block(workload, self.parameters)
        images = (analog_packing.pack_weights(weights[k : k + block]) for k in range(0, len(weights), block))
        return np.frombuffer(b"".join(images), np.uint8)

    def packed_range(self, workload: Workload, tile: Tile) -> tuple[int, int]:
        channels, block = workload.output.shape[1], column_block(workload, self.parameters)
        start, size = tile.get("k", (0, channels))
        kernel = (workload.inputs[0].shape[1], *workload.kernel)
        whole = analog_packing.image_bytes(block, *kernel)
        return start // block * whole, analog_packing.image_bytes(size, *kernel)

    def local_bytes(self, workload: Workload) -> tuple[int, ...]:
        return tuple(local_bytes(tensor, self.parameters) for tensor in (workload.inputs[0], workload.output))

    def local_loops(self, workload: Workload, index: int) -> Loops | None:
        tensor = (*workload.inputs, workload.output)[index]
        pixels, banks = tensor.shape[2] * tensor.shape[3], slices(tensor.shape[1])
        bank_bytes = self.parameters.bank_rows * ROW
        return None if banks == 1 else ((pixels, ROW), (banks, bank_bytes), (ROW, 1))

    def job(self, workload: Workload) -> Job:
        requant = workload.requant
        assert requant is not None
        _, c, cy, cx = workload.inputs[0].shape
        _, k, oy, ox = workload.output.shape
        stride, (fy, fx) = workload.strides[0], workload.kernel
        top, left, _, _ = workload.pads
        bottom, right = (
            max(0, (out - 1) * stride + kernel - before - size)
            for out, kernel, before, size in ((oy, fy, top, cy), (ox, fx, left, cx))
        )
        geometry = dict(zip(GEOMETRY, (c, k, cx, cy, fx, fy, ox, oy, stride), strict=True))
        pads = dict(zip(PADS, (top, left, bottom, right), strict=True))
        unroll = unrolled(c, k, fx, fy, ox, self.parameters)
        return Job("conv2d", {**geometry, **pads, "ox_unroll": unroll, "shift": requant.shift[0]})

    def cycles(self, job: Job) -> int:
        instruction, p = self._instruction(job, 0, 0), self.parameters
        return costs.analog_weight_cycles(instruction, p) + costs.analog_compute_cycles(instruction, p)

    def execute(self, job: Job, inputs: Sequence[Bytes], constants: Bytes, output: Bytes) -> None:
        l1 = np.concatenate([*inputs, output])
        instruction = self._instruction(job, 0, inputs[0].size)
        from htvm_ir.targets.diana import analog_datapath

        analog_datapath.execute(l1, instruction, constants, GAIN_ONE << job["shift"])
        output[...] = l1[inputs[0].size :]

    def call(self, job: Job, inputs: Sequence[int], output: int, constants: str) -> Call:
        words = program(self._instruction(job, inputs[0], output))
        settings = config(GAIN_ONE << job["shift"])
        assert len(settings) == CONFIG_WORDS
        arguments = (Data(words, self.constants), Data(settings, self.constants), constants)
        return Call("diana_analog_conv", arguments)

    def baseline(self, workload: Workload, target: Target) -> tuple[dory.Layer, dory.Budget]:
        from htvm_ir.targets.diana.baseline import analog_layer

        return analog_layer(workload, self.parameters, target.memory(self.local).size)

    def problem(self, workload: Workload, target: Target) -> Problem:
        return analog_problem(self, self.parameters, workload, target)

    def _instruction(self, job: Job, source: int, output: int) -> AnalogInstruction:
        """The instruction of a job on byte addresses of L1."""
        return AnalogInstruction.conv(
            input=source // ROW,
            output=output // ROW,
            **{name: job[name] for name in (*GEOMETRY, *PADS, "ox_unroll")},
        )

    def _refusals(self, workload: Workload) -> Iterator[str]:
        """Every reason against the workload, the most telling first."""
        if workload.kind not in self.kinds:
            yield f"the analog array has no {workload.kind}; it computes conv2d"
            return
        if any(tensor.dtype != "i8" for tensor in (*workload.inputs, workload.output)):
            yield "operands and result must be 8-bit signed; requantise to i8"
            return
        if workload.zero_point:
            yield f"input zero point {workload.zero_point}: the array is symmetric and pads with 0"
        if workload.weights is None:
            yield "the weights are not constant; the array is loaded with prepacked weights"
            return
        if np.abs(workload.weights.astype(np.int64)).max(initial=0) > 1:
            yield "weights are 8-bit; the analog array takes ternary ones (train with weights of -1, 0 and 1)"
        if workload.bias is not None and workload.bias.any():
            yield f"a bias; the analog array has none (add it behind the converters{ANYWAY})"
        yield from _converter_refusals(workload)
        yield from self._shape_refusals(workload)

    def _shape_refusals(self, workload: Workload) -> Iterator[str]:
        p, (fy, fx), (sy, sx) = self.parameters, workload.kernel, workload.strides
        channels, sizes = workload.inputs[0].shape[1], (*workload.inputs[0].shape[2:], *workload.output.shape[2:])
        if workload.groups != 1:
            yield (
                f"{workload.groups} groups: the analog array sums over all channels "
                "(write a convolution for each group)"
            )
        if fy not in p.kernels or fx not in p.kernels:
            yield f"kernel {fy}x{fx}: the array supports {', '.join(map(str, p.kernels))} (grow the kernel by zeros)"
        if sy != sx or sy not in (1, 2):
            yield f"stride {sy}x{sx}: the array supports 1 and 2, equal in both directions (move pixels into channels)"
        if workload.dilations != (1, 1):
            yield "dilation: the array computes dense kernels only (write out the zeros between the taps)"
        if max(workload.pads) > MAX_PAD:
            yield f"padding {list(workload.pads)}: an instruction holds at most {MAX_PAD} (pad in an op of its own)"
        if channels > MAX_CHANNELS or max(sizes) > MAX_SIDE:
            yield f"{channels} input channels, a side of {max(sizes)}: fields end at {MAX_CHANNELS} and {MAX_SIDE}"
        if channels * fy * fx > p.analog_rows:
            yield (
                f"{channels * fy * fx} inputs of a kernel: the array has {p.analog_rows} rows (split the channels "
                f"into convolutions that are converted alone and summed{ANYWAY})"
            )
        if (fault := granule_fault(workload, p)) is not None:
            yield fault


def _converter_refusals(workload: Workload) -> Iterator[str]:
    low, high = INPUT_LOW, INPUT_HIGH
    least, greatest = workload.ranges[0] if workload.ranges else (-128, 127)
    if least < low or greatest > high:
        yield f"the input may hold {least} to {greatest}; the analog array takes 7 bits, {low} to {high} (clip it)"
    requant = workload.requant
    first, last = ADC_LOW, ADC_HIGH
    if requant is None:
        yield f"results leave the array through its converters, floor(sum / 2^s) clipped to {first} to {last} ({ONLY})"
        return
    if requant.rounding != "floor" and any(requant.shift):
        yield f"rounding {requant.rounding}: the converters round down ({ONLY})"
    moved = requant.zero_point or any(requant.addend)
    if any(m != 1 for m in requant.multiplier) or len(set(requant.shift)) != 1 or moved:
        yield (
            "multiplier, shift for each channel, addend or zero point: the converters have one power-of-two gain "
            f"(scale behind them{ANYWAY})"
        )
    if (requant.lo, requant.hi) != (first, last):
        yield f"range {requant.lo} to {requant.hi}: the converters clip to {first} to {last} ({ONLY})"
    if max(requant.shift) > MAX_SHIFT:
        yield f"shift {max(requant.shift)}: the gain is at most 2^{MAX_SHIFT}"
