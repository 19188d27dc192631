"""What kernels cost on DIANA's CPU: a linear model of the generated loops; its constants are measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod

from htvm_ir.targets.lanes import LaneRequant
from htvm_ir.targets.layout import WORD, Layout, mergeable
from htvm_ir.targets.target import Host
from htvm_ir.targets.word_moves import WordMove, workload_move
from htvm_ir.targets.workload import Workload

COLUMNS = (
    *("call", "short_words", "short", "long_words", "long", "rows", "padding", "zero_words"),
    *("windows", "window_rows", "taps"),
)
"""What is counted, and a cost in cycles of each: the call; output elements, in innermost loops of which the C compiler
leaves nothing (short) or something, in groups of a word or one by one; innermost loops; padding written in bytes and in
words; windows (one for each input channel); rows of windows, and taps, inside the image. Of windows summed in words:
bytes that are added as such, and instructions for words, instead of rows and taps."""

WINDOWED = ("conv2d", "pointwise", "depthwise", "dense", "average", "sum", "signed sum")
"""Kinds whose cost hardly depends on the output's layout."""

PLAIN, CLAMP = "requant", "clamp"
"""Requantisations of single elements, without and with limits that some exceed: longer loops are unrolled less."""

STEP = 8
"""Words that a loop moves in one step, where they only change places."""

MERGED = ("convert_layout", "requant", "clip", "add", "sub", "mul", "lookup")
"""Kinds whose loops over axes that lie together in all tensors are one loop."""


@dataclass(frozen=True)
class LoopCosts:
    """Innermost loops up to ``unrolled`` elements are unrolled; ``cycles`` are those of COLUMNS."""

    unrolled: int
    cycles: tuple[float, ...]


def kind_of(workload: Workload) -> str:
    """The kinds that have loops of their own."""
    if workload.kind == "transpose":
        return "transpose" if _exchanges_axes(workload) else "permute"
    if workload.kind == "pool":
        return _kind_of_pool(workload)
    if workload.kind == "requant" and _clips_words(workload):
        return "clip"
    if workload.kind != "conv2d":
        return workload.kind
    single = workload.kernel == (1, 1)
    if workload.weights is not None and workload.weights.shape[1] == 1:
        return "scale" if single else "depthwise"
    return "pointwise" if single else "conv2d"


def _exchanges_axes(workload: Workload) -> bool:
    """Whether a transposition may be one of the rows and columns of a map."""
    before, after = workload.inputs[0].shape, workload.output.shape
    return len(before) == 4 and after == (*before[:2], before[3], before[2])


def _kind_of_pool(workload: Workload) -> str:
    """``sum``: windows of words; ``signed sum``: their bytes are moved by 128 before."""
    if workload.mode == "max":
        return "max"
    (height, width), (oy, ox) = workload.inputs[0].shape[2:], workload.output.shape[2:]
    (rows, columns), (down, right) = workload.window, workload.strides
    is_inside = not any(workload.pads) and (oy - 1) * down + rows <= height and (ox - 1) * right + columns <= width
    if not is_inside or columns < WORD or (ox > 1 and right % WORD) or workload.inputs[0].dtype != "i8":
        return "average"
    return "sum" if workload.ranges and workload.ranges[0][0] >= 0 else "signed sum"


def _clips_words(workload: Workload) -> bool:
    """Whether a requantisation shifts bytes that are not negative and keeps the lower bits: it does so in words."""
    types = {workload.inputs[0].dtype, workload.output.dtype}
    if workload.requant is None or not workload.ranges or types != {"i8"}:
        return False
    return LaneRequant.of(workload.requant, workload.ranges[0]) is not None


def order_of(layout: Layout) -> str:
    """``rows`` as in C, but perhaps padded, ``swapped``: bytes of words exchanged, ``channels``: channels innermost.

    ``compact``: swapped, in rows of as few words as possible.
    """
    if layout.order != tuple(range(len(layout.order))):
        return "channels"
    if not layout.xor:
        return "rows"
    return "compact" if layout.multiple[-1] == WORD else "swapped"


def key_of(workload: Workload, layouts: Sequence[Layout]) -> str:
    """Under which the costs of a kernel are found: its kind, and the order of the input and of the output."""
    kind, source, result = _loops_of(workload, layouts), order_of(layouts[0]), order_of(layouts[-1])
    if kind == "move":
        return kind
    return f"{kind} {source}" if kind in WINDOWED else f"{kind} {source} {result}"


def _loops_of(workload: Workload, layouts: Sequence[Layout]) -> str:
    """The kind, with another name where the layouts make other loops of it."""
    kind = kind_of(workload)
    if workload_move(workload, layouts) is not None:
        return "move"
    if kind in ("sum", "signed sum"):
        return kind if _has_words(workload, layouts[0]) else "average"
    if kind in ("clip", "convert_layout") and _loads_words(workload, *_merged(workload, layouts)):
        return {"clip": "clip", "convert_layout": "copy"}[kind]
    if kind in ("clip", "requant"):
        return CLAMP if _exceeded(workload) else PLAIN
    return kind


def _loads_words(workload: Workload, shape: Sequence[int], layouts: Sequence[Layout]) -> bool:
    """Whether a conversion or a clip reads words, and stores these, or their bytes in rows of words or in four rows."""
    source, output = layouts[0], layouts[-1]
    if workload.inputs[0].dtype != "i8" or source.stored_shape(shape)[-1] % WORD:
        return False
    if source.order[-1] == output.order[-1]:
        return output.stored_shape(shape)[-1] % WORD == 0
    return bool(source.xor) or kind_of(workload) == "clip"


def _has_words(workload: Workload, source: Layout) -> bool:
    """Whether the rows of the input consist of whole words."""
    return source.order[-1] == len(source.order) - 1 and source.stored_shape(workload.inputs[0].shape)[-1] % WORD == 0


def counts(workload: Workload, layouts: Sequence[Layout], unrolled: int) -> tuple[int, ...]:
    """How often a kernel does what COLUMNS names."""
    if (move := workload_move(workload, layouts)) is not None:
        return _moved(move)
    source, elements = layouts[0], workload.output.size
    shape, layouts = _merged(workload, layouts)
    output = layouts[-1]
    inner, stored = shape[output.order[-1]], output.stored_shape(shape)[-1]
    looped = next((shape[axis] for axis in reversed(output.order) if shape[axis] > 1), 1)
    is_long = looped > unrolled
    grouped, loops = _grouped(workload, layouts, shape)
    outputs = (0, 0, grouped, elements - grouped) if is_long else (grouped, elements - grouped, 0, 0)
    rows, padding = elements // inner, output.stored_size(shape) - elements
    single = padding if stored % WORD else rows * (-inner % WORD)
    return (1, *outputs, loops, single, (padding - single) // WORD, *_windows(workload, source))


def _merged(workload: Workload, layouts: Sequence[Layout]) -> tuple[Sequence[int], Sequence[Layout]]:
    """The shape that loops go through, and the layouts of tensors of that shape."""
    shape = workload.output.shape
    if kind_of(workload) not in MERGED or workload.apart:
        return shape, layouts
    groups = mergeable(shape, [layouts[-1], *layouts[:-1]])
    extents = tuple(prod(shape[axis] for axis in group) for group in groups)
    return extents, [layout.merged(shape, groups) for layout in layouts]


def _moved(move: WordMove) -> tuple[int, ...]:
    """Words that are moved: loops write several of them in one step."""
    inner, rows = move.extents[-1], prod(move.extents[:-1])
    together = inner // STEP * STEP
    zeros = prod(move.stored) - prod(move.extents)
    return (1, 0, 0, WORD * rows * together, WORD * rows * (inner - together), rows, 0, zeros, 0, 0, 0)


def _grouped(workload: Workload, layouts: Sequence[Layout], shape: Sequence[int]) -> tuple[int, int]:
    """Output elements that are read, written or at least addressed by words; and innermost loops."""
    source, output = layouts[0], layouts[-1]
    elements = workload.output.size
    inner = next((axis for axis in reversed(output.order) if shape[axis] > 1), output.order[-1])
    rows = elements // shape[inner]
    kind, axis = kind_of(workload), inner
    if kind in ("clip", "convert_layout") and _loads_words(workload, shape, layouts):
        axis = source.order[-1]  # words that lie across the output's rows are written to four rows
    elif kind not in MERGED or not any(layout.xor for layout in layouts) or shape[output.order[-1]] == 1:
        return 0, rows
    grouped = shape[axis] // WORD * WORD
    if axis != inner:
        rows = rows // shape[axis] * (grouped // WORD + shape[axis] % WORD)
    return elements // shape[axis] * grouped, rows


def _windows(workload: Workload, source: Layout) -> tuple[int, int, int]:
    """Windows, their rows inside the image times the columns of the output, and their taps inside the image."""
    if workload.kind == "dense":
        return workload.output.size, 0, workload.macs
    if workload.kind not in ("conv2d", "pool"):
        return 0, 0, 0
    if kind_of(workload).endswith("sum") and _has_words(workload, source):
        return _word_sums(workload)
    (height, width), (oy, ox) = workload.inputs[0].shape[2:], workload.output.shape[2:]
    window = workload.kernel if workload.kind == "conv2d" else workload.window
    depth = 1 if workload.weights is None else workload.weights.shape[1]
    planes = workload.output.shape[1] * depth
    rows, columns = (
        sum(_inside(n * stride - before, size, kernel, dilation) for n in range(outputs))
        for size, outputs, kernel, stride, before, dilation in zip(
            (height, width), (oy, ox), window, workload.strides, workload.pads[:2], workload.dilations, strict=True
        )
    )
    return planes * oy * ox, planes * rows * ox, planes * rows * columns


def _word_sums(workload: Workload) -> tuple[int, int, int]:
    """Windows summed in words, single bytes, and instructions: a load, a sum of bytes or four that add lanes."""
    rows, columns = workload.window
    windows, is_signed = workload.output.size, kind_of(workload) == "signed sum"
    together = 1 if is_signed else 255 // max(1, workload.ranges[0][1])
    masked = columns % WORD > 1
    words = rows * (columns // WORD + masked)
    sums = -(-words // together)
    instructions = words * (1 + is_signed) + rows * masked + (words - sums) + 4 * sums
    return windows, windows * rows * (columns % WORD == 1), windows * instructions


def _inside(start: int, size: int, kernel: int, dilation: int) -> int:
    """Taps of a window that lie on an axis."""
    return sum(0 <= start + tap * dilation < size for tap in range(kernel))


def clips(workload: Workload, layouts: Sequence[Layout]) -> int:
    """How many limits of an element-wise op's requantisation make the core compare and branch for each element."""
    return _exceeded(workload) if _loops_of(workload, layouts) in (CLAMP, "add") else 0


def _before_reshape(workload: Workload, layouts: Sequence[Layout]) -> tuple[Workload, Sequence[Layout]]:
    """A reshape to an array in C order is a conversion to such an array of the shape there was."""
    if workload.kind != "reshape" or not workload.inputs or not layouts[-1].is_dense(workload.output.shape):
        return workload, layouts
    source = workload.inputs[0]
    rows = Layout.row_major(len(source.shape))
    return replace(workload, kind="convert_layout", output=source), (layouts[0], rows)


def _exceeded(workload: Workload) -> int:
    """How many limits the result of an element-wise op can exceed."""
    requant = workload.requant
    if requant is None or not workload.ranges:
        return 0
    low, high = (sum(bounds[end] for bounds in workload.ranges) * requant.multiplier[0] for end in (0, 1))
    shift, zero_point = requant.shift[0], requant.zero_point
    return ((low >> shift) + zero_point < requant.lo) + ((high >> shift) + zero_point > requant.hi)


@dataclass(frozen=True)
class MeasuredHost(Host):
    """The CPU with measured loops.

    table: costs by :func:`key_of`; kinds and orders it lacks cost what :class:`Host` says.
    scaled: cycles of a requantised element more, if it takes a multiplication and a shift of 64 bits. clip: for each
    limit that an element without accumulation can exceed (the core compares and branches).
    """

    table: Mapping[str, LoopCosts] = field(default_factory=dict[str, LoopCosts])
    scaled: int = 0
    clip: float = 0

    def cycles(self, workload: Workload, layouts: Sequence[Layout] = ()) -> int:
        tensors = (*workload.inputs, workload.output)
        rows = [Layout.row_major(len(tensor.shape)) for tensor in tensors]
        layouts = layouts or rows
        if len(layouts[-1].order) > len(rows[-1].order):  # a reshape to more axes follows
            layouts = [*layouts[:-1], rows[-1]]
        workload, layouts = _before_reshape(workload, layouts)
        costs = self._costs(key_of(workload, layouts))
        if costs is None:
            return super().cycles(workload, layouts)
        numbers = counts(workload, layouts, costs.unrolled)
        total = sum(cost * count for cost, count in zip(costs.cycles, numbers, strict=True))
        total += numbers[-1] if workload.zero_point else 0  # a subtraction for each tap
        requant = workload.requant
        if requant is not None and (requant.rounding != "floor" or set(requant.multiplier) != {1}):
            total += self.scaled * workload.output.size
        return round(total + self.clip * clips(workload, layouts) * workload.output.size)

    def _costs(self, key: str) -> LoopCosts | None:
        """The costs of a kind and orders, or of what is most alike: wider rows, requantisations of other limits."""
        wide = key.replace("compact", "swapped")
        kind, _, orders = wide.partition(" ")
        other = {PLAIN: CLAMP, CLAMP: PLAIN}.get(kind, kind)
        return self.table.get(key) or self.table.get(wide) or self.table.get(f"{other} {orders}")
