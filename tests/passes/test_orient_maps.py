"""``orient-maps``: turned regions compute the same, on the virtual SoC as well, and no network gets slower."""

from __future__ import annotations

import networks
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Net, apply, count, inputs_of
from turned_networks import turnable
from xdsl.dialects.builtin import ModuleOp

from htvm_ir.dialects import graph
from htvm_ir.dialects.accel import kernels
from htvm_ir.dialects.attributes import values
from htvm_ir.interpreters.run import run
from htvm_ir.passes.dispatch import Dispatch
from htvm_ir.passes.network_prices import Prices
from htvm_ir.passes.orient_maps import OrientMaps, orientation
from htvm_ir.passes.turn_region import regions, turn_region
from htvm_ir.passes.turns import Turn
from htvm_ir.passes.workloads import main_function, module_target
from htvm_ir.report import tables

TURNS = (Turn(swap=True), Turn(mirror=True), Turn(swap=True, mirror=True))


def turn_all(module: ModuleOp, turn: Turn) -> None:
    """Turn every region, whatever it costs."""
    for region in regions(main_function(module).body.block, turn):
        turn_region(region, turn)
    module.verify()


def assert_same(module: ModuleOp, turn: Turn) -> None:
    inputs = inputs_of(module)
    expected = run(module, inputs)
    turn_all(module, turn)
    for result, wanted in zip(run(module, inputs), expected, strict=True):
        np.testing.assert_array_equal(result, wanted)


@settings(deadline=None, max_examples=150)
@given(turnable(), st.sampled_from(TURNS))
def test_turned_networks_compute_the_same(module: ModuleOp, turn: Turn) -> None:
    assert_same(module, turn)


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("seed", range(12))
def test_regions_between_ops_that_have_no_turned_form(seed: int, turn: Turn) -> None:
    assert_same(networks.random_network(seed), turn)


def keywords(height: int = 25, width: int = 5) -> ModuleOp:
    """A keyword network's middle: 16 columns are computed for 5."""
    net = Net((1, 16, height, width))
    x = net.depthwise(net.conv(net.arguments[0], 20, (3, 3), pads=networks.SAME), (3, 3), pads=networks.SAME)
    return net.module(net.dense(net.flatten(net.pool("average", x, (height, width), (1, 1))), 12))


def predicted(module: ModuleOp) -> int:
    return Prices(module_target(module), 5.0).network(module)


def test_tall_maps_are_turned_once() -> None:
    module = keywords()
    before = predicted(module)
    apply(module, OrientMaps())
    assert orientation(module) == {"swapped": before - predicted(module)}
    assert predicted(module) < 0.9 * before
    assert count(module, "graph.transpose") == 1
    conv = next(op for op in module.walk() if isinstance(op, graph.Conv2dOp))
    assert graph.shape_of(conv.result) == (1, 20, 5, 25)
    text = str(module)
    assert str(apply(module, OrientMaps())) == text


@pytest.mark.parametrize("shape", [(5, 25), (16, 16), (12, 12)])
def test_maps_that_fit_are_not_swapped(shape: tuple[int, int]) -> None:
    module = apply(keywords(*shape), OrientMaps())
    assert "swapped" not in orientation(module)
    assert count(module, "graph.transpose") == 0


@settings(deadline=None, max_examples=25)
@given(turnable())
def test_no_network_is_predicted_to_be_slower(module: ModuleOp) -> None:
    before = predicted(module)
    saved = orientation(apply(module, OrientMaps()))
    assert predicted(module) <= before
    assert "mirrored" in saved or predicted(module) == before - saved.get("swapped", 0)


def image(kernel: int = 3, pads: tuple[int, int, int, int] = (0, 0, 1, 1), flat: bool = True) -> ModuleOp:
    """A convolution of stride 2 on rows of 8 words, and a dense layer on all of its map."""
    net = Net((1, 3, 32, 32))
    x = net.conv(net.arguments[0], 16, (kernel, kernel), strides=(2, 2), pads=pads)
    return net.module(net.dense(net.flatten(x), 4) if flat else x)


def test_an_input_that_then_comes_in_words_is_mirrored_once() -> None:
    module = image()
    inputs = inputs_of(module)
    expected, before = run(module, inputs), predicted(module)
    apply(module, OrientMaps())
    assert orientation(module).keys() == {"mirrored"}
    assert predicted(module) < before
    assert count(module, "graph.reverse") == 1
    np.testing.assert_array_equal(run(module, inputs), expected)
    text = str(module)
    assert str(apply(module, OrientMaps())) == text


@pytest.mark.parametrize(
    "module",
    [image(flat=False), image(1, (0, 0, 0, 0))],
    ids=["the result would have to be mirrored back", "a pad of -1"],
)
def test_these_are_not_mirrored(module: ModuleOp) -> None:
    text = str(module)
    assert str(apply(module, OrientMaps())) == text


def test_the_report_says_what_was_done() -> None:
    report = {"orientation": {"swapped": 1200, "mirrored": 34}}
    assert tables.orientation(report) == [
        "height and width are swapped: saves 1,200 cycles (predicted)",
        "maps are mirrored: saves 34 cycles (predicted)",
    ]


def test_the_entering_transposition_writes_the_layout_of_the_engine() -> None:
    """One kernel between the caller's buffer and the array."""
    module = apply(keywords(), OrientMaps(), Dispatch())
    names = [d.kernel.data for d in kernels(module)]
    assert names[0].startswith("cpu_transpose")
    assert names[1].startswith("digital_conv2d")


def test_a_flattened_map_permutes_the_weights_of_its_readers() -> None:
    net = Net((1, 2, 3, 2))
    module = net.module(net.dense(net.flatten(net.conv(net.arguments[0], 2, (1, 1))), 3))
    turn_all(module, Turn(swap=True))
    assert count(module, "graph.transpose") == 1
    (transpose,) = [op for op in module.walk() if isinstance(op, graph.TransposeOp)]
    assert values(transpose.permutation) == (0, 1, 3, 2)
