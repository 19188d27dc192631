"""The limit on layers whose mappings are worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from htvm_ir.targets.diana.limit import mappings, network_limit
from htvm_ir.targets.workload import Tensor, Workload


def conv(
    image: tuple[int, int, int],
    result: tuple[int, int, int],
    kernel: tuple[int, int],
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    stride: int = 1,
    groups: int = 1,
) -> Workload:
    weights = np.zeros((result[0], image[0] // groups, *kernel), np.int8)
    return Workload(
        "conv2d",
        (Tensor((1, *image)),),
        Tensor((1, *result), "i32"),
        weights,
        strides=(stride, stride),
        pads=pads,
        groups=groups,
    )


def dense(c: int, k: int) -> Workload:
    return Workload("dense", (Tensor((1, c)),), Tensor((1, k), "i32"), np.zeros((k, c), np.int8))


def add(*shape: int) -> Workload:
    return Workload("add", (Tensor((1, *shape)),) * 2, Tensor((1, *shape), "i32"))


def costs(layer: Workload) -> dict[str, tuple[int, int]]:
    return {m.name: (m.compute, m.weight_bytes) for m in mappings(layer)}


def test_convolution() -> None:
    # 16 -> 16 of 32 x 32, 3 x 3 with zeros around it: rows see 2, 3 x 30 and 2 kernel rows
    compute = 1 * 2 * (94 * 16 * 5 + 32 * 23)
    layer = conv((16, 32, 32), (16, 32, 32), (3, 3), (1, 1, 1, 1))
    assert costs(layer) == {"direct": (compute, 2368), "direct, swapped": (compute, 2368)}


def test_stride_and_unequal_kernel() -> None:
    # official keyword network: 49 x 10 -> 25 x 5, 10 x 4 at stride 2, four rows of zeros above and one column left
    layer = conv((1, 49, 10), (64, 25, 5), (10, 4), (4, 1, 5, 1), stride=2)
    rows = sum(min(2 * y - 4 + 10, 49) - max(2 * y - 4, 0) for y in range(25))
    columns = 3 + 4 + 4 + 4 + 3
    assert costs(layer) == {
        "direct": (4 * 1 * (rows * 1 * 6 + 25 * 23), 4 * 16 * 44),
        "direct, swapped": (4 * 2 * (columns * 1 * 12 + 5 * 23), 4 * 16 * 44),
    }


def test_depthwise() -> None:
    # 64 channels of 25 x 5, 3 x 3; 73 and 13 kernel rows are inside the image upright and on its side
    layer = conv((64, 25, 5), (64, 25, 5), (3, 3), (1, 1, 1, 1), groups=64)
    assert costs(layer) == {
        "one job a channel": (64 * (73 * 5 + 25 * 23), 4 * 4 * 208),
        "diagonal": (4 * (73 * 16 * 5 + 25 * 23), 4 * 2368),
        "one job a channel, swapped": (64 * 2 * (13 * 5 + 5 * 23), 4 * 4 * 208),
        "diagonal, swapped": (4 * 2 * (13 * 16 * 5 + 5 * 23), 4 * 2368),
    }
    assert network_limit([layer], 0) == 9240 + 592


def test_groups() -> None:
    layer = conv((8, 4, 4), (32, 4, 4), (1, 1), groups=2)
    assert costs(layer)["one job a group"] == (2 * (4 * 4 * 3 + 4 * 23), 2 * 128)


def test_flattened() -> None:
    # 125 pixels are 8 groups of 16
    layer = conv((64, 25, 5), (64, 25, 5), (1, 1))
    assert costs(layer)["flattened"] == (4 * 8 * (64 * 3 + 23), 4 * (16 * 64 + 64))
    assert network_limit([layer], 0) == 6880 + 272


@pytest.mark.parametrize("layer", [conv((8, 4, 4), (8, 2, 2), (1, 1), stride=2), conv((8, 4, 4), (8, 2, 2), (3, 3))])
def test_only_pointwise_layers_are_flattened(layer: Workload) -> None:
    assert "flattened" not in costs(layer)


def test_dense() -> None:
    assert costs(dense(640, 128)) == {"direct": (40 * 8 + 23, 8 * (16 * 640 + 256))}
    assert costs(dense(8, 10)) == {"direct": (1 + 23, 512)}


def test_add() -> None:
    assert costs(add(16, 32, 32)) == {"direct": (1047, 0)}


def test_a_network_is_its_layers_and_its_edges() -> None:
    layers = [dense(64, 16), add(1, 1, 16)]
    assert network_limit(layers, 0) == 4 + 23 + 80 + 24
    assert network_limit(layers, 65) == network_limit(layers, 0) + 9


def test_other_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="pool"):
        mappings(Workload("pool", (Tensor((1, 1, 2, 2)),), Tensor((1, 1, 1, 1))))
