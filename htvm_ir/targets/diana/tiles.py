"""The tiling problem of DIANA's digital core: legal tiles, bytes in L1, predicted cycles.

Cycles of jobs and transfers are those of the device models, to the cycle; the CPU's share is an average.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from htvm_ir.targets.diana import compact, conv, costs, diagonal, packing
from htvm_ir.targets.diana.conv_mapping import ConvMapping
from htvm_ir.targets.diana.instruction import LANES
from htvm_ir.targets.diana.packing import round_up
from htvm_ir.targets.diana.parameters import Parameters
from htvm_ir.targets.target import Channel, Engine, Target
from htvm_ir.targets.workload import Tensor, Workload
from htvm_ir.tiling.problem import Capacity, Cost, Dimension, Factor, Order, Problem, Product

# The CPU's cycles besides those in which the array or the DMA works: arguments, register writes, the end of polling.
# A least-squares fit over 318 kernels of random networks on the virtual SoC, solved and forced tilings; its rms error
# is 4 cycles a kernel. A transfer of one piece is the channel's own figure. That, transfers of several pieces and lists
# of jobs are as measured on the kernels of the built-in networks since the driver changed.
KERNEL_SOFTWARE = 22
"""Call of a kernel and return, with an argument for each operand."""
ARGUMENT_SOFTWARE = 11
"""What an operand that stays in L1 saves of that: it is no argument. Measured on ResNet-8, to 2 cycles a kernel."""
JOB_SOFTWARE = 44
SUM_SOFTWARE = 50
STRIDED_SOFTWARE = 30
"""A transfer of several pieces, in addition to its pieces."""
PIECE_SOFTWARE = 14
DEPTHWISE_SOFTWARE = 258
"""A depthwise job, whose program is copied to be patched, in addition to its channels."""
CHANNEL_SOFTWARE = 21
"""Each channel of a depthwise job."""
BLOCKS_SOFTWARE = 90
BLOCK_SOFTWARE = 88
BLOCK_ROWS_SOFTWARE = 65
BLOCK_ROW_SOFTWARE = 79
"""A depthwise job in diagonal blocks; each block of its list: one for all rows, or for some rows, and each of them."""
TRIGGER_SOFTWARE = 10
"""Each trigger of such a job; the list of the next is made while the core works."""
LIST_SOFTWARE = 83
LIST_ROW_SOFTWARE = 80
"""The list of an ordinary convolution whose rows are its entries, and each of them; the rest is as for other jobs."""


def plane_bytes(tensor: Tensor) -> int:
    """Stored bytes of one channel of a feature map."""
    return tensor.shape[2] * round_up(tensor.shape[3], LANES)


def stored_bytes(tensor: Tensor) -> int:
    """Stored bytes of an activation in the core's layout."""
    if len(tensor.shape) == 4:
        return tensor.shape[1] * plane_bytes(tensor)
    return round_up(tensor.shape[1], LANES)


def dense_problem(engine: Engine, p: Parameters, workload: Workload, target: Target) -> Problem:
    """Dense layers: tiles over the outputs, of whole blocks of 16.

    The store of a tile may overrun by 16 bytes into the next one, which is stored after it.
    """
    extent, source = workload.output.shape[1], stored_bytes(workload.inputs[0])
    sizes = _multiples(extent, LANES)
    block = packing.dense_block_bytes(source)
    blocks = -(-extent // LANES)
    load = target.channel(engine.load)
    once = Product(-(-block * blocks // p.weight_bytes_per_cycle) + source // LANES * blocks)
    job = JOB_SOFTWARE + p.weight_start + p.row_overhead
    transfers = (Product(transfer_cycles(load, source)), _pieces(target.channel(engine.store), extent, sizes, 1))
    jobs = Product(job, (Factor("k", _counts(extent, sizes)),))
    costs_ = (
        Cost("engine", (once, Product(kernel_software(workload)), jobs)),
        Cost("transfer", _moved(workload, transfers)),
    )
    local = (Product(slot_bytes(p, source)), _slots(p, workload, 1, sizes, 1))
    largest = Factor("k", tuple(-(-size // LANES) for size in sizes))
    capacities = (
        Capacity("weight memory", p.weight_memory_bytes, (Product(block, (largest,)),)),
        Capacity(engine.local, target.memory(engine.local).size, local),
    )
    return _flat(Dimension("k", extent, sizes), capacities, costs_)


def add_problem(engine: Engine, p: Parameters, workload: Workload, target: Target) -> Problem:
    """Sums: tiles over channels, or elements of vectors, in whole granules of the DMA."""
    extent = workload.output.shape[1]
    plane = plane_bytes(workload.output) if len(workload.output.shape) == 4 else 1
    sizes = _multiples(extent, next(n for n in range(1, p.dma_granule + 1) if n * plane % p.dma_granule == 0))
    rows = Product(round_up(extent * plane, LANES) // LANES)
    jobs = Product(SUM_SOFTWARE + p.row_overhead, (Factor("k", _counts(extent, sizes)),))
    channels = (engine.load, engine.load, engine.store)
    transfers = _moved(
        workload,
        [
            _pieces(target.channel(name), extent, sizes, plane, index in workload.strips)
            for index, name in enumerate(channels)
        ],
    )
    costs_ = (Cost("engine", (rows, jobs, Product(kernel_software(workload)))), Cost("transfer", transfers))
    local = tuple(_slots(p, workload, index, sizes, plane) for index in range(3))
    capacity = Capacity(engine.local, target.memory(engine.local).size, local)
    return _flat(Dimension("k", extent, sizes), (capacity,), costs_)


def _flat(dimension: Dimension, capacities: tuple[Capacity, ...], costs_: tuple[Cost, ...]) -> Problem:
    """A problem of one dimension."""
    return Problem((dimension,), capacities, costs_, ((dimension.name,),), (("engine", "transfer"),))


def kernel_software(workload: Workload) -> int:
    """Cycles of the CPU to call the kernel."""
    return KERNEL_SOFTWARE - ARGUMENT_SOFTWARE * len(workload.resident)


def _moved(workload: Workload, transfers: Sequence[Product]) -> tuple[Product, ...]:
    """The transfers of the operands, inputs then output, that do not stay in L1."""
    return tuple(term for index, term in enumerate(transfers) if index not in workload.resident)


def _slots(p: Parameters, workload: Workload, index: int, sizes: Sequence[int], unit: int) -> Product:
    """Bytes of an operand cut into tiles of ``sizes`` items of ``unit`` bytes; the last size is all of it."""
    if index in workload.resident:
        return Product(slot_bytes(p, sizes[-1] * unit))
    return Product(1, (Factor("k", tuple(slot_bytes(p, size * unit) for size in sizes)),))


def _multiples(extent: int, step: int) -> tuple[int, ...]:
    """Multiples of ``step`` below ``extent``, then the extent itself."""
    return (*range(step, extent, step), extent)


def _counts(extent: int, sizes: Sequence[int]) -> tuple[int, ...]:
    """Tiles of each size."""
    return tuple(-(-extent // size) for size in sizes)


def slot_bytes(p: Parameters, size: int) -> int:
    """Bytes a contiguous operand takes in L1, with what its transfer may overrun."""
    return round_up(round_up(size, LANES), p.dma_granule) + p.dma_granule


def transfer_cycles(channel: Channel, length: int, count: int = 1) -> int:
    """Cycles of one transfer of ``count`` contiguous pieces of ``length`` bytes, the CPU's included."""
    software = channel.software if count == 1 else STRIDED_SOFTWARE + count * PIECE_SOFTWARE
    return channel.cycles(length, count) + software


def tile_cycles(channel: Channel, size: int, unit: int, apart: bool) -> int:
    """Cycles to move a tile of ``size`` items of ``unit`` bytes: one contiguous piece, or one for each item."""
    return transfer_cycles(channel, unit, size) if apart else transfer_cycles(channel, size * unit)


def _pieces(channel: Channel, extent: int, sizes: Sequence[int], unit: int, apart: bool = False) -> Product:
    """Every tile of ``extent`` items moved."""

    def sweep(size: int) -> int:
        whole, rest = divmod(extent, size)
        return whole * tile_cycles(channel, size, unit, apart) + (
            tile_cycles(channel, rest, unit, apart) if rest else 0
        )

    return Product(1, (Factor("k", tuple(map(sweep, sizes))),))


def list_software(lanes: int, rows: int) -> int:
    """The CPU's cycles to make the list of 16 channels in diagonal blocks; 0 rows: a job computes all."""
    return LANES // lanes * (BLOCK_ROWS_SOFTWARE + rows * BLOCK_ROW_SOFTWARE if rows else BLOCK_SOFTWARE)


def rows_software(rows: int) -> int:
    """The CPU's cycles to make the list of an ordinary convolution with a job for each row."""
    return LIST_SOFTWARE + rows * LIST_ROW_SOFTWARE


class ConvProblem:
    """Convolutions and depthwise convolutions: tiles over output channels and output rows."""

    def __init__(self, engine: Engine, parameters: Parameters, workload: Workload, target: Target):
        self.engine, self.workload, self.target, self.p = engine, workload, target, parameters
        self.depthwise, self.mapping = workload.is_depthwise, ConvMapping.of(workload)
        self.resident, strips = workload.resident, workload.strips
        _, self.k, self.oy, self.ox = workload.output.shape
        _, self.c, self.cy, self.cx = workload.inputs[0].shape
        self.out_row, self.in_row = round_up(self.ox, LANES), round_up(self.cx, LANES)
        # Rows of which the planes of all channels touch in memory: all, but never those of a strip.
        self.whole_in, self.whole_out = (0 if 0 in strips else self.cy), (0 if 1 in strips else self.oy)
        self.k_sizes = self._channel_sizes()
        is_compact = self.mapping.compact_input or self.mapping.compact_output
        self.y_sizes = (self.oy,) if is_compact else self._row_sizes()
        self.k_tiles = _counts(self.k, self.k_sizes)
        self.y_tiles = _counts(self.oy, self.y_sizes)

    def problem(self) -> Problem:
        dimensions = (Dimension("k", self.k, self.k_sizes), Dimension("y", self.oy, self.y_sizes))
        orders: tuple[Order, ...] = (("y", "k"), ("k", "y"))
        engine = self._engine_cost()
        loads = (self._plane_loads(),) if self.depthwise else self._map_loads(orders)
        moved = [*(() if 0 in self.resident else loads), *(() if 1 in self.resident else (self._stores(),))]
        return Problem(dimensions, self._capacities(), (engine, *moved), orders, (("engine", "transfer"),))

    def _channel_sizes(self) -> tuple[int, ...]:
        if self.depthwise and self.k % LANES == 1:
            return (self.k,)  # a last tile of one channel would not be depthwise any more
        return _multiples(self.k, LANES)

    def _row_sizes(self) -> tuple[int, ...]:
        """Heights whose last tile is stored in whole DMA granules: a piece that overran would spoil the next channel.

        The overrun of other tiles is stored over by the tile below. Left out are heights whose tiles see nothing but
        padding, or the same rows as the tile before. Of operands that stay in L1, a convolution can write some rows
        of all channels in place; all else is whole there.
        """
        if self.resident and (self.depthwise or 0 in self.resident):
            return (self.oy,)

        def legal(size: int) -> bool:
            spans = self.spans(size)
            whole = 1 in self.resident or (self.oy % size or size) * self.out_row % self.p.dma_granule == 0
            return whole and len(set(spans)) == len(spans) and all(low < high for low, high in spans)

        return (*(size for size in range(1, self.oy) if legal(size)), self.oy)

    def spans(self, size: int) -> list[tuple[int, int]]:
        """The input rows [low, high) of every tile of ``size`` output rows, padding left out."""
        if size == self.oy:
            return [(0, self.cy)]
        stride, top, fy = self.workload.strides[0], self.workload.pads[0], self.workload.kernel[0]
        starts = range(0, self.oy, size)
        lows = [max(0, start * stride - top) for start in starts]
        highs = [min(self.cy, (min(start + size, self.oy) - 1) * stride - top + fy) for start in starts]
        return list(zip(lows, highs, strict=True))

    def _capacities(self) -> tuple[Capacity, ...]:
        channels = tuple(conv.written_planes(self.workload, size) for size in self.k_sizes)
        most = (max(high - low for low, high in self.spans(size)) for size in self.y_sizes)
        rows_in = Factor("y", tuple(map(self.in_bytes, most)))
        heights = (self.oy,) * len(self.y_sizes) if 1 in self.resident else self.y_sizes
        rows_out = Factor("y", tuple(map(self.out_bytes, heights)))
        planes_in = (Factor("k", self.k_sizes),) if self.depthwise and 0 not in self.resident else ()
        planes_out = Factor("k", (channels[-1],) * len(channels) if 1 in self.resident else channels)
        slack = Product(2 * self.p.dma_granule)  # rounded up, and the overrun of the last piece
        local = (
            Product(1 if planes_in else self.c, (rows_in, *planes_in)),
            slack,
            Product(1, (rows_out, planes_out)),
            slack,
        )
        l1 = Capacity(self.engine.local, self.target.memory(self.engine.local).size, local)
        if self.depthwise:
            return (l1,)
        blocks = Factor("k", tuple(-(-size // LANES) for size in self.k_sizes))
        block = packing.conv_block_bytes(self.c, *self.workload.kernel)
        return l1, Capacity("weight memory", self.p.weight_memory_bytes, (Product(block, (blocks,)),))

    def in_bytes(self, rows: int) -> int:
        """Stored bytes of some rows of an input channel."""
        return self.mapping.in_plane(self.workload) if rows == self.cy else rows * self.in_row

    def out_bytes(self, rows: int) -> int:
        """Stored bytes of some rows of an output channel."""
        return self.mapping.out_plane(self.workload) if rows == self.oy else rows * self.out_row

    def block_cycles(self, c: int) -> int:
        """Compute cycles of one block of 16 channels of the whole map, from ``c`` input channels."""
        if self.mapping.is_flat(self.workload):
            columns = compact.groups(self.workload.output)
            return costs.conv_cycles(
                k=1, ox=columns, c=c, fx=1, fy=1, stride=1, pad_top=0, cy=1, oy=1, parameters=self.p
            )
        return self.rows_cycles(c, 0, self.oy)

    def rows_cycles(self, c: int, first: int, rows: int) -> int:
        """Of these, the cycles of some output rows, unless whole planes are computed as one."""
        fy, fx = self.workload.kernel
        stride = self.workload.strides[0]
        return costs.conv_cycles(
            k=1,
            ox=self.out_row // LANES,
            c=c,
            fx=fx,
            fy=fy,
            stride=stride,
            pad_top=self.workload.pads[0] - first * stride,
            cy=self.cy,
            oy=rows,
            parameters=self.p,
        )

    def _conv_cost(self) -> Cost:
        """A row of tiles streams the weights once."""
        blocks = -(-self.k // LANES)
        streamed = -(-packing.conv_block_bytes(self.c, *self.workload.kernel) * blocks // self.p.weight_bytes_per_cycle)
        rows = self.mapping.row_pitch(self.workload)
        software = JOB_SOFTWARE + (rows_software(self.oy) if rows else 0)
        jobs = Product(software + self.p.weight_start, (Factor("k", self.k_tiles), Factor("y", self.y_tiles)))
        streams = Product(streamed, (Factor("y", self.y_tiles),))
        once = self.block_cycles(self.c) * blocks + kernel_software(self.workload)
        return Cost("engine", (Product(once), streams, jobs))

    def _engine_cost(self) -> Cost:
        if self.mapping.lanes:
            return self._diagonal_cost(self.mapping.lanes)
        return self._depthwise_cost() if self.depthwise else self._conv_cost()

    def _diagonal_cost(self, lanes: int) -> Cost:
        """Sixteen channels are a trigger, with the weights of all and a job for each `lanes`."""
        whole, rest = divmod(self.k, lanes)
        compute = self.block_cycles(lanes) * whole + (self.block_cycles(rest) if rest else 0)
        stream = costs.weight_stream_cycles(diagonal.streamed_bytes(lanes, self.workload.kernel), self.p)
        sweep = Product((stream + TRIGGER_SOFTWARE) * -(-self.k // LANES), (Factor("y", self.y_tiles),))
        software = list_software(lanes, self.oy if self.mapping.row_pitch(self.workload) else 0)
        jobs = Product(BLOCKS_SOFTWARE + software, (Factor("k", self.k_tiles), Factor("y", self.y_tiles)))
        trigger = stream + self.block_cycles(lanes) * LANES // lanes
        late = self._second_lists(software, trigger)
        return Cost("engine", (Product(compute + KERNEL_SOFTWARE), sweep, jobs, late))

    def _second_lists(self, software: int, trigger: int) -> Product:
        """What the core waits for the list of a tile's second trigger, which is made during the first."""
        waits = tuple(count * max(0, software - trigger // count) for count in self.y_tiles)
        tiles = (range(0, self.k, size) for size in self.k_sizes)
        several = tuple(
            sum(min(size, self.k - start) > LANES for start in starts)
            for size, starts in zip(self.k_sizes, tiles, strict=True)
        )
        return Product(1, (Factor("y", waits), Factor("k", several)))

    def _depthwise_cost(self) -> Cost:
        """Every channel is a trigger of its own, with the weights of four channels."""
        stream = costs.weight_stream_cycles(packing.depthwise_group_bytes(*self.workload.kernel), self.p)
        channels = Product((stream + CHANNEL_SOFTWARE) * self.k, (Factor("y", self.y_tiles),))
        jobs = Product(DEPTHWISE_SOFTWARE, (Factor("k", self.k_tiles), Factor("y", self.y_tiles)))
        once = self.block_cycles(1) * self.k + kernel_software(self.workload)
        return Cost("engine", (Product(once), channels, jobs))

    def _map_loads(self, orders: tuple[Order, ...]) -> Iterator[Cost]:
        """Whole rows move in one piece, others in one a channel; a tile stays while only the output channels change."""
        channel = self.target.channel(self.engine.load)

        def load(low: int, high: int) -> int:
            rows = self.in_bytes(high - low)
            whole = high - low == self.whole_in
            return transfer_cycles(channel, self.c * rows) if whole else transfer_cycles(channel, rows, self.c)

        sweeps = [sum(load(*span) for span in self.spans(size)) for size in self.y_sizes]
        once = Product(1, (Factor("y", tuple(sweeps)),))
        yield Cost("transfer", (once,), (orders[0],))
        *cut, whole = sweeps
        again = Product(1, (Factor("y", (*cut, 0)), Factor("k", self.k_tiles)))
        kept = Product(1, (Factor("y", (*(0 for _ in cut), whole)),))
        yield Cost("transfer", (again, kept), (orders[1],))

    def _plane_loads(self) -> Cost:
        """Depthwise: every tile loads its own planes, whole ones in one piece, cut ones in one each."""
        channel = self.target.channel(self.engine.load)

        def pieces(rows: int) -> int:
            return channel.cycles(rows * self.in_row, self.c) + self.c * PIECE_SOFTWARE

        spans = [self.spans(size) for size in self.y_sizes]
        heights = [[high - low for low, high in tile] for tile in spans]
        whole = tuple(tile.count(self.whole_in) for tile in heights)
        rows = tuple(sum(pieces(height) for height in tile if height != self.whole_in) for tile in heights)
        cut = tuple(len(tile) - n for tile, n in zip(spans, whole, strict=True))
        moved = channel.cycles(self.c * self.in_bytes(self.cy)) - channel.start
        terms = (
            Product(channel.start + channel.software, (Factor("k", self.k_tiles), Factor("y", whole))),
            Product(moved, (Factor("y", whole),)),
            Product(STRIDED_SOFTWARE, (Factor("k", self.k_tiles), Factor("y", cut))),
            Product(1, (Factor("y", rows),)),
        )
        return Cost("transfer", terms)

    def _stores(self) -> Cost:
        """Whole planes leave in one piece a tile, rows of them in one a channel."""
        channel = self.target.channel(self.engine.store)
        whole = tuple(int(size == self.whole_out) for size in self.y_sizes)
        alone = tuple(int((self.k % size or size) == 1) for size in self.k_sizes)  # a last tile of one channel
        cut = tuple(0 if w else count for w, count in zip(whole, self.y_tiles, strict=True))

        def moved(size: int) -> int:
            if size == self.whole_out:
                return channel.cycles(self.k * self.out_bytes(self.oy)) - channel.start
            heights = (min(size, self.oy - start) for start in range(0, self.oy, size))
            return self.k * sum(channel.cycles(rows * self.out_row) - channel.start for rows in heights)

        terms = (
            Product(channel.start + channel.software, (Factor("k", self.k_tiles), Factor("y", whole))),
            Product(STRIDED_SOFTWARE, (Factor("k", self.k_tiles), Factor("y", cut))),
            Product((channel.start + PIECE_SOFTWARE) * self.k, (Factor("y", cut),)),
            Product(channel.software - STRIDED_SOFTWARE - PIECE_SOFTWARE, (Factor("k", alone), Factor("y", cut))),
            Product(1, (Factor("y", tuple(map(moved, self.y_sizes))),)),
        )
        return Cost("transfer", terms)
