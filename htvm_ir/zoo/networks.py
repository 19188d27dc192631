"""The networks' topologies (MLPerf Tiny's reference models, HTVM's keyword variant).

Input and output scales are model choices: powers of two, as DIANA's training flow gives.
"""

from __future__ import annotations

from collections.abc import Callable

from htvm_ir.zoo.arithmetic import INT7_MAX, INT8_MAX
from htvm_ir.zoo.builder import NetBuilder

_PIXELS = 8 * 128 * 128
"""What calibration takes at most of large images (model choice)."""


def resnet8(name: str) -> NetBuilder:
    """Three residual blocks; the last two halve the map and so convolve their shortcut 1x1."""
    return _resnet8(name, NetBuilder.conv, INT8_MAX)


def resnet8_mixed(name: str) -> NetBuilder:
    """ResNet-8 for both arrays: 8-bit first and last layer, ternary between; what analog layers read has 7 bits."""
    return _resnet8(name, NetBuilder.analog, INT7_MAX)


def resnet8_ternary(name: str) -> NetBuilder:
    """ResNet-8 with ternary weights but for the first and last layer; sums are exact, activations have 7 bits."""
    return _resnet8(name, NetBuilder.ternary, INT7_MAX)


def dscnn_mixed(name: str) -> NetBuilder:
    """DS-CNN for both arrays: 8-bit first and last layer and depthwise kernels, ternary pointwise ones."""
    net = NetBuilder(name, (1, 49, 10), scale=1 / 2)
    x = net.conv("conv1", net.input, 64, (10, 4), stride=2)
    for block in range(1, 5):
        x = net.depthwise(f"block{block}.depthwise", x, (3, 3), hi=INT7_MAX)
        x = net.analog(f"block{block}.pointwise", x, 64, (1, 1))
    return _classify(net, x, classes=12)


def dscnn(name: str) -> NetBuilder:
    """Keyword spotting on 49 frames of 10 cepstral coefficients."""
    net = NetBuilder(name, (1, 49, 10), scale=1 / 2)
    x = net.conv("conv1", net.input, 64, (10, 4), stride=2)
    return _keyword(net, x)


def dscnn_htvm(name: str) -> NetBuilder:
    """HTVM's keyword network: coefficients first, a 5x7 kernel padded by (2, 3) on either side."""
    net = NetBuilder(name, (1, 10, 49), scale=1 / 2)
    x = net.conv("conv1", net.input, 64, (5, 7), stride=2, pads=(2, 3, 2, 3))
    return _keyword(net, x)


def mobilenetv1(name: str, *, width: float = 0.25, resolution: int = 96) -> NetBuilder:
    """MobileNetV1 with `width` times the channels, at least 8 (as Keras has it), for square images."""
    samples = max(1, min(8, _PIXELS // resolution**2))
    net = NetBuilder(name, (3, resolution, resolution), scale=1 / 64, samples=samples)

    def scaled(channels: int) -> int:
        return max(8, int(channels * width))

    x = net.conv("conv1", net.input, scaled(32), (3, 3), stride=2)
    blocks = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
    for block, (channels, stride) in enumerate(blocks, start=1):
        x = _separable(net, f"block{block}", x, scaled(channels), stride)
    return _classify(net, x, classes=2)


def dae(name: str) -> NetBuilder:
    """Dense autoencoder with a bottleneck of 8; the output has the input's scale."""
    scale = 1 / 32
    net = NetBuilder(name, (640,), scale=scale, samples=64)
    x = net.input
    for layer, units in enumerate((128, 128, 128, 128, 8, 128, 128, 128, 128), start=1):
        x = net.dense(f"dense{layer}", x, units)
    net.output(net.dense("dense10", x, 640, relu=False), scale)
    return net


def resnet50(name: str, *, width: float = 0.0625, resolution: int = 224) -> NetBuilder:
    """Fifty layers in bottleneck blocks, with `width` times ResNet-50's channels, at least 8, for square images."""
    net = NetBuilder(name, (3, resolution, resolution), scale=1 / 64, samples=1)

    def scaled(channels: int) -> int:
        return max(8, int(channels * width))

    x = net.conv("conv1", net.input, scaled(64), (7, 7), stride=2)
    for stage, (blocks, channels) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), start=1):
        for block in range(1, blocks + 1):
            x = _bottleneck(net, f"stage{stage}.block{block}", x, scaled(channels), 2 if block == 1 else 1, block == 1)
    return _classify(net, x, classes=10)


def chain(name: str, *, layers: int = 100) -> NetBuilder:
    """Small convolutions one after the other, 1x1 and 3x3 in turn, and a classifier: `layers` in all."""
    net = NetBuilder(name, (8, 8, 8), scale=1 / 64, samples=2)
    x = net.input
    for layer in range(1, layers):
        x = net.conv(f"conv{layer}", x, 8, (1, 1) if layer % 2 else (3, 3))
    return _classify(net, x, classes=10)


def _resnet8(name: str, conv: Callable[..., str], hi: int) -> NetBuilder:
    """conv: what convolves inside the blocks, a method of NetBuilder. hi: the largest integer it reads."""
    net = NetBuilder(name, (3, 32, 32), scale=1 / 64)
    x = net.conv("conv1", net.input, 16, (3, 3), hi=hi)
    for block, (channels, stride) in enumerate(((16, 1), (32, 2), (64, 2)), start=1):
        y = conv(net, f"block{block}.conv1", x, channels, (3, 3), stride=stride, hi=hi)
        y = conv(net, f"block{block}.conv2", y, channels, (3, 3), relu=False)
        if stride != 1:
            x = conv(net, f"block{block}.skip", x, channels, (1, 1), stride=stride, relu=False)
        x = net.add(f"block{block}.sum", x, y, hi=hi)
    return _classify(net, x, classes=10)


def _bottleneck(net: NetBuilder, name: str, x: str, channels: int, stride: int, project: bool) -> str:
    """1x1, 3x3 and 1x1 to four times the channels, beside a shortcut."""
    y = net.conv(f"{name}.reduce", x, channels, (1, 1))
    y = net.conv(f"{name}.conv", y, channels, (3, 3), stride=stride)
    y = net.conv(f"{name}.expand", y, 4 * channels, (1, 1), relu=False)
    if project:
        x = net.conv(f"{name}.skip", x, 4 * channels, (1, 1), stride=stride, relu=False)
    return net.add(f"{name}.sum", x, y)


def _keyword(net: NetBuilder, x: str) -> NetBuilder:
    for block in range(1, 5):
        x = _separable(net, f"block{block}", x, 64, 1)
    return _classify(net, x, classes=12)


def _separable(net: NetBuilder, name: str, x: str, channels: int, stride: int) -> str:
    x = net.depthwise(f"{name}.depthwise", x, (3, 3), stride=stride)
    return net.conv(f"{name}.pointwise", x, channels, (1, 1))


def _classify(net: NetBuilder, x: str, *, classes: int) -> NetBuilder:
    features = net.global_average("pool", x)
    net.output(net.dense("logits", features, classes, relu=False), 1 / 4)
    return net


NETWORKS: dict[str, Callable[..., NetBuilder]] = {
    "resnet8": resnet8,
    "dscnn": dscnn,
    "mobilenetv1": mobilenetv1,
    "dae": dae,
    "dscnn-htvm": dscnn_htvm,
    "resnet8-mixed": resnet8_mixed,
    "dscnn-mixed": dscnn_mixed,
    "resnet8-ternary": resnet8_ternary,
    "resnet50": resnet50,
    "chain": chain,
}
