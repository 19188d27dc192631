"""A target of one's own: an NPU of 8 x 4 multipliers with a scratchpad, and a DMA that works while the NPU computes.

Everything the compiler needs to know stands in this file; `pyproject.toml` registers it. The numbers are made up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from htvm_ir import arithmetic
from htvm_ir.targets.layout import Layout
from htvm_ir.targets.target import Bytes, Call, Channel, Engine, Job, Memory, Target
from htvm_ir.targets.workload import Tensor, Tile, Workload, as_array, dimensions, tile_workload, tiles
from htvm_ir.tiling.problem import SERIAL, Capacity, Cost, Dimension, Factor, Problem, Product

ROWS, COLUMNS = 8, 4
"""Input channels and output channels that the array multiplies in one cycle."""

JOB_START, PIPELINE_DEPTH, STREAM_BYTES_PER_CYCLE, BIAS_BYTES = 24, 3, 8, 4

MAPS = Layout((0, 2, 3, 1), (1, ROWS, 1, 1))
"""Feature maps [1, C, H, W]: channels innermost, rounded up to 8."""

VECTORS = Layout((0, 1), (1, ROWS))
"""Vectors [1, C], rounded up to 8: the same bytes as a 1 x 1 feature map."""

KERNELS = Layout((0, 2, 3, 1), (COLUMNS, ROWS, 1, 1))
"""Weights [K, C, FY, FX]: those of an output channel are contiguous."""

FIELDS = ("c", "iy", "ix", "k", "oy", "ox", "fy", "fx", "sy", "sx", "top", "left", "bottom", "right")
"""The geometry of a job: input and output extents, kernel, strides, padding."""


class Npu(Engine):
    """Convolutions, sums, and dense layers as 1 x 1 convolutions of a 1 x 1 map; weights are streamed from RAM."""

    name = "npu"
    local, constants = "SPM", "RAM"
    load, store, wait = "dma_in", "dma_out", "toynpu_wait"
    buffers = 2

    def match(self, workload: Workload) -> str | None:
        return next(_refusals(workload), None)

    def layouts(self, workload: Workload) -> tuple[Layout, ...]:
        return tuple(map(_layout, (*workload.inputs, workload.output)))

    def local_bytes(self, workload: Workload) -> tuple[int, ...]:
        return tuple(map(_bytes, (*workload.inputs, workload.output)))

    def pack(self, workload: Workload) -> Bytes:
        """Blocks of four output channels: their biases, then their weights."""
        if workload.weights is None:
            return np.zeros(0, np.uint8)
        weights = as_array(workload.weights).reshape(*workload.weights.shape[:2], *workload.kernel)
        blocks = -(-len(weights) // COLUMNS)
        biases = np.zeros(blocks * COLUMNS, "<i4")
        biases[: len(weights)] = 0 if workload.bias is None else workload.bias
        parts = (biases.view(np.uint8), KERNELS.pack(weights.astype(np.int8)).view(np.uint8))
        return np.concatenate([part.reshape(blocks, -1) for part in parts], axis=1).reshape(-1)

    def packed_range(self, workload: Workload, tile: Tile) -> tuple[int, int]:
        start, size = tile.get("k", (0, workload.output.shape[1]))  # a dimension in one piece is not tiled
        block = _block_bytes(self.job(workload))
        return start // COLUMNS * block, -(-size // COLUMNS) * block

    def job(self, workload: Workload) -> Job:
        requant = workload.requant
        assert requant is not None
        extents = (*_map_shape(workload.inputs[0])[1:], *_map_shape(workload.output)[1:])
        geometry = (*extents, *workload.kernel, *workload.strides, *workload.pads)
        fields = dict(zip(FIELDS, geometry, strict=True))
        fields |= {"multiplier": requant.multiplier[0], "shift": requant.shift[0], "lo": requant.lo, "hi": requant.hi}
        return Job("add" if workload.kind == "add" else "conv", fields)

    def cycles(self, job: Job) -> int:
        pixels, streamed = job["oy"] * job["ox"], 0
        each = -(-job["k"] // ROWS)
        if job.kernel == "conv":
            each = -(-job["k"] // COLUMNS) * (-(-job["c"] // ROWS) * job["fy"] * job["fx"] + PIPELINE_DEPTH)
            streamed = _stream_cycles(job)
        return JOB_START + streamed + pixels * each

    def execute(self, job: Job, inputs: Sequence[Bytes], constants: Bytes, output: Bytes) -> None:
        maps = [_read(data, (1, job["c"], job["iy"], job["ix"]), MAPS) for data in inputs]
        if job.kernel == "add":
            acc = arithmetic.add(*maps)
        else:
            blocks = constants.reshape(-1, _block_bytes(job))
            bias, weights = np.split(blocks, [COLUMNS * BIAS_BYTES], axis=1)
            kernels = _read(weights, (job["k"], job["c"], job["fy"], job["fx"]), KERNELS)
            pads = (job["top"], job["left"], job["bottom"], job["right"])
            biases = np.ascontiguousarray(bias).view("<i4").reshape(-1)[: job["k"]]
            acc = arithmetic.conv2d(maps[0], kernels, biases, (job["sy"], job["sx"]), pads, (1, 1), 1)
        scaling = ([job["multiplier"]], [job["shift"]], 0, job["lo"], job["hi"])
        stored = MAPS.pack(arithmetic.requantize(acc, "floor", *scaling, np.dtype(np.int8)))
        output[: stored.size] = stored.view(np.uint8)

    def call(self, job: Job, inputs: Sequence[int], output: int, constants: str) -> Call:
        operands = (*inputs, output) if job.kernel == "add" else (*inputs, output, constants)
        return Call(f"toynpu_{job.kernel}", (*operands, *job.fields.values()))

    def problem(self, workload: Workload, target: Target) -> Problem:
        """Tiles of rows outside, of output channels inside, so that an input tile stays for all its output channels.

        The DMA brings the next tile and takes the last one away while the NPU computes: every buffer is there twice,
        and only the first load and the last store are waited for.
        """
        load, store = target.channel(self.load), target.channel(self.store)
        extents = dimensions(workload)
        whole = self.job(workload)
        k_sizes = (workload.output.shape[1],)
        if whole.kernel == "conv":
            k_sizes = (*range(ROWS, k_sizes[0], ROWS), *k_sizes)
        y_sizes = tuple(range(1, extents.get("y", 1) + 1))
        cuts = [_row_tiles(workload, size) for size in y_sizes]
        loads = [[sum(load.cycles(_bytes(t)) for t in part.inputs) for part in cut] for cut in cuts]

        def product(coefficient: int, *tables: Factor) -> Product:
            for lost in (t for t in tables if t.dimension not in extents):  # vectors have no rows
                coefficient *= lost.table[0]
            return Product(coefficient, tuple(t for t in tables if t.dimension in extents))

        brought = Factor("y", tuple(max(sum(map(_bytes, part.inputs)) for part in cut) for cut in cuts))
        pixels = Factor("y", tuple(size * whole["ox"] for size in y_sizes))
        channels = Factor("k", tuple(_round_up(size) for size in k_sizes))
        jobs = Factor("y", tuple(map(len, cuts))), Factor("k", tuple(-(-whole["k"] // size) for size in k_sizes))
        written = Factor("k", tuple(-(-size // store.bytes_per_cycle) for size in channels.table))
        everything = store.cycles(_round_up(whole["k"]), whole["oy"] * whole["ox"]) - store.start
        streamed = _stream_cycles(whole) if whole.kernel == "conv" else 0
        first, others = (Factor("y", tuple(sum(cut[part]) for cut in loads)) for part in (slice(1), slice(1, None)))
        return Problem(
            tuple(Dimension(n, extents[n], {"y": y_sizes, "k": k_sizes}[n]) for n in ("y", "k") if n in extents),
            (
                Capacity(
                    self.local,
                    target.memory(self.local).size,
                    (product(self.buffers, brought), product(self.buffers, pixels, channels)),
                ),
            ),
            (
                Cost(SERIAL, (product(1, first), product(1, pixels, written))),
                Cost("engine", (product(JOB_START, *jobs), product(streamed, jobs[0]))),
                Cost("engine", (Product(self.cycles(whole) - JOB_START - streamed),)),
                Cost("transfer", (product(1, others), product(store.start, *jobs))),
                Cost("transfer", (Product(everything), product(-1, pixels, written))),
            ),
            orders=(tuple(name for name in ("y", "k") if name in extents),),
            overlap=(("engine",), ("transfer",)),
        )


def _round_up(channels: int) -> int:
    return -(-channels // ROWS) * ROWS


def _layout(tensor: Tensor) -> Layout:
    return MAPS if len(tensor.shape) == 4 else VECTORS


def _bytes(tensor: Tensor) -> int:
    return _layout(tensor).stored_size(tensor.shape)


def _map_shape(tensor: Tensor) -> tuple[int, ...]:
    return tensor.shape if len(tensor.shape) == 4 else (*tensor.shape, 1, 1)


def _read(data: Bytes, shape: Sequence[int], layout: Layout) -> arithmetic.IntArray:
    return layout.unpack(data.reshape(-1)[: layout.stored_size(shape)].view(np.int8), shape)


def _block_bytes(job: Job) -> int:
    return COLUMNS * (BIAS_BYTES + _round_up(job["c"]) * job["fy"] * job["fx"])


def _stream_cycles(job: Job) -> int:
    return -(-job["k"] // COLUMNS) * _block_bytes(job) // STREAM_BYTES_PER_CYCLE


def _row_tiles(workload: Workload, size: int) -> list[Workload]:
    """The tiles of so many output rows, with all channels; a vector is one tile."""
    height = dimensions(workload).get("y")
    if height is None:
        return [workload]
    return [tile_workload(workload, tile) for tile in tiles({"y": height}, {"y": size}, ("y",))]


def _refusals(workload: Workload) -> Iterator[str]:
    """Every reason against the workload: what it is, and what the NPU could do."""
    requant = workload.requant
    if workload.kind not in ("conv2d", "dense", "add"):
        yield f"the NPU has no {workload.kind}; it computes conv2d, dense and add"
    if any(tensor.dtype != "i8" for tensor in (*workload.inputs, workload.output)):
        yield "operands and result must be 8-bit signed"
    if requant is None:
        yield "the 32-bit result leaves the NPU only requantised to 8 bits"
    elif requant.zero_point or (requant.rounding != "floor" and any(requant.shift)):
        yield "the NPU rounds down and has no zero point"
    elif len({*requant.multiplier}) != 1 or len({*requant.shift}) != 1:
        yield "a scale for each channel: the NPU has one for the layer"
    if workload.kind == "add":
        return
    if workload.weights is None or np.abs(workload.weights.astype(np.int64) + 0.5).max() > 128:
        yield "the weights must be constant and 8-bit signed"
    if workload.groups != 1 or workload.dilations != (1, 1):
        yield "the NPU convolves all channels, without dilation"
    if max(workload.kernel) > 5 or max(workload.strides) > 3:
        (fy, fx), (sy, sx) = workload.kernel, workload.strides
        yield f"kernel {fy}x{fx}, stride {sy}x{sx}: the NPU supports kernels up to 5x5 and strides up to 3"
    if any(pad >= size for pad, size in zip(workload.pads, workload.kernel * 2, strict=True)):
        yield f"padding {list(workload.pads)}: as wide as the kernel or wider"


def toynpu() -> Target:
    """The whole chip: a core with 1 MB of RAM, and the NPU with a 32 kB scratchpad the core cannot address."""

    def channel(name: str, source: str, destination: str) -> Channel:
        return Channel(
            name=name,
            source=source,
            destination=destination,
            start=16,
            bytes_per_cycle=8,
            granule=8,
            pieces=False,
            software=0,
            overlaps=True,
            function=f"toynpu_{name}",
            wait=f"toynpu_{name}_wait",
        )

    return Target(
        name="toynpu",
        description="RISC-V core, 8x4 NPU with its own scratchpad, DMA beside compute (an example, no virtual SoC)",
        clock_hz=100_000_000,
        memories=(
            Memory("SPM", 32 * 1024, alignment=8, host=False),
            Memory("RAM", 1024 * 1024, alignment=8),
        ),
        channels=(channel("dma_in", "RAM", "SPM"), channel("dma_out", "SPM", "RAM")),
        engines=(Npu(),),
        host_memory="RAM",
        headers=("toynpu.h",),
        parameters={"rows": ROWS, "columns": COLUMNS},
    )
