"""Float and QDQ models to integer nets in DIANA's number format, on calibration data.

Weights and activations of 8 bits, scales that differ by powers of two, so that requantisation is an arithmetic shift;
rounding, zero points and what quantisation shifts on average live in the 32-bit biases. ``read`` makes real layers of a
model, ``inputs``, ``equalise`` and ``exponents`` choose scales, ``convert`` fits integers, ``write`` gives ONNX.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from htvm_ir.errors import HtvmError
from htvm_ir.quantize import forward
from htvm_ir.quantize.convert import Converted, convert, run_steps
from htvm_ir.quantize.equalise import equalised, with_bounds_at_the_end, without_idle_clips
from htvm_ir.quantize.inputs import rescaled
from htvm_ir.quantize.network import Array, Network

__all__ = ["Converted", "Cost", "Network", "quantize", "run_steps"]


_LARGEST = 2.0**40
"""Numbers beyond are no activations; float32 still has room for their products."""


@dataclass(frozen=True)
class Cost:
    """What a conversion cost on the calibration data.

    relative_error: root of squared error over squared signal of all outputs. agreement: share of samples whose largest
    output is the same, of the first output; None if it has only one element. equalised: whether channels were.
    """

    samples: int
    relative_error: float
    agreement: float | None
    equalised: bool


def quantize(network: Network, samples: Mapping[str, Array]) -> tuple[Converted, Cost]:
    """The integer network whose outputs differ least from the float network's on ``samples`` [N, ...] of each input.

    Raises:
        HtvmError: numbers that do not fit the format.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        real = forward.run(network.layers, samples)
    for name, values in real.items():
        if not np.abs(values).max(initial=0.0) <= _LARGEST:  # NaN compares false
            raise HtvmError(f"tensor '{name}' holds numbers beyond {_LARGEST:g}; no 8-bit scale suits them")
    scaled, scales = rescaled(with_bounds_at_the_end(without_idle_clips(network, real)), samples)
    units = {name: values / np.float32(scales.get(name, 1.0)) for name, values in samples.items()}
    found = [convert(scaled, units, scales)]
    found.append(convert(equalised(scaled, forward.run(scaled.layers, units)), units, scales))
    best = min(found, key=lambda converted: converted.error)
    return best, _cost(best, real, samples, best is found[1])


def _cost(converted: Converted, real: Mapping[str, Array], samples: Mapping[str, Array], was_equalised: bool) -> Cost:
    """Against the network as it was read, clips included."""
    network, got = converted.network, run_steps(converted, samples)
    outputs = {name: converted.form(name).real(got[name]) for name in network.outputs.values()}
    first = next(iter(outputs))
    guesses = [values[first].reshape(len(values[first]), -1).argmax(axis=1) for values in (outputs, real)]
    agreement = float(np.mean(guesses[0] == guesses[1])) if outputs[first][0].size > 1 else None
    error = forward.difference(network, real, outputs)
    return Cost(len(guesses[0]), float(np.sqrt(error)), agreement, was_equalised)
