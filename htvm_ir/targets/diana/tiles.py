"""The tiling problem of DIANA's digital core: legal tiles, bytes in L1, predicted cycles."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from htvm_ir.targets.diana import costs, packing
from htvm_ir.targets.diana.instruction import LANES
from htvm_ir.targets.diana.packing import round_up
from htvm_ir.targets.diana.parameters import Parameters
from htvm_ir.targets.target import Engine, Target
from htvm_ir.targets.workload import Tensor, Workload
from htvm_ir.tiling.problem import Capacity, Cost, Dimension, Factor, Order, Problem, Product

# CPU cycles around one job, register writes and the first poll included, measured on the virtual SoC.
JOB_SOFTWARE = 60
CHANNEL_SOFTWARE = 40


def plane_bytes(tensor: Tensor) -> int:
    """Stored bytes of one channel of a feature map."""
    return tensor.shape[2] * round_up(tensor.shape[3], LANES)


def stored_bytes(tensor: Tensor) -> int:
    """Stored bytes of an activation in the core's layout."""
    if len(tensor.shape) == 4:
        return tensor.shape[1] * plane_bytes(tensor)
    return round_up(tensor.shape[1], LANES)


def _multiples(extent: int, step: int) -> tuple[int, ...]:
    """Multiples of ``step`` below ``extent``, then the extent itself."""
    return (*range(step, extent, step), extent)


def flat_problem(engine: Engine, p: Parameters, workload: Workload, target: Target) -> Problem:
    """Dense layers and sums: one dimension, operands contiguous in L2 and L1."""
    dense = workload.kind == "dense"
    extent = workload.output.shape[1]
    plane = 1 if dense or len(workload.output.shape) == 2 else plane_bytes(workload.output)
    # a tile's bytes are whole rows and whole DMA granules, so that no transfer overruns into a neighbour
    unit = LANES if dense else p.dma_granule
    step = next(n for n in range(1, unit + 1) if n * plane % (unit * (2 if dense else 1)) == 0 or n == unit)
    sizes = _multiples(extent, step)
    counts = tuple(-(-extent // size) for size in sizes)
    tiles = Factor("k", counts)
    out_bytes = tuple(round_up(size * plane, p.dma_granule) + p.dma_granule for size in sizes)
    local = [Product(1 if dense else 3, (Factor("k", out_bytes),))]
    load, store = target.channel(engine.load), target.channel(engine.store)
    total = round_up(extent * plane, LANES)
    costs_ = [
        Cost("engine", (Product(JOB_SOFTWARE, (tiles,)), Product(p.row_overhead, (tiles,)))),
        Cost("transfer", (Product(store.start + store.software, (tiles,)), Product(store_cycles(total, p)))),
    ]
    capacities: list[Capacity] = []
    if dense:
        block, source = packing.dense_block_bytes(workload.inputs[0].shape[1]), stored_bytes(workload.inputs[0])
        local.append(Product(round_up(source, p.dma_granule) + p.dma_granule))
        blocks = tuple(-(-size // LANES) for size in sizes)
        capacities.append(Capacity("weight memory", p.weight_memory_bytes, (Product(block, (Factor("k", blocks),)),)))
        whole = -(-extent // LANES)
        streams = (Product(p.weight_start, (tiles,)), Product(-(-block * whole // p.weight_bytes_per_cycle)))
        compute = Product(source // LANES * whole)
        loads = Product(load.cycles(source) + load.software)
        costs_ += [Cost("engine", (*streams, compute)), Cost("transfer", (loads,))]
    else:
        loads = (Product(2 * (load.start + load.software), (tiles,)), Product(2 * store_cycles(total, p)))
        costs_ += [Cost("transfer", loads), Cost("engine", (Product(total // LANES),))]
    capacities.append(Capacity(engine.local, target.memory(engine.local).size, tuple(local)))
    return Problem(
        (Dimension("k", extent, sizes),), tuple(capacities), tuple(costs_), (("k",),), (("engine", "transfer"),)
    )


def store_cycles(moved: int, parameters: Parameters) -> int:
    """Cycles an activation of that many bytes needs on the DMA, without the start of a transfer."""
    return -(-moved // parameters.dma_bytes_per_cycle)


class ConvProblem:
    """Convolutions and depthwise convolutions: tiles over output channels and output rows."""

    def __init__(self, engine: Engine, parameters: Parameters, workload: Workload, target: Target):
        self.engine, self.workload, self.target, self.p = engine, workload, target, parameters
        self.depthwise = workload.is_depthwise
        _, self.k, self.oy, self.ox = workload.output.shape
        _, self.c, self.cy, self.cx = workload.inputs[0].shape
        self.out_row, self.in_row = round_up(self.ox, LANES), round_up(self.cx, LANES)
        self.k_sizes = self._channel_sizes()
        self.y_sizes = self._row_sizes()
        self.k_tiles = tuple(-(-self.k // size) for size in self.k_sizes)
        self.y_tiles = tuple(-(-self.oy // size) for size in self.y_sizes)

    def problem(self) -> Problem:
        dimensions = (Dimension("k", self.k, self.k_sizes), Dimension("y", self.oy, self.y_sizes))
        orders: tuple[Order, ...] = (("y", "k"), ("k", "y"))
        costs_ = (*self._engine_costs(), *self._load_costs(orders), self._store_cost())
        return Problem(dimensions, self._capacities(), costs_, orders, (("engine", "transfer"),))

    def _channel_sizes(self) -> tuple[int, ...]:
        if self.depthwise and self.k % LANES == 1:
            return (self.k,)  # a last tile of one channel would not be depthwise any more
        return _multiples(self.k, LANES)

    def _row_sizes(self) -> tuple[int, ...]:
        """Heights whose pieces are whole DMA granules: a piece that overran would spoil the next channel."""

        def legal(size: int) -> bool:
            return all(rows * self.out_row % self.p.dma_granule == 0 for rows in (size, self.oy % size))

        return (*(size for size in range(1, self.oy) if legal(size)), self.oy)

    def _rows(self, size: int) -> int:
        """Most input rows a tile of ``size`` output rows needs."""
        return min((size - 1) * self.workload.strides[0] + self.workload.kernel[0], self.cy)

    def _spans(self, size: int) -> list[int]:
        """Input rows of every tile of ``size`` output rows, padding left out."""
        stride, top, fy = self.workload.strides[0], self.workload.pads[0], self.workload.kernel[0]
        starts = range(0, self.oy, size)
        lows = [max(0, start * stride - top) for start in starts]
        highs = [min(self.cy, (min(start + size, self.oy) - 1) * stride - top + fy) for start in starts]
        return [max(0, high - low) for low, high in zip(lows, highs, strict=True)]

    def _capacities(self) -> tuple[Capacity, ...]:
        granule, p = self.p.dma_granule, self.p
        channels = tuple(size + LANES - 1 if self.depthwise else round_up(size, LANES) for size in self.k_sizes)
        rows_in = Factor("y", tuple(self._rows(size) * self.in_row for size in self.y_sizes))
        rows_out = Factor("y", tuple(size * self.out_row for size in self.y_sizes))
        planes_in = (Factor("k", self.k_sizes),) if self.depthwise else ()
        local = (
            Product(1 if self.depthwise else self.c, (rows_in, *planes_in)),
            Product(1, (rows_out, Factor("k", channels))),
            Product(4 * granule),
        )
        l1 = Capacity(self.engine.local, self.target.memory(self.engine.local).size, local)
        if self.depthwise:
            return (l1,)
        blocks = Factor("k", tuple(-(-size // LANES) for size in self.k_sizes))
        block = packing.conv_block_bytes(self.c, *self.workload.kernel)
        return l1, Capacity("weight memory", p.weight_memory_bytes, (Product(block, (blocks,)),))

    def _engine_costs(self) -> tuple[Cost, ...]:
        p, (fy, fx) = self.p, self.workload.kernel
        jobs = (Factor("k", self.k_tiles), Factor("y", self.y_tiles))
        whole = {"fx": fx, "fy": fy, "stride": self.workload.strides[0], "pad_top": self.workload.pads[0]}
        one = costs.conv_cycles(
            k=1,
            ox=self.out_row // LANES,
            c=1 if self.depthwise else self.c,
            cy=self.cy,
            oy=self.oy,
            **whole,
            parameters=p,
        )
        if self.depthwise:
            stream = costs.weight_stream_cycles(packing.depthwise_group_bytes(fy, fx), p)
            each = Product((stream + CHANNEL_SOFTWARE) * self.k, (Factor("y", self.y_tiles),))
            return (Cost("engine", (Product(one * self.k), each, Product(JOB_SOFTWARE, jobs))),)
        blocks = -(-self.k // LANES)
        streamed = -(-packing.conv_block_bytes(self.c, fy, fx) * blocks // p.weight_bytes_per_cycle)
        streams = Product(streamed, (Factor("y", self.y_tiles),))
        return (Cost("engine", (Product(one * blocks), streams, Product(JOB_SOFTWARE + p.weight_start, jobs))),)

    def _load_costs(self, orders: tuple[Order, ...]) -> tuple[Cost, ...]:
        """A tile of the input stays while only the channels change, so it depends on the loop order."""
        channel = self.target.channel(self.engine.load)

        def sweep(size: int) -> int:
            if size == self.oy and not self.depthwise:
                return channel.cycles(self.c * self.cy * self.in_row) + channel.software
            return sum(
                channel.cycles(rows * self.in_row, self.c) + self.c * channel.software for rows in self._spans(size)
            )

        if self.depthwise:
            return (Cost("transfer", tuple(self._plane_transfers(channel.start + channel.software, sweep))),)
        term = Product(1, (Factor("y", tuple(sweep(size) for size in self.y_sizes)),))
        again = Product(1, (*term.factors, Factor("k", self.k_tiles)))
        return Cost("transfer", (term,), (orders[0],)), Cost("transfer", (again,), (orders[1],))

    def _plane_transfers(self, start: int, sweep: Callable[[int], int]) -> Iterator[Product]:
        """Depthwise: whole planes move in one piece a tile, rows of a tile in one piece a channel."""
        whole = tuple(int(size == self.oy) for size in self.y_sizes)
        moved = store_cycles(self.c * self.cy * self.in_row, self.p)
        yield Product(start, (Factor("k", self.k_tiles), Factor("y", whole)))
        yield Product(moved, (Factor("y", whole),))
        parts = tuple(0 if size == self.oy else sweep(size) for size in self.y_sizes)
        yield Product(1, (Factor("y", parts),))

    def _store_cost(self) -> Cost:
        channel = self.target.channel(self.engine.store)
        start = channel.start + channel.software
        whole = tuple(int(size == self.oy) for size in self.y_sizes)
        pieces = tuple(0 if size == self.oy else n * self.k for size, n in zip(self.y_sizes, self.y_tiles, strict=True))
        moved = store_cycles(self.k * self.oy * self.out_row, self.p)
        return Cost(
            "transfer",
            (
                Product(start, (Factor("k", self.k_tiles), Factor("y", whole))),
                Product(start, (Factor("y", pieces),)),
                Product(moved),
            ),
        )
