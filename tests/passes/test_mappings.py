"""Mappings: what plans by hand may name, which layouts the whole network gets, and that no network gets slower."""

from __future__ import annotations

import pytest
from lowering import RUNS, lowered
from networks import SAME, Net, apply, inputs_of, random_network
from xdsl.dialects.builtin import ModuleOp

from htvm_ir.dialects.accel import CPU, ConvertLayoutOp, DispatchOp, kernels
from htvm_ir.dialects.tiled import PlanAttr
from htvm_ir.errors import HtvmError
from htvm_ir.interpreters.run import run
from htvm_ir.passes.choices import candidates, engine_of, joints
from htvm_ir.passes.choices import kernels as problem_of
from htvm_ir.passes.pipeline import pass_class
from htvm_ir.passes.workloads import block_layouts, main_function, module_target
from htvm_ir.schedule.assign import Kernel, assign
from htvm_ir.targets.diana.conv_mapping import OX_LAYOUT


def separable(width: int = 6) -> ModuleOp:
    """A depthwise and a pointwise layer on a narrow map."""
    net = Net((1, 128, 6, width))
    return net.module(net.conv(net.depthwise(net.arguments[0], (3, 3), pads=SAME), 128, (1, 1)))


def dispatched(module: ModuleOp) -> list[DispatchOp]:
    for name in ("fuse-requant", "dispatch"):
        apply(module, pass_class(name)())
    return [kernel for kernel in kernels(module) if kernel.engine_name != CPU]


def planned(module: ModuleOp) -> list[str]:
    """The mappings of the layers on the array."""
    for name in ("assign-layouts", "plan-tiles"):
        apply(module, pass_class(name)())
    plans = [kernel.plan for kernel in kernels(module) if kernel.engine_name != CPU]
    return [plan.mapping.data for plan in plans if isinstance(plan, PlanAttr)]


def conversions(module: ModuleOp) -> int:
    return sum(isinstance(kernel.body.block.first_op, ConvertLayoutOp) for kernel in kernels(module))


def test_narrow_maps_are_compact_between_layers():
    module = separable()
    assert len(dispatched(module)) == 2
    depthwise, pointwise = planned(module)
    assert (depthwise.partition("_")[2], pointwise) == ("compact", "compact")
    assert conversions(module) == 2  # the caller's input and output


def test_wide_maps_are_not():
    module = separable(width=16)
    dispatched(module)
    assert all("compact" not in mapping for mapping in planned(module))
    assert all(set(block_layouts(k.body.block)) == {OX_LAYOUT} for k in kernels(module) if k.engine_name != CPU)


@pytest.mark.parametrize(
    ("first", "second"), [("channels", "from_compact"), ("blocks4_to_compact", ""), ("blocks16", "")]
)
def test_plans_by_hand_decide_layouts(first: str, second: str):
    """Where they disagree, the CPU converts; the result is the same."""
    module = separable()
    inputs = inputs_of(module)
    expected = run(module, inputs)
    for kernel, mapping in zip(dispatched(module), (first, second), strict=True):
        kernel.plan = PlanAttr({}, mapping=mapping)
    assert planned(module) == [first, second]
    assert conversions(module) == 2 + (first.endswith("to_compact") != second.startswith("from_compact"))
    for name in ("apply-plan", "bufferize", "explicit-dma", "plan-memory"):
        apply(module, pass_class(name)())
    for result, wanted in zip(run(module, inputs), expected, strict=True):
        assert (result == wanted).all()


def test_a_plan_names_a_mapping_of_its_engine():
    module = separable()
    dispatched(module)[1].plan = PlanAttr({}, mapping="blocks4")
    planned(module)
    with pytest.raises(HtvmError, match=r"mapping 'blocks4' is not one of .*'to_compact'"):
        apply(module, pass_class("apply-plan")())


def test_a_plan_that_comes_after_the_layouts_must_fit_them():
    module = separable(width=6)
    kernel = dispatched(module)[1]
    kernel.plan = PlanAttr({})
    planned(module)
    kernel = next(k for k in kernels(module) if isinstance(k.plan, PlanAttr) and not k.plan.mapping.data)
    kernel.plan = PlanAttr({}, mapping="compact")
    with pytest.raises(HtvmError, match="other layouts than the tensors have"):
        apply(module, pass_class("apply-plan")())


@pytest.mark.parametrize("seed", range(6))
def test_other_layouts_never_make_a_network_slower(seed: int):
    """The best assignment costs at most what it costs if all engines keep to their usual layouts."""
    module = random_network(seed)
    apply(module, pass_class("fuse-requant")())
    function, target = main_function(module), module_target(module)
    found = candidates(function, target, 1.0)
    shared = joints(found, function, target)
    best = assign(problem_of(found), shared)
    usual = [Kernel(k.name, {w: c for w, c in k.cycles.items() if w == engine_of(w)}) for k in problem_of(found)]
    assert best.cycles <= assign(usual, shared).cycles
    assert any(engine_of(way) != way for kernel in problem_of(found) for way in kernel.cycles)


def test_compact_maps_survive_the_whole_pipeline():
    module = separable()
    inputs = inputs_of(module)
    expected = run(module, inputs)
    lowered(module, "plan-memory")
    for options in RUNS.values():
        for result, wanted in zip(run(module, inputs, **options), expected, strict=True):
            assert (result == wanted).all()
