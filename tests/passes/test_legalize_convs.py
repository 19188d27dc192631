"""``legalize-convs``: every rewriting is exact, and what it is tried for, an engine that accepts, comes true."""

from __future__ import annotations

from itertools import chain, islice
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from networks import Array, Net, apply, inputs_of
from xdsl.dialects.builtin import ModuleOp

from htvm_ir import arithmetic
from htvm_ir.dialects.accel import kernels
from htvm_ir.interpreters.run import run
from htvm_ir.passes.conv_rewrites import Rewriting, crop_kernel, grow_kernel, in_place, on_blocks, space_to_depth
from htvm_ir.passes.dispatch import Dispatch
from htvm_ir.passes.legalize_convs import LegalizeConvs, accepted
from htvm_ir.passes.workloads import block_workload, module_target
from htvm_ir.targets.workload import Tensor, Workload

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]

PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))


def extent(size: int, kernel: int, stride: int, dilation: int, pads: int) -> int:
    return (size + pads - dilation * (kernel - 1) - 1) // stride + 1


@st.composite
def convolutions(draw: Any) -> dict[str, Any]:
    """Channels in and out, map, kernel, strides, pads, dilations and groups with at least one output."""
    depthwise = draw(st.booleans())
    channels = draw(st.integers(2, 3)) if depthwise else draw(st.integers(1, 3))
    sizes = draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    kernel = draw(st.tuples(st.integers(1, 9), st.integers(1, 6)))
    strides, dilations = draw(PAIRS), draw(PAIRS)
    pads = draw(st.tuples(*[st.integers(0, 4)] * 4))
    for axis in (0, 1):
        assume(extent(sizes[axis], kernel[axis], strides[axis], dilations[axis], pads[axis] + pads[axis + 2]) > 0)
    return {
        "channels": (channels, channels if depthwise else draw(st.integers(1, 18))),
        "sizes": sizes,
        "kernel": kernel,
        "spatial": {"strides": strides, "pads": pads, "dilations": dilations, "groups": channels if depthwise else 1},
    }


def workload(channels: Pair, sizes: Pair, kernel: Pair, spatial: dict[str, Any]) -> Workload:
    """The convolution, with noise as weights."""
    random = np.random.default_rng(0)
    weights = random.integers(-100, 100, (channels[1], channels[0] // spatial["groups"], *kernel)).astype(np.int8)
    pads = spatial["pads"]
    out = [
        extent(sizes[i], kernel[i], spatial["strides"][i], spatial["dilations"][i], pads[i] + pads[i + 2])
        for i in (0, 1)
    ]
    source = Tensor((1, channels[0], *sizes))
    return Workload("conv2d", (source,), Tensor((1, channels[1], *out), "i32"), weights=weights, **spatial)


def computed(conv: Workload, x: Array) -> Array:
    assert conv.weights is not None
    return arithmetic.conv2d(x, conv.weights, None, conv.strides, conv.pads, conv.dilations, conv.groups)


def assert_equal(conv: Workload, rewriting: Rewriting) -> None:
    """One rewriting computes what the convolution computes, from an input of the shape it claims."""
    x = np.random.default_rng(1).integers(-128, 128, conv.inputs[0].shape).astype(np.int8)
    source, new = x, rewriting.workload
    if rewriting.blocks is not None:
        source = arithmetic.space_to_depth(x, rewriting.blocks.block, rewriting.blocks.pads)
    assert source.shape == new.inputs[0].shape
    assert new.output == conv.output
    np.testing.assert_array_equal(computed(new, source), computed(conv, x))


@settings(deadline=None, max_examples=60)
@given(convolutions())
def test_every_rewriting_is_exact(case: dict[str, Any]) -> None:
    conv = workload(**case)
    for rewriting in chain(in_place(conv), islice(on_blocks(conv), 8)):
        assert_equal(conv, rewriting)


@settings(deadline=None, max_examples=100)
@given(convolutions())
def test_cropped_kernels_compute_the_same(case: dict[str, Any]) -> None:
    """What is left has nothing more to lose."""
    conv = workload(**case)
    cropped = crop_kernel(conv)
    assert_equal(conv, Rewriting(cropped))
    again = crop_kernel(cropped)
    assert (again.kernel, again.pads) == (cropped.kernel, cropped.pads)


@pytest.mark.parametrize(
    ("sizes", "kernel", "strides", "pads", "expected"),
    [
        ((1, 1), (3, 3), (1, 1), (1, 1, 1, 1), ((1, 1), (0, 0, 0, 0))),
        ((2, 2), (3, 3), (2, 2), (1, 1, 1, 1), ((2, 2), (0, 0, 1, 1))),
        ((1, 4), (5, 3), (1, 1), (2, 1, 2, 1), ((1, 3), (0, 1, 0, 1))),
        ((2, 2), (3, 3), (1, 1), (1, 1, 1, 1), ((3, 3), (1, 1, 1, 1))),
        ((1, 1), (3, 3), (1, 1), (3, 3, 3, 3), ((3, 3), (3, 3, 3, 3))),
        ((5, 5), (2, 2), (1, 1), (0, 0, 0, 0), ((2, 2), (0, 0, 0, 0))),
    ],
)
def test_what_is_left_of_a_kernel(sizes: Pair, kernel: Pair, strides: Pair, pads: Pads, expected: tuple[Pair, Pads]):
    spatial = {"strides": strides, "pads": pads, "dilations": (1, 1), "groups": 1}
    cropped = crop_kernel(workload((1, 1), sizes, kernel, spatial))
    assert (cropped.kernel, cropped.pads) == expected


def test_surplus_rows_are_reached_or_refused() -> None:
    """Seven rows are four blocks of two, one more than three outputs of 2x2 read: the kernel has to cover it."""
    spatial = {"strides": (2, 2), "pads": (0, 0, 0, 0), "dilations": (1, 1), "groups": 1}
    conv = workload((1, 1), (7, 7), (2, 2), spatial)
    blocks, _ = space_to_depth(conv)
    assert blocks.kernel == (1, 1)
    grown = {kernel: grow_kernel(blocks, kernel) for kernel in ((1, 1), (1, 2), (2, 1), (2, 2), (3, 3))}
    assert {kernel: None if g is None else g.pads for kernel, g in grown.items()} == {
        (1, 1): None,
        (1, 2): None,
        (2, 1): None,
        (2, 2): (0, 0, 0, 0),
        (3, 3): (0, 0, 1, 1),
    }
    for rewriting in on_blocks(conv):
        assert_equal(conv, rewriting)


def network(channels: Pair, sizes: Pair, kernel: Pair, spatial: dict[str, Any]) -> ModuleOp:
    net = Net((1, channels[0], *sizes))
    return net.module(net.conv(net.arguments[0], channels[1], kernel, **spatial))


def engines(module: ModuleOp) -> dict[str, str]:
    """Kind of kernel -> engine, after dispatch."""
    apply(module, Dispatch())
    return {block_workload(d.body.block).kind: d.engine_name for d in kernels(module)}


@settings(deadline=None, max_examples=60)
@given(convolutions())
def test_a_network_keeps_its_result_and_changes_only_for_an_engine(case: dict[str, Any]) -> None:
    module = network(**case)
    inputs, before = inputs_of(module), str(module)
    (expected,) = run(module, inputs)
    apply(module, LegalizeConvs())
    np.testing.assert_array_equal(run(module, inputs)[0], expected)
    after, target = str(module), module_target(module)
    assert str(apply(module, LegalizeConvs())) == after
    workloads = [block_workload(d.body.block) for d in kernels(apply(module, Dispatch()))]
    (conv,) = [w for w in workloads if w.kind == "conv2d"]
    if not accepted(conv, target):
        assert after == before
        assert not any(accepted(r.workload, target) for r in chain(in_place(conv), on_blocks(conv)))


SQUARE = {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1), "groups": 1}


@pytest.mark.parametrize(
    ("channels", "sizes", "kernel", "spatial", "blocks"),
    [
        ((1, 18), (25, 10), (10, 4), {"strides": (2, 2), "pads": (4, 1, 5, 1)}, True),
        ((3, 8), (16, 16), (4, 4), {"strides": (4, 4)}, True),
        ((3, 8), (9, 9), (3, 3), {"strides": (3, 3)}, True),
        ((3, 8), (9, 8), (3, 3), {"strides": (1, 2), "pads": (1, 1, 1, 1)}, True),
        ((3, 8), (7, 7), (2, 2), {"strides": (2, 2)}, False),
        ((3, 8), (7, 9), (2, 4), {}, False),
        ((3, 8), (9, 9), (3, 3), {"dilations": (2, 3), "pads": (2, 3, 2, 3)}, False),
        ((4, 4), (9, 9), (4, 4), {"groups": 4, "strides": (2, 2), "pads": (1, 1, 2, 2)}, False),
    ],
)
def test_these_reach_the_array(channels: Pair, sizes: Pair, kernel: Pair, spatial: dict[str, Any], blocks: bool):
    module = network(channels, sizes, kernel, SQUARE | spatial)
    assert engines(module.clone()) == {"conv2d": "cpu"}
    apply(module, LegalizeConvs())
    assert engines(module) == {"conv2d": "digital"} | ({"space_to_depth": "cpu"} if blocks else {})


@pytest.mark.parametrize(
    "spatial", [{"groups": 2}, {"groups": 4, "strides": (3, 3)}, {"dilations": (5, 1)}, {"pads": (16, 0, 0, 0)}]
)
def test_what_no_rewriting_brings_onto_the_array_stays(spatial: dict[str, Any]) -> None:
    module = network((4, 4), (12, 9), (3, 3), SQUARE | spatial)
    text = str(module)
    assert str(apply(module, LegalizeConvs())) == text
    assert engines(module) == {"conv2d": "cpu"}


def test_what_the_array_takes_stays() -> None:
    module = network((4, 5), (6, 9), (3, 5), SQUARE | {"pads": (1, 2, 1, 2)})
    text = str(module)
    assert str(apply(module, LegalizeConvs())) == text
