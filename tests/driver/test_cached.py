"""Compilations taken from the store are those the compiler would give."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from htvm_ir.driver import cached
from htvm_ir.driver.cached import KIND, compile_package
from htvm_ir.driver.compile import Options
from htvm_ir.store import Store
from htvm_ir.zoo.builder import NetBuilder


@pytest.fixture
def model(tmp_path: Path) -> str:
    net = NetBuilder("net", (3, 8, 8), scale=1 / 64)
    features = net.global_average("pool", net.conv("conv", net.input, 8, (3, 3)))
    net.output(net.dense("dense", features, 4, relu=False), 1.0)
    onnx.save(net.model(), tmp_path / "net.onnx")
    return str(tmp_path / "net.onnx")


def test_the_second_time_nothing_is_compiled(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "store")
    first = compile_package(model, Options(), store)
    monkeypatch.delattr(cached, "compile_model")
    again = compile_package(model, Options(), store)
    assert (first.cached, again.cached) == (False, True)
    assert first.files == again.files and "include/tvmgen_default.h" in first.files
    assert first.report | {"compile_seconds": 0} == again.report | {"compile_seconds": 0}


def test_what_is_in_the_store_comes_out_without_the_compiler(model: str, tmp_path: Path) -> None:
    code = (
        "import sys; from htvm_ir.tools.htvm import main\n"
        "main(sys.argv[1:]); print(*sorted({'numpy', 'onnx', 'xdsl'} & sys.modules.keys()), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, "compile", model, "-o", str(tmp_path / "out")]
    environment = {**os.environ, "HTVM_CACHE": str(tmp_path / "store")}
    runs = [subprocess.run(command, env=environment, capture_output=True, text=True, check=True) for _ in range(2)]
    assert [run.stderr.split() for run in runs] == [["numpy", "onnx", "xdsl"], []]


def test_everything_that_matters_is_in_the_key(model: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert not compile_package(model, Options(), store).cached
    for options in (Options(engines=()), Options(module_name="other"), Options(target="diana,l1_bytes=65536")):
        assert not compile_package(model, options, store).cached
    assert not compile_package(model, Options(), store, files=False).cached
    changed = onnx.load(model)
    changed.producer_version = "other"
    onnx.save(changed, model)
    assert not compile_package(model, Options(), store).cached
    assert compile_package(model, Options(), store).cached


def test_without_a_store_nothing_is_kept(model: str, tmp_path: Path) -> None:
    assert not compile_package(model, Options(), None).cached
    assert not compile_package(model, Options(), None).cached


def test_what_is_no_package_is_compiled_anew(model: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    first = compile_package(model, Options(), store)
    (path,) = (store.folder / KIND).iterdir()
    store.put(KIND, path.name, b"not compressed")
    again = compile_package(model, Options(), store)
    assert not again.cached
    assert again.files["src/tvmgen_default.c"] == first.files["src/tvmgen_default.c"]
    assert replace(again, report={}, cached=True).files.keys() == first.files.keys()
