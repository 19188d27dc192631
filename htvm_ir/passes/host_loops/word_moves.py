"""Kernels that only move words, also through reshapes, slices and transpositions: one nest of loops over a tensor.

The order inside the words stays. Where it does not, or bytes are clipped, ``output`` may copy rows (``row_copies``).
"""

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
from htvm_ir.targets.layout import WORD
from htvm_ir.targets.word_moves import WordMove, positions, word_move

MOVES = (ConvertLayoutOp, ReshapeOp, ReverseOp, SliceOp, TransposeOp)
"""Ops whose result holds elements of the operand and nothing else."""

TOGETHER = 8
"""Words loaded before the first of them is stored: a core waits for what it has just loaded."""


def move_words(kernel: Kernel, output: Buffer, value: SSAValue) -> bool:
    """Write ``value`` in words; False, and nothing is done, if it is more than a buffer's words in another order."""
    ops: list[Operation] = []
    source = value
    while isinstance(source.owner, MOVES):
        ops.append(source.owner)
        source = source.owner.input
    buffer = kernel.buffers.get(source)
    if buffer is None or tensor_type(value).element_type != i8:
        return False
    if buffer.layout.xor != output.layout.xor and not any(isinstance(op, ReverseOp) for op in ops):
        return False  # quickly: the bytes of a word change places
    if prod(buffer.layout.stored_shape(buffer.shape)) % WORD:
        return False
    sources = positions(buffer.shape, buffer.layout, buffer.strides)
    for op in reversed(ops):
        sources = sources if isinstance(op, ConvertLayoutOp) else evaluate(op, [sources])
    move = word_move(sources, output.layout, output.strides)
    if move is None:
        return False
    _emit(kernel.emit, move, buffer, output)
    return True


def _emit(emit: Emitter, move: WordMove, source: Buffer, output: Buffer) -> None:
    """Loops over the words of the destination in stored order."""
    words_in, words_out = source.words(emit), output.words(emit)

    def source_at(at: tuple[Value, ...]) -> Value:
        return _position(emit, move.start, move.steps, at, "from")

    def together(starts: Sequence[tuple[Value, ...]], inside: bool) -> None:
        zero = emit.constant(0, i32)
        found = [emit.load(words_in, (source_at(at),), "word") if inside else zero for at in starts]
        for at, word in zip(starts, found, strict=True):
            emit.store(word, words_out, (_position(emit, 0, move.places, at, "to"),))

    def row(at: tuple[Value, ...], low: int, high: int, inside: bool) -> None:
        groups = (high - low) // TOGETHER

        def group(n: Value) -> None:
            first = emit.add(emit.mul(n, TOGETHER, "i"), low, "i")
            together([(*at, emit.add(first, distance, "i")) for distance in range(TOGETHER)], inside)

        emit.loop(0, groups, "i", group)
        emit.loop(low + groups * TOGETHER, high, "i", lambda i: together([(*at, i)], inside))

    def loops(at: tuple[Value, ...], inside: bool) -> None:
        depth = len(at)
        extent, stored = move.extents[depth] if inside else 0, move.stored[depth]
        for low, high, within in ((0, extent, inside), (extent, stored, False)):
            if depth == len(move.stored) - 1:
                row(at, low, high, within)
            else:
                emit.loop(low, high, "i", lambda i, within=within: loops((*at, i), within))

    loops((), True)


def _position(emit: Emitter, start: int, steps: Sequence[int], at: Sequence[Value], hint: str) -> Value:
    """A linear function of an index."""
    position: Value = start
    for i, step in zip(at, steps, strict=True):
        distance = emit.mul(i, abs(step), hint)
        position = emit.add(position, distance, hint) if step >= 0 else emit.sub(position, distance, hint)
    return position
