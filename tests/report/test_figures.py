"""The drawings of ``htvm bench --figures``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from htvm_ir.errors import HtvmError
from htvm_ir.report.figures.style import check_matplotlib
from htvm_ir.tools.figures import write
from htvm_ir.tools.htvm import main

NEEDED = "needs matplotlib, the extra 'figures'"

DATA: dict[str, Any] = {
    "budget": [
        {"layer": "conv", "tiler": tiler, "points": [[4096, 3000], [2048, cycles]]}
        for tiler, cycles in (("none", 9000), ("dory", 8000), ("optimal", 5000))
    ],
    "overhead": [
        {"kind": "dense", "engine": "digital", "points": [[100, 300, 200], [1000, 600, 500]]},
        {"kind": "conv 3x3", "engine": "analog", "points": [[5000, 900, 500]]},
    ],
    "timeline-net": [
        {
            "model": "net",
            "tiler": "dory",
            "cycles": 90_000,
            "rows": {
                "CPU": [[0, 100], [900, 90_000]],
                "digital": [[200, 800], [810, 850]],
                "digital weights": [[100, 200]],
                "DMA": [],
            },
        }
    ],
}


def texts(path: Path) -> set[str]:
    root = ElementTree.parse(path).getroot()
    return {"".join(node.itertext()).strip() for node in root.iter("{http://www.w3.org/2000/svg}text")}


def test_text_stays_text(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason=NEEDED)
    budget, overhead, timeline = map(texts, write(DATA, tmp_path))
    assert {"heuristics off", "dory", "optimal", "conv", "4", "2"} <= budget
    assert {"digital", "analog", "dense", "conv 3x3"} <= overhead
    assert {"CPU", "digital", "DMA", "net, dory: 90,000 cycles"} <= timeline


def test_the_same_data_give_the_same_bytes(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason=NEEDED)
    first, second = (write(DATA, folder) for folder in (tmp_path / "a", tmp_path / "b") if folder.mkdir() is None)
    for a, b in zip(first, second, strict=True):
        assert a.read_bytes() == b.read_bytes()
        assert b"dc:date" not in a.read_bytes()


def test_short_gaps_are_drawn_as_one_bar(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason=NEEDED)
    paths = write({"timeline-net": DATA["timeline-net"]}, tmp_path)
    apart = [dict(DATA["timeline-net"][0], rows={"CPU": [], "digital": [[200, 800], [900, 950]], "DMA": []})]
    together = [dict(DATA["timeline-net"][0], rows={"CPU": [], "digital": [[200, 800], [810, 950]], "DMA": []})]
    few, many = (
        len(write({"timeline-net": data}, tmp_path)[0].read_text().split("<path")) for data in (together, apart)
    )
    assert paths and many == few + 1


def test_without_matplotlib_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("htvm_ir.report.figures.style.find_spec", {}.get)
    with pytest.raises(HtvmError, match=r"htvm-ir\[figures\]"):
        check_matplotlib()
    assert main(["bench", "--figures", str(tmp_path / "figures")]) == 1
    assert capsys.readouterr().err.startswith("htvm: --figures needs matplotlib")
    assert not (tmp_path / "figures").exists()


def test_a_file_where_the_folder_should_be_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if find_spec("matplotlib") is None:
        pytest.skip(NEEDED)
    (tmp_path / "file").write_text("")
    assert main(["bench", "--figures", str(tmp_path / "file")]) == 1
    assert "cannot write the figures" in capsys.readouterr().err
