"""What a memory holds besides the arena, and the check that all of it fits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from xdsl.dialects.builtin import Float32Type, IntegerType, MemRefType, ModuleOp, StringAttr
from xdsl.dialects.func import CallOp, FuncOp
from xdsl.dialects.memref import AllocOp, GlobalOp
from xdsl.ir import Attribute

from htvm_ir.dialects.accel import LaunchOp
from htvm_ir.dialects.graph import NAME
from htvm_ir.errors import NoRoomError
from htvm_ir.targets.target import Data, Job, Memory, Target


@dataclass(frozen=True)
class Fixed:
    """Bytes in a memory that no plan changes: constants, each aligned, and the prebuilt tables of jobs."""

    memory: Memory
    constants: int
    tables: int

    @property
    def room(self) -> int:
        """What is left for the arena; less than 0 if even this does not fit."""
        return self.memory.size - self.memory.reserved - self.constants - self.tables

    @staticmethod
    def of(module: ModuleOp, target: Target) -> dict[str, Fixed]:
        """That of every memory, by its name."""
        tables = table_bytes(module, target)
        constants = {
            memory.name: sum(_aligned(bytes_of(op.type), memory) for op in _constants(module, memory))
            for memory in target.memories
        }
        return {m.name: Fixed(m, constants[m.name], tables.get(m.name, 0)) for m in target.memories}


def bytes_of(type_: Attribute) -> int:
    """Bytes a buffer of integers or floats takes."""
    assert isinstance(type_, MemRefType) and isinstance(type_.element_type, IntegerType | Float32Type)
    bits = 32 if isinstance(type_.element_type, Float32Type) else type_.element_type.width.data
    return prod(type_.get_shape()) * bits // 8


def in_memory(type_: Attribute, memory: Memory) -> bool:
    """Whether a buffer lies in a memory."""
    space = type_.memory_space if isinstance(type_, MemRefType) else None
    return isinstance(space, StringAttr) and space.data == memory.name


def table_bytes(module: ModuleOp, target: Target) -> dict[str, int]:
    """Bytes of the prebuilt tables (instruction lists) of all jobs, by memory; addresses do not change their size."""
    totals: dict[str, int] = {}
    for op in module.walk():
        if isinstance(op, LaunchOp):
            job = Job(op.kernel.data, op.fields)
            call = target.engine(op.engine_name).call(job, [0] * len(op.inputs), 0, "0")
            for table in call.arguments:
                if isinstance(table, Data):
                    size = _aligned(4 * len(table.words), target.memory(table.memory))
                    totals[table.memory] = totals.get(table.memory, 0) + size
    return totals


def check_fit(module: ModuleOp, fixed: Fixed, arena: int) -> None:
    """Constants, tables and arena against the size of a memory.

    Raises:
        NoRoomError: says by how many bytes they exceed it and which tensors are the largest.
    """
    memory = fixed.memory
    missing = arena - fixed.room
    if missing <= 0:
        return
    tensors = sorted(_tensors(module, memory), reverse=True)[:3]
    largest = ", ".join(f"{name} ({size} bytes)" for size, name in tensors)
    raise NoRoomError(
        f"the network does not fit {memory.name}: {memory.size - memory.reserved + missing} bytes needed "
        f"({fixed.constants} of constants, {fixed.tables} of job tables, {arena} of buffers), "
        f"{memory.size - memory.reserved} there, {missing} too many; largest: {largest}",
        memory.name,
        missing,
    )


def _tensors(module: ModuleOp, memory: Memory) -> Iterator[tuple[int, str]]:
    """Bytes and name of everything in a memory; what a kernel writes is called like its ONNX tensor."""
    names = {f.sym_name.data: f.attributes.get(NAME) for f in module.ops if isinstance(f, FuncOp)}
    for op in _constants(module, memory):
        name = names.get(op.sym_name.data.removesuffix("_constants"))
        yield bytes_of(op.type), f"weights of '{name.data}'" if isinstance(name, StringAttr) else op.sym_name.data
    for op in module.walk():
        if isinstance(op, AllocOp) and in_memory(op.memref.type, memory):
            calls = (use.operation for use in op.memref.uses if isinstance(use.operation, CallOp))
            writers = (names.get(call.callee.string_value()) for call in calls if call.operands[-1] is op.memref)
            written = next((name.data for name in writers if isinstance(name, StringAttr)), None)
            shape = "x".join(map(str, op.memref.type.get_shape()))
            yield bytes_of(op.memref.type), f"buffer {shape}" if written is None else f"'{written}' {shape}"


def _constants(module: ModuleOp, memory: Memory) -> list[GlobalOp]:
    return [op for op in module.ops if isinstance(op, GlobalOp) and in_memory(op.type, memory)]


def _aligned(size: int, memory: Memory) -> int:
    return -(-size // memory.alignment) * memory.alignment
