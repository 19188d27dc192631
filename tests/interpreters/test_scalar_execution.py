"""``arith`` wraps as C's fixed-width integers do."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_modules import parse
from xdsl.interpreter import Interpreter
from xdsl.utils.exceptions import InterpretationError

from htvm_ir.interpreters.run import register

WIDTHS = (8, 16, 32, 64)
FEW = settings(deadline=None, max_examples=40)
WORDS = st.integers(-(2**63), 2**63 - 1)


def call(text: str, *arguments: int | float) -> Any:
    """The result of the function ``@f``."""
    interpreter = Interpreter(parse(text))
    register(interpreter)
    (result,) = interpreter.call_op("f", arguments)
    return result


def on_two(name: str, width: int) -> str:
    """A function that applies an op to two integers."""
    word = f"i{width}"
    head = f"func.func @f(%a: {word}, %b: {word}) -> {word}"
    return f"{head} {{ %r = arith.{name} %a, %b : {word} func.return %r : {word} }}"


def wrapped(value: int, width: int, kind: str = "int") -> int:
    """The number that the low bits are in C."""
    bits = np.array([value % 2**width], dtype=f"uint{width}")
    return int(bits.view(f"{kind}{width}")[0])


def truncated(a: int, b: int) -> int:
    """Exact for 32 bits: a double holds every quotient closely enough to truncate."""
    return int(a / b)


BINARY: dict[str, tuple[str, Callable[[int, int], int]]] = {
    "addi": ("int", operator.add),
    "subi": ("int", operator.sub),
    "muli": ("int", operator.mul),
    "andi": ("int", operator.and_),
    "ori": ("int", operator.or_),
    "xori": ("int", operator.xor),
    "minsi": ("int", min),
    "maxsi": ("int", max),
    "minui": ("uint", min),
    "maxui": ("uint", max),
}


@pytest.mark.parametrize("name", BINARY)
@FEW
@given(st.sampled_from(WIDTHS), WORDS, WORDS)
def test_binary_ops_wrap(name: str, width: int, a: int, b: int):
    kind, function = BINARY[name]
    text = on_two(name, width)
    expected = function(wrapped(a, width, kind), wrapped(b, width, kind))
    assert call(text, wrapped(a, width), wrapped(b, width)) == wrapped(expected, width)


DIVISIONS: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "divsi": ("int", truncated),
    "remsi": ("int", np.fmod),
    "divui": ("uint", operator.floordiv),
    "remui": ("uint", operator.mod),
}


@pytest.mark.parametrize("name", DIVISIONS)
@FEW
@given(st.sampled_from((8, 16, 32)), WORDS, WORDS)
def test_division_truncates(name: str, width: int, a: int, b: int):
    kind, function = DIVISIONS[name]
    divisor = wrapped(b, width, kind) or 3
    text = on_two(name, width)
    expected = int(function(wrapped(a, width, kind), divisor))
    assert call(text, wrapped(a, width), wrapped(divisor, width)) == wrapped(expected, width)


@pytest.mark.parametrize("name", DIVISIONS)
def test_division_by_zero_is_caught(name: str):
    text = on_two(name, 32)
    with pytest.raises(InterpretationError, match="division by zero"):
        call(text, 1, 0)


@pytest.mark.parametrize("name", ["shli", "shrsi", "shrui"])
@FEW
@given(st.sampled_from(WIDTHS), WORDS, st.data())
def test_shifts(name: str, width: int, a: int, data: st.DataObject):
    by = data.draw(st.integers(0, width - 1))
    text = on_two(name, width)
    value = wrapped(a, width, "uint" if name == "shrui" else "int")
    expected = value << by if name == "shli" else value >> by
    assert call(text, wrapped(a, width), by) == wrapped(expected, width)


@pytest.mark.parametrize("name", ["shli", "shrsi", "shrui"])
@pytest.mark.parametrize("by", [32, -1])
def test_shifts_out_of_range_are_caught(name: str, by: int):
    text = on_two(name, 32)
    with pytest.raises(InterpretationError, match=f"arith.{name} of 32 bits by {by}"):
        call(text, 1, by)


@FEW
@given(WORDS, st.sampled_from([(8, 32), (8, 64), (16, 32), (32, 64)]))
def test_extension_and_truncation(a: int, widths: tuple[int, int]):
    narrow, wide = widths
    head = f"func.func @f(%a: i{narrow}) -> i{wide}"
    for name, kind in (("extsi", "int"), ("extui", "uint")):
        text = f"{head} {{ %r = arith.{name} %a : i{narrow} to i{wide} func.return %r : i{wide} }}"
        assert call(text, wrapped(a, narrow)) == wrapped(a, narrow, kind)
    head = f"func.func @f(%a: i{wide}) -> i{narrow}"
    text = f"{head} {{ %r = arith.trunci %a : i{wide} to i{narrow} func.return %r : i{narrow} }}"
    assert call(text, wrapped(a, wide)) == wrapped(a, narrow)


@FEW
@given(WORDS)
def test_index_cast_is_signed(a: int):
    there = "func.func @f(%a: i8) -> index { %r = arith.index_cast %a : i8 to index func.return %r : index }"
    back = "func.func @f(%a: index) -> i32 { %r = arith.index_cast %a : index to i32 func.return %r : i32 }"
    assert call(there, wrapped(a, 8)) == wrapped(a, 8)
    assert call(back, a) == wrapped(a, 32)


PREDICATES: dict[str, tuple[str, Callable[[int, int], bool]]] = {
    "eq": ("int", operator.eq),
    "ne": ("int", operator.ne),
    "slt": ("int", operator.lt),
    "sle": ("int", operator.le),
    "sgt": ("int", operator.gt),
    "sge": ("int", operator.ge),
    "ult": ("uint", operator.lt),
    "ule": ("uint", operator.le),
    "ugt": ("uint", operator.gt),
    "uge": ("uint", operator.ge),
}


@pytest.mark.parametrize("predicate", PREDICATES)
@pytest.mark.parametrize(("a", "b"), [(-1, 1), (1, -1), (5, 5), (-128, 127), (3, 4)])
def test_comparison_and_selection(predicate: str, a: int, b: int):
    kind, function = PREDICATES[predicate]
    text = (
        "func.func @f(%a: i8, %b: i8) -> i8 {"
        f"%c = arith.cmpi {predicate}, %a, %b : i8 %r = arith.select %c, %a, %b : i8 func.return %r : i8 }}"
    )
    assert call(text, a, b) == (a if function(wrapped(a, 8, kind), wrapped(b, 8, kind)) else b)


def test_booleans_extend_to_one_and_minus_one():
    text = (
        "func.func @f(%a: i8) -> i32 {{ %c = arith.cmpi eq, %a, %a : i8 %t = arith.constant true"
        " %b = arith.andi %c, %t : i1 %r = arith.{} %b : i1 to i32 func.return %r : i32 }}"
    )
    assert call(text.format("extui"), 3) == 1
    assert call(text.format("extsi"), 3) == -1


def test_constants_are_signed():
    text = "func.func @f() -> i8 { %r = arith.constant 200 : i8 func.return %r : i8 }"
    assert call(text) == -56


def test_floats_stay_upstreams():
    half = "%c = arith.constant 0.5 : f32 %r = arith.mulf %a, %c : f32"
    text = f"func.func @f(%a: f32) -> f32 {{ {half} func.return %r : f32 }}"
    assert call(text, 3.0) == 1.5


def test_a_loop_over_a_buffer():
    text = """
    func.func @f(%n: index) -> i32 {
      %zero = arith.constant 0 : index
      %one = arith.constant 1 : index
      %start = arith.constant 0 : i32
      %m = memref.alloc() : memref<10xi32>
      scf.for %i = %zero to %n step %one {
        %v = arith.index_cast %i : index to i32
        memref.store %v, %m[%i] : memref<10xi32>
      }
      %r = scf.for %i = %zero to %n step %one iter_args(%s = %start) -> (i32) {
        %v = memref.load %m[%i] : memref<10xi32>
        %t = arith.addi %s, %v : i32
        scf.yield %t : i32
      }
      func.return %r : i32
    }
    """
    assert call(text, 10) == 45
    with pytest.raises(InterpretationError, match=r"index \[10\] is outside \[10\]"):
        call(text, 11)
