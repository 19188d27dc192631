"""The whole pipeline: after every pass a module is valid, prints and parses, and computes the same bits.

Networks are small and the L1 is smaller, so that every kernel of the engine is cut into several tiles.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import networks
import numpy as np
import pytest
from lowering import POISONED, RUNS, kernel, lowered, of_type, use_target
from networks import Array, apply, inputs_of, overlapping, parse, small_diana
from xdsl.dialects.arith import ConstantOp
from xdsl.dialects.builtin import ArrayAttr, IndexType, IntegerAttr, ModuleOp, TensorType
from xdsl.dialects.func import CallOp, FuncOp
from xdsl.dialects.memref import AllocOp, LoadOp, SubviewOp
from xdsl.ir import Operation, SSAValue
from xdsl.rewriter import InsertPoint, Rewriter
from xdsl.utils.exceptions import InterpretationError

from htvm_ir.dialects import graph
from htvm_ir.dialects.accel import CPU, AwaitOp, DispatchOp, LaunchOp, LayoutAttr, kernels, layout_of, with_layout
from htvm_ir.dialects.attributes import integer, integers, values
from htvm_ir.dialects.dma import StartOp, WaitOp
from htvm_ir.dialects.tiled import NestOp, PlanAttr, WindowAttr
from htvm_ir.interpreters.run import run
from htvm_ir.passes.chunks import CHUNKS
from htvm_ir.passes.constants import constant_array
from htvm_ir.passes.conv_rewrites import crop_kernel
from htvm_ir.passes.fold_constants import constant
from htvm_ir.passes.fold_dead_channels import plan
from htvm_ir.passes.fuse_requant import only_clips
from htvm_ir.passes.intervals import interval
from htvm_ir.passes.mappings import by_layouts
from htvm_ir.passes.memory_fit import in_memory
from htvm_ir.passes.pipeline import PIPELINE, pass_class
from htvm_ir.passes.plan_memory import OFFSET
from htvm_ir.passes.plan_tiles import check_plan
from htvm_ir.passes.strips import Segment, segments, set_segment
from htvm_ir.passes.workloads import (
    KERNEL,
    RESIDENT,
    activations,
    block_layouts,
    block_workload,
    dispatch_workload,
    layout_attr,
    main_function,
    module_target,
    resident_bytes,
    workload_of,
)
from htvm_ir.targets.target import Host, Target
from htvm_ir.targets.workload import dimensions, tiles


@dataclass(frozen=True)
class Case:
    """A network, a target on which it has to be cut, the kernels it should become and the tensors that stay in L1.

    fused: kernels that are computed strip by strip. strips: kernels that there are more, since each strip has its own.
    """

    build: Callable[[], ModuleOp]
    target: Target
    kernels: dict[str, int]
    resident: int = 0
    fused: int = 0
    strips: int = 0

    @property
    def on_engines(self) -> int:
        return self.strips + sum(n for name, n in self.kernels.items() if not name.startswith(CPU))


RESIDUAL = {"digital conv2d": 3, "digital add": 2}
CASES = {
    "convolutions": Case(networks.convolutions, small_diana(2600, 4096), {"digital conv2d": 3}),
    "depthwise": Case(networks.depthwise, small_diana(1920), {"digital conv2d": 2}),
    "residual": Case(networks.residual, small_diana(2560, 4096), RESIDUAL),
    "strips": Case(networks.convolutions, small_diana(3600, 4096), {"digital conv2d": 3}, 3, fused=2, strips=4),
    "classifier": Case(
        networks.classifier, small_diana(1024, 2200), {"digital conv2d": 1, "cpu pool": 2, "digital dense": 2}
    ),
    "keywords": Case(networks.keywords, small_diana(2400, 3000), {"cpu space_to_depth": 1, "digital conv2d": 2}),
    "narrow": Case(networks.narrow, small_diana(1500, 16000), {"digital conv2d": 2}),
    "outputs": Case(networks.outputs, small_diana(1900, 4096), {"cpu add": 1, "digital conv2d": 1, "cpu conv2d": 1}),
    "leftovers": Case(networks.leftovers, small_diana(1500, 4096), {"digital conv2d": 2, "cpu conv2d": 1}),
    "clips": Case(networks.clips, small_diana(2560, 4096), {"digital conv2d": 2, "cpu requant": 1}),
    "dead": Case(networks.dead, small_diana(2560, 4096), {"digital conv2d": 3}),
    "resident": Case(networks.residual, small_diana(9216, 4096), RESIDUAL, resident=3),
    "resident depthwise": Case(networks.depthwise, small_diana(16384), {"digital conv2d": 2}, resident=1),
    "copy engine": Case(networks.residual, small_diana(3400, 4096, copy_engine="analog"), RESIDUAL, resident=1),
    "double-buffered": Case(networks.residual, overlapping(small_diana(5120, 4096)), RESIDUAL),
}


def nothing_is_constant(module: ModuleOp, case: Case) -> None:
    for op in main_function(module).body.block.ops:
        assert not op.operands or any(not isinstance(v.owner, ConstantOp) for v in op.operands)


def no_channel_is_dead(module: ModuleOp, case: Case) -> None:
    assert not plan(main_function(module).body.block)


def kernels_meet_their_maps(module: ModuleOp, case: Case) -> None:
    for conv in of_type(main_function(module).body.block, graph.Conv2dOp):
        workload = workload_of(conv, None)
        assert crop_kernel(workload).kernel == workload.kernel


def requants_stand_alone(module: ModuleOp, case: Case) -> None:
    for op in of_type(main_function(module).body.block, graph.RequantOp):
        assert not isinstance(op.input.owner, graph.RequantOp)


def what_engines_compute_clips_to_its_type(module: ModuleOp, case: Case) -> None:
    for op in of_type(main_function(module).body.block, graph.RequantOp):
        if isinstance(op.input.owner, graph.RequantOp):
            assert only_clips(op)
            assert interval(op.input) in ((-128, 127), (0, 127))


def nothing_is_left_to_turn(module: ModuleOp, case: Case) -> None:
    assert apply(module.clone(), pass_class("orient-maps")()).is_structurally_equivalent(module)


def kernels_are_as_expected(module: ModuleOp, case: Case) -> None:
    found = Counter(f"{d.engine_name} {block_workload(d.body.block).kind}" for d in kernels(module))
    del found["cpu convert_layout"], found["cpu transpose"]
    assert found == case.kernels


def engines_have_their_layouts(module: ModuleOp, case: Case) -> None:
    kernels_are_as_expected(module, case)
    for dispatch in on_engines(module):
        engine, block = module_target(module).engine(dispatch.engine_name), dispatch.body.block
        assert block_layouts(block) in by_layouts(engine, block_workload(block))
        found = [layout_of(v.type) for v in (*dispatch.inputs, *dispatch.results_)]
        assert set(found) == set(map(layout_attr, block_layouts(block)))


def strips_can_be_cut(module: ModuleOp, case: Case) -> None:
    engines_have_their_layouts(module, case)
    assert [segment.fault for segment in segments(module)] == [None] * len(segments(module))
    assert sum(len(segment.stages) for segment in segments(module)) == case.fused


def every_strip_is_a_kernel(module: ModuleOp, case: Case) -> None:
    assert not segments(module)
    assert len(list(on_engines(module))) == case.on_engines


def what_stays_stays_for_all_its_kernels(module: ModuleOp, case: Case) -> None:
    sizes: dict[SSAValue, set[int]] = {}
    for dispatch in on_engines(module):
        stays = resident_bytes(dispatch)
        operands = [*(dispatch.inputs[a.index] for a in activations(dispatch)), *dispatch.results_]
        for index, value in enumerate(operands):
            sizes.setdefault(value, set()).add(stays.get(index, 0))
    assert all(len(found) == 1 for found in sizes.values())
    assert sum(found != {0} for found in sizes.values()) == case.resident


def plans_are_legal(module: ModuleOp, case: Case) -> None:
    target = module_target(module)
    for dispatch in on_engines(module):
        problem = target.engine(dispatch.engine_name).problem(dispatch_workload(dispatch), target)
        assert isinstance(dispatch.plan, PlanAttr)
        assert check_plan(problem, dispatch.plan.tile) is None


def every_nest_has_several_tiles(module: ModuleOp, case: Case) -> None:
    nests = [op for op in module.walk() if isinstance(op, NestOp)]
    assert not list(on_engines(module))
    assert len(nests) == case.on_engines
    for nest in nests:
        assert resident_bytes(nest) or len(tiles(nest.grid.extent, nest.grid.size, nest.grid.dimensions)) > 1, (
            nest.kernel.data
        )


def functions_take_buffers(module: ModuleOp, case: Case) -> None:
    every_nest_has_several_tiles(module, case)
    for function in functions(module):
        types = (*function.function_type.inputs, *function.function_type.outputs)
        assert not any(isinstance(type_, TensorType) for type_ in types)


def every_kernel_has_several_jobs(module: ModuleOp, case: Case) -> None:
    launches = [len(of_type(f.body.block, LaunchOp)) for f in functions(module)]
    assert sum(n > 0 for n in launches) == case.on_engines
    assert case.resident or 1 not in launches
    assert not any(isinstance(op, NestOp) for op in module.walk())


def no_chunk_is_left_to_cut(module: ModuleOp, case: Case) -> None:
    assert not any(CHUNKS in dispatch.attributes for dispatch in kernels(module))


def every_job_is_awaited(module: ModuleOp, case: Case) -> None:
    launches, awaits = (sum(isinstance(op, t) for op in module.walk()) for t in (LaunchOp, AwaitOp))
    assert launches == awaits > 0


def no_kernel_is_left_to_lower(module: ModuleOp, case: Case) -> None:
    assert not kernels(module)


def every_buffer_has_an_address(module: ModuleOp, case: Case) -> None:
    assert all(OFFSET in op.attributes for op in module.walk() if isinstance(op, AllocOp))


INTENTIONS: dict[str, Callable[[ModuleOp, Case], None]] = {
    "fold-constants": nothing_is_constant,
    "fold-dead-channels": no_channel_is_dead,
    "crop-kernels": kernels_meet_their_maps,
    "fuse-requant": requants_stand_alone,
    "split-clips": what_engines_compute_clips_to_its_type,
    "legalize-convs": nothing_is_constant,
    "orient-maps": nothing_is_left_to_turn,
    "dispatch": kernels_are_as_expected,
    "assign-layouts": engines_have_their_layouts,
    "plan-strips": strips_can_be_cut,
    "cut-strips": every_strip_is_a_kernel,
    "plan-residency": what_stays_stays_for_all_its_kernels,
    "plan-tiles": plans_are_legal,
    "plan-overlap": plans_are_legal,
    "apply-plan": every_nest_has_several_tiles,
    "bufferize": functions_take_buffers,
    "explicit-dma": every_kernel_has_several_jobs,
    "pipeline-dma": every_kernel_has_several_jobs,
    "chunk-host": no_chunk_is_left_to_cut,
    "overlap-kernels": every_job_is_awaited,
    "overlap-transfers": every_job_is_awaited,
    "lower-host": no_kernel_is_left_to_lower,
    "plan-memory": every_buffer_has_an_address,
}
"""What each pass is for, besides keeping the result."""


def on_engines(module: ModuleOp) -> Iterator[DispatchOp]:
    return (dispatch for dispatch in kernels(module) if dispatch.engine_name != CPU)


def functions(module: ModuleOp) -> list[FuncOp]:
    return [op for op in module.ops if isinstance(op, FuncOp)]


def check(module: ModuleOp, step: str, case: Case, inputs: list[Array], expected: list[Array]) -> None:
    """That ``module`` is what the pass ``step`` should make of the case's network."""
    assert parse(str(module)).is_structurally_equivalent(module)
    INTENTIONS[step](module, case)
    runs = RUNS | POISONED if step == "plan-memory" else {name: RUNS[name] for name in ("eager", "lazy")}
    for name, options in runs.items():
        for result, wanted in zip(run(module, inputs, **options), expected, strict=True):
            assert result.dtype == wanted.dtype
            np.testing.assert_array_equal(result, wanted, name)


def test_a_check_for_every_pass() -> None:
    assert tuple(INTENTIONS) == PIPELINE
    assert {mutation[0] for mutation in MUTATIONS} == set(PIPELINE)


@pytest.mark.parametrize("name", CASES)
def test_every_pass_keeps_the_result(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES[name]
    use_target(monkeypatch, case.target)
    module = case.build()
    inputs = inputs_of(module)
    expected = run(module, inputs)
    assert all(len(np.unique(output)) > 20 for output in expected)  # else little would show
    for step in PIPELINE:
        apply(module, pass_class(step)())
        check(module, step, case, inputs, expected)


@pytest.mark.parametrize("l1_bytes", [1000, 3000])
@pytest.mark.parametrize("seed", [0, 1, 2, 3, 6, 10, 75, 79])
def test_random_networks_keep_their_result(seed: int, l1_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Down to addresses; what the CPU computes stays tensor ops."""
    slow = Host(per_mac=1000, per_element={"convert_layout": 1, "other": 1000})
    use_target(monkeypatch, replace(small_diana(l1_bytes, 4096), host=slow))
    module = networks.random_network(seed)
    inputs = inputs_of(module)
    expected = run(module, inputs)
    lowered(module, "plan-memory")
    engines = {f.attributes.get(KERNEL, f.sym_name) for f in functions(module) if of_type(f.body.block, LaunchOp)}
    jobs = sum(isinstance(op, LaunchOp) for op in module.walk())
    assert l1_bytes > 1000 or jobs > len(engines)
    for options in (RUNS["overlay"], *POISONED.values()):
        for result, wanted in zip(run(module, inputs, **options), expected, strict=True):
            np.testing.assert_array_equal(result, wanted)


def one_weight(module: ModuleOp) -> None:
    weights = next(op.weights for op in module.walk() if isinstance(op, graph.Conv2dOp))
    array = constant_array(weights)
    assert array is not None and isinstance(weights.owner, ConstantOp)
    changed = array.copy()
    changed[0, 0, 0, 0] ^= 1
    weights.owner.properties["value"] = constant(changed).value


def one_bias(module: ModuleOp) -> None:
    bias = [op.bias for op in module.walk() if isinstance(op, graph.Conv2dOp)][-1]
    assert bias is not None and isinstance(bias.owner, ConstantOp)
    array = constant_array(bias)
    assert array is not None
    bias.owner.properties["value"] = constant(array + 1000).value


def one_shift(module: ModuleOp) -> None:
    requant = next(op for op in module.walk() if isinstance(op, graph.RequantOp))
    requant.shift = integers([values(requant.shift)[0] + 1])


def no_clip(module: ModuleOp) -> None:
    clip = next(op for op in module.walk() if isinstance(op, graph.RequantOp) and only_clips(op))
    Rewriter.replace_op(clip, [], [clip.input])


def padding_moved_up(module: ModuleOp) -> None:
    conv = next(op for op in module.walk() if isinstance(op, graph.Conv2dOp))
    top, left, bottom, right = values(conv.pads)
    conv.pads = integers([top + 1, left, bottom - 1, right])


def one_operand_twice(op: Operation) -> None:
    op.operands[0] = op.operands[1]


def sum_of_one_branch(module: ModuleOp) -> None:
    one_operand_twice(next(d for d in kernels(module) if len(d.inputs) == 2))


def another_layout(module: ModuleOp) -> None:
    first = next(on_engines(module))
    (result,) = first.results_
    readers = [use.operation.body.block.args[use.index] for use in result.uses if isinstance(use.operation, DispatchOp)]
    found: list[SSAValue] = [result, first.yielded[0], *readers]
    for value in found:
        assert isinstance(value.type, TensorType)
        Rewriter.replace_value_with_new_type(value, with_layout(value.type, LayoutAttr((0, 1, 2, 3), (1, 1, 1, 16))))


def one_strip_too_high(module: ModuleOp) -> None:
    rows = next(op for op in main_function(module).body.block.ops if isinstance(op, graph.SliceOp))
    batch, channel, row, column = values(rows.offsets)
    rows.offsets = integers([batch, channel, row + (-1 if row else 1), column])


def one_row_more(module: ModuleOp) -> None:
    (*_, last) = segments(module)
    set_segment(Segment(last.stages, last.stages[-1].workload.output.shape[2]), 0)


def one_reader_left_out(module: ModuleOp) -> None:
    del next(dispatch for dispatch in on_engines(module) if 0 in resident_bytes(dispatch)).attributes[RESIDENT]


def one_tile_for_all(module: ModuleOp) -> None:
    dispatch = next(on_engines(module))
    dispatch.plan = PlanAttr(dimensions(block_workload(dispatch.body.block)))


def a_row_too_low(module: ModuleOp) -> None:
    nest = next(op for op in module.walk() if isinstance(op, NestOp))
    source, *others = nest.windows
    axes = [(n, stride, offset + (n == "y"), extent) for n, stride, offset, extent in source.axes]
    nest.windows = ArrayAttr([WindowAttr(axes), *others])


def another_buffer(module: ModuleOp) -> None:
    calls = of_type(main_function(module).body.block, CallOp)
    one_operand_twice(next(op for op in calls if len(op.operands) == 3))


def a_tile_too_low(module: ModuleOp) -> None:
    views = (op for f in functions(module) for op in of_type(f.body.block, SubviewOp))
    view = next(op for op in views if op.source in op.parent_block().args and len(values(op.static_offsets)) == 1)
    (offset,) = values(view.static_offsets)
    view.properties["static_offsets"] = integers([offset - 128])


def a_view_too_low(module: ModuleOp) -> None:
    view = next(op for op in of_type(kernel(module), SubviewOp) if len(values(op.static_offsets)) == 4)
    batch, channel, row, column = values(view.static_offsets)
    view.properties["static_offsets"] = integers([batch, channel, row + 1, column])


def one_job_field(module: ModuleOp) -> None:
    launch: LaunchOp = of_type(kernel(module), LaunchOp)[0]
    fields = {**launch.fields, "shift": launch.fields["shift"] + 1}
    changed = LaunchOp(launch.engine_name, launch.kernel.data, launch.inputs, launch.constants, launch.output, fields)
    Rewriter.replace_op(launch, changed)


def a_wait_too_late(module: ModuleOp) -> None:
    block = kernel(module)
    start, job = of_type(block, StartOp)[0], of_type(block, AwaitOp)[0]
    wait = start.token.get_user_of_unique_use()
    assert isinstance(wait, WaitOp)
    wait.detach()
    Rewriter.insert_op(wait, InsertPoint.after(job))


def another_index(module: ModuleOp) -> None:
    load = next(op for op in module.walk() if isinstance(op, LoadOp))
    zero = ConstantOp(IntegerAttr(0, IndexType()))
    Rewriter.insert_op(zero, InsertPoint.before(load))
    load.operands[len(load.indices)] = zero.result


def one_address_for_two(module: ModuleOp) -> None:
    first, second = of_type(kernel(module), AllocOp)[:2]
    second.attributes[OFFSET] = first.attributes[OFFSET]


def what_stays_overlaps(module: ModuleOp) -> None:
    allocations = of_type(main_function(module).body.block, AllocOp)
    local = module_target(module).memory("L1")
    for number, op in enumerate(op for op in allocations if in_memory(op.memref.type, local)):
        op.attributes[OFFSET] = integer(32 * number)


MUTATIONS = [
    ("fold-constants", "leftovers", one_weight),
    ("fold-dead-channels", "dead", one_bias),
    ("crop-kernels", "narrow", padding_moved_up),
    ("fuse-requant", "leftovers", one_shift),
    ("split-clips", "clips", no_clip),
    ("legalize-convs", "keywords", padding_moved_up),
    ("orient-maps", "keywords", one_weight),
    ("dispatch", "residual", sum_of_one_branch),
    ("assign-layouts", "residual", another_layout),
    ("plan-strips", "strips", one_row_more),
    ("cut-strips", "strips", one_strip_too_high),
    ("plan-residency", "resident", one_reader_left_out),
    ("plan-tiles", "convolutions", one_tile_for_all),
    ("plan-overlap", "convolutions", one_tile_for_all),
    ("apply-plan", "residual", a_row_too_low),
    ("bufferize", "residual", another_buffer),
    ("explicit-dma", "convolutions", a_view_too_low),
    ("explicit-dma", "depthwise", one_job_field),
    ("explicit-dma", "resident", a_tile_too_low),
    ("pipeline-dma", "double-buffered", a_wait_too_late),
    ("chunk-host", "residual", another_buffer),
    ("overlap-kernels", "convolutions", one_job_field),
    ("overlap-transfers", "convolutions", one_job_field),
    ("lower-host", "residual", another_index),
    ("plan-memory", "narrow", one_address_for_two),
    ("plan-memory", "resident", what_stays_overlaps),
]


@pytest.mark.parametrize(("step", "name", "mutate"), MUTATIONS)
def test_a_mistake_of_a_pass_is_caught(
    step: str, name: str, mutate: Callable[[ModuleOp], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each mutated module is still valid: the verifier alone would miss all of these."""
    case = CASES[name]
    use_target(monkeypatch, case.target)
    module = case.build()
    inputs = inputs_of(module)
    expected = run(module, inputs)
    apply(module, *(pass_class(earlier)() for earlier in PIPELINE[: PIPELINE.index(step) + 1]))
    mutate(module)
    module.verify()
    with pytest.raises((AssertionError, InterpretationError)):
        check(module, step, case, inputs, expected)
