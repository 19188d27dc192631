"""Where ops go: pure ones as far out as their operands allow, all others where they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from xdsl.builder import Builder
from xdsl.ir import Block, Operation, SSAValue
from xdsl.rewriter import InsertPoint


@dataclass
class Scope:
    """One block being filled, and the pure values that already exist in it."""

    builder: Builder
    known: dict[Hashable, SSAValue] = field(default_factory=dict[Hashable, SSAValue])


class Placement:
    """Inserts ops before ``anchor``.

    A pure op goes to the end of the outermost open block that has all its operands, and is built once there. This is
    sound because a loop is appended to its block only after its body is complete.
    """

    def __init__(self, anchor: Operation):
        self._scopes = [Scope(Builder(InsertPoint.before(anchor)))]
        self._levels: dict[SSAValue, int] = {}
        self._computations: list[Operation] = []

    def pure(
        self,
        key: Hashable,
        operands: Sequence[SSAValue],
        build: Callable[[], Operation],
        hint: str | None = None,
    ) -> SSAValue:
        """The result of an op without side effects, which ``key`` and ``operands`` determine."""
        level = max((self._levels.get(operand, 0) for operand in operands), default=0)
        known = self._scopes[level].known
        full_key = (key, *operands)
        if full_key not in known:
            known[full_key] = self._compute(build(), level, hint)[0]
        return known[full_key]

    def remove_unused(self) -> None:
        """Erase what nothing reads in the end: a clamp may leave nothing of a sum, a group of one axis no quotient."""
        for op in reversed(self._computations):
            # What was inside an erased loop has no block any more.
            if op.parent is not None and all(result.first_use is None for result in op.results):
                op.detach()
                op.erase()

    def compute_here(self, op: Operation, hint: str | None) -> SSAValue:
        """The result of an op that reads memory or contains others: where the code is now."""
        return self.compute_all_here(op, hint)[0]

    def compute_all_here(self, op: Operation, hint: str | None) -> tuple[SSAValue, ...]:
        """All results of such an op."""
        return self._compute(op, len(self._scopes) - 1, hint)

    def insert_here(self, op: Operation) -> None:
        """Insert an op that matters for what it does."""
        self._scopes[-1].builder.insert(op)

    @contextmanager
    def inside(self, block: Block, hints: Sequence[str] = ()) -> Generator[None]:
        """Fill a block; ``hints`` name its arguments."""
        self._scopes.append(Scope(Builder(InsertPoint.at_end(block))))
        for argument, hint in zip(block.args, hints, strict=True):
            self._define(argument, len(self._scopes) - 1, hint)
        yield
        self._scopes.pop()

    def _compute(self, op: Operation, level: int, hint: str | None) -> tuple[SSAValue, ...]:
        self._computations.append(op)
        self._scopes[level].builder.insert(op)
        for result in op.results:
            self._define(result, level, hint)
        return tuple(op.results)

    def _define(self, value: SSAValue, level: int, hint: str | None) -> None:
        value.name_hint = hint
        self._levels[value] = level
