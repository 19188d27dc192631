"""A content-addressed store on disk for results that take long to compute.

An entry's name is a hash of everything its value depends on, and the value carries a hash of its own: a folder may be
shared between users and machines, and an entry that is damaged, cut off or of another format is as good as absent.
Nothing here ever fails: a store that cannot be read or written is only slower.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

LIMIT = 256 * 2**20
"""Bytes of entries that `Store.trim` leaves (model choice)."""

_DIGEST = 64
"""Hexadecimal digits of SHA-256, before the data of each entry."""


def digest(parts: Iterable[bytes | str]) -> str:
    """One hash of several parts, none of which can run into its neighbour."""
    whole = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        whole.update(len(data).to_bytes(8, "little"))
        whole.update(data)
    return whole.hexdigest()


def default_folder() -> Path:
    """``$HTVM_CACHE``, else ``htvm_ir`` in the user's cache folder."""
    if chosen := os.environ.get("HTVM_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "htvm_ir"


@dataclass(frozen=True)
class Store:
    """Entries as files ``folder/KIND/DIGEST``."""

    folder: Path

    def get(self, kind: str, key: str) -> bytes | None:
        """The data stored under a key; None if there is none, or not in one piece."""
        try:
            found = (self.folder / kind / key).read_bytes()
        except OSError:
            return None
        data = found[_DIGEST:]
        return data if found[:_DIGEST] == digest([data]).encode() else None

    def put(self, kind: str, key: str, data: bytes) -> None:
        """Store data under a key; the entry appears complete or not at all."""
        place = self.folder / kind / key
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=".", dir=place.parent)
            partial = Path(name)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(digest([data]).encode() + data)
                partial.replace(place)
            finally:
                partial.unlink(missing_ok=True)
        except OSError:
            return

    def trim(self, limit: int = LIMIT) -> None:
        """Remove the entries written longest ago until `limit` bytes are left."""
        try:
            files = [(path.stat(), path) for path in self.folder.glob("*/*")]
        except OSError:
            return
        total = sum(status.st_size for status, _ in files)
        for status, path in sorted(files, key=lambda item: item[0].st_mtime_ns):
            if total <= limit:
                return
            path.unlink(missing_ok=True)
            total -= status.st_size


_CURRENT: ContextVar[Store | None] = ContextVar("store", default=None)


def current() -> Store | None:
    """The store in use, None outside of `use`."""
    return _CURRENT.get()


@contextmanager
def use(store: Store | None) -> Generator[None]:
    """Let solvers keep and find their solutions in a store."""
    token = _CURRENT.set(store)
    try:
        yield
    finally:
        _CURRENT.reset(token)
