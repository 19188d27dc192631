"""Networks with parts that compute with real numbers, and what they should give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

from htvm_ir import zoo

Array = NDArray[Any]


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    """A node; names are separated by blanks."""
    return helper.make_node(kind, inputs.split(), outputs.split(), **attributes)


def model(
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, ArrayLike] | None = None,
    *,
    inputs: Mapping[str, Sequence[int]],
    outputs: Sequence[str] = ("y",),
    opset: int = 17,
) -> onnx.ModelProto:
    """A model with float inputs; floats among the constants are float32."""
    arrays = {name: np.asarray(value) for name, value in (constants or {}).items()}
    graph = helper.make_graph(
        list(nodes),
        "net",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [
            numpy_helper.from_array(a.astype(np.float32) if a.dtype == np.float64 else a, name)
            for name, a in arrays.items()
        ],
    )
    opsets = [helper.make_opsetid("", opset)]
    return onnx.shape_inference.infer_shapes(helper.make_model(graph, ir_version=8, opset_imports=opsets))


def gelu(source: str, result: str) -> list[onnx.NodeProto]:
    """``x / 2 * (1 + erf(x / sqrt 2))``, as PyTorch exports it; constants ``sqrt2``, ``one`` and ``half``."""
    return [
        node("Div", f"{source} sqrt2", f"{result}.scaled"),
        node("Erf", f"{result}.scaled", f"{result}.erf"),
        node("Add", f"{result}.erf one", f"{result}.sum"),
        node("Mul", f"{source} {result}.sum", f"{result}.product"),
        node("Mul", f"{result}.product half", result),
    ]


GELU = {"sqrt2": np.float32(2**0.5), "one": np.float32(1), "half": np.float32(0.5)}
"""The constants of :func:`gelu`."""


def resnet_in_floats() -> onnx.ModelProto:
    """The zoo's int8 ResNet-8 behind a GELU, with a softmax head; input ``x``, output ``probabilities``."""
    net = zoo.build("resnet8")
    graph, source, result = net.graph, net.graph.input[0].name, net.graph.output[0].name
    for inner in graph.node:
        inner.input[:] = ["gelu" if name == source else name for name in inner.input]
    nodes = [*gelu("x", "gelu"), *graph.node, node("Softmax", result, "probabilities", axis=-1)]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in GELU.items())
    graph.input[0].name, graph.output[0].name = "x", "probabilities"
    onnx.checker.check_model(net)
    return net


def qdq(nodes: Sequence[onnx.NodeProto], constants: Mapping[str, ArrayLike], **rest: Any) -> onnx.ModelProto:
    """A QDQ network; ``s`` and ``z`` are a scale and a zero point for everything."""
    return model(nodes, {"s": np.float32(0.05), "z": np.int8(3), **constants}, **rest)


def quantise(source: str, result: str) -> list[onnx.NodeProto]:
    """``result`` = the float tensor ``source`` through QuantizeLinear (``result``.q) and DequantizeLinear."""
    return [
        node("QuantizeLinear", f"{source} s z", f"{result}.q"),
        node("DequantizeLinear", f"{result}.q s z", result),
    ]


def convolution(source: str, result: str, channels: int, seed: int) -> tuple[list[onnx.NodeProto], dict[str, Array]]:
    """A quantised 3x3 convolution between ``channels`` and as many, and its constants.

    The scale is such that no sum is half way between two results, where onnxruntime's float32 may err.
    """
    weights = np.random.default_rng(seed).integers(-127, 128, (channels, channels, 3, 3)).astype(np.int8)
    constants: dict[str, Array] = {f"{result}.w": weights, f"{result}.ws": np.asarray(0.00237, np.float32)}
    constants[f"{result}.wz"] = np.asarray(0, np.int8)
    nodes = [
        node("DequantizeLinear", f"{result}.w {result}.ws {result}.wz", f"{result}.wf"),
        node("Conv", f"{source} {result}.wf", f"{result}.sum", pads=[1, 1, 1, 1]),
        *quantise(f"{result}.sum", result),
    ]
    return nodes, constants


def two_regions() -> onnx.ModelProto:
    """conv -> LayerNormalization -> conv -> softmax, and a GELU of the first result as a second output."""
    first, one = convolution("in", "a", 4, 1)
    second, two = convolution("b", "c", 4, 2)
    nodes = [
        *quantise("x", "in"),
        *first,
        node("LayerNormalization", "a gamma beta", "normal", axis=-1),
        *quantise("normal", "b"),
        *second,
        node("Softmax", "c", "y", axis=1),
        *gelu("a", "g"),
        node("Tanh", "normal", "t"),
        node("Add", "g t", "z2"),
    ]
    generator = np.random.default_rng(3)
    scales = {"gamma": generator.normal(1, 0.1, 6).astype(np.float32), "beta": np.zeros(6, np.float32)}
    return qdq(nodes, {**one, **two, **scales, **GELU}, inputs={"x": (1, 4, 5, 6)}, outputs=("y", "z2"))


def onnxruntime(net: onnx.ModelProto, inputs: Mapping[str, Array]) -> list[Array]:
    """onnxruntime's results, without its optimisations."""
    import onnxruntime as ort  # pyright: ignore[reportMissingTypeStubs]

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = ort.InferenceSession(net.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [np.asarray(value) for value in session.run(None, dict(inputs))]


def samples(net: onnx.ModelProto, seed: int) -> dict[str, Array]:
    """Normally distributed inputs."""
    generator = np.random.default_rng(seed)
    shapes = {v.name: [d.dim_value or 1 for d in v.type.tensor_type.shape.dim] for v in net.graph.input}
    return {name: generator.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
