"""Sums over windows of bytes, four at a time: words are added as long as no byte of theirs can overflow, then lanes.

With ``s0`` to ``s3`` the sums of the bytes at the four places of a word, two numbers are accumulated, modulo 2**32: of
the even bytes in halves, ``s0 + s2 * 2**16``, and of words without their first byte, ``s1 + s2 * 2**8 + s3 * 2**16``.
The first one knows ``s2``, so that the second need not be masked. Together they are ``s0 + s1`` and ``s2 + s3`` in
halves.

Bytes are summed as numbers that are not negative: where some may be, every byte is moved by 128. What lies beside the
window in the last word of a row is masked out, whatever it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial, reduce

from xdsl.dialects.builtin import i32
from xdsl.ir import SSAValue

from htvm_ir.dialects.graph import PoolOp
from htvm_ir.passes.host_loops.arithmetic import Value
from htvm_ir.passes.host_loops.buffers import Buffer
from htvm_ir.passes.host_loops.emitter import Carried, Emitter
from htvm_ir.passes.host_loops.kernel import Index, Kernel
from htvm_ir.passes.host_loops.windows import number_of, windows_of
from htvm_ir.passes.intervals import interval
from htvm_ir.targets.layout import WORD

BYTE, HALF = 0xFF, 0xFFFF
EVEN_BYTES = 0x00FF00FF
BIAS = 128
SIGNS = -0x7F7F7F80
"""The highest bit of each byte: to flip it adds BIAS."""

ROWS = 2
"""The axis of a map's rows."""

STEP = 16
"""Words that one pass through a loop adds: its own cost is then less than a tenth."""

SHORTEST = 4
"""Bytes of a row from which on words cost less than bytes."""


@dataclass(frozen=True)
class WordSum:
    """The sum over ``rows`` times ``columns`` bytes of ``buffer``, which are 0 to ``peak`` after adding ``bias``."""

    buffer: Buffer
    rows: int
    columns: int
    bias: int
    peak: int

    @staticmethod
    def of(kernel: Kernel, op: PoolOp) -> WordSum | None:
        """How to sum the windows of a pool; None if some touch padding or begin inside a word, or if rows are short."""
        buffer, (vertical, horizontal) = kernel.buffers.get(op.input), windows_of(op)
        if buffer is None or not buffer.has_words or buffer.layout.order[-1] != len(buffer.shape) - 1:
            return None
        if any(window.interior != (0, window.outputs) for window in (vertical, horizontal)):
            return None
        is_aligned = horizontal.outputs == 1 or horizontal.stride % WORD == 0
        if not is_aligned or horizontal.before or horizontal.size < SHORTEST:
            return None
        low, high = interval(op.input)
        bias = BIAS if low < 0 else 0
        result = WordSum(buffer, vertical.size, horizontal.size, bias, BYTE if bias else max(high, 1))
        return result if result.most_rows else None

    @property
    def whole_words(self) -> int:
        """Words of a row that lie in the window as a whole."""
        return self.columns // WORD

    @property
    def rest(self) -> int:
        """Bytes of a row behind them; a single one is added as such."""
        return self.columns % WORD

    @property
    def most_rows(self) -> int:
        """How many rows can be summed in half a word."""
        return HALF // (self.columns * self.peak)

    def total(self, emit: Emitter, index: Index) -> SSAValue:
        """The sum over the window; ``index`` is that of its first element, but counts words along the row."""
        at = self.buffer.word(emit, [index[axis] for axis in self.buffer.layout.order])
        if self.rows <= self.most_rows:
            return self._part(emit, at, self.rows)
        parts, rest = divmod(self.rows, self.most_rows)

        def part(n: Value, total: SSAValue) -> SSAValue:
            first = self._row(emit, at, emit.mul(n, self.most_rows, "row"))
            return _sum(emit, total, self._part(emit, first, self.most_rows))

        total = emit.reduce(0, parts, "part", emit.constant(0, i32), part)
        return _sum(emit, total, self._part(emit, self._row(emit, at, parts * self.most_rows), rest)) if rest else total

    def _part(self, emit: Emitter, at: Value, rows: int) -> SSAValue:
        """The sum of at most ``most_rows`` rows from the word ``at`` on."""
        step = max(1, min(rows, STEP // max(1, -(-self.columns // WORD))))
        steps, rest = divmod(rows, step)

        def add_rows(n: Value, lanes: Carried) -> Carried:
            return self._add_rows(emit, lanes, self._row(emit, at, emit.mul(n, step, "row")), step)

        zero = emit.constant(0, i32)
        lanes = emit.fold(0, steps, "step", (zero, zero, *([zero] if self.rest == 1 else [])), add_rows)
        if rest:
            lanes = self._add_rows(emit, lanes, self._row(emit, at, steps * step), rest)
        even, upper, *singles = lanes
        total = reduce(partial(_sum, emit), [_both(emit, even, upper), *singles])
        return number_of(emit.add(total, -self.bias * rows * self.columns, "total"))

    def _row(self, emit: Emitter, at: Value, row: Value) -> Value:
        """The first word of a row below that of the word ``at``."""
        return emit.add(at, emit.mul(row, self.buffer.layout.strides(self.buffer.shape)[ROWS] // WORD, "at"), "at")

    def _add_rows(self, emit: Emitter, lanes: Carried, at: Value, rows: int) -> Carried:
        """Add some rows; a single one in groups of words, if it is long."""
        starts = [self._row(emit, at, row) for row in range(rows)]
        groups, rest = divmod(self.whole_words, STEP) if rows == 1 else (0, self.whole_words)

        def add_group(n: Value, lanes: Carried) -> Carried:
            first = emit.add(starts[0], emit.mul(n, STEP, "first"), "first")
            return self._add_words(emit, lanes, [self._load(emit, emit.add(first, i, "at")) for i in range(STEP)])

        lanes = emit.fold(0, groups, "group", lanes, add_group)
        words = [self._load(emit, emit.add(start, groups * STEP + i, "at")) for start in starts for i in range(rest)]
        ends = [emit.add(start, self.whole_words, "at") for start in starts]
        if self.rest > 1:
            words += [emit.bit_and(self._load(emit, end), self._mask, "word") for end in ends]
        even, upper, *singles = self._add_words(emit, lanes, words)
        for end in ends if singles else ():
            singles = [_sum(emit, singles[0], self._single(emit, end))]
        return even, upper, *singles

    def _add_words(self, emit: Emitter, lanes: Carried, words: Sequence[SSAValue]) -> Carried:
        """Add the bytes of words, as many of which as possible are added first."""
        even, upper, *singles = lanes
        size = BYTE // self.peak
        for start in range(0, len(words), size):
            bytes_, *others = words[start : start + size]
            for other in others:
                bytes_ = emit.wrapping_add(bytes_, other, "bytes")
            even = emit.wrapping_add(even, emit.bit_and(bytes_, EVEN_BYTES, "masked"), "even")
            upper = emit.wrapping_add(upper, emit.unsigned_shift_right(bytes_, 8, "shifted"), "upper")
        return even, upper, *singles

    def _load(self, emit: Emitter, at: Value) -> SSAValue:
        """A word of bytes that are not negative."""
        word = emit.load(self.buffer.words(emit), [at], "word")
        return emit.bit_xor(word, SIGNS, "moved") if self.bias else word

    def _single(self, emit: Emitter, at: Value) -> SSAValue:
        """The first byte of a word, as a number that is not negative."""
        place = emit.add(emit.mul(at, WORD, "at"), self.buffer.layout.xor, "at")
        value = emit.cast(emit.load(self.buffer.flat(emit), [place], "value"), i32, "value")
        return number_of(emit.add(value, self.bias, "moved"))

    @property
    def _mask(self) -> int:
        """The bytes of a row's last word that lie in the window, as a signed number."""
        bits = sum(BYTE << 8 * (place ^ self.buffer.layout.xor) for place in range(self.rest))
        return bits - (1 << 32) if bits >> 31 else bits


def _both(emit: Emitter, even: SSAValue, upper: SSAValue) -> SSAValue:
    """The sum of all bytes, which fits into the upper one of the halves that hold ``s0 + s1`` and ``s2 + s3``."""
    third = number_of(emit.mul(emit.unsigned_shift_right(even, 16, "third"), -1 << 8, "third"))
    halves = emit.wrapping_add(emit.wrapping_add(even, upper, "sum"), third, "halves")
    both = emit.wrapping_add(halves, emit.shift_left(halves, emit.constant(16, i32), "low"), "both")
    return emit.unsigned_shift_right(both, 16, "sum")


def _sum(emit: Emitter, lhs: SSAValue, rhs: SSAValue) -> SSAValue:
    return number_of(emit.add(lhs, rhs, "sum"))
