"""``plan-memory``: a fixed offset for every buffer, and the check that everything fits its memory."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, MemRefType, ModuleOp, StringAttr, UnitAttr
from xdsl.dialects.func import CallOp, FuncOp
from xdsl.dialects.memref import AllocOp
from xdsl.ir import Attribute, SSAValue
from xdsl.passes import ModulePass

from htvm_ir.dialects.attributes import integer
from htvm_ir.errors import HtvmError
from htvm_ir.memory.plan import plan
from htvm_ir.memory.problem import Buffer, Placement
from htvm_ir.passes import in_place
from htvm_ir.passes.bufferize import OUTPUT
from htvm_ir.passes.lifetimes import MAIN, Span, Timeline
from htvm_ir.passes.memory_fit import Fixed, bytes_of, check_fit, in_memory
from htvm_ir.passes.workloads import module_target
from htvm_ir.targets.target import Memory

OFFSET = "accel.offset"
"""Attribute of an allocation: bytes from the start of its memory's arena; of an argument of ``@main``: a place that
the caller may use for it; of a kernel's argument: where it always is, in a memory that the CPU cannot address."""

MEMORY = "accel.memory"
"""Attribute of an argument of ``@main`` that has an offset: the memory whose arena it is in."""

ARENA = "accel.arena"
BOUND = "accel.arena_bound"
"""Module attributes: bytes of the arena of each memory, and the least that any plan needs."""


Buffers = dict[AllocOp, Buffer]
"""What each allocation is for the planner; several may be the same."""


@dataclass(frozen=True)
class PlanMemory(ModulePass):
    """Sets ``accel.offset`` on every allocation, alive from its first to its last use, one plan for each memory.

    What a kernel allocates is alive while ``@main`` calls it; an argument of a kernel in a memory that the CPU cannot
    address gets the offset of what ``@main`` passes. The caller's buffers lie outside; where there is no room for them
    beside the arena, they get a place in it. ``seconds`` limits each search.
    """

    name = "plan-memory"
    seconds: float = 2.0

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = module_target(op)
        timeline = Timeline([f for f in op.ops if isinstance(f, FuncOp) and f.body.blocks])
        arena, bound, fixed_in = dict[str, int](), dict[str, int](), Fixed.of(op, target)
        for memory in target.memories:
            fixed = fixed_in[memory.name]
            is_callers = memory.name == target.host_memory
            placement = place(timeline, memory, self.seconds, fixed.room if is_callers else None)
            arena[memory.name] = placement.bytes
            bound[memory.name] = placement.bytes if placement.proven_minimal else placement.lower_bound
            check_fit(op, fixed, placement.bytes)
        _pass_offsets(timeline, {m.name for m in target.memories if not m.host})
        op.attributes[ARENA] = DictionaryAttr({n: integer(v) for n, v in arena.items()})
        op.attributes[BOUND] = DictionaryAttr({n: integer(v) for n, v in bound.items()})


def place(timeline: Timeline, memory: Memory, seconds: float, room: int | None = None) -> Placement:
    """Plan all allocations in one memory and write their offsets; a result goes over a dying operand if it saves bytes.

    room: bytes for the arena and, beside or in it, the buffers of the caller of ``@main``; None = they lie elsewhere.
    """
    apart = _buffers(timeline, memory)
    shared = list(in_place.candidates(timeline, apart))
    ways = [apart, in_place.merged(apart, shared)] if shared else [apart]
    buffers, placement = _smallest(ways, (), seconds)
    main = next((f for f in timeline.functions if f.sym_name.data == MAIN), None)
    if main is not None and room is not None:
        arguments = _arguments(main, timeline, memory)
        if placement.bytes + sum(b.size for b in arguments) > room:
            together = _smallest(ways, arguments, seconds)
            if together[1].bytes <= room:
                buffers, placement = together
                _set_places(main, memory, [integer(placement.offsets[buffer.name]) for buffer in arguments])
    for op, buffer in buffers.items():
        op.attributes[OFFSET] = integer(placement.offsets[buffer.name])
    for pair in shared if buffers is not apart else ():
        pair.kernel.attributes[in_place.OVERWRITES] = UnitAttr()
    return placement


def _smallest(ways: Sequence[Buffers], arguments: Sequence[Buffer], seconds: float) -> tuple[Buffers, Placement]:
    """The way of least bytes to place the allocations, some of which may be one buffer; the first among equals."""
    plans = [plan([*{b.name: b for b in way.values()}.values(), *arguments], seconds=seconds) for way in ways]
    return min(zip(ways, plans, strict=True), key=lambda found: found[1].bytes)


def _buffers(timeline: Timeline, memory: Memory) -> Buffers:
    """The allocations in a memory."""
    buffers: Buffers = {}
    for function in timeline.functions:
        for op in function.body.block.ops:
            if isinstance(op, AllocOp) and in_memory(op.memref.type, memory):
                span = timeline.span(op.memref, inside=not memory.host) or timeline.at(op)
                buffers[op] = _buffer(f"{function.sym_name.data}.{len(buffers)}", op.memref, memory, span)
    return buffers


def _arguments(main: FuncOp, timeline: Timeline, memory: Memory) -> list[Buffer]:
    """The caller's buffers: inputs are there from the start, results stay to the end."""
    given = main.arg_attrs or [DictionaryAttr({})] * len(main.args)
    buffers: list[Buffer] = []
    for argument, attributes in zip(main.args, given, strict=True):
        start, end = timeline.span(argument) or (0, 1)
        span = (start, timeline.end) if OUTPUT in attributes.data else (0, end)
        buffers.append(_buffer(f"argument.{argument.index}", argument, memory, span))
    return buffers


def _buffer(name: str, value: SSAValue, memory: Memory, span: Span) -> Buffer:
    size = -(-bytes_of(value.type) // memory.alignment) * memory.alignment
    return Buffer(name, size, *span, memory.alignment)


def _set_places(function: FuncOp, memory: Memory, offsets: Sequence[Attribute]) -> None:
    given = function.arg_attrs or [DictionaryAttr({})] * len(offsets)
    places = [{MEMORY: StringAttr(memory.name), OFFSET: offset} for offset in offsets]
    function.arg_attrs = ArrayAttr([DictionaryAttr({**a.data, **b}) for a, b in zip(given, places, strict=True)])


def _pass_offsets(timeline: Timeline, local: Set[str]) -> None:
    """Tell the kernels where the buffers lie that ``@main`` passes them in a local memory.

    Raises:
        HtvmError: a kernel is called with buffers in different places.
    """
    kernels = {f.sym_name.data: f for f in timeline.functions}
    passed: dict[tuple[FuncOp, int], Attribute] = {}
    for call in [op for f in timeline.functions for op in f.body.block.ops if isinstance(op, CallOp)]:
        kernel = kernels.get(call.callee.string_value())
        for index, value in enumerate(call.arguments if kernel is not None else ()):
            space = value.type.memory_space if isinstance(value.type, MemRefType) else None
            if kernel is None or not isinstance(value.owner, AllocOp) or not isinstance(space, StringAttr):
                continue
            if space.data not in local:
                continue
            offset = value.owner.attributes[OFFSET]
            if passed.setdefault((kernel, index), offset) != offset:
                raise HtvmError(f"calls of '{kernel.sym_name.data}' pass buffers at two places in {space.data}")
    for (kernel, index), offset in passed.items():
        given = list(kernel.arg_attrs or [DictionaryAttr({})] * len(kernel.args))
        given[index] = DictionaryAttr({**given[index].data, OFFSET: offset})
        kernel.arg_attrs = ArrayAttr(given)
