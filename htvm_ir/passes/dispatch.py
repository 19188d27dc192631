"""``dispatch``: give every op to one of the engines whose contract takes it or to the CPU, with costs and reasons."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.arith import ConstantOp
from xdsl.dialects.builtin import DictionaryAttr, ModuleOp
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from htvm_ir.dialects.accel import CPU, DispatchOp, YieldOp
from htvm_ir.dialects.attributes import integer
from htvm_ir.dialects.external import ExternalOp
from htvm_ir.dialects.graph import ReshapeOp, shape_of
from htvm_ir.errors import HtvmError
from htvm_ir.passes.choices import candidates, engine_of, groups, joints, kernels
from htvm_ir.passes.workloads import LAYOUTS, layouts_attr, main_function, module_target
from htvm_ir.schedule.assign import assign

COSTS = "accel.costs"
"""Attribute of a dispatch: predicted cycles of its op on each engine that takes it, and on the CPU."""


@dataclass(frozen=True)
class Dispatch(ModulePass):
    """Wraps the ops of ``@main`` into ``accel.dispatch`` regions, one for each kernel.

    Of all assignments to engines that compute their ops bit-exactly, the network gets the one of the least predicted
    time, conversions between layouts included. Where an engine is to read or write other layouts than its usual ones,
    the dispatch says so. ``seconds`` limits the search. ``tiler``: HTVM's rules know the usual layouts only.
    """

    name = "dispatch"
    seconds: float = 5.0
    tiler: str = "optimal"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target, function = module_target(op), main_function(op)
        _copy_returned_constants(function)
        for count, external in enumerate([op for op in function.body.block.ops if isinstance(op, ExternalOp)]):
            wrap([external], CPU, f"cpu_external_{count}", {})
        found = candidates(function, target, self.seconds, usual_layouts=self.tiler != "optimal")
        engines = assign(kernels(found), joints(found, function, target), self.seconds).engines
        for count, (candidate, ops) in enumerate(groups(found, engines).items()):
            way, kind = engines[candidate.name], candidate.op.name.removeprefix("graph.")
            dispatch = wrap(ops, engine_of(way), f"{engine_of(way)}_{kind}_{count}", candidate.refused)
            costs = {n: integer(c) for n, c in candidate.cycles.items() if n == engine_of(n)}
            dispatch.attributes[COSTS] = DictionaryAttr(costs)
            if way != engine_of(way):
                dispatch.attributes[LAYOUTS] = layouts_attr(candidate.layouts[way])
        _remove_dead_constants(function)


def wrap(ops: list[Operation], engine: str, kernel: str, refused: dict[str, str]) -> DispatchOp:
    """Move ops into a dispatch in place of the last; the constants they use are copied into it."""
    result = ops[-1].results[0]
    inputs = list(dict.fromkeys(v for op in ops for v in op.operands if not _is_inner(v, ops)))
    block = Block(arg_types=[v.type for v in inputs])
    mapping: dict[SSAValue, SSAValue] = dict(zip(inputs, block.args, strict=True))
    for constant in dict.fromkeys(v.owner for op in ops for v in op.operands):
        if isinstance(constant, ConstantOp):
            block.add_op(clone := constant.clone())
            mapping[constant.result] = clone.result
    anchor_point = InsertPoint.before(ops[-1])
    clones = [op.clone(mapping) for op in ops]
    block.add_ops(clones)
    block.add_op(YieldOp(clones[-1].results[0]))
    dispatch = DispatchOp(engine, kernel, inputs, block, [result.type], refused=refused)
    Rewriter.insert_op(dispatch, anchor_point)
    result.replace_all_uses_with(dispatch.results_[0])
    for op in reversed(ops):
        op.detach()
        op.erase()
    return dispatch


def _is_inner(value: SSAValue, ops: list[Operation]) -> bool:
    return value.owner in ops or isinstance(value.owner, ConstantOp)


def _copy_returned_constants(function: FuncOp) -> None:
    """A kernel has to write what the caller gets, even if there is nothing to compute."""
    last = function.get_return_op()
    assert last is not None
    for index, value in enumerate(last.operands):
        if isinstance(value.owner, ConstantOp):
            copy = ReshapeOp(value, shape_of(value))
            copy.attributes |= value.owner.attributes
            Rewriter.insert_op(copy, InsertPoint.before(last))
            last.operands[index] = copy.result


def _remove_dead_constants(function: FuncOp) -> None:
    for op in list(function.body.block.ops):
        if isinstance(op, ConstantOp) and not op.result.uses:
            op.detach()
            op.erase()
        elif not isinstance(op, DispatchOp | ReturnOp):
            allowed = "graph ops, external kernels and constants"
            raise HtvmError(f"'{op.name}' cannot be dispatched; @main may hold {allowed} only")
