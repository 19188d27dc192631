"""What the figures show: single layers and traces, measured on the virtual SoC."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from htvm_ir.driver.compile import Options
from htvm_ir.driver.sweeps import Layer, budgets, overheads, timeline
from htvm_ir.errors import HtvmError

SMALL = Layer("conv 3x3", 16, 16, 8)


def test_cycles_grow_as_l1_shrinks_until_the_engine_is_not_used() -> None:
    told: list[str] = []
    sweeps = budgets(Options(), [SMALL], [8192, 2048, 512], told.append)
    assert [sweep["tiler"] for sweep in sweeps] == ["none", "dory", "optimal"]
    assert told == [f"conv 3x3, 16 to 16, 8x8, {tiler}" for tiler in ("none", "dory", "optimal")]
    for sweep in sweeps:
        sizes, cycles = zip(*sweep["points"], strict=True)
        assert sizes == (8192, 2048)
        assert cycles[0] < cycles[1]


def test_a_kernel_takes_longer_than_its_jobs() -> None:
    groups = [[Layer("dense", 16, 16)], [Layer("conv 3x3", 16, 16, 4, "analog")], [Layer("depthwise 3x3", 16, 16, 4)]]
    found = overheads(Options(), groups)
    assert [(entry["kind"], entry["engine"]) for entry in found] == [
        ("dense", "digital"),
        ("conv 3x3", "analog"),
        ("depthwise 3x3", "digital"),
    ]
    assert [entry["points"][0][0] for entry in found] == [16 * 16, 16 * 16 * 9 * 16, 16 * 9 * 16]
    for entry in found:
        ((_, whole, bare),) = entry["points"]
        assert whole > bare > 0


def test_a_trace_shows_every_unit(tmp_path: Path) -> None:
    path = tmp_path / "layer.onnx"
    path.write_bytes(SMALL.network().model().SerializeToString())
    trace = timeline(str(path), Options(tiler="dory"))
    assert list(trace["rows"]) == ["CPU", "digital", "digital weights", "analog", "analog weights", "DMA"]
    assert trace["tiler"] == "dory"
    for row in ("CPU", "digital", "DMA"):
        intervals = trace["rows"][row]
        assert intervals and intervals[-1][1] <= trace["cycles"]
        assert all(a[1] <= b[0] for a, b in pairwise(intervals))
    assert trace["rows"]["analog"] == []


def test_the_cpu_works_whenever_it_does_not_wait(tmp_path: Path) -> None:
    path = tmp_path / "layer.onnx"
    path.write_bytes(SMALL.network().model().SerializeToString())
    alone = timeline(str(path), Options(engines=()))
    assert alone["rows"]["CPU"] == [[0, alone["cycles"]]]
    shared = timeline(str(path), Options(engines=("digital",)))
    jobs = sum(end - start for start, end in shared["rows"]["digital"])
    assert sum(end - start for start, end in shared["rows"]["CPU"]) < shared["cycles"] - jobs / 2


def test_another_target_is_refused_at_once() -> None:
    with pytest.raises(HtvmError, match="no setting 'l1_words'"):
        budgets(Options(target="diana,l1_words=1"), [SMALL])
