"""A linked program: what an ELF file says about loading it and about its symbols."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from htvm_ir.errors import HtvmError


@dataclass(frozen=True)
class Segment:
    """`data` to load at `address`, followed by zeros up to `size` bytes."""

    address: int
    data: bytes
    size: int
    executable: bool


@dataclass(frozen=True)
class Section:
    """A section that takes up memory on the target."""

    name: str
    size: int
    executable: bool


@dataclass(frozen=True)
class Program:
    """Entry point, segments, allocated sections, and symbols by name as (address, size)."""

    entry: int
    segments: tuple[Segment, ...]
    sections: tuple[Section, ...]
    symbols: dict[str, tuple[int, int]]
    functions: dict[str, tuple[int, int]]

    def locate(self, address: int) -> str:
        """`function+0xoffset` for an address in a function, else the address alone."""
        index = bisect_right(self._by_address, (address, 0xFFFFFFFF, "")) - 1
        if index >= 0:
            start, size, name = self._by_address[index]
            if start <= address < start + max(size, 1):
                return f"{name}+{address - start:#x}"
        return f"{address:#010x}"

    @cached_property
    def _by_address(self) -> list[tuple[int, int, str]]:
        return sorted((start, size, name) for name, (start, size) in self.functions.items())


def load_program(path: Path) -> Program:
    """Read an ELF file. Raises `HtvmError` if it is missing or is not an ELF file for 32-bit RISC-V."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        with path.open("rb") as stream:
            elf = ELFFile(stream)
            if elf["e_machine"] != "EM_RISCV" or elf.elfclass != 32:
                raise HtvmError(f"{path} is not a program for 32-bit RISC-V; build it for riscv32")
            return _read_program(elf)
    except (OSError, ELFError) as error:
        raise HtvmError(f"cannot load {path}: {error}") from error
