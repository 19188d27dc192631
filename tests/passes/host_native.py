"""Generated C on the machine the tests run on: compile it with every C compiler there is, call it."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htvm_ir.targets.diana.soc import RUNTIME

WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wpedantic", "-Wstrict-prototypes", "-Werror")
FLAGS = ("-std=c11", "-ffreestanding", "-O1", "-fPIC", *WARNINGS)


def clang() -> list[str]:
    """The C compiler that comes with the package."""
    return [sys.executable, "-m", "ziglang", "cc"]


def compilers() -> list[list[str]]:
    """The fast ones first; the last one is always there."""
    return [*([found] for found in (shutil.which("gcc"),) if found), clang()]


def write(files: Mapping[str, str], folder: Path) -> list[Path]:
    """Write a package; returns its C sources."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return sorted(folder.glob("src/*.c"))


def run_compiler(compiler: list[str], arguments: list[str]) -> None:
    """Compile; the compiler's words if it refuses."""
    done = subprocess.run([*compiler, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def check_warnings(files: Mapping[str, str], folder: Path) -> None:
    """Every compiler takes the package without a warning."""
    sources = write(files, folder)
    for compiler in compilers():
        for source in sources:
            target = ["-c", str(source), "-o", str(folder / "out.o")]
            run_compiler(compiler, [*FLAGS, "-I", str(folder / "include"), "-I", str(RUNTIME), *target])


def load(files: Mapping[str, str], folder: Path) -> ctypes.CDLL:
    """The package as a library; signed overflow and bad shifts would trap."""
    sources = [str(path) for path in write(files, folder)]
    library = folder / "package.so"
    includes = ["-I", str(folder / "include"), "-I", str(RUNTIME)]
    traps = ["-fsanitize=signed-integer-overflow,shift-exponent,integer-divide-by-zero", "-fsanitize-trap=all"]
    compiler = compilers()[0]
    if "gcc" in compiler[0]:
        traps = ["-fsanitize=signed-integer-overflow,shift-exponent", "-fsanitize-undefined-trap-on-error"]
    run_compiler(compiler, [*FLAGS, *traps, *includes, "-shared", "-o", str(library), *sources])
    return ctypes.CDLL(str(library))


def call(library: ctypes.CDLL, name: str, *arrays: NDArray[Any]) -> int:
    """Call a function that takes pointers to arrays."""
    assert all(array.flags.c_contiguous for array in arrays)
    function = library[name]
    function.restype = ctypes.c_int32
    return function(*(ctypes.c_void_p(array.ctypes.data) for array in arrays))


def guarded(size: int, dtype: np.dtype[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """An array of ``size`` elements between canaries, and the whole."""
    whole = np.full(size + 64, 85, dtype)
    return whole[32 : 32 + size], whole
