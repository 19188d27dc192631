"""The zoo's networks: valid, deterministic, of the stated size, alive, and equal to onnxruntime."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from htvm_ir import zoo
from htvm_ir.errors import HtvmError
from htvm_ir.zoo.arithmetic import Array
from htvm_ir.zoo.networks import NETWORKS

MACS = {
    "resnet8": 12_501_632,
    "dscnn": 2_656_768,
    "mobilenetv1": 7_489_664,
    "dae": 264_192,
    "dscnn-htvm": 2_616_768,
    "resnet8-mixed": 12_501_632,
    "resnet8-ternary": 12_501_632,
    "dscnn-mixed": 2_656_768,
    "resnet50": 39_489_792,
    "chain": 2_011_216,
}
SHAPES = {
    "resnet8": ((1, 3, 32, 32), (1, 10)),
    "dscnn": ((1, 1, 49, 10), (1, 12)),
    "mobilenetv1": ((1, 3, 96, 96), (1, 2)),
    "dae": ((1, 640), (1, 640)),
    "dscnn-htvm": ((1, 1, 10, 49), (1, 12)),
    "resnet8-mixed": ((1, 3, 32, 32), (1, 10)),
    "resnet8-ternary": ((1, 3, 32, 32), (1, 10)),
    "dscnn-mixed": ((1, 1, 49, 10), (1, 12)),
    "resnet50": ((1, 3, 224, 224), (1, 10)),
    "chain": ((1, 8, 8, 8), (1, 10)),
}
every_network = pytest.mark.parametrize("name", zoo.names())


@cache
def model(name: str) -> onnx.ModelProto:
    return zoo.build(name)


def parameters(name: str) -> dict[str, Array]:
    return {t.name: numpy_helper.to_array(t) for t in model(name).graph.initializer}


def input_scale(name: str) -> float:
    return float(parameters(name)[model(name).graph.node[0].input[1]][0])


def run_all(name: str, inputs: Array) -> dict[str, Array]:
    """Every tensor onnxruntime computes for integer inputs (N, ...), one sample at a time."""
    exposed = onnx.ModelProto.FromString(model(name).SerializeToString())
    tensors = [node.output[0] for node in exposed.graph.node]
    del exposed.graph.output[:]
    exposed.graph.output.extend(helper.make_tensor_value_info(t, onnx.TensorProto.FLOAT, None) for t in tensors)
    session = onnxruntime.InferenceSession(exposed.SerializeToString())
    samples = [session.run(tensors, {"input": x[None] * input_scale(name)}) for x in inputs]
    return {t: np.concatenate(values) for t, values in zip(tensors, zip(*samples, strict=True), strict=True)}


@every_network
def test_is_valid_onnx_of_the_stated_shape(name: str) -> None:
    onnx.checker.check_model(model(name), full_check=True)
    inferred = onnx.shape_inference.infer_shapes(model(name), strict_mode=True).graph
    shapes = tuple(
        tuple(d.dim_value for d in value.type.tensor_type.shape.dim) for value in (*inferred.input, *inferred.output)
    )
    assert shapes == SHAPES[name]


@every_network
def test_two_builds_are_the_same_bytes(name: str) -> None:
    assert zoo.build(name).SerializeToString() == model(name).SerializeToString()


@every_network
def test_counts_its_multiply_accumulates(name: str) -> None:
    weights = parameters(name)
    inferred = onnx.shape_inference.infer_shapes(model(name)).graph
    sizes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in inferred.value_info}
    macs = 0
    for node in inferred.node:
        if node.op_type in ("Conv", "Gemm"):
            positions = np.prod(sizes[node.output[0]][2:], dtype=int)
            macs += int(positions) * weights[node.input[1]].size
    assert macs == MACS[name]


@every_network
def test_parameters_are_integers_that_accumulate_exactly(name: str) -> None:
    for tensor, weight in parameters(name).items():
        if tensor.endswith(".weight"):
            bias = parameters(name).get(tensor.replace(".weight", ".bias"), np.zeros(len(weight), np.float32))
            assert np.all(weight == np.rint(weight)) and np.all(bias == np.rint(bias))
            assert weight.min() >= -128 and weight.max() <= 127
            largest = np.abs(weight).reshape(len(bias), -1).sum(axis=1) * 128 + np.abs(bias)
            assert largest.max() < 2**24


@every_network
def test_integer_forward_equals_onnxruntime(name: str) -> None:
    builder = NETWORKS[name](name)
    actual = run_all(name, builder.activations[builder.input])
    for tensor, expected in builder.activations.items():
        np.testing.assert_array_equal(actual[tensor], expected, err_msg=tensor)


@every_network
def test_layers_stay_alive_on_unseen_inputs(name: str) -> None:
    rng = np.random.default_rng(1)
    inputs = rng.integers(-128, 128, (8, *SHAPES[name][0][1:])).astype(np.float32)
    tensors = run_all(name, inputs)
    for layer in NETWORKS[name](name).activations:
        y = tensors[layer]
        assert np.mean((y == 127) | (y == -128)) <= 0.05, layer
        assert np.mean(y != 0) >= 0.2, layer
        assert y.size < 256 or len(np.unique(y)) > 16, layer


@every_network
def test_output_depends_on_the_input(name: str) -> None:
    rng = np.random.default_rng(2)
    inputs = rng.integers(-128, 128, (2, *SHAPES[name][0][1:])).astype(np.float32)
    output = run_all(name, inputs)["output"]
    assert np.any(output[0] != output[1])


@every_network
def test_description_is_one_line(name: str) -> None:
    assert zoo.describe(name) and "\n" not in zoo.describe(name)


def test_registry_and_topologies_agree() -> None:
    assert zoo.names() == tuple(NETWORKS)


@pytest.mark.parametrize("lookup", [zoo.build, zoo.describe])
def test_unknown_name_lists_the_known_ones(lookup: object) -> None:
    assert callable(lookup)
    with pytest.raises(HtvmError, match=r"no network named 'vgg'.*resnet8, dscnn, mobilenetv1"):
        lookup("vgg")


def test_a_network_in_another_size() -> None:
    small = zoo.build("mobilenetv1,width=0.125,resolution=64")
    onnx.checker.check_model(small, full_check=True)
    assert [d.dim_value for d in small.graph.input[0].type.tensor_type.shape.dim] == [1, 3, 64, 64]
    weights = {t.name: t.dims for t in small.graph.initializer}
    assert weights["conv1.weight"] == [8, 3, 3, 3]  # never fewer than 8 channels
    assert weights["block13.pointwise.weight"] == [128, 128, 1, 1]
    assert small.SerializeToString() == zoo.build("mobilenetv1,resolution=64,width=0.125").SerializeToString()


def test_settings_that_change_nothing_are_not_part_of_the_name() -> None:
    assert zoo.build("mobilenetv1,width=0.25") == model("mobilenetv1")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mobilenetv1,resolution=8", "resolution = 8 is not within 32 to 512"),
        ("mobilenetv1,width=2", "width = 2.0 is not within 0.05 to 1"),
        ("mobilenetv1,depth=2", "zoo network 'mobilenetv1' has no setting 'depth'; its settings are width, resolution"),
        ("resnet8,width=1", "zoo network 'resnet8' has no setting 'width'; it has no settings"),
    ],
)
def test_wrong_settings(name: str, message: str) -> None:
    with pytest.raises(HtvmError, match=message):
        zoo.build(name)
