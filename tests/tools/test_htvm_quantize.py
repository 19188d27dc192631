"""``htvm quantize`` and ``--numerics=pow2``: what they write, say and refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from htvm_ir.tools.htvm import main

SHAPE = (8, 8, 2)
RNG = np.random.default_rng(0)
DATA = RNG.normal(0, 2, (12, *SHAPE)).astype(np.float32)


def save_net(path: Path) -> None:
    """A float network on NHWC: transposed, convolution, ReLU, mean, dense, Softmax; the batch is free."""
    weights = {"w": (4, 2, 3, 3), "b": (4,), "m": (3, 4), "c": (3,)}
    nodes = [
        helper.make_node("Transpose", ["image"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["nchw", "w", "b"], ["conv"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("GlobalAveragePool", ["relu"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Gemm", ["flat", "m", "c"], ["logits"], transB=1),
        helper.make_node("Softmax", ["logits"], ["class"]),
    ]
    rng = np.random.default_rng(1)
    constants = [numpy_helper.from_array(rng.normal(0, 0.5, s).astype(np.float32), n) for n, s in weights.items()]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", *SHAPE])
    classes = helper.make_tensor_value_info("class", TensorProto.FLOAT, ["n", 3])
    graph = helper.make_graph(nodes, "net", [image], [classes], constants)
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])
    path.write_bytes(model.SerializeToString())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory of a test: float.onnx and data.npz."""
    monkeypatch.chdir(tmp_path)
    save_net(tmp_path / "float.onnx")
    np.savez(tmp_path / "data.npz", image=DATA, label=np.zeros(12, np.int64), output=np.zeros((12, 3), np.int8))
    return tmp_path


def test_quantize_writes_a_net_that_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quantize", "float.onnx", "--calibration", "data.npz", "-o", "int.onnx"]) == 0
    said = capsys.readouterr().out
    assert "left to the caller: Softmax" in said and "on 12 calibration samples" in said and "SNR" in said
    onnx.checker.check_model(onnx.load("int.onnx"))
    session = onnxruntime.InferenceSession("int.onnx", providers=["CPUExecutionProvider"])
    expected = np.concatenate([np.asarray(session.run(None, {"image": x[None]})[0]) for x in DATA[:3]])
    arguments = ["int.onnx", "--input", "data.npz", "--samples", "3", "--outputs", "out.npz", "--json"]
    np.savez("data.npz", image=DATA)
    assert main(["run", *arguments, "--check", "--check-layers"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["check"]["layers_checked"] > 0 and report["input_edge"] == "float"
    (scale,) = (edge["scale"] for edge in report["outputs"])
    np.testing.assert_array_equal(np.load("out.npz")["class"] * np.float32(scale), expected)


def test_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--calibration", "data.npz", "--calibration-samples", "5", "-o", "int.onnx", "--json"]
    assert main(["quantize", "float.onnx", *options]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["samples"] == 5 and 0 < report["relative_error"] < 0.1
    assert [layer["op"] for layer in report["layers"]] == ["move", "conv", "pool", "move", "dense"]


@pytest.mark.parametrize("kind", ["float", "integer"])
def test_pow2_is_quantize_and_then_run(kind: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    integers = np.clip(np.rint(DATA / 0.05) + 3, -128, 127).astype(np.int8)
    real = (integers.astype(np.float32) - 3) * np.float32(0.05)
    np.savez("real.npz", image=real)
    given = real if kind == "float" else integers
    np.savez("given.npz", image=given, input_scale=np.float32(0.05), input_zp=3, output=np.zeros((12, 3), np.int8))
    pow2 = ["--numerics", "pow2", "--calibration", "given.npz", "--input", "given.npz"]
    assert main(["run", "float.onnx", *pow2, "--outputs", "a.npz", "--check", "--samples", "4"]) == 0
    assert "on 12 calibration samples" in capsys.readouterr().out
    assert main(["quantize", "float.onnx", "--calibration", "real.npz", "-o", "int.onnx"]) == 0
    assert main(["run", "int.onnx", "--input", "real.npz", "--outputs", "b.npz", "--samples", "4"]) == 0
    np.testing.assert_array_equal(np.load("a.npz")["class"], np.load("b.npz")["class"])


def test_compile_reports_the_cost(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--numerics", "pow2", "--calibration", "data.npz", "--json"]
    assert main(["compile", "float.onnx", *options]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["quantization"]["samples"] == 12
    engines = {layer["op"]: layer["engine"] for layer in report["layers"]}
    assert engines["conv2d"] == "digital"


BAD: dict[str, tuple[Callable[[], object], str]] = {
    "name": (lambda: np.savez("bad.npz", picture=DATA), "no array 'image' for the network's input (it holds picture)"),
    "nothing": (lambda: np.savez("bad.npz"), "it holds nothing"),
    "shape": (lambda: np.savez("bad.npz", image=DATA[..., :1]), "has shape [12, 8, 8, 1], expected [N, 8, 8, 2]"),
    "no sample axis": (lambda: np.savez("bad.npz", image=DATA[0]), "has shape [8, 8, 2], expected [N, 8, 8, 2]"),
    "empty": (lambda: np.savez("bad.npz", image=DATA[:0]), "holds no samples"),
    "NaN": (lambda: np.savez("bad.npz", image=DATA * np.float32(np.nan)), "not finite"),
    "type": (lambda: np.savez("bad.npz", image=DATA.astype(np.int32)), "is int32, expected float32"),
    "unscaled": (lambda: np.savez("bad.npz", image=DATA.astype(np.int8)), "add input_scale and input_zp"),
    "scale": (
        lambda: np.savez("bad.npz", image=DATA.astype(np.int8), input_scale=np.float32(0)),
        "input_scale must be one positive number",
    ),
    "too few": (lambda: np.savez("bad.npz", image=DATA[:3]), "holds 3 samples, 4 asked for"),
    "missing": (lambda: None, "bad.npz: no such file"),
    "text": (lambda: Path("bad.npz").write_text("numbers"), "not a readable .npz"),
}


@pytest.mark.parametrize(("prepare", "words"), BAD.values(), ids=BAD)
def test_bad_calibration_data(
    prepare: Callable[[], object], words: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare()
    options = ["--calibration", "bad.npz", "--calibration-samples", "4"]
    for command in (["quantize", *options, "-o", "x.onnx"], ["compile", "--numerics", "pow2", *options]):
        assert main([*command[:1], "float.onnx", *command[1:]]) == 1
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("htvm: bad.npz") and err.count("\n") == 1 and words in err
    assert not Path("x.onnx").exists()


def test_what_cannot_be_converted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quantize", "zoo:dae", "--calibration", "data.npz", "-o", "x.onnx"]) == 1
    assert "is an integer net already" in capsys.readouterr().err
    assert main(["quantize", "absent.onnx", "--calibration", "data.npz", "-o", "x.onnx"]) == 1
    assert "absent.onnx: no such file" in capsys.readouterr().err
    assert main(["quantize", "float.onnx", "--calibration", "data.npz", "-o", "absent/x.onnx"]) == 1
    assert "cannot write the model" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--numerics", "pow2"], ["--calibration", "data.npz"]])
def test_pow2_and_calibration_go_together(options: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["compile", "float.onnx", *options])
    assert stopped.value.code == 2
    assert "go together" in capsys.readouterr().err
