"""Networks the package builds itself, as ONNX integer networks in DIANA's convention.

Topologies are those of MLPerf Tiny; weights are pseudo-random but fixed, so the networks compute
nothing useful: they serve measurements, demonstrations and tests. Some come in sizes:
`NAME,SETTING=VALUE,...`. Nothing heavy is imported before `build`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from htvm_ir.errors import HtvmError
from htvm_ir.settings import Setting, read_settings, split_settings

if TYPE_CHECKING:
    import onnx

_DESCRIPTIONS = {
    "resnet8": "MLPerf Tiny image classification: 3x32x32, three residual blocks, 10 classes",
    "dscnn": "MLPerf Tiny keyword spotting: 1x49x10, four depthwise-separable blocks, 12 classes",
    "mobilenetv1": "MLPerf Tiny visual wake words: 3x96x96, MobileNetV1 x0.25, 2 classes (width=, resolution=)",
    "dae": "MLPerf Tiny anomaly detection: dense autoencoder 640-128x4-8-128x4-640",
    "dscnn-htvm": "keyword spotting as HTVM shapes it: 1x10x49, first kernel 5x7, 12 classes",
    "resnet8-mixed": "resnet8 for DIANA's two arrays: ternary but for the first and the last layer",
    "dscnn-mixed": "dscnn for DIANA's two arrays: ternary pointwise layers, 8-bit others",
    "resnet8-ternary": "resnet8 with ternary weights but for the first and last layer, exact sums",
    "resnet50": "fifty layers in bottleneck blocks for 224x224 images (width=, resolution=)",
    "chain": "small convolutions one after the other, to measure the compiler (layers=)",
}


_SETTINGS: dict[str, dict[str, Setting]] = {
    "mobilenetv1": {"width": 0.25, "resolution": 96},
    "resnet50": {"width": 0.0625, "resolution": 224},
    "chain": {"layers": 100},
}
_LIMITS: dict[str, tuple[float, float]] = {"width": (0.05, 1.0), "resolution": (32, 512), "layers": (1, 10_000)}
"""Least and greatest value of each setting (model choice: that of the largest network builds in a minute)."""


def names() -> tuple[str, ...]:
    """The names `build` knows, without settings."""
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

    `name` may have settings, as in `mobilenetv1,width=0.5,resolution=224`. `HtvmError` if there is no network of
    that name, or no such setting.
    """
    base, texts = split_settings(name)
    describe(base)
    defaults = _SETTINGS.get(base, {})
    settings = {**defaults, **read_settings(f"zoo network '{base}'", texts, defaults)}
    for key, value in settings.items():
        low, high = _LIMITS[key]
        if not isinstance(value, int | float) or not low <= value <= high:
            raise HtvmError(f"zoo network '{base}': {key} = {value} is not within {low:g} to {high:g}")
    changed = [f"{key}={value}" for key, value in settings.items() if value != defaults[key]]
    from htvm_ir.zoo.networks import NETWORKS

    return NETWORKS[base](",".join([base, *changed]), **settings).model()
