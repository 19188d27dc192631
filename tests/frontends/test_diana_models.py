"""Trained networks in DIANA's convention: all layers and outputs equal the stored ones, bit for bit."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from xdsl.dialects.builtin import ModuleOp

from htvm_ir.frontends.onnx import import_model
from htvm_ir.interpreters.run import Runner, layers

MODELS = Path(os.environ.get("HTVM_MODELS", Path(__file__).parents[3] / "shared" / "models")) / "diana"
NETWORKS = ("resnet8", "dscnn", "dae", "mobilenetv1")

pytestmark = pytest.mark.skipif(not MODELS.is_dir(), reason=f"no trained models at {MODELS}")


@cache
def imported(name: str) -> ModuleOp:
    module = import_model(MODELS / name / f"{name}.onnx")
    module.verify()
    return module


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs(name: str) -> None:
    golden = np.load(MODELS / name / "golden16.npz")
    runner = Runner(imported(name))
    for x, y in zip(golden["input"], golden["output"], strict=True):
        np.testing.assert_array_equal(runner.run([x[None]])[0], y[None])


@pytest.mark.parametrize("name", NETWORKS)
def test_layers(name: str) -> None:
    golden = np.load(MODELS / name / "layers_sample0.npz")
    found = layers(imported(name), [golden["input"]])
    for tensor in golden.files:
        np.testing.assert_array_equal(found[tensor], golden[tensor], tensor)


def test_the_keyword_network_with_power_of_two_scales() -> None:
    golden = np.load(MODELS / "kws_po2" / "golden_1000.npz")
    runner = Runner(imported("kws_po2"))
    for x, y in zip(golden["input"][:20], golden["output"], strict=False):
        np.testing.assert_array_equal(runner.run([x[None]])[0], y[None])


def test_import_is_fast() -> None:
    assert onnx.__version__  # its import does not count
    imported("dae")
    assert best_of(3, lambda: import_model(MODELS / "resnet8" / "resnet8.onnx")) < 0.15


def best_of(count: int, run: Callable[[], object]) -> float:
    """The shortest wall time of `run` in seconds."""
    times: list[float] = []
    for _ in range(count):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)
