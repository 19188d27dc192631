"""Convolutions that the analog core computes with an error: groups of input channels, and the gain of its converters.

The converters have 64 steps. The gain is the least one with which they cover the sums that satisfy three bounds: what
the weights can make of the input at all, what they make of inputs spread evenly over their range (three standard
deviations; model choice), and where the requantisation that follows is not saturated anyway.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from htvm_ir.targets.diana.analog_instruction import ADC_HIGH, ADC_LOW
from htvm_ir.targets.workload import Range, Requant, Workload, as_array

DEVIATIONS = 3.0

Floats = NDArray[np.float64]


def parts(workload: Workload, size: int) -> tuple[Range, ...]:
    """Groups of at most ``size`` input channels, all but the last of that size (as quantlib cuts deep arrays)."""
    channels = workload.inputs[0].shape[1]
    return tuple((start, min(size, channels - start)) for start in range(0, channels, size))


def converters(workload: Workload, groups: tuple[Range, ...], max_shift: int) -> Requant:
    """What the converters do to the sums of every group."""
    weights = as_array(workload.weights).astype(np.float64)
    bounds = [_reach(weights[:, start : start + size], workload.ranges[0]) for start, size in groups]
    if len(groups) == 1 and workload.requant is not None:
        window = _window(workload.requant, workload.bias, len(weights))
        bounds = [tuple(np.clip(bound, *window) for bound in bounds[0])]
    low, high = min(float(b[0].min()) for b in bounds), max(float(b[1].max()) for b in bounds)
    shifts = range(max_shift)
    shift = next((s for s in shifts if ADC_LOW << s <= low and high < (ADC_HIGH + 1) << s), max_shift)
    return Requant("floor", (1,), (shift,), 0, ADC_LOW, ADC_HIGH)


def _reach(weights: Floats, interval: Range) -> tuple[Any, ...]:
    """For each output channel the least and the greatest sum to reckon with; padding adds zeros to the input."""
    low, high = min(interval[0], 0), max(interval[1], 0)
    taps = weights.reshape(len(weights), -1)
    plus, minus = np.maximum(taps, 0).sum(1), np.maximum(-taps, 0).sum(1)
    mean = (plus - minus) * (interval[0] + interval[1]) / 2
    spread = DEVIATIONS * np.sqrt((taps**2).sum(1) * ((interval[1] - interval[0] + 1) ** 2 - 1) / 12)
    return np.maximum(plus * low - minus * high, mean - spread), np.minimum(plus * high - minus * low, mean + spread)


def _window(requant: Requant, bias: NDArray[Any] | None, channels: int) -> tuple[Floats, Floats]:
    """For each output channel the sums between which the requantised result is not at its limits."""
    multiplier = np.broadcast_to(np.array(requant.multiplier, np.float64), (channels,))
    divisor, unit = np.where(multiplier == 0, np.inf, multiplier), np.exp2(np.array(requant.shift, np.float64))
    offset = 0.0 if bias is None else bias.astype(np.float64)
    limits = ((limit - requant.zero_point) * unit - np.array(requant.addend) for limit in (requant.lo, requant.hi))
    ends = [limit / divisor - offset for limit in limits]
    return np.minimum(*ends), np.maximum(*ends)
