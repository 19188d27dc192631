"""What follows an accumulator, call by call, as one requantisation.

``clamp(zero_point + ((sum + bias) * multiplier + addend >> shift), lo, hi)``. A call that this form cannot hold, or
whose integers could leave their type (the other compiler's arithmetic wraps there, ours does not), is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Refused(Exception):
    """Why something cannot be a kernel of an engine, in words."""


def limits(dtype: str) -> tuple[int, int]:
    """The least and the greatest integer of a type.

    Raises:
        Refused: it has no integers.
    """
    if not dtype.startswith(("int", "uint")):
        raise Refused(f"type {dtype}; engines compute on integers")
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


class Requantisation:
    """Grows by :meth:`apply`; ``interval`` is the least and the greatest value after the last call.

    channels: of a convolution or dense layer, which can take a bias; None for a sum.
    Multiplier, addend and shift are arrays of one value, or one for each channel.
    """

    def __init__(self, channels: int | None, rank: int, interval: tuple[int, int]):
        self.channels, self.rank = channels, rank
        self.sums = self.interval = interval
        self.bias: NDArray[np.int64] | None = None
        self.multiplier = np.ones(1, np.int64)
        self.addend = np.zeros(1, np.int64)
        self.shift = np.zeros(1, np.int64)
        self.zero_point = 0
        self.range: tuple[int, int] | None = None
        self.dtype = "int32"
        self._wrap()

    def apply(self, op: str, dtype: str, operand: Array | None, attributes: Mapping[str, Any]) -> None:
        """One more call: its operator, the type of its result, its constant operand and what else it is given.

        Raises:
            Refused: it does not fit.
        """
        step = self._steps().get(op)
        if op == "relu":
            self._clip(0, None)
        elif op == "clip":
            self._clip(int(attributes["min"]), int(attributes["max"]))
        elif step is not None and operand is not None:
            step(operand)
        elif op != "cast":
            raise Refused(f"{op} is not part of a requantisation, or its operand is not constant")
        self._settle(op, dtype)

    def finish(self) -> None:
        """The range is at most that of the type."""
        low, high = limits(self.dtype)
        start, end = self.range or (low, high)
        self.range = max(start, low), min(end, high)

    def _steps(self) -> dict[str, Callable[[Array], None]]:
        return {
            "add": self._add,
            "multiply": self._multiply,
            "right_shift": lambda a: self._shift(self._channels(a)),
            "floor_divide": lambda a: self._shift(_exponents(self._channels(a))),
            "maximum": lambda a: self._clip(_one(a), None),
            "minimum": lambda a: self._clip(None, _one(a)),
        }

    def _settle(self, op: str, dtype: str) -> None:
        """Every integer after the call fits its type."""
        low, high = limits(dtype)
        if self.interval[0] < low or self.interval[1] > high:
            raise Refused(f"{op} to {dtype} could wrap: values reach {self.interval[0]} to {self.interval[1]}")
        self.dtype = dtype

    def _wrap(self) -> None:
        """Accumulators wrap to 32 bits here and there alike; one that may do so can have any value."""
        low, high = limits("int32")
        if self.interval[0] < low or self.interval[1] > high:
            self.interval = low, high

    @property
    def _is_plain(self) -> bool:
        """Whether there is only an accumulator yet."""
        return not self.shift.any() and self.range is None and self.zero_point == 0

    def _add(self, operand: Array) -> None:
        values = self._channels(operand)
        if not self._is_plain:
            self.zero_point += (number := _one(values))
            self._move(number, number)
            self.range = None if self.range is None else (self.range[0] + number, self.range[1] + number)
        elif self._can_be_bias(values):
            assert self.channels is not None
            total = np.broadcast_to(values, (self.channels,)) + (0 if self.bias is None else self.bias)
            self.bias = total.astype(np.int32).astype(np.int64)
            self.interval = self.sums[0] + int(total.min()), self.sums[1] + int(total.max())
            self._wrap()
        else:
            self.addend = self.addend + values
            self._move(int(values.min()), int(values.max()))

    def _can_be_bias(self, values: Array) -> bool:
        if self.channels is None or set(self.multiplier.tolist()) != {1} or self.addend.any():
            return False
        low, high = limits("int32")
        fits = low <= self.interval[0] + int(values.min()) and self.interval[1] + int(values.max()) <= high
        return self.dtype == "int32" or fits

    def _multiply(self, operand: Array) -> None:
        values = self._channels(operand)
        if not self._is_plain:
            raise Refused("multiply after a shift or clip")
        self.multiplier, self.addend = self.multiplier * values, self.addend * values
        ends = [int(v) * end for v in values.tolist() for end in self.interval]
        self.interval = min(ends), max(ends)

    def _shift(self, amounts: Array) -> None:
        if amounts.min() < 0:
            raise Refused("a shift by a negative number")
        if self.zero_point or (self.range is not None and len(amounts) > 1):
            raise Refused("a shift after a zero point, or for each channel after a clip")
        self.shift = self.shift + amounts
        most, least = int(amounts.max()), int(amounts.min())
        low, high = self.interval
        self.interval = min(low >> most, low >> least), max(high >> most, high >> least)
        if self.range is not None:  # rounding down is monotone
            self.range = self.range[0] >> most, self.range[1] >> most

    def _clip(self, low: int | None, high: int | None) -> None:
        start, end = self.range or self.interval
        low, high = self.interval[0] if low is None else low, self.interval[1] if high is None else high
        if low > high:
            raise Refused(f"a clip to {low} to {high}, which is empty")
        self.range = min(max(start, low), high), min(max(end, low), high)
        self.interval = min(max(self.interval[0], low), high), min(max(self.interval[1], low), high)

    def _move(self, low: int, high: int) -> None:
        self.interval = self.interval[0] + low, self.interval[1] + high

    def _channels(self, array: Array) -> NDArray[np.int64]:
        """A constant operand as one value, or one for each channel."""
        if array.dtype.kind not in "iu":
            raise Refused(f"a constant of type {array.dtype}; engines compute on integers")
        if array.ndim > self.rank:
            raise Refused(f"a constant of shape {list(array.shape)}")
        shape = (1,) * (self.rank - array.ndim) + array.shape
        if any(n != 1 for axis, n in enumerate(shape) if axis != 1) or shape[1] not in (1, self.channels):
            raise Refused(f"a constant of shape {list(array.shape)}; there may be one value for each channel")
        return array.reshape(-1).astype(np.int64)


def _one(values: Array) -> int:
    if len(numbers := set(values.reshape(-1).tolist())) != 1:
        raise Refused("a limit or zero point for each channel; there can be one for the tensor")
    return int(numbers.pop())


def _exponents(divisors: Array) -> NDArray[np.int64]:
    found = [int(d) for d in divisors.tolist()]
    if any(d <= 0 or d & d - 1 for d in found):
        raise Refused("a division by other than powers of two")
    return np.array([d.bit_length() - 1 for d in found])
