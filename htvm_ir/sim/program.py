"""A linked program: what an ELF file says about loading it and about its symbols."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from htvm_ir.errors import HtvmError

if TYPE_CHECKING:
    from elftools.elf.elffile import ELFFile

_MAPPING_SYMBOLS = (".L", "$")
"""How the names of symbols begin that assemblers make for themselves."""


@dataclass(frozen=True)
class Segment:
    """`data` to load at `load_address`; while the program runs it owns `size` bytes at `address`."""

    load_address: int
    address: int
    data: bytes
    size: int
    executable: bool


@dataclass(frozen=True)
class Section:
    """A section that takes up `size` bytes of the target's memory."""

    name: str
    size: int
    executable: bool


@dataclass(frozen=True)
class Program:
    """Entry point, segments, allocated sections, and symbols by name as (address, size in bytes)."""

    entry: int
    segments: tuple[Segment, ...]
    sections: tuple[Section, ...]
    symbols: dict[str, tuple[int, int]]

    def locate(self, address: int) -> str:
        """`symbol+0xoffset` for an address in executable code, else just the address."""
        index = bisect_right(self._code_symbols, (address, 1 << 32, "")) - 1
        if index >= 0:
            start, size, name = self._code_symbols[index]
            if self._is_code(address) and (size == 0 or address < start + size):
                return f"{name}+{address - start:#x}"
        return f"{address:#010x}"

    def _is_code(self, address: int) -> bool:
        return any(
            segment.executable and segment.address <= address < segment.address + segment.size
            for segment in self.segments
        )

    @cached_property
    def _code_symbols(self) -> list[tuple[int, int, str]]:
        symbols = self.symbols.items()
        return sorted((start, size, name) for name, (start, size) in symbols if self._is_code(start))


def load_program(path: Path) -> Program:
    """Read an ELF file; raises `HtvmError` if it is missing or not a program for 32-bit RISC-V."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        with path.open("rb") as stream:
            elf = ELFFile(stream)
            if elf["e_machine"] != "EM_RISCV" or elf.elfclass != 32:
                raise HtvmError(f"{path} is not a program for 32-bit RISC-V: build it for riscv32")
            return Program(
                int(elf["e_entry"]),
                tuple(_segments(elf)),
                tuple(_sections(elf)),
                _symbols(elf),
            )
    except (OSError, ELFError) as error:
        raise HtvmError(f"cannot load the program {path}: {error}") from error


def _segments(elf: ELFFile) -> list[Segment]:
    from elftools.elf.constants import P_FLAGS

    return [
        Segment(
            int(segment["p_paddr"]),
            int(segment["p_vaddr"]),
            bytes(segment.data()),
            int(segment["p_memsz"]),
            bool(segment["p_flags"] & P_FLAGS.PF_X),
        )
        for segment in elf.iter_segments("PT_LOAD")
        if segment["p_memsz"]
    ]


def _sections(elf: ELFFile) -> list[Section]:
    from elftools.elf.constants import SH_FLAGS

    return [
        Section(
            str(section.name),
            int(section["sh_size"]),
            bool(section["sh_flags"] & SH_FLAGS.SHF_EXECINSTR),
        )
        for section in elf.iter_sections()
        if section["sh_flags"] & SH_FLAGS.SHF_ALLOC and section["sh_size"]
    ]


def _symbols(elf: ELFFile) -> dict[str, tuple[int, int]]:
    """Symbols by name; where a local and a global one share a name, the global one."""
    from elftools.elf.sections import SymbolTableSection

    table = elf.get_section_by_name(".symtab")
    symbols: dict[str, tuple[int, int]] = {}
    if not isinstance(table, SymbolTableSection):
        return symbols
    for symbol in table.iter_symbols():  # the format puts local symbols first
        is_file_or_section = symbol["st_info"]["type"] in ("STT_FILE", "STT_SECTION")
        if symbol.name and not is_file_or_section and not symbol.name.startswith(_MAPPING_SYMBOLS):
            symbols[str(symbol.name)] = (int(symbol["st_value"]), int(symbol["st_size"]))
    return symbols
