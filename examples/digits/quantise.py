"""The trained network in DIANA's number format: int8, power-of-two scales, floor.

A tensor with f fraction bits holds value * 2**f, and each tensor has one f. The shift behind a layer is
the difference between its accumulators' f and its result's. Half an output step in the bias turns the
floor into rounding to nearest.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import onnx
from data import PIXEL_STEP, Array
from network import CLASSES, CONVS, Tensors

from htvm_ir.zoo.arithmetic import INT8_MAX, INT8_MIN
from htvm_ir.zoo.writer import IntegerNetWriter

INPUT_BITS = 7  # the float network sees the integer pixels / 2**7
_PERCENTILE = 99.95  # of a layer's activations; what lies above may saturate


class Layer(NamedTuple):
    """Integer weight and bias of a layer, and the shift behind it."""

    weight: Array
    bias: Array
    shift: int


def to_onnx(parameters: Tensors, results: Tensors) -> onnx.ModelProto:
    """The integer network; `results` are the float network's layers on the training set."""
    bits = _choose_bits(results)
    net = IntegerNetWriter("digits", results["input"].shape[1:])

    def conv(name: str, source: str, lo: int = 0) -> str:
        layer = _quantise(parameters, name, bits[source], bits[name])
        groups = results[source].shape[1] // layer.weight.shape[1]
        x = "input.int8" if source == "input" else source
        stride, pads = CONVS[name].stride, CONVS[name].pads
        return net.conv(name, x, *layer[:2], stride=stride, pads=pads, groups=groups, shift=layer.shift, lo=lo)

    net.input(PIXEL_STEP)
    conv("conv1", "input")
    conv("conv2", "conv1")
    conv("depthwise", "conv2")
    conv("pointwise", "depthwise", INT8_MIN)
    net.add("sum", "conv2", "pointwise", shift=bits["conv2"] - bits["sum"], lo=0)
    net.global_average("pool", "sum")
    # The mean over a map of n pixels is rounded down by (n - 1) / 2n on average.
    pixels = results["sum"][0, 0].size
    layer = _quantise(parameters, "logits", bits["sum"], bits["logits"], (pixels - 1) / 2 / pixels)
    net.dense("logits", "pool", layer.weight, layer.bias, shift=layer.shift, lo=INT8_MIN)
    net.output("logits", CLASSES, 2.0 ** -bits["logits"])
    return net.model()


def _choose_bits(results: Tensors) -> dict[str, int]:
    bits = {name: _fraction_bits(float(np.percentile(np.abs(result), _PERCENTILE))) for name, result in results.items()}
    bits["input"] = INPUT_BITS
    # A sum's operands share one scale, and its shift is to the right.
    bits["conv2"] = bits["pointwise"] = min(bits["conv2"], bits["pointwise"])
    bits["sum"] = min(bits["sum"], bits["conv2"])
    return bits


def _quantise(parameters: Tensors, name: str, source_bits: int, result_bits: int, lost: float = 0.0) -> Layer:
    """Layer `name` on an operand that is `lost` steps too small on average."""
    weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
    weight_bits = _fraction_bits(float(np.abs(weight).max()))
    shift = source_bits + weight_bits - result_bits
    integer = np.rint(weight * 2.0**weight_bits)
    centre = 2.0 ** (shift - 1) if shift else 0.0
    centre += lost * integer.reshape(len(bias), -1).sum(axis=1)
    accumulator_bias = np.rint(bias * 2.0 ** (source_bits + weight_bits) + centre)
    return Layer(integer.astype(np.float32), accumulator_bias.astype(np.float32), shift)


def _fraction_bits(largest: float) -> int:
    """The most fraction bits with which `largest` still fits int8."""
    return int(np.floor(np.log2(INT8_MAX / largest)))
