"""What an installation of the package promises: names, files, dialects in xDSL's tools, a portable tree."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import import_module
from importlib.metadata import distribution, version
from pathlib import Path
from pkgutil import iter_modules

import pytest
from xdsl.passes import ModulePass

import htvm_ir.passes
from htvm_ir.universe import HTVM_UNIVERSE

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BIN = Path(sys.executable).parent

TRANSFER = """\
func.func @f(%a: memref<4xi8, "L2">, %b: memref<4xi8, "L1">) {
  %t = dma.start @down %a to %b : memref<4xi8, "L2"> to memref<4xi8, "L1">
  dma.wait %t
  func.return
}
"""


def test_version_is_the_projects() -> None:
    assert version("htvm-ir") == PROJECT["version"]


def test_every_entry_point_resolves() -> None:
    entries = list(distribution("htvm-ir").entry_points)
    assert {entry.name for entry in entries if entry.group == "console_scripts"} == {"htvm", "htvm-opt"}
    for entry in entries:
        assert entry.load() is not None


@pytest.mark.parametrize("name", HTVM_UNIVERSE.all_passes)
def test_pass_is_found_under_its_name(name: str) -> None:
    assert HTVM_UNIVERSE.all_passes[name]().name == name


@pytest.mark.parametrize("name", HTVM_UNIVERSE.all_dialects)
def test_dialect_is_found_under_its_name(name: str) -> None:
    assert HTVM_UNIVERSE.all_dialects[name]().name == name


@pytest.mark.parametrize("name", HTVM_UNIVERSE.all_targets)
def test_target_is_found_under_its_name(name: str) -> None:
    assert HTVM_UNIVERSE.all_targets[name]().name == name


def test_no_pass_is_forgotten() -> None:
    modules = [import_module(f"htvm_ir.passes.{m.name}") for m in iter_modules(htvm_ir.passes.__path__)]
    written = {
        value.name
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, ModulePass) and value.__module__ == module.__name__
    }
    assert written == set(HTVM_UNIVERSE.all_passes)


@pytest.mark.parametrize("tool", ["xdsl-opt", "htvm-opt"])
def test_installed_tool_knows_dialects_and_passes(tool: str, tmp_path: Path) -> None:
    source = tmp_path / "transfer.mlir"
    source.write_text(TRANSFER)
    ran = subprocess.run([BIN / tool, source, "-p", "canonicalize"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "".join(TRANSFER.split()) in "".join(ran.stdout.split())
    listed = subprocess.run([BIN / tool, "--help"], capture_output=True, text=True, check=True).stdout
    offered = "".join(listed.split())
    for name in [*HTVM_UNIVERSE.all_passes, *HTVM_UNIVERSE.all_targets]:
        assert name in offered


def test_wheel_contains_every_source_file(tmp_path: Path) -> None:
    copy = tmp_path / "source"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "htvm_ir", copy / "htvm_ir", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    expected = {str(p.relative_to(copy)) for p in copy.rglob("htvm_ir/**/*") if p.is_file()}
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "."]
    built = subprocess.run([*build, "-w", tmp_path], cwd=copy, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name for name in names if name.startswith("htvm_ir/")} == expected
    assert any(name.endswith("/licenses/LICENSE") for name in names)


@pytest.mark.parametrize(("file", "extra"), [("requirements.lock", "dev"), ("requirements-tvm.lock", "tvm")])
def test_lock_pins_every_requirement_by_hash(file: str, extra: str) -> None:
    entries = re.split(r"\n(?=[a-z0-9])", re.sub(r"^\s*#.*\n", "", (ROOT / file).read_text(), flags=re.M))
    pinned: set[str] = set()
    for entry in entries:
        match = re.match(r"([a-z0-9-]+)==\d[\w.]*", entry)
        assert match, f"not pinned: {entry[:60]}"
        assert "--hash=sha256:" in entry, f"no hash: {match[0]}"
        pinned.add(match[1])
    wanted: list[str] = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"][extra]]
    assert {re.split(r"[\[<>=]", requirement)[0] for requirement in wanted} <= pinned


def repository_files() -> list[Path]:
    """The files git tracks or would track; skips the test where this is not a git checkout."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout")
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / name for name in names.split("\0") if name]
    return [path for path in paths if path.is_file()]


@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        ("a path of one machine", rb"(?<![\w.\-])/(?:tmp|work|root|home)/"),
        ("a package registry", rb"pypi\.org|python[h]osted|registry\.npm[j]s|--(?:extra-)?index-url|--find-links"),
    ],
)
def test_no_file_names(what: str, pattern: bytes) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match[0].decode()}"
        for path in repository_files()
        if path != Path(__file__) and (match := re.search(pattern, path.read_bytes()))
    ]
    assert not found, f"{what} in {found}"
