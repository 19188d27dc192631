"""What the readers of Relay and Relax share, on objects that look like theirs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from htvm_ir.integrations.expressions import ExpressionReader, attributes, clip_limits, shape_and_dtype
from htvm_ir.integrations.kernels import Activation, Call, Node
from htvm_ir.integrations.requantisation import Refused


class Table(ExpressionReader):
    """Knows the nodes of some expressions."""

    def __init__(self, **nodes: Node):
        self.nodes = nodes

    def node(self, expression: Any) -> Node:
        return self.nodes[expression]


def test_only_calls_end_a_kernel() -> None:
    x = Activation((1, 2), "int8")
    cast = Call("cast", (x,), (1, 2), "int32")
    reader = Table(x=x, cast=cast)
    assert reader.call("cast") is cast
    with pytest.raises(Refused, match="an expression that is no operator"):
        reader.call("x")


def test_shapes_are_known_or_refused() -> None:
    assert shape_and_dtype(SimpleNamespace(shape=(1, 16), dtype="int8")) == ((1, 16), "int8")
    for unknown in (SimpleNamespace(shape=(1, "n"), dtype="int8"), SimpleNamespace(dtype="int8")):
        with pytest.raises(Refused, match="a shape that is not known at compile time"):
            shape_and_dtype(unknown)


def test_attributes_are_plain_python() -> None:
    given = SimpleNamespace(strides=[2, 1], padding=(0,), groups=True, data_layout="NCHW", out_layout=None, other=1)
    assert attributes(given) == {"strides": (2, 1), "padding": (0,), "groups": 1, "data_layout": "NCHW"}
    assert attributes(None) == {}


def test_limits_of_clips_are_integers() -> None:
    assert clip_limits(-128.0, 127.0) == {"min": -128, "max": 127}
    for low, high in ((0.0, 5.5), (float("-inf"), 6.0)):
        with pytest.raises(Refused, match=f"a clip to {low} to {high}, which are no integers"):
            clip_limits(low, high)
