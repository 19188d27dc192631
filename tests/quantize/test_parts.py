"""The steps of a conversion alone."""

from __future__ import annotations

import numpy as np
import pytest
from float_models import FloatNet
from hypothesis import given, settings
from hypothesis import strategies as st

from htvm_ir.frontends.onnx.reader import read_graph
from htvm_ir.quantize.equalise import equalised, with_bounds_at_the_end, without_idle_clips
from htvm_ir.quantize.exponents import Format, choose, covering, groups
from htvm_ir.quantize.forward import run
from htvm_ir.quantize.inputs import grid
from htvm_ir.quantize.network import Network
from htvm_ir.quantize.read import read_network
from htvm_ir.quantize.rounding import round_weights


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.integers(-8, 8), st.sampled_from([0, 128]))
def test_formats_round_to_nearest(seed: int, exponent: int, offset: int) -> None:
    form = Format(exponent, offset)
    reach = 2.0**exponent * 127
    values = np.random.default_rng(seed).uniform(0 if offset else -reach, reach, 200).astype(np.float32)
    integers = form.integers(values)
    assert integers.min() >= -128 and integers.max() <= 127
    assert np.abs(form.real(integers) - values).max() <= 2.0**exponent / 2 * 1.0001
    assert covering(reach, 127) == exponent


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000))
def test_compensated_rounding_loses_less_than_rounding_to_nearest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups_, channels, taps = 2, 4, 12
    mixing = rng.normal(0, 1, (groups_, taps, 3))
    x = mixing @ rng.normal(0, 1, (groups_, 3, 500)) + rng.normal(0, 0.1, (groups_, taps, 500))
    covariance = x @ x.swapaxes(1, 2) / 500
    weights = rng.normal(0, 4, (groups_, channels, taps))

    def lost(rounded: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
        return float(np.sum(((rounded - weights) @ x) ** 2))

    rounded = round_weights(weights, covariance, 0)
    assert np.array_equal(rounded, np.rint(rounded)) and np.abs(rounded).max() <= 128
    assert lost(rounded) < lost(np.rint(weights))


def test_the_grid_of_dequantised_data() -> None:
    rng = np.random.default_rng(0)
    integers = rng.integers(-128, 128, 4000)
    assert grid((integers.astype(np.float32) - np.float32(83)) * np.float32(0.5847)) == pytest.approx(0.5847, rel=1e-5)
    assert grid(rng.normal(0, 1, 4000).astype(np.float32)) is None
    assert grid(np.array([0.0, 1.0, 1.5, 1.7], np.float32)) is None
    assert grid(np.zeros(5, np.float32)) is None


def residual() -> tuple[FloatNet, Network]:
    net = FloatNet((3, 6, 6), 4)
    a = net.node("Relu", net.conv("x", 3, 4, 3, pads=[1] * 4))
    b = net.conv(a, 4, 4, 3, pads=[1] * 4)
    c = net.node("MaxPool", net.node("Add", a, b), kernel_shape=[2, 2])
    return net, read_network(read_graph(net.model(net.conv(c, 4, 2, 1))))


def test_tensors_that_share_a_format() -> None:
    _, network = residual()
    conv1, conv2, total, pool, last = (layer.name for layer in network.layers)
    shared = {frozenset(group) for group in groups(network)}
    assert shared == {frozenset(["x"]), frozenset([conv1, conv2]), frozenset([total, pool]), frozenset([last])}


def test_sums_are_never_shifted_left() -> None:
    net, network = residual()
    conv2 = network.layers[1]
    tensors = run(network.layers, {"x": net.samples(10)})
    # a sum of next to nothing: its operands cancel
    tensors[network.layers[2].name] = tensors[network.layers[2].name] * np.float32(1e-4)
    formats = choose(network, tensors, {})
    assert formats[network.layers[2].name].exponent >= formats[conv2.name].exponent


def separable(high: float) -> tuple[FloatNet, Network]:
    net = FloatNet((3, 6, 6), 4)
    x = net.node("Clip", net.conv("x", 3, 6, 3, pads=[1] * 4), np.array(0.0), np.array(high))
    x = net.node("Relu", net.conv(x, 6, 6, 3, groups=6, pads=[1] * 4))
    x = net.node("Flatten", net.node("GlobalAveragePool", net.node("Relu", net.conv(x, 6, 8, 1))))
    return net, read_network(read_graph(net.model(net.dense(x, 8, 3))))


@pytest.mark.parametrize("high", [0.7, 1e9])
def test_equalisation_keeps_the_function_and_evens_the_channels(high: float) -> None:
    net, network = separable(high)
    x = {"x": net.samples(20).astype(np.float64)}
    before = run(network.layers, x)
    changed = with_bounds_at_the_end(without_idle_clips(network, before))
    changed = equalised(changed, run(changed.layers, x))
    after = run(changed.layers, x)
    (output,) = network.outputs.values()
    np.testing.assert_allclose(after[output], before[output], rtol=1e-6, atol=1e-9)
    assert np.isinf(changed.layers[0].high) == (high > 1e3)
    if high < 1e3:
        assert changed.layers[0].high / 127 == 2.0 ** np.rint(np.log2(changed.layers[0].high / 127))

    def spread(name: str, tensors: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]) -> float:
        largest = tensors[name].max(axis=(0, 2, 3))
        return float(np.log(largest[largest > 0]).std())

    name = network.layers[1].name
    assert spread(name, after) < 0.6 * spread(name, before)
