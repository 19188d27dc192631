"""The tiling problem of DIANA's analog core: legal tiles, bytes in L1, predicted cycles.

A tile is a block of output channels and some output rows. More than 16 channels lie in banks of 512 rows, one for
each 16 channels; a tile has at most 512 pixels there, so that all its banks follow each other.
"""

from __future__ import annotations

from htvm_ir.targets.diana import costs
from htvm_ir.targets.diana.analog_instruction import ROW, AnalogInstruction
from htvm_ir.targets.diana.packing import round_up
from htvm_ir.targets.diana.parameters import Parameters
from htvm_ir.targets.diana.tiles import KERNEL_SOFTWARE
from htvm_ir.targets.target import Channel, Engine, Target
from htvm_ir.targets.workload import Tensor, Workload
from htvm_ir.tiling.problem import Capacity, Cost, Dimension, Factor, Problem, Product

BLOCKS = (512, 256, 128, 64, 32)
"""Output channels of a job, from the whole array down; what an image of weights is packed for."""

# The CPU's cycles besides those in which the array or the DMA works, as for the digital core: averages over the analog
# layers of ResNet-8 and DS-CNN on the virtual SoC, whole and cut. The first job of all also powers the array up (650).
JOB_SOFTWARE = 261
BANKS_SOFTWARE = 49
"""A transfer over several banks; one into linear rows is the channel's own figure."""
PIECE_SOFTWARE = 25
"""Each piece of a transfer that the hardware cannot do at once."""


def slices(channels: int) -> int:
    """Rows of 16 channels a pixel takes, and banks a feature map takes."""
    return -(-channels // ROW)


def map_bytes(channels: int, pixels: int, p: Parameters) -> int:
    """Bytes of L1 from the first to the last row of a feature map."""
    return ((slices(channels) - 1) * p.bank_rows + pixels) * ROW


def local_bytes(tensor: Tensor, p: Parameters) -> int:
    """Bytes of L1 to reserve for a tile, whole granules of the transfers."""
    _, channels, height, width = tensor.shape
    return round_up(map_bytes(channels, height * width, p), p.dma_granule) + p.dma_granule


def column_block(workload: Workload, p: Parameters) -> int:
    """Output channels of a job: all, or as many as leave room in L1 for one row of them and its input."""
    channels = workload.output.shape[1]
    for block in (min(channels, BLOCKS[0]), *(b for b in BLOCKS if b < channels)):
        source, result = _tile_bytes(workload, block, 1, p)
        if source + result <= p.l1_bytes:
            return block
    return min(channels, BLOCKS[-1])


def unrolled(c: int, k: int, fx: int, fy: int, ox: int, parameters: Parameters) -> int:
    """Adjacent outputs an activation computes: doubled while the array has room for it (DORY's conditions)."""
    p, unroll = parameters, 1
    while (
        2 * unroll <= p.analog_unroll
        and ox % (2 * unroll) == 0
        and 2 * unroll * k <= p.analog_columns
        and c * fy * (fx + 2 * unroll - 1) <= p.analog_rows
    ):
        unroll *= 2
    return unroll


def granule_fault(workload: Workload, p: Parameters) -> str | None:
    """Why transfers of a tensor would overrun their neighbours: they move multiples of 32 bytes."""
    channels = workload.output.shape[1]
    last = channels % column_block(workload, p)
    for tensor in (*workload.inputs, workload.output):
        banks = slices(tensor.shape[1])
        if banks > 1 and banks % 2 and (banks > p.max_banks or tensor.shape[2] * tensor.shape[3] % 2):
            return (
                f"{tensor.shape[1]} channels of {tensor.shape[2]}x{tensor.shape[3]} pixels are an odd number of rows "
                "of 16 bytes; transfers move two (pad the channels to a multiple of 32)"
            )
    if last and slices(last) % 2:
        return f"{channels} output channels leave a last tile of {last}: pad them to a multiple of 32"
    return None


def analog_problem(engine: Engine, p: Parameters, workload: Workload, target: Target) -> Problem:
    """One size for the channels, all legal heights."""
    _, k, oy, _ = workload.output.shape
    block = column_block(workload, p)
    heights = tuple(size for size in range(1, oy + 1) if _is_legal(workload, block, size, p)) or (oy,)
    jobs = -(-k // block)
    sizes = [_tile_bytes(workload, block, height, p) for height in heights]
    room = (Product(1, (Factor("y", tuple(source + result for source, result in sizes)),)),)
    load, store = target.channel(engine.load), target.channel(engine.store)
    compute = tuple(sum(_job_cycles(workload, rows, block, p) for rows in _rows(oy, h)) * jobs for h in heights)
    moved = tuple(_transfer_cycles(workload, h, block, load, store) for h in heights)
    return Problem(
        (Dimension("k", k, (block,)), Dimension("y", oy, heights)),
        (Capacity(engine.local, target.memory(engine.local).size, room),),
        (
            Cost("engine", (Product(KERNEL_SOFTWARE), Product(1, (Factor("y", compute),)))),
            Cost("transfer", (Product(1, (Factor("y", moved),)),)),
        ),
        (("y", "k"),),
        (("engine", "transfer"),),
    )


def _rows(oy: int, size: int) -> list[int]:
    """Output rows of each tile."""
    return [min(size, oy - start) for start in range(0, oy, size)]


def _input_rows(workload: Workload, size: int) -> int:
    """Most input rows a tile of ``size`` output rows needs."""
    return min((size - 1) * workload.strides[0] + workload.kernel[0], workload.inputs[0].shape[2])


def _tile_bytes(workload: Workload, block: int, height: int, p: Parameters) -> tuple[int, int]:
    """Bytes of L1 of the largest input and output tile."""
    _, c, _, cx = workload.inputs[0].shape
    _, k, _, ox = workload.output.shape
    source = Tensor((1, c, _input_rows(workload, height), cx))
    return local_bytes(source, p), local_bytes(Tensor((1, min(k, block), height, ox)), p)


def _is_legal(workload: Workload, block: int, size: int, p: Parameters) -> bool:
    """Whether tiles stay within a bank and are whole granules, so that no transfer spoils its neighbour."""
    _, c, _, cx = workload.inputs[0].shape
    _, k, oy, ox = workload.output.shape
    banks_in, banks_out = slices(c), slices(min(k, block))
    if banks_in > 1 and _input_rows(workload, size) * cx > p.bank_rows:
        return False
    if banks_out > 1 and size * ox > p.bank_rows:
        return False
    if size == oy:
        return True
    odd_in = banks_in % 2 and banks_in > 1 and cx % 2
    odd_out = banks_out % 2 and any(rows * ox % 2 for rows in (size, oy % size))
    return not odd_in and not odd_out


def _job_cycles(workload: Workload, rows: int, block: int, p: Parameters) -> int:
    """Predicted cycles of one job, its software included."""
    _, c, cy, cx = workload.inputs[0].shape
    _, k, _, ox = workload.output.shape
    fy, fx = workload.kernel
    k = min(k, block)
    unroll = unrolled(c, k, fx, fy, ox, p)
    job = AnalogInstruction.conv(
        input=0, output=0, c=c, k=k, cx=cx, cy=cy, fx=fx, fy=fy, ox=ox, oy=rows, ox_unroll=unroll
    )
    return costs.analog_weight_cycles(job, p) + costs.analog_compute_cycles(job, p) + JOB_SOFTWARE


def _transfer_cycles(workload: Workload, height: int, block: int, load: Channel, store: Channel) -> int:
    """Predicted cycles to move all tiles in and out."""
    _, c, cy, cx = workload.inputs[0].shape
    _, k, oy, ox = workload.output.shape
    stride, top = workload.strides[0], workload.pads[0]
    total, start = 0, 0
    for rows in _rows(oy, height):
        first = max(0, start * stride - top)
        last = min(cy, (start + rows - 1) * stride - top + workload.kernel[0])
        total += _move(load, slices(c), max(0, last - first) * cx, False)
        for channel in range(0, k, block):
            total += _move(store, slices(min(block, k - channel)), rows * ox, block < k)
        start += rows
    return total


def _move(channel: Channel, banks: int, pixels: int, strided: bool) -> int:
    """One tile: in one transfer, or for each pixel one for every four banks."""
    if banks <= 4 and not strided:
        return channel.cycles(banks * pixels * ROW) + (channel.software if banks == 1 else BANKS_SOFTWARE)
    pieces = pixels * -(-banks // 4)
    return pieces * (channel.start + PIECE_SOFTWARE) + -(-pixels * banks * ROW // channel.bytes_per_cycle)
