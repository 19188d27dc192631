"""QDQ networks: every pattern equals onnxruntime, within its float32 rounding."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from onnx_models import names, operations
from qdq_models import Network, differences, reference, result

from htvm_ir.dialects.graph import NAME
from htvm_ir.errors import HtvmError
from htvm_ir.frontends.onnx import Rounding, import_model
from htvm_ir.interpreters.run import Runner


def start(shape: tuple[int, ...] = (1, 6, 9, 7), dtype: str = "int8", scale: float = 0.0497, zero: int = 3) -> Network:
    return Network(shape, dtype).dequantize("x", scale, zero, dtype)


def conv(net: Network, channels: int = 8, groups: int = 1, kernel: tuple[int, ...] = (3, 3), **attributes: object):
    """x.f convolved to c, scales per channel, with a bias."""
    scale = np.linspace(0.001, 0.01, channels)
    net.weights("w", (channels, net.shape[1] // groups, *kernel), scale)
    net.bias("b", scale.astype(np.float32) * net.constants["x.s"], channels)
    return net.op("Conv", "x.f w.f b.f", "c", group=groups, **attributes)


def two(op: str, zero: int = -7, dtype: str = "int8") -> Network:
    """x and a function of x, each on its own scale, through ``op``."""
    net = start(dtype=dtype).op("Sigmoid", "x.f", "s").quantize("s", "t", 0.003917, zero, dtype)
    return net.op(op, "x.f t.f", "c")


def end(net: Network, scale: float = 0.0533, zero: int = 4, dtype: str = "int8", source: str = "c") -> Network:
    return net.quantize(source, "y", scale, zero, dtype)


PATTERNS: dict[str, Callable[[], Network]] = {
    "conv": lambda: end(conv(start(), pads=[1, 1, 1, 1])),
    "conv with asymmetric pads and strides": lambda: end(conv(start(), pads=[0, 0, 1, 1], strides=[2, 2])),
    "conv with auto_pad": lambda: end(conv(start(), auto_pad="SAME_UPPER", strides=[2, 2])),
    "conv with dilations": lambda: end(conv(start(), dilations=[2, 1])),
    "depthwise conv": lambda: end(conv(start(), 6, 6)),
    "grouped conv": lambda: end(conv(start(), 4, 2)),
    "conv, relu": lambda: end(conv(start()).op("Relu", "c", "r"), source="r", zero=-128),
    "conv, redundant relu of another zero point": lambda: end(conv(start()).op("Relu", "c", "r"), source="r"),
    "conv, relu6": lambda: end(
        conv(start()).constant("lo", 0.0).constant("hi", 6.0).op("Clip", "c lo hi", "r"), 0.1, source="r"
    ),
    "conv, relu between pairs": lambda: end(
        conv(start()).quantize("c", "m", 0.06, 1).op("Relu", "m.f", "r"), 0.06, 1, source="r"
    ),
    "conv, max pool before quantising": lambda: end(
        conv(start()).op("MaxPool", "c", "p", kernel_shape=[2, 2], strides=[2, 2]), source="p"
    ),
    "conv, flatten, relu before quantising": lambda: end(
        conv(start()).op("Flatten", "c", "f").op("Relu", "f", "r"), source="r"
    ),
    "1-D conv": lambda: end(conv(start((1, 5, 21)), kernel=(4,), strides=[2], pads=[1, 2])),
    "1-D conv, conv": lambda: end(
        conv(start((1, 5, 21)), 5, kernel=(4,)).quantize("c", "m", 0.05).op("Conv", "m.f w.f", "d", pads=[1, 1]),
        source="d",
    ),
    "matmul": lambda: end(start((1, 40)).weights("w", (40, 9), 0.01).op("MatMul", "x.f w.f", "c")),
    "matmul, add": lambda: end(
        start((1, 40))
        .weights("w", (40, 9), 0.01)
        .bias("b", 0.0005, 9)
        .op("MatMul", "x.f w.f", "m")
        .op("Add", "b.f m", "c")
    ),
    "gemm": lambda: end(
        start((1, 40))
        .weights("w", (9, 40), np.linspace(0.01, 0.02, 9))
        .constant("b", np.arange(9) / 4)
        .op("Gemm", "x.f w.f b", "c", transB=1),
        0.1,
    ),
    "transposed weights": lambda: end(
        start((1, 40))
        .weights("w", (9, 40), np.linspace(0.01, 0.02, 9))
        .op("Transpose", "w.f", "t")
        .op("MatMul", "x.f t", "c"),
        0.1,
    ),
    "weights that the file quantises": lambda: end(
        start((1, 40))
        .constant("v", np.sin(np.arange(360)).reshape(40, 9))
        .quantize("v", "w", 1 / 127)
        .op("MatMul", "x.f w.f", "c"),
        0.1,
    ),
    "add": lambda: end(two("Add")),
    "sub": lambda: end(two("Sub")),
    "mul": lambda: end(two("Mul"), 0.0193),
    "add, relu": lambda: end(two("Add").op("Relu", "c", "r"), source="r"),
    "add a constant tensor": lambda: end(start().weights("k", (1, 6, 1, 1), 0.02).op("Add", "x.f k.f", "c")),
    "multiply with a number": lambda: end(start().constant("k", 1.7).op("Mul", "x.f k", "c")),
    "a number less the tensor": lambda: end(start().constant("k", 1.7).op("Sub", "k x.f", "c")),
    "average pool": lambda: end(start().op("AveragePool", "x.f", "c", kernel_shape=[3, 3]), 0.0497, 3),
    "average pool to another scale": lambda: end(start().op("AveragePool", "x.f", "c", kernel_shape=[3, 3]), 0.03, 9),
    # a scale that float32 divides by exactly, for means of 4 and 6 often end in one half
    "average pool with padding": lambda: end(
        start(scale=0.0625).op("AveragePool", "x.f", "c", kernel_shape=[3, 3], pads=[1, 1, 1, 1]), 0.0625, 3
    ),
    "average pool with padding to another scale": lambda: end(
        start().op("AveragePool", "x.f", "c", kernel_shape=[3, 3], pads=[1, 1, 1, 1]), 0.0317, 9
    ),
    "global average pool": lambda: end(start().op("GlobalAveragePool", "x.f", "c"), 0.02, 3),
    "reduce mean": lambda: end(start().op("ReduceMean", "x.f", "c", axes=[2, 3], keepdims=0), 0.02, 3),
    "1-D average pool": lambda: end(start((1, 6, 20)).op("AveragePool", "x.f", "c", kernel_shape=[3]), 0.0497, 3),
    "max pool": lambda: end(start().op("MaxPool", "x.f", "c", kernel_shape=[3, 2], pads=[1, 0, 1, 1]), 0.0497, 3),
    "1-D max pool": lambda: end(start((1, 6, 20)).op("MaxPool", "x.f", "c", kernel_shape=[3]), 0.0497, 3),
    "global max pool": lambda: end(start().op("GlobalMaxPool", "x.f", "c"), 0.0497, 3),
    "concat on different scales": lambda: end(joined(), 0.07),
    "concat on one scale": lambda: end(start().op("Concat", "x.f x.f", "c", axis=2), 0.0497, 3),
    "pad": lambda: end(start().constant("p", [0, 0, 1, 2, 0, 0, 0, 1], "int64").op("Pad", "x.f p", "c"), 0.05, 3),
    "pad behind a layer": lambda: end(
        conv(start()).constant("p", [0, 0, 1, 2, 0, 0, 0, 1], "int64").op("Pad", "c p", "q"), source="q"
    ),
    "slice": lambda: end(
        start()
        .constant("b", [1, -3], "int64")
        .constant("e", [9, 99], "int64")
        .constant("a", [2, 3], "int64")
        .constant("t", [2, 1], "int64")
        .op("Slice", "x.f b e a t", "c"),
        0.0497,
        3,
    ),
    "transpose": lambda: end(start().op("Transpose", "x.f", "c", perm=[0, 2, 3, 1]), 0.0497, 3),
    "flatten": lambda: end(start().op("Flatten", "x.f", "c"), 0.0497, 3),
    "rescale": lambda: end(start(), 0.033, -9, source="x.f"),
    "hard swish by parts": lambda: end(
        start().op("HardSigmoid", "x.f", "h", alpha=1 / 6).op("Mul", "x.f h", "c"), 0.03
    ),
    "swish on two scales": lambda: end(two("Mul"), 0.0193),
    **{
        op: lambda op=op: end(start(scale=0.03).op(op, "x.f", "c"), 0.03)
        for op in ("Relu", "Sigmoid", "Tanh", "LeakyRelu", "Elu", "Selu", "HardSigmoid", "Softplus", "Softsign", "Erf")
    },
    **{op: lambda op=op: end(start(scale=0.03).op(op, "x.f", "c"), 0.03) for op in ("Abs", "Neg", "Exp", "Sign")},
}


def joined() -> Network:
    net = start().op("Sigmoid", "x.f", "s").quantize("s", "t", 0.003917, -7)
    return net.op("Concat", "x.f t.f", "c", axis=1)


@pytest.mark.parametrize("name", PATTERNS)
def test_pattern(name: str) -> None:
    found = differences(PATTERNS[name]())
    assert np.abs(found).max() <= 1
    assert np.count_nonzero(found) <= found.size / 1000


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul"])
def test_unsigned(op: str) -> None:
    found = differences(end(two(op, 9, "uint8"), 0.0617, 100, "uint8"), "uint8")
    assert np.abs(found).max() <= 1
    assert np.count_nonzero(found) <= found.size / 1000


def test_unsigned_conv_to_signed() -> None:
    found = differences(end(conv(start(dtype="uint8", zero=130), pads=[1, 1, 1, 1])))
    assert np.count_nonzero(found) <= found.size / 1000


@settings(deadline=None, max_examples=15)
@given(
    st.floats(1e-3, 1.0),
    st.integers(-128, 127),
    st.floats(1e-3, 1.0).map(lambda out: 0.99271 * out),  # no simple ratio, whose ties float32 decides by noise
    st.integers(-128, 127),
    st.sampled_from(["Add", "Sub", "Mul"]),
)
def test_two_tensors_on_any_scales(scale: float, zero: int, out: float, out_zero: int, op: str) -> None:
    net = start(scale=scale, zero=zero).op("Tanh", "x.f", "s").quantize("s", "t", 1 / 120, 5).op(op, "x.f t.f", "c")
    found = differences(end(net, out, out_zero), samples=1)
    assert np.abs(found).max() <= 1
    assert np.count_nonzero(found) <= max(1, found.size / 100)


def test_ties_of_averages_go_to_even_from_the_zero_point() -> None:
    x = np.zeros((1, 1, 2, 8), np.int8)
    x[0, 0, 0] = [1, 3, 5, 7, -1, -3, -5, -7]
    for zero in (0, 3, 4, -5):
        net = start((1, 1, 2, 8), scale=0.5, zero=zero).op("AveragePool", "x.f", "c", kernel_shape=[2, 1])
        model = end(net, 0.5, zero).model()
        np.testing.assert_array_equal(result(model, x)[0], reference(model, {"x": x})[0])


def test_a_clip_is_no_table() -> None:
    relu = end(start().op("Relu", "x.f", "c"), 0.0497, 3)
    assert names(import_model(relu.model())) == ["requant"]
    assert names(import_model(end(start().op("Tanh", "x.f", "c")).model())) == ["lookup"]


def test_a_redundant_relu_is_nothing() -> None:
    net = conv(start()).op("Relu", "c", "r").quantize("r", "m", 0.05, -128).op("Relu", "m.f", "q")
    assert names(import_model(end(net, 0.05, -128, source="q").model())) == ["conv2d", "requant"]


def test_one_layer_read_on_two_scales_is_computed_once() -> None:
    net = conv(start()).quantize("c", "m", 0.05).quantize("c", "n", 0.07).op("Add", "m.f n.f", "a")
    kinds = names(import_model(end(net, 0.1, source="a").model()))
    assert kinds.count("conv2d") == 1


def test_float_edges() -> None:
    """The caller quantises the input, and what is behind the last integers is left to it."""
    net = Network(dtype="float32").constant("shape", [1, 9, 6, 7], "int64").op("Reshape", "x shape", "r")
    net.quantize("r", "q", 0.04, 5).op("Relu", "q.f", "c").quantize("c", "m", 0.03, -128)
    model = net.op("Softmax", "m.f", "y").model({"y": "float32"}, batch="N")
    module = import_model(model)
    (main,) = module.ops
    text = str(main)
    assert 'graph.edge_rounding = "half_even"' in text
    assert "graph.tail = [\"Softmax 'y'\"]" in text
    x = net.sample()
    codes = np.clip(np.rint(x / np.float32(0.04)) + 5, -128, 127).astype(np.int8)
    (ours,) = result(model, codes)
    expected = np.exp((ours.astype(np.float64) + 128) * np.float32(0.03))
    np.testing.assert_allclose(reference(model, {"x": x})[0], expected / expected.sum(-1, keepdims=True), rtol=1e-5)


def test_functions_at_the_end_are_left_to_the_caller() -> None:
    net = start((1, 9)).op("Sigmoid", "x.f", "s").quantize("s", "m", 1 / 256, -128)
    net.op("Tanh", "m.f", "t").constant("k", 3.0).op("Mul", "t k", "y")
    (main,) = import_model(net.model({"y": "float32"})).ops
    assert "graph.tail = [\"Tanh 't'\", \"Mul 'y'\"]" in str(main)
    (ours,) = result(net.model({"y": "float32"}), net.sample())
    np.testing.assert_array_equal(ours, result(net.model({"m": "int8"}), net.sample())[0])


def test_float_inputs_are_rounded_as_the_reference_rounds() -> None:
    net = Network(dtype="float32").constant("p", [0, 0, 1, 2, 0, 0, 0, 1], "int64").op("Pad", "x p", "q")
    model = net.quantize("q", "m", 0.04, 5).op("Tanh", "m.f", "t").quantize("t", "y", 0.01).model()
    roundings: dict[Rounding, str] = {"onnx": "half_even", "tflite": "half_away"}
    for rounding, expected in roundings.items():
        assert f'graph.edge_rounding = "{expected}"' in str(import_model(model, rounding=rounding))
    x = net.sample()
    codes = np.clip(np.rint(x / np.float32(0.04)) + 5, -128, 127).astype(np.int8)
    np.testing.assert_array_equal(result(model, codes)[0], reference(model, {"x": x})[0])


def test_several_inputs_and_outputs() -> None:
    """Three inputs on scales of their own; the outputs are a layer, a sum with it, and a table of that."""
    net = conv(start(), 6, pads=[1, 1, 1, 1]).quantize("c", "m", 0.0513, 2)
    net.dequantize("u", 0.0437, -3).dequantize("v", 0.03, 90, "uint8")
    net.op("Add", "m.f u.f", "s").quantize("s", "n", 0.0719, -4)
    net.op("Sub", "n.f v.f", "d").op("Relu", "d", "r").quantize("r", "o", 0.0617, 1, "uint8")
    model = net.model({"m": "int8", "n": "int8", "o": "uint8"})
    model.graph.input.extend(helper.make_tensor_value_info(n, t, net.shape) for n, t in (("u", 3), ("v", 2)))
    random = np.random.default_rng(3)
    given = {
        "x": net.sample(),
        "u": random.integers(-128, 128, net.shape).astype(np.int8),
        "v": random.integers(0, 256, net.shape).astype(np.uint8),
    }
    ours = Runner(import_model(model)).run(list(given.values()))
    for mine, theirs in zip(ours, reference(model, given), strict=True):
        difference = np.abs(mine.astype(int) - theirs)
        assert mine.dtype == theirs.dtype
        assert difference.max() <= 1
        assert np.count_nonzero(difference) <= 1


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("rounding", ["onnx", "tflite"])
def test_each_tensor_has_a_name_of_its_own(name: str, rounding: Rounding) -> None:
    found = [str(op.attributes[NAME]) for op in operations(import_model(PATTERNS[name]().model(), rounding=rounding))]
    assert len(set(found)) == len(found)


def test_float_output_of_a_layer() -> None:
    net = start((1, 40)).weights("w", (40, 9), 0.01).op("MatMul", "x.f w.f", "y")
    model, x = net.model({"y": "float32"}), net.sample()
    (ours,) = result(model, x)
    assert ours.dtype == np.int32
    scale = float(np.float32(0.01)) * float(np.float32(0.0497))
    np.testing.assert_allclose(ours * scale, reference(model, {"x": x})[0], rtol=1e-5, atol=1e-5)


BAD: dict[str, tuple[Callable[[], Network], str]] = {
    "softmax in the middle": (
        lambda: end(
            start((1, 9)).op("Softmax", "x.f", "s").quantize("s", "t", 0.01).op("Relu", "t.f", "c"),
        ),
        "Relu 'c': reads the result of Softmax 's', which is supported only at the end",
    ),
    "unknown operator": (lambda: end(start().op("Einsum", "x.f x.f", "c", equation="a,a->a")), "is not supported"),
    "computed weights": (lambda: end(start((1, 9)).op("MatMul", "x.f x.f", "c")), "must be constants of the file"),
    "table of sums": (lambda: end(conv(start()).op("Sigmoid", "c", "s"), source="s"), "has no 8-bit integers"),
    "shapes that differ": (
        lambda: end(
            start().op("GlobalAveragePool", "x.f", "g").quantize("g", "m", 0.01).op("Mul", "x.f m.f", "c"),
        ),
        "must be alike",
    ),
    "negative steps": (
        lambda: end(
            start()
            .constant("b", [5], "int64")
            .constant("e", [1], "int64")
            .constant("a", [2], "int64")
            .constant("t", [-1], "int64")
            .op("Slice", "x.f b e a t", "c")
        ),
        "must be positive",
    ),
    "reflected padding": (
        lambda: end(start().constant("p", [0, 0, 1, 1, 0, 0, 1, 1], "int64").op("Pad", "x.f p", "c", mode="reflect")),
        "mode 'reflect' is not supported",
    ),
    "padding out of range": (
        lambda: end(
            start().constant("p", [0, 0, 1, 1, 0, 0, 1, 1], "int64").constant("v", 1e6).op("Pad", "x.f p v", "c")
        ),
        "cannot hold",
    ),
    "scale of zero": (lambda: end(start(scale=0.0).op("Relu", "x.f", "c")), "the scale must be a positive number"),
    "zero point of another type": (
        lambda: end(Network().dequantize("x", 0.1, 3, "uint8").op("Relu", "x.f", "c")),
        "of another type",
    ),
    "float network input": (lambda: end(Network(dtype="float32").op("Relu", "x", "c")), "quantise it first"),
    "computed divisor": (lambda: end(two("Div")), "division by a computed tensor"),
    "no value": (lambda: end(start().op("Log", "x.f", "c")), "has no value"),
}


@pytest.mark.parametrize("name", BAD)
def test_refused(name: str) -> None:
    build, expected = BAD[name]
    with pytest.raises(HtvmError) as caught:
        import_model(build().model())
    message = str(caught.value)
    assert expected in message
    assert "\n" not in message


def test_ranges_of_quantised_inputs_are_refused() -> None:
    with pytest.raises(HtvmError, match="leave its range out"):
        import_model(end(start(), source="x.f", scale=0.1).model(), input_ranges={"x": (0, 1)})
