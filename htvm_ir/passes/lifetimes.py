"""When the ops of a program run: one count of steps for ``@main`` and the kernels it calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xdsl.dialects.builtin import MemRefType
from xdsl.dialects.func import CallOp, FuncOp, ReturnOp
from xdsl.ir import Operation, SSAValue

from htvm_ir.dialects.accel import JobTokenType, PrepareOp
from htvm_ir.dialects.buffers import users
from htvm_ir.dialects.dma import TokenType
from htvm_ir.passes.workloads import KERNEL

MAIN = "main"

Span = tuple[int, int]
"""The first step of something, and the first step after it."""


class Timeline:
    """The steps of every op that stands directly in a function's body.

    A call takes the steps of the kernel's ops. A kernel that is called several times is alive from its first call to
    its last; one that nobody calls runs alone, after everything else.
    """

    def __init__(self, functions: Sequence[FuncOp]):
        self.functions = functions
        self._spans: dict[Operation, Span] = {}
        self._kernels = {f.sym_name.data: f for f in functions if f.sym_name.data != MAIN}
        self._parts = {name: f for name, f in self._kernels.items() if KERNEL in f.attributes}
        self._calls: dict[str, list[CallOp]] = {}
        self.end = 0
        for main in (f for f in functions if f.sym_name.data == MAIN):
            self._run(main)
        for kernel in self._kernels.values():
            if kernel.body.block.last_op not in self._spans:
                self._run(kernel)

    def span(self, value: SSAValue, inside: bool = False) -> Span | None:
        """From the first to the last use of a buffer or a view of it, tokens of transfers and jobs included.

        inside: a part of a kernel uses what it is passed while its ops do; otherwise as long as it runs.
        """
        spans = list(self._inside(value)) if inside else [self._of(user) for user in users(value)]
        return (min(start for start, _ in spans), max(end for _, end in spans)) if spans else None

    def at(self, op: Operation) -> Span:
        """The steps of an op in a function's body."""
        return self._spans[op]

    def _run(self, function: FuncOp) -> None:
        for op in function.body.block.ops:
            callee = self._kernels.get(op.callee.string_value()) if isinstance(op, CallOp) else None
            start = self.end
            if isinstance(op, CallOp):
                self._calls.setdefault(op.callee.string_value(), []).append(op)
            if callee is None:
                self.end += 1
            else:
                self._run(callee)
            first, _ = self._spans.get(op, (start, 0))
            self._spans[op] = first, self.end

    def _inside(self, value: SSAValue) -> Iterator[Span]:
        """The steps of all uses, looking into parts of kernels and following the tokens that they return.

        What prepares a job takes a buffer's address and leaves alone what it holds; so does a view.
        """
        for use in value.uses:
            if isinstance(use.operation, PrepareOp):
                continue
            user, function = use.operation, use.operation.parent_op()
            part = self._parts.get(user.callee.string_value()) if isinstance(user, CallOp) else None
            if part is not None:
                yield from self._inside(part.args[use.index])
                continue
            if not any(isinstance(result.type, MemRefType) for result in user.results):
                yield self._of(user)
            if isinstance(user, ReturnOp) and isinstance(function, FuncOp):
                for call in self._calls.get(function.sym_name.data, ()):
                    yield from self._inside(call.results[use.index])
            for result in user.results:
                if isinstance(result.type, MemRefType | TokenType | JobTokenType):
                    yield from self._inside(result)

    def _of(self, user: Operation) -> Span:
        """The steps of the op of a function's body that holds a user."""
        while user not in self._spans:
            parent = user.parent_op()
            assert parent is not None
            user = parent
        return self._spans[user]
