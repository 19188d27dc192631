"""Cross-compiling a program for a virtual SoC.

`ziglang` brings clang, a linker and the compiler's run-time library (64-bit division, memcpy, memset) as a Python
package. Another C compiler may be named; zig links in any case, so that only the compiler proper is needed of it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from htvm_ir.errors import HtvmError
from htvm_ir.sim.program import load_program
from htvm_ir.targets.soc import Soc

_PARALLEL_COMPILERS = 2
_ERROR_LINES = 3
_ZIG = (sys.executable, "-m", "ziglang", "cc")

_COMPILE_FLAGS = (
    "-std=c11",
    "-ffreestanding",
    "-fomit-frame-pointer",
    "-fno-stack-protector",
    "-ffunction-sections",
    "-fdata-sections",
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Werror",
    "-g0",
)
# zig's defaults suit a debug build for a hosted system
_ZIG_FLAGS = ("-fno-sanitize=undefined",)
_RISCV_FLAGS = ("-march=rv32imc", "-mabi=ilp32")
_FULL = re.compile(r"section '([^']*)' will not fit in region '([^']*)': overflowed by (\d+) bytes")
"""What lld says when a memory is full."""

_LINK_FLAGS = ("-nostartfiles", "-static", "-Wl,--gc-sections", "-Wl,--build-id=none", "-g0")


def build(
    soc: Soc,
    sources: Sequence[Path],
    include_dirs: Sequence[Path],
    output: Path,
    *,
    compiler: str | None = None,
    optimization: str = "-O2",
    extra: Sequence[str] = (),
) -> Path:
    """Compile `sources` and the SoC's own, link them with its linker script, and write the ELF file `output`.

    `compiler` is the command of a C compiler for RISC-V other than zig's clang, such as `riscv64-unknown-elf-gcc` or
    `clang`; `extra` are more flags for the compiler. The file depends on nothing but the sources and the compiler.
    Raises `HtvmError` with the first lines the compiler or the linker printed.
    """
    command = _compile_command(soc, compiler)
    includes = [f"-I{directory}" for directory in (*include_dirs, *soc.include_dirs)]
    flags = [*_COMPILE_FLAGS, optimization, *soc.cflags, *includes, *extra]
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=output.parent) as scratch:
        every_source = (*soc.sources, *sources)
        objects = [Path(scratch, f"{index}.o") for index in range(len(every_source))]

        def compile_one(source: Path, object_file: Path) -> None:
            _run([*command, *flags, "-c", str(source), "-o", str(object_file)], source.name)

        with ThreadPoolExecutor(_PARALLEL_COMPILERS) as pool:
            list(pool.map(compile_one, every_source, objects))
        linked = Path(scratch, "program.elf")
        _run([*_link_command(soc), *map(str, objects), "-o", str(linked)], output.name)
        linked.replace(output)
    return output


def section_sizes(elf: Path) -> dict[str, int]:
    """Bytes of target memory that each section of a program takes."""
    return {section.name: section.size for section in load_program(elf).sections}


def text_bytes(elf: Path) -> int:
    """Bytes of executable code in a program, constants not included."""
    return sum(section.size for section in load_program(elf).sections if section.executable)


def constant_bytes(elf: Path) -> int:
    """Bytes of initialised data that a program carries besides its code: weights, instruction lists, tables."""
    return sum(len(segment.data) for segment in load_program(elf).segments) - text_bytes(elf)


def _compile_command(soc: Soc, compiler: str | None) -> list[str]:
    if compiler is None:
        return [*_ZIG, "-target", soc.zig_target, f"-mcpu={soc.zig_cpu}", *_ZIG_FLAGS]
    if not soc.zig_target.startswith("riscv32"):
        raise HtvmError(f"--compiler {compiler}: only zig can compile for {soc.zig_target}")
    target = ["--target=riscv32-unknown-elf"] if "clang" in Path(compiler).name else []
    return [compiler, *target, *_RISCV_FLAGS]


def _link_command(soc: Soc) -> list[str]:
    target = [*_ZIG, "-target", soc.zig_target, f"-mcpu={soc.zig_cpu}"]
    return [*target, *_LINK_FLAGS, f"-Wl,-T,{soc.linker_script}"]


def _run(command: Sequence[str], what: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise HtvmError(f"cannot start the compiler {command[0]}: {error.strerror}") from error
    if done.returncode:
        if full := _FULL.search(done.stderr):
            section, region, missing = full.groups()
            raise HtvmError(f"cannot build {what}: memory '{region}' is {missing} bytes too small for '{section}'")
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise HtvmError(f"cannot build {what}: {' | '.join(lines[:_ERROR_LINES])}")
