"""The tiling problem of the array: legal tiles, how many buffers each operand has, predicted cycles.

The three channels of the DMA, the array and the CPU work side by side. What decides is the longest chain of waits:

- *inputs first*: the first inputs come in, the array computes one job after the other, the last result goes out;
- *inputs*: one tile of inputs after the other comes in, what needs the last one is computed, the last result goes out;
- *outputs*: the first inputs come in, the first job, then one result after the other goes out;
- the same two of the constants as of the inputs, and what the CPU has to do.

With one buffer, transfers of an operand and jobs wait for each other: its transfers are part of the chain of the jobs.
With two, a transfer waits until the CPU has seen the job that frees its buffer; with three it need not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from htvm_ir.targets.npu.packing import is_scaled, record_bytes
from htvm_ir.targets.npu.parameters import Parameters
from htvm_ir.targets.target import BUFFERS, Channel, Engine, Target
from htvm_ir.targets.workload import Workload
from htvm_ir.tiling.problem import SERIAL, Capacity, Cost, Dimension, Factor, Order, Problem, Product

# The CPU's cycles, measured on the virtual SoC.
KERNEL_SOFTWARE = 30
"""Call of a kernel, the first start and the last wait."""
JOB_SOFTWARE = 30
"""A job: its start, the waits for it and for its operands."""
TRANSFER_SOFTWARE = 20
"""The start of a transfer."""
JOB_GAP = 12
"""From the end of a job to the start of the next one, which has all it needs."""
BUFFER_GAP = 40
"""From the end of what occupies one of two buffers to the start of the transfer that needs it."""

INPUTS, CONSTANTS, OUTPUT = BUFFERS

ALL, FIRST, LAST = slice(None), slice(1), slice(-1, None)
"""Tiles of a dimension."""

Terms = list[Product]


class Tiling:
    """Tiles over output channels (k) and output rows (y); vectors have channels only."""

    def __init__(self, engine: Engine, parameters: Parameters, workload: Workload, target: Target):
        self.engine, self.p, self.workload, self.target = engine, parameters, workload, target
        self.load, self.store = target.channel(engine.load), target.channel(engine.store)
        self.stream = target.channel(engine.load_constants)
        self.is_map = len(workload.output.shape) == 4
        self.k, self.oy, self.ox = (*workload.output.shape[1:], 1, 1)[:3]
        self.c, self.iy, self.ix = (*workload.inputs[0].shape[1:], 1, 1)[:3]
        self.record = 0 if workload.weights is None else _record(workload)
        self.k_parts = [_parts(self.k, size) for size in self._channel_sizes()]
        self.y_parts = [_parts(self.oy, size) for size in self._row_sizes()]
        self.spans = [self._spans(parts) for parts in self.y_parts]
        self.nk, self.ny = self._k(map(len, self.k_parts)), self._y(map(len, self.y_parts))

    def problem(self) -> Problem:
        depths = tuple(range(1, self.p.buffers + 1))
        loops = [Dimension("k", self.k, tuple(parts[0] for parts in self.k_parts))]
        if self.is_map:
            loops.append(Dimension("y", self.oy, tuple(parts[0] for parts in self.y_parts)))
        choices = (INPUTS, CONSTANTS, OUTPUT) if self.record else (INPUTS, OUTPUT)
        orders: tuple[Order, ...] = (("y", "k"), ("k", "y")) if self.is_map else (("k",),)
        costs = tuple(self._costs(orders))
        return Problem(
            dimensions=(*loops, *(Dimension(name, depths[-1], depths) for name in choices)),
            capacities=tuple(self._capacities()),
            costs=costs,
            orders=orders,
            overlap=tuple((chain,) for chain in dict.fromkeys(cost.resource for cost in costs) if chain != SERIAL),
            choices=choices,
        )

    @property
    def per_channel(self) -> bool:
        """Whether a tile reads only as many input channels as it writes."""
        return self.workload.is_depthwise or self.workload.kind in ("add", "pool")

    def _channel_sizes(self) -> tuple[int, ...]:
        """Whole rows of the array; halves of it, too, where a tile has weights that may not fit."""
        rows = self.p.rows
        halves = [rows >> n for n in range(rows.bit_length() - 1, 0, -1)] if self.record else []
        return (*(n for n in (*halves, *range(rows, self.k, rows)) if n < self.k), self.k)

    def _row_sizes(self) -> range:
        """Any number of rows; a padded pool is not cut, since what lies outside its map must not count."""
        padded = self.workload.kind == "pool" and any(self.workload.pads)
        return range(self.oy if padded else 1, self.oy + 1)

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

    def _k(self, table: Iterable[int]) -> Factor:
        return Factor("k", tuple(table))

    def _y(self, table: Iterable[int]) -> Factor:
        return Factor("y", tuple(table))

    def _product(self, coefficient: int, *factors: Factor) -> Product:
        """A product of tables; a vector has one row, whose table is a number."""
        for factor in factors:
            coefficient *= factor.table[0] if factor.dimension == "y" and not self.is_map else 1
        return Product(coefficient, tuple(f for f in factors if f.dimension != "y" or self.is_map))

    def _depth(self, name: str, *table: int) -> Factor:
        """A value for one, two and three buffers."""
        return Factor(name, table[: self.p.buffers])

    def _capacities(self) -> Iterator[Capacity]:
        depths = (1, 2, 3)
        inputs, output = self._depth(INPUTS, *depths), self._depth(OUTPUT, *depths)
        tallest = self._y(max(high - low for low, high in spans) * self.ix for spans in self.spans)
        channels = self._k(parts[0] for parts in self.k_parts)
        planes = self._k(parts[0] if self.per_channel else self.c for parts in self.k_parts)
        rows = self._y(parts[0] * self.ox for parts in self.y_parts)
        maps = self._product(len(self.workload.inputs), inputs, planes, tallest)
        local = self.target.memory(self.engine.local)
        slack = Product(3 * (len(self.workload.inputs) + 1) * (local.alignment - 1))
        yield Capacity(local.name, local.size, (maps, self._product(1, output, channels, rows), slack))
        if self.record:
            memory = self.target.memory(self.engine.constants_local)
            records = self._product(self.record, self._depth(CONSTANTS, *depths), channels)
            yield Capacity(memory.name, memory.size, (records, Product(3 * (memory.alignment - 1))))

    def _costs(self, orders: Sequence[Order]) -> Iterator[Cost]:
        """Every chain as a sum; those of inputs and constants depend on the order of the loops."""
        for order in orders:
            yield from (Cost(name, tuple(terms), (order,)) for name, terms in self._chains(order).items())
        yield Cost(SERIAL, (Product(KERNEL_SOFTWARE),))

    def _chains(self, order: Order) -> dict[str, Terms]:
        jobs, last_store = self._jobs(ALL, ALL), self._stores(last=True)
        last_row, last_column = self._jobs(ALL, LAST), self._jobs(LAST, ALL)
        last_job = self._jobs(LAST, LAST)
        first = self._loads(order, first=True)
        chains = {
            "inputs first": [
                *jobs,
                *self._times(self._loads(order), INPUTS, 1, 0, 0),
                *self._times(first, INPUTS, 0, 1, 1),
                *last_store,
            ],
            "inputs": [
                *self._loads(order),
                *self._waits(self._load_count(order), INPUTS),
                *(last_row if order[0] == "y" and not self.per_channel else last_job),
                *last_store,
            ],
            "output first": [
                *jobs,
                *first,
                *self._times(self._stores(), OUTPUT, 1, 0, 0),
                *self._times(last_store, OUTPUT, 0, 1, 1),
            ],
            "outputs": [
                *first,
                *self._jobs(FIRST, FIRST),
                *self._stores(),
                *self._waits(self._product(1, self.nk, self.ny), OUTPUT),
            ],
            "cpu": self._software(order),
        }
        if self.record:
            chains["constants first"] = [
                *jobs,
                *self._times(self._streams(order), CONSTANTS, 1, 0, 0),
                *self._times(self._streams(order, first=True), CONSTANTS, 0, 1, 1),
                *last_store,
            ]
            waits = self._waits(self._stream_count(order), CONSTANTS)
            tail = last_column if order[0] == "k" else last_job
            chains["constants"] = [*self._streams(order), *waits, *tail, *last_store]
        return chains

    def _times(self, terms: Terms, name: str, *table: int) -> Terms:
        """Terms that count for some numbers of buffers only."""
        return [Product(t.coefficient, (*t.factors, self._depth(name, *table))) for t in terms]

    def _waits(self, count: Product, name: str) -> Terms:
        """What a channel stands still, with two buffers, until the next transfer is started."""
        return self._times([Product(BUFFER_GAP * count.coefficient, count.factors)], name, 0, 1, 0)

    def _jobs(self, channels: slice, rows: slice) -> Terms:
        """The jobs of some tiles of channels and of rows, one after the other."""
        p, ox = self.p, self.ox
        k_parts, y_parts = [k[channels] for k in self.k_parts], [y[rows] for y in self.y_parts]
        starts = self._product(p.job_start + JOB_GAP, self._k(map(len, k_parts)), self._y(map(len, y_parts)))
        if self.workload.kind == "add":
            whole = self._k(sum(k // p.rows for k in parts) for parts in k_parts)
            some = self._k(sum(k % p.rows > 0 for k in parts) for parts in k_parts)
            elements = self._y(sum(y * ox for y in parts) for parts in y_parts)
            odd = self._y(sum(-(-(self.k % p.rows) * y * ox // p.rows) for y in parts) for parts in y_parts)
            return [starts, self._product(1, whole, elements), self._product(1, some, odd)]
        fy, fx = self.workload.window if self.workload.kind == "pool" else self.workload.kernel
        blocks = self._k(sum(-(-k // p.rows) for k in parts) for parts in k_parts)
        pixels = self._y(sum(-(-y * ox // p.cols) for y in parts) for parts in y_parts)
        return [starts, self._product(fy * fx * (1 if self.per_channel else self.c), blocks, pixels)]

    def _loads(self, order: Order, first: bool = False) -> Terms:
        """Transfers of all inputs, or of those of the first tile."""
        count, spans = len(self.workload.inputs), [s[:1] if first else s for s in self.spans]
        heights = [[high - low for low, high in tiles] for tiles in spans]
        if self.per_channel:
            k_parts = [parts[:1] if first else parts for parts in self.k_parts]
            return self._pieces(self.load, count, k_parts, heights, self.iy, self.ix)
        cycles = [sum(_cycles(self.load, self.c, rows, self.iy, self.ix) for rows in tiles) for tiles in heights]
        if first or order[0] == "y" or not self.is_map:
            return [self._product(count, self._y(cycles))]
        *cut, whole = cycles  # a whole map stays, whatever the output channels
        kept = self._y([*(0 for _ in cut), whole])
        return [self._product(count, self._y([*cut, 0]), self.nk), self._product(count, kept)]

    def _stores(self, last: bool = False) -> Terms:
        """Transfers of all results, or of the last one."""
        k_parts = [parts[-1:] if last else parts for parts in self.k_parts]
        y_parts = [parts[-1:] if last else parts for parts in self.y_parts]
        return self._pieces(self.store, 1, k_parts, y_parts, self.oy, self.ox)

    def _pieces(
        self,
        channel: Channel,
        count: int,
        k_parts: Sequence[Sequence[int]],
        y_parts: Sequence[Sequence[int]],
        height: int,
        width: int,
    ) -> Terms:
        """Every tile of channels and rows of a map: whole planes in one piece, cut ones in one a channel."""
        whole = self._y(parts.count(height) for parts in y_parts)
        cut = [[rows for rows in parts if rows != height] for parts in y_parts]
        together = self._k(sum(_cycles(channel, k, height, height, width) for k in parts) for parts in k_parts)
        pieces = self._y(sum(channel.cycles(rows * width) - channel.start for rows in parts) for parts in cut)
        return [
            self._product(count, together, whole),
            self._product(count * channel.start, self._k(map(len, k_parts)), self._y(map(len, cut))),
            self._product(count, self._k(map(sum, k_parts)), pieces),
        ]

    def _streams(self, order: Order, first: bool = False) -> Terms:
        """Transfers of all constants, or of the first tile's; they stay while only the rows change."""
        k_parts = [parts[:1] if first else parts for parts in self.k_parts]
        cycles = [sum(self.stream.cycles(size * self.record) for size in parts) for parts in k_parts]
        if first or order[0] == "k":
            return [self._product(1, self._k(cycles))]
        *cut, whole = cycles
        return [self._product(1, self._k([*cut, 0]), self.ny), self._product(1, self._k([*(0 for _ in cut), whole]))]

    def _load_count(self, order: Order) -> Product:
        count = len(self.workload.inputs)
        again = self.per_channel or (order[0] == "k" and self.is_map)
        return self._product(count, self.ny, *([self.nk] if again else []))

    def _stream_count(self, order: Order) -> Product:
        return self._product(1, self.nk, *([self.ny] if order[0] == "y" else []))

    def _software(self, order: Order) -> Terms:
        """What the CPU does by itself."""
        transfers = [self._load_count(order), self._product(1, self.nk, self.ny)]
        transfers += [self._stream_count(order)] if self.record else []
        starts = [Product(TRANSFER_SOFTWARE * t.coefficient, t.factors) for t in transfers]
        return [self._product(JOB_SOFTWARE, self.nk, self.ny), *starts]


def _record(workload: Workload) -> int:
    """Bytes of constants for each output channel."""
    assert workload.weights is not None and workload.requant is not None
    return record_bytes(workload.weights[0].size, is_scaled(workload.requant))


def _parts(extent: int, size: int) -> list[int]:
    """The sizes of the tiles of a dimension."""
    whole, rest = divmod(extent, size)
    return [size] * whole + ([rest] if rest else [])


def _cycles(channel: Channel, planes: int, rows: int, height: int, width: int) -> int:
    """One transfer of some rows of every plane; whole planes touch each other."""
    if rows == height:
        return channel.cycles(planes * rows * width)
    return channel.cycles(rows * width, planes)
