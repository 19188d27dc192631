"""Conversions as a whole: what is written is exact in onnxruntime, close to the float network, and fit for DIANA."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from float_models import Array, FloatNet, onnxruntime_outputs, random_net
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from htvm_ir.driver.edges import Edge
from htvm_ir.errors import HtvmError
from htvm_ir.frontends.onnx import import_model
from htvm_ir.frontends.onnx.reader import read_graph
from htvm_ir.interpreters.run import Runner
from htvm_ir.quantize import Converted, Cost, quantize, run_steps
from htvm_ir.quantize.forward import run
from htvm_ir.quantize.network import Add, Linear
from htvm_ir.quantize.read import read_network
from htvm_ir.quantize.write import to_onnx


def converted(model: onnx.ModelProto, x: Array) -> tuple[Converted, Cost]:
    return quantize(read_network(read_graph(model)), {"x": x})


def convertible(model: onnx.ModelProto, x: Array) -> tuple[Converted, Cost]:
    """The same of a random network; a few have a layer that hardly varies, whose sums the format cannot hold."""
    try:
        return converted(model, x)
    except HtvmError as error:
        assert "sums beyond 2^24" in str(error)
        reject()


def interpreted(model: onnx.ModelProto, found: Converted, x: Array) -> Array:
    """The first output by our interpreter, as real numbers."""
    runner = Runner(import_model(model))
    edge = Edge(("x",), (1, *x.shape[1:]), np.dtype(np.int8), (-128, 127), scale=found.scales["x"], rounding="half_up")
    integers = np.concatenate([runner.run([edge.quantize(x[i : i + 1])])[0] for i in range(len(x))])
    (tensor,) = found.network.outputs.values()
    return integers.astype(np.float32) * np.float32(2.0 ** found.form(tensor).exponent)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6))
def test_random_networks(seed: int) -> None:
    net, model = random_net(seed)
    x = net.samples(40)
    found, cost = convertible(model, x[:30])
    written = to_onnx(found)
    onnx.checker.check_model(written)
    (tensor,) = found.network.outputs.values()
    own = found.form(tensor).real(run_steps(found, {"x": x})[tensor])
    np.testing.assert_array_equal(own, onnxruntime_outputs(written, x))
    np.testing.assert_array_equal(own[:5], interpreted(written, found, x[:5]))
    reference = run(read_network(read_graph(model)).layers, {"x": x})[tensor]
    held_out = np.sum((own[30:] - reference[30:]) ** 2) / np.sum(reference[30:] ** 2)
    assert cost.relative_error < 0.15 and held_out**0.5 < 0.25


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10**6))
def test_the_format_is_the_array_s(seed: int) -> None:
    net, model = random_net(seed)
    found, _ = convertible(model, net.samples(20))
    for step in found.steps:
        assert 0 <= step.shift <= 31
        if isinstance(step.layer, Linear):
            assert step.weights is not None and np.array_equal(step.weights, np.rint(step.weights))
            assert step.weights.min() >= -128 and step.weights.max() <= 127
        if isinstance(step.layer, Linear | Add) and not any(reads_sum(found, step.layer.name)):
            assert (step.form.low, step.form.high) in ((-128, 127), (0, 127))


def reads_sum(found: Converted, name: str) -> list[bool]:
    """Whether each reader of a tensor is a sum, whose operands cannot be scaled so that their bounds are 127."""
    return [isinstance(layer, Add) for layer in found.network.readers(name)]


def test_a_network_of_the_zoo_s_size() -> None:
    net = FloatNet((49, 10, 1), 3)
    x = net.node("Transpose", "x", perm=[0, 3, 1, 2])
    x = net.node("Relu", net.conv(x, 1, 64, 3, strides=[2, 2], pads=[1, 1, 1, 1]))
    for _ in range(4):
        x = net.node("Relu", net.norm(net.conv(x, 64, 64, 3, groups=64, pads=[1] * 4), 64))
        x = net.node("Relu", net.norm(net.conv(x, 64, 64, 1), 64))
    x = net.node("AveragePool", x, kernel_shape=[25, 5], strides=[25, 5])
    x = net.node("MatMul", net.node("Reshape", x, np.array([-1, 64])), net.rng.normal(0, 0.2, (64, 12)))
    model = net.model(net.node("Softmax", net.node("Add", x, net.rng.normal(0, 0.2, 12))))
    data = net.samples(24)
    found, cost = converted(model, data[:16])
    assert found.network.dropped == ["Softmax"]
    assert cost.samples == 16 and cost.relative_error < 0.1
    written = to_onnx(found)
    np.testing.assert_array_equal(onnxruntime_outputs(written, data[16:18]), interpreted(written, found, data[16:18]))


def test_inputs_on_a_grid_are_exact() -> None:
    net = FloatNet((2, 6, 6), 1)
    model = net.model(net.conv("x", 2, 4, 3, pads=[1] * 4))
    step = np.float32(0.37)
    x = net.rng.integers(-90, 91, (20, 2, 6, 6)).astype(np.float32) * step
    found, _ = converted(model, x)
    assert found.scales["x"] == pytest.approx(0.37)
    assert found.steps[0].error < 1e-3


def test_a_bounded_activation_ends_where_8_bits_end() -> None:
    net = FloatNet((3, 8, 8), 2)
    x = net.node("Clip", net.conv("x", 3, 8, 3, pads=[1] * 4), np.array(0.0), np.array(0.8))
    model = net.model(net.conv(x, 8, 4, 3, pads=[1] * 4))
    found, cost = converted(model, net.samples(20))
    assert (found.steps[0].form.low, found.steps[0].form.high) == (0, 127)
    assert cost.relative_error < 0.05


def test_a_dead_input_and_constant_outputs() -> None:
    net = FloatNet((2, 4, 4), 5)
    weights = net.rng.normal(0, 1, (3, 2, 1, 1))
    weights[1] = 0
    x = net.node("Relu", net.node("Conv", "x", weights, np.array([0.1, 0.5, -0.1])))
    model = net.model(net.conv(x, 3, 2, 1))
    found, cost = converted(model, np.zeros((4, 2, 4, 4), np.float32))
    written = to_onnx(found)
    x = np.zeros((1, 2, 4, 4), np.float32)
    assert cost.relative_error < 0.05
    np.testing.assert_array_equal(onnxruntime_outputs(written, x), interpreted(written, found, x))


def test_numbers_beyond_any_scale() -> None:
    net = FloatNet((2, 4, 4), 5)
    model = net.model(net.node("Conv", "x", np.full((1, 2, 1, 1), 1e30)))
    with pytest.raises(HtvmError, match="no 8-bit scale suits"):
        converted(model, net.samples(4))
