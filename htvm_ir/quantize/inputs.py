"""Scales of the inputs. They need not be powers of two: the caller applies them, the first weights undo them."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np

from htvm_ir.quantize import forward
from htvm_ir.quantize.exponents import INT8, Format
from htvm_ir.quantize.network import Array, Linear, Move, Network

_SAMPLES = 100
_FINER = tuple(2.0 ** (-k / 2) for k in range(5))
"""Scales tried, relative to the one that clips nothing."""
_LEVELS = 512
"""More different numbers than this are no 8-bit data."""


def rescaled(network: Network, samples: Mapping[str, Array]) -> tuple[Network, dict[str, float]]:
    """The network on inputs divided by their scales, and these scales.

    An input that anything but layers with weights reads is left as it is and has no scale here.
    """
    result, scales = copy.deepcopy(network), dict[str, float]()
    few = {name: values[:_SAMPLES] for name, values in samples.items()}
    real = forward.run(network.layers, few)
    for source in network.sources:
        readers = _linear_readers(result, source.name)
        if readers is None:
            continue
        scale = _best(network, real, source.name)
        scales[source.name] = scale
        for reader in readers:
            reader.weights = reader.weights * scale
    return result, scales


def _linear_readers(network: Network, name: str) -> list[Linear] | None:
    found: list[Linear] = []
    for reader in network.readers(name):
        further = [reader] if isinstance(reader, Linear) else None
        if isinstance(reader, Move):
            further = _linear_readers(network, reader.name)
        if further is None:
            return None
        found += further
    return found


def _best(network: Network, real: Mapping[str, Array], name: str) -> float:
    """The scale with which rounding the input changes the outputs least."""
    values = real[name]
    cover = float(np.abs(values).max(initial=0.0)) / INT8[1] or 1.0
    candidates = [cover * factor for factor in _FINER]
    step = grid(values)
    if step is not None and step > cover * _FINER[-1]:
        candidates.append(step)
    unit = Format(0)

    def error(scale: float) -> float:
        rounded = unit.integers(values / np.float32(scale)) * np.float32(scale)
        tensors = forward.run(network.layers, {**{s.name: real[s.name] for s in network.sources}, name: rounded})
        return forward.difference(network, real, tensors)

    return float(np.float32(min(candidates, key=error)))


def grid(values: Array) -> float | None:
    """The step of which all numbers are multiples, as those of dequantised data are; None if there is none."""
    levels = np.unique(values.astype(np.float64))
    levels = levels[levels != 0]
    if not 1 <= levels.size <= _LEVELS:
        return None
    gaps = np.diff(np.unique(np.append(levels, 0.0)))
    step = float(gaps[gaps > 1e-6 * np.abs(levels).max()].min(initial=np.inf))
    multiples = levels / step
    if not np.isfinite(step) or np.abs(multiples - np.rint(multiples)).max() > 0.01:
        return None
    return float(np.dot(levels, np.rint(multiples)) / np.dot(np.rint(multiples), np.rint(multiples)))
