"""Tensors read in words, and requantisations of the four bytes of a word at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.dialects.builtin import i8
from xdsl.ir import SSAValue

from htvm_ir.dialects.accel import ConvertLayoutOp
from htvm_ir.dialects.graph import RequantOp, tensor_type
from htvm_ir.passes.host_loops.arithmetic import Value
from htvm_ir.passes.host_loops.buffers import Buffer
from htvm_ir.passes.host_loops.emitter import Emitter
from htvm_ir.passes.host_loops.kernel import Kernel
from htvm_ir.passes.intervals import interval
from htvm_ir.passes.workloads import requant_of
from htvm_ir.targets.lanes import LaneRequant

LOW_BITS = 0x01010101
"""The lowest bit of each byte."""


def lane_requant(op: RequantOp) -> LaneRequant | None:
    """How an op computes the bytes of a word at once, if it can."""
    types = {tensor_type(value).element_type for value in (op.input, op.result)}
    return LaneRequant.of(requant_of(op), interval(op.input)) if types == {i8} else None


def requantised(emit: Emitter, requant: LaneRequant, word: SSAValue) -> SSAValue:
    """All four bytes. A byte above the limit has the bit above it set, from which come all the bits below."""
    shift, limit = requant.shift, requant.limit
    if shift:
        word = emit.bit_and(emit.shift_right(word, shift, "shifted"), LOW_BITS * (127 >> shift), "scaled")
    if limit is None:
        return word
    above = emit.bit_and(word, LOW_BITS * (limit + 1), "above")
    ones = emit.sub(above, emit.shift_right(above, limit.bit_length(), "one"), "ones")
    assert isinstance(ones, SSAValue)
    return emit.bit_and(emit.bit_or(word, ones, "full"), LOW_BITS * limit, "clipped")


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
            requant = lane_requant(op) if isinstance(op, RequantOp) else None
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
            word = requantised(emit, requant, word)
        return word

    def byte(self, emit: Emitter, word: SSAValue, place: int) -> SSAValue:
        """The element of a word that comes ``place`` behind its first."""
        return emit.cast(emit.shift_right(word, 8 * (place ^ self.buffer.layout.xor), "shifted"), i8, "byte")
