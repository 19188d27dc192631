"""The digital core's tiling problem with the analog core's DMA beside it: buffers of the tiles, cycles of each tile.

Dimensions, legal tiles and what they cost alone are those of `tiles`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate

from htvm_ir.targets.diana import costs, diagonal, packing, tiles
from htvm_ir.targets.diana.instruction import LANES
from htvm_ir.targets.diana.parameters import Parameters
from htvm_ir.targets.target import BUFFERS, Channel, Engine, Target
from htvm_ir.targets.workload import Workload
from htvm_ir.tiling.driven import Driven
from htvm_ir.tiling.driven_bounds import DrivenBounds
from htvm_ir.tiling.pipeline import Operand, Parts, Term
from htvm_ir.tiling.problem import Capacity, Dimension, Factor, Problem, Product

INPUTS, _, OUTPUT = BUFFERS
DEPTHS = (1, 2)
"""A third buffer gains nothing: the DMA does one transfer at a time, and what runs beside a job ends before another."""

Terms = tuple[Term, ...]


def copied_problem(engine: Engine, p: Parameters, workload: Workload, target: Target) -> Problem:
    """The problem of any workload that the core takes."""
    problems = {"conv2d": conv_problem, "dense": dense_problem, "add": add_problem}
    return problems[workload.kind](engine, p, workload, target)


def dense_problem(engine: Engine, p: Parameters, workload: Workload, target: Target) -> Problem:
    """Dense layers: the input is loaded once."""
    plain = tiles.dense_problem(engine, p, workload, target)
    (k,) = plain.dimensions
    source = tiles.stored_bytes(workload.inputs[0])
    block = packing.dense_block_bytes(source)
    each = block // p.weight_bytes_per_cycle + source // LANES
    jobs = (p.weight_start + p.row_overhead, ()), (each, (_parts(k, lambda size: -(-size // LANES)),))
    loads = Operand(INPUTS, (), ((tiles.transfer_cycles(target.channel(engine.load), source), ()),))
    stores = Operand(OUTPUT, ("k",), (_moved(target.channel(engine.store), k, 1),))
    kernel = tiles.kernel_software(workload)
    return _driven(engine, workload, plain, loads, stores, (((tiles.JOB_SOFTWARE, ()),), jobs), kernel)


def add_problem(engine: Engine, p: Parameters, workload: Workload, target: Target) -> Problem:
    """Sums: both inputs come and go in tiles."""
    plain = tiles.add_problem(engine, p, workload, target)
    (k,) = plain.dimensions
    plane = tiles.plane_bytes(workload.output) if len(workload.output.shape) == 4 else 1
    jobs = (p.row_overhead, ()), (1, (_parts(k, lambda size: -(-size * plane // LANES)),))
    load, store = target.channel(engine.load), target.channel(engine.store)
    moved = [index for index in range(2) if index not in workload.resident]
    loads = Operand(INPUTS, ("k",), tuple(_moved(load, k, plane, index in workload.strips) for index in moved))
    stores = Operand(OUTPUT, ("k",), (_moved(store, k, plane, 2 in workload.strips),))
    kernel = tiles.kernel_software(workload)
    return _driven(engine, workload, plain, loads, stores, (((tiles.SUM_SOFTWARE, ()),), jobs), kernel)


def conv_problem(engine: Engine, p: Parameters, workload: Workload, target: Target) -> Problem:
    """Convolutions and depthwise convolutions."""
    conv = _ConvTiles(engine, p, workload, target)
    kernel = tiles.KERNEL_SOFTWARE if conv.mapping.lanes else tiles.kernel_software(workload)
    return _driven(engine, workload, conv.problem(), conv.loads(), conv.stores(), conv.jobs(), kernel)


def _driven(
    engine: Engine,
    workload: Workload,
    plain: Problem,
    loads: Operand,
    store: Operand,
    jobs: tuple[Terms, Terms],
    kernel: int,
) -> Problem:
    """The problem with a choice of buffers for what does not stay in L1. jobs: attached and detached cycles."""
    operands = len(workload.inputs)
    moves = {INPUTS: not workload.resident.issuperset(range(operands)), OUTPUT: operands not in workload.resident}
    nest = Driven((loads,) if moves[INPUTS] else (), store if moves[OUTPUT] else None, *jobs, kernel)
    choices = tuple(name for name, moved in moves.items() if moved)
    bounds = DrivenBounds(plain.dimensions, DEPTHS[-1], nest).costs(plain.orders)
    return Problem(
        dimensions=(*plain.dimensions, *(Dimension(name, DEPTHS[-1], DEPTHS) for name in choices)),
        capacities=tuple(_buffered(c, workload) if c.name == engine.local else c for c in plain.capacities),
        costs=bounds,
        orders=plain.orders,
        overlap=(("jobs",), ("transfers",)),
        choices=choices,
        pipeline=nest,
    )


def _buffered(capacity: Capacity, workload: Workload) -> Capacity:
    """L1 with as many buffers as are chosen; its terms are equally many for each operand, the output's last."""
    operands = len(workload.inputs) + 1
    each = len(capacity.terms) // operands
    terms: list[Product] = []
    for number, term in enumerate(capacity.terms):
        index = number // each
        name = OUTPUT if index == operands - 1 else INPUTS
        depth = () if index in workload.resident else (Factor(name, DEPTHS),)
        terms.append(replace(term, factors=(*term.factors, *depth)))
    return replace(capacity, terms=tuple(terms))


def _sizes(dimension: Dimension) -> list[list[int]]:
    """The sizes of all tiles, for each candidate."""
    extent = dimension.extent
    return [[min(size, extent - start) for start in range(0, extent, size)] for size in dimension.sizes]


def _parts(dimension: Dimension, value: Callable[[int], int]) -> Parts:
    return Parts(dimension.name, tuple(tuple(map(value, sizes)) for sizes in _sizes(dimension)))


def _moved(channel: Channel, k: Dimension, unit: int, apart: bool = False) -> Term:
    """Each tile of items of ``unit`` bytes moved."""
    return 1, (_parts(k, lambda size: tiles.tile_cycles(channel, size, unit, apart)),)


class _ConvTiles(tiles.ConvProblem):
    """What the tiles of a convolution take one by one."""

    def __init__(self, engine: Engine, parameters: Parameters, workload: Workload, target: Target):
        super().__init__(engine, parameters, workload, target)
        self.k_dimension = Dimension("k", self.k, self.k_sizes)
        self.heights = _sizes(Dimension("y", self.oy, self.y_sizes))
        self.in_heights = [[high - low for low, high in self.spans(size)] for size in self.y_sizes]

    def loads(self) -> Operand:
        """The rows that the tile of an output needs; of a depthwise convolution only their channels."""
        channel = self.target.channel(self.engine.load)
        if self.depthwise:
            return Operand(INPUTS, ("k", "y"), self._planes(channel, self.in_heights, self.whole_in, self.in_bytes))

        def cycles(rows: int) -> int:
            moved = self.in_bytes(rows)
            whole = rows == self.whole_in
            return tiles.transfer_cycles(channel, *((self.c * moved,) if whole else (moved, self.c)))

        return Operand(INPUTS, ("y",), ((1, (self._y(self.in_heights, cycles),)),))

    def stores(self) -> Operand:
        """The rows of all channels of a tile."""
        channel = self.target.channel(self.engine.store)
        return Operand(OUTPUT, ("k", "y"), self._planes(channel, self.heights, self.whole_out, self.out_bytes))

    def _planes(
        self, channel: Channel, heights: Sequence[Sequence[int]], whole: int, size: Callable[[int], int]
    ) -> Terms:
        """Whole planes move in one piece, rows of them in one a channel."""
        together = _parts(self.k_dimension, lambda k: tiles.transfer_cycles(channel, k * size(whole)))
        start = _parts(self.k_dimension, lambda k: tiles.transfer_cycles(channel, 0, k) - k * channel.start)
        rows = self._y(heights, lambda height: 0 if height == whole else channel.cycles(size(height)))
        uncut = self._y(heights, lambda height: int(height == whole))
        cut = self._y(heights, lambda height: int(height != whole))
        return (1, (together, uncut)), (1, (start, cut)), (1, (_parts(self.k_dimension, lambda k: k), rows))

    def jobs(self) -> tuple[Terms, Terms]:
        """Attached and detached cycles."""
        if self.mapping.lanes:
            return self._diagonal(self.mapping.lanes)
        return self._channels() if self.depthwise else self._conv()

    def _conv(self) -> tuple[Terms, Terms]:
        streamed = packing.conv_block_bytes(self.c, *self.workload.kernel) // self.p.weight_bytes_per_cycle
        rows = tiles.rows_software(self.oy) if self.mapping.row_pitch(self.workload) else 0
        blocks = _parts(self.k_dimension, lambda k: -(-k // LANES))
        each = self._block(self.c, lambda cycles: streamed + cycles)
        return ((tiles.JOB_SOFTWARE + rows, ()),), ((self.p.weight_start, ()), (1, (blocks, each)))

    def _channels(self) -> tuple[Terms, Terms]:
        """Every channel is a trigger of its own, of which only the last goes on alone."""
        stream = costs.weight_stream_cycles(packing.depthwise_group_bytes(*self.workload.kernel), self.p)
        each = self._block(1, lambda cycles: stream + cycles)
        triggers = _parts(self.k_dimension, lambda k: k - 1)
        starts = _parts(self.k_dimension, lambda k: tiles.DEPTHWISE_SOFTWARE + k * tiles.CHANNEL_SOFTWARE)
        return ((1, (starts,)), (1, (triggers, each))), ((1, (each,)),)

    def _diagonal(self, lanes: int) -> tuple[Terms, Terms]:
        """Every sixteen channels are a trigger, the last of which goes on alone; the second list may come late."""
        stream = costs.weight_stream_cycles(diagonal.streamed_bytes(lanes, self.workload.kernel), self.p)
        rows = self.oy if self.mapping.row_pitch(self.workload) else 0
        software = tiles.list_software(lanes, rows)
        full = self._block(lanes, lambda cycles: stream + cycles * (LANES // lanes))
        late = self._block(lanes, lambda cycles: max(0, software - stream - cycles * (LANES // lanes)))
        before = _parts(self.k_dimension, lambda k: -(-k // LANES) - 1)
        several = _parts(self.k_dimension, lambda k: int(k > LANES))
        triggers = _parts(self.k_dimension, lambda k: -(-k // LANES))
        whole = _parts(self.k_dimension, lambda k: ((k - 1) % LANES + 1) // lanes)
        rest = _parts(self.k_dimension, lambda k: int(k % lanes > 0))
        blocks = (1, (whole, self._block(lanes))), (1, (rest, self._block(self.k % lanes)))
        attached = (
            (tiles.BLOCKS_SOFTWARE + software, ()),
            (tiles.TRIGGER_SOFTWARE, (triggers,)),
            (1, (before, full)),
            (1, (several, late)),
        )
        return attached, ((stream, ()), *blocks)

    def _block(self, c: int, value: Callable[[int], int] = lambda cycles: cycles) -> Parts:
        """A value of the compute cycles of 16 channels of each tile's rows, from ``c`` input channels."""
        if len(self.y_sizes) == 1:
            return Parts("y", ((value(self.block_cycles(c)),),))
        rows = [self.rows_cycles(c, y, 1) for y in range(self.oy)]
        sums = [0, *accumulate(rows)]
        spans = [range(0, self.oy, size) for size in self.y_sizes]
        return Parts(
            "y",
            tuple(
                tuple(value(sums[min(start + size, self.oy)] - sums[start]) for start in starts)
                for size, starts in zip(self.y_sizes, spans, strict=True)
            ),
        )

    def _y(self, heights: Sequence[Sequence[int]], value: Callable[[int], int]) -> Parts:
        return Parts("y", tuple(tuple(map(value, each)) for each in heights))
