"""Networks the package builds itself, as ONNX integer networks in DIANA's convention.

Topologies are those of MLPerf Tiny; weights are pseudo-random but fixed, so the networks compute
nothing useful: they serve measurements, demonstrations and tests. Nothing heavy is imported before
`build`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from htvm_ir.errors import HtvmError

if TYPE_CHECKING:
    import onnx

_DESCRIPTIONS = {
    "resnet8": "MLPerf Tiny image classification: 3x32x32, three residual blocks, 10 classes",
    "dscnn": "MLPerf Tiny keyword spotting: 1x49x10, four depthwise-separable blocks, 12 classes",
    "mobilenetv1": "MLPerf Tiny visual wake words: 3x96x96, MobileNetV1 x0.25, 2 classes",
    "dae": "MLPerf Tiny anomaly detection: dense autoencoder 640-128x4-8-128x4-640",
    "dscnn-htvm": "keyword spotting as HTVM shapes it: 1x10x49, first kernel 5x7, 12 classes",
    "resnet8-mixed": "resnet8 for DIANA's two arrays: ternary but for the first and the last layer",
    "dscnn-mixed": "dscnn for DIANA's two arrays: ternary pointwise layers, 8-bit others",
    "resnet8-ternary": "resnet8 with ternary weights but for the first and last layer, exact sums",
}


def names() -> tuple[str, ...]:
    """The names `build` knows."""
    return tuple(_DESCRIPTIONS)


def describe(name: str) -> str:
    """What network `name` is, in one line; `HtvmError` if there is none of that name."""
    try:
        return _DESCRIPTIONS[name]
    except KeyError:
        known = ", ".join(_DESCRIPTIONS)
        raise HtvmError(f"zoo: no network named '{name}'; the networks are {known}") from None


def build(name: str) -> onnx.ModelProto:
    """The ONNX model of network `name` (batch 1, opset 13), the same bytes every time.

    `HtvmError` if there is no network of that name.
    """
    describe(name)
    from htvm_ir.zoo.networks import NETWORKS

    return NETWORKS[name](name).model()
