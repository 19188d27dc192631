"""The committed digit classifier: its stated accuracy, on the stated images, in integers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

FOLDER = Path(__file__).parents[2] / "examples" / "digits"
TEST_START = 1415
PIXEL_STEP = 1 / 8


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return onnx.load(FOLDER / "digits.onnx")


@pytest.fixture(scope="module")
def held_out() -> dict[str, NDArray[np.int8]]:
    with np.load(FOLDER / "digits_test.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def tensors(model: onnx.ModelProto, held_out: dict[str, NDArray[np.int8]]) -> dict[str, NDArray[np.float32]]:
    """Every tensor of the network on every held-out image."""
    exposed = onnx.ModelProto.FromString(model.SerializeToString())
    names = [node.output[0] for node in exposed.graph.node]
    del exposed.graph.output[:]
    exposed.graph.output.extend(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
    session: Any = onnxruntime.InferenceSession(exposed.SerializeToString())
    images = held_out["input"].astype(np.float32) * np.float32(PIXEL_STEP)
    samples = [session.run(names, {"input": image[None]}) for image in images]
    return {name: np.stack(values) for name, *values in zip(names, *samples, strict=True)}


def test_is_valid_and_small(model: onnx.ModelProto) -> None:
    onnx.checker.check_model(model, full_check=True)
    assert model.ByteSize() < 100_000


def test_accuracy_is_the_stated_one(
    tensors: dict[str, NDArray[np.float32]], held_out: dict[str, NDArray[np.int8]]
) -> None:
    correct = tensors["output"][:, 0].argmax(axis=1) == held_out["label"]
    stated = re.search(r"integer, held out: ([\d.]+)%", (FOLDER / "README.md").read_text())
    assert stated is not None
    assert f"{correct.mean():.2%}" == f"{stated[1]}%"
    assert correct.mean() >= 0.96


def test_stored_outputs_are_onnxruntimes(
    tensors: dict[str, NDArray[np.float32]], held_out: dict[str, NDArray[np.int8]]
) -> None:
    np.testing.assert_array_equal(tensors["logits"][:, 0], held_out["output"])


def test_every_tensor_is_an_integer(tensors: dict[str, NDArray[np.float32]]) -> None:
    """Only what a shift or the mean has yet to round down, and the scaled output, may be fractional."""
    fractional = {name for name, values in tensors.items() if np.any(values != np.rint(values))}
    assert all(name.endswith((".div", ".mean", ".flatten")) or name == "output" for name in fractional)
    layers = [name for name in tensors if "." not in name or name == "input.int8"]
    for name in layers:
        if name != "output":
            assert tensors[name].min() >= -128 and tensors[name].max() <= 127, name


def test_parameters_fit_the_engine(model: onnx.ModelProto) -> None:
    parameters = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    layers = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    assert len(layers) == 5
    for node in layers:
        weight, bias = (parameters[name] for name in node.input[1:])
        assert np.all(weight == np.rint(weight)) and np.all(bias == np.rint(bias)), node.name
        assert weight.min() >= -128 and weight.max() <= 127, node.name


def test_no_held_out_image_is_in_the_training_part(
    held_out: dict[str, NDArray[np.int8]],
) -> None:
    datasets: Any = pytest.importorskip("sklearn.datasets")
    raw = datasets.load_digits()
    pixels = np.clip(np.floor(raw.data / PIXEL_STEP), -128, 127).astype(np.int8)
    stored = held_out["input"].reshape(-1, 64)
    np.testing.assert_array_equal(stored, pixels[TEST_START:])
    np.testing.assert_array_equal(held_out["label"], raw.target[TEST_START:])
    assert not {row.tobytes() for row in stored} & {row.tobytes() for row in pixels[:TEST_START]}
