"""Kernels on strips compute the same as on whole maps: random chains, segments and heights, on both kinds of target."""

from __future__ import annotations

from collections.abc import Iterator

import networks
import numpy as np
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st
from lowering import POISONED, RUNS, of_type
from networks import SAME, Net, apply, inputs_of
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.dialects.memref import GlobalOp
from xdsl.ir import SSAValue

from htvm_ir.dialects import graph
from htvm_ir.dialects.accel import CPU, LaunchOp, kernels
from htvm_ir.errors import HtvmError
from htvm_ir.interpreters.run import run
from htvm_ir.passes.cut_strips import CutStrips
from htvm_ir.passes.pipeline import PIPELINE, pass_class
from htvm_ir.passes.set_target import SetTarget
from htvm_ir.passes.strips import Segment, Stage, segments, set_segment
from htvm_ir.passes.workloads import main_function

TARGETS = ("diana", "npu,l1=64k", "npu,l1=64k,residency=false", "diana,copy_engine=analog")


def chain(seed: int, height: int, width: int, layers: list[str]) -> ModuleOp:
    """Layers that both targets take, one after the other; a sum adds the result of the layer before last, if it can."""
    net = Net((1, 5, height, width), seed=seed)
    before = x = net.arguments[0]
    for layer in layers:
        before, x = x, _layer(net, layer, x, before)
    return net.module(x)


def _layer(net: Net, layer: str, x: SSAValue, before: SSAValue) -> SSAValue:
    _, channels, rows, columns = graph.shape_of(x)
    match layer:
        case "sum":
            return net.add(x, before if before.type == x.type else x)
        case "depthwise" if rows > 2 and columns > 2:
            return net.depthwise(x, (3, 3), pads=SAME)
        case "stride" if rows > 3 and columns > 3:
            return net.conv(x, channels, (3, 3), strides=(2, 2), pads=(1, 1, 0, 1))
        case "tall" if rows > 4:
            return net.conv(x, channels + 2, (5, 1), pads=(3, 0, 1, 0))
        case "flat":
            return net.conv(x, 18, (1, 1), lo=0)
        case _:
            return net.conv(x, channels + 1, (3, 3), pads=SAME)


def dispatched(module: ModuleOp, target: str) -> ModuleOp:
    SetTarget(target).apply(Context(), module)
    return apply(module, *(pass_class(name)() for name in PIPELINE[: PIPELINE.index("plan-strips")]))


def possible(module: ModuleOp) -> Iterator[Segment]:
    """All segments of a module, for every height of strips."""
    stages = [Stage.of(d) for d in kernels(module) if d.engine_name != CPU]
    for first in range(len(stages)):
        for last in range(first + 1, len(stages)):
            for rows in range(1, stages[last].workload.output.shape[2]):
                segment = Segment(tuple(stages[first : last + 1]), rows)
                if segment.fault is None:
                    yield segment


@settings(deadline=None, max_examples=40, phases=(Phase.explicit, Phase.generate))  # shrinking takes minutes
@given(
    seed=st.integers(0, 1000),
    height=st.integers(4, 17),
    width=st.integers(3, 34),
    layers=st.lists(st.sampled_from(("sum", "depthwise", "stride", "tall", "flat", "conv")), min_size=2, max_size=5),
    target=st.sampled_from(TARGETS),
    data=st.data(),
)
def test_strips_compute_the_same(
    seed: int, height: int, width: int, layers: list[str], target: str, data: st.DataObject
) -> None:
    module = chain(seed, height, width, layers)
    inputs = inputs_of(module)
    (expected,) = run(module, inputs)
    found = list(possible(dispatched(module, target)))
    assume(found)
    set_segment(found[data.draw(st.integers(0, len(found) - 1))], 0)
    try:
        apply(module, CutStrips())
    except HtvmError as error:  # rows that are no whole granules of DIANA's DMA, or cut its compact maps
        assert "would overrun" in str(error) or "in another way" in str(error)
        return
    assert not segments(module) and of_type(main_function(module).body.block, graph.ConcatOp)
    np.testing.assert_array_equal(run(module, inputs)[0], expected)
    start, end = PIPELINE.index("plan-residency"), PIPELINE.index("lower-host")
    apply(module, *(pass_class(name)() for name in (*PIPELINE[start:end], "plan-memory")))
    for name, options in (RUNS | POISONED).items():
        np.testing.assert_array_equal(run(module, inputs, **options)[0], expected, name)


def test_constants_of_strips_are_stored_once() -> None:
    module = dispatched(networks.convolutions(), "diana,compact_maps=false")
    stages = tuple(Stage.of(d) for d in kernels(module) if d.engine_name != CPU)
    set_segment(Segment(stages[1:], 2), 0)
    apply(module, *(pass_class(n)() for n in PIPELINE[PIPELINE.index("cut-strips") : PIPELINE.index("lower-host")]))
    launching = {f.sym_name.data for f in module.ops if isinstance(f, FuncOp) and of_type(f.body.block, LaunchOp)}
    assert len({name.split("_part")[0] for name in launching}) == 1 + 2 * 3
    assert len([op for op in module.ops if isinstance(op, GlobalOp)]) == 3


def test_rows_that_a_transfer_would_overrun_are_refused() -> None:
    """DIANA's DMA moves 32 bytes, and a row of 11 columns takes 16."""
    module = dispatched(networks.convolutions(), "diana,compact_maps=false")
    stages = tuple(Stage.of(d) for d in kernels(module) if d.engine_name != CPU)
    set_segment(Segment(stages[1:], 3), 0)
    with pytest.raises(HtvmError, match="strips of 3 rows are no multiples of 32 bytes"):
        apply(module, CutStrips())


def test_a_kernel_with_a_plan_is_left_whole() -> None:
    module = dispatched(networks.convolutions(), "diana,l1_bytes=3600,weight_memory_bytes=4096")
    planned = apply(module.clone(), pass_class("plan-tiles")())
    assert segments(apply(module, pass_class("plan-strips")()))
    assert not segments(apply(planned, pass_class("plan-strips")()))
