"""QOperator networks: every operator equals onnxruntime, within its float32 rounding."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from qdq_models import Array, Network, differences, reference, result

from htvm_ir.errors import HtvmError
from htvm_ir.frontends.onnx import import_model

MICROSOFT = {"domain": "com.microsoft"}


def start(dtype: str = "int8", shape: tuple[int, ...] = (1, 6, 9, 7)) -> Network:
    zero = 7 if dtype == "int8" else 120
    return Network(shape, dtype).format("x", 0.0497, zero, dtype).format("y", 0.0533, zero - 5, dtype)


def weights(net: Network, shape: tuple[int, ...], scale: object = 0.0031, zero: object = 0) -> Network:
    # 7 bits: onnxruntime's kernels for uint8 times int8 saturate in 16 bits on processors without VNNI
    values = np.random.default_rng(4).integers(-63, 64, shape)
    net.constant("w", values, "int8").constant("w.s", scale).constant("w.z", zero, "int8")  # pyright: ignore[reportArgumentType]
    return net.constant("b", np.random.default_rng(5).integers(-900, 900, 8), "int32")


def conv(dtype: str = "int8", *, bias: bool = True, **attributes: object) -> Network:
    net = weights(start(dtype), (8, 6, 3, 3), np.linspace(0.001, 0.004, 8), np.zeros(8))
    tail = " b" if bias else ""
    return net.op("QLinearConv", f"x x.s x.z w w.s w.z y.s y.z{tail}", "y", **attributes)


def matmul(dtype: str = "int8", zero: int = 0) -> Network:
    net = weights(start(dtype, (1, 30)), (30, 8), zero=zero)
    return net.op("QLinearMatMul", "x x.s x.z w w.s w.z y.s y.z", "y")


def gemm(dtype: str = "int8", *, transposed: bool = False) -> Network:
    net = weights(start(dtype, (1, 30)), (8, 30) if transposed else (30, 8), np.linspace(0.001, 0.004, 8), np.zeros(8))
    return net.op("QGemm", "x x.s x.z w w.s w.z b y.s y.z", "y", transB=int(transposed), **MICROSOFT)


def two(op: str, dtype: str = "int8") -> Network:
    net = start(dtype).format("t", 0.0039, 3, dtype)
    net.op("QLinearSigmoid", "x x.s x.z t.s t.z", "t", **MICROSOFT)
    return net.op(op, "x x.s x.z t t.s t.z y.s y.z", "y", **MICROSOFT)


def with_constant(op: str, dtype: str = "int8") -> Network:
    net = start(dtype).format("t", 0.0039, 3, dtype).constant("t", np.arange(42).reshape(6, 1, 7), dtype)
    return net.op(op, "t t.s t.z x x.s x.z y.s y.z", "y", **MICROSOFT)


def one(op: str, dtype: str = "int8", result: str = "y", **attributes: object) -> Network:
    return start(dtype).op(op, "x x.s x.z y.s y.z", result, **MICROSOFT, **attributes)


def concat(dtype: str = "int8") -> Network:
    net = start(dtype).format("t", 0.0039, 3, dtype)
    net.op("QLinearSigmoid", "x x.s x.z t.s t.z", "t", **MICROSOFT)
    return net.op("QLinearConcat", "y.s y.z x x.s x.z t t.s t.z", "y", axis=1, **MICROSOFT)


def moved(dtype: str = "int8") -> Network:
    net = one("QLinearLeakyRelu", dtype, "l", alpha=0.5)
    net.op("MaxPool", "l", "p", kernel_shape=[3, 3], strides=[2, 2])
    net.op("Transpose", "p", "t", perm=[0, 2, 3, 1]).constant("shape", [0, -1], "int64")
    return net.op("Reshape", "t shape", "y")


OPERATORS: dict[str, Callable[[str], Network]] = {
    "QLinearConv": lambda dtype: conv(dtype, pads=[1, 1, 0, 1], strides=[2, 1]),
    "QLinearConv without bias": lambda dtype: conv(dtype, bias=False),
    "QLinearMatMul": matmul,
    "QLinearMatMul, weights with a zero point": lambda dtype: matmul(dtype, 5),
    "QGemm": gemm,
    "QGemm, transposed": lambda dtype: gemm(dtype, transposed=True),
    "QLinearAdd": lambda dtype: two("QLinearAdd", dtype),
    "QLinearMul": lambda dtype: two("QLinearMul", dtype),
    "QLinearAdd of a constant": lambda dtype: with_constant("QLinearAdd", dtype),
    "QLinearMul with a constant": lambda dtype: with_constant("QLinearMul", dtype),
    "QLinearAveragePool": lambda dtype: one("QLinearAveragePool", dtype, kernel_shape=[3, 3]),
    "QLinearAveragePool with padding": lambda dtype: one(
        "QLinearAveragePool", dtype, kernel_shape=[3, 3], pads=[1, 1, 1, 1]
    ),
    "QLinearGlobalAveragePool": lambda dtype: one("QLinearGlobalAveragePool", dtype),
    "QLinearSigmoid": lambda dtype: one("QLinearSigmoid", dtype),
    "QLinearLeakyRelu": lambda dtype: one("QLinearLeakyRelu", dtype, alpha=0.1),
    "QLinearConcat": concat,
    "moves of integers": moved,
}


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("name", OPERATORS)
def test_operator(name: str, dtype: str) -> None:
    found = differences(OPERATORS[name](dtype), dtype)
    assert np.abs(found).max() <= 1
    assert np.count_nonzero(found) <= found.size / 1000


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_reduce_mean(dtype: str) -> None:
    """Of an operator that onnxruntime has the name of only."""
    net = one("QLinearReduceMean", dtype, axes=[2, 3])
    other = start(dtype)
    other.op("DequantizeLinear", "x x.s x.z", "f").op("ReduceMean", "f", "m", axes=[2, 3])
    other.op("QuantizeLinear", "m y.s y.z", "y")
    x = net.sample()
    np.testing.assert_array_equal(result(net.model({"y": dtype}), x)[0], result(other.model({"y": dtype}), x)[0])


def test_sums() -> None:
    """ConvInteger and MatMulInteger give the sums themselves."""
    for dtype in ("int8", "uint8"):
        net = weights(start(dtype), (8, 6, 3, 3)).op("ConvInteger", "x w x.z", "y", pads=[1, 1, 1, 1])
        dense = weights(start(dtype, (1, 30)), (30, 8)).op("MatMulInteger", "x w x.z", "y")
        for model, x in ((n.model({"y": "int32"}), n.sample()) for n in (net, dense)):
            if dtype == "uint8":  # onnxruntime has no ConvInteger of int8
                np.testing.assert_array_equal(result(model, x)[0], reference(model, {"x": x})[0])
            else:
                assert result(model, x)[0].dtype == np.int32


def test_sums_scaled_behind() -> None:
    """The factor and the bias behind a MatMulInteger become part of the layer."""
    net = weights(start("uint8", (1, 30)), (30, 8)).op("MatMulInteger", "x w x.z", "i").op("Cast", "i", "f", to=1)
    net.constant("k", np.linspace(0.0001, 0.0003, 8)).op("Mul", "f k", "m").constant("c", np.linspace(-1, 1, 8))
    net.op("Add", "m c", "s").op("Relu", "s", "r").op("QuantizeLinear", "r y.s y.z", "y")
    assert np.abs(differences(net, "uint8")).max() <= 1


def test_a_mixture() -> None:
    """As onnxruntime's own tool writes it: a Relu between float pairs, a softmax at the end."""
    net = conv("uint8", pads=[1, 1, 1, 1]).op("DequantizeLinear", "y y.s y.z", "f").op("Relu", "f", "r")
    net.op("QuantizeLinear", "r y.s y.z", "q")
    net.format("p", 0.02, 0, "uint8").op("QLinearGlobalAveragePool", "q y.s y.z p.s p.z", "p", **MICROSOFT)
    net.op("Flatten", "p", "l").format("z", 1 / 256, 0, "uint8")
    net.op("QLinearSoftmax", "l p.s p.z z.s z.z", "o", axis=-1, opset=13, **MICROSOFT)
    net.op("DequantizeLinear", "o z.s z.z", "out")
    model, x = net.model({"out": "float32"}), net.sample()
    (ours,) = result(model, x)
    logits: Array = (ours.astype(np.float64)) * np.float32(0.02)
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(reference(model, {"x": x})[0], expected, atol=1 / 250)


@pytest.mark.parametrize(
    ("net", "expected"),
    [
        (one("QLinearAveragePool", kernel_shape=[3, 3], channels_last=1), "channels_last is not supported"),
        (one("QLinearGlobalAveragePool", "int8").op("QMoE", "y", "z", **MICROSOFT), "of domain 'com.microsoft'"),
        (weights(start(), (8, 6, 3, 3), zero=[1, 2]).op("ConvInteger", "x w x.z w.z", "y"), "2 scales or zero points"),
        (start().op("DynamicQuantizeLinear", "x", "y q r"), "is not supported in a quantised network"),
        (start().op("QLinearMatMul", "x x.s x.z x x.s x.z y.s y.z", "y"), "must be a constant of the file"),
    ],
    ids=["layout", "operator", "zero points", "dynamic", "weights"],
)
def test_refused(net: Network, expected: str) -> None:
    output = net.nodes[-1].output[0]
    with pytest.raises(HtvmError) as caught:
        import_model(net.model({output: "int8"}))
    assert expected in str(caught.value)
