"""Relay expressions as the nodes that ``kernels`` reads, and the patterns that look for them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Any

import numpy as np

from htvm_ir.integrations.expressions import SAME_NAMES, ExpressionReader, attributes, clip_limits, shape_and_dtype
from htvm_ir.integrations.kernels import Activation, Array, Call, Constant, Node
from htvm_ir.integrations.requantisation import Refused
from htvm_ir.integrations.uma.bindings import module

OPERATORS = {
    "nn.conv2d": "conv2d",
    "nn.dense": "dense",
    "nn.bias_add": "add",
    "nn.relu": "relu",
    "cast": "cast",
    **{name: name for name in SAME_NAMES},
}
"""Relay's operators and the names of theirs that ``kernels`` knows."""


class Patterns:
    """The pattern language of ``tvm.relay.dataflow_pattern``; see ``forms.Language``."""

    def __init__(self) -> None:
        self.language = module("tvm.relay.dataflow_pattern")

    def call(self, op: str, *arguments: Any) -> Any:
        """A call of any Relay operator of that name."""
        names = [theirs for theirs, ours in OPERATORS.items() if ours == op]
        return reduce(or_, (self.language.is_op(name)(*arguments) for name in names))

    def widened(self, inner: Any) -> Any:
        """A cast to int32."""
        return self.language.is_op("cast")(inner).has_attr({"dtype": "int32"})

    def product(self, activation: Any, weights: Any) -> Any:
        """``nn.dense``, whose weights are [K, C]."""
        return self.call("dense", activation, weights)

    def constant(self) -> Any:
        """A number, which becomes part of the function, or what the predicate takes for a parameter."""
        return self.language.is_constant() | self.language.wildcard()

    def anything(self) -> Any:
        """Any expression."""
        return self.language.wildcard()

    def either(self, first: Any, second: Any) -> Any:
        """One of two."""
        return first | second


class Reader(ExpressionReader):
    """Reads expressions.

    nodes: what variables stand for, others are parameters or activations. params: values of parameters by name.
    """

    def __init__(self, params: Mapping[str, Array], nodes: Mapping[Any, Node] | None = None):
        self.params = params
        self.nodes: dict[Any, Node] = dict(nodes or {})

    def node(self, expression: Any) -> Node:
        """Any expression."""
        if expression not in self.nodes:
            self.nodes[expression] = self._read(expression)
        return self.nodes[expression]

    def _read(self, expression: Any) -> Node:
        kind = type(expression).__name__
        if kind == "Var" and expression.name_hint in self.params:
            return Constant(np.asarray(self.params[expression.name_hint]))
        if kind == "Constant":
            array = np.asarray(expression.data.numpy())
            if array.ndim:
                raise Refused("a bound constant; leave parameters unbound, TVM would not pass it to the kernel")
            return Constant(array)
        name = getattr(getattr(expression, "op", None), "name", None)
        if name not in OPERATORS:
            return Activation(*type_of(expression))
        given = _attributes(expression)
        arguments = self._arguments(name, list(expression.args))
        if name == "nn.bias_add":
            arguments[1] = _along_channels(arguments[1], len(type_of(expression)[0]), given)
        return Call(OPERATORS[name], tuple(arguments), *type_of(expression), given)

    def _arguments(self, name: str, arguments: list[Any]) -> list[Node]:
        """An operator's operands end the kernel; the matched expression itself goes on to the network's inputs."""
        if name in ("nn.conv2d", "nn.dense"):
            return [self._operand(arguments[0]), self.node(arguments[1])]
        if name == "add" and not any(self._is_constant(argument) for argument in arguments):
            return [self._operand(argument) for argument in arguments]
        return [self.node(argument) for argument in arguments]

    def _operand(self, expression: Any) -> Node:
        """A tensor from outside, or that widened."""
        if getattr(getattr(expression, "op", None), "name", None) != "cast" or type_of(expression)[1] != "int32":
            return self._outside(expression)
        return Call("cast", (self._outside(expression.args[0]),), *type_of(expression))

    def _outside(self, expression: Any) -> Node:
        return self.nodes.setdefault(expression, Activation(*type_of(expression)))

    def _is_constant(self, expression: Any) -> bool:
        kind = type(expression).__name__
        known = isinstance(self.nodes.get(expression), Constant)
        return known or kind == "Constant" or (kind == "Var" and expression.name_hint in self.params)


def _along_channels(bias: Node, rank: int, given: Mapping[str, Any]) -> Node:
    axis = given["axis"] % rank
    if not isinstance(bias, Constant) or axis != 1:
        raise Refused("a bias that is computed, or not one for each channel")
    return Constant(bias.array.reshape(-1, *(1,) * (rank - 2)))


def type_of(expression: Any) -> tuple[tuple[int, ...], str]:
    """Shape and element type of an expression whose type is inferred.

    Raises:
        Refused: the shape is not known at compile time.
    """
    return shape_and_dtype(expression.checked_type)


def _attributes(expression: Any) -> dict[str, Any]:
    given, found = expression.attrs, attributes(expression.attrs)
    if expression.op.name == "nn.bias_add":
        found["axis"] = int(given.axis)
    if expression.op.name == "clip":
        found |= clip_limits(float(given.a_min), float(given.a_max))
    return found
