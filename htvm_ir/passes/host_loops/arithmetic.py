"""Integer arithmetic: numbers known now stay Python integers and fold, all others become ``arith`` ops."""

from __future__ import annotations

from collections.abc import Callable

from xdsl.dialects import arith
from xdsl.dialects.builtin import IndexType, IntegerAttr, IntegerType, Signedness, i32
from xdsl.ir import Attribute, Operation, SSAValue

from htvm_ir.passes.host_loops.facts import constant_part, divides, range_of
from htvm_ir.passes.host_loops.placement import Placement

Value = SSAValue | int
"""A number known now, or one known when the kernel runs."""

BinaryOp = Callable[[SSAValue, SSAValue], Operation]


class Arithmetic(Placement):
    """Builds each computation once, as far out as it can be."""

    def __init__(self, anchor: Operation):
        super().__init__(anchor)
        self.loops: dict[SSAValue, range] = {}

    def range_of(self, value: Value) -> tuple[int, int] | None:
        """The least and the greatest value of an index, if that is known."""
        return range_of(value, self.loops)

    def constant(self, value: int, type_: Attribute | None = None) -> SSAValue:
        """A number as a value of ``type_``, index by default."""
        type_ = type_ or IndexType()
        assert isinstance(type_, IndexType | IntegerType)
        if isinstance(type_, IntegerType) and type_.signedness.data == Signedness.UNSIGNED:
            # Constants of arith are signless.
            wide = self.constant(value, i32)
            return self.pure(("cut", type_), (wide,), lambda: arith.TruncIOp(wide, type_))
        return self.pure(("constant", value, type_), (), lambda: arith.ConstantOp(IntegerAttr(value, type_)))

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
            case int(), _:
                return self.add(rhs, lhs, hint)
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
        if isinstance(lhs, SSAValue) and isinstance(rhs, int) and (parts := self._multiple(lhs, rhs)) is not None:
            whole = self._binary(arith.DivSIOp, parts[0], rhs, hint)
            return self.add(whole, parts[1] // rhs, hint)
        return self._binary(arith.DivSIOp, lhs, rhs, hint)

    def rem(self, lhs: Value, rhs: int, hint: str | None = None) -> Value:
        """lhs mod rhs; lhs is not negative, rhs is positive."""
        if rhs == 1:
            return 0
        if isinstance(lhs, int):
            return lhs % rhs
        parts = self._multiple(lhs, rhs)
        return self._binary(arith.RemSIOp, lhs, rhs, hint) if parts is None else parts[1] % rhs

    def _multiple(self, value: SSAValue, divisor: int) -> tuple[SSAValue, int] | None:
        """A value as a multiple of ``divisor`` and a number known now, if it is that."""
        base, known = constant_part(value)
        return (base, known) if divides(divisor, base, self.loops) else None

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

    def xor(self, base: Value, step: int, rhs: int, hint: str | None = None) -> Value:
        """(base + step) ^ rhs, folded where ``base`` is a multiple of ``rhs + 1``, a power of two."""
        if rhs == 0 or divides(rhs + 1, base, self.loops):
            return self.add(base, step ^ rhs, hint)
        at = self.add(base, step, hint)
        return at ^ rhs if isinstance(at, int) else self._binary(arith.XOrIOp, at, rhs, hint)

    def wrapping_add(self, lhs: SSAValue, rhs: SSAValue, hint: str | None = None) -> SSAValue:
        """lhs + rhs of numbers whose sum may reach into the sign bit: as unsigned numbers."""
        return self.pure("wrapping_add", (lhs, rhs), lambda: arith.AddUIExtendedOp(lhs, rhs), hint)

    def bit_and(self, lhs: SSAValue, rhs: Value, hint: str | None = None) -> SSAValue:
        """lhs & rhs."""
        return self._binary(arith.AndIOp, lhs, rhs, hint)

    def bit_or(self, lhs: SSAValue, rhs: Value, hint: str | None = None) -> SSAValue:
        """lhs | rhs."""
        return self._binary(arith.OrIOp, lhs, rhs, hint)

    def bit_xor(self, lhs: SSAValue, rhs: Value, hint: str | None = None) -> SSAValue:
        """The bits in which lhs and rhs differ."""
        return self._binary(arith.XOrIOp, lhs, rhs, hint)

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
