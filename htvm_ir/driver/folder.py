"""The folder of a package on disk: it appears complete or stays as it was. Needs no compiler."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from htvm_ir.driver.files import file_errors

REPORT = "report.json"
OUTPUT = "the output"


def report_text(report: dict[str, Any]) -> str:
    """The report as it is written and printed."""
    return json.dumps(report, indent=2) + "\n"


def write_package(files: dict[str, str], out: Path) -> None:
    """Write all files, or none: the folder appears complete or stays as it was.

    In a folder of an earlier compilation the entries written here are replaced, and nothing else is touched.

    Raises:
        HtvmError: the folder cannot be written, or holds something that no compilation wrote.
    """
    check_writable(out)
    with file_errors(out, OUTPUT, "folder"):
        out.parent.mkdir(parents=True, exist_ok=True)
        # inside an existing folder, which may be the current one or a mount point: it cannot be renamed itself
        home = out if out.is_dir() else out.parent
        fresh = Path(tempfile.mkdtemp(prefix=".htvm-", dir=home))
        try:
            for name, text in files.items():
                path = fresh / "new" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            if home is out:
                _replace_entries(fresh / "new", fresh / "old", out)
            else:
                (fresh / "new").rename(out)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def _replace_entries(new: Path, old: Path, out: Path) -> None:
    """Move what lies in ``new`` to ``out``, and what it replaces to ``old``; undone if anything fails."""
    old.mkdir()
    moved: list[tuple[Path, Path]] = []
    try:
        for entry in sorted(new.iterdir()):
            place = out / entry.name
            for start, end in ((place, old / entry.name), (entry, place)):
                if start.exists():
                    start.rename(end)
                    moved.append((start, end))
    except OSError:
        for start, end in reversed(moved):
            end.rename(start)
        raise


def check_writable(out: Path) -> None:
    """Say before a long compilation that its output cannot be written.

    Raises:
        HtvmError: not a folder one may write to, or one with files that no compilation wrote.
    """
    with file_errors(out, OUTPUT, "folder"):
        parent = next(p for p in (out, *out.absolute().parents) if p.exists())
        if not parent.is_dir():
            raise NotADirectoryError(None, f"{parent} is a file")
        if not os.access(parent, os.W_OK):
            raise PermissionError(None, "permission denied")
        if parent is out and any(out.iterdir()) and not (out / REPORT).is_file():
            raise FileExistsError(None, "it holds files that are not from a compilation")
