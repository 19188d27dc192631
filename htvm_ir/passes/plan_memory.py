"""``plan-memory``: a fixed offset for every buffer, and the check that everything fits its memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from xdsl.context import Context
from xdsl.dialects.builtin import DictionaryAttr, IntegerType, MemRefType, ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp
from xdsl.dialects.memref import AllocOp, GlobalOp
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.passes import ModulePass

from htvm_ir.dialects.accel import JobTokenType, LaunchOp
from htvm_ir.dialects.attributes import integer
from htvm_ir.dialects.dma import TokenType
from htvm_ir.errors import HtvmError
from htvm_ir.memory.plan import plan
from htvm_ir.memory.problem import Buffer, Placement
from htvm_ir.passes.workloads import module_target
from htvm_ir.targets.target import Data, Job, Memory, Target

OFFSET = "accel.offset"
"""Attribute of an allocation: bytes from the start of its memory's arena."""

ARENA = "accel.arena"
BOUND = "accel.arena_bound"
"""Module attributes: bytes of the arena of each memory, and the least that any plan needs."""


@dataclass(frozen=True)
class PlanMemory(ModulePass):
    """Sets ``accel.offset`` on every allocation with static lifetimes (first to last use in its function).

    Kernels run one after the other, so their local buffers share one arena, behind what ``@main`` has in the same
    memory. ``seconds`` limits each search.
    """

    name = "plan-memory"
    seconds: float = 2.0

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = module_target(op)
        memories = {memory.name: memory for memory in target.memories}
        arena, bound, of_main = (dict.fromkeys(memories, 0) for _ in range(3))
        functions = [f for f in op.ops if isinstance(f, FuncOp) and f.body.blocks]
        for function in sorted(functions, key=lambda f: f.sym_name.data != "main"):
            for name, memory in memories.items():
                placement = place(function, memory, self.seconds, of_main[name])
                arena[name] = max(arena[name], of_main[name] + placement.bytes)
                bound[name] = max(bound[name], placement.lower_bound)
            if function.sym_name.data == "main":
                of_main = dict(arena)
        tables = table_bytes(op, target)
        for name, memory in memories.items():
            check_fit(op, memory, arena[name], tables.get(name, 0))
        op.attributes[ARENA] = DictionaryAttr({n: integer(v) for n, v in arena.items()})
        op.attributes[BOUND] = DictionaryAttr({n: integer(v) for n, v in bound.items()})


def bytes_of(type_: Attribute) -> int:
    """Bytes a buffer of integers takes."""
    assert isinstance(type_, MemRefType) and isinstance(type_.element_type, IntegerType)
    return prod(type_.get_shape()) * type_.element_type.width.data // 8


def place(function: FuncOp, memory: Memory, seconds: float, base: int) -> Placement:
    """Plan the allocations of one function in one memory and write the offsets, from ``base`` on."""
    order = {op: number for number, op in enumerate(function.body.block.ops)}
    allocs: dict[str, AllocOp] = {}
    buffers: list[Buffer] = []
    for op, index in order.items():
        if not isinstance(op, AllocOp) or not _in_memory(op.memref.type, memory):
            continue
        name = f"{function.sym_name.data}.{len(allocs)}"
        allocs[name] = op
        uses = [order[_ancestor(user, function)] for user in _users(op.memref)]
        start, end = min(uses, default=index), max(uses, default=index) + 1
        size = -(-bytes_of(op.memref.type) // memory.alignment) * memory.alignment
        buffers.append(Buffer(name, size, start, end, memory.alignment))
    placement = plan(buffers, seconds=seconds)
    for name, op in allocs.items():
        op.attributes[OFFSET] = integer(base + placement.offsets[name])
    return placement


def _in_memory(type_: Attribute, memory: Memory) -> bool:
    return isinstance(type_, MemRefType) and type_.memory_space == StringAttr(memory.name)


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


def table_bytes(module: ModuleOp, target: Target) -> dict[str, int]:
    """Bytes of the prebuilt tables (instruction lists) of all jobs, by memory; addresses do not change their size."""
    totals: dict[str, int] = {}
    for op in module.walk():
        if isinstance(op, LaunchOp):
            job = Job(op.kernel.data, op.fields)
            call = target.engine(op.engine_name).call(job, [0] * len(op.inputs), 0, "")
            for table in call.arguments:
                if isinstance(table, Data):
                    alignment = target.memory(table.memory).alignment
                    size = -(-4 * len(table.words) // alignment) * alignment
                    totals[table.memory] = totals.get(table.memory, 0) + size
    return totals


def check_fit(module: ModuleOp, memory: Memory, arena: int, tables: int) -> None:
    """Constants, tables and arena against the size of a memory.

    Raises:
        HtvmError: says by how many bytes they exceed it and which tensors are the largest.
    """
    globals_ = [op for op in module.walk() if isinstance(op, GlobalOp) and _in_memory(op.type, memory)]
    constants = sum(bytes_of(op.type) for op in globals_)
    needed = arena + constants + tables + memory.reserved
    if needed <= memory.size:
        return
    tensors = [(bytes_of(op.type), op.sym_name.data) for op in globals_]
    for op in module.walk():
        if isinstance(op, AllocOp) and _in_memory(op.memref.type, memory):
            shape = "x".join(map(str, op.memref.type.get_shape()))
            tensors.append((bytes_of(op.memref.type), f"buffer {shape}"))
    largest = ", ".join(f"{name} ({size} bytes)" for size, name in sorted(tensors, reverse=True)[:3])
    raise HtvmError(
        f"the network does not fit {memory.name}: {needed} bytes needed ({constants} of constants, "
        f"{tables} of job tables, {arena} of buffers), {memory.size} there, {needed - memory.size} too many; "
        f"largest: {largest}"
    )
