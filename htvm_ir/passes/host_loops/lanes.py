"""Tensors read in words, and requantisations of the four bytes of a word at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.dialects.builtin import i8
from xdsl.ir import SSAValue

from htvm_ir.dialects.accel import ConvertLayoutOp
from htvm_ir.dialects.attributes import values
from htvm_ir.dialects.graph import RequantOp, tensor_type
from htvm_ir.passes.host_loops.arithmetic import Value
from htvm_ir.passes.host_loops.buffers import Buffer
from htvm_ir.passes.host_loops.emitter import Emitter
from htvm_ir.passes.host_loops.kernel import Kernel
from htvm_ir.passes.intervals import interval

LOW_BITS = 0x01010101
"""The lowest bit of each byte."""


@dataclass(frozen=True)
class LaneRequant:
    """``min(x >> shift, limit)`` of bytes 0 to 127; a ``limit`` is 2**n - 1 where no quotient reaches 2**(n + 1)."""

    shift: int
    limit: int | None

    @staticmethod
    def of(op: RequantOp) -> LaneRequant | None:
        """The requantisation, if it is one of these."""
        low, high = interval(op.input)
        plain = (*op.addends, op.zero_point.value.data, *(m - 1 for m in values(op.multiplier)))
        shifts, limit = set(values(op.shift)), op.hi.value.data
        types = {tensor_type(value).element_type for value in (op.input, op.result)}
        if types != {i8} or op.rounding.data != "floor" or any(plain) or len(shifts) != 1:
            return None
        shift = shifts.pop()
        if low < 0 or op.lo.value.data > low >> shift or shift >= 8:
            return None
        if high >> shift <= limit:
            return LaneRequant(shift, None)
        return LaneRequant(shift, limit) if limit & limit + 1 == 0 and high >> shift <= 2 * limit + 1 else None

    def apply(self, emit: Emitter, word: SSAValue) -> SSAValue:
        """All four bytes. A byte above the limit has the bit above it set, from which come all the bits below."""
        if self.shift:
            word = emit.bit_and(emit.shift_right(word, self.shift, "shifted"), LOW_BITS * (127 >> self.shift), "scaled")
        if self.limit is None:
            return word
        above = emit.bit_and(word, LOW_BITS * (self.limit + 1), "above")
        ones = emit.sub(above, emit.shift_right(above, self.limit.bit_length(), "one"), "ones")
        assert isinstance(ones, SSAValue)
        return emit.bit_and(emit.bit_or(word, ones, "full"), LOW_BITS * self.limit, "clipped")


@dataclass(frozen=True)
class WordSource:
    """A tensor whose words are those of ``buffer`` after some requantisations."""

    buffer: Buffer
    requants: tuple[LaneRequant, ...]

    @staticmethod
    def of(kernel: Kernel, value: SSAValue) -> WordSource | None:
        """How to read a tensor in words; None if it is computed otherwise, or if a row begins inside a word."""
        requants: list[LaneRequant] = []
        while isinstance(op := value.owner, ConvertLayoutOp | RequantOp):
            requant = LaneRequant.of(op) if isinstance(op, RequantOp) else None
            if isinstance(op, RequantOp) and requant is None:
                return None
            requants += [] if requant is None else [requant]
            value = op.input
        buffer = kernel.buffers.get(value)
        return WordSource(buffer, tuple(reversed(requants))) if buffer is not None and buffer.has_words else None

    def load(self, emit: Emitter, index: Sequence[Value]) -> SSAValue:
        """A word at a logical index that counts words along the innermost axis of the buffer."""
        at = self.buffer.word(emit, [index[axis] for axis in self.buffer.layout.order])
        word = emit.load(self.buffer.words(emit), [at], "word")
        for requant in self.requants:
            word = requant.apply(emit, word)
        return word

    def byte(self, emit: Emitter, word: SSAValue, place: int) -> SSAValue:
        """The element of a word that comes ``place`` behind its first."""
        return emit.cast(emit.shift_right(word, 8 * (place ^ self.buffer.layout.xor), "shifted"), i8, "byte")
