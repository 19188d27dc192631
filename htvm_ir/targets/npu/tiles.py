"""The tiling problem of the array: legal tiles, how many buffers each operand has, cycles of the pipeline.

Cycles of jobs and transfers are those of the device models, to the cycle; the CPU's share is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

from htvm_ir.targets.npu.packing import is_scaled, record_bytes
from htvm_ir.targets.npu.parameters import Parameters
from htvm_ir.targets.target import BUFFERS, Channel, Engine, Target
from htvm_ir.targets.workload import Workload
from htvm_ir.tiling.bounds import Bounds
from htvm_ir.tiling.pipeline import Operand, Parts, Pipeline, Software, Term
from htvm_ir.tiling.problem import Capacity, Dimension, Factor, Order, Problem, Product

SOFTWARE = Software(kernel=10, transfer=9, job=4, wait=2)
"""The CPU's cycles, measured on the virtual SoC with the packaged clang at -O2."""

INPUTS, CONSTANTS, OUTPUT = BUFFERS


class Tiling:
    """Tiles over output channels (k) and output rows (y); vectors have channels only."""

    weight_bits = 8

    def __init__(self, engine: Engine, parameters: Parameters, workload: Workload, target: Target):
        self.engine, self.p, self.workload, self.target = engine, parameters, workload, target
        self.is_map = len(workload.output.shape) == 4
        self.k, self.oy, self.ox = (*workload.output.shape[1:], 1, 1)[:3]
        self.c, self.iy, self.ix = (*workload.inputs[0].shape[1:], 1, 1)[:3]
        self.moved = [n for n in range(len(workload.inputs)) if n not in workload.resident]
        self.stores = len(workload.inputs) not in workload.resident
        self.record = 0 if workload.weights is None else self._record()
        self.k_parts = [_parts(self.k, size) for size in self._channel_sizes()]
        self.y_parts = [_parts(self.oy, size) for size in self._row_sizes()]
        self.heights = [[high - low for low, high in self._spans(parts)] for parts in self.y_parts]

    def problem(self) -> Problem:
        depths = tuple(range(1, self.p.buffers + 1))
        loops = [Dimension("k", self.k, tuple(parts[0] for parts in self.k_parts))]
        if self.is_map:
            loops.append(Dimension("y", self.oy, tuple(parts[0] for parts in self.y_parts)))
        operands = {INPUTS: bool(self.moved), CONSTANTS: bool(self.record), OUTPUT: self.stores}
        choices = tuple(name for name, is_moved in operands.items() if is_moved)
        orders: tuple[Order, ...] = (("y", "k"), ("k", "y")) if self.is_map else (("k",),)
        costs = Bounds(tuple(loops), depths[-1], self.pipeline).costs(orders)
        return Problem(
            dimensions=(*loops, *(Dimension(name, depths[-1], depths) for name in choices)),
            capacities=tuple(self._capacities()),
            costs=costs,
            orders=orders,
            overlap=tuple((chain,) for chain in dict.fromkeys(cost.resource for cost in costs)),
            choices=choices,
            pipeline=self.pipeline,
        )

    @cached_property
    def pipeline(self) -> Pipeline:
        """What the array and the channels do for each tile."""
        load, store = self.target.channel(self.engine.load), self.target.channel(self.engine.store)
        rows = self._y(self.heights, lambda height: height)
        inputs = Operand(
            INPUTS,
            ("k", "y") if self.per_channel else ("y",),
            self._pieces(load, self.heights, self._whole(0), self.ix) if self.per_channel else self._map(load, rows),
            len(self.moved),
            load.port,
        )
        output = Operand(
            OUTPUT, ("k", "y"), self._pieces(store, self.y_parts, self._whole(-1), self.ox), port=store.port
        )
        loads = (*([inputs] if self.moved else []), *([self._constants()] if self.record else []))
        return Pipeline(loads, output if self.stores else None, self._job(), SOFTWARE, load.queue)

    def _whole(self, index: int) -> int:
        """Rows of the inputs, or of the output, whose planes touch in memory: all; never those of a larger map."""
        if index:
            return 0 if len(self.workload.inputs) in self.workload.strips else self.oy
        return 0 if self.workload.strips.intersection(self.moved) else self.iy

    @property
    def per_channel(self) -> bool:
        """Whether a tile reads only as many input channels as it writes."""
        return self.workload.is_depthwise or self.workload.kind in ("add", "pool")

    def _channel_sizes(self) -> tuple[int, ...]:
        """Whole rows of the array; halves of it, too, where a tile has weights that may not fit.

        A requantisation with a number for each channel is one attribute in the IR, which no nest cuts.
        """
        if self.workload.requant is not None and is_scaled(self.workload.requant):
            return (self.k,)
        return self._cut_channels()

    def _cut_channels(self) -> tuple[int, ...]:
        rows = self.p.rows
        halves = [rows >> n for n in range(rows.bit_length() - 1, 0, -1)] if self.record else []
        return (*(n for n in (*halves, *range(rows, self.k, rows)) if n < self.k), self.k)

    def _record(self) -> int:
        """Bytes of constants for each output channel."""
        assert self.workload.weights is not None and self.workload.requant is not None
        return record_bytes(self.workload.weights[0].size, is_scaled(self.workload.requant), self.weight_bits)

    def _row_sizes(self) -> range:
        """Any number of rows; all if no map is moved, so that nothing could run beside jobs on fewer.

        A padded pool is not cut either, since what lies outside its map must not count.
        """
        padded = self.workload.kind == "pool" and any(self.workload.pads)
        return range(1 if (self.moved or self.stores) and not padded else self.oy, self.oy + 1)

    def _spans(self, parts: Sequence[int]) -> list[tuple[int, int]]:
        """First and last row + 1 of the input that each tile of rows reads, padding left out."""
        if len(parts) == 1:
            return [(0, self.iy)]
        pooled = self.workload.kind == "pool"
        fy = (self.workload.window if pooled else self.workload.kernel)[0]
        stride, top = self.workload.strides[0], self.workload.pads[0]
        starts = [sum(parts[:n]) * stride - top for n in range(len(parts))]
        ends = [start + (size - 1) * stride + fy for start, size in zip(starts, parts, strict=True)]
        return [(max(0, low), min(self.iy, high)) for low, high in zip(starts, ends, strict=True)]

    def _capacities(self) -> Iterator[Capacity]:
        depths = tuple(range(1, self.p.buffers + 1))
        planes = Factor("k", tuple(parts[0] if self.per_channel else self.c for parts in self.k_parts))
        channels = Factor("k", tuple(parts[0] for parts in self.k_parts))
        tallest, rows = [max(heights) for heights in self.heights], [parts[0] for parts in self.y_parts]
        memory = self.target.memory(self.engine.local)
        tiles = [self._bytes(len(self.moved) * self.ix, tallest, Factor(INPUTS, depths), planes)] if self.moved else []
        tiles += [self._bytes(self.ox, rows, Factor(OUTPUT, depths), channels)] if self.stores else []
        tensors = (*self.workload.inputs, self.workload.output)
        whole = sum(tensors[index].size for index in self.workload.resident)
        slack = (memory.alignment - 1) * (depths[-1] * (len(self.moved) + self.stores) + len(self.workload.resident))
        yield Capacity(memory.name, memory.size, (*tiles, Product(whole + slack)))
        if self.record:
            memory = self.target.memory(self.engine.constants_local)
            records = Product(self.record, (Factor(CONSTANTS, depths), channels))
            slack = Product(depths[-1] * (memory.alignment - 1))
            yield Capacity(memory.name, memory.size, (records, slack))

    def _bytes(self, width: int, heights: Sequence[int], *factors: Factor) -> Product:
        if self.is_map:
            return Product(width, (Factor("y", tuple(heights)), *factors))
        return Product(width * heights[0], factors)

    def _job(self) -> tuple[Term, ...]:
        """A job's cycles, its start included."""
        p, ox = self.p, self.ox
        if self.workload.kind == "add":
            rest = self.k % p.rows
            whole, odd = self._k(lambda k: k // p.rows), self._k(lambda k: int(k % p.rows > 0))
            elements, remaining = self._rows(lambda y: y * ox), self._rows(lambda y: -(-rest * y * ox // p.rows))
            return (p.job_start, ()), self._term(1, whole, elements), self._term(1, odd, remaining)
        fy, fx = self.workload.window if self.workload.kind == "pool" else self.workload.kernel
        depth = 1 if self.per_channel else self.c
        blocks, pixels = self._k(lambda k: -(-k // p.rows)), self._rows(lambda y: -(-y * ox // p.cols))
        return (p.job_start, ()), self._term(fy * fx * depth, blocks, pixels)

    def _constants(self) -> Operand:
        stream = self.target.channel(self.engine.load_constants)
        cycles = self._term(1, self._k(lambda k: stream.cycles(k * self.record)))
        return Operand(CONSTANTS, ("k",), (cycles,), port=stream.port)

    def _map(self, channel: Channel, rows: Parts) -> tuple[Term, ...]:
        """Transfers of rows of all input channels; a whole map is one piece."""

        def cycles(height: int) -> int:
            whole = height == self._whole(0)
            return channel.cycles(self.c * height * self.ix) if whole else channel.cycles(height * self.ix, self.c)

        tables = tuple(tuple(map(cycles, table)) for table in rows.tables)
        return (self._term(1, Parts("y", tables)),)

    def _pieces(self, channel: Channel, heights: Sequence[Sequence[int]], whole: int, width: int) -> tuple[Term, ...]:
        """Transfers of rows of some channels: whole planes touch and are one piece, cut ones are one a channel."""
        together = self._k(lambda k: channel.cycles(k * whole * width))
        uncut = self._y(heights, lambda height: int(height == whole))
        cut = self._y(heights, lambda height: int(height != whole))
        rows = self._y(heights, lambda h: 0 if h == whole else channel.cycles(h * width) - channel.start)
        return (
            self._term(1, together, uncut),
            self._term(channel.start, cut),
            self._term(1, self._k(lambda k: k), rows),
        )

    def _k(self, value: Callable[[int], int]) -> Parts:
        return Parts("k", tuple(tuple(map(value, parts)) for parts in self.k_parts))

    def _rows(self, value: Callable[[int], int]) -> Parts:
        return self._y(self.y_parts, value)

    def _y(self, heights: Sequence[Sequence[int]], value: Callable[[int], int]) -> Parts:
        return Parts("y", tuple(tuple(map(value, tiles)) for tiles in heights))

    def _term(self, coefficient: int, *parts: Parts) -> Term:
        """A term; a vector has one row, whose value is a number."""
        for part in parts:
            coefficient *= part.tables[0][0] if part.dimension == "y" and not self.is_map else 1
        return coefficient, tuple(part for part in parts if part.dimension != "y" or self.is_map)


def _parts(extent: int, size: int) -> list[int]:
    """The sizes of the tiles of a dimension."""
    whole, rest = divmod(extent, size)
    return [size] * whole + ([rest] if rest else [])
