"""Functions of one number, for tables over the 256 integers of a tensor: float64 in, rounded to float32 at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import erf, pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htvm_ir.frontends.onnx.graph import Node

Numbers = NDArray[np.float64]
Function = Callable[[Node, Numbers], Any]

_SELU = (1.67326319217681884765625, 1.05070102214813232421875)
"""Defaults of alpha and gamma in the ONNX standard."""


def _elu(node: Node, x: Numbers, scale: float = 1.0, alpha: float = 1.0) -> Numbers:
    alpha = node.number("alpha", alpha)
    return scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _celu(node: Node, x: Numbers) -> Numbers:
    alpha = node.number("alpha", 1.0)
    return np.maximum(x, 0) + np.minimum(0, alpha * np.expm1(np.minimum(x, 0) / alpha))


def _sigmoid(x: Numbers) -> Numbers:
    return np.exp(-np.logaddexp(0, -x))


def _hard_sigmoid(node: Node, x: Numbers) -> Numbers:
    return np.clip(node.number("alpha", 0.2) * x + node.number("beta", 0.5), 0, 1)


def _gelu(node: Node, x: Numbers) -> Numbers:
    if node.text("approximate", "none") == "tanh":
        return x / 2 * (1 + np.tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))
    return x / 2 * (1 + _erf(x / sqrt(2)))


def _erf(x: Numbers) -> Numbers:
    return np.array([erf(value) for value in x])


FUNCTIONS: Mapping[str, Function] = {
    "Abs": lambda _, x: np.abs(x),
    "Ceil": lambda _, x: np.ceil(x),
    "Celu": _celu,
    "Elu": _elu,
    "Erf": lambda _, x: _erf(x),
    "Exp": lambda _, x: np.exp(x),
    "Floor": lambda _, x: np.floor(x),
    "Gelu": _gelu,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda _, x: x * np.clip(x / 6 + 0.5, 0, 1),
    "LeakyRelu": lambda node, x: np.where(x >= 0, x, node.number("alpha", 0.01) * x),
    "Log": lambda _, x: np.log(x),
    "Mish": lambda _, x: x * np.tanh(np.logaddexp(0, x)),
    "Neg": lambda _, x: -x,
    "Reciprocal": lambda _, x: 1 / x,
    "Round": lambda _, x: np.rint(x),
    "Selu": lambda node, x: _elu(node, x, node.number("gamma", _SELU[1]), _SELU[0]),
    "Sigmoid": lambda _, x: _sigmoid(x),
    "Sign": lambda _, x: np.sign(x),
    "Softplus": lambda _, x: np.logaddexp(0, x),
    "Softsign": lambda _, x: x / (1 + np.abs(x)),
    "Sqrt": lambda _, x: np.sqrt(x),
    "Swish": lambda node, x: x * _sigmoid(node.number("alpha", 1.0) * x),
    "Tanh": lambda _, x: np.tanh(x),
    "ThresholdedRelu": lambda node, x: np.where(x > node.number("alpha", 1.0), x, 0.0),
}


def apply(node: Node, x: NDArray[Any]) -> Numbers:
    """The function ``node`` computes, of numbers ``x``; raises HtvmError where it has no finite value."""
    with np.errstate(all="ignore"):
        result = FUNCTIONS[node.op](node, x.astype(np.float64))
    return finite(node, result)


def finite(node: Node, values: Numbers) -> Numbers:
    """``values``, saturated; raises HtvmError for NaN."""
    if np.isnan(values).any():
        raise node.error("has no value for some of the numbers its operand may hold; clip the operand")
    return np.clip(values, -np.finfo(np.float32).max, np.finfo(np.float32).max)


def is_monotone(values: NDArray[Any]) -> bool:
    """Whether a table never falls."""
    return bool((np.diff(values) >= 0).all())
