"""Trained networks from ONNX to the virtual DIANA: every output and every layer equals what is stored, bit for bit."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from htvm_ir.driver.compile import Compiled, Options, compile_model
from htvm_ir.driver.edges import edges
from htvm_ir.driver.execute import Execution, execute
from htvm_ir.driver.samples import load_samples, read_npz

ROOT = Path(__file__).parents[1]
MODELS = Path(os.environ.get("HTVM_MODELS", ROOT.parent / "shared" / "models")) / "diana"
DIGITS = ROOT / "examples" / "digits"
NETWORKS = ("resnet8", "dscnn", "dae", "mobilenetv1")
ENGINE_OPS = {"conv2d", "depthwise", "dense", "add"}

trained = pytest.mark.skipif(not MODELS.is_dir(), reason=f"no trained models at {MODELS}")


@cache
def compiled(model: Path, engines: tuple[str, ...] | None = None) -> Compiled:
    return compile_model(str(model), Options(engines=engines))


def run(network: Compiled, npz: Path, count: int, layers: Path | None = None) -> Execution:
    """The first samples of a file on the virtual SoC, checked against interpreter and stored outputs."""
    samples = load_samples(str(npz), *edges(network.module), count)
    stored = None if layers is None else read_npz(layers)
    return execute(network, "default", samples, check=True, check_layers=stored is not None, layers=stored)


def golden(name: str) -> NDArray[Any]:
    return np.load(MODELS / name / "golden16.npz")["output"]


@trained
@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_and_layers(name: str) -> None:
    folder = MODELS / name
    network = compiled(folder / f"{name}.onnx")
    done = run(network, folder / "golden16.npz", 16, folder / "layers_sample0.npz")
    check = done.check
    assert check is not None
    assert (check.samples, check.reference) == (16, "output")
    assert (check.mismatches, check.interpreter_mismatches, check.layer_mismatches) == (0, 0, 0)
    stored = len(np.load(folder / "layers_sample0.npz").files)
    assert check.layers_checked > len(network.report["layers"]), "every kernel, and stored layers on top"
    assert check.layers_checked + check.layers_skipped >= stored
    np.testing.assert_array_equal(done.outputs[0], golden(name))


@trained
@pytest.mark.parametrize("name", NETWORKS)
def test_the_engine_computes_all_it_can(name: str) -> None:
    layers = compiled(MODELS / name / f"{name}.onnx").report["layers"]
    assert {layer["op"] for layer in layers} & ENGINE_OPS
    for layer in layers:
        on_engine = layer["engine"] == "digital"
        slower = layer["costs"].get("digital", 0) > layer["costs"].get("cpu", 0)
        assert on_engine == (layer["op"] in ENGINE_OPS and not slower), layer
        assert on_engine == (layer["tile"] is not None)


@trained
@pytest.mark.parametrize("name", NETWORKS)
def test_the_cpu_gives_the_same(name: str) -> None:
    network = compiled(MODELS / name / f"{name}.onnx", engines=())
    assert {layer["engine"] for layer in network.report["layers"]} == {"cpu"}
    done = run(network, MODELS / name / "golden16.npz", 1)
    np.testing.assert_array_equal(done.outputs[0], golden(name)[:1])
    assert done.check is not None and not done.check.failed


def test_digits_are_recognised_as_onnxruntime_does() -> None:
    """The stored outputs are onnxruntime's (tests/examples checks that)."""
    count = 50
    done = run(compiled(DIGITS / "digits.onnx"), DIGITS / "digits_test.npz", count)
    with np.load(DIGITS / "digits_test.npz") as held_out:
        stored, labels = held_out["output"][:count], held_out["label"][:count]
    np.testing.assert_array_equal(done.outputs[0], stored)
    assert done.check is not None and not done.check.failed
    assert done.check.accuracy == (stored.argmax(axis=1) == labels).mean() > 0.9
