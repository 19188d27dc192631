"""The network's inputs and outputs as its caller sees them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ArrayAttr, DenseArrayBase, FloatAttr, IntegerAttr, ModuleOp, StringAttr
from xdsl.ir import Attribute

from htvm_ir.frontends.onnx.emit import ASSUMED, RANGE, ROUNDING, SCALE, TAIL, ZERO_POINT
from htvm_ir.interpreters.signature import arguments_of
from htvm_ir.passes.workloads import main_function

Array = NDArray[Any]


def _half_away(values: Array) -> Array:
    whole = np.trunc(values)
    return whole + np.where(np.abs(values - whole) >= 0.5, np.copysign(1, values), 0)


def _half_up(values: Array) -> Array:
    return np.floor(values + np.float32(0.5))


ROUND: Mapping[str, Callable[[Array], Array]] = {
    "floor": np.floor,
    "half_up": _half_up,
    "half_even": np.rint,
    "half_away": _half_away,
}
"""How the caller rounds, by the name in the IR and the report; ties go up, to even or away from zero."""


@dataclass(frozen=True)
class Edge:
    """An input or output of the network.

    names: its ONNX names. limits: least and greatest number it may hold. assumed: nobody stated these limits.
    scale: the real number is ``scale * (integer - zero_point)``; None = the network does not say.
    rounding: how real numbers become integers, one of ROUND. tail: float operators behind an output, which are
    left to the caller.
    offset: where in the arena of the host memory the caller may put it; None = the arena has no room.
    """

    names: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    limits: tuple[int, int]
    assumed: bool = False
    scale: float | None = None
    zero_point: int = 0
    rounding: str = "floor"
    tail: tuple[str, ...] = ()
    offset: int | None = None

    @property
    def name(self) -> str:
        """The first ONNX name."""
        return self.names[0]

    @property
    def is_float(self) -> bool:
        """Whether it holds real numbers."""
        return self.dtype.kind == "f"

    @property
    def nbytes(self) -> int:
        """Bytes of the caller's buffer."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def quantize(self, values: Array) -> Array:
        """Float values as what the network computes with, integers: divided in float32, rounded, clipped."""
        if self.is_float:
            return values.astype(self.dtype)
        with np.errstate(over="ignore"):  # what overflows to infinity is clipped
            scaled = ROUND[self.rounding](values / np.float32(self.scale or 1.0)) + self.zero_point
        return np.clip(scaled, *self.limits).astype(self.dtype)

    def as_json(self) -> dict[str, Any]:
        """The entry in the JSON report."""
        return {
            "name": self.name,
            "shape": list(self.shape),
            "dtype": str(self.dtype),
            "scale": self.scale,
            "zero_point": self.zero_point,
            "range": None if self.is_float else list(self.limits),
            "range_assumed": self.assumed,
            "rounding": self.rounding,
            "left_to_caller": list(self.tail),
        }


def edges(module: ModuleOp) -> tuple[list[Edge], list[Edge]]:
    """Inputs and outputs of a module whose results are buffers (after ``bufferize``)."""
    function = main_function(module)
    given = list(function.arg_attrs or [])
    found: tuple[list[Edge], list[Edge]] = ([], [])
    for index, argument in enumerate(arguments_of(function)):
        attributes = given[index].data if given else {}
        zero_point, rounding = attributes.get(ZERO_POINT), attributes.get(ROUNDING)
        edge = Edge(
            argument.names,
            argument.shape,
            argument.dtype,
            _limits(attributes.get(RANGE), argument.dtype),
            ASSUMED in attributes,
            _scale(attributes.get(SCALE)),
            zero_point.value.data if isinstance(zero_point, IntegerAttr) else 0,
            rounding.data if isinstance(rounding, StringAttr) else "floor",
            _strings(attributes.get(TAIL)),
            None if argument.place is None else argument.place[1],
        )
        found[argument.is_output].append(edge)
    return found


def _limits(attribute: Attribute | None, dtype: np.dtype[Any]) -> tuple[int, int]:
    if isinstance(attribute, DenseArrayBase):
        low, high = attribute.get_values()
        return int(low), int(high)
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    return int(limits.min), int(limits.max)


def _scale(attribute: Attribute | None) -> float | None:
    return attribute.value.data if isinstance(attribute, FloatAttr) else None


def _strings(attribute: Attribute | None) -> tuple[str, ...]:
    if not isinstance(attribute, ArrayAttr):
        return ()
    return tuple(item.data for item in attribute if isinstance(item, StringAttr))
