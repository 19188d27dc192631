"""What kernels cost on DIANA's CPU: a linear model of the generated loops; its constants are measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from htvm_ir.targets.layout import Layout
from htvm_ir.targets.target import Host
from htvm_ir.targets.workload import Workload

COLUMNS = ("call", "short_words", "short", "long_words", "long", "rows", "padding", "windows", "window_rows", "taps")
"""What is counted, and a cost in cycles of each: the call; output elements, in innermost loops of which the C compiler
leaves nothing (short) or something, and by whole words or not; innermost loops; elements of padding written; windows
(one for each input channel); rows of windows, and taps, inside the image."""

WINDOWED = ("conv2d", "pointwise", "depthwise", "dense", "average")
"""Kinds whose cost hardly depends on the output's layout."""


@dataclass(frozen=True)
class LoopCosts:
    """Innermost loops up to ``unrolled`` elements are unrolled; ``cycles`` are those of COLUMNS."""

    unrolled: int
    cycles: tuple[float, ...]


def kind_of(workload: Workload) -> str:
    """The kinds that have loops of their own."""
    if workload.kind == "pool":
        return "max" if workload.mode == "max" else "average"
    if workload.kind != "conv2d":
        return workload.kind
    single = workload.kernel == (1, 1)
    if workload.weights is not None and workload.weights.shape[1] == 1:
        return "scale" if single else "depthwise"
    return "pointwise" if single else "conv2d"


def order_of(layout: Layout) -> str:
    """``rows`` as in C, ``swapped``: bytes of words exchanged, ``channels``: channels innermost."""
    if layout.is_row_major:
        return "rows"
    return "swapped" if layout.order == tuple(range(len(layout.order))) else "channels"


def key_of(workload: Workload, layouts: Sequence[Layout]) -> str:
    """Under which the costs of a kernel are found: its kind, and the order of the input and of the output."""
    kind, source, result = kind_of(workload), order_of(layouts[0]), order_of(layouts[-1])
    return f"{kind} {source}" if kind in WINDOWED else f"{kind} {source} {result}"


def counts(workload: Workload, output: Layout, unrolled: int) -> tuple[int, ...]:
    """How often a kernel does what COLUMNS names."""
    shape, elements = workload.output.shape, workload.output.size
    inner = shape[output.order[-1]]
    is_long = inner > unrolled or inner == 1  # there is nothing to unroll
    place = 2 * is_long + (inner % 4 != 0)
    outputs = [elements if place == n else 0 for n in range(4)]
    padding = output.stored_size(shape) - elements
    return (1, *outputs, elements // inner, padding, *_windows(workload))


def _windows(workload: Workload) -> tuple[int, int, int]:
    """Windows, their rows inside the image times the columns of the output, and their taps inside the image."""
    if workload.kind == "dense":
        return workload.output.size, 0, workload.macs
    if workload.kind not in ("conv2d", "pool"):
        return 0, 0, 0
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


def _inside(start: int, size: int, kernel: int, dilation: int) -> int:
    """Taps of a window that lie on an axis."""
    return sum(0 <= start + tap * dilation < size for tap in range(kernel))


def clips(workload: Workload) -> int:
    """How many limits of the requantisation the result of an element-wise op can exceed; accumulators exceed both."""
    requant = workload.requant
    if requant is None or workload.kind not in ("requant", "add") or not workload.ranges:
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
    clip: int = 0

    def cycles(self, workload: Workload, layouts: Sequence[Layout] = ()) -> int:
        tensors = (*workload.inputs, workload.output)
        if [len(layout.order) for layout in layouts] != [len(tensor.shape) for tensor in tensors]:
            layouts = [Layout.row_major(len(tensor.shape)) for tensor in tensors]  # none given, or a reshape follows
        costs = self.table.get(key_of(workload, layouts)) or self.table.get(key_of(workload, layouts[:1]))
        if costs is None:
            return super().cycles(workload)
        numbers = counts(workload, layouts[-1], costs.unrolled)
        total = sum(cost * count for cost, count in zip(costs.cycles, numbers, strict=True))
        total += numbers[-1] if workload.zero_point else 0  # a subtraction for each tap
        requant = workload.requant
        if requant is not None and (requant.rounding != "floor" or set(requant.multiplier) != {1}):
            total += self.scaled * workload.output.size
        return round(total + self.clip * clips(workload) * workload.output.size)
