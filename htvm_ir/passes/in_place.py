"""Kernels that may write their result over an operand that dies there, and what that saves the memory plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from xdsl.dialects.arith import ConstantOp
from xdsl.dialects.func import CallOp, FuncOp
from xdsl.dialects.memref import AllocOp

from htvm_ir.dialects import graph
from htvm_ir.dialects.accel import DispatchOp, YieldOp
from htvm_ir.dialects.attributes import integers, is_integers, values
from htvm_ir.memory.problem import Buffer
from htvm_ir.passes.lifetimes import Timeline

MAY_OVERWRITE = "accel.may_overwrite"
"""Attribute of a kernel function: the arguments over which it may write its last one, from the same address on."""

OVERWRITES = "accel.overwrites"
"""Unit attribute of a kernel function that really does so under the memory plan."""

POINTWISE = (graph.AddOp, graph.SubOp, graph.MulOp, graph.RequantOp, graph.LookupOp)
"""Ops whose element needs no elements of its operands but those at the same index."""


def allow(function: FuncOp, arguments: Sequence[int]) -> None:
    """Note that a kernel may write its last argument over these, if there are any."""
    if arguments:
        function.attributes[MAY_OVERWRITE] = integers(arguments)


def pointwise_arguments(dispatch: DispatchOp) -> list[int]:
    """The arguments that a kernel's loops may overwrite: each element is read only for the one at its own address."""
    (result,) = dispatch.yielded
    ops = [op for op in dispatch.body.block.ops if not isinstance(op, ConstantOp | YieldOp)]
    if not all(isinstance(op, POINTWISE) for op in ops):
        return []
    return [argument.index for argument in dispatch.body.block.args if argument.type == result.type]


def _allowed(function: FuncOp) -> tuple[int, ...]:
    attribute = function.attributes.get(MAY_OVERWRITE)
    return values(attribute) if is_integers(attribute) else ()


@dataclass(frozen=True)
class Shared:
    """A kernel that may write its result over an operand that it is the last to use."""

    kernel: FuncOp
    before: AllocOp
    after: AllocOp


def candidates(timeline: Timeline, buffers: Mapping[AllocOp, Buffer]) -> Iterator[Shared]:
    """In program order, one for each call that may."""
    kernels = {f.sym_name.data: f for f in timeline.functions}
    for call in [op for f in timeline.functions for op in f.body.block.ops if isinstance(op, CallOp)]:
        kernel = kernels.get(call.callee.string_value())
        after = call.arguments[-1].owner if call.arguments else None
        if kernel is None or not isinstance(after, AllocOp) or after not in buffers:
            continue
        start, end = timeline.at(call)
        for before in (call.arguments[index].owner for index in _allowed(kernel)):
            lives = buffers.get(before) if isinstance(before, AllocOp) else None
            if isinstance(before, AllocOp) and lives and (lives.end, buffers[after].start) == (end, start):
                yield Shared(kernel, before, after)
                break


def merged(buffers: Mapping[AllocOp, Buffer], shared: Sequence[Shared]) -> dict[AllocOp, Buffer]:
    """The buffers with one for each chain of allocations that share their bytes: as large as the largest of them."""
    result = dict(buffers)
    for pair in shared:
        first, last = result[pair.before], result[pair.after]
        whole = replace(first, size=max(first.size, last.size), end=last.end)
        result |= {op: whole for op, buffer in result.items() if buffer is first}
        result[pair.after] = whole
    return result
