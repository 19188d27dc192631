"""``htvm bench``: its JSON, its table, and that a wrong result fails it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_nets import net, save

from htvm_ir.driver import bench
from htvm_ir.tools.htvm import main

ROW: dict[str, Any] = {
    "cycles": int,
    "predicted": int,
    "compute_bound": int,
    "transfer_bound": int,
    "unproven_tilings": int,
    "cpu_cycles": int,
    "compile_seconds": float,
    "arena": {"bytes": int, "lower_bound": int, "proven_minimal": bool},
    "memory_bytes": int,
    "code_bytes": int,
    "constant_bytes": int,
    "check": {"samples": int, "mismatches": int},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(net(), tmp_path_factory.mktemp("bench") / "small.onnx")


@pytest.fixture(scope="module")
def report(model: Path) -> dict[str, Any]:
    options = bench.Options()
    return json.loads(json.dumps(bench.measure([str(model)], options, samples=2)))


def conforms(value: Any, form: Any) -> bool:
    if isinstance(form, dict):
        return all(conforms(value[name], part) for name, part in form.items())
    return isinstance(value, form)


def test_every_configuration_is_measured_and_checked(report: dict[str, Any]) -> None:
    (entry,) = report["models"]
    assert list(entry["configurations"]) == [c.name for c in bench.CONFIGURATIONS]
    for row in entry["configurations"].values():
        assert conforms(row, ROW)
        assert row["check"] == {"samples": 2, "mismatches": 0}
        assert row["memory_bytes"] >= row["arena"]["bytes"] >= row["arena"]["lower_bound"]


def test_ratios_are_those_of_the_cycles(report: dict[str, Any]) -> None:
    (entry,) = report["models"]
    rows = entry["configurations"]
    best = rows[bench.OPTIMAL]
    for name, speedup in entry["speedup"].items():
        assert speedup == pytest.approx(rows[name]["cycles"] / best["cycles"], abs=1e-3)
    assert best["distance"] == pytest.approx(best["cycles"] / entry["limit"], abs=1e-4)
    assert best["mac_per_cycle"] == pytest.approx(entry["macs"] / best["cycles"], abs=1e-3)
    assert best["peak_share"] == pytest.approx(best["mac_per_cycle"] / entry["peak_macs"], abs=1e-4)


def test_the_limit_counts_the_layers_of_the_file(report: dict[str, Any]) -> None:
    # 4 -> 16 and 16 -> 16 of 6 x 6 (16 kernel rows inside), 3 x 3; their sum; 16 -> 5; 144 bytes in, 5 out
    convs = (16 * 4 * 5 + 6 * 23) + 16 * 40 / 16 + (16 * 16 * 5 + 6 * 23) + 16 * 148 / 16
    assert report["models"][0]["limit"] == int(convs + (36 + 23) + (1 + 23 + 32) + 149 / 8 + 1)


def test_the_table_has_one_row_for_each_network(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(model), str(model)]) == 0
    output = capsys.readouterr().out
    assert output.count(str(model)) == output.count("yes, 1") == 2


def test_wrong_results_fail(model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def wrong(*_: object) -> dict[str, int]:
        return {"samples": 1, "mismatches": 3}

    monkeypatch.setattr(bench, "_check", wrong)
    assert main(["bench", str(model), "--json"]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["models"][0]["configurations"]["cpu"]["check"]["mismatches"] == 3
    assert "does not compute what the interpreter does" in captured.err


def test_a_missing_model_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "zoo:nothing"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
