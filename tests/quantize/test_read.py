"""Models as float networks: the same function as onnxruntime's, whatever was folded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from float_models import Array, FloatNet, onnxruntime_outputs
from onnx import TensorProto

from htvm_ir.errors import HtvmError
from htvm_ir.frontends.onnx.reader import read_graph
from htvm_ir.quantize.forward import run
from htvm_ir.quantize.network import Network
from htvm_ir.quantize.read import read_network


def read(net: FloatNet, output: str, **options: Any) -> Network:
    return read_network(read_graph(net.model(output, **options)))


def same(net: FloatNet, output: str, kinds: str) -> Network:
    """Reads the network, compares its layers with ``kinds`` and its results with onnxruntime's."""
    network, x = read(net, output), net.samples(3)
    assert " ".join(layer.kind for layer in network.layers) == kinds
    (tensor,) = network.outputs.values()
    got = run(network.layers, {"x": x.astype(np.float64)})[tensor]
    np.testing.assert_allclose(got, onnxruntime_outputs(net.model(output), x), rtol=1e-4, atol=1e-4)
    return network


def test_batch_norm_and_constants_are_folded_into_the_layer_before() -> None:
    net = FloatNet((3, 5, 5))
    x = net.norm(net.conv("x", 3, 4, 3, strides=[2, 1], pads=[0, 1, 1, 0]), 4)
    x = net.node("Mul", x, net.rng.normal(0, 1, (4, 1, 1)))
    x = net.node("Sub", np.array(1.0), net.node("Div", x, np.array(3.0)))
    same(net, net.node("Relu", x), "conv")


def test_what_has_no_layer_before_becomes_a_depthwise_convolution() -> None:
    net = FloatNet((3, 5, 5))
    same(net, net.conv(net.norm("x", 3), 3, 4, 3), "depthwise conv")


def test_grouped_and_dilated_convolutions() -> None:
    net = FloatNet((4, 9, 9))
    x = net.conv("x", 4, 6, 3, groups=2, dilations=[2, 2], pads=[2, 2, 2, 2])
    same(net, net.conv(x, 6, 6, 3, groups=6, auto_pad="SAME_UPPER", strides=[2, 2]), "conv depthwise")


def test_a_clip_that_not_all_readers_see_is_a_layer() -> None:
    net = FloatNet((3, 4, 4))
    x = net.conv("x", 3, 3, 1)
    same(net, net.node("Add", x, net.node("Relu", x)), "conv clip add")
    net = FloatNet((3, 4, 4))
    y = net.node("Relu", net.conv("x", 3, 3, 1))
    same(net, net.node("Add", y, net.conv(y, 3, 3, 1)), "conv conv add")
    net = FloatNet((3, 4, 4))
    x = net.conv("x", 3, 3, 1)
    alias = net.node("Identity", x)
    same(net, net.node("Add", alias, net.node("Relu", x)), "conv clip add")


def test_pools_and_shapes() -> None:
    net = FloatNet((6, 6, 2))
    x = net.node("Transpose", "x", perm=[0, 3, 1, 2])
    x = net.node("AveragePool", x, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    x = net.node("MaxPool", x, kernel_shape=[2, 3], strides=[2, 1])
    x = net.node("ReduceMean", x, axes=[2, 3], keepdims=0)
    same(net, net.node("Gemm", x, net.rng.normal(0, 1, (2, 3)), alpha=0.5), "move pool pool pool move dense")


def quantized_net(zero_point: int, relu: bool) -> tuple[FloatNet, str]:
    """x (int8) -> dequantised -> conv with quantised weights -> quantised to uint8 or int8."""
    net = FloatNet((2, 5, 5))
    scale, zero = np.array(0.05, np.float32), np.array(7, np.int8)
    x = net.node("DequantizeLinear", "x", scale, zero)
    weights = net.rng.integers(-127, 128, (3, 2, 3, 3)).astype(np.int8)
    scales = net.rng.uniform(0.01, 0.02, 3).astype(np.float32)
    w = net.node("DequantizeLinear", weights, scales, np.zeros(3, np.int8), axis=0)
    b = net.node("DequantizeLinear", np.array([100, -200, 300], np.int32), scales * scale, axis=0)
    y = net.node("Conv", x, w, b)
    y = net.node("Relu", y) if relu else y
    out = (np.array(0.02, np.float32), np.array(zero_point, np.int8))
    return net, net.node("DequantizeLinear", net.node("QuantizeLinear", y, *out), *out)


@pytest.mark.parametrize("zero_point", [-128, 3])
def test_qdq(zero_point: int) -> None:
    net, output = quantized_net(zero_point, relu=zero_point == -128)
    network = read(net, output, element=TensorProto.INT8)
    (source,) = network.sources
    assert (source.scale, source.zero_point) == (pytest.approx(0.05), 7)
    (layer,) = network.layers
    assert (layer.low, layer.high) == ((0.0, pytest.approx(5.1)) if zero_point == -128 else (-np.inf, np.inf))
    q = net.rng.integers(-60, 60, (4, 2, 5, 5)).astype(np.int8)
    real = (q.astype(np.float64) - 7) * 0.05
    got = run(network.layers, {"x": real})[layer.name]
    expected: Array = onnxruntime_outputs(net.model(output, element=TensorProto.INT8), q)
    inside = np.abs(got) < 2.4
    assert inside.any() and np.abs(got - expected)[inside].max() <= 0.0101


def test_a_quantised_zero_is_a_relu() -> None:
    net, output = quantized_net(-128, relu=False)
    (layer,) = read(net, output, element=TensorProto.INT8).layers
    assert layer.low == 0


BUILD = Callable[[FloatNet], str]
REFUSED: dict[str, tuple[BUILD, str]] = {
    "sigmoid": (lambda net: net.node("Sigmoid", "x"), "Sigmoid 't0': cannot be converted; operators that can"),
    "integer net": (lambda net: net.node("Floor", "x"), "it is an integer net already"),
    "product": (lambda net: net.node("Mul", net.node("Relu", "x"), "x"), "only with one computed operand"),
    "softmax inside": (lambda net: net.node("Relu", net.node("Softmax", "x")), "follows a Softmax"),
    "infinite": (lambda net: net.node("Div", net.conv("x", 2, 2, 1), np.array(0.0)), "not finite"),
    "copy": (lambda net: net.node("Identity", "x"), "is an input unchanged"),
    "batch": (lambda net: net.node("Transpose", "x", perm=[1, 0, 2, 3]), "moves the batch axis"),
    "computed weights": (lambda net: net.node("Conv", "x", net.node("Relu", "x")), "must be a constant"),
    "plane": (lambda net: net.node("Add", net.conv("x", 2, 2, 1), np.ones((1, 2, 4, 4))), "one for each channel"),
}


@pytest.mark.parametrize(("build", "words"), REFUSED.values(), ids=REFUSED)
def test_refusals(build: BUILD, words: str) -> None:
    net = FloatNet((2, 4, 4))
    with pytest.raises(HtvmError, match=words):
        read(net, build(net))
