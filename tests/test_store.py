"""The store on disk: whole entries or none, whatever happens to the files."""

from __future__ import annotations

from pathlib import Path

import pytest

from htvm_ir import cpsat
from htvm_ir.cpsat import STORED, Model, Outcome
from htvm_ir.store import Store, current, digest, use


def entry(store: Store) -> Path:
    """The only file of a store."""
    (path,) = (p for p in store.folder.rglob("*") if p.is_file())
    return path


def test_entries_come_back(tmp_path: Path) -> None:
    store = Store(tmp_path / "new" / "folder")
    assert store.get("kind", "key") is None
    store.put("kind", "key", b"data")
    store.put("kind", "key", b"")
    assert store.get("kind", "key") == b""
    assert store.get("kind", "other") is None
    assert [p.name for p in (store.folder / "kind").iterdir()] == ["key"]


@pytest.mark.parametrize("keep", [0, 10, -1])
def test_damaged_entries_are_absent(tmp_path: Path, keep: int) -> None:
    store = Store(tmp_path)
    store.put("kind", "key", b"data")
    entry(store).write_bytes(entry(store).read_bytes()[:keep])
    assert store.get("kind", "key") is None
    store.put("kind", "key", b"data")
    assert store.get("kind", "key") == b"data"


def test_changed_entries_are_absent(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put("kind", "key", b"data")
    entry(store).write_bytes(entry(store).read_bytes()[:-1] + b"b")
    assert store.get("kind", "key") is None


def test_a_store_that_cannot_be_written_is_only_slower(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    store = Store(tmp_path / "file")
    store.put("kind", "key", b"data")
    store.trim()
    assert store.get("kind", "key") is None


def test_trim_removes_the_oldest(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number in range(5):
        store.put("kind", str(number), bytes(36))
    store.trim(limit=250)
    assert sorted(p.name for p in (tmp_path / "kind").iterdir()) == ["3", "4"]


def test_digests_keep_parts_apart() -> None:
    assert len({digest(parts) for parts in (["ab", "c"], ["a", "bc"], ["abc"], [b"abc", ""])}) == 4
    assert digest(["ab"]) == digest([b"ab"])


def knapsack(limit: int) -> Model:
    """Two booleans, worth 3 and 2, of size 2 and 1."""
    model = Model()
    a, b = model.boolean(), model.boolean()
    model.linear([(2, a), (1, b)], 0, limit)
    model.minimise([(-3, a), (-2, b)])
    return model


def test_proven_solutions_are_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    with use(store):
        first = knapsack(2).solve(1.0)
    assert first == Outcome("optimal", (1, 0), -3)
    monkeypatch.delattr(cpsat, "_solve")
    with use(store):
        assert knapsack(2).solve(1.0) == first
    assert current() is None


@pytest.mark.parametrize("stored", [b"{}", b"[1]", b'["optimal", [1], 0]', b'["feasible", [1, 0], 0]', b"\xff"])
def test_nonsense_in_the_store_is_solved_anew(tmp_path: Path, stored: bytes) -> None:
    store = Store(tmp_path)
    with use(store):
        first = knapsack(3).solve(1.0)
        store.put(STORED, entry(store).name, stored)
        assert knapsack(3).solve(1.0) == first
