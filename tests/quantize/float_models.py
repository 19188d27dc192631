"""Float ONNX networks with random weights, and what onnxruntime makes of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]


class FloatNet:
    """Nodes of a network from input "x"; every method returns the name of its result."""

    def __init__(self, shape: Sequence[int], seed: int = 0) -> None:
        self.shape = tuple(shape)
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Array] = {}

    def node(self, op: str, *operands: str | Array, **attributes: Any) -> str:
        """Any node; arrays become constants."""
        result = f"t{len(self.nodes)}"
        names: list[str] = []
        for index, operand in enumerate(operands):
            if isinstance(operand, str):
                names.append(operand)
                continue
            names.append(f"{result}.c{index}")
            kept = operand.astype(np.float32) if operand.dtype == np.float64 else operand
            self.constants[names[-1]] = kept
        self.nodes.append(helper.make_node(op, names, [result], **attributes))
        return result

    def conv(self, x: str, channels: int, out: int, kernel: int, *, groups: int = 1, **attributes: Any) -> str:
        """Convolution whose channels differ in size, as those of trained networks do."""
        taps = channels // groups * kernel * kernel
        spread = np.exp(self.rng.normal(0, 0.7, (out, 1, 1, 1)))
        weights = self.rng.normal(0, taps**-0.5, (out, channels // groups, kernel, kernel)) * spread
        return self.node("Conv", x, weights, self.rng.normal(0, 0.3, out), group=groups, **attributes)

    def norm(self, x: str, channels: int) -> str:
        """Batch normalisation."""
        scale, mean = self.rng.uniform(0.5, 2, channels), self.rng.normal(0, 0.3, channels)
        shift, variance = self.rng.normal(0, 0.3, channels), self.rng.uniform(0.5, 2, channels)
        return self.node("BatchNormalization", x, scale, shift, mean, variance)

    def dense(self, x: str, features: int, out: int) -> str:
        """Gemm."""
        return self.node(
            "Gemm", x, self.rng.normal(0, features**-0.5, (out, features)), self.rng.normal(0, 0.3, out), transB=1
        )

    def model(self, *outputs: str, element: int = TensorProto.FLOAT) -> onnx.ModelProto:
        """The network, with free batch."""
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", element, ["n", *self.shape])],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])

    def samples(self, count: int) -> Array:
        """Inputs of a few scales."""
        return (self.rng.normal(0, 1, (count, *self.shape)) * np.exp(self.rng.normal(0, 0.5))).astype(np.float32)


def random_net(seed: int) -> tuple[FloatNet, onnx.ModelProto]:
    """Convolutions, plain and depthwise, with and without padding, normalisation, clips, a sum and pools."""
    rng = np.random.default_rng(seed)
    channels, size, width = int(rng.integers(1, 4)), int(rng.integers(6, 10)), int(rng.integers(4, 9))
    net = FloatNet((channels, size, size), seed)
    pads = [int(rng.integers(0, 2))] * 4
    x = net.conv("x", channels, width, 3, pads=pads, strides=[int(rng.integers(1, 3))] * 2)
    x = net.node("Relu", net.norm(x, width))
    for _ in range(int(rng.integers(1, 3))):
        match int(rng.integers(0, 3)):
            case 0:
                x = net.node("Relu", net.conv(x, width, width, 3, groups=width, pads=[1] * 4))
                x = net.conv(x, width, width, 1)
                x = net.node("Clip", x, np.array(0.0), np.array(2.0)) if rng.integers(0, 2) else net.node("Relu", x)
            case 1:
                y = net.conv(x, width, width, 3, pads=[1] * 4)
                x = net.node("Relu", net.node("Add", x, y))
            case _:
                x = net.node("MaxPool", x, kernel_shape=[2, 2], strides=[1, 1], pads=[0, 0, 1, 1])
    x = net.node("Flatten", net.node("GlobalAveragePool", x))
    outputs = int(rng.integers(2, 12))
    x = net.dense(x, width, outputs)
    return net, net.model(net.node("Softmax", x) if rng.integers(0, 2) else x)


def onnxruntime_outputs(model: onnx.ModelProto, x: Array) -> Array:
    """The first output for every sample alone, as batch-1 models need."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([np.asarray(session.run(None, {name: x[i : i + 1]})[0]) for i in range(len(x))])
