"""``plan-memory``: a fixed offset for every buffer, and the check that everything fits its memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, MemRefType, ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp
from xdsl.dialects.memref import AllocOp
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.passes import ModulePass

from htvm_ir.dialects.accel import JobTokenType
from htvm_ir.dialects.attributes import integer
from htvm_ir.dialects.dma import TokenType
from htvm_ir.memory.plan import plan
from htvm_ir.memory.problem import Buffer, Placement
from htvm_ir.passes.bufferize import OUTPUT
from htvm_ir.passes.memory_fit import Fixed, bytes_of, check_fit, in_memory
from htvm_ir.passes.workloads import module_target
from htvm_ir.targets.target import Memory

OFFSET = "accel.offset"
"""Attribute of an allocation: bytes from the start of its memory's arena; of an argument of ``@main``: a place that
the caller may use for it."""

MEMORY = "accel.memory"
"""Attribute of an argument of ``@main`` that has an offset: the memory whose arena it is in."""

ARENA = "accel.arena"
BOUND = "accel.arena_bound"
"""Module attributes: bytes of the arena of each memory, and the least that any plan needs."""


@dataclass(frozen=True)
class PlanMemory(ModulePass):
    """Sets ``accel.offset`` on every allocation with static lifetimes (first to last use in its function).

    Kernels run one after the other, so their local buffers share one arena, behind what ``@main`` has in the same
    memory. The caller's buffers lie outside; where there is no room for them beside the arena, they get a place in
    it. ``seconds`` limits each search.
    """

    name = "plan-memory"
    seconds: float = 2.0

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = module_target(op)
        memories = {memory.name: memory for memory in target.memories}
        fixed = {name: Fixed.of(op, memory, target) for name, memory in memories.items()}
        arena, bound, of_main = (dict.fromkeys(memories, 0) for _ in range(3))
        functions = [f for f in op.ops if isinstance(f, FuncOp) and f.body.blocks]
        host = target.memory(target.host_memory)
        shared = _caller_shares_arena(functions, host, fixed[host.name].room, self.seconds)
        for function in sorted(functions, key=lambda f: f.sym_name.data != "main"):
            is_main = function.sym_name.data == "main"
            for name, memory in memories.items():
                caller = is_main and shared and memory is host
                placement = place(function, memory, self.seconds, of_main[name], caller)
                arena[name] = max(arena[name], of_main[name] + placement.bytes)
                bound[name] = max(bound[name], placement.lower_bound)
            if is_main:
                of_main = dict(arena)
        for name in memories:
            check_fit(op, fixed[name], arena[name])
        op.attributes[ARENA] = DictionaryAttr({n: integer(v) for n, v in arena.items()})
        op.attributes[BOUND] = DictionaryAttr({n: integer(v) for n, v in bound.items()})


def place(function: FuncOp, memory: Memory, seconds: float, base: int, caller: bool = False) -> Placement:
    """Plan the allocations of one function in one memory and write the offsets, from ``base`` on.

    caller: the function's arguments get a place as well.
    """
    buffers = _buffers(function, memory)
    arguments = _arguments(function, memory) if caller else []
    placement = plan([*buffers.values(), *arguments], seconds=seconds)
    for op, buffer in buffers.items():
        op.attributes[OFFSET] = integer(base + placement.offsets[buffer.name])
    if caller:
        offsets = [integer(base + placement.offsets[buffer.name]) for buffer in arguments]
        _set_places(function, memory, offsets)
    return placement


def _buffers(function: FuncOp, memory: Memory) -> dict[AllocOp, Buffer]:
    """The allocations in a memory, alive from first to last use."""
    order = {op: number for number, op in enumerate(function.body.block.ops)}
    buffers: dict[AllocOp, Buffer] = {}
    for op, index in order.items():
        if isinstance(op, AllocOp) and in_memory(op.memref.type, memory):
            uses = _uses(op.memref, function, order)
            name = f"{function.sym_name.data}.{len(buffers)}"
            buffers[op] = _buffer(name, op.memref, memory, min(uses, default=index), max(uses, default=index) + 1)
    return buffers


def _arguments(function: FuncOp, memory: Memory) -> list[Buffer]:
    """The caller's buffers: inputs are there from the start, results stay to the end."""
    order = {op: number for number, op in enumerate(function.body.block.ops)}
    given = function.arg_attrs or [DictionaryAttr({})] * len(function.args)
    buffers: list[Buffer] = []
    for argument, attributes in zip(function.args, given, strict=True):
        uses = _uses(argument, function, order)
        start, end = (min(uses, default=0), len(order)) if OUTPUT in attributes.data else (0, max(uses, default=0) + 1)
        buffers.append(_buffer(f"argument.{argument.index}", argument, memory, start, end))
    return buffers


def _buffer(name: str, value: SSAValue, memory: Memory, start: int, end: int) -> Buffer:
    size = -(-bytes_of(value.type) // memory.alignment) * memory.alignment
    return Buffer(name, size, start, end, memory.alignment)


def _set_places(function: FuncOp, memory: Memory, offsets: Sequence[Attribute]) -> None:
    given = function.arg_attrs or [DictionaryAttr({})] * len(offsets)
    places = [{MEMORY: StringAttr(memory.name), OFFSET: offset} for offset in offsets]
    function.arg_attrs = ArrayAttr([DictionaryAttr({**a.data, **b}) for a, b in zip(given, places, strict=True)])


def _caller_shares_arena(functions: Sequence[FuncOp], memory: Memory, room: int, seconds: float) -> bool:
    """Whether the caller's buffers find no room beside the arena of ``@main``, but do in it."""
    main = next((f for f in functions if f.sym_name.data == "main"), None)
    if main is None:
        return False
    buffers, arguments = list(_buffers(main, memory).values()), _arguments(main, memory)
    beside = plan(buffers, seconds=seconds).bytes + sum(buffer.size for buffer in arguments)
    return beside > room >= plan([*buffers, *arguments], seconds=seconds).bytes


def _uses(value: SSAValue, function: FuncOp, order: Mapping[Operation, int]) -> list[int]:
    """When a buffer is used, as numbers of the ops directly in the function's body."""
    return [order[_ancestor(user, function)] for user in _users(value)]


def _users(value: SSAValue) -> Iterator[Operation]:
    """The ops that use a buffer or a view of it; a token's wait counts, since the buffer is busy until then."""
    for use in value.uses:
        yield use.operation
        for result in use.operation.results:
            if isinstance(result.type, MemRefType | TokenType | JobTokenType):
                yield from _users(result)


def _ancestor(op: Operation, function: FuncOp) -> Operation:
    """The op directly in the function's body that holds ``op``."""
    while op.parent is not function.body.block:
        parent = op.parent_op()
        assert parent is not None
        op = parent
    return op
