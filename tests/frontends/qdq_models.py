"""Small QDQ and QOperator models for tests, and onnxruntime's results for them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx_models import node

from htvm_ir.frontends.onnx import Rounding, import_model
from htvm_ir.interpreters.run import Runner

Array = NDArray[Any]
MODELS = Path(os.environ.get("HTVM_MODELS", Path(__file__).parents[3] / "shared" / "models"))
"""Where the real models are, if they are."""

_KINDS = {
    "int8": TensorProto.INT8,
    "uint8": TensorProto.UINT8,
    "int32": TensorProto.INT32,
    "float32": TensorProto.FLOAT,
}


@dataclass
class Network:
    """Nodes and constants of a model under construction; the input is "x", the output "y"."""

    shape: tuple[int, ...] = (1, 6, 9, 7)
    dtype: str = "int8"
    nodes: list[onnx.NodeProto] = field(default_factory=list[onnx.NodeProto])
    constants: dict[str, Array] = field(default_factory=dict[str, Array])

    def op(self, kind: str, inputs: str, output: str, **attributes: Any) -> Network:
        """Appends a node; operands are separated by blanks."""
        self.nodes.append(node(kind, inputs, output, **attributes))
        return self

    def constant(self, name: str, value: ArrayLike, dtype: str = "float32") -> Network:
        """Adds a constant."""
        self.constants[name] = np.asarray(value).astype(dtype)
        return self

    def format(self, name: str, scale: ArrayLike, zero_point: ArrayLike = 0, dtype: str = "int8") -> Network:
        """Adds the constants NAME.s and NAME.z."""
        zero = np.broadcast_to(zero_point, np.shape(scale))
        return self.constant(f"{name}.s", scale).constant(f"{name}.z", zero, dtype)

    def dequantize(self, name: str, scale: ArrayLike, zero_point: ArrayLike = 0, dtype: str = "int8", axis: int = 0):
        """NAME.f = DequantizeLinear(NAME)."""
        self.format(name, scale, zero_point, dtype)
        return self.op("DequantizeLinear", f"{name} {name}.s {name}.z", f"{name}.f", axis=axis)

    def quantize(self, source: str, name: str, scale: float, zero_point: int = 0, dtype: str = "int8") -> Network:
        """NAME = QuantizeLinear(source), and NAME.f."""
        self.format(name, scale, zero_point, dtype)
        self.op("QuantizeLinear", f"{source} {name}.s {name}.z", name)
        return self.op("DequantizeLinear", f"{name} {name}.s {name}.z", f"{name}.f")

    def weights(self, name: str, shape: Sequence[int], scale: ArrayLike, seed: int = 1, axis: int = 0) -> Network:
        """A dequantised int8 constant NAME.f of random weights."""
        values = np.random.default_rng(seed).integers(-127, 128, shape)
        return self.constant(name, values, "int8").dequantize(name, scale, axis=axis)

    def bias(self, name: str, scale: ArrayLike, size: int, seed: int = 2) -> Network:
        """A dequantised int32 constant NAME.f."""
        values = np.random.default_rng(seed).integers(-3000, 3000, size)
        return self.constant(name, values, "int32").dequantize(name, scale, dtype="int32")

    def model(self, outputs: Mapping[str, str] | None = None, batch: int | str = 1) -> onnx.ModelProto:
        """The model; ``outputs`` are their names with element types (the int8 "y" if left out)."""
        wanted = outputs or {"y": "int8"}
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", _KINDS[self.dtype], [batch, *self.shape[1:]])],
            [helper.make_tensor_value_info(name, _KINDS[kind], None) for name, kind in wanted.items()],
            [numpy_helper.from_array(value, name) for name, value in self.constants.items()],
        )
        opsets = [helper.make_opsetid("", 13), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, ir_version=8, opset_imports=opsets)

    def sample(self, seed: int = 0) -> Array:
        """A random input."""
        generator = np.random.default_rng(seed)
        if self.dtype == "float32":
            return generator.normal(0, 3, self.shape).astype(np.float32)
        limits = np.iinfo(self.dtype)
        return generator.integers(limits.min, limits.max, self.shape, endpoint=True).astype(self.dtype)


def reference(model: onnx.ModelProto | Path, inputs: Mapping[str, Array]) -> list[Array]:
    """onnxruntime's results, without its optimisations."""
    import onnxruntime as ort  # pyright: ignore[reportMissingTypeStubs]

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    return [np.asarray(value) for value in session.run(None, dict(inputs))]


def result(model: onnx.ModelProto | Path, x: Array, rounding: Rounding = "onnx") -> list[Array]:
    """Ours, by the interpreter."""
    module = import_model(model, rounding=rounding)
    module.verify()
    return Runner(module).run([x])


def differences(network: Network, dtype: str = "int8", samples: int = 2) -> Array:
    """Ours less onnxruntime's, of random inputs."""
    model = network.model({"y": dtype})
    found: list[Array] = []
    for seed in range(samples):
        x = network.sample(seed)
        (ours,), (theirs,) = result(model, x), reference(model, {"x": x})
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        found.append(ours.astype(np.int64) - theirs.astype(np.int64))
    return np.stack(found)
