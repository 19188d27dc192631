"""Small ONNX models for the front end's tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation

Array = NDArray[Any]


def node(op: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    """A node; operands are separated by blanks, `_` is one left out."""
    names = ["" if name == "_" else name for name in inputs.split()]
    return helper.make_node(op, names, output.split(), **attributes)


def model(
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, ArrayLike] | None = None,
    *,
    shape: Sequence[int | str | None] | None = (1, 2, 4, 4),
    inputs: Mapping[str, Sequence[int | str | None]] | None = None,
    element: int = TensorProto.FLOAT,
    outputs: Sequence[str] = ("y",),
    output_shape: Sequence[int] | None = None,
) -> onnx.ModelProto:
    """A model from input "x" of `shape` (or `inputs`) to `outputs`; float constants are stored as float32."""
    arrays = {name: np.asarray(value) for name, value in (constants or {}).items()}
    graph = helper.make_graph(
        list(nodes),
        "net",
        [helper.make_tensor_value_info(name, element, size) for name, size in (inputs or {"x": shape}).items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, output_shape) for name in outputs],
        [
            numpy_helper.from_array(a.astype(np.float32) if a.dtype == np.float64 else a, name)
            for name, a in arrays.items()
        ],
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("extra", 1)]
    return helper.make_model(graph, ir_version=8, opset_imports=opsets)


def requant(source: str, result: str, *, shift: str | None = "128.") -> list[onnx.NodeProto]:
    """`Div -> Floor -> Max(lo) -> Min(hi)`; the constants are called `div`, `lo` and `hi`."""
    nodes = [node("Div", f"{source} div", f"{result}.div")] if shift else []
    before = f"{result}.div" if shift else source
    return [
        *nodes,
        node("Floor", before, f"{result}.floor"),
        node("Max", f"{result}.floor lo", f"{result}.max"),
        node("Min", f"{result}.max hi", result),
    ]


def operations(module: ModuleOp) -> list[Operation]:
    """The operations of `@main` without constants and the return."""
    (main,) = module.ops
    assert isinstance(main, FuncOp)
    return [op for op in main.body.block.ops if op.name not in ("arith.constant", "func.return")]


def names(module: ModuleOp) -> list[str]:
    """The kinds of the operations of `@main`."""
    return [op.name.removeprefix("graph.") for op in operations(module)]


def integer_weights(seed: int, *shape: int) -> Array:
    """Small integers as float32."""
    return np.random.default_rng(seed).integers(-20, 21, shape).astype(np.float32)
