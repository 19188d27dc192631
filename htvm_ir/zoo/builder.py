"""A network with drawn weights and calibrated shifts, built layer by layer.

Every layer is run on a few random int8 inputs as it is added. Its bias centres the accumulators of
each channel (as a folded batch normalisation would), plus some spread between channels; its shift
is the smallest that saturates next to nothing. So activations neither die nor saturate, however
deep the network is.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import onnx

from htvm_ir.zoo import arithmetic
from htvm_ir.zoo.arithmetic import ADC_MAX, ADC_MIN, INT7_MAX, INT7_MIN, INT8_MAX, INT8_MIN, Array, Pads
from htvm_ir.zoo.writer import IntegerNetWriter

# Model choices: int8 weights spread like those of trained 8-bit networks; biases of half the
# accumulators' spread; a hundredth of the values may saturate.
_WEIGHT_STD = 32.0
_BIAS_SPREAD = 0.5
_SATURATED = 0.01
_BATCH_NORM = (16, 64)
"""Multipliers behind analog layers (model choice; they have 8 bits in DIANA's training flow)."""


class NetBuilder:
    """Builds the network `name`, whose input has `shape` (no batch axis) and float step `scale`.

    `name` seeds the weights. `activations` maps each layer's name to its result (N, ...) on the
    calibration inputs, which are under "input.int8"; `samples` is N.
    """

    def __init__(self, name: str, shape: Sequence[int], *, scale: float, samples: int = 8) -> None:
        self._rng = np.random.default_rng(zlib.crc32(name.encode()))
        self._writer = IntegerNetWriter(name, shape)
        self.input = self._writer.input(scale)
        inputs = self._rng.integers(INT8_MIN, INT8_MAX + 1, (samples, *shape))
        self.activations: dict[str, Array] = {self.input: inputs.astype(np.float32)}

    def conv(
        self,
        name: str,
        x: str,
        channels: int,
        kernel: tuple[int, int],
        *,
        stride: int = 1,
        pads: Pads | None = None,
        relu: bool = True,
        hi: int = INT8_MAX,
    ) -> str:
        """Convolution to `channels`; padded as TensorFlow's SAME unless `pads` says otherwise."""
        weight = self._weight(channels, self.activations[x].shape[1], *kernel)
        return self._conv(name, x, weight, stride=stride, pads=pads, relu=relu, hi=hi)

    def ternary(
        self,
        name: str,
        x: str,
        channels: int,
        kernel: tuple[int, int],
        *,
        stride: int = 1,
        relu: bool = True,
        hi: int = INT8_MAX,
    ) -> str:
        """Convolution with weights of -1, 0 and 1 and nothing of the analog array in its meaning; SAME padding."""
        shape = (channels, self.activations[x].shape[1], *kernel)
        weight = self._rng.integers(-1, 2, shape).astype(np.float32)
        return self._conv(name, x, weight, stride=stride, pads=None, relu=relu, hi=hi)

    def depthwise(self, name: str, x: str, kernel: tuple[int, int], *, stride: int = 1, hi: int = INT8_MAX) -> str:
        """Depthwise convolution, padded as TensorFlow's SAME, with ReLU."""
        weight = self._weight(self.activations[x].shape[1], 1, *kernel)
        return self._conv(name, x, weight, stride=stride, pads=None, relu=True, hi=hi)

    def analog(
        self,
        name: str,
        x: str,
        channels: int,
        kernel: tuple[int, int],
        *,
        stride: int = 1,
        relu: bool = True,
        hi: int = INT8_MAX,
    ) -> str:
        """Convolution with ternary weights, converters and batch normalisation, padded as TensorFlow's SAME.

        Its input must hold 7 bits.
        """
        source = self.activations[x]
        assert source.min() >= INT7_MIN and source.max() <= INT7_MAX
        weight = self._rng.integers(-1, 2, (channels, source.shape[1], *kernel)).astype(np.float32)
        pads = arithmetic.same_pads(source.shape[2:], kernel, stride)
        acc = arithmetic.conv2d(source, weight, stride, pads)
        gain = arithmetic.smallest_shift(acc, ADC_MIN, _SATURATED, ADC_MAX)
        converted = arithmetic.requantise(acc, gain, ADC_MIN, ADC_MAX)
        self.activations[f"{name}.adc"] = converted
        mul = self._rng.integers(*_BATCH_NORM, channels).astype(np.float32)
        normalised, add = self._centred(converted * mul.reshape(-1, 1, 1))
        shift, lo = self._settle(name, normalised, relu, hi)
        return self._writer.analog(
            name, x, weight, stride=stride, pads=pads, gain=gain, mul=mul, add=add, shift=shift, lo=lo, hi=hi
        )

    def dense(self, name: str, x: str, units: int, *, relu: bool = True) -> str:
        """Dense layer to `units`."""
        weight = self._weight(units, self.activations[x].shape[1])
        acc, bias = self._centred(self.activations[x] @ weight.T)
        shift, lo = self._settle(name, acc, relu)
        return self._writer.dense(name, x, weight, bias, shift=shift, lo=lo)

    def add(self, name: str, a: str, b: str, *, hi: int = INT8_MAX) -> str:
        """Residual sum with ReLU."""
        shift, lo = self._settle(name, self.activations[a] + self.activations[b], True, hi)
        return self._writer.add(name, a, b, shift=shift, lo=lo, hi=hi)

    def global_average(self, name: str, x: str) -> str:
        """Mean over the map, flattened."""
        self.activations[name] = arithmetic.global_average(self.activations[x])
        return self._writer.global_average(name, x)

    def output(self, x: str, scale: float) -> None:
        """Ends the network: the graph output is x times `scale`."""
        self._writer.output(x, self.activations[x].shape[1], scale)

    def model(self) -> onnx.ModelProto:
        """The network built so far."""
        return self._writer.model()

    def _conv(self, name: str, x: str, weight: Array, *, stride: int, pads: Pads | None, relu: bool, hi: int) -> str:
        source = self.activations[x]
        if pads is None:
            pads = arithmetic.same_pads(source.shape[2:], weight.shape[2:], stride)
        acc, bias = self._centred(arithmetic.conv2d(source, weight, stride, pads))
        shift, lo = self._settle(name, acc, relu, hi)
        groups = source.shape[1] // weight.shape[1]
        return self._writer.conv(
            name, x, weight, bias, stride=stride, pads=pads, groups=groups, shift=shift, lo=lo, hi=hi
        )

    def _weight(self, *shape: int) -> Array:
        drawn = np.rint(self._rng.normal(0.0, _WEIGHT_STD, shape))
        return np.clip(drawn, INT8_MIN, INT8_MAX).astype(np.float32)

    def _centred(self, acc: Array) -> tuple[Array, Array]:
        """The accumulators with the layer's bias added, and that bias."""
        channels = acc.shape[1]
        rows = np.moveaxis(acc, 1, -1).reshape(-1, channels).astype(np.float64)
        spread = self._rng.normal(0.0, _BIAS_SPREAD, channels) * rows.std()
        bias = np.rint(spread - rows.mean(axis=0)).astype(np.float32)
        return acc + bias.reshape(-1, *(1,) * (acc.ndim - 2)), bias

    def _settle(self, name: str, acc: Array, relu: bool, hi: int = INT8_MAX) -> tuple[int, int]:
        """Calibrates the shift, records the layer's result, returns (shift, lo)."""
        lo = 0 if relu else INT8_MIN
        shift = arithmetic.smallest_shift(acc, lo, _SATURATED, hi)
        self.activations[name] = arithmetic.requantise(acc, shift, lo, hi)
        return shift, lo
