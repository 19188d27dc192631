"""Maps whose channels hold the pixels of blocks: a plane is every second pixel, say, of an image, and zeros around.

Which pixel of a block a channel holds is known where the code is written, so no pixel has to be tested for lying in
the image, and what lies outside of it is filled like the padding of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from xdsl.ir import SSAValue

from htvm_ir.dialects.accel import ConvertLayoutOp
from htvm_ir.dialects.attributes import values
from htvm_ir.dialects.graph import SpaceToDepthOp, TransposeOp, tensor_type
from htvm_ir.passes.host_loops.arithmetic import Value
from htvm_ir.passes.host_loops.buffers import Buffer
from htvm_ir.passes.host_loops.kernel import Kernel, integer_type
from htvm_ir.passes.host_loops.row_copies import fill_with_zeros
from htvm_ir.passes.host_loops.windows import blocks_of
from htvm_ir.targets.layout import WORD

SWAPPED = (0, 1, 3, 2)
"""The permutation that exchanges rows and columns."""

MOST_PIXELS = 16
"""Pixels of a block that may have code of their own."""

TOGETHER = 8
"""Pixels loaded before the first of them is stored: a core waits for what it has just loaded."""

Span = tuple[int, int]
"""The first index, and the one behind the last."""


@dataclass(frozen=True)
class BlockLoops:
    """Loops that write ``output``, which holds ``value``: that of ``op``, or with ``turned`` its transposed planes."""

    kernel: Kernel
    output: Buffer
    value: SSAValue
    op: SpaceToDepthOp
    turned: bool

    @staticmethod
    def of(kernel: Kernel, output: Buffer, value: SSAValue) -> BlockLoops | None:
        """The loops that compute ``value``; None if it is computed otherwise, or if planes are not stored as such."""
        turned, source = False, value
        while isinstance(source.owner, ConvertLayoutOp | TransposeOp):
            if isinstance(source.owner, TransposeOp):
                if tuple(values(source.owner.permutation)) != SWAPPED:
                    return None
                turned = not turned
            source = source.owner.input
        op = source.owner
        if not isinstance(op, SpaceToDepthOp) or prod(values(op.block)) > MOST_PIXELS:
            return None
        return BlockLoops(kernel, output, value, op, turned) if output.layout.order == (0, 1, 2, 3) else None

    def write(self) -> None:
        """Emit them."""
        emit, (images, planes, _, _) = self.kernel.emit, self.output.shape
        stored = self.output.layout.stored_shape(self.output.shape)

        def image(n: Value) -> None:
            emit.loop(0, planes, "k", lambda k: self._plane(n, k), prod(values(self.op.block)))
            emit.loop(planes, stored[1], "k", lambda k: self._zeros((n, k)))

        emit.loop(0, images, "n", image)
        emit.loop(images, stored[0], "n", lambda n: self._zeros((n,)))

    def _plane(self, n: Value, k: Value) -> None:
        """The rows of a channel: those with pixels of the image, and zeros before and behind."""
        emit, (rows, columns) = self.kernel.emit, self._inside(k)
        height = self.output.layout.stored_shape(self.output.shape)[2]
        emit.loop(0, rows[0], "y", lambda y: self._zeros((n, k, y)))
        emit.loop(*rows, "y", lambda y: self._row((n, k, y), columns))
        emit.loop(rows[1], height, "y", lambda y: self._zeros((n, k, y)))

    def _inside(self, channel: Value) -> tuple[Span, Span]:
        """The rows and columns of a channel that come from inside the image; none of them, or some of both."""
        by, bx = values(self.op.block)
        _, place = self.kernel.emit.split(channel)
        places = divmod(place % (by * bx), bx)
        spans = [
            replace(window, size=1, before=window.before - offset).interior
            for window, offset in zip(blocks_of(self.op), places, strict=True)
        ]
        if any(low == high for low, high in spans):
            return (0, 0), (0, 0)
        down, across = reversed(spans) if self.turned else spans
        return down, across

    def _row(self, row: tuple[Value, ...], columns: Span) -> None:
        """A row: zeros, in words over which pixels are stored, then pixels in groups that begin at words."""
        emit, (low, high) = self.kernel.emit, columns
        first = min(-(-low // WORD) * WORD, high)
        last = first + (high - first) // TOGETHER * TOGETHER
        emit.loop(0, low, "x", lambda x: self._zero((*row, x)))
        self._zeros(row, high - high % WORD if self.output.has_words else high)
        self._pixels(row, range(low, first))
        emit.loop_over_groups(first, last, "x", lambda group: self._pixels(row, group), TOGETHER)
        self._pixels(row, range(last, high))

    def _pixels(self, row: tuple[Value, ...], columns: Sequence[Value]) -> None:
        """Some pixels of a row."""
        found = [self.kernel.element(self.value, (*row, x)) for x in columns]
        for x, pixel in zip(columns, found, strict=True):
            self._store((*row, x), pixel)

    def _zeros(self, start: tuple[Value, ...], first: int = 0) -> None:
        """Zero what lies below an index; of a row what lies from ``first`` on."""
        emit, depth = self.kernel.emit, len(start)
        end = self.output.layout.stored_shape(self.output.shape)[depth]
        if depth < len(self.output.shape) - 1:
            emit.loop(0, end, "i", lambda i: self._zeros((*start, i)))
            return
        filled = fill_with_zeros(emit, self.output, start, first)
        emit.loop(first, filled, "x", lambda x: self._zero((*start, x)))

    def _zero(self, at: tuple[Value, ...]) -> None:
        self._store(at, self.kernel.emit.constant(0, integer_type(tensor_type(self.value).element_type)))

    def _store(self, at: tuple[Value, ...], element: SSAValue) -> None:
        memref, indices = self.output.address(self.kernel.emit, at)
        self.kernel.emit.store(element, memref, indices)
