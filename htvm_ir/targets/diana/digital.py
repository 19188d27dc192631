"""The contract of DIANA's digital core: what it takes, its tiles, its jobs, their cycles and arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from htvm_ir.targets.diana import costs, datapath, diagonal, packing
from htvm_ir.targets.diana.baseline import digital_layer
from htvm_ir.targets.diana.instruction import LANES, DigitalInstruction, program
from htvm_ir.targets.diana.packing import round_up
from htvm_ir.targets.diana.parameters import DIANA, Parameters
from htvm_ir.targets.diana.tiles import (
    ConvProblem,
    add_problem,
    dense_problem,
    plane_bytes,
    slot_bytes,
    stored_bytes,
)
from htvm_ir.targets.layout import Layout
from htvm_ir.targets.target import Bytes, Call, Data, Engine, Job, Target
from htvm_ir.targets.workload import Tile, Workload
from htvm_ir.tiling import dory
from htvm_ir.tiling.problem import Problem

OX_LAYOUT = Layout((0, 1, 2, 3), (1, 1, 1, LANES), xor=3)
"""Feature maps: CHW, rows padded to 16 bytes, every word reversed (HTVM's and DORY's layout)."""

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
    load: str = "digital_in"
    store: str = "digital_out"
    wait: str = "diana_digital_wait"
    kinds: tuple[str, ...] = ("conv2d", "dense", "add")

    def match(self, workload: Workload) -> str | None:
        return next(self._refusals(workload), None)

    def mappings(self, workload: Workload) -> tuple[str, ...]:
        return ("channels", *diagonal.mappings(workload)) if workload.is_depthwise else ("",)

    def layouts(self, workload: Workload) -> tuple[Layout, ...]:
        tensors = (*workload.inputs, workload.output)
        return tuple(OX_LAYOUT if len(t.shape) == 4 else VECTOR_LAYOUT for t in tensors)

    def may_stay(self, workload: Workload) -> frozenset[int]:
        return frozenset(range(len(workload.inputs) + 1))

    def pack(self, workload: Workload) -> Bytes:
        if workload.weights is None:
            return np.zeros(0, np.uint8)
        weights = workload.weights.astype(np.int8)
        channels = weights.shape[0]
        bias = np.zeros(channels, np.int32) if workload.bias is None else workload.bias.astype(np.int32)
        if workload.kind == "dense":
            data = packing.pack_dense(*packing.for_plain_vectors(weights, bias))
        elif (lanes := diagonal.lanes_of(workload)) is not None:
            data = packing.pack_diagonal(weights, bias, lanes)
        elif workload.is_depthwise:
            data = packing.pack_depthwise(weights, bias)
        else:
            data = packing.pack_conv(weights, bias)
        return np.frombuffer(data, np.uint8)

    def packed_range(self, workload: Workload, tile: Tile) -> tuple[int, int]:
        if workload.weights is None:
            return 0, 0
        start, size = tile.get("k", (0, workload.output.shape[1]))
        if (lanes := diagonal.lanes_of(workload)) is not None:
            return diagonal.packed_range(start, size, lanes, workload.kernel)
        if workload.is_depthwise:
            group = packing.depthwise_group_bytes(*workload.kernel)
            groups = -(-size // packing.DEPTHWISE_GROUP)
            return start // packing.DEPTHWISE_GROUP * group, groups * group + packing.DEPTHWISE_TAIL
        block = self._block_bytes(workload)
        return start // LANES * block, -(-size // LANES) * block

    def local_bytes(self, workload: Workload) -> tuple[int, ...]:
        out = workload.output.shape
        channels = out[1]
        if (lanes := diagonal.lanes_of(workload)) is not None:
            channels = diagonal.written_planes(channels, lanes)
        elif workload.is_depthwise:
            channels += LANES - 1  # lanes 1 to 15 write the planes behind
        elif workload.kind == "conv2d":
            channels = round_up(channels, LANES)
        rows = plane_bytes(workload.output) if len(out) == 4 else 1
        written = (channels - 1) * (_out_plane(workload) or rows) + rows
        inputs = (stored_bytes(tensor) for tensor in workload.inputs)
        return tuple(slot_bytes(self.parameters, size) for size in (*inputs, written))

    def job(self, workload: Workload) -> Job:
        requant = workload.requant
        assert requant is not None
        fields = {"shift": requant.shift[0], "relu": int(requant.lo == 0)}
        source, out = workload.inputs[0].shape, workload.output.shape
        if workload.kind == "add":
            return Job("add", {"c": stored_bytes(workload.output) // LANES, **fields})
        if workload.kind == "dense":
            c, k = (round_up(n, LANES) // LANES for n in (source[1], out[1]))
            return Job("dense", {"c": c, "k": k, **fields})
        stored = round_up(source[3], LANES)
        top, left, _, _ = workload.pads
        stride, (fy, fx) = workload.strides[0], workload.kernel
        fields |= {"cx": stored, "cy": source[2], "fx": fx, "fy": fy, "stride": stride}
        fields |= {"ox": round_up(out[3], LANES) // LANES, "oy": out[2], "hidden": stored - source[3]}
        bottom = max(0, (out[2] - 1) * stride + fy - top - source[2])
        fields |= {"pad_top": top, "pad_left": left, "pad_bottom": bottom}
        if (lanes := diagonal.lanes_of(workload)) is not None:
            return Job("blocks", {"channels": source[1], "lanes": lanes, **fields})
        if workload.is_depthwise:
            return Job("depthwise", {"channels": source[1], **fields})
        plane = _out_plane(workload)
        fields |= {} if plane is None else {"out_plane": plane}
        return Job("conv2d", {"c": source[1], "k": round_up(out[1], LANES) // LANES, **fields})

    def cycles(self, job: Job) -> int:
        instruction = self._instruction(job, (0, 0), 0)
        if job.kernel == "blocks":
            streamed = diagonal.streamed_bytes(job["lanes"], (job["fy"], job["fx"]))
            return sum(
                costs.weight_stream_cycles(streamed, self.parameters)
                + sum(costs.compute_cycles(entry, self.parameters) for entry in entries)
                for _, entries in diagonal.triggers(instruction, job["channels"])
            )
        streamed = self._streamed(job)
        one = costs.compute_cycles(instruction, self.parameters)
        one += costs.weight_stream_cycles(streamed, self.parameters)
        return one * job["channels"] if job.kernel == "depthwise" else one

    def detached(self, job: Job) -> int:
        cycles = self.cycles(job)
        return cycles // job["channels"] if job.kernel == "depthwise" else cycles

    def execute(self, job: Job, inputs: Sequence[Bytes], constants: Bytes, output: Bytes) -> None:
        l1 = np.concatenate([*inputs, output])
        addresses = np.cumsum([0, *(part.size for part in inputs)]).tolist()
        first = self._instruction(job, addresses[:-1], addresses[-1])
        weights = constants.tobytes()
        if job.kernel == "depthwise":
            for channel in range(job["channels"]):
                _execute(l1, *_channel_job(first, channel, weights))
        elif job.kernel == "blocks":
            streamed = diagonal.streamed_bytes(job["lanes"], (job["fy"], job["fx"]))
            for start, entries in diagonal.triggers(first, job["channels"]):
                for entry in entries:
                    _execute(l1, entry, weights[start : start + streamed])
        else:
            _execute(l1, first, weights)
        output[...] = l1[addresses[-1] :]

    def overwrites(self, job: Job) -> frozenset[int]:
        return frozenset((0, 1)) if job.kernel == "add" else frozenset()  # it sums element by element

    def call(self, job: Job, inputs: Sequence[int], output: int, constants: str) -> Call:
        instruction = self._instruction(job, inputs, output)
        if job.kernel == "blocks":  # the driver makes a list of its own from this entry
            return Call("diana_digital_blocks", (Data(instruction.words(), self.constants), constants, job["channels"]))
        words = Data(program([instruction]), self.constants)
        if job.kernel == "add":
            return Call("diana_digital_add", (words,))
        if job.kernel == "depthwise":
            planes = (job["cx"] * job["cy"], LANES * job["ox"] * job["oy"])
            taps = job["fx"] * job["fy"]
            return Call("diana_digital_depthwise", (words, constants, job["channels"], taps, *planes))
        function = {"conv2d": "diana_digital_conv", "dense": "diana_digital_dense"}[job.kernel]
        return Call(function, (words, constants, self._streamed(job)))

    def baseline(self, workload: Workload, target: Target) -> tuple[dory.Layer, dory.Budget]:
        return digital_layer(workload, self.parameters, target.memory(self.local).size)

    def problem(self, workload: Workload, target: Target) -> Problem:
        if workload.kind == "conv2d":
            return ConvProblem(self, self.parameters, workload, target).problem()
        flat = dense_problem if workload.kind == "dense" else add_problem
        return flat(self, self.parameters, workload, target)

    def _block_bytes(self, workload: Workload) -> int:
        """Packed bytes of 16 output channels."""
        if workload.kind == "dense":
            return packing.dense_block_bytes(workload.inputs[0].shape[1])
        return packing.conv_block_bytes(workload.inputs[0].shape[1], *workload.kernel)

    def _instruction(self, job: Job, inputs: Sequence[int], output: int) -> DigitalInstruction:
        shift, relu = job["shift"], bool(job["relu"])
        if job.kernel == "add":
            left, right = inputs
            return DigitalInstruction.add(left=left, right=right, output=output, c=job["c"], shift=shift, relu=relu)
        if job.kernel == "dense":
            return DigitalInstruction.dense(
                input=inputs[0], output=output, c=job["c"], k=job["k"], shift=shift, relu=relu
            )
        one_channel, blocks = job.kernel == "depthwise", job.kernel == "blocks"
        c = job["lanes"] if blocks else 1 if one_channel else job["c"]
        return DigitalInstruction.conv(
            input=inputs[0],
            output=output,
            c=c,
            k=1 if one_channel or blocks else job["k"],
            **{n: job[n] for n in ("cx", "cy", "fx", "fy", "ox", "oy", "stride")},
            **{n: job[n] for n in ("pad_left", "pad_top", "pad_bottom")},
            shift=shift,
            relu=relu,
            hidden_columns=job["hidden"],
            output_channel_size=job.fields.get("out_plane"),
        )

    def _streamed(self, job: Job) -> int:
        """Bytes of constants one trigger streams."""
        return costs.weight_bytes(self._instruction(job, (0, 0), 0))

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
        block = packing.depthwise_group_bytes(*workload.kernel)
        if not workload.is_depthwise:
            block = self._block_bytes(workload)
        if block > limit:
            yield (
                f"16 output channels need {block} bytes of weights, the weight memory holds {limit} "
                "(fewer input channels or a smaller kernel)"
            )


def _out_plane(workload: Workload) -> int | None:
    """Bytes from channel to channel of a result of which a tile computes some rows in place; None if they touch."""
    if len(workload.inputs) not in workload.resident or not workload.whole or workload.kind != "conv2d":
        return None
    whole = plane_bytes(replace(workload.output, shape=workload.whole[-1]))
    return whole if whole != plane_bytes(workload.output) else None


def _execute(l1: Bytes, instruction: DigitalInstruction, weights: bytes) -> None:
    """One job inside ``l1``; the data path itself does not look where its addresses lead."""
    end = max(span.end for span in (*datapath.reads(instruction), *datapath.writes(instruction)))
    if end > l1.size:
        raise ValueError(f"the job reaches byte {end} of buffers of {l1.size}")
    datapath.execute(l1, instruction, weights)


def _channel_job(first: DigitalInstruction, channel: int, weights: bytes) -> tuple[DigitalInstruction, bytes]:
    """The instruction of one channel of a depthwise job, and what its trigger streams."""
    group = packing.depthwise_group_bytes(first.fy, first.fx)
    start = channel // packing.DEPTHWISE_GROUP * group + 4 * (channel % packing.DEPTHWISE_GROUP)
    planes = {
        "input": first.input + channel * first.size_channel,
        "output": first.output + channel * first.output_channel_size,
    }
    return replace(first, **planes), weights[start : start + group]


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
