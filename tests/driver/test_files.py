"""Files and folders appear complete, or stay as they were."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from htvm_ir.driver.files import write_file
from htvm_ir.driver.folder import REPORT, write_package
from htvm_ir.errors import HtvmError

OLD = {"src/a.c": "old", "Makefile": "old", REPORT: "{}"}
NEW = {"src/b.c": "new", "Makefile": "new", REPORT: "{1}", "README.md": "new"}


def contents(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_file(tmp_path: Path) -> None:
    for data in (b"one", b"two"):
        write_file(tmp_path / "x", data, "the model")
        assert (tmp_path / "x").read_bytes() == data
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("method", ["write_bytes", "replace"])
def test_file_stays_when_writing_fails(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"before")

    def fail(self: Path, target: object) -> None:
        with self.open("wb") as file:
            file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, method, fail)
    with pytest.raises(HtvmError, match=r"x: cannot write the model \(No space left on device\); name another file"):
        write_file(path, b"after", "the model")
    monkeypatch.undo()
    assert contents(tmp_path) == {"x": "before"}


def test_folder_appears_and_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    write_package(OLD, out)
    assert contents(out) == OLD
    (out / "mine.txt").write_text("kept")
    write_package(NEW, out)
    assert contents(out) == NEW | {"mine.txt": "kept"}
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_empty_folder_is_filled(tmp_path: Path) -> None:
    write_package(NEW, tmp_path)
    assert contents(tmp_path) == NEW


@pytest.mark.parametrize("step", range(1, 6))
def test_folder_stays_when_moving_fails(step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file system refuses the nth rename: those before it are undone."""
    out = tmp_path / "out"
    write_package(OLD, out)
    rename, calls = Path.rename, iter(range(1, 100))

    def refuse(self: Path, target: Path) -> Path:
        if next(calls) == step:
            raise OSError(30, "Read-only file system")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(HtvmError, match=r"out: cannot write the output \(Read-only file system\)"):
        write_package(NEW, out)
    monkeypatch.undo()
    assert contents(tmp_path) == {f"out/{name}": text for name, text in OLD.items()}
    write_package(NEW, out)
    assert contents(out) == NEW


def test_new_folder_does_not_appear_when_moving_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(HtvmError, match="No space left"):
        write_package(NEW, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_report_of_a_removed_package_is_not_needed(tmp_path: Path) -> None:
    """A folder that was emptied may be written again, one with files but without a report may not."""
    out = tmp_path / "out"
    write_package(OLD, out)
    (out / REPORT).unlink()
    with pytest.raises(HtvmError, match="not from a compilation"):
        write_package(NEW, out)
    shutil.rmtree(out / "src")
    (out / "Makefile").unlink()
    write_package(NEW, out)
    assert contents(out) == NEW
