"""The conversion of a float network, layer by layer along the data: every layer sees what the integer layers before
it really give, and is fitted to what the float network has in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from htvm_ir.errors import HtvmError
from htvm_ir.quantize import forward
from htvm_ir.quantize.exponents import INT8, Format, choose, covering
from htvm_ir.quantize.network import Add, Array, Layer, Linear, Network, Pool, channel_axes
from htvm_ir.quantize.rounding import round_weights

_EXACT = 2**24
"""Integers up to here are exact in float32, in which onnxruntime computes the result."""
_LARGEST_SHIFT = 31
_NARROWER = 3
"""Weight exponents tried: the one that clips no weight, and the next ones below."""


@dataclass
class Step:
    """A layer in integers: ``clip(floor(accumulator / 2**shift), form.low, form.high)``.

    ``weights`` and ``bias`` are integers; ``error`` is the share of the float result's energy that the integers miss on
    the calibration data.
    """

    layer: Layer
    form: Format
    shift: int = 0
    weights: Array | None = None
    bias: Array | None = None
    weight_exponent: int | None = None
    error: float = 0.0


@dataclass
class Converted:
    """An integer network: ``scales`` of its inputs, its layers, and the outputs' error on the calibration data."""

    network: Network
    scales: dict[str, float]
    steps: list[Step]
    error: float

    def form(self, tensor: str) -> Format:
        """The format of a layer's result."""
        return next(step.form for step in self.steps if step.layer.name == tensor)


def convert(network: Network, samples: Mapping[str, Array], scales: Mapping[str, float]) -> Converted:
    """Integers for every layer of a float network, fitted on ``samples`` [N, ...] of its inputs.

    ``scales`` names inputs whose samples are in units of their scale already.
    """
    real = forward.run(network.layers, samples)
    formats = choose(network, real, dict.fromkeys(scales, 0))
    got = {s.name: integer_input(samples[s.name], 2.0 ** formats[s.name].exponent) for s in network.sources}
    steps: list[Step] = []
    for layer in network.layers:
        step = Step(layer, formats[layer.name])
        if isinstance(layer, Linear):
            step = _fit(network, layer, real, got, formats)
        elif isinstance(layer, Add):
            step.shift = step.form.exponent - formats[layer.inputs[0]].exponent
        got[layer.name] = run_step(step, [got[name] for name in layer.inputs])
        step.error = forward.missed(step.form.real(got[layer.name]), real[layer.name])
        steps.append(step)
    outputs = {name: formats[name].real(got[name]) for name in network.outputs.values()}
    units = {s.name: scales.get(s.name, 2.0 ** formats[s.name].exponent) for s in network.sources}
    return Converted(network, units, steps, forward.difference(network, real, outputs))


def integer_input(values: Array, scale: float) -> Array:
    """Real inputs as the network's edge makes integers of them, in the float32 arithmetic of the edge."""
    return np.clip(np.floor(values / np.float32(scale) + np.float32(0.5)), *INT8)


def run_step(step: Step, operands: list[Array]) -> Array:
    """The integers a layer gives for the integers it reads."""
    layer = step.layer
    if isinstance(layer, Linear):
        assert step.weights is not None and step.bias is not None
        sums = forward.linear(layer, operands[0], step.weights, step.bias)
    elif isinstance(layer, Add):
        sums = operands[0] + operands[1]
    else:
        half = 0.5 if isinstance(layer, Pool) and layer.average else 0.0
        sums = forward.compute(replace(layer, low=-np.inf, high=np.inf), operands) + np.float32(half)
    return np.clip(np.floor(sums * np.float32(2.0**-step.shift)), step.form.low, step.form.high)


def run_steps(converted: Converted, samples: Mapping[str, Array]) -> dict[str, Array]:
    """The integers of every tensor; ``samples`` are real numbers."""
    got = {name: integer_input(samples[name], scale) for name, scale in converted.scales.items()}
    for step in converted.steps:
        got[step.layer.name] = run_step(step, [got[name] for name in step.layer.inputs])
    return got


def _fit(
    network: Network, layer: Linear, real: Mapping[str, Array], got: Mapping[str, Array], formats: Mapping[str, Format]
) -> Step:
    """The weight exponent, weights and bias that bring the result nearest to the float network's."""
    (source,) = layer.inputs
    form, given = formats[layer.name], formats[source].exponent
    mean, covariance = _moments(layer, got[source])
    wanted = forward.linear(layer, real[source], layer.weights, layer.bias)
    wanted = wanted.mean(axis=tuple(channel_axes(wanted.ndim)), dtype=np.float64)
    kernels = forward.matrix(layer, layer.weights)
    half = _half_of_sum(network, layer, formats)
    best: Step | None = None
    for exponent in _weight_exponents(kernels, form.exponent - given):
        rounded = round_weights(kernels, covariance, exponent)
        shift = form.exponent - given - exponent
        # the mean of what is lost, the offset of the result, and half a unit, so that the floor rounds to nearest
        bias = wanted * 2.0 ** -(exponent + given) - np.einsum("gkd,gd->gk", rounded, mean).reshape(-1)
        bias = np.rint(bias) + (half - form.offset) * 2.0**shift + (2.0 ** (shift - 1) if shift else 0.0)
        step = Step(layer, form, shift, rounded.reshape(layer.weights.shape), bias, exponent)
        if not _is_exact(rounded, bias):
            continue
        step.error = forward.missed(form.real(run_step(step, [got[source]])), real[layer.name])
        if best is None or step.error < best.error:
            best = step
    if best is None:
        raise HtvmError(f"layer '{layer.name}' has sums beyond 2^24, which float32 cannot hold exactly")
    return best


def _weight_exponents(kernels: Array, largest: int) -> range:
    """Exponents to try, none above ``largest`` (the shift is to the right) or below the largest shift."""
    lowest = largest - _LARGEST_SHIFT
    top = max(min(covering(float(np.abs(kernels).max(initial=0.0)), INT8[1]), largest), lowest)
    return range(top, max(top - _NARROWER, lowest - 1), -1)


def _half_of_sum(network: Network, layer: Linear, formats: Mapping[str, Format]) -> int:
    """Half a unit of the sum that reads a layer, in the layer's units, if it is this layer that carries it.

    A sum has no bias of its own; with it, its floor rounds to nearest.
    """
    readers = network.readers(layer.name)
    if len(readers) != 1 or not isinstance(readers[0], Add):
        return 0
    carriers = [
        other.name
        for other in network.layers
        if other.name in readers[0].inputs
        and isinstance(other, Linear)
        and np.isneginf(other.low)
        and len(network.readers(other.name)) == 1
        and other.name not in network.outputs.values()
    ]
    shift = formats[readers[0].name].exponent - formats[layer.name].exponent
    return 2 ** (shift - 1) if shift and carriers[:1] == [layer.name] else 0


def _is_exact(weights: Array, bias: Array) -> bool:
    """Whether float32 holds every partial sum, whatever the operands and the order."""
    largest = np.abs(weights).sum(axis=2).reshape(-1) * -INT8[0] + np.abs(bias)
    return bool(largest.max(initial=0) <= _EXACT)


def _moments(layer: Linear, x: Array) -> tuple[Array, Array]:
    """Mean [G, D] and covariance [G, D, D] of a layer's operands."""
    total, products, count = 0.0, 0.0, 0
    for _, operands in forward.columns(layer, x):
        total = total + operands.sum(axis=2, dtype=np.float64)
        products = products + np.matmul(operands, operands.swapaxes(1, 2)).astype(np.float64)
        count += operands.shape[2]
    mean = np.asarray(total) / count
    return mean, np.asarray(products) / count - mean[:, :, None] * mean[:, None, :]
