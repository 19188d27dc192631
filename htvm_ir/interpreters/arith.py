"""Execution of ``arith``: scalars are Python integers in two's complement of their width, as in C.

Floating-point ops are upstream's. Integer ops are ours: upstream lacks extensions, truncation and minima.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from xdsl.dialects import arith
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, FloatAttr, IntegerAttr, IntegerType
from xdsl.interpreter import Interpreter, PythonValues, impl, register_impls
from xdsl.interpreters import arith as upstream
from xdsl.ir import Attribute, Operation
from xdsl.utils.exceptions import InterpretationError

from htvm_ir.interpreters.numpy_types import constant_array

Binary = Callable[[int, int], Any]


def width_of(type_: Attribute, interpreter: Interpreter) -> int:
    """Bits of an integer or index type."""
    return type_.width.data if isinstance(type_, IntegerType) else interpreter.index_bitwidth


def signed(value: int, width: int) -> int:
    """The low ``width`` bits as a two's-complement number."""
    half = 1 << (width - 1)
    return ((value + half) & ((1 << width) - 1)) - half


def unsigned(value: int, width: int) -> int:
    """The low ``width`` bits as a natural number."""
    return value & ((1 << width) - 1)


def quotient(a: int, b: int) -> int:
    """C's division, towards zero; InterpretationError for a zero divisor."""
    if b == 0:
        raise InterpretationError("division by zero")
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def remainder(a: int, b: int) -> int:
    """C's remainder, with the sign of the dividend."""
    return a - quotient(a, b) * b


COMPARISONS: tuple[Binary, ...] = (
    operator.eq,
    operator.ne,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
)
"""By predicate number; from FIRST_UNSIGNED on the operands are unsigned."""

FIRST_UNSIGNED = 6


def _binary(op_type: type[Operation], function: Binary, read: Callable[[int, int], int] = signed) -> Any:
    """An op on two integers of the result's type, read as signed or unsigned, that wraps."""

    def run(self: object, interpreter: Interpreter, op: Operation, args: tuple[Any, ...]) -> PythonValues:
        width = width_of(op.results[0].type, interpreter)
        return (signed(function(read(args[0], width), read(args[1], width)), width),)

    return impl(op_type)(run)


def _shift(op_type: type[Operation], function: Binary, read: Callable[[int, int], int] = signed) -> Any:
    """A shift; by the width or more it has no meaning in C either."""

    def run(self: object, interpreter: Interpreter, op: Operation, args: tuple[Any, ...]) -> PythonValues:
        width = width_of(op.results[0].type, interpreter)
        if not 0 <= args[1] < width:
            raise InterpretationError(f"{op.name} of {width} bits by {args[1]}")
        return (signed(function(read(args[0], width), args[1]), width),)

    return impl(op_type)(run)


def _convert(op_type: type[Operation], read: Callable[[int, int], int] = signed) -> Any:
    """A change of width: the operand's bits, read as signed or unsigned, in the result's width."""

    def run(self: object, interpreter: Interpreter, op: Operation, args: tuple[Any, ...]) -> PythonValues:
        value = read(args[0], width_of(op.operands[0].type, interpreter))
        return (signed(value, width_of(op.results[0].type, interpreter)),)

    return impl(op_type)(run)


@register_impls
class ArithFunctions(upstream.ArithFunctions):
    """Integers are kept signed; an op that is unsigned reads their bits so."""

    run_addi = _binary(arith.AddiOp, operator.add)
    run_subi = _binary(arith.SubiOp, operator.sub)
    run_muli = _binary(arith.MuliOp, operator.mul)
    run_andi = _binary(arith.AndIOp, operator.and_)
    run_ori = _binary(arith.OrIOp, operator.or_)
    run_xori = _binary(arith.XOrIOp, operator.xor)
    run_divsi = _binary(arith.DivSIOp, quotient)
    run_remsi = _binary(arith.RemSIOp, remainder)
    run_divui = _binary(arith.DivUIOp, quotient, unsigned)
    run_remui = _binary(arith.RemUIOp, remainder, unsigned)
    run_minsi = _binary(arith.MinSIOp, min)
    run_maxsi = _binary(arith.MaxSIOp, max)
    run_minui = _binary(arith.MinUIOp, min, unsigned)
    run_maxui = _binary(arith.MaxUIOp, max, unsigned)
    run_shlsi = _shift(arith.ShLIOp, operator.lshift)
    run_shrsi = _shift(arith.ShRSIOp, operator.rshift)
    run_shrui = _shift(arith.ShRUIOp, operator.rshift, unsigned)
    run_extsi = _convert(arith.ExtSIOp)
    run_extui = _convert(arith.ExtUIOp, unsigned)
    run_trunci = _convert(arith.TruncIOp)
    run_indexcast = _convert(arith.IndexCastOp)

    @impl(arith.AddUIExtendedOp)
    def run_addui_extended(
        self, interpreter: Interpreter, op: arith.AddUIExtendedOp, args: tuple[Any, ...]
    ) -> PythonValues:
        width = width_of(op.sum.type, interpreter)
        total = unsigned(args[0], width) + unsigned(args[1], width)
        return signed(total, width), total >> width != 0

    @impl(arith.ConstantOp)
    def run_constant(self, interpreter: Interpreter, op: arith.ConstantOp, args: tuple[Any, ...]) -> PythonValues:
        match op.value:
            case DenseIntOrFPElementsAttr():
                return (constant_array(op.value),)
            case IntegerAttr():
                return (signed(op.value.value.data, width_of(op.value.type, interpreter)),)
            case FloatAttr():
                return (op.value.value.data,)
            case _:
                raise InterpretationError(f"{op.name} of {op.value.name}")

    @impl(arith.CmpiOp)
    def run_cmpi(self, interpreter: Interpreter, op: arith.CmpiOp, args: tuple[Any, ...]) -> PythonValues:
        predicate = op.predicate.value.data
        read = unsigned if predicate >= FIRST_UNSIGNED else signed
        width = width_of(op.lhs.type, interpreter)
        return (COMPARISONS[predicate](read(args[0], width), read(args[1], width)),)
