"""Builds loops, loads and stores."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xdsl.dialects import memref, scf
from xdsl.dialects.builtin import IndexType, MemRefType
from xdsl.ir import Attribute, Block, Operation, SSAValue

from htvm_ir.passes.host_loops.arithmetic import Arithmetic, Value

Carried = tuple[SSAValue, ...]
"""What a loop hands from one step to the next."""

Step = Callable[[Value, Carried], Carried]
"""The body of a loop: from the index and what is carried to what the next step gets."""


class Emitter(Arithmetic):
    """Arithmetic, and what has an order: loops and memory."""

    def __init__(self, anchor: Operation):
        super().__init__(anchor)
        self._unrolled: dict[SSAValue, tuple[SSAValue, int]] = {}

    def load(self, buffer: SSAValue, indices: Sequence[Value], hint: str, constant: bool = False) -> SSAValue:
        """An element of a memref; of a ``constant`` one it is loaded once, where its indices are known."""
        at = [self._index(i) for i in indices]
        if constant:
            return self.pure("load", (buffer, *at), lambda: memref.LoadOp.get(buffer, at), hint)
        return self.compute_here(memref.LoadOp.get(buffer, at), hint)

    def store(self, value: SSAValue, buffer: SSAValue, indices: Sequence[Value]) -> None:
        """Write an element of a memref."""
        self.insert_here(memref.StoreOp.get(value, buffer, [self._index(i) for i in indices]))

    def global_(self, symbol: str, type_: MemRefType[Attribute], hint: str) -> SSAValue:
        """The address of a ``memref.global``."""
        return self.pure(("global", symbol), (), lambda: memref.GetGlobalOp(symbol, type_), hint)

    def loop(self, low: int, high: int, hint: str, body: Callable[[Value], None], unroll: int = 1) -> None:
        """Run ``body`` for low <= i < high, ``unroll`` times in a row where there are that many left."""

        def step(i: Value, _carried: Carried) -> Carried:
            body(i)
            return ()

        self._steps(low, high, hint, (), step, unroll)

    def loop_over_groups(self, low: int, high: int, hint: str, body: Callable[[list[Value]], None], size: int) -> None:
        """Run ``body`` on ``size`` indices at a time, then on single ones where fewer are left."""
        middle = low + (high - low) // size * size

        def whole(i: Value, _carried: Carried) -> Carried:
            body([self._shifted(i, distance, hint) for distance in range(size)])
            return ()

        if middle - low > size:
            self._for(low, middle, size, hint, (), whole)
        elif middle > low:
            whole(low, ())
        self.loop(middle, high, hint, lambda i: body([i]))

    def reduce(
        self,
        low: Value,
        high: Value,
        hint: str,
        start: SSAValue,
        body: Callable[[Value, SSAValue], SSAValue],
        unroll: int = 1,
    ) -> SSAValue:
        """``acc = start``, then ``acc = body(i, acc)`` for low <= i < high; ``unroll`` as in :meth:`loop`."""

        def step(i: Value, carried: Carried) -> Carried:
            return (body(i, carried[0]),)

        if isinstance(low, int) and isinstance(high, int):
            return self._steps(low, high, hint, (start,), step, unroll)[0]
        return self._for(low, high, 1, hint, (start,), step)[0]

    def fold(self, low: int, high: int, hint: str, start: Carried, body: Step) -> Carried:
        """As :meth:`reduce`, of several values at once."""
        return self._steps(low, high, hint, start, body, 1)

    def split(self, index: Value) -> tuple[Value, int]:
        """The part of an index that is the same in all copies of an unrolled body, and the distance from it."""
        if isinstance(index, int):
            return 0, index
        return self._unrolled.get(index, (index, 0))

    def if_else(
        self, condition: SSAValue, yes: Callable[[], SSAValue], no: Callable[[], SSAValue], hint: str
    ) -> SSAValue:
        """``yes()`` where the condition holds, else ``no()``; of the other nothing that touches memory runs."""
        then, otherwise = Block(), Block()
        types: list[Attribute] = []
        for block, branch in ((then, yes), (otherwise, no)):
            with self.inside(block):
                block.add_op(scf.YieldOp(value := branch()))
            types.append(value.type)
        return self.compute_here(scf.IfOp(condition, types[:1], [then], [otherwise]), hint)

    def _index(self, value: Value) -> SSAValue:
        return value if isinstance(value, SSAValue) else self.constant(value)

    def _steps(self, low: int, high: int, hint: str, carried: Carried, body: Step, unroll: int) -> Carried:
        """A loop of whole groups, then what is left; a single step needs no loop."""

        def group(i: Value, carried: Carried) -> Carried:
            for distance in range(unroll):
                carried = body(self._shifted(i, distance, hint), carried)
            return carried

        middle = low + (high - low) // unroll * unroll
        if middle - low > unroll:
            carried = self._for(low, middle, unroll, hint, carried, group)
        else:
            middle = low
        if unroll == 1 and high - middle > 1:
            return self._for(middle, high, 1, hint, carried, body)
        for i in range(middle, high):
            carried = body(i, carried)
        return carried

    def _shifted(self, index: Value, distance: int, hint: str) -> Value:
        moved = self.add(index, distance, hint)
        if distance and isinstance(moved, SSAValue) and isinstance(index, SSAValue):
            self._unrolled[moved] = (index, distance)
        return moved

    def _for(self, low: Value, high: Value, step: int, hint: str, start: Carried, body: Step) -> Carried:
        bounds = self._index(low), self._index(high), self._index(step)
        block = Block(arg_types=[IndexType(), *(v.type for v in start)])
        index, *carried = block.args
        if isinstance(low, int) and isinstance(high, int):
            self.loops[index] = range(low, high, step)
        with self.inside(block, [hint, *["acc" for _ in carried]]):
            block.add_op(scf.YieldOp(*body(index, tuple(carried))))
        op = scf.ForOp(*bounds, start, block)
        if not start:
            self.insert_here(op)
            return ()
        return self.compute_all_here(op, "acc")
