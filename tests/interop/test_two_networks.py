"""Two networks in one image: their names do not meet, and both run."""

from __future__ import annotations

from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from interop_builds import APPLICATIONS, Net, board, native, natively, on_board, small_net, write_net

from htvm_ir.backend.c.interface import Interface


def nets(folder: Path, engines: bool) -> tuple[Net, Net]:
    one = write_net(folder / "one.onnx")
    two = write_net(folder / "two.onnx", "second", channels=32)
    return small_net(one, Interface(), engines, "first"), small_net(two, Interface(), engines, "second")


def check(run: object, target: object, one: Net, two: Net) -> None:
    assert callable(run)
    inputs = {"input_data": one.sample, "input2_data": two.sample}
    outputs = {"output_data": one.expected, "output2_data": two.expected, "again_data": one.expected}
    assert run(target, inputs, outputs) == 0


def test_on_the_virtual_soc(tmp_path: Path) -> None:
    one, two = nets(tmp_path, engines=True)
    packages = [one.write(tmp_path / "one"), two.write(tmp_path / "two")]
    check(on_board, board(APPLICATIONS / "two.c", packages, tmp_path), one, two)


def test_on_this_machine(tmp_path: Path) -> None:
    one, two = nets(tmp_path, engines=False)
    packages = [one.write(tmp_path / "one"), two.write(tmp_path / "two")]
    check(natively, native(APPLICATIONS / "two.c", packages, tmp_path), one, two)


@pytest.mark.parametrize("interface", [Interface(), Interface("packed", "backend"), Interface("c", "pools", True)])
def test_external_names_are_the_modules_own(interface: Interface, tmp_path: Path) -> None:
    net = small_net(write_net(tmp_path / "net.onnx"), interface, module="kws")
    names = defined(native_object(net.write(tmp_path / "kws")))
    assert "tvmgen_kws_run" in names
    assert all(name.startswith("tvmgen_kws_") for name in names)
    runtime = {name for name in net.compiled.files if "/tvmgen_kws" not in name}
    assert runtime <= {"include/htvm_packed.h"}, "files of all modules are the same"


def native_object(package: Path) -> list[Path]:
    """The network's own files, compiled."""
    import subprocess
    import sys

    objects: list[Path] = []
    for source in package.glob("src/tvmgen_*.c"):
        objects.append(source.with_suffix(".o"))
        command = [sys.executable, "-m", "ziglang", "cc", "-target", "riscv32-freestanding", "-c", str(source)]
        subprocess.run([*command, f"-I{package / 'include'}", "-o", str(objects[-1])], check=True)
    return objects


def defined(objects: list[Path]) -> set[str]:
    """Global symbols that object files define."""
    names: set[str] = set()
    for path in objects:
        with path.open("rb") as stream:
            symbols = ELFFile(stream).get_section_by_name(".symtab")
            assert symbols is not None
            names |= {
                str(symbol.name)
                for symbol in symbols.iter_symbols()  # pyright: ignore[reportAttributeAccessIssue]
                if symbol["st_info"]["bind"] == "STB_GLOBAL" and symbol["st_shndx"] != "SHN_UNDEF"
            }
    return names
