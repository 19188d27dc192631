"""Archives in Model Library Format: built by who knows the format only, true in their metadata, the same each time."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from interop_builds import APPLICATIONS, SHARED, Net, on_board, small_net, write_net

from htvm_ir.backend.c.interface import Interface
from htvm_ir.driver.mlf import export
from htvm_ir.driver.package import package_files
from htvm_ir.errors import HtvmError
from htvm_ir.sim.machine import Machine
from htvm_ir.targets.diana.soc import diana_soc
from htvm_ir.tools.htvm import main

ZIG = [sys.executable, "-m", "ziglang", "cc"]
DIANA = [*ZIG, "-target", "riscv32-freestanding", "-mcpu=generic_rv32+m+c", "-fno-sanitize=undefined", "-ffreestanding"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_net(tmp_path_factory.mktemp("net") / "net.onnx")


def archive(net: Net) -> bytes:
    return export(package_files(net.compiled, net.facts["module"]), net.compiled.report)


def unpacked(data: bytes) -> dict[str, bytes]:
    """Files by path."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        streams = {member.name.removeprefix("./"): tar.extractfile(member) for member in tar if member.isreg()}
        return {name: stream.read() for name, stream in streams.items() if stream is not None}


def metadata(data: bytes) -> dict[str, Any]:
    """Of the one module."""
    (module,) = json.loads(unpacked(data)["metadata.json"])["modules"].values()
    return module


@pytest.mark.parametrize(
    ("form", "interface"),
    [("structs", Interface()), ("pools", Interface(workspace="pools")), ("packed", Interface("packed"))],
)
def test_a_clean_build_runs(form: str, interface: Interface, model: Path, tmp_path: Path) -> None:
    net = small_net(model, interface)
    (tmp_path / "net.tar").write_bytes(archive(net))
    script = [sys.executable, "-I", str(Path(__file__).with_name("mlf_build.py"))]
    files = [tmp_path / "net.tar", tmp_path / "unpacked", APPLICATIONS / f"{form}.c", tmp_path / "a.elf"]
    linker_script = tmp_path / "unpacked" / "runtime" / "src" / "diana.ld"
    flags = [f"--flag={flag}" for flag in ("-O2", SHARED, "-nostartfiles", f"-Wl,-T,{linker_script}")]
    command = [*script, *map(str, files), *flags, "--", *DIANA]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    machine = Machine(diana_soc(), tmp_path / "a.elf")
    assert on_board(machine, {"input_data": net.sample}, {"output_data": net.expected}) == 0


@pytest.mark.parametrize("interface", [Interface(), Interface("packed", "backend")])
def test_sources_need_no_headers(interface: Interface, model: Path, tmp_path: Path) -> None:
    """Arduino's template copies the C files alone into one folder."""
    for name, data in unpacked(archive(small_net(model, interface, engines=False))).items():
        if re.fullmatch(r"codegen/host/src/[^/]*\.c", name):
            path = tmp_path / Path(name).name
            path.write_bytes(data)
            subprocess.run([*ZIG, "-Wall", "-Wextra", "-Werror", "-c", str(path), "-o", f"{path}.o"], check=True)
    assert sorted(path.name for path in tmp_path.glob("*.c")) == ["default_lib0.c", "default_lib1.c"]


@pytest.mark.parametrize("interface", [Interface(), Interface("packed", "backend"), Interface(workspace="pools")])
def test_sizes_are_those_of_the_compiled_code(interface: Interface, model: Path, tmp_path: Path) -> None:
    net = small_net(model, interface)
    data = archive(net)
    (main_memory,) = metadata(data)["memory"]["functions"]["main"]
    objects = compiled_objects(unpacked(data), tmp_path)
    arenas = sum(size for name, size in objects.items() if name.startswith("arena"))
    constants = sum(size for name, size in objects.items() if not name.startswith("arena"))
    assert main_memory["constants_size_bytes"] == constants > 0
    planned = net.compiled.report["arena"]["L2"]["bytes"]
    own = interface.workspace == "static"
    assert arenas == (planned if own else 0)
    assert main_memory["workspace_size_bytes"] == planned + (0 if own else 32)
    header = unpacked(data)["codegen/host/include/tvmgen_default.h"].decode()
    assert f"#define TVMGEN_DEFAULT_WORKSPACE_SIZE {main_memory['workspace_size_bytes']}\n" in header
    assert main_memory["io_size_bytes"] == net.sample.size + net.expected.size
    assert main_memory["inputs"] == {"input": {"size": 144, "dtype": "int8"}}
    assert main_memory["outputs"] == {"output": {"size": 5, "dtype": "int8"}}


def compiled_objects(files: dict[str, bytes], folder: Path) -> dict[str, int]:
    """Bytes of each variable and constant of the model's sources, compiled for DIANA."""
    sizes: dict[str, int] = {}
    for name, data in files.items():
        if not re.fullmatch(r"codegen/host/src/[^/]*\.c", name):
            continue
        path = folder / Path(name).name
        path.write_bytes(data)
        subprocess.run([*DIANA, "-O1", "-c", str(path), "-o", f"{path}.o"], check=True)
        with Path(f"{path}.o").open("rb") as stream:
            symbols = ELFFile(stream).get_section_by_name(".symtab")
            assert isinstance(symbols, SymbolTableSection)
            found = [s for s in symbols.iter_symbols() if s["st_info"]["type"] == "STT_OBJECT"]
            sizes |= {f"{s.name}": int(s["st_size"]) for s in found}
    return sizes


def test_the_operators_are_the_functions(model: Path) -> None:
    data = archive(small_net(model, Interface()))
    names = [f["function_name"] for f in metadata(data)["memory"]["functions"]["operator_functions"]]
    source = unpacked(data)["codegen/host/src/default_lib1.c"].decode()
    assert names == re.findall(r"^int32_t (\w+)\([^)]*\) \{$", source, re.MULTILINE)


def test_target_and_dependency(model: Path) -> None:
    with_engines, without = (metadata(archive(small_net(model, Interface(), engines))) for engines in (True, False))
    assert with_engines["target"] == ["c", "htvm -device=diana"]
    assert without["target"] == ["c"]
    assert with_engines["htvm"]["model"] == "net.onnx", "no paths of the machine that compiled"


def test_archives_differ_in_their_date_only(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = small_net(model, Interface())
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    first = archive(net)
    assert first == archive(net)
    assert metadata(first)["export_datetime"] == "2023-11-14 22:13:20Z"
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    today = unpacked(archive(net))
    date = re.compile(rb'"export_datetime": "[^"]*"')
    assert {n: date.sub(b"", d) for n, d in today.items()} == {n: date.sub(b"", d) for n, d in unpacked(first).items()}
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(HtvmError, match="SOURCE_DATE_EPOCH=yesterday is not a number of seconds"):
        archive(net)


def test_members_are_those_of_tvm(model: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive(small_net(model, Interface()))), mode="r:") as tar:
        members = tar.getmembers()
    names = [member.name for member in members]
    assert names == sorted(names) and names[:2] == [".", "./codegen"]
    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members} == {(0, 0, "root", "root", 0)}
    assert {m.mode for m in members if m.isdir()} == {0o755} and {m.mode for m in members if m.isreg()} == {0o644}


def test_command(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "net.tar"
    assert main(["compile", str(model), "--format=mlf", "--module-name", "kws", "-o", str(out)]) == 0
    assert f"written to {out}" in capsys.readouterr().out
    assert "codegen/host/include/tvmgen_kws.h" in unpacked(out.read_bytes())


def test_command_refuses_a_place_where_nothing_can_be(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compile", str(model), "--format=mlf", "-o", str(tmp_path)]) == 1
    assert "cannot write the archive (it is a folder)" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["compile", str(model), "--format=mlf"])
    assert "give it with -o X.tar" in capsys.readouterr().err
