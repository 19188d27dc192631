"""Rows copied in whole words, where a kernel does little more than move bytes and both sides' rows are aligned.

These are innermost loops of ``output``: words may be clipped on the way and lie in parts of larger buffers. A tensor
whose words only change places needs no such loops (``word_moves``).

Words are stored as they are if the bytes have the same order on both sides; else a word is loaded and its bytes stored
one by one, which takes less time than exchanging them in a register: RV32IMC has no instruction for that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xdsl.dialects.builtin import i32
from xdsl.ir import SSAValue

from htvm_ir.passes.host_loops.arithmetic import Value
from htvm_ir.passes.host_loops.buffers import Buffer
from htvm_ir.passes.host_loops.emitter import Emitter
from htvm_ir.passes.host_loops.kernel import Kernel
from htvm_ir.passes.host_loops.lanes import WordSource
from htvm_ir.targets.layout import WORD

GROUP = 8
"""Words of an inner loop, which C compilers unroll: reversing them takes ten times the outer loop's own cycles."""


@dataclass(frozen=True)
class RowCopy:
    """A copy from ``source`` into rows of ``output`` along the innermost axis of both."""

    source: WordSource
    output: Buffer

    @staticmethod
    def of(kernel: Kernel, output: Buffer, value: SSAValue) -> RowCopy | None:
        """The copy that computes ``value``; None if it computes more, or if some row begins inside a word."""
        source = WordSource.of(kernel, value)
        if source is None or source.buffer.shape != output.shape or not output.has_words:
            return None
        is_aligned = source.buffer.layout.order[-1] == output.layout.order[-1]
        return RowCopy(source, output) if is_aligned else None

    def row(self, emit: Emitter, outer: Sequence[Value]) -> int:
        """Copy the whole words of a row, whose index in the output's stored order is ``outer``; their bytes."""
        count = self.output.shape[self.output.layout.order[-1]] // WORD
        in_groups(emit, count, lambda i: self._word(emit, (*outer, i)))
        return count * WORD

    def _word(self, emit: Emitter, stored: Sequence[Value]) -> None:
        order, xor = self.output.layout.order, self.output.layout.xor
        word = self.source.load(emit, [stored[order.index(axis)] for axis in range(len(order))])
        at = self.output.word(emit, stored)
        if self.source.buffer.layout.xor == xor:
            emit.store(word, self.output.words(emit), [at])
            return
        first = emit.mul(at, WORD, "at")
        for place in range(WORD):
            byte = self.source.byte(emit, word, place)
            emit.store(byte, self.output.flat(emit), [emit.add(first, place ^ xor, "at")])


def in_groups(emit: Emitter, count: int, body: Callable[[Value], None]) -> None:
    """Run ``body`` for 0 <= i < count, in two loops of which the inner one is short."""
    whole = count // GROUP if count > GROUP else 0

    def group(n: Value) -> None:
        first = emit.mul(n, GROUP, "first")
        emit.loop(0, GROUP, "j", lambda j: body(emit.add(first, j, "i")))

    emit.loop(0, whole, "group", group)
    emit.loop(whole * GROUP, count, "i", body)


def fill_with_zeros(emit: Emitter, output: Buffer, outer: Sequence[Value], start: int) -> int:
    """Zero the whole words at the end of a row from element ``start`` on; the first of these elements."""
    row = output.layout.stored_shape(output.shape)[-1]
    first = -(-start // WORD)
    if not output.has_words or first * WORD >= row:
        return row
    zero, words = emit.constant(0, i32), output.words(emit)
    emit.loop(first, row // WORD, "i", lambda i: emit.store(zero, words, [output.word(emit, (*outer, i))]))
    return first * WORD
