"""RequantShift, the requantisation operator of Deeploy and of the quantlib exporters, in any domain."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import isfinite

import numpy as np

from htvm_ir.frontends.onnx.accumulate import integer_array
from htvm_ir.frontends.onnx.graph import Node
from htvm_ir.frontends.onnx.integer.net import IntegerNet
from htvm_ir.frontends.onnx.integer.proof import Vector, vector

_LEVELS = ("n_levels_out", "n_levels")
_MOST_LEVELS = 2**32


def convert_requant_shift(net: IntegerNet, node: Node) -> None:
    """``clip(floor((x * mul + add + div / 2) / div), lo, hi)``.

    Attributes: ``div``; ``n_levels_out`` or ``n_levels``, the number of results; ``signed`` (1 if left out), whether
    they begin at minus half of that number or at 0. ``mul`` and ``add`` are constants, one or one for each channel.
    """
    x = net.integers(node, node.operand(0))
    divisor, levels = _attribute(node, "div"), _attribute(node, *_LEVELS)
    if divisor < 1 or not 1 <= levels <= _MOST_LEVELS:
        raise node.error(f"div is {divisor} and the number of levels {levels}; they must be positive")
    low = -(levels // 2) if _attribute(node, "signed", default=1) else 0
    value = x.value.times(*_integers(net, node, 1, "mul"), exact=True).plus(*_integers(net, node, 2, "add"))
    value = value.plus(Fraction(divisor, 2)).times(Fraction(1, divisor), exact=True).floor()
    net.derive(node, replace(x, value=value.clipped(Fraction(low), Fraction(low + levels - 1))))


def _integers(net: IntegerNet, node: Node, index: int, what: str) -> Vector:
    """A constant of one integer, or of one for each channel in whatever shape."""
    array, shape = net.graph.constant(node, index, what), net.operand(node).shape
    if array.size not in (1, shape[1] if len(shape) > 1 else 1):
        raise node.error(f"{what} has {array.size} elements; it needs one, or one for each channel of {list(shape)}")
    return vector(Fraction(value) for value in integer_array(node, array, what).reshape(-1).tolist())


def _attribute(node: Node, *names: str, default: int | None = None) -> int:
    """The integer in an attribute, which exporters store as a number or as a tensor of one element."""
    found = next((node.attributes[name] for name in names if name in node.attributes), default)
    if found is None:
        raise node.error(f"has no attribute '{names[0]}'")
    array = np.asarray(found)
    is_number = array.size == 1 and array.dtype.kind in "biuf"
    if not is_number or not isfinite(array.item()) or array.item() != int(array.item()):
        raise node.error(f"attribute '{names[0]}' must be one integer")
    return int(array.item())
