"""Convolutions on DIANA's digital core, in all their mappings: constants, memory, jobs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from htvm_ir.targets.diana import compact, costs, diagonal, packing
from htvm_ir.targets.diana.conv_mapping import ConvMapping
from htvm_ir.targets.diana.instruction import LANES, DigitalInstruction
from htvm_ir.targets.diana.packing import round_up
from htvm_ir.targets.target import Job
from htvm_ir.targets.workload import Workload

KERNELS = ("conv2d", "depthwise", "blocks")
"""Jobs: all input channels at once; one channel a trigger; diagonal blocks, 16 channels a trigger."""


@dataclass(frozen=True)
class Trigger:
    """Jobs that run one after the other, and the range of the packed constants that is streamed for them."""

    start: int
    size: int
    jobs: tuple[DigitalInstruction, ...]


def pack(workload: Workload, weights: packing.Int8, bias: packing.Int32) -> bytes:
    """The constants as the jobs stream them."""
    mapping = ConvMapping.of(workload)
    if mapping.lanes:
        return packing.pack_diagonal(weights, bias, mapping.lanes)
    return packing.pack_depthwise(weights, bias) if workload.is_depthwise else packing.pack_conv(weights, bias)


def packed_range(workload: Workload, start: int, size: int) -> tuple[int, int]:
    """Offset and bytes of the constants of some output channels."""
    mapping = ConvMapping.of(workload)
    if mapping.lanes:
        return diagonal.packed_range(start, size, mapping.lanes, workload.kernel)
    if workload.is_depthwise:
        group = packing.depthwise_group_bytes(*workload.kernel)
        groups = -(-size // packing.DEPTHWISE_GROUP)
        return start // packing.DEPTHWISE_GROUP * group, groups * group + packing.DEPTHWISE_TAIL
    block = packing.conv_block_bytes(workload.inputs[0].shape[1], *workload.kernel)
    return start // LANES * block, -(-size // LANES) * block


def written_planes(workload: Workload, channels: int) -> int:
    """Planes that all lanes of the jobs of some output channels write."""
    mapping = ConvMapping.of(workload)
    if mapping.lanes:
        return diagonal.written_planes(channels, mapping.lanes)
    return channels + LANES - 1 if workload.is_depthwise else round_up(channels, LANES)


def map_bytes(workload: Workload) -> tuple[int, int]:
    """Bytes of the input, and of all that is written."""
    mapping = ConvMapping.of(workload)
    planes = written_planes(workload, workload.output.shape[1])
    written = (planes - 1) * _out_plane(workload, mapping) + mapping.out_plane(workload)
    return workload.inputs[0].shape[1] * mapping.in_plane(workload), written


def _out_plane(workload: Workload, mapping: ConvMapping) -> int:
    """Bytes from channel to channel of the result: of all of it, where a tile computes some rows of it in place."""
    if len(workload.inputs) in workload.resident and workload.whole:
        workload = replace(workload, output=replace(workload.output, shape=workload.whole[-1]))
    return mapping.out_plane(workload)


def job(workload: Workload) -> Job:
    """The job without the fields of the requantisation."""
    mapping = ConvMapping.of(workload)
    channels, k = workload.inputs[0].shape[1], workload.output.shape[1]
    fields = _flat_geometry(workload) if mapping.is_flat(workload) else _geometry(workload, mapping)
    fields |= {"in_plane": mapping.in_plane(workload), "out_plane": _out_plane(workload, mapping)}
    fields["pitch"] = mapping.row_pitch(workload)
    if mapping.lanes:
        return Job("blocks", {"channels": channels, "lanes": mapping.lanes, **fields})
    if workload.is_depthwise:
        return Job("depthwise", {"channels": channels, **fields})
    return Job("conv2d", {"c": channels, "k": round_up(k, LANES) // LANES, **fields})


def _geometry(workload: Workload, mapping: ConvMapping) -> dict[str, int]:
    """What an instruction says of the maps and the kernel."""
    (_, _, cy, cx), (_, _, oy, ox) = workload.inputs[0].shape, workload.output.shape
    stored = compact.pitch(workload.inputs[0]) if mapping.compact_input else round_up(cx, LANES)
    top, left, _, _ = workload.pads
    stride, (fy, fx) = workload.strides[0], workload.kernel
    return {
        **{"cx": stored, "cy": cy, "fx": fx, "fy": fy, "stride": stride},
        **{"ox": round_up(ox, LANES) // LANES, "oy": oy, "hidden": stored - cx},
        **{"pad_top": top, "pad_left": left, "pad_bottom": max(0, (oy - 1) * stride + fy - top - cy)},
    }


def _flat_geometry(workload: Workload) -> dict[str, int]:
    """The planes as one row, as far as it holds the map."""
    source = workload.inputs[0]
    row = source.shape[2] * compact.pitch(source)
    return {
        **{"cx": row, "cy": 1, "fx": 1, "fy": 1, "stride": 1, "ox": compact.groups(source), "oy": 1, "hidden": 0},
        **{"pad_top": 0, "pad_left": 0, "pad_bottom": 0},
    }


def instruction(job: Job, source: int, output: int) -> DigitalInstruction:
    """The first of the job's instructions, or what they are made from."""
    return DigitalInstruction.conv(
        input=source,
        output=output,
        c=job["c"] if job.kernel == "conv2d" else job["lanes"] if job.kernel == "blocks" else 1,
        k=job["k"] if job.kernel == "conv2d" else 1,
        **{n: job[n] for n in ("cx", "cy", "fx", "fy", "ox", "oy", "stride")},
        **{n: job[n] for n in ("pad_left", "pad_top", "pad_bottom")},
        shift=job["shift"],
        relu=bool(job["relu"]),
        hidden_columns=job["hidden"],
        size_channel=job["in_plane"],
        output_channel_size=job["out_plane"],
    )


def triggers(job: Job, first: DigitalInstruction) -> Iterator[Trigger]:
    """All that runs for a job whose first instruction is given."""
    if job.kernel == "conv2d":
        yield Trigger(0, costs.weight_bytes(first), _rows(first, job))
    elif job.kernel == "depthwise":
        yield from (_channel(first, channel) for channel in range(job["channels"]))
    else:
        size = diagonal.streamed_bytes(job["lanes"], (first.fy, first.fx))
        for start, blocks in diagonal.triggers(first, job["channels"]):
            yield Trigger(start, size, tuple(row for block in blocks for row in _rows(block, job)))


def _rows(entry: DigitalInstruction, job: Job) -> tuple[DigitalInstruction, ...]:
    return tuple(compact.row_jobs(entry, job["pitch"])) if job["pitch"] else (entry,)


def _channel(first: DigitalInstruction, channel: int) -> Trigger:
    """The job of one channel of a depthwise layer; four share a group of weights."""
    group = packing.depthwise_group_bytes(first.fy, first.fx)
    start = channel // packing.DEPTHWISE_GROUP * group + 4 * (channel % packing.DEPTHWISE_GROUP)
    planes = {
        "input": first.input + channel * first.size_channel,
        "output": first.output + channel * first.output_channel_size,
    }
    return Trigger(start, group, (replace(first, **planes),))


def constants(workload: Workload) -> tuple[packing.Int8, packing.Int32]:
    """The weights, and biases that are zero if there are none."""
    assert workload.weights is not None
    weights = workload.weights.astype(np.int8)
    bias = np.zeros(len(weights), np.int32) if workload.bias is None else workload.bias.astype(np.int32)
    return weights, bias
