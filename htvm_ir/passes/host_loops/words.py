"""Kernels that only move bytes, in words where the order inside the words stays."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from xdsl.dialects.builtin import i8, i32
from xdsl.ir import Operation, SSAValue

from htvm_ir.dialects.accel import ConvertLayoutOp
from htvm_ir.dialects.graph import ReshapeOp, ReverseOp, SliceOp, TransposeOp, tensor_type
from htvm_ir.dialects.graph.evaluate import evaluate
from htvm_ir.passes.host_loops.arithmetic import Value
from htvm_ir.passes.host_loops.buffers import Buffer
from htvm_ir.passes.host_loops.emitter import Emitter
from htvm_ir.passes.host_loops.kernel import Kernel
from htvm_ir.targets.word_copies import WORD, WordCopy, positions, word_copy

MOVES = (ConvertLayoutOp, ReshapeOp, ReverseOp, SliceOp, TransposeOp)
"""Ops whose result holds elements of the operand and nothing else."""

GROUP = 8
"""Words moved in one step of a loop."""


def copy_words(kernel: Kernel, output: Buffer, value: SSAValue) -> bool:
    """Write ``value`` in words; False, and nothing is done, if it is no copy of a buffer or not one of words."""
    moves: list[Operation] = []
    source = value
    while isinstance(source.owner, MOVES):
        moves.append(source.owner)
        source = source.owner.input
    buffer = kernel.buffers.get(source)
    if buffer is None or tensor_type(value).element_type != i8:
        return False
    if buffer.layout.xor != output.layout.xor and not any(isinstance(op, ReverseOp) for op in moves):
        return False  # quickly: the bytes of a word change places
    if prod(buffer.layout.stored_shape(buffer.shape)) % WORD:
        return False
    sources = positions(buffer.shape, buffer.layout)
    for op in reversed(moves):
        sources = sources if isinstance(op, ConvertLayoutOp) else evaluate(op, [sources])
    copy = word_copy(sources, output.layout)
    if copy is None:
        return False
    _emit(kernel.emit, copy, buffer, output)
    return True


def _emit(emit: Emitter, copy: WordCopy, source: Buffer, output: Buffer) -> None:
    """Loops over the words of the destination in stored order."""
    words_in, words_out = source.words(emit), output.words(emit)

    def move(starts: Sequence[tuple[Value, ...]], inside: bool) -> None:
        """All loads before the stores: a core waits for what it has just loaded."""
        zero = emit.constant(0, i32)
        found = [emit.load(words_in, (_source(emit, copy, at),), "word") if inside else zero for at in starts]
        for at, word in zip(starts, found, strict=True):
            emit.store(word, words_out, (_linear(emit, at, copy.stored),))

    def row(at: tuple[Value, ...], low: int, high: int, inside: bool) -> None:
        groups = (high - low) // GROUP

        def group(n: Value) -> None:
            first = emit.add(emit.mul(n, GROUP, "i"), low, "i")
            move([(*at, emit.add(first, distance, "i")) for distance in range(GROUP)], inside)

        emit.loop(0, groups, "i", group)
        emit.loop(low + groups * GROUP, high, "i", lambda i: move([(*at, i)], inside))

    def loops(at: tuple[Value, ...], inside: bool) -> None:
        depth = len(at)
        extent, stored = copy.extents[depth] if inside else 0, copy.stored[depth]
        for low, high, within in ((0, extent, inside), (extent, stored, False)):
            if depth == len(copy.stored) - 1:
                row(at, low, high, within)
            else:
                emit.loop(low, high, "i", lambda i, within=within: loops((*at, i), within))

    loops((), True)


def _linear(emit: Emitter, at: Sequence[Value], extents: Sequence[int]) -> Value:
    """The row-major position of an index."""
    position: Value = 0
    for i, extent in zip(at, extents, strict=True):
        position = emit.add(emit.mul(position, extent, "to"), i, "to")
    return position


def _source(emit: Emitter, copy: WordCopy, at: Sequence[Value]) -> Value:
    position: Value = copy.start
    for i, step in zip(at, copy.steps, strict=True):
        distance = emit.mul(i, abs(step), "from")
        position = emit.add(position, distance, "from") if step >= 0 else emit.sub(position, distance, "from")
    return position
