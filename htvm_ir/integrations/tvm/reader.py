"""Relax expressions as the nodes that ``kernels`` reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from htvm_ir.integrations.kernels import Activation, Call, Constant, Node
from htvm_ir.integrations.requantisation import Refused

OPERATORS = {
    "relax.nn.conv2d": "conv2d",
    "relax.matmul": "matmul",
    "relax.permute_dims": "transpose",
    "relax.astype": "cast",
    "relax.nn.relu": "relu",
    **{f"relax.{name}": name for name in ("add", "multiply", "maximum", "minimum", "clip")},
    **{f"relax.{name}": name for name in ("right_shift", "floor_divide")},
}
"""Relax's operators and the names of theirs that ``kernels`` knows."""

_SEQUENCES = ("strides", "padding", "dilation", "axes")
_SCALARS = ("groups", "data_layout", "kernel_layout", "out_layout")


class Reader:
    """Reads expressions; ``values`` is what variables are bound to, others are activations."""

    def __init__(self, values: Mapping[Any, Any]):
        self.values = values
        self._activations: dict[Any, Activation] = {}

    def call(self, expression: Any) -> Call:
        """An expression that is a call.

        Raises:
            Refused: it is none of those that ``kernels`` reads.
        """
        node = self.node(expression)
        if not isinstance(node, Call):
            raise Refused("an expression that is no operator")
        return node

    def activation(self, variable: Any) -> Activation:
        """The one node of a variable."""
        if variable not in self._activations:
            self._activations[variable] = Activation(*_type(variable))
        return self._activations[variable]

    def bind(self, variable: Any, activation: Activation) -> None:
        """Let a variable stand for a node that exists."""
        self._activations[variable] = activation

    def node(self, expression: Any) -> Node:
        """Any expression."""
        kind = type(expression).__name__
        if kind in ("Var", "DataflowVar"):
            bound = self.values.get(expression)
            return self.activation(expression) if bound is None else self.node(bound)
        if kind == "GenericConst":
            return Constant(np.asarray(expression.value.numpy()))
        if kind == "IntImm":
            return Constant(np.array(int(expression.value)))
        name = getattr(getattr(expression, "op", None), "name", kind)
        if name not in OPERATORS:
            raise Refused(f"'{name}' is not part of a kernel")
        return self._operator(OPERATORS[name], expression)

    def _operator(self, op: str, expression: Any) -> Call:
        arguments = list(expression.args)
        attributes: dict[str, Any] = {}
        if op == "clip":
            attributes = {"min": _number(arguments[1]), "max": _number(arguments[2])}
            arguments = arguments[:1]
        given = expression.attrs
        for name in (*_SEQUENCES, *_SCALARS) if given is not None else ():
            value = getattr(given, name, None)
            if value is not None:
                attributes[name] = tuple(int(n) for n in value) if name in _SEQUENCES else _plain(value)
        return Call(op, tuple(self.node(a) for a in arguments), *_type(expression), attributes)


def _type(expression: Any) -> tuple[tuple[int, ...], str]:
    """Shape and element type.

    Raises:
        Refused: the shape is not known.
    """
    shape = getattr(expression.ty, "shape", None)
    if shape is None or any(type(n).__name__ != "IntImm" for n in shape):
        raise Refused("a shape that is not known at compile time")
    return tuple(int(n) for n in shape), str(expression.ty.dtype)


def _number(limit: Any) -> int:
    value = float(limit.value)
    if value != int(value):
        raise Refused(f"a clip to {value}, which is no integer")
    return int(value)


def _plain(value: Any) -> int | str:
    return value if isinstance(value, int) else str(value)
