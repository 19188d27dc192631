"""The `onnx` package's test cases of single operators, as networks this package can be asked to compile.

A case gives every operand of its operator as an input of the graph, and any shape to it. Here operands that must be
constants (weights, scales, bounds, axes) become constants with the values of the case, and the others get a batch axis
in front of theirs, which a Reshape takes away: the operator sees the shapes of the case, the network one sample.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.backend.test.case.test_case import TestCase
from xdsl.dialects.builtin import FloatAttr, IntegerAttr, ModuleOp

from htvm_ir.driver.edges import Edge, edges
from htvm_ir.errors import HtvmError
from htvm_ir.frontends.onnx import import_model
from htvm_ir.frontends.onnx.emit import SCALE, TAIL, ZERO_POINT
from htvm_ir.frontends.onnx.folding import FOLDED
from htvm_ir.frontends.onnx.supported import CONVENTIONS
from htvm_ir.interpreters.run import Runner
from htvm_ir.passes.workloads import main_function

Array = NDArray[Any]

CLAIMED = sorted({name for convention in CONVENTIONS if not convention.domain for name in convention.operators})
"""Operators of the standard domain that some front end converts."""


@dataclass(frozen=True)
class Network:
    """A case as a network: the values of its computed inputs, and the outputs that are expected."""

    name: str
    model: onnx.ModelProto
    inputs: list[Array]
    outputs: list[Array]
    rtol: float
    atol: float
    steps: int = 0
    """By how many integers an output may differ."""


@cache
def cases() -> tuple[TestCase, ...]:
    """Every case whose operators are all claimed, in the order of their names."""
    from onnx.backend.test.case import node

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # the package computes its cases while they are imported
        for name in CLAIMED:
            with suppress(ModuleNotFoundError):  # operators without cases
                import_module(f"onnx.backend.test.case.node.{name.lower()}")
    collected: list[TestCase] = node._NodeTestCases  # pyright: ignore[reportPrivateUsage]
    return tuple(sorted(filter(_is_claimed, collected), key=lambda case: case.name))


def operator(case: TestCase) -> str:
    """The operator a case is about, by its name in the package or as the operator of its only node."""
    assert case.model is not None
    nodes = case.model.graph.node
    return nodes[0].op_type if len(nodes) == 1 else f"{nodes[-1].op_type} and others"


def _is_claimed(case: TestCase) -> bool:
    assert case.model is not None
    nodes = case.model.graph.node
    known = {*CLAIMED, *FOLDED}
    return all(n.op_type in known and not n.domain for n in nodes) and any(n.op_type in CLAIMED for n in nodes)


def network(case: TestCase) -> Network:
    """A case with its constants bound and its inputs batched."""
    assert case.model is not None and case.data_sets
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    graph = model.graph
    values, outputs = case.data_sets[0]
    arrays = [(info.name, _array(value)) for info, value in zip(graph.input, values, strict=True)]
    given = {name: array for name, array in arrays if array is not None}
    computed = [name for name in _computed(graph) if name in given]
    infos = {info.name: info for info in graph.input}
    del graph.input[:]
    for name, info in infos.items():
        if name in computed:
            _add_batched(graph, name, given[name].shape, info.type.tensor_type.elem_type)
        elif name in given:
            graph.initializer.append(numpy_helper.from_array(given[name], name))
        else:
            graph.input.append(info)
    expected = [array for output in outputs if (array := _array(output)) is not None]
    return Network(case.name, model, [given[name] for name in computed], expected, case.rtol, case.atol)


def _array(value: object) -> Array | None:
    """Data of a case, ``None`` if they are no tensor but a sequence or nothing."""
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return np.asarray(value) if isinstance(value, np.ndarray | np.generic) else None


def _add_batched(graph: onnx.GraphProto, name: str, shape: Sequence[int], element: int) -> None:
    """An input with a batch axis, and the Reshape that makes tensor ``name`` of it."""
    graph.input.append(helper.make_tensor_value_info(f"{name}.batch", element, [1, *shape]))
    graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), f"{name}.shape"))
    graph.node.insert(0, helper.make_node("Reshape", [f"{name}.batch", f"{name}.shape"], [name]))


def _computed(graph: onnx.GraphProto) -> Iterator[str]:
    """The inputs of a case that a network may compute."""
    if len(graph.node) > 1:
        yield from [info.name for info in graph.input][:1]
        return
    (node,) = graph.node
    tables = [c.operators[node.op_type] for c in CONVENTIONS if not c.domain and node.op_type in c.operators]
    for index, name in enumerate(node.input):
        if any(entry.computed is None or index in entry.computed for entry in tables):
            yield name


def refusal(net: Network) -> str | None:
    """Why a network is not computed; ``None`` if its outputs are as expected.

    Raises:
        AssertionError: they are not.
    """
    try:
        module = import_model(net.model)
        module.verify()
        inputs = quantised(net, module)
    except HtvmError as error:
        return reason(error)
    attributes = [item.data for item in main_function(module).res_attrs or []]
    if any(TAIL in item for item in attributes):
        return "float functions at the end of a network are left to the caller"
    results = Runner(module).run(inputs)
    for result, expected, item in zip(results, net.outputs, attributes, strict=True):
        scale, zero_point = item[SCALE], item[ZERO_POINT]
        assert isinstance(scale, FloatAttr) and isinstance(zero_point, IntegerAttr)
        compare(net, result, expected, scale.value.data, zero_point.value.data)
    return None


def reason(error: HtvmError) -> str:
    """An error without the model and the node, and without the list of what is supported."""
    text = str(error).removeprefix("the model: ").split("; supported are")[0]
    return re.sub(r"^\w+ '[^']*': ", "", text).replace(".batch'", "'")


def quantised(net: Network, module: ModuleOp) -> list[Array]:
    """The inputs of a network as its caller quantises them; raises HtvmError where the data have no integers."""
    found, _ = edges(module)
    return [_quantised(edge, values[None]) for edge, values in zip(found, net.inputs, strict=True)]


def _quantised(edge: Edge, values: Array) -> Array:
    if values.dtype.kind != "f":
        return values
    low, high = edge.limits
    if edge.assumed and not (np.array_equal(values, np.rint(values)) and low <= values.min() <= values.max() <= high):
        raise HtvmError("float32 data that are no 8-bit integers, and nothing quantises them")
    return edge.quantize(values)


def compare(net: Network, result: Array, expected: Array, scale: float, zero_point: int) -> None:
    """Integers must be equal but for a step or so, real numbers within the tolerance of the case."""
    assert result.shape == expected.shape, net.name
    if expected.dtype.kind in "iu":
        difference = np.abs(result.astype(np.int64) - expected.astype(np.int64))
        assert difference.max(initial=0) <= net.steps, f"{net.name}: {result} is not {expected}"
        assert np.count_nonzero(difference) <= max(1, result.size // 1000) * net.steps, net.name
        return
    real = np.float32(scale) * (result.astype(np.float32) - np.float32(zero_point))
    np.testing.assert_allclose(real, expected.astype(np.float32), net.rtol, net.atol, err_msg=net.name)
