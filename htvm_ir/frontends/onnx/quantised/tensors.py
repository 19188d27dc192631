"""What is known of an ONNX tensor of a quantised network: integers, or real numbers that integers stand for.

Real numbers are kept as expressions of integer tensors until a QuantizeLinear says which integers they become; what one
8-bit tensor determines is kept as its 256 values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf, isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import IntegerType
from xdsl.ir import Operation, SSAValue

from htvm_ir.dialects.graph import element_limits
from htvm_ir.frontends.onnx.graph import Array, Node, Shape
from htvm_ir.frontends.onnx.shapes import Window

Reals = NDArray[np.float32]


@dataclass(frozen=True)
class Format:
    """The real number of an 8-bit integer q is ``scale * (q - zero_point)``; ``scale`` is a float32."""

    scale: float
    zero_point: int
    element: IntegerType

    @property
    def limits(self) -> tuple[int, int]:
        """The least and the greatest integer."""
        return element_limits(self.element)

    def reals(self) -> Reals:
        """The numbers of all integers of the element type, in order."""
        low, high = self.limits
        codes = np.arange(low, high + 1) - self.zero_point
        return codes.astype(np.float32) * np.float32(self.scale)

    def integers(self, reals: NDArray[Any], *, half_away: bool = False) -> Array:
        """QuantizeLinear in float32: ties to even, or away from zero as TFLite's; int64, saturated."""
        with np.errstate(over="ignore"):
            scaled = np.asarray(reals, np.float32) / np.float32(self.scale)
        rounded = np.copysign(np.floor(np.abs(scaled) + np.float32(0.5)), scaled) if half_away else np.rint(scaled)
        low, high = self.limits
        return (np.clip(rounded, low - self.zero_point, high - self.zero_point) + self.zero_point).astype(np.int64)


@dataclass(frozen=True)
class Integers:
    """An integer tensor of the network; ``format`` where the file has said what it stands for."""

    source: SSAValue
    shape: Shape
    format: Format | None = None


@dataclass(frozen=True)
class Parameter:
    """A constant ``scale * (integers - zero_point)``; scale and zero point have the integers' rank."""

    name: str
    integers: Array
    scale: Array
    zero_point: Array

    @property
    def shape(self) -> Shape:
        """The shape of the constant."""
        return self.integers.shape

    @property
    def centred(self) -> Array:
        """The integers less their zero point, int64."""
        return self.integers.astype(np.int64) - self.zero_point

    @property
    def reals(self) -> Array:
        """The real numbers, float64."""
        return self.centred * self.scale


@dataclass(frozen=True)
class Tail:
    """What float operators at the end of the network make of ``source``; they are left to the caller."""

    source: Integers | Affine
    operators: tuple[str, ...]
    shape: Shape


@dataclass(frozen=True)
class Move:
    """A rearrangement by ``node`` to ``shape`` that commutes with monotone functions of the elements.

    ``make`` is told what the elements of its operand stand for; ``fills`` says that it adds elements made from that.
    """

    node: Node
    make: Callable[[SSAValue, Format], Operation]
    shape: Shape
    fills: bool = False


@dataclass(frozen=True, kw_only=True)
class Affine:
    """The real numbers that an 8-bit tensor stands for."""

    shape: Shape
    source: SSAValue
    format: Format

    def table(self) -> Table:
        """The same as one number for each integer."""
        return Table(shape=self.shape, source=self.source, format=self.format, values=self.format.reals())


@dataclass(frozen=True, kw_only=True)
class Table:
    """Any function of an 8-bit tensor: ``values`` [256] in the order of its integers."""

    shape: Shape
    source: SSAValue
    format: Format
    values: Reals

    def mapped(self, values: Array) -> Table:
        """Another function of the same tensor."""
        return replace(self, values=values.astype(np.float32))


@dataclass(frozen=True, kw_only=True)
class Pending:
    """Numbers without integers of 8 bits so far, clipped to ``low`` and ``high``, then rearranged by ``moves``.

    ``shape`` is that after the moves.
    """

    shape: Shape
    low: float = -inf
    high: float = inf
    moves: tuple[Move, ...] = ()

    @property
    def is_clipped(self) -> bool:
        """Whether the file has clipped them."""
        return isfinite(self.low) or isfinite(self.high)

    def clipped(self, low: float, high: float) -> Pending:
        """``min(max(x, low), high)``."""
        return replace(self, low=min(max(self.low, low), high), high=min(max(self.high, low), high))

    def moved(self, move: Move) -> Pending:
        """The same, rearranged once more."""
        return replace(self, shape=move.shape, moves=(*self.moves, move))


@dataclass(frozen=True, kw_only=True)
class Accumulated(Pending):
    """Sums of products of a layer that ``make`` builds from its bias; ``scale`` [1] or [K] is that of the i32 sums.

    ``extent`` [K] is the largest magnitude a channel's sum can reach without the bias. ``rounding`` is TFLite's for
    the layer.
    """

    node: Node
    name: str
    make: Callable[[SSAValue | None], Operation]
    scale: NDArray[np.float64]
    extent: Array
    rounding: str
    bias: Array | None = None


@dataclass(frozen=True, kw_only=True)
class Combined(Pending):
    """``lhs op rhs`` with ``op`` one of add, sub, mul; both of ``shape`` before the moves."""

    op: str
    lhs: Affine
    rhs: Affine


@dataclass(frozen=True, kw_only=True)
class Mean(Pending):
    """Averages over windows; ``reduced`` says that the file calls it ReduceMean, which TFLite rounds its own way."""

    operand: Affine
    window: Window
    reduced: bool


@dataclass(frozen=True, kw_only=True)
class Joined(Pending):
    """Reals put together along ``axis``."""

    parts: tuple[Affine | Table | Pending, ...]
    axis: int


@dataclass(frozen=True)
class Floats:
    """Real numbers as they are, which regions of another compiler read and make."""

    source: SSAValue
    shape: Shape


Real = Affine | Table | Pending
Tensor = Integers | Parameter | Tail | Floats | Real


def valid_scale(value: float) -> bool:
    """Whether a number can be a scale."""
    return isfinite(value) and value > 0
