"""Networks that only measure how the compiler's time grows: deep, large, and not in the zoo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from htvm_ir.zoo.builder import NetBuilder

if TYPE_CHECKING:
    import onnx

STAGES = ((3, 4), (4, 8), (6, 16), (3, 32))
"""ResNet-50: bottleneck blocks of each stage, and a sixteenth of its inner channels."""


def resnet50() -> onnx.ModelProto:
    """50 layers deep on 224x224, ResNet-50 with a sixteenth of the channels; a strided convolution for its max pool.

    So small that DIANA's L2 holds weights and feature maps.
    """
    net = NetBuilder("resnet50", (3, 224, 224), scale=1 / 64, samples=1)
    x = net.conv("conv1", net.input, 8, (7, 7), stride=2)
    x = net.conv("halve", x, 8, (3, 3), stride=2)
    for stage, (blocks, inner) in enumerate(STAGES, start=1):
        for block in range(1, blocks + 1):
            x = _bottleneck(net, f"stage{stage}.{block}", x, inner, 2 if stage > 1 and block == 1 else 1, block == 1)
    features = net.global_average("pool", x)
    net.output(net.dense("logits", features, 10, relu=False), 1 / 4)
    return net.model()


def _bottleneck(net: NetBuilder, name: str, x: str, inner: int, stride: int, widen: bool) -> str:
    y = net.conv(f"{name}.reduce", x, inner, (1, 1))
    y = net.conv(f"{name}.conv", y, inner, (3, 3), stride=stride)
    y = net.conv(f"{name}.expand", y, 4 * inner, (1, 1), relu=False)
    if widen:
        x = net.conv(f"{name}.skip", x, 4 * inner, (1, 1), stride=stride, relu=False)
    return net.add(f"{name}.sum", x, y)


def chain(layers: int) -> onnx.ModelProto:
    """Small convolutions one after the other, 3x3 and 1x1 in turn, of 8 to 32 channels on an 8x8 map."""
    net = NetBuilder(f"chain{layers}", (8, 8, 8), scale=1 / 16, samples=2)
    x = net.input
    for index in range(layers):
        x = net.conv(f"conv{index}", x, (16, 32, 8)[index % 3], ((3, 3), (1, 1))[index % 2])
    features = net.global_average("pool", x)
    net.output(net.dense("logits", features, 4, relu=False), 1 / 4)
    return net.model()
