"""What the command line says of kernels by TVM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from float_networks import onnxruntime, samples, two_regions

from htvm_ir.tools.htvm import main


@pytest.fixture
def model(tmp_path: Path) -> str:
    """A network with operators that are not implemented."""
    path = tmp_path / "net.onnx"
    onnx.save(two_regions(), path)
    return str(path)


def test_without_tvm_the_operator_and_the_extra_are_named(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", model]) == 1
    told = capsys.readouterr().err
    assert "LayerNormalization 'normal': operator is not supported" in told
    assert told.endswith("TVM can compile it for the CPU: pip install 'htvm-ir[tvm]'\n")
    assert main(["explain", model, "--fallback", "tvm"]) == 1
    assert capsys.readouterr().err == "htvm: --fallback tvm needs TVM; install it with pip install 'htvm-ir[tvm]'\n"
    assert main(["explain", model, "--io", "float"]) == 1
    assert "pip install" in capsys.readouterr().err


def test_without_a_fallback_nothing_is_to_be_installed(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", model, "--fallback", "none"]) == 1
    told = capsys.readouterr().err
    assert "LayerNormalization 'normal': operator is not supported" in told
    assert "pip install" not in told


@pytest.mark.tvm
def test_explain_names_the_operators_and_the_reason(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", model, "--target", "npu"]) == 0
    told = capsys.readouterr().out
    assert "TVM's kernel of DequantizeLinear, LayerNormalization: LayerNormalization 'normal'" in told


@pytest.mark.tvm
def test_run_compares_real_numbers_with_a_reference(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = two_regions()
    inputs = samples(net, 4)
    outputs = dict(zip(("y", "z2"), onnxruntime(net, inputs), strict=True))
    good, bad = str(tmp_path / "good.npz"), str(tmp_path / "bad.npz")
    arrays: dict[str, Any] = {**inputs, **outputs}
    np.savez(good, **arrays)
    np.savez(bad, **(arrays | {"y": arrays["y"] + np.float32(1e-3)}))
    command = ["run", model, "--target", "npu", "--io", "float", "--no-cache", "--check", "--input"]
    assert main([*command, good]) == 0
    assert main([*command, bad]) == 1
    assert "differ" in capsys.readouterr().err
