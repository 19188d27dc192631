"""What layers compute, on many samples at once: axis 0 of every array is the sample axis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from htvm_ir.frontends.onnx.shapes import Window
from htvm_ir.quantize.network import Add, Array, Clip, Conv, Dense, Layer, Linear, Move, Network, Pool, per_channel

_CHUNK = 1 << 24
"""Elements of the largest intermediate array: 64 MB of float32."""


def columns(layer: Linear, x: Array) -> Iterator[tuple[slice, Array]]:
    """The operands of a linear layer as matrices [groups, taps, positions], some samples at a time.

    Yields which samples, and their matrix; positions are ordered by sample, then row, then column.
    """
    if isinstance(layer, Dense):
        yield slice(0, len(x)), x.T[None]
        return
    assert isinstance(layer, Conv)
    win, groups = layer.window, layer.groups
    pads = ((0, 0), (0, 0), (win.pads[0], win.pads[2]), (win.pads[1], win.pads[3]))
    size = x[0].size * int(np.prod(win.kernel))
    step = max(1, _CHUNK // size)
    for start in range(0, len(x), step):
        part = slice(start, min(start + step, len(x)))
        views = _windows(np.pad(x[part], pads), win)
        n, c, oy, ox, fy, fx = views.shape
        ordered = views.transpose(1, 4, 5, 0, 2, 3)
        yield part, ordered.reshape(groups, c // groups * fy * fx, n * oy * ox)


def matrix(layer: Linear, weights: Array) -> Array:
    """Weights as [groups, output channels of a group, taps], to multiply ``columns`` with."""
    groups = layer.groups if isinstance(layer, Conv) else 1
    return weights.reshape(groups, weights.shape[0] // groups, -1)


def linear(layer: Linear, x: Array, weights: Array, bias: Array) -> Array:
    """The accumulators of a linear layer with these weights and biases, in the type of ``x``."""
    result = np.empty((len(x), *layer.shape[1:]), x.dtype)
    kernels = matrix(layer, weights).astype(x.dtype)
    start = per_channel(bias.astype(x.dtype), len(layer.shape))
    for part, operands in columns(layer, x):
        sums = np.matmul(kernels, operands).reshape(layer.shape[1], part.stop - part.start, -1)
        result[part] = sums.swapaxes(0, 1).reshape(-1, *layer.shape[1:]) + start
    return result


def compute(layer: Layer, operands: Sequence[Array]) -> Array:
    """The real result of a layer, clip included."""
    match layer:
        case Linear():
            result = linear(layer, operands[0], layer.weights, layer.bias)
        case Add():
            result = operands[0] + operands[1]
        case Pool():
            result = pool(layer, operands[0])
        case Move():
            result = move(layer, operands[0])
        case Clip():
            result = operands[0]
        case _:
            raise TypeError(f"no meaning for {layer}")
    return clipped(layer, result)


def clipped(layer: Layer, values: Array) -> Array:
    """Values within the bounds of a layer."""
    if np.isinf(layer.low) and np.isinf(layer.high):
        return values
    return np.clip(values, layer.low, layer.high)


def _windows(padded: Array, win: Window) -> Array:
    """All windows of [N, C, H, W]: [N, C, OY, OX, FY, FX]."""
    (fy, fx), (sy, sx), (dy, dx) = win.kernel, win.strides, win.dilations
    view = np.lib.stride_tricks.sliding_window_view(padded, (dy * (fy - 1) + 1, dx * (fx - 1) + 1), axis=(2, 3))
    return view[:, :, ::sy, ::sx, ::dy, ::dx]


def pool(layer: Pool, x: Array) -> Array:
    """Maxima, or means of what is not padding."""
    win = layer.window
    pads = ((0, 0), (0, 0), (win.pads[0], win.pads[2]), (win.pads[1], win.pads[3]))
    if not layer.average:
        return _windows(np.pad(x, pads, constant_values=-np.inf), win).max(axis=(4, 5))
    counted = _windows(np.pad(np.ones_like(x[:1]), pads), win).sum(axis=(4, 5))
    return _windows(np.pad(x, pads), win).sum(axis=(4, 5)) / counted


def move(layer: Move, x: Array) -> Array:
    """Transposed or reshaped."""
    return x.transpose(layer.permutation) if layer.permutation else x.reshape(len(x), *layer.shape[1:])


def run(layers: Sequence[Layer], inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Every tensor of a float network."""
    tensors = dict(inputs)
    for layer in layers:
        tensors[layer.name] = compute(layer, [tensors[name] for name in layer.inputs])
    return tensors


def difference(network: Network, real: Mapping[str, Array], other: Mapping[str, Array]) -> float:
    """How far the outputs in ``other`` are from ``real``: squared error over squared signal, summed over outputs."""
    total = 0.0
    for name in network.outputs.values():
        total += missed(other[name], real[name])
    return total


def missed(got: Array, real: Array) -> float:
    """The share of the energy of ``real`` that is in its difference to ``got``."""
    energy = np.sum(np.square(real, dtype=np.float64))
    return float(np.sum(np.square(got - real, dtype=np.float64)) / max(energy, 1e-300))
