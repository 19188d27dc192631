"""``apply-plan``: turn every dispatch that has a plan into the ``tiled.nest`` the plan describes. Decides nothing."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.arith import ConstantOp
from xdsl.dialects.builtin import ModuleOp, TensorType
from xdsl.ir import Attribute, Block, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from htvm_ir.dialects import graph, tiled
from htvm_ir.dialects.accel import DispatchOp, kernels, with_layout
from htvm_ir.dialects.accel import layout_of as encoding_of
from htvm_ir.dialects.attributes import integers, values
from htvm_ir.errors import HtvmError
from htvm_ir.passes.mappings import check_mapping
from htvm_ir.passes.plan_tiles import check_plan, chosen
from htvm_ir.passes.tiling_problems import problem_of
from htvm_ir.passes.workloads import activations, dispatch_workload, module_target, window_attr
from htvm_ir.targets.target import Target
from htvm_ir.targets.workload import Window, Windows, Workload, dimensions, windows


@dataclass(frozen=True)
class ApplyPlan(ModulePass):
    """Rewrites ``accel.dispatch ... plan`` to ``tiled.nest``; the plan may have been written by hand."""

    name = "apply-plan"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = module_target(op)
        for dispatch in kernels(op):
            if isinstance(dispatch.plan, tiled.PlanAttr):
                apply_plan(dispatch, dispatch.plan, target)


def apply_plan(dispatch: DispatchOp, plan: tiled.PlanAttr, target: Target) -> tiled.NestOp:
    """Replace one dispatch.

    Raises:
        HtvmError: the plan breaks a rule of the engine or names what is not there.
    """
    workload = dispatch_workload(dispatch)
    kernel, engine = dispatch.kernel.data, target.engine(dispatch.engine_name)
    if (reason := check_mapping(engine, dispatch, workload)) is None:
        problem = problem_of(engine, workload, target)
        reason = check_plan(problem, chosen(problem, plan))
    if reason is not None:
        raise HtvmError(f"the plan of kernel '{kernel}' cannot be obeyed: {reason}")
    extents = dimensions(workload)
    sizes = {name: size for name, size in plan.tile.items() if size < extents[name]}
    grid = tiled.GridAttr(extents, sizes)
    spans = windows(workload, tuple(sizes))
    constants = _hoist_constants(dispatch)
    body = _tile_body(dispatch, workload, spans, sizes)
    depths = plan.depths or (1,) * (len(workload.inputs) + 1)
    inputs = [dispatch.inputs[argument.index] for argument in activations(dispatch)]
    nest = tiled.NestOp(
        dispatch.engine_name,
        kernel,
        grid,
        [window_attr(axes) for axes in spans],
        depths,
        [*inputs, *constants],
        body,
        [result.type for result in dispatch.results_],
        attributes=dispatch.attributes,
        mapping=workload.mapping,
        constant_buffers=plan.constant_buffers.data,
    )
    Rewriter.replace_op(dispatch, nest)
    return nest


def _hoist_constants(dispatch: DispatchOp) -> list[SSAValue]:
    """Copy the region's constants in front of the dispatch, in the order of the anchor's operands."""
    hoisted: list[SSAValue] = []
    for op in dispatch.body.block.ops:
        if isinstance(op, ConstantOp):
            continue
        for operand in op.operands:
            if isinstance(operand.owner, ConstantOp):
                clone = operand.owner.clone()
                Rewriter.insert_op(clone, InsertPoint.before(dispatch))
                hoisted.append(clone.result)
    return hoisted


def tile_type(type_: Attribute, axes: tuple[Window, ...], sizes: dict[str, int]) -> TensorType[Attribute]:
    """The type of a full interior tile of an operand."""
    assert isinstance(type_, TensorType)
    shape = [
        extent if w.dimension is None else (sizes[w.dimension] - 1) * w.stride + w.extent
        for w, extent in zip(axes, type_.get_shape(), strict=True)
    ]
    return TensorType(type_.element_type, shape, type_.encoding)


def _tile_body(dispatch: DispatchOp, workload: Workload, spans: Windows, sizes: dict[str, int]) -> Block:
    """The region's ops, typed for one full tile, with the padding of tiled axes left to the windows."""
    ops = [op for op in dispatch.body.block.ops if not isinstance(op, ConstantOp)]
    constants = [v for op in ops for v in op.operands if isinstance(v.owner, ConstantOp)]
    sources = [*activations(dispatch), *constants]
    block = Block(arg_types=[tile_type(v.type, axes, sizes) for v, axes in zip(sources, spans, strict=False)])
    mapping: dict[SSAValue, SSAValue] = dict(zip(sources, block.args, strict=True))
    for op in ops[:-1]:
        clone = op.clone(mapping)
        _retype(clone, tile_type(op.results[0].type, spans[-1], sizes))
        if isinstance(clone, graph.Conv2dOp):
            _move_padding(clone, workload, sizes)
        block.add_op(clone)
        mapping[op.results[0]] = clone.results[0]
    block.add_op(tiled.YieldOp(*(mapping[v] for v in dispatch.yielded)))
    return block


def _retype(op: Operation, type_: TensorType[Attribute]) -> None:
    Rewriter.replace_value_with_new_type(op.results[0], with_layout(type_, encoding_of(op.results[0].type)))


def _move_padding(conv: graph.Conv2dOp, workload: Workload, sizes: dict[str, int]) -> None:
    top, left, bottom, right = values(conv.pads)
    conv.pads = integers([0 if "y" in sizes else top, left, 0 if "y" in sizes else bottom, right])
    if workload.is_depthwise and "k" in sizes:
        conv.groups = type(conv.groups)(sizes["k"], conv.groups.type)
