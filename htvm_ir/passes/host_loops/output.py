"""The loops over a kernel's output: every stored element once, in stored order, zero in the padding."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from xdsl.ir import Operation, SSAValue

from htvm_ir.dialects import accel, graph
from htvm_ir.dialects.attributes import values
from htvm_ir.passes.host_loops import windows
from htvm_ir.passes.host_loops.arithmetic import Value
from htvm_ir.passes.host_loops.blocks import SWAPPED
from htvm_ir.passes.host_loops.buffers import Buffer
from htvm_ir.passes.host_loops.kernel import Kernel, integer_type
from htvm_ir.passes.host_loops.lanes import WordSource
from htvm_ir.passes.host_loops.merging import merge_axes
from htvm_ir.passes.host_loops.row_copies import RowCopy, fill_with_zeros
from htvm_ir.passes.workloads import ELEMENTWISE
from htvm_ir.targets.layout import WORD

AXES = {1: ("i",), 2: ("n", "k"), 3: ("n", "k", "x"), 4: ("n", "k", "y", "x")}
"""Names of the loops over an output, by rank; one axis is what remains if all others can be merged into it."""

ROWS, COLUMNS = 2, 3
"""Axes of a map."""

Stored = tuple[Value, ...]
"""The first indices of an element in stored order."""


@dataclass(frozen=True)
class OutputLoops:
    """A loop for each stored axis of ``output``, which holds ``value``.

    unroll: elements of a row to write one after the other. cuts: where to cut the loop over an axis. copy: how rows
    are copied in words, if they are. across: what is read in words along another axis than the output's rows; then four
    rows are written together.
    """

    kernel: Kernel
    output: Buffer
    value: SSAValue
    unroll: int
    cuts: Mapping[int, tuple[int, ...]]
    copy: RowCopy | None
    across: WordSource | None

    @staticmethod
    def of(kernel: Kernel, output: Buffer, value: SSAValue) -> OutputLoops:
        """The loops that suit the layouts."""
        kernel, output = merge_axes(kernel, output, value)
        copy = RowCopy.of(kernel, output, value)
        unroll = _unroll(kernel, output, value)
        return OutputLoops(kernel, output, value, unroll, _cuts(value), copy, _across(kernel, output, value))

    def write(self) -> None:
        """Emit them."""
        self._nest([()], True)

    def _nest(self, starts: list[Stored], inside: bool) -> None:
        """The loops below ``starts``, which have the same length; ``inside``: they are no padding."""
        emit, depth = self.kernel.emit, len(starts[0])
        axis = self.output.layout.order[depth]
        extent = self.output.shape[axis] if inside else 0
        if depth == len(self.output.shape) - 1:
            self._rows(starts, extent)
            return
        stored, name = self.output.layout.stored_shape(self.output.shape)[depth], self._name(axis)
        size = WORD if self.across is not None and self.across.buffer.layout.order[-1] == axis else 1
        if all(self.output.shape[inner] == 1 for inner in self.output.layout.order[depth + 1 :]):
            size = max(size, self.unroll)

        def below(group: list[Value]) -> None:
            self._nest([(*start, i) for start in starts for i in group], True)

        for low, high in itertools.pairwise((0, *(self.cuts.get(axis, ()) if inside else ()), extent)):
            emit.loop_over_groups(low, high, name, below, size)
        emit.loop(extent, stored, name, lambda i: self._nest([(*start, i) for start in starts], False))

    def _rows(self, starts: list[Stored], extent: int) -> None:
        """One row below each of ``starts``, of which ``extent`` elements are no padding."""
        emit, axis = self.kernel.emit, self.output.layout.order[-1]
        copied = 0
        for start in starts if self.copy is not None and extent else ():
            assert self.copy is not None
            copied = self.copy.row(emit, start)
        cuts = self.cuts.get(axis, ()) if extent else ()

        def column(i: Value) -> None:
            if self.across is not None and len(starts) == WORD:
                self._store_word(self.across, [(*start, i) for start in starts])
                return
            for start in starts:
                self._store((*start, i), True)

        for low, high in itertools.pairwise((copied, *cuts, extent)):
            emit.loop(low, high, self._name(axis), column, self.unroll)
        for start in starts:
            filled = fill_with_zeros(emit, self.output, start, extent)
            emit.loop(extent, filled, self._name(axis), lambda i, start=start: self._store((*start, i), False))

    def _store(self, stored: Stored, inside: bool) -> None:
        """The element at an index in stored order."""
        element = self.kernel.emit.constant(0, integer_type(graph.tensor_type(self.value).element_type))
        if inside:
            element = self.kernel.element(self.value, self._index(stored))
        self._store_element(stored, element)

    def _store_word(self, source: WordSource, stored: list[Stored]) -> None:
        """The elements of one word of the source, which are neighbours along its innermost axis."""
        emit, row = self.kernel.emit, source.buffer.layout.order[-1]
        first = self._index(stored[0])
        word = source.load(emit, [emit.div(i, WORD, "word") if axis == row else i for axis, i in enumerate(first)])
        for place, at in enumerate(stored):
            self._store_element(at, source.byte(emit, word, place))

    def _store_element(self, stored: Stored, element: SSAValue) -> None:
        memref, at = self.output.address(self.kernel.emit, stored)
        self.kernel.emit.store(element, memref, at)

    def _index(self, stored: Stored) -> Stored:
        """The logical index."""
        order = self.output.layout.order
        return tuple(stored[order.index(axis)] for axis in range(len(order)))

    def _name(self, axis: int) -> str:
        names = AXES.get(len(self.output.shape))
        return names[axis] if names else f"i{axis}"


def _producer(value: SSAValue) -> tuple[Operation | SSAValue, list[Operation]]:
    """Where an element comes from through ops that keep its index, and those ops."""
    passed: list[Operation] = []
    while isinstance(value.owner, graph.RequantOp | graph.LookupOp | accel.ConvertLayoutOp):
        passed.append(value.owner)
        value = value.owner.input
    return value.owner if isinstance(value.owner, Operation) else value, passed


def _blocks(value: SSAValue) -> tuple[windows.Window, windows.Window] | None:
    """Blocks whose pixels become channels, along the rows and the columns of the value, which may be turned."""
    producer, _ = _producer(value)
    if isinstance(producer, graph.TransposeOp) and tuple(values(producer.permutation)) == SWAPPED:
        blocks = _blocks(producer.input)
        return blocks and (blocks[1], blocks[0])
    return windows.blocks_of(producer) if isinstance(producer, graph.SpaceToDepthOp) else None


def _cuts(value: SSAValue) -> dict[int, tuple[int, ...]]:
    """Where to cut the loops over rows and columns so that what is read in their middle parts is no padding.

    There the loop over a window's columns has a known length, and the C compiler unrolls it; and no pixel that moves
    into a channel has to be tested.
    """
    if (blocks := _blocks(value)) is not None:
        (top, bottom), (left, right) = (window.interior for window in blocks)
        # Groups of columns begin at multiples of their size.
        found = {ROWS: (top, bottom), COLUMNS: (-(-left // WORD) * WORD, right // WORD * WORD)}
    else:
        found = {COLUMNS: _interior(value)}
    return {axis: (low, high) for axis, (low, high) in found.items() if low < high}


def _interior(value: SSAValue) -> tuple[int, int]:
    """The columns of a map whose windows touch no padding, nor do those of the map they lie on, if it is not stored."""
    producer, _ = _producer(value)
    if not isinstance(producer, graph.Conv2dOp | graph.PoolOp):
        return (0, 0)
    window = windows.windows_of(producer)[1]
    below = _interior(producer.input)
    return window.inside(*below) if below[0] < below[1] else window.interior


def _unroll(kernel: Kernel, output: Buffer, value: SSAValue) -> int:
    """How many elements of the innermost axis to write in a row.

    Where bytes are permuted in groups, the addresses in a group are then a base plus constants.
    """
    producer, _ = _producer(value)
    groups = [output.layout.xor + 1, *(b.layout.xor + 1 for b in kernel.buffers.values())]
    is_stored = isinstance(producer, SSAValue)
    moves = _blocks(value) is not None
    return max(groups) if is_stored or moves or isinstance(producer, ELEMENTWISE) else 1


def _across(kernel: Kernel, output: Buffer, value: SSAValue) -> WordSource | None:
    """What a kernel copies if the words of its source lie across the output's rows."""
    source = WordSource.of(kernel, value)
    if source is None or source.buffer.layout.order[-1] == output.layout.order[-1]:
        return None
    return source if source.buffer.layout.xor or source.requants else None
