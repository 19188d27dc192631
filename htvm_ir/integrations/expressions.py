"""What Relay's and Relax's expressions have alike, for the readers of both."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from htvm_ir.integrations.kernels import Call, Node
from htvm_ir.integrations.requantisation import Refused

SAME_NAMES = ("add", "multiply", "right_shift", "floor_divide", "maximum", "minimum", "clip")
"""Operators that both call as ``kernels`` does (Relax with ``relax.`` in front)."""

_SEQUENCES = ("strides", "padding", "dilation", "axes")
_NAMES = ("data_layout", "kernel_layout", "out_layout")


class ExpressionReader(ABC):
    """Reads expressions as the nodes that ``kernels`` knows."""

    @abstractmethod
    def node(self, expression: Any) -> Node:
        """Any expression.

        Raises:
            Refused: it is none of those that ``kernels`` reads.
        """

    def call(self, expression: Any) -> Call:
        """An expression that is a call of an operator.

        Raises:
            Refused: it is none of those that ``kernels`` reads.
        """
        node = self.node(expression)
        if not isinstance(node, Call):
            raise Refused("an expression that is no operator")
        return node


def shape_and_dtype(type_: Any) -> tuple[tuple[int, ...], str]:
    """Those of a tensor's type.

    Raises:
        Refused: the shape is not known at compile time.
    """
    shape = getattr(type_, "shape", None)
    if shape is None or any(type(n).__name__ not in ("IntImm", "int") for n in shape):
        raise Refused("a shape that is not known at compile time")
    return tuple(int(n) for n in shape), str(type_.dtype)


def attributes(given: Any) -> dict[str, Any]:
    """The attributes of a call (None: it has none) that ``kernels`` looks at, as far as they are there."""
    found = dict[str, Any]()
    for name in (*_SEQUENCES, *_NAMES, "groups"):
        if (value := getattr(given, name, None)) is not None:
            found[name] = tuple(map(int, value)) if name in _SEQUENCES else str(value) if name in _NAMES else int(value)
    return found


def clip_limits(low: float, high: float) -> dict[str, int]:
    """The limits of a clip as attributes.

    Raises:
        Refused: they are no integers.
    """
    if not (low.is_integer() and high.is_integer()):
        raise Refused(f"a clip to {low} to {high}, which are no integers")
    return {"min": int(low), "max": int(high)}
