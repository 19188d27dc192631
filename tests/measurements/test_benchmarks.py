"""Verdicts, history and the results page of ``benchmarks``; what is measured there is not measured here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import groups, history, measured
from benchmarks.compile_time import chain_figures
from benchmarks.figure import Figure, geometric_mean
from benchmarks.peers import HTVM
from benchmarks.record import facts, page
from htvm_ir.driver.bench import NETWORKS
from htvm_ir.errors import HtvmError

CHECK = {"samples": 1, "mismatches": 0}
ROW = {
    "cycles": 100,
    "code_bytes": 20,
    "constant_bytes": 30,
    "memory_bytes": 40,
    "check": CHECK,
    "compile_seconds": 1.5,
}
BEST = ROW | {"mac_per_cycle": 5.0, "peak_share": 0.02, "distance": 1.1, "arena": {"bytes": 32, "lower_bound": 32}}
REPORT: dict[str, Any] = {
    "models": [
        {
            "model": "zoo:net",
            "macs": 500,
            "limit": 91,
            "configurations": {"cpu": ROW | {"cycles": 9000}, "dory": ROW | {"cycles": 250}, "optimal": BEST},
            "speedup": {"cpu": 90.0, "dory": 2.5},
        }
    ]
}


def test_verdicts() -> None:
    assert Figure("x", 2.0, "s", 2.0).ok and not Figure("x", 2.1, "s", 2.0).ok
    assert Figure("x", 2.0, "x", 2.0, at_least=True).ok and not Figure("x", 1.9, "x", 2.0, at_least=True).ok
    assert Figure("x", 1e9).ok
    assert Figure("x", 2.1, "s", 2.0).line().split()[-6:] == ["2.100", "s", "at", "most", "2.000", "MISSED"]
    assert Figure("x", 1234, "bytes").line().endswith("1,234 bytes")


def test_geometric_mean() -> None:
    assert geometric_mean([1.0, 4.0, 16.0]) == pytest.approx(4.0)


def test_a_group_that_cannot_be_measured_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> list[Figure]:
        raise HtvmError("unknown target 'none'")

    monkeypatch.setattr(groups, "GROUPS", {"npu": fails})
    (figure,) = groups.measure("npu")
    assert not figure.ok and "unknown target" in figure.name


def test_trained_networks_are_taken_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HTVM_MODELS", raising=False)
    assert measured.diana_networks()["dae"] == "zoo:dae"
    monkeypatch.setenv("HTVM_MODELS", "models")
    assert measured.diana_networks()["dae"] == str(Path("models/diana/dae/dae.onnx"))


def test_peers_are_of_networks_that_are_measured_by_default() -> None:
    assert {peer.model for peer in HTVM} <= set(NETWORKS)


def test_history_keeps_what_changed(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    assert history.last(file) is None
    figures = history.key_figures(REPORT)
    assert figures == {
        "zoo:net": {
            "cycles": 100,
            "code_bytes": 20,
            "constant_bytes": 30,
            "memory_bytes": 40,
            "dory_cycles": 250,
        }
    }
    for date in ("2026-01-01", "2026-01-02"):
        history.append(figures, date, "1.0", file)
    assert history.last(file) == figures
    assert [json.loads(line)["date"] for line in file.read_text().splitlines()] == ["2026-01-01"]


def test_regressions_are_what_is_worse() -> None:
    before = history.key_figures(REPORT)
    worse = {"zoo:net": before["zoo:net"] | {"cycles": 101, "code_bytes": 10, "dory_cycles": 999}}
    assert history.regressions(before, before) == []
    assert history.regressions(worse, before) == ["zoo:net: cycles was 100, is 101"]
    assert len(history.regressions({}, before)) == len(history.KEYS)


def test_the_committed_history_can_be_read() -> None:
    newest = history.last()
    assert newest is not None
    assert set(newest) == set(NETWORKS)


def test_the_page_names_date_versions_and_machine() -> None:
    told = facts()
    text = page(REPORT, {"targets": [Figure("net: cycles / limit", 1.3, "x", 1.2)]}, told)
    assert told["date"] in text and "cores" in told["machine"] and "xdsl" in told["versions"]
    assert "Written by `python -m benchmarks.record targets` on" in text
    assert "Not measured here: predictions, peers, copy-engine, npu, depth-first, compile-time, compiler." in text
    assert "| zoo:net | 500 | 9,000 | 250 | 100 |" in text
    assert "| targets | net: cycles / limit | 1.300 x | at most 1.200 | **no** |" in text


def test_the_page_says_when_the_machine_was_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    def busy() -> tuple[float, float, float]:
        return 99.0, 1.0, 1.0

    monkeypatch.setattr("os.getloadavg", busy)
    text = page(REPORT, {name: [Figure("told", 1.0)] for name in groups.GROUPS}, facts())
    assert "load average 99.0 at the start, so times are those of a busy machine" in text
    assert "Not measured here" not in text and "Written by `python -m benchmarks.record` on" in text
    assert "| targets | told | 1.000 |  |  |" in text


def test_chains_have_a_bar_each_and_one_for_their_growth():
    found = chain_figures({100: 4.0, 1000: 50.0})
    assert [(figure.bar, figure.ok) for figure in found] == [(6.0, True), (60.0, True), (10.0, False)]
