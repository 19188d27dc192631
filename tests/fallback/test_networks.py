"""Networks with TVM's kernels on the virtual SoC: to the last bit the interpreter's, and close to onnxruntime."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from float_networks import Array, onnxruntime, resnet_in_floats, samples, two_regions

from htvm_ir.driver.compile import Compiled, Options, compile_model
from htvm_ir.driver.edges import edges
from htvm_ir.driver.execute import execute
from htvm_ir.driver.samples import Samples

pytestmark = pytest.mark.tvm

TOLERANCE = 1e-5
FLOATS = Options(io="float", solver_seconds=1.0)


def compiled_of(net: onnx.ModelProto, folder: Path, options: Options) -> Compiled:
    """The package of a model."""
    onnx.save(net, folder / "net.onnx")
    return compile_model(str(folder / "net.onnx"), options)


def on_soc(compiled: Compiled, inputs: dict[str, Array]) -> list[Array]:
    """One inference, every kernel of which leaves what the interpreter says."""
    order = [edge.name for edge in edges(compiled.module)[0]]
    ran = execute(compiled, "default", Samples(tuple(inputs[n] for n in order), "float"), check=True, check_layers=True)
    assert ran.check is not None
    assert not ran.check.failed, ran.check.first
    assert ran.check.layers_checked > 3
    return ran.outputs


def test_float_blocks_around_an_accelerated_network(tmp_path: Path) -> None:
    net = resnet_in_floats()
    compiled = compiled_of(net, tmp_path, FLOATS)
    engines = [layer["engine"] for layer in compiled.report["layers"]]
    assert engines.count("digital") == 13
    externals = [layer for layer in compiled.report["layers"] if layer["op"] == "external"]
    assert [layer["engine"] for layer in externals] == ["cpu", "cpu"]
    assert "Erf" in externals[0]["reason"]
    assert "Softmax" in externals[1]["reason"]
    inputs = samples(net, 0)
    (got,), (expected,) = on_soc(compiled, inputs), onnxruntime(net, inputs)
    assert got.dtype == np.float32
    assert np.abs(got - expected).max() < TOLERANCE


@pytest.mark.parametrize("target", ["npu", "diana"])
def test_regions_in_the_middle_and_several_results(tmp_path: Path, target: str) -> None:
    net = two_regions()
    compiled = compiled_of(net, tmp_path, replace(FLOATS, target=target))
    assert [layer["op"] for layer in compiled.report["layers"]].count("external") == 5
    inputs = samples(net, 1)
    got, expected = on_soc(compiled, inputs), onnxruntime(net, inputs)
    assert len(got) == 2
    for ours, theirs in zip(got, expected, strict=True):
        assert np.abs(ours - theirs).max() < TOLERANCE


def test_integer_edges_stay_with_the_caller(tmp_path: Path) -> None:
    compiled = compiled_of(two_regions(), tmp_path, replace(FLOATS, io="integer", target="npu"))
    (x,), (y, z) = edges(compiled.module)
    assert (str(x.dtype), str(y.dtype), str(z.dtype)) == ("int8", "int8", "float32")
    assert y.tail == ("Softmax 'y'",)


def test_every_buffer_is_in_the_plan(tmp_path: Path) -> None:
    """Neither the heap nor the stack holds a kernel's tensors, and none of TVM's run time is left."""
    compiled = compiled_of(two_regions(), tmp_path, replace(FLOATS, target="npu"))
    source = compiled.files["src/tvmgen_default_kernels.c"]
    assert "workspace" in source
    for foreign in ("malloc", "TVMBackend", "TVM_DLL", "HTVM_FLOAT(", "math.h"):
        assert foreign not in source
