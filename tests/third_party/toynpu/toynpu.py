"""A target of one's own: an NPU of 8 x 4 multipliers with a scratchpad, and a DMA that works while the NPU computes.

Everything the compiler needs to know stands in this file; `pyproject.toml` registers it. The numbers are made up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np

from htvm_ir import arithmetic
from htvm_ir.targets.layout import Layout
from htvm_ir.targets.target import Bytes, Call, Channel, Engine, Host, Job, Memory, Target
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
    kinds = ("conv2d", "dense", "add")

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
        each = -(-job["k"] // ROWS)
        if job.kernel == "conv":
            each = -(-job["k"] // COLUMNS) * (-(-job["c"] // ROWS) * job["fy"] * job["fx"] + PIPELINE_DEPTH)
        return JOB_START + _stream_cycles(job) + job["oy"] * job["ox"] * each

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
        return _Tiling(self, workload, target).problem()


class _Tiling:
    """Tiles of rows (y) outside, of output channels (k) inside: an input tile stays for all its output channels.

    The DMA brings the next tile and takes the last one away while the NPU computes. So every buffer is there twice, and
    only the first load and the last store are waited for. A table has one value for each size of a tile.
    """

    def __init__(self, npu: Npu, workload: Workload, target: Target):
        self.npu, self.workload, self.target = npu, workload, target
        self.load, self.store = target.channel(npu.load), target.channel(npu.store)
        self.job = npu.job(workload)
        self.extents = dimensions(workload)
        channels = self.job["k"]
        self.k_sizes = (*range(ROWS, channels, ROWS), channels) if self.job.kernel == "conv" else (channels,)
        self.y_sizes = tuple(range(1, self.extents.get("y", 1) + 1))
        self.row_tiles = [_row_tiles(workload, size) for size in self.y_sizes]
        self.k_tiles = Factor("k", tuple(-(-channels // size) for size in self.k_sizes))
        self.y_tiles = Factor("y", tuple(map(len, self.row_tiles)))
        self.pixels = Factor("y", tuple(size * self.job["ox"] for size in self.y_sizes))

    def problem(self) -> Problem:
        sizes = {"y": self.y_sizes, "k": self.k_sizes}
        order = tuple(name for name in sizes if name in self.extents)
        return Problem(
            dimensions=tuple(Dimension(name, self.extents[name], sizes[name]) for name in order),
            capacities=(self.capacity(),),
            costs=tuple(self.costs()),
            orders=(order,),
            overlap=(("engine",), ("transfer",)),
        )

    def capacity(self) -> Capacity:
        """Bytes in the scratchpad."""
        inputs = Factor("y", tuple(max(sum(map(_bytes, t.inputs)) for t in tiled) for tiled in self.row_tiles))
        channels = Factor("k", tuple(map(_round_up, self.k_sizes)))
        twice = (self.product(self.npu.buffers, inputs), self.product(self.npu.buffers, self.pixels, channels))
        return Capacity(self.npu.local, self.target.memory(self.npu.local).size, twice)

    def costs(self) -> Iterator[Cost]:
        """Cycles of the NPU and of the DMA, which overlap, and those of the first load and the last store."""
        job, store = self.job, self.store
        streamed = _stream_cycles(job)
        yield Cost("engine", (self.product(JOB_START, self.y_tiles, self.k_tiles),))
        yield Cost("engine", (self.product(streamed, self.y_tiles),))
        yield Cost("engine", (Product(self.npu.cycles(job) - JOB_START - streamed),))

        loads = [[sum(self.load.cycles(_bytes(x)) for x in t.inputs) for t in tiled] for tiled in self.row_tiles]
        yield Cost(SERIAL, (self.product(1, Factor("y", tuple(cycles[0] for cycles in loads))),))
        yield Cost("transfer", (self.product(1, Factor("y", tuple(sum(cycles[1:]) for cycles in loads))),))

        pieces = Factor("k", tuple(_round_up(size) // store.bytes_per_cycle for size in self.k_sizes))
        stored = store.cycles(_round_up(job["k"]), job["oy"] * job["ox"]) - store.start
        yield Cost(SERIAL, (self.product(1, self.pixels, pieces),))
        yield Cost("transfer", (Product(stored), self.product(-1, self.pixels, pieces)))
        yield Cost("transfer", (self.product(store.start, self.y_tiles, self.k_tiles),))

    def product(self, coefficient: int, *tables: Factor) -> Product:
        """Coefficient times tables; a vector has no rows, so the only value of their table is a coefficient."""
        lost = prod(table.table[0] for table in tables if table.dimension not in self.extents)
        return Product(coefficient * lost, tuple(table for table in tables if table.dimension in self.extents))


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
    if job.kernel == "add":
        return 0
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
    if workload.kind not in Npu.kinds:
        yield f"the NPU has no {workload.kind}; it computes conv2d, dense and add"
    if any(tensor.dtype != "i8" for tensor in (*workload.inputs, workload.output)):
        yield "operands and result must be 8-bit signed"
    if requant is None:
        yield "the 32-bit result leaves the NPU only requantised to 8 bits"
    elif requant.zero_point or any(requant.addend) or (requant.rounding != "floor" and any(requant.shift)):
        yield "the NPU rounds down, has no zero point and adds nothing but a bias"
    elif len({*requant.multiplier}) != 1 or len({*requant.shift}) != 1:
        yield "a scale for each channel: the NPU has one for the layer"
    if workload.kind == "add":
        if len(workload.inputs) != 2:
            yield "the NPU adds two feature maps, not a map and a constant"
        return
    if workload.zero_point:
        yield f"input zero point {workload.zero_point}: the NPU pads with 0"
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
        host=Host(per_mac=1000, per_element={"convert_layout": 1, "other": 9}),
        headers=("toynpu.h",),
        parameters={"rows": ROWS, "columns": COLUMNS},
    )
