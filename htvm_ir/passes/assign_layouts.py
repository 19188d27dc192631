"""``assign-layouts``: how every tensor of the network lies in memory, decided for the whole network at once.

Engines state the layouts of their operands; the CPU reads and writes any. So a tensor takes the layout of the engine
that writes it, or else the one most of its readers want, and only where engines disagree (or at the network's
row-major edges) a conversion remains, on the CPU.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, ModuleOp, StringAttr, TensorType
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Operation, SSAValue, Use
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from htvm_ir.dialects.accel import CPU, ConvertLayoutOp, DispatchOp, LayoutAttr, YieldOp, layout_of, with_layout
from htvm_ir.dialects.external import ExternalOp
from htvm_ir.dialects.graph import NAME
from htvm_ir.dialects.tiled import PlanAttr
from htvm_ir.errors import HtvmError
from htvm_ir.passes.workloads import (
    LAYOUTS,
    MIRRORED,
    TURNED,
    block_workload,
    layout_attr,
    main_function,
    module_target,
)
from htvm_ir.targets.target import Target


@dataclass(frozen=True)
class AssignLayouts(ModulePass):
    """Sets the layout encodings of all tensors and inserts the conversions that remain."""

    name = "assign-layouts"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target, function = module_target(op), main_function(op)
        demands, names = _Demands(function, target), _unused_names(function)
        for argument in function.body.block.args:
            _convert_uses(argument, demands, names, always=not target.direct_edges)
        for dispatch in demands.dispatches:
            _set_result_layout(dispatch, demands.choose(dispatch))
            _convert_uses(dispatch.results_[0], demands, names, always=False)
        _detach_results(function, names, target.direct_edges)
        for dispatch in function.body.block.ops:
            if isinstance(dispatch, DispatchOp):
                _adopt_operand_layouts(dispatch)


class _Demands:
    """What every engine wants of its operands and results."""

    def __init__(self, function: FuncOp, target: Target):
        self.dispatches = [op for op in function.body.block.ops if isinstance(op, DispatchOp)]
        self._wanted = {d: _wanted(d, target) for d in self.dispatches if d.engine_name != CPU}

    def of_use(self, use: Use) -> tuple[bool, LayoutAttr | None]:
        """Whether a use demands a layout, and which."""
        if isinstance(use.operation, ReturnOp):
            return True, None
        if is_external(use.operation):
            return True, None
        wanted = self._wanted.get(use.operation) if isinstance(use.operation, DispatchOp) else None
        return (False, None) if wanted is None else (True, wanted[use.index])

    def choose(self, dispatch: DispatchOp) -> LayoutAttr | None:
        """The layout of a dispatch's result: its engine's, else the one most readers want."""
        if dispatch in self._wanted:
            return self._wanted[dispatch][-1]
        if is_external(dispatch):
            return None
        votes = Counter(layout for demanded, layout in map(self.of_use, dispatch.results_[0].uses) if demanded)
        return max(votes, key=lambda layout: (votes[layout], str(layout))) if votes else None


def _wanted(dispatch: DispatchOp, target: Target) -> tuple[LayoutAttr | None, ...]:
    """The layouts of an engine's kernel: those of a hand-written plan, else those that dispatch counted on."""
    counted = dispatch.attributes.pop(LAYOUTS, None)
    if isinstance(counted, ArrayAttr) and dispatch.plan is None:
        return tuple(layout if isinstance(layout, LayoutAttr) else None for layout in counted)
    engine, workload = target.engine(dispatch.engine_name), block_workload(dispatch.body.block)
    if isinstance(dispatch.plan, PlanAttr) and dispatch.plan.mapping.data in engine.mappings(workload):
        workload = replace(workload, mapping=dispatch.plan.mapping.data)
    return tuple(map(layout_attr, engine.layouts(workload)))


def is_external(op: Operation) -> bool:
    """Whether an op is a kernel given as C: it runs on the CPU, but knows row-major tensors only."""
    return isinstance(op, DispatchOp) and any(isinstance(inner, ExternalOp) for inner in op.body.block.ops)


def _convert_uses(value: SSAValue, demands: _Demands, names: Iterator[str], always: bool) -> None:
    """Give each use that demands another layout a converted copy; one copy for each layout.

    ``always``: copy even if the layout fits, for values the engines cannot reach (the caller's buffers).
    """
    converted: dict[LayoutAttr | None, SSAValue] = {}
    for use in list(value.uses):
        demanded, layout = demands.of_use(use)
        if not demanded or isinstance(use.operation, ReturnOp):
            continue
        if layout == layout_of(value.type) and (not always or is_external(use.operation)):
            continue
        if layout not in converted:
            converted[layout] = _conversion(value, layout, names)
        use.operation.operands[use.index] = converted[layout]


def _conversion(
    value: SSAValue, layout: LayoutAttr | None, names: Iterator[str], before: Operation | None = None
) -> SSAValue:
    """A CPU kernel after the value's definition (or before an op) that copies it into another layout."""
    assert isinstance(value.type, TensorType)
    block = Block(arg_types=[value.type])
    convert = ConvertLayoutOp(block.args[0], with_layout(value.type, layout))
    if (name := tensor_name(value)) is not None:
        convert.attributes[NAME] = name
    computed = value.owner.yielded[0].owner if isinstance(value.owner, DispatchOp) else None
    if isinstance(computed, Operation):
        convert.attributes |= {key: a for key, a in computed.attributes.items() if key in (TURNED, MIRRORED)}
    block.add_ops([convert, YieldOp(convert.result)])
    owner = value.owner
    point = InsertPoint.at_start(owner) if isinstance(owner, Block) else InsertPoint.after(owner)
    if before is not None:
        point = InsertPoint.before(before)
    dispatch = DispatchOp(CPU, next(names), [value], block, [convert.result.type])
    Rewriter.insert_op(dispatch, point)
    return dispatch.results_[0]


def tensor_name(value: SSAValue) -> StringAttr | None:
    """The ONNX name of a tensor of ``@main``: an argument's attribute or that of the op that computes it."""
    owner = value.owner
    if isinstance(owner, DispatchOp):
        inner = owner.yielded[0].owner
        name = inner.attributes.get(NAME) if isinstance(inner, Operation) else None
        return name if isinstance(name, StringAttr) else None
    function = owner.parent_op()
    if isinstance(owner, Block) and isinstance(function, FuncOp) and function.arg_attrs is not None:
        name = function.arg_attrs.data[owner.args.index(value)].data.get(NAME)
        return name if isinstance(name, StringAttr) else None
    return None


def _unused_names(function: FuncOp) -> Iterator[str]:
    """Names of kernels that a function has not yet."""
    taken = {op.kernel.data for op in function.body.block.ops if isinstance(op, DispatchOp)}
    return (name for number in count() if (name := f"cpu_convert_layout_{number}") not in taken)


def _set_result_layout(dispatch: DispatchOp, layout: LayoutAttr | None) -> None:
    (yielded,), (result,) = dispatch.yielded, dispatch.results_
    if yielded.owner is dispatch.body.block:
        raise HtvmError(f"kernel '{dispatch.kernel.data}' yields its argument; run canonicalize first")
    assert isinstance(yielded.type, TensorType)
    Rewriter.replace_value_with_new_type(yielded, with_layout(yielded.type, layout))
    assert isinstance(result.type, TensorType)
    Rewriter.replace_value_with_new_type(result, with_layout(result.type, layout))


def _detach_results(function: FuncOp, names: Iterator[str], direct: bool) -> None:
    """Make every returned value one that a kernel (of the CPU, unless ``direct``) writes for the caller alone."""
    last = function.body.block.last_op
    assert isinstance(last, ReturnOp)
    for index, value in enumerate(list(last.operands)):
        owner = value.owner
        alone = isinstance(owner, DispatchOp) and (direct or owner.engine_name == CPU) and value.has_one_use()
        if not alone or layout_of(value.type) is not None:
            last.operands[index] = _conversion(value, None, names, before=last)


def _adopt_operand_layouts(dispatch: DispatchOp) -> None:
    for argument, operand in zip(dispatch.body.block.args, dispatch.inputs, strict=True):
        Rewriter.replace_value_with_new_type(argument, operand.type)
