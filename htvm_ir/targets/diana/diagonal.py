"""Depthwise layers as diagonal blocks: ordinary convolutions that compute 4, 8 or 16 channels a job.

The published way, one job for each channel, uses one of the 16 lanes of the array. A convolution of `lanes` input
channels with a diagonal of weights uses that many; its other lanes write planes that later jobs overwrite. One
trigger streams the weights of 16 channels and runs all their jobs. Fewer lanes need less weights, more lanes less time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from htvm_ir.targets.diana.instruction import LANES, DigitalInstruction
from htvm_ir.targets.diana.packing import diagonal_block_bytes, diagonal_tail
from htvm_ir.targets.workload import Workload

MAPPINGS = {"blocks16": 16, "blocks8": 8, "blocks4": 4}
"""Names of the mappings, and channels of a job."""


def mappings(workload: Workload) -> Iterator[str]:
    """Those that a depthwise layer has channels for."""
    channels = workload.output.shape[1]
    return (name for name, lanes in MAPPINGS.items() if channels > lanes // 2)


def lanes_of(workload: Workload) -> int | None:
    """Channels of a job, if the workload is mapped to diagonal blocks."""
    return MAPPINGS.get(workload.mapping)


def written_planes(channels: int, lanes: int) -> int:
    """Planes that the jobs of some channels write: those of the last one reach over the end."""
    return (channels - 1) // lanes * lanes + LANES


def packed_range(start: int, size: int, lanes: int, kernel: tuple[int, int]) -> tuple[int, int]:
    """Offset and bytes of the weights of `size` channels from `start`, a multiple of 16."""
    block = diagonal_block_bytes(lanes, *kernel)
    return start // LANES * block, -(-size // LANES) * block + diagonal_tail(lanes)


def streamed_bytes(lanes: int, kernel: tuple[int, int]) -> int:
    """Bytes of weights of one trigger."""
    return diagonal_block_bytes(lanes, *kernel) + diagonal_tail(lanes)


def triggers(first: DigitalInstruction, channels: int) -> Iterator[tuple[int, Sequence[DigitalInstruction]]]:
    """The lists of jobs of all channels, and where in the packed weights the stream of each begins.

    `first`: the job of the first `first.c` channels.
    """
    lanes = first.c
    jobs = [_job(first, start, min(lanes, channels - start)) for start in range(0, channels, lanes)]
    each = LANES // lanes
    block = diagonal_block_bytes(lanes, first.fy, first.fx)
    for number in range(0, len(jobs), each):
        yield number // each * block, jobs[number : number + each]


def _job(first: DigitalInstruction, start: int, channels: int) -> DigitalInstruction:
    return replace(
        first,
        c=channels,
        weights=start % LANES,
        input=first.input + start * first.size_channel,
        output=first.output + start * first.output_channel_size,
    )
