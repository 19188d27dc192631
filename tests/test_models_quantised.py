"""Official int8 networks and onnxruntime's own on the virtual DIANA: bit for bit what the reference kernels compute."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

from benchmarks.accuracy import measure
from htvm_ir.driver.compile import Compiled, Options, compile_model
from htvm_ir.driver.edges import edges
from htvm_ir.driver.execute import Check, execute
from htvm_ir.driver.samples import load_samples, read_npz
from htvm_ir.frontends.onnx import Rounding

MODELS = Path(os.environ.get("HTVM_MODELS", Path(__file__).parents[2] / "shared" / "models"))
TINY, ORT = MODELS / "mlperf_tiny", MODELS / "ort_quantized"
SAMPLES = {"resnet8": 1, "kws": 3, "vww": 1, "ad01": 16}

pytestmark = pytest.mark.skipif(not TINY.is_dir(), reason=f"no quantised models at {MODELS}")


@cache
def compiled(model: Path, rounding: Rounding) -> Compiled:
    return compile_model(str(model), Options(rounding=rounding))


def checked(network: Compiled, npz: Path, count: int, layers: Path | None = None) -> Check:
    """The first samples of a file on the virtual SoC, every kernel compared."""
    samples = load_samples(str(npz), *edges(network.module), count)
    stored = None if layers is None else read_npz(layers)
    check = execute(network, "default", samples, check=True, check_layers=True, layers=stored).check
    assert check is not None
    return check


@pytest.mark.parametrize("name", SAMPLES)
def test_outputs_and_layers_of_tflite(name: str) -> None:
    folder = TINY / name
    network = compiled(folder / f"{name}_int8.onnx", "tflite")
    check = checked(network, folder / "golden16.npz", SAMPLES[name], folder / "layers_sample0.npz")
    assert check.reference == ("output" if name == "ad01" else "logits")
    assert not check.failed, check.first
    assert check.layers_checked >= len(network.report["layers"]) + 9, "every kernel, and stored layers on top"


@pytest.mark.parametrize(
    "name", ["kws_sm_qdq_sym", "kws_sm_qoperator_sym", "kws_tfl_qdq_asym_s8", "kws_tfl_qoperator_u8"]
)
def test_keywords_of_onnxruntime(name: str) -> None:
    """From float samples: the caller quantises them."""
    check = checked(compiled(ORT / f"{name}.onnx", "onnx"), ORT / f"{name}.golden16.npz", 2)
    assert check.reference == "logits"
    assert not check.failed, check.first


def test_resnet8_of_onnxruntime() -> None:
    network = compiled(ORT / "resnet8_qdq_sym.onnx", "onnx")
    check = checked(network, ORT / "resnet8_qdq_sym.golden16.npz", 1)
    assert (check.interpreter_mismatches, check.layer_mismatches) == (0, 0)
    assert check.max_abs_diff <= 1


def test_default_rounding_on_the_virtual_soc() -> None:
    """Near the reference kernels, but another rounding, so the stored outputs are not met."""
    check = checked(compiled(TINY / "kws" / "kws_int8.onnx", "onnx"), TINY / "kws" / "golden16.npz", 1)
    assert (check.interpreter_mismatches, check.layer_mismatches) == (0, 0)
    assert 0 < check.max_abs_diff <= 8


def test_all_of_them_fit() -> None:
    for name in SAMPLES:
        memories = compiled(TINY / name / f"{name}_int8.onnx", "tflite").report["memory"].values()
        assert [memory["fits"] for memory in memories] == [True, True], name


def test_accuracy() -> None:
    """The first samples of the measured accuracy: TFLite's predictions, every one."""
    folder = TINY / "kws"
    found = measure(str(folder / "kws_int8.onnx"), str(folder / "kws01_1000.npz"), "tflite", 40, 1)
    assert (found.samples, found.stored, found.equal, found.soc, found.soc_mismatches) == (40, 40, 40, 1, 0)
    assert found.accuracy is not None
    assert found.accuracy > 0.8
    assert found.onnxruntime >= 38
