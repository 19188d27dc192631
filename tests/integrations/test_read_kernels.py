"""Requantisations read call by call, against the same calls in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from htvm_ir.integrations.contracts import kinds, why_not
from htvm_ir.integrations.kernels import Activation, Call, Constant, Node, read_kernel
from htvm_ir.integrations.network import Network
from htvm_ir.integrations.requantisation import Refused
from htvm_ir.interpreters.run import run

Array = NDArray[Any]
X = Activation((1, 4, 5, 5), "int8")


def conv(weights: Array, x: Node = X, **attributes: Any) -> Call:
    return Call("conv2d", (x, Constant(weights)), (1, len(weights), 5, 5), "int32", {"padding": (1, 1), **attributes})


def then(before: Call, op: str, operand: Any = None, dtype: str | None = None, **attributes: Any) -> Call:
    """One more call, with a constant operand if there is one."""
    extra = () if operand is None else (Constant(np.asarray(operand, dtype or before.dtype)),)
    return Call(op, (before, *extra), before.shape, dtype or before.dtype, attributes)


def noise(channels: int, seed: int) -> Array:
    return np.random.default_rng(seed).integers(-60, 61, (channels, 4, 3, 3)).astype("int8")


def evaluate(node: Node, x: Array) -> Array:
    """What a call means, in the arithmetic of its type."""
    match node:
        case Activation():
            return x
        case Constant(array):
            return array
        case Call("conv2d"):
            padded = np.pad(x.astype("int32"), ((0, 0), (0, 0), (1, 1), (1, 1)))
            weights = evaluate(node.arguments[1], x).astype("int32")
            windows = np.lib.stride_tricks.sliding_window_view(padded[0], (3, 3), (1, 2))
            return np.einsum("cyxij,kcij->kyx", windows, weights)[None].astype("int32")
        case Call("cast", (inner,)):
            return evaluate(inner, x).astype(node.dtype)
        case Call("relu", (inner,)):
            return np.maximum(evaluate(inner, x), 0)
        case Call("clip", (inner,)):
            return np.clip(evaluate(inner, x), node.attributes["min"], node.attributes["max"])
        case Call(op, (left, right)):
            function = getattr(np, op)
            return function(evaluate(left, x), evaluate(right, x)).astype(node.dtype)
        case _:
            raise AssertionError(node)


BINARY = ("add", "multiply", "right_shift", "floor_divide", "maximum", "minimum")
STEPS = st.sampled_from([*BINARY, "relu", "clip", "cast"])


@st.composite
def chains(draw: st.DrawFn) -> Call:
    """A convolution and calls behind it, in any order; the last is a cast."""
    channels = draw(st.integers(1, 3))
    call = conv(noise(channels, draw(st.integers(0, 9))))
    for op in draw(st.lists(STEPS, max_size=6)):
        each = draw(st.booleans())
        shape = (1, channels, 1, 1) if each else ()
        match op:
            case "cast":
                call = then(call, "cast", dtype="int64")
            case "relu":
                call = then(call, "relu")
            case "clip":
                call = then(call, "clip", min=draw(st.integers(-300, 0)), max=draw(st.integers(0, 300)))
            case "right_shift":
                call = then(call, op, np.full(shape, draw(st.integers(0, 6))))
            case "floor_divide":
                call = then(call, op, np.full(shape, 2 ** draw(st.integers(0, 6))))
            case "multiply":
                call = then(call, op, np.arange(channels).reshape(1, -1, 1, 1) * 3 + 2 if each else 5)
            case _:
                value = draw(st.integers(-3000, 3000))
                call = then(call, op, np.full(shape, value) + (np.arange(channels).reshape(1, -1, 1, 1) if each else 0))
    call = then(call, "clip", min=-128, max=127)
    return then(call, "cast", dtype="int8")


@settings(deadline=None, max_examples=150)
@given(chains(), st.integers(0, 99))
def test_what_is_read_means_the_same(root: Call, seed: int):
    try:
        kernel = read_kernel(root)
        network = Network([X])
        network.add(kernel, result := Activation(root.shape, root.dtype))
    except Refused:
        return
    x = np.random.default_rng(seed).integers(-128, 128, X.shape).astype("int8")
    (got,) = run(network.module([result], "test"), [x])
    np.testing.assert_array_equal(got, evaluate(root, x))


def requantised(call: Call, shift: int = 7) -> Call:
    shifted = then(call, "right_shift", shift)
    return then(then(shifted, "clip", min=-128, max=127), "cast", dtype="int8")


def test_the_usual_chain_is_read():
    kernel = read_kernel(requantised(then(conv(noise(3, 1)), "add", np.arange(3).reshape(3, 1, 1))))
    assert kernel.requant.bias is not None and kernel.requant.bias.tolist() == [0, 1, 2]
    assert (kernel.requant.shift.tolist(), kernel.requant.range) == ([7], (-128, 127))
    assert kernel.pads == (1, 1, 1, 1)


def test_half_a_unit_becomes_bias():
    """So that an array that rounds down can round to nearest."""
    root = requantised(then(then(conv(noise(3, 1)), "add", 5), "add", 64))
    assert read_kernel(root).requant.addend.tolist() == [0]
    assert why_not(root, "diana") is None


@pytest.mark.parametrize(
    ("root", "reason"),
    [
        (then(then(conv(noise(2, 0)), "right_shift", 3), "cast", dtype="int8"), "cast to int8 could wrap"),
        (then(then(conv(noise(2, 0)), "multiply", 1 << 20), "right_shift", 20), "multiply to int32 could wrap"),
        (requantised(then(then(conv(noise(2, 0)), "relu"), "multiply", 3)), "multiply after a shift or clip"),
        (requantised(then(conv(noise(2, 0)), "floor_divide", 3)), "powers of two"),
        (requantised(then(conv(noise(2, 0)), "add", np.ones((5, 5)))), "one value for each channel"),
        (requantised(conv(noise(2, 0), data_layout="NHWC")), "layouts NHWC and OIHW"),
        (requantised(Call("add", (X, X), X.shape, "int8")), "add gives int8"),
        (requantised(Call("conv2d", (X, X), X.shape, "int32")), "the weights are not constant"),
        (requantised(Call("softmax", (X,), X.shape, "int32")), "does not end a convolution"),
        (requantised(conv(noise(2, 0), Activation(X.shape, "float32"))), "type float32"),
    ],
)
def test_refusals_say_why(root: Call, reason: str):
    with pytest.raises(Refused, match=reason):
        read_kernel(root)


def test_batches_are_refused():
    """Networks have batch 1."""
    x = Activation((2, 4, 5, 5), "int8")
    sums = Call("conv2d", (x, Constant(noise(8, 3))), (2, 8, 5, 5), "int32", {"padding": (1, 1)})
    assert why_not(requantised(sums), "diana") is not None


def test_contracts_are_asked():
    assert kinds("diana") == ("conv2d", "dense", "add")
    assert why_not(requantised(conv(noise(8, 3))), "diana") is None
    slow = then(then(then(conv(noise(8, 3)), "cast", dtype="int64"), "multiply", 3), "right_shift", 9)
    root = then(then(slow, "clip", min=-128, max=127), "cast", dtype="int8")
    assert "digital: a multiplier other than 1" in str(why_not(root, "diana"))
    assert why_not(root, "npu") is None
