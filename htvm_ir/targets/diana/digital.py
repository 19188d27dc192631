"""The contract of DIANA's digital core: what it takes, its tiles, its jobs, their cycles and arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from htvm_ir.targets.diana import conv, conv_mapping, costs, packing
from htvm_ir.targets.diana.conv_mapping import OX_LAYOUT, ConvMapping
from htvm_ir.targets.diana.instruction import LANES, DigitalInstruction, program
from htvm_ir.targets.diana.packing import round_up
from htvm_ir.targets.diana.parameters import DIANA, Parameters
from htvm_ir.targets.diana.tiles import (
    ConvProblem,
    add_problem,
    dense_problem,
    list_software,
    plane_bytes,
    rows_software,
    slot_bytes,
    stored_bytes,
)
from htvm_ir.targets.layout import Layout
from htvm_ir.targets.target import Bytes, Call, Data, Engine, Job, Target
from htvm_ir.targets.workload import Tile, Workload
from htvm_ir.tiling.problem import Problem

if TYPE_CHECKING:
    from htvm_ir.tiling import dory

REMEMBERED = 1024
"""Jobs whose cycles are kept: several passes ask for those of the same job (model choice)."""

OWN_LOAD, OWN_STORE = "digital_in", "digital_out"
"""The channels of the core's own DMA, whatever else moves its tiles: what has one buffer needs no other."""

VECTOR_LAYOUT = Layout((0, 1), (1, LANES))
"""Vectors: padded to 16 bytes, in the order of a C array, so that the CPU need not reverse them at the network's edges.

The array still reverses words; the packed weights make up for it. A sum does not care.
"""


@dataclass(frozen=True)
class Digital(Engine):
    """16 x 16 multipliers of 8 bits, fed from L1; weights are streamed from L2 at the start of a job."""

    parameters: Parameters = DIANA
    name: str = "digital"
    local: str = "L1"
    constants: str = "L2"
    load: str = OWN_LOAD
    store: str = OWN_STORE
    wait: str = "diana_digital_wait"
    kinds: tuple[str, ...] = ("conv2d", "dense", "add")

    def match(self, workload: Workload) -> str | None:
        return next(self._refusals(workload), None)

    def mappings(self, workload: Workload) -> tuple[str, ...]:
        return tuple(conv_mapping.mappings(workload, self.parameters)) if workload.kind == "conv2d" else ("",)

    def layouts(self, workload: Workload) -> tuple[Layout, ...]:
        if workload.kind == "conv2d":
            return ConvMapping.of(workload).layouts(workload)
        tensors = (*workload.inputs, workload.output)
        return tuple(OX_LAYOUT if len(t.shape) == 4 else VECTOR_LAYOUT for t in tensors)

    def channels(self, buffered: bool) -> tuple[str, str]:
        return (self.load, self.store) if buffered else (OWN_LOAD, OWN_STORE)

    def may_stay(self, workload: Workload) -> frozenset[int]:
        return frozenset(range(len(workload.inputs) + 1))

    def pack(self, workload: Workload) -> Bytes:
        if workload.weights is None:
            return np.zeros(0, np.uint8)
        weights, bias = conv.constants(workload)
        if workload.kind == "dense":
            return np.frombuffer(packing.pack_dense(*packing.for_plain_vectors(weights, bias)), np.uint8)
        data = conv.pack(workload, weights, bias)
        return np.frombuffer(data, np.uint8)

    def packed_range(self, workload: Workload, tile: Tile) -> tuple[int, int]:
        if workload.weights is None:
            return 0, 0
        start, size = tile.get("k", (0, workload.output.shape[1]))
        if workload.kind == "conv2d":
            return conv.packed_range(workload, start, size)
        block = packing.dense_block_bytes(workload.inputs[0].shape[1])
        return start // LANES * block, -(-size // LANES) * block

    def local_bytes(self, workload: Workload) -> tuple[int, ...]:
        if workload.kind == "conv2d":
            sizes = conv.map_bytes(workload)
        else:
            sizes = tuple(stored_bytes(tensor) for tensor in (*workload.inputs, workload.output))
        return tuple(slot_bytes(self.parameters, size) for size in sizes)

    def job(self, workload: Workload) -> Job:
        requant = workload.requant
        assert requant is not None
        fields = {"shift": requant.shift[0], "relu": int(requant.lo == 0)}
        if workload.kind == "add":
            return Job("add", {"c": stored_bytes(workload.output) // LANES, **fields})
        if workload.kind == "dense":
            c, k = (round_up(t.shape[1], LANES) // LANES for t in (workload.inputs[0], workload.output))
            return Job("dense", {"c": c, "k": k, **fields})
        job = conv.job(workload)
        return Job(job.kernel, {**job.fields, **fields})

    def cycles(self, job: Job) -> int:
        return sum(_trigger_cycles(self, job.kernel, tuple(job.fields.items())))

    def preparation(self, job: Job) -> int | None:
        rows = job["oy"] if job.fields.get("pitch") else 0
        if job.kernel == "blocks":
            return list_software(job["lanes"], rows)
        return rows_software(rows) if rows else None

    def prepare(self, job: Job, inputs: Sequence[int], output: int, beside: bool) -> Call:
        entry = Data(self.instruction(job, inputs, output).words(), self.constants)
        if job.kernel == "blocks":
            return Call("diana_digital_prepare_blocks", (entry, job["channels"], job["pitch"], int(beside)))
        return Call("diana_digital_prepare_rows", (entry, job["pitch"]))

    def detached(self, job: Job) -> int:
        return _trigger_cycles(self, job.kernel, tuple(job.fields.items()))[-1]

    def execute(self, job: Job, inputs: Sequence[Bytes], constants: Bytes, output: Bytes) -> None:
        l1 = np.concatenate([*inputs, output])
        addresses = np.cumsum([0, *(part.size for part in inputs)]).tolist()
        weights = constants.tobytes()
        for trigger in _triggers(job, self.instruction(job, addresses[:-1], addresses[-1])):
            for entry in trigger.jobs:
                _execute(l1, entry, weights[trigger.start : trigger.start + trigger.size])
        output[...] = l1[addresses[-1] :]

    def overwrites(self, job: Job) -> frozenset[int]:
        return frozenset((0, 1)) if job.kernel == "add" else frozenset()  # it sums element by element

    def call(self, job: Job, inputs: Sequence[int], output: int, constants: str) -> Call:
        entry = self.instruction(job, inputs, output)
        words = Data(program([entry]), self.constants)
        alone = Data(entry.words(), self.constants)  # what the driver makes a list of
        match job.kernel:
            case "add":
                return Call("diana_digital_add", (words,))
            case "depthwise":
                sizes = (job["channels"], job["fx"] * job["fy"], job["in_plane"], job["out_plane"])
                return Call("diana_digital_depthwise", (words, constants, *sizes))
            case "blocks":
                return Call("diana_digital_blocks", (alone, constants, job["channels"], job["pitch"]))
            case "conv2d" if job["pitch"]:
                return Call("diana_digital_rows", (constants, costs.weight_bytes(entry)))
            case kernel:
                return Call(_FUNCTIONS[kernel], (words, constants, costs.weight_bytes(entry)))

    def baseline(self, workload: Workload, target: Target) -> tuple[dory.Layer, dory.Budget]:
        from htvm_ir.targets.diana.baseline import digital_layer

        return digital_layer(workload, self.parameters, target.memory(self.local).size)

    def problem(self, workload: Workload, target: Target) -> Problem:
        if target.channel(self.load).lent_by:
            from htvm_ir.targets.diana.copy_tiles import copied_problem

            return copied_problem(self, self.parameters, workload, target)
        if workload.kind == "conv2d":
            return ConvProblem(self, self.parameters, workload, target).problem()
        flat = dense_problem if workload.kind == "dense" else add_problem
        return flat(self, self.parameters, workload, target)

    def instruction(self, job: Job, inputs: Sequence[int], output: int) -> DigitalInstruction:
        """A job's first instruction, or what its instructions are made from, with the addresses of its operands."""
        if job.kernel in conv.KERNELS:
            return conv.instruction(job, inputs[0], output)
        shift, relu = job["shift"], bool(job["relu"])
        if job.kernel == "add":
            left, right = inputs
            return DigitalInstruction.add(left=left, right=right, output=output, c=job["c"], shift=shift, relu=relu)
        return DigitalInstruction.dense(input=inputs[0], output=output, c=job["c"], k=job["k"], shift=shift, relu=relu)

    def _refusals(self, workload: Workload) -> Iterator[str]:
        """Every reason against the workload, the most telling first."""
        if workload.kind not in self.kinds:
            yield f"the digital array has no {workload.kind}; it computes conv2d, dense and add"
            return
        if len(workload.output.shape) not in (2, 4) or workload.output.shape[0] != 1:
            yield f"shape {list(workload.output.shape)}: the array computes on [1, C, H, W] and [1, N]"
        if any(tensor.dtype != "i8" for tensor in (*workload.inputs, workload.output)):
            yield "operands and result must be 8-bit signed; requantise to i8"
            return
        yield from _requant_refusals(workload, self.parameters)
        if len(workload.inputs) in workload.strips and plane_bytes(workload.output) % self.parameters.dma_granule:
            yield (
                f"strips of {workload.output.shape[2]} rows are no multiples of {self.parameters.dma_granule} bytes: "
                "their transfers would overrun the next channel's rows"
            )
        if workload.kind == "add":
            if len(workload.inputs) != 2:
                yield "a sum with a constant: the array adds two feature maps"
            return
        if workload.zero_point:
            yield f"input zero point {workload.zero_point}: the array is symmetric and pads with 0"
        if workload.weights is None:
            yield "the weights are not constant; the array streams prepacked weights"
            return
        if np.abs(workload.weights.astype(np.int64) + 0.5).max(initial=0) > 128:
            yield "the weights do not fit 8 bits; quantise them to int8"
            return
        if workload.kind == "conv2d":
            yield from self._conv_refusals(workload)
        else:
            yield from self._size_refusals(workload)

    def _conv_refusals(self, workload: Workload) -> Iterator[str]:
        (fy, fx), (sy, sx) = workload.kernel, workload.strides
        if fy not in self.parameters.kernels or fx not in self.parameters.kernels:
            sizes = ", ".join(map(str, self.parameters.kernels))
            yield f"kernel {fy}x{fx}: the array supports kernel dimensions {sizes} (grow the kernel by zeros)"
        if sy != sx or sy not in (1, 2):
            yield f"stride {sy}x{sx}: the array supports 1 and 2, equal in both directions (move pixels into channels)"
        if workload.dilations != (1, 1):
            yield "dilation: the array computes dense kernels only (write out the zeros between the taps)"
        if workload.groups != 1 and not workload.is_depthwise:
            yield (
                f"{workload.groups} groups: the array takes 1 group or one for each channel "
                "(write a convolution for each group)"
            )
        if max(workload.pads) > 15:
            yield f"padding {list(workload.pads)}: an instruction holds at most 15 (pad in an op of its own)"
        if workload.output.shape[3] < 1 or workload.inputs[0].shape[2] < 1:
            yield "an empty feature map"
        yield from self._size_refusals(workload)

    def _size_refusals(self, workload: Workload) -> Iterator[str]:
        limit = self.parameters.weight_memory_bytes
        channels, kernel = workload.inputs[0].shape[1], workload.kernel
        block = packing.depthwise_group_bytes(*kernel)
        if workload.kind == "dense":
            block = packing.dense_block_bytes(channels)
        elif not workload.is_depthwise:
            block = packing.conv_block_bytes(channels, *kernel)
        if block > limit:
            yield (
                f"16 output channels need {block} bytes of weights, the weight memory holds {limit} "
                "(fewer input channels or a smaller kernel)"
            )


_FUNCTIONS = {"conv2d": "diana_digital_conv", "dense": "diana_digital_dense"}


def _triggers(job: Job, first: DigitalInstruction) -> Iterator[conv.Trigger]:
    """All that runs for a job whose first instruction is given."""
    if job.kernel in conv.KERNELS:
        return conv.triggers(job, first)
    return iter((conv.Trigger(0, costs.weight_bytes(first), (first,)),))


@lru_cache(maxsize=REMEMBERED)
def _trigger_cycles(engine: Digital, kernel: str, fields: tuple[tuple[str, int], ...]) -> tuple[int, ...]:
    """Cycles of everything the driver starts for a job, in order."""
    job, p = Job(kernel, dict(fields)), engine.parameters
    return tuple(
        costs.weight_stream_cycles(trigger.size, p) + sum(costs.compute_cycles(entry, p) for entry in trigger.jobs)
        for trigger in _triggers(job, engine.instruction(job, (0, 0), 0))
    )


def _execute(l1: Bytes, instruction: DigitalInstruction, weights: bytes) -> None:
    """One job inside ``l1``; the data path itself does not look where its addresses lead."""
    from htvm_ir.targets.diana import datapath

    end = max(span.end for span in (*datapath.reads(instruction), *datapath.writes(instruction)))
    if end > l1.size:
        raise ValueError(f"the job reaches byte {end} of buffers of {l1.size}")
    datapath.execute(l1, instruction, weights)


def _requant_refusals(workload: Workload, parameters: Parameters) -> Iterator[str]:
    requant = workload.requant
    if requant is None:
        yield "the 32-bit result leaves the array only requantised to 8 bits (add a clip)"
        return
    if requant.rounding != "floor" and any(requant.shift):
        yield f"rounding {requant.rounding}: the array rounds down (use --numerics=pow2 or fold 1/2 into the bias)"
    if any(m != 1 for m in requant.multiplier):
        yield "a multiplier other than 1: the array only shifts (power-of-two scales needed, as --numerics=pow2 gives)"
    if any(requant.addend):
        yield "an addend behind the multiplier: the array adds a bias only (fold it into the bias)"
    if len(set(requant.shift)) != 1:
        yield "a shift for each channel: the array has one for the layer (scale all channels alike)"
    if max(requant.shift) > parameters.max_shift:
        yield (
            f"shift {max(requant.shift)}: the array shifts by at most {parameters.max_shift} "
            "(shift the rest in an op of its own)"
        )
    if requant.zero_point:
        yield f"zero point {requant.zero_point}: the array is symmetric (--numerics=pow2 makes the network so)"
    if requant.hi != 127 or requant.lo not in (-128, 0):
        yield f"range {requant.lo} to {requant.hi}: the array clips to -128 or 0 and to 127 (clip in an op of its own)"
    if requant.lo == 0 and workload.kind == "add" and not parameters.sum_relu:
        yield "ReLU after a sum: the driver's sum does not clip at 0 (clip in an op of its own)"
