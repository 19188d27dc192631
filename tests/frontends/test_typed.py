"""Operators on integer tensors: every pair of operands, in the arithmetic of C."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from htvm_ir.errors import HtvmError
from htvm_ir.frontends.onnx import import_model
from htvm_ir.interpreters.run import Runner

Array = NDArray[Any]
TYPES = {"int8": TensorProto.INT8, "uint8": TensorProto.UINT8}


def net(
    nodes: list[onnx.NodeProto],
    dtype: str,
    shapes: dict[str, list[int]],
    outputs: dict[str, list[int]],
    constants: dict[str, Array] | None = None,
    opset: int = 18,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(name, TYPES[dtype], shape) for name, shape in shapes.items()],
        [helper.make_tensor_value_info(name, TYPES[dtype], shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def every(dtype: str) -> Array:
    limits = np.iinfo(dtype)
    return np.arange(limits.min, limits.max + 1).astype(dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(
    ("op", "function"),
    [("Add", np.add), ("Sub", np.subtract), ("Mul", np.multiply), ("Max", np.maximum), ("Min", np.minimum)],
)
def test_every_pair_of_numbers(dtype: str, op: str, function: Callable[[Array, Array], Array]) -> None:
    shape = [1, 256, 256]
    a, b = (np.broadcast_to(x, shape) for x in np.meshgrid(every(dtype), every(dtype), indexing="ij"))
    model = net([helper.make_node(op, ["a", "b"], ["y"])], dtype, {"a": shape, "b": shape}, {"y": shape})
    (result,) = Runner(import_model(model)).run([a, b])
    assert result.dtype == a.dtype
    np.testing.assert_array_equal(result, function(a, b))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("divisor", [2, 3, 7, 127])
def test_division_by_a_number_is_towards_zero(dtype: str, divisor: int) -> None:
    x = every(dtype)[None]
    constants = {"d": np.array(divisor, dtype)}
    model = net([helper.make_node("Div", ["x", "d"], ["y"])], dtype, {"x": [1, 256]}, {"y": [1, 256]}, constants)
    (result,) = Runner(import_model(model)).run([x])
    np.testing.assert_array_equal(result, np.trunc(x / divisor).astype(dtype))


@pytest.mark.parametrize(("op", "function"), [("Abs", np.abs), ("Neg", np.negative), ("Sign", np.sign)])
def test_functions_wrap(op: str, function: Callable[[Array], Array]) -> None:
    x = every("int8")[None]
    model = net([helper.make_node(op, ["x"], ["y"])], "int8", {"x": [1, 256]}, {"y": [1, 256]})
    (result,) = Runner(import_model(model)).run([x])
    np.testing.assert_array_equal(result, function(x))


def test_constants_are_broadcast_on_either_side() -> None:
    x = np.arange(12, dtype=np.uint8).reshape(1, 3, 4) * 20
    constants = {"c": np.array([1, 90, 200, 255], np.uint8)}
    nodes = [helper.make_node("Sub", ["c", "x"], ["s"]), helper.make_node("Max", ["s", "c"], ["y"])]
    model = net(nodes, "uint8", {"x": [1, 3, 4]}, {"y": [1, 3, 4]}, constants)
    (result,) = Runner(import_model(model)).run([x])
    np.testing.assert_array_equal(result, np.maximum(constants["c"] - x, constants["c"]))


def test_parts_of_a_split_that_nobody_reads_are_not_made() -> None:
    nodes = [helper.make_node("Split", ["x", "sizes"], ["a", "b", "c"], axis=1), helper.make_node("Relu", ["b"], ["y"])]
    x = np.arange(-6, 6, dtype=np.int8)[None]
    constants = {"sizes": np.array([5, 4, 3])}
    module = import_model(net(nodes, "int8", {"x": [1, 12]}, {"y": [1, 4]}, constants))
    assert str(module).count("graph.slice") == 1
    np.testing.assert_array_equal(Runner(module).run([x])[0], np.maximum(x[:, 5:9], 0))


@pytest.mark.parametrize(
    ("op", "constants", "message"),
    [
        ("Div", {"d": np.array(0, np.int8)}, "divides by zero"),
        ("Div", {"d": np.array([1, 2, 3, 4], np.int8)}, "divides by more than one constant number"),
        ("Add", {"d": np.array([1, 2, 3, 4], np.int16)}, "constant 'd' holds int16, the other operand does not"),
        ("Add", {"d": np.array([1, 2, 3], np.int8)}, "a constant of shape [3] does not broadcast to [1, 4]"),
    ],
)
def test_refusals(op: str, constants: dict[str, Array], message: str) -> None:
    model = net([helper.make_node(op, ["x", "d"], ["y"])], "int8", {"x": [1, 4]}, {"y": [1, 4]}, constants)
    with pytest.raises(HtvmError) as caught:
        import_model(model)
    assert str(caught.value).startswith(f"the model: {op} 'y': {message}")


def test_an_older_meaning_is_refused() -> None:
    model = net([helper.make_node("Relu", ["x"], ["y"])], "int8", {"x": [1, 4]}, {"y": [1, 4]}, opset=13)
    with pytest.raises(HtvmError, match="Relu 'y': has another meaning in opset 13; convert the model to opset 14"):
        import_model(model)


def test_a_dropout_in_training_is_refused() -> None:
    nodes = [helper.make_node("Dropout", ["x", "ratio", "mode"], ["d"]), helper.make_node("Relu", ["d"], ["y"])]
    constants = {"ratio": np.array(0.5, np.float32), "mode": np.array(True)}
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    with pytest.raises(HtvmError, match="Dropout 'd': is in training mode"):
        import_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]))
