"""Depthwise layers as diagonal blocks: ordinary convolutions that compute 4, 8 or 16 channels a job.

The published way, one job for each channel, uses one of the 16 lanes of the array. A convolution of `lanes` input
channels with a diagonal of weights uses that many; its other lanes write planes that later jobs overwrite. One
trigger streams the weights of 16 channels and runs all their jobs. Fewer lanes need less weights, more lanes less time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from htvm_ir.targets.diana.instruction import LANES, DigitalInstruction
from htvm_ir.targets.diana.packing import diagonal_block_bytes, diagonal_tail


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


def triggers(first: DigitalInstruction, channels: int) -> Iterator[tuple[int, list[DigitalInstruction]]]:
    """The jobs of all channels, 16 of them a trigger, and where in the packed weights the stream of each begins.

    `first`: the job of the first `first.c` channels.
    """
    lanes = first.c
    block = diagonal_block_bytes(lanes, first.fy, first.fx)
    for begin in range(0, channels, LANES):
        end = min(begin + LANES, channels)
        jobs = [_job(first, start, min(lanes, end - start)) for start in range(begin, end, lanes)]
        yield begin // LANES * block, jobs


def _job(first: DigitalInstruction, start: int, channels: int) -> DigitalInstruction:
    return replace(
        first,
        c=channels,
        weights=start % LANES,
        input=first.input + start * first.size_channel,
        output=first.output + start * first.output_channel_size,
    )
