"""Relax expressions as the nodes that ``kernels`` reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from htvm_ir.integrations.expressions import SAME_NAMES, ExpressionReader, attributes, clip_limits, shape_and_dtype
from htvm_ir.integrations.kernels import Activation, Call, Constant, Node
from htvm_ir.integrations.requantisation import Refused

OPERATORS = {
    "relax.nn.conv2d": "conv2d",
    "relax.matmul": "matmul",
    "relax.permute_dims": "transpose",
    "relax.astype": "cast",
    "relax.nn.relu": "relu",
    **{f"relax.{name}": name for name in SAME_NAMES},
}
"""Relax's operators and the names of theirs that ``kernels`` knows."""


class Reader(ExpressionReader):
    """Reads expressions; ``values`` is what variables are bound to, others are activations."""

    def __init__(self, values: Mapping[Any, Any]):
        self.values = values
        self._activations: dict[Any, Activation] = {}

    def activation(self, variable: Any) -> Activation:
        """The one node of a variable."""
        if variable not in self._activations:
            self._activations[variable] = Activation(*_typed(variable))
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
        limits = dict[str, int]()
        if op == "clip":
            limits = clip_limits(*(float(limit.value) for limit in arguments[1:]))
            arguments = arguments[:1]
        nodes = tuple(self.node(argument) for argument in arguments)
        return Call(op, nodes, *_typed(expression), attributes(expression.attrs) | limits)


def _typed(expression: Any) -> tuple[tuple[int, ...], str]:
    return shape_and_dtype(expression.ty)
