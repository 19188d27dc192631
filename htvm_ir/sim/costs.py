"""What a basic block of RV32IMC code costs.

Only as much of an instruction is decoded as its cost depends on: its length, its class, the registers it reads and,
for a load, the register it writes. Encodings are those of the RISC-V unprivileged specification (RV32I, M, C).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from htvm_ir.targets.soc import CoreCosts

_STACK_POINTER = 2


class Kind(Enum):
    """The classes of instructions that differ in cost."""

    PLAIN = auto()
    LOAD = auto()
    BRANCH = auto()
    JUMP = auto()
    MUL = auto()
    MULH = auto()
    DIV = auto()


@dataclass(frozen=True, slots=True)
class Instruction:
    """A decoded instruction: `size` in bytes, the registers it `reads`, and the register a load writes (else 0)."""

    size: int
    kind: Kind
    reads: tuple[int, ...] = ()
    loads: int = 0


@dataclass(frozen=True, slots=True)
class Block:
    """The cost of a basic block that ends before address `end`.

    `cycles` holds when control falls through to `end`; `taken_extra` comes on top when it goes elsewhere. `starts` maps
    the address of each instruction to how many instructions and cycles of the block come before it.
    """

    end: int
    instructions: int
    cycles: int
    taken_extra: int
    starts: dict[int, tuple[int, int]]


def decode(code: bytes) -> Instruction:
    """The instruction at the start of `code` (at least 2 bytes, 4 if it is not a compressed one).

    Unknown encodings count as plain: the core faults when it executes one.
    """
    half = int.from_bytes(code[:2], "little")
    if half & 3 == 3:
        return _decode32(int.from_bytes(code[:4], "little"))
    return (_decode_quadrant0, _decode_quadrant1, _decode_quadrant2)[half & 3](half)


def _decode32(word: int) -> Instruction:
    rd, rs1, rs2 = word >> 7 & 31, word >> 15 & 31, word >> 20 & 31
    match word & 0x7F:
        case 0x03:
            return Instruction(4, Kind.LOAD, (rs1,), rd)
        case 0x13:
            return Instruction(4, Kind.PLAIN, (rs1,))
        case 0x23:
            return Instruction(4, Kind.PLAIN, (rs1, rs2))
        case 0x33:
            kind = _multiply_kind(word >> 12 & 7) if word >> 25 == 1 else Kind.PLAIN
            return Instruction(4, kind, (rs1, rs2))
        case 0x63:
            return Instruction(4, Kind.BRANCH, (rs1, rs2))
        case 0x67:
            return Instruction(4, Kind.JUMP, (rs1,))
        case 0x6F:
            return Instruction(4, Kind.JUMP)
        case 0x73 if word >> 12 & 7 in (1, 2, 3):
            return Instruction(4, Kind.PLAIN, (rs1,))
        case _:
            return Instruction(4, Kind.PLAIN)


def _multiply_kind(funct3: int) -> Kind:
    if funct3 == 0:
        return Kind.MUL
    return Kind.MULH if funct3 < 4 else Kind.DIV


def _decode_quadrant0(half: int) -> Instruction:
    low, high = 8 + (half >> 2 & 7), 8 + (half >> 7 & 7)
    match half >> 13:
        case 0b000:
            return Instruction(2, Kind.PLAIN, (_STACK_POINTER,))
        case 0b010:
            return Instruction(2, Kind.LOAD, (high,), low)
        case 0b110:
            return Instruction(2, Kind.PLAIN, (high, low))
        case _:
            return Instruction(2, Kind.PLAIN)


def _decode_quadrant1(half: int) -> Instruction:
    rd, low, high = half >> 7 & 31, 8 + (half >> 2 & 7), 8 + (half >> 7 & 7)
    match half >> 13:
        case 0b000:
            return Instruction(2, Kind.PLAIN, (rd,))
        case 0b011 if rd == _STACK_POINTER:
            return Instruction(2, Kind.PLAIN, (rd,))
        case 0b100:
            is_register_form = half >> 10 & 3 == 3
            return Instruction(2, Kind.PLAIN, (high, low) if is_register_form else (high,))
        case 0b001 | 0b101:
            return Instruction(2, Kind.JUMP)
        case 0b110 | 0b111:
            return Instruction(2, Kind.BRANCH, (high,))
        case _:
            return Instruction(2, Kind.PLAIN)


def _decode_quadrant2(half: int) -> Instruction:
    rd, rs2 = half >> 7 & 31, half >> 2 & 31
    match half >> 13:
        case 0b000:
            return Instruction(2, Kind.PLAIN, (rd,))
        case 0b010:
            return Instruction(2, Kind.LOAD, (_STACK_POINTER,), rd)
        case 0b100 if rs2 == 0 and rd != 0:
            return Instruction(2, Kind.JUMP, (rd,))
        case 0b100:
            is_add = half >> 12 & 1
            return Instruction(2, Kind.PLAIN, (rd, rs2) if is_add else (rs2,))
        case 0b110:
            return Instruction(2, Kind.PLAIN, (_STACK_POINTER, rs2))
        case _:
            return Instruction(2, Kind.PLAIN)


def measure_block(address: int, code: bytes, size: int, costs: CoreCosts) -> Block:
    """The cost of the `size` bytes of code at `address`.

    `code` should go on past the block for one instruction (4 bytes): where the end of a page cuts a block in two, the
    last load of the first part may be used by the first instruction of the second.
    """
    starts: dict[int, tuple[int, int]] = {}
    cycles, taken_extra, loaded = 0, 0, 0
    for offset, instruction in _instructions(code):
        if loaded and loaded in instruction.reads:
            cycles += costs.load_use
        if offset >= size:
            break
        starts[address + offset] = (len(starts), cycles)
        cycles += _cycles(instruction.kind, costs)
        loaded = instruction.loads
        taken_extra = costs.taken_branch - costs.base if instruction.kind is Kind.BRANCH else 0
    return Block(address + size, len(starts), cycles, taken_extra, starts)


def _instructions(code: bytes) -> Iterator[tuple[int, Instruction]]:
    offset = 0
    while offset + 2 <= len(code):
        instruction = decode(code[offset : offset + 4])
        yield offset, instruction
        offset += instruction.size


def _cycles(kind: Kind, costs: CoreCosts) -> int:
    match kind:
        case Kind.JUMP:
            return costs.jump
        case Kind.MUL:
            return costs.mul
        case Kind.MULH:
            return costs.mulh
        case Kind.DIV:
            return costs.div
        case Kind.PLAIN | Kind.LOAD | Kind.BRANCH:
            return costs.base
