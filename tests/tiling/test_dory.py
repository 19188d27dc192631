"""HTVM's tiler: tiles of the original, and every decision against its constraints written out and tried one by one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htvm_ir.tiling.dory import ATTEMPTS, Budget, Kind, Layer, Tile, tile

DIANA = Budget.of(262_144, 65_536)

GOLDEN: dict[str, tuple[Layer, Tile]] = {
    "1x1 on 256 channels": (
        Layer("conv", (256, 3, 16), (256, 3, 16)),
        Tile(240, 3, 16, 3, 16),
    ),
    "dense": (Layer("dense", (640, 1, 1), (128, 1, 1)), Tile(16, 1, 1, 1, 1)),
    "3x3 on a large map": (Layer("conv", (64, 64, 64), (256, 64, 64), (3, 3)), Tile(96, 24, 64, 26, 64)),
    "3x3, width padded": (Layer("conv", (128, 24, 24), (256, 24, 24), (3, 3)), Tile(48, 24, 32, 24, 32)),
}
"""Printed by DORY itself, target Diana_TVM."""


@pytest.mark.parametrize("name", GOLDEN)
def test_tiles_of_the_original(name: str) -> None:
    layer, expected = GOLDEN[name]
    assert tile(layer, DIANA) == expected


def test_the_budgets_are_dorys() -> None:
    assert Budget.of(262_144, 65_536) == Budget(256_000, 64_000)
    assert Budget.of(65_536, 65_536) == Budget(64_000, 64_000)


@pytest.mark.parametrize(
    ("layer", "whole"),
    [
        (Layer("conv", (16, 32, 32), (16, 32, 32), (3, 3)), True),
        (Layer("conv", (256, 3, 3), (240, 3, 3)), True),
        (Layer("conv", (256, 3, 3), (256, 3, 3)), False),  # 66,560 bytes of weights and biases
        (Layer("conv", (16, 125, 64), (16, 125, 64)), True),  # 256,000 bytes
        (Layer("conv", (16, 126, 64), (16, 126, 64)), False),
        (Layer("conv", (16, 126, 63), (16, 126, 63)), False),  # planned 64 wide
        (Layer("depthwise", (256, 6, 6), (256, 6, 6), (3, 3)), True),  # for the whole layer lanes are not counted
        (Layer("dense", (128, 1, 1), (16, 1, 1)), True),
        (Layer("dense", (128, 1, 1), (17, 1, 1)), False),
        (Layer("conv", (8, 1, 40), (17, 1, 40)), False),  # one row is a vector to DORY
        (Layer("add", (16, 83, 64), (16, 83, 64)), True),
        (Layer("add", (16, 84, 64), (16, 84, 64)), False),
        (Layer("analog", (128, 16, 16), (512, 8, 8), stride=2), True),
        (Layer("analog", (129, 16, 16), (512, 8, 8), stride=2), False),
    ],
)
def test_what_stays_whole(layer: Layer, whole: bool) -> None:
    found = tile(layer, DIANA)
    planned = layer.planned()
    assert (found == Tile(*planned.output, *planned.input[1:])) == whole


def test_sums_are_planned_with_two_buffers() -> None:
    assert tile(Layer("add", (16, 200, 64), (16, 200, 64)), DIANA) == Tile(16, 41, 64, 41, 64)
    assert tile(Layer("add", (16, 1, 16), (16, 1, 16)), Budget(767, 0)) is None


def test_stride_2_means_the_whole_map_where_it_says_so() -> None:
    """32,768 bytes in, 65,536 out: 48 channels with all pixels fit, for which DORY counts 63 x 63 and 31 x 31."""
    found = tile(Layer("conv", (8, 64, 64), (64, 32, 32), (3, 3), 2), Budget(80_000, 64_000))
    assert found == Tile(48, 32, 32, 64, 64)


def test_without_heuristics_only_bytes_count() -> None:
    layer = Layer("conv", (64, 64, 64), (256, 64, 64), (3, 3))
    with_, without = tile(layer, DIANA), tile(layer, DIANA, heuristics=False)
    assert with_ is not None
    assert without is not None
    assert without != with_
    assert without.n_out % 16


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    """Draw a small layer of any kind."""
    kind: Kind = draw(st.sampled_from(("conv", "depthwise", "dense", "analog")))
    c, k = draw(st.integers(1, 9)), draw(st.integers(1, 40))
    if kind == "dense":
        return Layer(kind, (c * 16, 1, 1), (k, 1, 1))
    stride = draw(st.sampled_from((1, 1, 2)))
    kernel = draw(st.sampled_from((1, 3, 5))), draw(st.sampled_from((1, 3, 5)))
    h, w = draw(st.integers(kernel[0], 14)), draw(st.integers(kernel[1], 34))
    out = c if kind == "depthwise" else k
    return Layer(kind, (c, h, w), (out, -(-h // stride), -(-w // stride)), kernel, stride)


def constraints(layer: Layer, budget: Budget, attempt: tuple[bool, bool]) -> Iterator[tuple[int, ...]]:
    """All (n_in, n_out, h_in, h_out, w_in, w_out) that DORY's model allows, in the order in which it finds them."""
    (c, h, w), (k, oh, ow) = layer.input, layer.output
    (fy, fx), s, grouped = layer.kernel, layer.stride, layer.kind == "depthwise"
    digital = layer.kind != "analog"
    for n, h_out, w_out in product(range(1, k + 1), range(1, oh + 1), range(1, ow + 1)):
        n_in, h_in, w_in = n if grouped else c, h_out * s + fy - 1 - (s - 1), w_out * s + fx - 1 - (s - 1)
        weights = n_in * n * fy * fx * (8 if digital else 2) // 8 // (c if grouped else 1) * (16 if grouped else 1)
        weights += (4 * n * (16 if grouped else 1)) if digital else 0
        rules = (
            not (digital and attempt[0]) or h_out == oh - (fy - 1) + (s - 1),
            not (digital and attempt[1]) or w_out == ow - (fx - 1) + (s - 1),
            n_in * n * h_in * w_in < c * k * h * w,
            fy <= h_in <= h and fx <= w_in <= w,
            (h, w) != (1, 1) or n <= 16,
            n_in * h_in * w_in + n * h_out * w_out <= budget.activations,
            weights <= budget.weights,
            digital or (n <= 512 and n_in * fy * fx <= 1152),
        )
        if all(rules):
            yield n_in, n, h_in, h_out, w_in, w_out, weights


def objective(layer: Layer, found: tuple[int, ...], heuristics: bool) -> int:
    """DORY's, as it stands there."""
    n_in, n, h_in, h, w_in, w, weights = found
    total = n_in * h_in * w_in + n * h * w + weights
    if not heuristics:
        return total
    if layer.kind == "analog":
        return total + 10**8 * ((n_in - 1) % 128) + 10**8 * ((n - 1) % 512)
    total += 10**6 * ((w - 1) % 16) + 10**6 * (w * h >= 16) + 10**6 * w + 10**5 * n
    return total + (10**6 * ((n - 1) % 16) if layer.kind != "depthwise" else 0)


@settings(deadline=None, max_examples=60)
@given(layers(), st.integers(50, 4000), st.integers(100, 3000), st.booleans())
def test_every_decision_is_dorys(layer: Layer, activations: int, weights: int, heuristics: bool) -> None:
    budget, layer = Budget(activations, weights), layer.planned()
    found = tile(layer, budget, heuristics)
    if found == Tile(*layer.output, *layer.input[1:]):
        return  # test_what_stays_whole
    for attempt in ATTEMPTS:
        options = list(constraints(layer, budget, attempt))
        if not options:
            continue
        best = max(options, key=lambda o: objective(layer, o, heuristics))  # the first of the best
        _, n, h_in, h_out, w_in, w_out, _ = best
        assert found is not None
        assert found.n_out == n
        digital = layer.kind != "analog"
        assert found.h_out == (layer.output[1] if (attempt[0] and digital) or h_in >= layer.input[1] else h_out)
        assert found.w_out == (layer.output[2] if (attempt[1] and digital) or w_in >= layer.input[2] else w_out)
        return
    assert found is None
