"""Single operators by TVM against onnxruntime, as the interpreter executes their C."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from float_networks import GELU, gelu, model, node, onnxruntime, samples
from onnx import TensorProto, helper

from htvm_ir.errors import HtvmError
from htvm_ir.fallback import compiler
from htvm_ir.interpreters.external import compile_library

pytestmark = pytest.mark.tvm

SHAPE = (1, 4, 5, 6)
RANDOM = np.random.default_rng(5)
WEIGHTS = RANDOM.standard_normal((8, 4, 3, 3)).astype(np.float32)

CASES: dict[str, onnx.ModelProto] = {
    "softmax": model([node("Softmax", "x", "y", axis=1)], inputs={"x": SHAPE}),
    "log softmax": model([node("LogSoftmax", "x", "y", axis=-1)], inputs={"x": SHAPE}),
    "gelu": model(gelu("x", "y"), GELU, inputs={"x": SHAPE}),
    "layer normalisation": model(
        [node("LayerNormalization", "x g b", "y")],
        {"g": RANDOM.standard_normal(6).astype(np.float32), "b": np.ones(6, np.float32)},
        inputs={"x": SHAPE},
    ),
    "instance normalisation": model(
        [node("InstanceNormalization", "x g b", "y")],
        {"g": RANDOM.standard_normal(4).astype(np.float32), "b": np.ones(4, np.float32)},
        inputs={"x": SHAPE},
    ),
    "convolution": model(
        [node("Conv", "x w", "y", pads=[1, 1, 1, 1], strides=[2, 1])], {"w": WEIGHTS}, inputs={"x": SHAPE}
    ),
    "matrices": model(
        [node("MatMul", "x w", "m"), node("Add", "m b", "y")],
        {"w": RANDOM.standard_normal((6, 7)).astype(np.float32), "b": RANDOM.standard_normal(7).astype(np.float32)},
        inputs={"x": SHAPE},
    ),
    "attention": model(
        [node("Transpose", "b", "t", perm=[0, 1, 3, 2]), node("MatMul", "a t", "m"), node("Softmax", "m", "y")],
        inputs={"a": SHAPE, "b": SHAPE},
    ),
    "hard swish": model([node("HardSwish", "x", "y")], inputs={"x": SHAPE}),
    "elu": model([node("Elu", "x", "y", alpha=0.7)], inputs={"x": SHAPE}),
    "softplus": model([node("Softplus", "x", "y")], inputs={"x": SHAPE}),
    "roots and powers": model(
        [node("Abs", "x", "a"), node("Sqrt", "a", "r"), node("Pow", "r p", "q"), node("Mul", "q x", "y")],
        {"p": np.float32(2.5)},
        inputs={"x": SHAPE},
    ),
    "logarithm": model([node("Exp", "x", "e"), node("Log", "e", "y")], inputs={"x": SHAPE}),
    "mean": model([node("ReduceMean", "x", "y", axes=[1], keepdims=0)], inputs={"x": SHAPE}),
    "sum of squares": model([node("ReduceSumSquare", "x", "y", axes=[2, 3])], inputs={"x": SHAPE}),
    "rounding": model(
        [node("Round", "x", "a"), node("Floor", "x", "b"), node("Ceil", "x", "c"), node("Sum", "a b c", "y")],
        inputs={"x": SHAPE},
    ),
    "parts": model(
        [node("Split", "x", "a b", axis=1), node("Concat", "b a", "c", axis=1), node("Sigmoid", "c", "y")],
        inputs={"x": SHAPE},
    ),
    "where": model(
        [node("Greater", "x z", "g"), node("Where", "g x z", "y")], {"z": np.float32(0.25)}, inputs={"x": SHAPE}
    ),
    "literals of all digits": model([node("Mul", "x f", "y")], {"f": np.float32(0.123456789)}, inputs={"x": SHAPE}),
}


def run(net: onnx.ModelProto, inputs: dict[str, Any], like: Any) -> Any:
    """The kernel's result: an array like ``like``."""
    compile_kernel = compiler("tvm")
    assert compile_kernel is not None
    kernel = compile_kernel("kernel", net)
    result, workspace = np.full_like(like, 85), np.full(kernel.workspace, 85, np.int8)
    buffers = [*inputs.values(), *kernel.constants, result, *[workspace] * bool(kernel.workspace)]
    arguments = ", ".join(f"a[{n}]" for n in range(len(buffers)))
    library = compile_library(f"#include <stdint.h>\n{kernel.source}\nvoid entry(void **a) {{ kernel({arguments}); }}")
    import ctypes

    library.entry((ctypes.c_void_p * len(buffers))(*(b.ctypes.data for b in buffers)))
    return result


@pytest.mark.parametrize("name", list(CASES))
def test_operators(name: str) -> None:
    net = CASES[name]
    inputs = samples(net, 7)
    (expected,) = onnxruntime(net, inputs)
    got = run(net, inputs, expected)
    assert np.abs(got - expected).max() <= 1e-5 * max(1, np.abs(expected).max())
    if name == "literals of all digits":
        assert np.array_equal(got, expected)


def test_integers_at_the_edges() -> None:
    """DequantizeLinear and QuantizeLinear around it give onnxruntime's very integers."""
    nodes = [
        node("DequantizeLinear", "x s z", "f"),
        node("Sigmoid", "f", "g"),
        node("QuantizeLinear", "g t u", "y"),
    ]
    net = model(
        nodes,
        {"s": np.float32(0.0371), "z": np.int8(-7), "t": np.float32(1 / 256), "u": np.uint8(0)},
        inputs={"x": (1, 256)},
    )
    net.graph.input[0].type.tensor_type.elem_type = TensorProto.INT8
    inputs = {"x": np.arange(-128, 128, dtype=np.int8).reshape(1, 256)}
    (expected,) = onnxruntime(net, inputs)
    assert np.array_equal(run(net, inputs, expected), expected)


@pytest.mark.parametrize("kind", ["Round", "QuantizeLinear"])
def test_halves_are_rounded_to_even(kind: str) -> None:
    nodes = [node("Round", "x", "y") if kind == "Round" else node("QuantizeLinear", "x s z", "y")]
    net = model(nodes, {"s": np.float32(0.25), "z": np.int8(1)}, inputs={"x": (1, 64)})
    inputs = {"x": np.arange(-32, 32, dtype=np.float32).reshape(1, 64) / np.float32(2 if kind == "Round" else 8)}
    (expected,) = onnxruntime(net, inputs)
    assert np.array_equal(run(net, inputs, expected), expected)


def test_what_tvm_cannot_is_one_line() -> None:
    net = model([node("NonZero", "x", "y")], inputs={"x": (1, 4)})
    compile_kernel = compiler("tvm")
    assert compile_kernel is not None
    with pytest.raises(HtvmError, match="TVM cannot compile it") as caught:
        compile_kernel("kernel", net)
    assert "\n" not in str(caught.value)


def test_what_the_library_lacks_is_named() -> None:
    net = helper.make_model(model([node("Cos", "x", "y")], inputs={"x": (1, 4)}).graph, ir_version=8)
    compile_kernel = compiler("tvm")
    assert compile_kernel is not None
    with pytest.raises(HtvmError, match="calls cosf, which is not in htvm_ir's library"):
        compile_kernel("kernel", net)
