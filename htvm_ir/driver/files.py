"""Files that appear complete or not at all."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from htvm_ir.errors import HtvmError


@contextmanager
def file_errors(path: Path, what: str, kind: str = "file") -> Generator[None]:
    """Turns the operating system's refusal to write ``path`` into one line for the user."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise HtvmError(f"{path}: cannot write {what} ({reason}); name another {kind}") from error


def check_file(path: Path, what: str) -> None:
    """Say before long work that its result cannot be written.

    Raises:
        HtvmError: ``path`` is a folder, or lies in none.
    """
    with file_errors(path, what):
        if path.is_dir():
            raise IsADirectoryError(None, "it is a folder")
        if not path.parent.is_dir():
            raise FileNotFoundError(None, f"there is no folder {path.parent}")


def write_file(path: Path, data: bytes, what: str) -> None:
    """Write a file through a partial one beside it.

    Raises:
        HtvmError: it cannot be written; a file that was there is as it was.
    """
    check_file(path, what)
    partial = path.with_name(f".{path.name}.part")
    with file_errors(path, what):
        try:
            partial.write_bytes(data)
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
