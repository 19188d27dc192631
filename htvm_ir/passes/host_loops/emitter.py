"""Builds loops and arithmetic: known numbers stay Python integers, all else is placed as far out as it can be."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from xdsl.builder import Builder
from xdsl.dialects import arith, memref, scf
from xdsl.dialects.builtin import IndexType, IntegerAttr, IntegerType, MemRefType, Signedness, i32
from xdsl.ir import Attribute, Block, Operation, SSAValue
from xdsl.rewriter import InsertPoint

Value = SSAValue | int
"""A number known now, or one known when the kernel runs."""

BinaryOp = Callable[[SSAValue, SSAValue], Operation]


@dataclass
class _Scope:
    """One block being filled, and the pure values that already exist in it."""

    builder: Builder
    known: dict[Hashable, SSAValue] = field(default_factory=dict[Hashable, SSAValue])


class Emitter:
    """Inserts ops before ``anchor``.

    A pure op goes to the end of the outermost open block that has all its operands, and is built once there. This is
    sound because a loop is appended to its block only after its body is complete.
    """

    def __init__(self, anchor: Operation):
        self._scopes = [_Scope(Builder(InsertPoint.before(anchor)))]
        self._levels: dict[SSAValue, int] = {}
        self._computations: list[Operation] = []

    def constant(self, value: int, type_: Attribute | None = None) -> SSAValue:
        """A number as a value of ``type_``, index by default."""
        type_ = type_ or IndexType()
        assert isinstance(type_, IndexType | IntegerType)
        if isinstance(type_, IntegerType) and type_.signedness.data == Signedness.UNSIGNED:
            # Constants of arith are signless.
            wide = self.constant(value, i32)
            return self.pure(("cut", type_), (wide,), lambda: arith.TruncIOp(wide, type_))
        return self.pure(("constant", value, type_), (), lambda: arith.ConstantOp(IntegerAttr(value, type_)))

    def pure(
        self,
        key: Hashable,
        operands: Sequence[SSAValue],
        build: Callable[[], Operation],
        hint: str | None = None,
    ) -> SSAValue:
        """The result of an op without side effects, which ``key`` and ``operands`` determine."""
        level = max((self._levels.get(operand, 0) for operand in operands), default=0)
        scope = self._scopes[level]
        full_key = (key, *operands)
        if full_key not in scope.known:
            result = self._computation(build(), scope).results[0]
            result.name_hint = hint
            self._levels[result] = level
            scope.known[full_key] = result
        return scope.known[full_key]

    def _binary(self, build: BinaryOp, lhs: Value, rhs: Value, hint: str | None) -> SSAValue:
        known = lhs if isinstance(lhs, SSAValue) else rhs
        type_ = known.type if isinstance(known, SSAValue) else IndexType()
        a, b = (v if isinstance(v, SSAValue) else self.constant(v, type_) for v in (lhs, rhs))
        return self.pure(build, (a, b), lambda: build(a, b), hint)

    def add(self, lhs: Value, rhs: Value, hint: str | None = None) -> Value:
        """lhs + rhs."""
        match lhs, rhs:
            case int(), int():
                return lhs + rhs
            case 0, _:
                return rhs
            case _, 0:
                return lhs
            case _, int() if rhs < 0:
                return self._binary(arith.SubiOp, lhs, -rhs, hint)
            case _:
                return self._binary(arith.AddiOp, lhs, rhs, hint)

    def sub(self, lhs: Value, rhs: Value, hint: str | None = None) -> Value:
        """lhs - rhs."""
        if isinstance(rhs, int):
            return self.add(lhs, -rhs, hint)
        return self._binary(arith.SubiOp, lhs, rhs, hint)

    def mul(self, lhs: Value, rhs: Value, hint: str | None = None) -> Value:
        """lhs * rhs."""
        match lhs, rhs:
            case int(), int():
                return lhs * rhs
            case (0, _) | (_, 0):
                return 0
            case 1, _:
                return rhs
            case _, 1:
                return lhs
            case _:
                return self._binary(arith.MuliOp, lhs, rhs, hint)

    def div(self, lhs: Value, rhs: Value, hint: str | None = None) -> Value:
        """lhs / rhs towards zero; rhs is positive."""
        if rhs == 1:
            return lhs
        if isinstance(lhs, int) and isinstance(rhs, int):
            return lhs // rhs if lhs >= 0 else -(-lhs // rhs)
        return self._binary(arith.DivSIOp, lhs, rhs, hint)

    def rem(self, lhs: Value, rhs: int, hint: str | None = None) -> Value:
        """lhs mod rhs; lhs is not negative, rhs is positive."""
        if rhs == 1:
            return 0
        return lhs % rhs if isinstance(lhs, int) else self._binary(arith.RemSIOp, lhs, rhs, hint)

    def max(self, lhs: Value, rhs: Value, hint: str | None = None) -> Value:
        """The larger one."""
        if isinstance(lhs, int) and isinstance(rhs, int):
            return max(lhs, rhs)
        return self._binary(arith.MaxSIOp, lhs, rhs, hint)

    def min(self, lhs: Value, rhs: Value, hint: str | None = None) -> Value:
        """The smaller one."""
        if isinstance(lhs, int) and isinstance(rhs, int):
            return min(lhs, rhs)
        return self._binary(arith.MinSIOp, lhs, rhs, hint)

    def xor(self, lhs: Value, rhs: int, hint: str | None = None) -> Value:
        """lhs ^ rhs."""
        if rhs == 0:
            return lhs
        return lhs ^ rhs if isinstance(lhs, int) else self._binary(arith.XOrIOp, lhs, rhs, hint)

    def bit_and(self, lhs: SSAValue, rhs: Value, hint: str | None = None) -> SSAValue:
        """lhs & rhs."""
        return self._binary(arith.AndIOp, lhs, rhs, hint)

    def shift_right(self, lhs: SSAValue, rhs: Value, hint: str | None = None) -> SSAValue:
        """lhs / 2**rhs, rounded down."""
        return lhs if rhs == 0 else self._binary(arith.ShRSIOp, lhs, rhs, hint)

    def unsigned_shift_right(self, lhs: SSAValue, rhs: Value, hint: str | None = None) -> SSAValue:
        """The bits of lhs, shifted; zeros come in."""
        return self._binary(arith.ShRUIOp, lhs, rhs, hint)

    def shift_left(self, lhs: Value, rhs: SSAValue, hint: str | None = None) -> SSAValue:
        """lhs * 2**rhs."""
        return self._binary(arith.ShLIOp, lhs, rhs, hint)

    def compare(self, predicate: str, lhs: SSAValue, rhs: Value) -> SSAValue:
        """An i1; ``predicate`` is one of arith.cmpi's words."""
        other = rhs if isinstance(rhs, SSAValue) else self.constant(rhs, lhs.type)
        return self.pure(predicate, (lhs, other), lambda: arith.CmpiOp(lhs, other, predicate))

    def select(self, condition: SSAValue, yes: SSAValue, no: SSAValue, hint: str | None = None) -> SSAValue:
        """condition ? yes : no."""
        return self.pure("select", (condition, yes, no), lambda: arith.SelectOp(condition, yes, no), hint)

    def cast(self, value: SSAValue, type_: IntegerType, hint: str | None = None) -> SSAValue:
        """The value as another integer type: extended by its own signedness, or cut."""
        source = value.type
        assert isinstance(source, IntegerType)
        if source.width == type_.width:
            return value
        if isinstance(value.owner, arith.ConstantOp) and isinstance(value.owner.value, IntegerAttr):
            return self.constant(value.owner.value.value.data, type_)
        build: Callable[[SSAValue, IntegerType], Operation] = arith.ExtSIOp
        if type_.width.data < source.width.data:
            build = arith.TruncIOp
        elif source.signedness.data == Signedness.UNSIGNED:
            build = arith.ExtUIOp
        return self.pure((build, type_), (value,), lambda: build(value, type_), hint)

    def index_to(self, value: SSAValue, type_: IntegerType, hint: str) -> SSAValue:
        """An index as a number."""
        return self.pure(("index", type_), (value,), lambda: arith.IndexCastOp(value, type_), hint)

    def to_index(self, value: SSAValue, hint: str) -> SSAValue:
        """A number as an index."""
        return self.pure("to_index", (value,), lambda: arith.IndexCastOp(value, IndexType()), hint)

    def load(self, buffer: SSAValue, indices: Sequence[Value], hint: str, constant: bool = False) -> SSAValue:
        """An element of a memref; of a ``constant`` one it is loaded once, where its indices are known."""
        at = [i if isinstance(i, SSAValue) else self.constant(i) for i in indices]
        if constant:
            return self.pure("load", (buffer, *at), lambda: memref.LoadOp.get(buffer, at), hint)
        load = self._computation(memref.LoadOp.get(buffer, at), self._scopes[-1])
        return self._defined_here(load.results[0], hint)

    def store(self, value: SSAValue, buffer: SSAValue, indices: Sequence[Value]) -> None:
        """Write an element of a memref."""
        at = [i if isinstance(i, SSAValue) else self.constant(i) for i in indices]
        self._scopes[-1].builder.insert(memref.StoreOp.get(value, buffer, at))

    def global_(self, symbol: str, type_: MemRefType[Attribute], hint: str) -> SSAValue:
        """The address of a ``memref.global``."""
        return self.pure(("global", symbol), (), lambda: memref.GetGlobalOp(symbol, type_), hint)

    def loop(self, low: Value, high: Value, hint: str, body: Callable[[Value], None]) -> None:
        """Run ``body`` for low <= i < high."""

        def step(i: Value, _carried: SSAValue | None) -> None:
            body(i)

        self._for(low, high, hint, None, step)

    def reduce(
        self, low: Value, high: Value, hint: str, start: SSAValue, body: Callable[[Value, SSAValue], SSAValue]
    ) -> SSAValue:
        """``acc = start``, then ``acc = body(i, acc)`` for low <= i < high."""

        def step(i: Value, carried: SSAValue | None) -> SSAValue:
            assert carried is not None
            return body(i, carried)

        result = self._for(low, high, hint, start, step)
        assert result is not None
        return result

    def _for(
        self,
        low: Value,
        high: Value,
        hint: str,
        start: SSAValue | None,
        body: Callable[[Value, SSAValue | None], SSAValue | None],
    ) -> SSAValue | None:
        if isinstance(low, int) and isinstance(high, int) and high - low == 1:
            return body(low, start)
        first, end, step = (v if isinstance(v, SSAValue) else self.constant(v) for v in (low, high, 1))
        carried = [] if start is None else [start]
        block = Block(arg_types=[IndexType(), *(v.type for v in carried)])
        block.args[0].name_hint = hint
        with self._inside(block):
            argument = None if start is None else self._defined_here(block.args[1], "acc")
            result = body(self._defined_here(block.args[0], hint), argument)
            block.add_op(scf.YieldOp(*([] if result is None else [result])))
        op = scf.ForOp(first, end, step, carried, block)
        if start is None:
            self._scopes[-1].builder.insert(op)
            return None
        return self._defined_here(self._computation(op, self._scopes[-1]).results[0], "acc")

    def if_else(
        self, condition: SSAValue, yes: Callable[[], SSAValue], no: Callable[[], SSAValue], hint: str
    ) -> SSAValue:
        """``yes()`` where the condition holds, else ``no()``; of the other nothing that touches memory runs."""
        then, otherwise = Block(), Block()
        types: list[Attribute] = []
        for block, branch in ((then, yes), (otherwise, no)):
            with self._inside(block):
                block.add_op(scf.YieldOp(value := branch()))
            types.append(value.type)
        op = scf.IfOp(condition, types[:1], [then], [otherwise])
        return self._defined_here(self._computation(op, self._scopes[-1]).results[0], hint)

    def remove_unused(self) -> None:
        """Erase what nothing reads in the end: a clamp may leave nothing of a sum, a group of one axis no quotient."""
        for op in reversed(self._computations):
            # What was inside an erased loop has no block any more.
            if op.parent is not None and all(result.first_use is None for result in op.results):
                op.detach()
                op.erase()

    def _computation(self, op: Operation, scope: _Scope) -> Operation:
        """Insert an op that matters for its results only."""
        self._computations.append(op)
        return scope.builder.insert(op)

    @contextmanager
    def _inside(self, block: Block) -> Generator[None]:
        self._scopes.append(_Scope(Builder(InsertPoint.at_end(block))))
        yield
        self._scopes.pop()

    def _defined_here(self, value: SSAValue, hint: str | None) -> SSAValue:
        value.name_hint = hint
        self._levels[value] = len(self._scopes) - 1
        return value
