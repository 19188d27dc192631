"""Where a token comes from: functions hand what is in flight to one another."""

from __future__ import annotations

from collections.abc import Iterator

from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import CallOp, FuncOp, ReturnOp
from xdsl.ir import BlockArgument, Operation, SSAValue

from htvm_ir.dialects.accel import JobTokenType, PreparedType
from htvm_ir.dialects.dma import TokenType


def is_token(value: SSAValue) -> bool:
    """Whether a value stands for something in flight or made ready; it has no form in C."""
    return isinstance(value.type, JobTokenType | PreparedType | TokenType)


def origin(token: SSAValue, module: ModuleOp) -> Operation | None:
    """The op that starts what a token stands for, in whichever function it is; None if nobody does."""
    if isinstance(token, BlockArgument):
        function = token.owner.parent_op()
        calls = [op for op in module.walk() if isinstance(op, CallOp)]
        passed = [c.arguments[token.index] for c in calls if _callee(c, module) is function and function is not None]
        return origin(passed[0], module) if passed else None
    if not isinstance(token.owner, CallOp):
        return token.owner if isinstance(token.owner, Operation) else None
    callee = _callee(token.owner, module)
    end = None if callee is None else callee.body.block.last_op
    pairs = zip(token.owner.results, end.arguments, strict=True) if isinstance(end, ReturnOp) else ()
    return next((origin(returned, module) for result, returned in pairs if result is token), None)


def followers(op: Operation, module: ModuleOp) -> Iterator[Operation]:
    """The ops behind one of a function's body, then those of the functions that are called after it, in that order."""
    while (following := op.next_op) is not None:
        yield following
        op = following
    function = op.parent_op()
    calls = [call for call in module.walk() if isinstance(call, CallOp) and _callee(call, module) is function]
    call: Operation | None = calls[0].next_op if calls else None
    while call is not None:
        callee = _callee(call, module) if isinstance(call, CallOp) else None
        yield from () if callee is None else callee.body.block.ops
        call = call.next_op


def _callee(call: CallOp, module: ModuleOp) -> FuncOp | None:
    name = call.callee.string_value()
    return next((f for f in module.ops if isinstance(f, FuncOp) and f.sym_name.data == name and f.body.blocks), None)
