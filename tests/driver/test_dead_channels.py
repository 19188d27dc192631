"""A network with constant channels on the virtual SoC: they are not computed, what is left is compared as ever."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from htvm_ir.driver.compile import Compiled, Options, compile_model
from htvm_ir.driver.edges import edges
from htvm_ir.driver.execute import Check, execute
from htvm_ir.driver.samples import load_samples
from htvm_ir.interpreters.run import Runner
from htvm_ir.report import tables
from htvm_ir.zoo.builder import NetBuilder

SHAPE, DEAD = (4, 6, 6), [3, 7]


def model() -> onnx.ModelProto:
    """Two convolutions and their sum; the same two of 16 channels are dead in both."""
    builder = NetBuilder("dead", SHAPE, scale=1 / 16)
    a = builder.conv("conv1", builder.input, 16, (3, 3))
    b = builder.conv("conv2", a, 16, (3, 3), relu=False)
    pooled = builder.global_average("pool", builder.add("sum", a, b))
    builder.output(builder.dense("logits", pooled, 5, relu=False), 1 / 4)
    network = builder.model()
    for tensor in network.graph.initializer:
        array = numpy_helper.to_array(tensor).copy()
        if array.ndim and len(array) == 16:
            array[DEAD] = 0
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return network


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    path = tmp_path_factory.mktemp("dead") / "dead.onnx"
    path.write_bytes(model().SerializeToString())
    return compile_model(str(path), Options())


def checked(compiled: Compiled, spoilt: str = "") -> Check:
    """One sample against the interpreter and against whole tensors, one of them spoilt in a channel that is left."""
    samples = load_samples("random:0", *edges(compiled.module), 1)
    layers = {name: np.array(value) for name, value in Runner(compiled.source).layers(samples.inputs).items()}
    if spoilt:
        layers[spoilt][0, 8] += 1
    check = execute(compiled, "default", samples, check=True, check_layers=True, layers=layers).check
    assert check is not None
    return check


def test_the_report_counts_what_is_left(compiled: Compiled) -> None:
    pixels = SHAPE[1] * SHAPE[2]
    counts = compiled.report["macs"]
    assert counts["network"] == pixels * 9 * (4 * 16 + 16 * 16) + 16 * 5
    assert counts["executed"] == pixels * 9 * (4 * 14 + 14 * 14) + 14 * 5
    assert tables.macs(compiled.report) == "MACs: 103,760 in the network, 81,718 executed"


def test_the_baseline_computes_everything(tmp_path: Path) -> None:
    path = tmp_path / "dead.onnx"
    path.write_bytes(model().SerializeToString())
    counts = compile_model(str(path), Options(tiler="dory")).report["macs"]
    assert counts["executed"] == counts["network"] == 103_760


def test_layers_are_compared_in_what_is_left(compiled: Compiled) -> None:
    check = checked(compiled)
    assert not check.failed, check.first
    assert check.layers_checked == 2 * len(compiled.report["layers"])
    conv = next(layer["name"] for layer in compiled.report["layers"] if layer["op"] == "conv2d")
    assert checked(compiled, conv).layer_mismatches == 1


def test_the_result_is_that_of_the_whole_network(compiled: Compiled) -> None:
    samples = load_samples("random:3", *edges(compiled.module), 2)
    done = execute(compiled, "default", samples)
    for index, output in enumerate(done.outputs[0]):
        (expected,) = Runner(compiled.source).run([samples.inputs[0][index : index + 1]])
        np.testing.assert_array_equal(output, expected[0])
