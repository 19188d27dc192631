"""``dispatch``: give every op to the engine whose contract takes it, or to the CPU with the reasons."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.arith import ConstantOp
from xdsl.dialects.builtin import IntegerType, ModuleOp
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from htvm_ir.dialects import graph
from htvm_ir.dialects.accel import CPU, DispatchOp, YieldOp
from htvm_ir.errors import HtvmError
from htvm_ir.passes.workloads import (
    ANCHORS,
    ELEMENTWISE,
    computed_inputs,
    following_requant,
    main_function,
    module_target,
    workload_of,
)
from htvm_ir.targets.target import Engine, Target
from htvm_ir.targets.workload import Workload
from htvm_ir.tiling.problem import infeasible

CPU_FOLLOWERS = (graph.RequantOp, graph.ReshapeOp, graph.LookupOp, graph.SliceOp, graph.TransposeOp)
"""Ops on one tensor that join the kernel before them; so do sums and products with a constant."""


@dataclass(frozen=True)
class Dispatch(ModulePass):
    """Wraps the ops of ``@main`` into ``accel.dispatch`` regions, one for each kernel.

    The engines of the target are asked in its order; the first that computes the op bit-exactly gets it.
    """

    name = "dispatch"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = module_target(op)
        function = main_function(op)
        count = 0
        for anchor in list(function.body.block.ops):
            is_done = anchor.parent is not function.body.block or not anchor.name.startswith("graph.")
            if is_done or widens_for_user(anchor):
                continue
            engine, refused = choose(anchor, target)
            if engine != CPU:
                for widening in widened(anchor):
                    wrap([widening], CPU, f"{CPU}_requant_{count}", {})
                    count += 1
            ops = kernel_ops(anchor, engine)
            kind = anchor.name.removeprefix("graph.")
            wrap(ops, engine, f"{engine}_{kind}_{count}", refused)
            count += 1
        _remove_dead_constants(function)


def choose(anchor: Operation, target: Target) -> tuple[str, dict[str, str]]:
    """The engine for an op, and why each engine asked before it refused."""
    refused: dict[str, str] = {}
    workload = workload_of(anchor, following_requant(anchor) if isinstance(anchor, ANCHORS) else None)
    for engine in target.engines:
        reason = engine.match(workload) or unfit(engine, workload, target)
        if reason is None:
            return engine.name, refused
        refused[engine.name] = reason
    return CPU, refused


def unfit(engine: Engine, workload: Workload, target: Target) -> str | None:
    """Why not even the smallest tile fits the engine's memories; None if it does."""
    worst = infeasible(engine.problem(workload, target))
    if worst.missing <= 0:
        return None
    return f"the smallest tile exceeds {worst.capacity} by {worst.missing} bytes"


def kernel_ops(anchor: Operation, engine: str) -> list[Operation]:
    """The anchor and what runs with it: its requantisation, and on the CPU all that touches each element once.

    The CPU also widens the anchor's operands on the spot, so that no 32-bit tensor is stored for it.
    """
    ops = [*(widened(anchor) if engine == CPU else ()), anchor]
    while True:
        use = ops[-1].results[0].get_user_of_unique_use()
        follows = cpu_follows(use) if engine == CPU else ops[-1] is anchor and isinstance(use, graph.RequantOp)
        if use is None or not follows:
            return ops
        ops.append(use)


def cpu_follows(op: Operation | None) -> bool:
    """Whether the CPU computes an op element by element behind the one that feeds it, without a tensor between them."""
    if isinstance(op, ELEMENTWISE):
        return len(computed_inputs(op)) == 1
    return isinstance(op, CPU_FOLLOWERS) and not widens_for_user(op)


def widens_for_user(op: Operation) -> bool:
    """Whether an op makes 8 bits 32 for one sum or product: it then runs with that."""
    if not isinstance(op, graph.RequantOp):
        return False
    before, after = (graph.tensor_type(value).element_type for value in (op.input, op.result))
    assert isinstance(before, IntegerType) and isinstance(after, IntegerType)
    return before.width.data < after.width.data and isinstance(op.result.get_user_of_unique_use(), ELEMENTWISE)


def widened(anchor: Operation) -> list[Operation]:
    """The ops that widen the anchor's operands for it alone."""
    owners = [value.owner for value in anchor.operands]
    return [op for op in owners if isinstance(op, Operation) and widens_for_user(op)]


def wrap(ops: list[Operation], engine: str, kernel: str, refused: dict[str, str]) -> DispatchOp:
    """Move ops into a dispatch in place of the first; the constants they use are copied into it."""
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


def _remove_dead_constants(function: FuncOp) -> None:
    for op in list(function.body.block.ops):
        if isinstance(op, ConstantOp) and not op.result.uses:
            op.detach()
            op.erase()
        elif not isinstance(op, DispatchOp | ReturnOp):
            raise HtvmError(f"'{op.name}' cannot be dispatched; @main may hold graph ops and constants only")
