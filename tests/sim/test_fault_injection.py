"""Faults planted in a generated program are caught: the virtual SoC faults, or the check against the interpreter fails.

Each test changes one number or line of the C that the compiler wrote for a network with a tiled layer and runs it.
Lengths and counts are in bytes and rows of 16 bytes; DIANA's DMA moves granules of 32 bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from htvm_ir.driver.compile import Compiled, Options, compile_model
from htvm_ir.driver.edges import edges
from htvm_ir.driver.execute import execute
from htvm_ir.driver.samples import Samples
from htvm_ir.sim.bus import SimFault
from htvm_ir.targets.diana.instruction import DigitalInstruction
from htvm_ir.zoo.builder import NetBuilder

KERNELS = "src/tvmgen_default_kernels.c"
WAIT = "  diana_digital_wait();\n"
SHAPE = (4, 6, 6)
PLAN = {"middle": {"y": 2, "k": 16}}
"""The 6 rows of `middle` in tiles of 2: a first, an inner and a last one."""

ROW = 16
GRANULE = 32


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    """conv `first`, conv `middle` (3x3, tiled), their sum, all on the digital engine, planned as the baseline does."""
    net = NetBuilder("faults", SHAPE, scale=1 / 16)
    a = net.conv("first", net.input, 16, (3, 3))
    b = net.conv("middle", a, 16, (3, 3), relu=False)
    pooled = net.global_average("pool", net.add("sum", a, b))
    net.output(net.dense("logits", pooled, 5, relu=False), 1 / 4)
    path = tmp_path_factory.mktemp("faults") / "net.onnx"
    path.write_bytes(net.model().SerializeToString())
    return compile_model(str(path), Options(plan=PLAN, tiler="dory"))


def outcome(network: Compiled, text: str) -> str:
    """`fault: ...`, `check: ...` or `passed` of a program with this text for its kernels."""
    inputs, _ = edges(network.module)
    values = np.random.default_rng(3).integers(-128, 128, (1, *SHAPE)).astype(np.int8)
    assert inputs[0].shape == values.shape
    changed = replace(network, files={**network.files, KERNELS: text})
    try:
        done = execute(changed, "default", Samples((values,), "integer"), check=True, check_layers=True)
    except SimFault as fault:
        return f"fault: {fault}"
    assert done.check is not None
    return f"check: {done.check.first}" if done.check.failed else "passed"


class Program:
    """The generated kernels, to be edited in one place."""

    def __init__(self, network: Compiled):
        self.text = network.files[KERNELS]
        layers = network.report["layers"]
        self.kernels = {layer["name"]: layer["kernel"] for layer in layers if layer["engine"] == "digital"}

    def body(self, layer: str) -> tuple[int, int]:
        """Where the function of a layer stands in the text."""
        found = re.search(
            rf"^int32_t tvmgen_default_{self.kernels[layer]}\(.*?^}}$", self.text, re.DOTALL | re.MULTILINE
        )
        assert found is not None
        return found.span()

    def calls(self, layer: str, function: str) -> list[re.Match[str]]:
        """The calls of a run-time function in a layer, in order."""
        pattern = re.compile(rf"{function}\((.*)\);")
        return list(pattern.finditer(self.text, *self.body(layer)))

    def argument(self, layer: str, function: str, call: int, index: int, change: Callable[[str], str]) -> str:
        """The text with one argument of one call changed."""
        found = self.calls(layer, function)[call]
        arguments = found[1].split(", ")
        arguments[index] = change(arguments[index])
        return self.text[: found.start(1)] + ", ".join(arguments) + self.text[found.end(1) :]

    def job(self, layer: str, call: int, **changes: Callable[[int], int]) -> str:
        """The text with fields of one job's instruction changed."""
        table = self.calls(layer, "diana_digital_conv")[call][1].split(", ")[0]
        start = self.text.index(f"{table}[")
        start = self.text.index("{", start)
        end = self.text.index("}", start)
        words = re.findall(r"0x[0-9A-F]{8}", self.text[start:end])
        names = list(DigitalInstruction.__dataclass_fields__)
        for name, change in changes.items():
            words[names.index(name)] = f"0x{change(int(words[names.index(name)], 16)):08X}"
        return f"{self.text[:start]}{{{', '.join(words)}{self.text[end:]}"

    def without_wait(self, layer: str, function: str, call: int) -> str:
        """The text without the wait that follows a call."""
        end = self.calls(layer, function)[call].end() + 1
        assert self.text.startswith(WAIT, end)
        return self.text[:end] + self.text[end + len(WAIT) :]


def plus(amount: int) -> Callable[[str], str]:
    """A number that is off by an amount, or a pointer `(name + offset)`."""

    def change(argument: str) -> str:
        pointer = re.fullmatch(r"\((\w+) \+ (\d+)\)", argument)
        return f"({pointer[1]} + {int(pointer[2]) + amount})" if pointer else str(int(argument) + amount)

    return change


def add(amount: int) -> Callable[[int], int]:
    return lambda word: word + amount


DMA_IN, DMA_OUT = "diana_digital_dma_in", "diana_digital_dma_out"
POINTER_OUT, POINTER_IN, LENGTH, COUNT, STRIDE = 0, 1, 2, 3, 4
TOP, BOTTOM = 1 << 8, 1 << 12
"""Zero padding of one row, as the instruction encodes it."""

FAULTS: dict[str, tuple[Callable[[Program], str], str]] = {
    "transfer in, a granule short": (
        lambda p: p.argument("first", DMA_IN, 0, LENGTH, plus(-GRANULE)), "fault: .* never written",
    ),
    "pieces in, a byte short": (lambda p: p.argument("middle", DMA_IN, 1, LENGTH, plus(-1)), "check: layer 'middle'"),
    "pieces in, a row long": (lambda p: p.argument("middle", DMA_IN, 1, LENGTH, plus(ROW)), "check: layer 'middle'"),
    "pieces in, one missing": (lambda p: p.argument("middle", DMA_IN, 1, COUNT, plus(-1)), "check: layer 'middle'"),
    "pieces in, wrong stride": (lambda p: p.argument("middle", DMA_IN, 1, STRIDE, plus(ROW)), "check: layer 'middle'"),
    "pieces out, one missing": (lambda p: p.argument("middle", DMA_OUT, 2, COUNT, plus(-1)), "check: layer 'middle'"),
    "pieces out, a granule long": (
        lambda p: p.argument("middle", DMA_OUT, 2, LENGTH, plus(GRANULE)), "fault: .* never written|check: layer",
    ),
    "job reads past its tensor": (
        lambda p: p.job("first", 0, input=add(8 * ROW)), "fault: .* never written",
    ),
    "job reads a map too high": (
        lambda p: p.job("middle", 1, cy=add(1), size_channel=add(ROW)), "fault: |check: layer 'middle'",
    ),
    "job reads more channels": (lambda p: p.job("middle", 1, c=add(16)), "fault: .* the weight stream has"),
    "job reads past L1": (lambda p: p.job("middle", 1, input=add(1 << 18)), "fault: "),
    "job writes a row lower": (lambda p: p.job("middle", 1, output=add(ROW)), "check: layer 'middle'"),
    "halo starts a row late": (lambda p: p.argument("middle", DMA_IN, 1, POINTER_IN, plus(ROW)), "check: layer"),
    "halo starts a row early": (lambda p: p.argument("middle", DMA_IN, 2, POINTER_IN, plus(-ROW)), "check: layer"),
    "halo a row short": (lambda p: p.argument("middle", DMA_IN, 1, LENGTH, plus(-ROW)), "check: layer 'middle'"),
    "inner tile pads at the top": (
        lambda p: p.job("middle", 1, zero_padding=add(TOP)), "check: layer 'middle'",
    ),
    "last tile pads at the top": (
        lambda p: p.job("middle", 2, zero_padding=add(TOP - BOTTOM)), "fault: |check: layer 'middle'",
    ),
    "tile lands a row late": (lambda p: p.argument("middle", DMA_OUT, 1, POINTER_OUT, plus(ROW)), "check: layer"),
    "no wait for a transfer in": (lambda p: p.without_wait("first", DMA_IN, 0), "fault: .* TRIGGER while busy"),
    "no wait for the second operand": (lambda p: p.without_wait("sum", DMA_IN, 1), "fault: .* TRIGGER while busy"),
    "no wait for a convolution": (
        lambda p: p.without_wait("middle", "diana_digital_conv", 1), "fault: .* TRIGGER while busy",
    ),
    "no wait for a sum": (lambda p: p.without_wait("sum", "diana_digital_add", 0), "fault: .* TRIGGER while busy"),
    "no wait for a dense layer": (
        lambda p: p.without_wait("logits", "diana_digital_dense", 0), "fault: .* TRIGGER while busy",
    ),
    "no wait for a transfer out": (lambda p: p.without_wait("first", DMA_OUT, 0), "fault: .* TRIGGER while busy"),
}  # fmt: skip


def test_the_program_as_it_was_written_passes(network: Compiled) -> None:
    program = Program(network)
    assert len(program.calls("middle", "diana_digital_conv")) == 3
    assert outcome(network, program.text) == "passed"


@pytest.mark.parametrize(("plant", "expected"), FAULTS.values(), ids=FAULTS)
def test_fault_is_caught(plant: Callable[[Program], str], expected: str, network: Compiled) -> None:
    program = Program(network)
    text = plant(program)
    assert text != program.text
    found = outcome(network, text)
    assert re.match(expected, found), found
    if found.startswith("fault"):
        assert "diana_digital_" in found, "a fault names the function at fault"
