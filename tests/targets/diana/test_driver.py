"""The C driver, compiled and run on the virtual SoC, against plain numpy; and programs that must fault.

One binary holds every case. Its main runs the steps that the variable `chosen` names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from htvm_ir.errors import HtvmError
from htvm_ir.sim.machine import Machine
from htvm_ir.sim.toolchain import build
from htvm_ir.targets.diana import compact, packing
from htvm_ir.targets.diana.instruction import DigitalInstruction, program
from htvm_ir.targets.diana.soc import diana_soc
from htvm_ir.targets.layout import Layout
from htvm_ir.targets.workload import Tensor

Int = npt.NDArray[np.int64]
PLANES = Layout((0, 1, 2), (1, 1, 16), xor=3)
VECTOR = Layout((0,), (16,), xor=3)
L1_OUTPUT = 131072
WORKING = "/* the core works on a list */"
WITHOUT_LIST = "/* the core works */"
"""Where the code of a case may prepare the next one; without a list, two of it."""
BOTH = "BOTH"
"""Whether lists of two triggers may be made, which depends on where that is."""


@dataclass
class Case:
    """C statements, the arrays they use, and what they must leave in the array `<name>_out`.

    prepare: what must come before the code, and may while the core works on the case before.
    """

    name: str
    code: str
    arrays: dict[str, bytes]
    layout: Layout
    expected: Int
    prepare: str = ""

    @property
    def stored(self) -> int:
        """Bytes of the result as stored, in the granule of the transfers."""
        return -(-self.layout.stored_size(self.expected.shape) // 32) * 32


def noise(seed: int, *shape: int, limit: int = 128) -> Int:
    """Reproducible integers in [-limit, limit)."""
    return np.random.default_rng(seed).integers(-limit, limit, shape)


def requant(acc: Int, shift: int, relu: bool) -> Int:
    """Shift to the floor and clip."""
    return np.clip(acc >> shift, 0 if relu else -128, 127)


def plain_conv(x: Int, w: Int, b: Int, stride: int, pads: tuple[int, int, int, int]) -> Int:
    """Accumulators of a convolution, tap by tap; pads are top, left, bottom, right."""
    top, left, bottom, right = pads
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right)))
    fy, fx = w.shape[2:]
    oy, ox = (padded.shape[1] - fy) // stride + 1, (padded.shape[2] - fx) // stride + 1
    acc = np.broadcast_to(b[:, None, None], (len(b), oy, ox)).astype(np.int64)
    for i in range(fy):
        for j in range(fx):
            ys, xs = slice(i, i + stride * (oy - 1) + 1, stride), slice(j, j + stride * (ox - 1) + 1, stride)
            acc = acc + np.tensordot(w[:, :, i, j], padded[:, ys, xs], (1, 0))
    return acc


def stored_with_noise(x: Int) -> bytes:
    """`x` in storage order, its padding columns full of noise: the hardware has to hide them."""
    c, h, w = x.shape
    wide = noise(9, c, h, packing.round_up(w, 16))
    wide[:, :, :w] = x
    return PLANES.pack(wide.astype(np.int8)).tobytes()


def words(entry: DigitalInstruction) -> bytes:
    """A prebuilt program."""
    return np.array(program([entry]), "<u4").tobytes()


def same(size: int, kernel: int, stride: int) -> tuple[int, int, int]:
    """Output size and the padding before and after that gives ceil(size / stride) outputs."""
    out = -(-size // stride)
    need = max(0, (out - 1) * stride + kernel - size)
    return out, need // 2, need - need // 2


def conv_case(c: int, k: int, fy: int, fx: int, h: int, w: int, stride: int = 1, relu: bool = False) -> Case:
    """A convolution with padding that keeps the size (stride 1) or halves it (stride 2)."""
    name = f"conv_{c}_{k}_{fy}x{fx}_{h}x{w}_{stride}"
    x, weights, bias = noise(1, c, h, w), noise(3, k, c, fy, fx), noise(2, k, limit=3000)
    shift = 7 + (c * fy * fx).bit_length() // 2
    image = packing.pack_conv(weights.astype(np.int8), bias.astype(np.int32))
    case = Case(name, "", {"in": stored_with_noise(x), "weights": image}, PLANES, x)
    entry = geometry(case, x, weights, bias, stride, relu, shift)
    case.arrays["program"] = words(replace(entry, c=c, k=-(-k // 16)))
    start = f"diana_digital_conv((const uint32_t *){name}_program, {name}_weights, {len(image)})"
    case.code = move_in(case, "in", 0) + start + f";{WITHOUT_LIST} diana_digital_wait();\n" + move_out(case)
    return case


def depthwise_case(c: int, f: int, h: int, w: int, stride: int = 1, relu: bool = False) -> Case:
    """A depthwise convolution with padding like that of `conv_case`; one job a channel."""
    case, weights, bias, entry = depthwise(f"depthwise_{c}_{f}x{f}_{h}x{w}_{stride}", (c, h, w), f, stride, relu)
    case.arrays["weights"] = packing.pack_depthwise(weights, bias)
    planes = f"{c}, {f * f}, {entry.size_channel}, {entry.output_channel_size}"
    start = f"diana_digital_depthwise((const uint32_t *){case.name}_program, {case.name}_weights, {planes})"
    case.code = move_in(case, "in", 0) + start + "; diana_digital_wait();\n" + move_out(case)
    return case


def blocks_case(
    c: int, lanes: int, f: int, h: int, w: int, stride: int = 1, relu: bool = False, rows: bool = False
) -> Case:
    """The same in diagonal blocks; with `rows` into a compact map."""
    name = f"blocks{lanes}_{c}_{f}x{f}_{h}x{w}_{int(rows)}"
    case, weights, bias, entry = depthwise(name, (c, h, w), f, stride, relu)
    case.arrays["weights"] = packing.pack_diagonal(weights, bias, lanes)
    entry, pitch = to_compact(case, entry) if rows else (entry, 0)
    case.arrays["program"] = words(replace(entry, c=lanes))
    entry_words = f"(const uint32_t *){case.name}_program"
    case.prepare = f"diana_digital_prepare_blocks({entry_words}, {c}, {pitch}, {BOTH});\n"
    start = f"diana_digital_blocks({entry_words}, {case.name}_weights, {c}, {pitch});"
    case.code = move_in(case, "in", 0) + start + WORKING + "diana_digital_wait();\n" + move_out(case)
    return case


def rows_case(c: int, k: int, f: int, h: int, w: int, stride: int = 1) -> Case:
    """A convolution into a compact map."""
    case = conv_case(c, k, f, f, h, w, stride)
    case.name = f"rows_{case.name}"
    image = case.arrays["weights"]
    instruction = DigitalInstruction.from_words(np.frombuffer(case.arrays["program"], "<u4").tolist()[:32])
    entry, pitch = to_compact(case, instruction)
    case.arrays["program"] = words(entry)
    case.prepare = f"diana_digital_prepare_rows((const uint32_t *){case.name}_program, {pitch});\n"
    start = f"diana_digital_rows({case.name}_weights, {len(image)});"
    case.code = move_in(case, "in", 0) + start + WORKING + "diana_digital_wait();\n" + move_out(case)
    return case


def to_compact(case: Case, entry: DigitalInstruction) -> tuple[DigitalInstruction, int]:
    """The entry that writes a compact map, and the pitch of its rows; the case expects such a map."""
    result = Tensor((1, *case.expected.shape))
    case.layout = Layout((0, 1, 2), (1, compact.plane_rows(result), 4), xor=3)
    return replace(entry, output_channel_size=compact.plane_bytes(result)), compact.pitch(result)


def depthwise(
    name: str, shape: tuple[int, int, int], f: int, stride: int, relu: bool
) -> tuple[Case, packing.Int8, packing.Int32, DigitalInstruction]:
    """A case without weights and code, its weights and biases, and the job of its first channel."""
    c = shape[0]
    x, weights, bias = noise(1, *shape), noise(3, c, 1, f, f), noise(2, c, limit=3000)
    case = Case(name, "", {"in": stored_with_noise(x)}, PLANES, x)
    diagonal = np.zeros((c, c, f, f), np.int64)
    diagonal[np.arange(c), np.arange(c)] = weights[:, 0]
    entry = geometry(case, x, diagonal, bias, stride, relu, 5)
    case.arrays["program"] = words(entry)
    return case, weights.astype(np.int8), bias.astype(np.int32), entry


def geometry(case: Case, x: Int, w: Int, bias: Int, stride: int, relu: bool, shift: int) -> DigitalInstruction:
    """Set what a case must compute; returns its instruction for one channel and 16 outputs."""
    _, cy, width = x.shape
    fy, fx = w.shape[2:]
    (oy, top, bottom), (ox, left, right) = same(cy, fy, stride), same(width, fx, stride)
    accumulator = plain_conv(x, w, bias, stride, (top, left, bottom, right))
    case.expected = requant(accumulator, shift, relu)
    cx = packing.round_up(width, 16)
    return DigitalInstruction.conv(
        input=0, output=L1_OUTPUT, c=1, k=1, cx=cx, cy=cy, fx=fx, fy=fy, ox=-(-ox // 16), oy=oy,
        shift=shift, relu=relu, stride=stride, pad_left=left, pad_top=top, pad_bottom=bottom,
        hidden_columns=cx - width,
    )  # fmt: skip


def move_in(case: Case, array: str, l1: int) -> str:
    """C: a whole array into L1."""
    size = len(case.arrays[array])
    return f"diana_digital_dma_in({l1}, {case.name}_{array}, {size}, 1, 0, 1, 0); diana_digital_wait();\n"


def move_out(case: Case) -> str:
    """C: the result out of L1."""
    return f"diana_digital_dma_out({case.name}_out, {L1_OUTPUT}, {case.stored}, 1, 0, 1, 0); diana_digital_wait();\n"


def dense_case(c: int, k: int, tiles: tuple[int, ...]) -> Case:
    """A fully connected layer, one trigger a tile of outputs."""
    x, w, b = noise(4, c), noise(5, k, c), noise(6, k, limit=3000)
    blocks = packing.pack_dense(w.astype(np.int8), b.astype(np.int32))
    arrays = {"in": VECTOR.pack(x.astype(np.int8)).tobytes(), "weights": blocks}
    case = Case(f"dense_{c}_{k}", "", arrays, VECTOR, requant(w @ x + b, 9, True))
    case.code = move_in(case, "in", 0)
    first = 0
    for size in tiles:
        entry = DigitalInstruction.dense(input=0, output=L1_OUTPUT + first, c=c // 16, k=size // 16, shift=9, relu=True)
        case.arrays[f"program{first}"] = words(entry)
        each = packing.dense_block_bytes(c) // 16
        case.code += (
            f"diana_digital_dense((const uint32_t *){case.name}_program{first},"
            f" {case.name}_weights + {first * each}, {size * each}); diana_digital_wait();\n"
        )
        first += size
    case.code += move_out(case)
    return case


def add_case() -> Case:
    """An element-wise sum with ReLU."""
    a, b = noise(7, 3, 5, 32), noise(8, 3, 5, 32)
    entry = DigitalInstruction.add(left=0, right=1024, output=L1_OUTPUT, c=30, shift=1, relu=True)
    arrays = {"in": stored_with_noise(a), "other": stored_with_noise(b), "program": words(entry)}
    case = Case("sum", "", arrays, PLANES, requant(a + b, 1, True))
    case.code = (
        move_in(case, "in", 0)
        + move_in(case, "other", 1024)
        + "diana_digital_add((const uint32_t *)sum_program); diana_digital_wait();\n"
        + move_out(case)
    )
    return case


def strided_case() -> Case:
    """Tiles of a tensor through L1: two levels of strides in, pieces that touch, and strides out."""
    x = noise(10, 4, 6, 64)
    expected = np.zeros((4, 6, 64), np.int64)
    expected[:, 1:3, 32:] = x[:, 1:3, 32:]
    expected[:, 4:6] = x[:, 4:6]
    case = Case("strided", "", {"in": stored_with_noise(x)}, PLANES, expected)
    case.code = (
        f"for (int i = 0; i < {case.stored}; i++) strided_out[i] = 0;\n"
        "diana_digital_dma_in(0, strided_in + 96, 32, 2, 64, 4, 384); diana_digital_wait();\n"
        "diana_digital_dma_in(4096, strided_in + 256, 64, 2, 64, 4, 384); diana_digital_wait();\n"
        "diana_digital_dma_out(strided_out + 96, 0, 32, 2, 64, 4, 384); diana_digital_wait();\n"
        "diana_digital_dma_out(strided_out + 256, 4096, 64, 2, 64, 4, 384); diana_digital_wait();\n"
    )
    return case


CASES = [
    conv_case(3, 16, 3, 3, 12, 32),
    conv_case(5, 20, 3, 3, 9, 16, relu=True),
    conv_case(16, 32, 3, 3, 8, 16, stride=2),
    blocks_case(35, 8, 5, 8, 9, stride=2),
    blocks_case(16, 8, 3, 5, 7),
    conv_case(16, 16, 1, 1, 6, 48),
    conv_case(16, 32, 1, 1, 8, 32, stride=2),
    blocks_case(53, 4, 5, 11, 9, stride=2, rows=True),
    rows_case(16, 33, 5, 9, 19, stride=2),
    conv_case(5, 16, 5, 5, 10, 16),
    conv_case(3, 16, 7, 7, 10, 32, stride=2),
    conv_case(3, 20, 3, 5, 7, 25),
    blocks_case(33, 16, 3, 4, 16),
    conv_case(5, 16, 3, 3, 25, 5),
    conv_case(3, 16, 3, 3, 33, 33, stride=2),
    conv_case(16, 16, 5, 3, 17, 17, stride=2, relu=True),
    depthwise_case(8, 3, 6, 32),
    depthwise_case(6, 3, 25, 5, relu=True),
    depthwise_case(16, 3, 8, 16, stride=2),
    blocks_case(6, 8, 3, 5, 7, relu=True),
    blocks_case(21, 4, 3, 6, 20),
    blocks_case(35, 8, 3, 6, 6, relu=True, rows=True),
    rows_case(5, 20, 3, 7, 6),
    blocks_case(20, 16, 3, 4, 7),
    dense_case(64, 16, (16,)),
    dense_case(640, 128, (96, 32)),
    add_case(),
    strided_case(),
]

FAULTS = {
    "missing_wait": (
        "diana_digital_dma_in(0, scratch, 1024, 1, 0, 1, 0); diana_digital_add(fault_program);",
        "TRIGGER while busy",
    ),
    "unwritten": ("diana_digital_add(fault_program);", "never written"),
    "private": ("diana_digital_dma_in(0, private_word, 32, 1, 0, 1, 0);", "outside shared L2"),
    "tainted": (
        "diana_digital_dma_out(scratch, 0, 32, 1, 0, 1, 0); diana_digital_wait();"
        " return ((volatile uint8_t *)scratch)[3];",
        "CPU reads 0x1c0.*unwritten bytes",
    ),
}
FAULT_ENTRY = DigitalInstruction.add(left=0, right=64, output=128, c=4, shift=0)


def all_cases() -> str:
    """The code of all cases; what prepares one comes as early as it may."""
    code, prepared = "", False
    for case, following in zip(CASES, [*CASES[1:], None], strict=True):
        code += "" if prepared else case.prepare.replace(BOTH, "0")
        prepared = following is not None and (WORKING in case.code or WITHOUT_LIST in case.code)
        early = following.prepare if following is not None else ""
        code += case.code.replace(WORKING, early.replace(BOTH, "0")).replace(WITHOUT_LIST, early.replace(BOTH, "1"))
    return code


def test_the_second_list_is_made_early_in_some_cases() -> None:
    found = re.findall(r"prepare_blocks\(.*, (\d+), (\d+), 1\)", all_cases())
    assert [(int(channels) > 16, int(pitch) > 0) for channels, pitch in found] == [(1, 0), (1, 1), (1, 0)]


def source() -> str:
    """The whole test program."""
    arrays = [
        f"uint8_t {case.name}_{name}[{packing.round_up(len(data), 32)}] DIANA_L2_SHARED_BSS;"
        for case in CASES
        for name, data in case.arrays.items()
    ]
    arrays += [f"uint8_t {case.name}_out[{case.stored}] DIANA_L2_SHARED_BSS;" for case in CASES]
    fault_words = ", ".join(f"{word}u" for word in program([FAULT_ENTRY]))
    steps = [all_cases(), *(code for code, _ in FAULTS.values())]
    bodies = "".join(f"case {n}: {code} break;\n" for n, code in enumerate(steps))
    return "\n".join(
        (
            '#include "diana_digital.h"',
            *arrays,
            "uint8_t scratch[1024] DIANA_L2_SHARED_BSS;",
            f"static const uint32_t fault_program[64] DIANA_L2_SHARED_CONST = {{{fault_words}}};",
            "volatile uint32_t chosen DIANA_L2_SHARED_BSS;",
            "uint32_t private_word[8];",
            "int main(void) {",
            f"switch (chosen) {{ {bodies} default: return 1; }}",
            "return 0; }",
        )
    )


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, compiled once with every warning an error."""
    folder = tmp_path_factory.mktemp("driver")
    main = folder / "main.c"
    main.write_text(source())
    return build(diana_soc(), [main], [], folder / "driver.elf")


@pytest.fixture(scope="module")
def machine(elf: Path) -> Machine:
    """The virtual SoC after all cases ran."""
    machine = Machine(diana_soc(), elf)
    machine.reset()
    for case in CASES:
        for name, data in case.arrays.items():
            padded = data + bytes(-len(data) % 32)
            machine.write_symbol(f"{case.name}_{name}", padded)
    assert machine.run().exit_code == 0
    return machine


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_result_equals_plain_numpy(machine: Machine, case: Case):
    stored = np.frombuffer(machine.read_symbol(f"{case.name}_out"), np.int8)
    stored = stored[: case.layout.stored_size(case.expected.shape)]
    np.testing.assert_array_equal(case.layout.unpack(stored, case.expected.shape), case.expected.astype(np.int8))


@pytest.mark.parametrize("name", FAULTS)
def test_a_wrong_program_faults(elf: Path, name: str):
    machine = Machine(diana_soc(), elf)
    machine.reset()
    machine.write_symbol("chosen", (1 + list(FAULTS).index(name)).to_bytes(4, "little"))
    with pytest.raises(HtvmError, match=FAULTS[name][1]):
        machine.run()


@pytest.mark.parametrize(
    ("declaration", "message"),
    [
        ("char big[25000];", "private 0 is full"),
        ("char big[460000] DIANA_L2_SHARED_BSS;", "shared"),
    ],
)
def test_a_program_that_does_not_fit_is_not_linked(tmp_path: Path, declaration: str, message: str):
    main = tmp_path / "main.c"
    main.write_text(f'#include "diana_digital.h"\n{declaration}\nint main(void) {{ return *(volatile char *)big; }}\n')
    with pytest.raises(HtvmError, match=message):
        build(diana_soc(), [main], [], tmp_path / "big.elf")
