"""A target of one's own: an NPU with 8 x 4 multipliers, a scratchpad, and a DMA that moves data while the NPU computes.

Everything the compiler needs to know is in this file; `pyproject.toml` registers it. All numbers are made up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np

from htvm_ir import arithmetic
from htvm_ir.targets.layout import Layout
from htvm_ir.targets.target import Bytes, Call, Channel, Engine, Job, Memory, Target
from htvm_ir.targets.workload import Tensor, Tile, Workload, tile_workload, tiles
from htvm_ir.tiling.problem import SERIAL, Capacity, Cost, Dimension, Factor, Problem, Product

ROWS, COLUMNS = 8, 4
"""Input channels and output channels the array multiplies in one cycle."""

MAPS = Layout((0, 2, 3, 1), (1, ROWS, 1, 1))
"""Feature maps [1, C, H, W]: the channels innermost, rounded up to 8."""

VECTORS = Layout((0, 1), (1, ROWS))
"""Vectors [1, C]: rounded up to 8; the same bytes as a 1 x 1 feature map."""

KERNELS = Layout((0, 2, 3, 1), (COLUMNS, ROWS, 1, 1))
"""Weights [K, C, FY, FX]: four output channels are one contiguous block."""

BIAS_BYTES = 4 * COLUMNS
JOB_START, PIPELINE_DEPTH, STREAM_BYTES_PER_CYCLE = 24, 3, 8


class Npu(Engine):
    """Convolutions, dense layers (1 x 1 convolutions of a 1 x 1 map) and sums of 8-bit activations."""

    name = "npu"
    local, constants = "SPM", "RAM"
    load, store = "dma_in", "dma_out"
    wait = "toynpu_wait"
    buffers = 2

    def match(self, workload: Workload) -> str | None:
        return next(_refusals(workload), None)

    def layouts(self, workload: Workload) -> tuple[Layout, ...]:
        return tuple(_layout(tensor) for tensor in (*workload.inputs, workload.output))

    def problem(self, workload: Workload, target: Target) -> Problem:
        """All operands twice in the scratchpad; the DMA works on the next tile and the last one while the NPU computes.

        Rows outside, channels inside: then a tile of the input stays for all output channels.
        """
        load, store = target.channel(self.load), target.channel(self.store)
        _, k, height, width = _map_shape(workload.output)
        k_sizes = (*range(ROWS, k, ROWS), k)
        y_sizes = tuple(range(1, height + 1)) if len(workload.output.shape) == 4 else (1,)
        # for every height: the tiles' inputs (whole channels), and how they sum up
        cuts = [_row_tiles(workload, size) for size in y_sizes]
        inputs = [[sum(map(_bytes, part.inputs)) for part in parts] for parts in cuts]
        loads = [[sum(load.cycles(_bytes(t)) for t in part.inputs) for part in parts] for parts in cuts]
        rows = Factor("y", tuple(size * width for size in y_sizes))
        channels = Factor("k", tuple(_round_up(size, ROWS) for size in k_sizes))
        jobs = (Factor("y", tuple(map(len, cuts))), Factor("k", tuple(-(-k // size) for size in k_sizes)))
        stored = store.bytes_per_cycle
        last = Product(1, (rows, Factor("k", tuple(-(-c // stored) for c in channels.table))))
        first = Factor("y", tuple(cycles[0] for cycles in loads))
        rest = Factor("y", tuple(sum(cycles[1:]) for cycles in loads))
        whole = self.cycles(self.job(workload)) - JOB_START
