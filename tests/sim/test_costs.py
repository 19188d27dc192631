"""Decoding of hand-assembled instructions, and the cost of blocks of them."""

from __future__ import annotations

import pytest
from small_soc import PIPELINE_COSTS

from htvm_ir.sim.costs import Instruction, Kind, decode, measure_block

_LW = 0x0042A303  # lw t1, 4(t0)
_USE = 0x00130313  # addi t1, t1, 1
_OTHER = 0x00138393  # addi t2, t2, 1
_BRANCH = 0xFE031CE3  # bnez t1, -8


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        (_LW, Instruction(4, Kind.LOAD, (5,), 6)),
        (0x00028283, Instruction(4, Kind.LOAD, (5,), 5)),  # lb t0, 0(t0)
        (_USE, Instruction(4, Kind.PLAIN, (6,))),
        (0x0062A223, Instruction(4, Kind.PLAIN, (5, 6))),  # sw t1, 4(t0)
        (0x00C58533, Instruction(4, Kind.PLAIN, (11, 12))),  # add a0, a1, a2
        (0x40C58533, Instruction(4, Kind.PLAIN, (11, 12))),  # sub a0, a1, a2
        (0x02C58533, Instruction(4, Kind.MUL, (11, 12))),  # mul a0, a1, a2
        (0x02C59533, Instruction(4, Kind.MULH, (11, 12))),  # mulh a0, a1, a2
        (0x02C5A533, Instruction(4, Kind.MULH, (11, 12))),  # mulhsu a0, a1, a2
        (0x02C5B533, Instruction(4, Kind.MULH, (11, 12))),  # mulhu a0, a1, a2
        (0x02C5C533, Instruction(4, Kind.DIV, (11, 12))),  # div a0, a1, a2
        (0x02C5F533, Instruction(4, Kind.DIV, (11, 12))),  # remu a0, a1, a2
        (_BRANCH, Instruction(4, Kind.BRANCH, (6, 0))),
        (0x008000EF, Instruction(4, Kind.JUMP)),  # jal ra, 8
        (0x00008067, Instruction(4, Kind.JUMP, (1,))),  # jalr zero, 0(ra)
        (0x00001537, Instruction(4, Kind.PLAIN)),  # lui a0, 1
        (0x00001517, Instruction(4, Kind.PLAIN)),  # auipc a0, 1
        (0x30029073, Instruction(4, Kind.PLAIN, (5,))),  # csrw mstatus, t0
        (0x0FF0000F, Instruction(4, Kind.PLAIN)),  # fence
        (0x00000073, Instruction(4, Kind.PLAIN)),  # ecall
        (0x0028, Instruction(2, Kind.PLAIN, (2,))),  # c.addi4spn a0, sp, 8
        (0x41C8, Instruction(2, Kind.LOAD, (11,), 10)),  # c.lw a0, 4(a1)
        (0xC1C8, Instruction(2, Kind.PLAIN, (11, 10))),  # c.sw a0, 4(a1)
        (0x0505, Instruction(2, Kind.PLAIN, (10,))),  # c.addi a0, 1
        (0x2001, Instruction(2, Kind.JUMP)),  # c.jal 0
        (0x4505, Instruction(2, Kind.PLAIN)),  # c.li a0, 1
        (0x6505, Instruction(2, Kind.PLAIN)),  # c.lui a0, 1
        (0x1141, Instruction(2, Kind.PLAIN, (2,))),  # c.addi sp, -16
        (0x7179, Instruction(2, Kind.PLAIN, (2,))),  # c.addi16sp sp, -48
        (0x8105, Instruction(2, Kind.PLAIN, (10,))),  # c.srli a0, 1
        (0x8905, Instruction(2, Kind.PLAIN, (10,))),  # c.andi a0, 1
        (0x8D0D, Instruction(2, Kind.PLAIN, (10, 11))),  # c.sub a0, a1
        (0xA001, Instruction(2, Kind.JUMP)),  # c.j 0
        (0xC501, Instruction(2, Kind.BRANCH, (10,))),  # c.beqz a0, 8
        (0xE501, Instruction(2, Kind.BRANCH, (10,))),  # c.bnez a0, 8
        (0x0506, Instruction(2, Kind.PLAIN, (10,))),  # c.slli a0, 1
        (0x4512, Instruction(2, Kind.LOAD, (2,), 10)),  # c.lwsp a0, 4(sp)
        (0x8082, Instruction(2, Kind.JUMP, (1,))),  # c.jr ra
        (0x9502, Instruction(2, Kind.JUMP, (10,))),  # c.jalr a0
        (0x852E, Instruction(2, Kind.PLAIN, (11,))),  # c.mv a0, a1
        (0x952E, Instruction(2, Kind.PLAIN, (10, 11))),  # c.add a0, a1
        (0x9002, Instruction(2, Kind.PLAIN, (0, 0))),  # c.ebreak
        (0xC22A, Instruction(2, Kind.PLAIN, (2, 10))),  # c.swsp a0, 4(sp)
    ],
)
def test_decode(encoding: int, expected: Instruction):
    assert decode(encoding.to_bytes(4, "little")) == expected


def _code(*words: int) -> bytes:
    return b"".join(word.to_bytes(4, "little") for word in words)


@pytest.mark.parametrize(
    ("words", "cycles"),
    [
        ((_LW, _USE), 3),
        ((_LW, _OTHER, _USE), 3),
        ((_LW, _OTHER), 2),
        ((0x0002A003, 0x00000013), 2),  # a load to register zero delays nothing
        ((_OTHER, 0x008000EF), 1 + 2),
        ((_OTHER, 0x02C58533, 0x02C59533, 0x02C5C533), 1 + 1 + 5 + 35),
    ],
)
def test_block_cycles(words: tuple[int, ...], cycles: int):
    block = measure_block(0x100, _code(*words), 4 * len(words), PIPELINE_COSTS)
    assert (block.instructions, block.cycles, block.taken_extra) == (len(words), cycles, 0)


def test_taken_branch_costs_extra():
    block = measure_block(0x100, _code(_LW, _USE, _BRANCH), 12, PIPELINE_COSTS)
    assert (block.cycles, block.taken_extra, block.end) == (4, 2, 0x10C)
    assert block.starts == {0x100: (0, 0), 0x104: (1, 2), 0x108: (2, 3)}


def test_load_use_across_the_cut_between_two_blocks():
    assert measure_block(0x100, _code(_OTHER, _LW, _USE), 8, PIPELINE_COSTS).cycles == 3
    assert measure_block(0x100, _code(_OTHER, _LW, _OTHER), 8, PIPELINE_COSTS).cycles == 2
    assert measure_block(0x100, _code(_OTHER, _LW), 8, PIPELINE_COSTS).cycles == 2
