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


class Flow:
    """Through which functions of a module tokens go."""

    def __init__(self, module: ModuleOp):
        self._functions = {f.sym_name.data: f for f in module.ops if isinstance(f, FuncOp) and f.body.blocks}
        self._calls: dict[Operation, CallOp] = {}
        for call in (op for op in module.walk() if isinstance(op, CallOp)):
            if (callee := self._callee(call)) is not None:
                self._calls.setdefault(callee, call)

    def origin(self, token: SSAValue) -> Operation | None:
        """The op that starts what a token stands for, in whichever function it is; None if nobody does."""
        if isinstance(token, BlockArgument):
            call = self._call_of(token.owner.parent_op())
            return None if call is None else self.origin(call.arguments[token.index])
        if not isinstance(token.owner, CallOp):
            return token.owner if isinstance(token.owner, Operation) else None
        callee = self._callee(token.owner)
        end = None if callee is None else callee.body.block.last_op
        pairs = zip(token.owner.results, end.arguments, strict=True) if isinstance(end, ReturnOp) else ()
        return next((self.origin(returned) for result, returned in pairs if result is token), None)

    def followers(self, op: Operation) -> Iterator[Operation]:
        """The ops behind one of a function's body, then those of the functions that are called after it, in order."""
        while (following := op.next_op) is not None:
            yield following
            op = following
        first = self._call_of(op.parent_op())
        call = None if first is None else first.next_op
        while call is not None:
            callee = self._callee(call) if isinstance(call, CallOp) else None
            yield from () if callee is None else callee.body.block.ops
            call = call.next_op

    def _call_of(self, function: Operation | None) -> CallOp | None:
        return None if function is None else self._calls.get(function)

    def _callee(self, call: CallOp) -> FuncOp | None:
        return self._functions.get(call.callee.string_value())
