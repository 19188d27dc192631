"""Equalisation across channels: a factor for each channel, divided out of the layer that makes it and multiplied
into the layers that read it (Nagel et al., "Data-free quantization through weight equalization", 2019).

The factor is the root of the channel's largest value on the data: halfway, on a logarithmic scale, between channels
that use the 8 bits alike and weights left as they are, which have to fit 8 bits in turn.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np

from htvm_ir.quantize.exponents import INT8, covering, offset_of
from htvm_ir.quantize.network import Array, Conv, Layer, Linear, Move, Network, Pool, channel_axes

_IDLE = 1e-4
"""Share of values at a bound below which it is only the end of somebody's calibration, no activation function."""


def equalised(network: Network, tensors: Mapping[str, Array]) -> Network:
    """The same function with other factors; ``tensors`` are what its layers give on the calibration data.

    Only what is positively homogeneous can be scaled: linear layers without an upper bound that linear layers read.
    """
    result = copy.deepcopy(network)
    for layer in result.layers:
        readers = _linear_readers(result, layer.name)
        if not isinstance(layer, Linear) or not readers or np.isfinite(layer.high) or layer.low not in (0, -np.inf):
            continue
        largest = np.abs(tensors[layer.name]).max(axis=tuple(channel_axes(len(layer.shape)))).astype(np.float64)
        alive = largest > 0
        if not alive.any():
            continue
        middle = np.exp(np.log(largest[alive]).mean())
        factors = np.sqrt(np.where(alive, largest / middle, 1.0))
        _scale_results(layer, 1 / factors)
        for reader in readers:
            _scale_operands(reader, factors)
    return result


def without_idle_clips(network: Network, tensors: Mapping[str, Array]) -> Network:
    """The network without bounds that next to nothing on the calibration data reaches, 0 as a lower bound excepted."""
    result = copy.deepcopy(network)
    for layer in result.layers:
        if np.mean(tensors[layer.name] >= layer.high) < _IDLE:
            layer.high = np.inf
        if layer.low != 0 and np.mean(tensors[layer.name] <= layer.low) < _IDLE:
            layer.low = -np.inf
    return result


def with_bounds_at_the_end(network: Network) -> Network:
    """The same function, but upper bounds are the largest of the 8-bit integers, where arithmetic saturates by itself.

    Where that is not possible (a sum reads the tensor) the bound stays what it is.
    """
    result = copy.deepcopy(network)
    for layer in result.layers:
        readers = _linear_readers(result, layer.name)
        if not isinstance(layer, Linear) or not readers or not np.isfinite(layer.high) or layer.low != 0:
            continue
        steps = INT8[1] + offset_of(result, layer.name)
        end = steps * 2.0 ** covering(layer.high, steps)
        _scale_results(layer, np.full(layer.shape[1], end / layer.high))
        for reader in readers:
            _scale_operands(reader, np.full(layer.shape[1], layer.high / end))
        layer.high = end
    return result


def _linear_readers(network: Network, name: str) -> list[Linear]:
    """The layers with weights that read a tensor, pools on the way passed; none if anything else reads it."""
    if name in network.outputs.values():
        return []
    found: list[Linear] = []
    for reader in network.readers(name):
        further = [reader] if isinstance(reader, Linear) else []
        if _keeps_channels(network, reader):
            further = _linear_readers(network, reader.name)
        if not further:
            return []
        found += further
    return found


def _keeps_channels(network: Network, layer: Layer) -> bool:
    if isinstance(layer, Move):
        before = next((other.shape for other in network.layers if other.name == layer.inputs[0]), ())
        return not layer.permutation and before[2:] == (1, 1) and layer.shape == before[:2]
    return isinstance(layer, Pool)


def _scale_results(layer: Linear, factors: Array) -> None:
    layer.weights = layer.weights * factors.reshape(-1, *(1,) * (layer.weights.ndim - 1))
    layer.bias = layer.bias * factors


def _scale_operands(layer: Linear, factors: Array) -> None:
    groups = layer.groups if isinstance(layer, Conv) else 1
    shape = layer.weights.shape
    grouped = layer.weights.reshape(groups, shape[0] // groups, shape[1], -1)
    layer.weights = (grouped * factors.reshape(groups, 1, shape[1], 1)).reshape(shape)
