"""``memref`` views share memory, accesses are checked, and fresh memory is poison."""

from __future__ import annotations

import numpy as np
import pytest
from ir_modules import Array, parse
from xdsl.interpreter import Interpreter
from xdsl.utils.exceptions import InterpretationError

from htvm_ir.interpreters.run import register, run

POISON = np.uint8(0xA5).view(np.int8)


def stored(body: str, shape: str = "4x6xi8", array: Array | None = None) -> Array:
    """The buffer ``%m`` after the body ran on it; zeros unless an array is given."""
    text = (
        f"func.func @main(%in: memref<{shape}>, %m: memref<{shape}> {{accel.output}}) {{{PRELUDE}{body} func.return }}"
    )
    start = np.zeros((4, 6), np.int8) if array is None else array
    (result,) = run(parse(text), [start])
    return result


PRELUDE = """
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %seven = arith.constant 7 : i8
  "memref.copy"(%in, %m) : (memref<4x6xi8>, memref<4x6xi8>) -> ()
"""
SUBVIEW = "memref<2x2xi8, strided<[6, 2], offset: 7>>"


def test_a_store_through_a_view_reaches_the_buffer():
    body = f"""
      %v = memref.subview %m[1, 1][2, 2][1, 2] : memref<4x6xi8> to {SUBVIEW}
      memref.store %seven, %v[%one, %one] : {SUBVIEW}
    """
    expected = np.zeros((4, 6), np.int8)
    expected[2, 3] = 7
    np.testing.assert_array_equal(stored(body), expected)


def test_a_view_may_drop_unit_extents():
    row = "memref<6xi8, strided<[1], offset: 12>>"
    body = f"""
      %v = memref.subview %m[2, 0][1, 6][1, 1] : memref<4x6xi8> to {row}
      memref.store %seven, %v[%one] : {row}
    """
    assert stored(body)[2].tolist() == [0, 7, 0, 0, 0, 0]


def test_offsets_may_be_operands():
    view = "memref<1x6xi8, strided<[6, 1], offset: ?>>"
    body = f"""
      %v = memref.subview %m[%one, 0][1, 6][1, 1] : memref<4x6xi8> to {view}
      memref.store %seven, %v[%zero, %one] : {view}
    """
    assert np.argwhere(stored(body)).tolist() == [[1, 1]]


def test_a_view_outside_the_buffer_is_caught():
    body = f"%v = memref.subview %m[1, 3][2, 2][1, 3] : memref<4x6xi8> to {SUBVIEW}"
    with pytest.raises(InterpretationError, match=r"the view \[1, 3\] \[2, 2\] \[1, 3\] leaves \[4, 6\]"):
        stored(body)


@pytest.mark.parametrize("index", [-1, 6])
def test_an_index_outside_is_caught(index: int):
    body = f"%i = arith.constant {index} : index memref.store %seven, %m[%zero, %i] : memref<4x6xi8>"
    with pytest.raises(InterpretationError, match=rf"index \[0, {index}\] is outside \[4, 6\]"):
        stored(body)


def test_other_extents_of_the_same_memory():
    body = """
      %flat = memref.collapse_shape %m [[0 : i64, 1 : i64]] : memref<4x6xi8> into memref<24xi8>
      memref.store %seven, %flat[%one] : memref<24xi8>
      %deep = memref.expand_shape %flat [[0 : i64, 1 : i64, 2 : i64]] output_shape [2, 3, 4]
        : memref<24xi8> into memref<2x3x4xi8>
      memref.store %seven, %deep[%one, %zero, %one] : memref<2x3x4xi8>
      %cast = "memref.cast"(%flat) : (memref<24xi8>) -> memref<24xi8>
      %rows = memref.reinterpret_cast %cast to offset: [5], sizes: [2, 2], strides: [8, 1]
        : memref<24xi8> to memref<2x2xi8, strided<[8, 1], offset: 5>>
      memref.store %seven, %rows[%one, %zero] : memref<2x2xi8, strided<[8, 1], offset: 5>>
      %words = memref.view %flat[%zero][] : memref<24xi8> to memref<6xi32>
      %word = arith.constant 67305985 : i32
      %five = arith.constant 5 : index
      memref.store %word, %words[%five] : memref<6xi32>
    """
    flat = stored(body).flatten().tolist()
    assert [i for i, v in enumerate(flat[:20]) if v == 7] == [1, 13] and flat[20:] == [1, 2, 3, 4]


def test_a_reinterpreted_buffer_stays_inside():
    body = """
      %r = memref.reinterpret_cast %m to offset: [5], sizes: [4], strides: [7]
        : memref<4x6xi8> to memref<4xi8, strided<[7], offset: 5>>
    """
    with pytest.raises(InterpretationError, match="elements 5 to 26 are outside the buffer's 24"):
        stored(body)


def test_a_view_of_bytes_stays_inside():
    body = """
      %flat = memref.collapse_shape %m [[0 : i64, 1 : i64]] : memref<4x6xi8> into memref<24xi8>
      %words = memref.view %flat[%one][] : memref<24xi8> to memref<6xi32>
    """
    with pytest.raises(InterpretationError, match="bytes 1 to 25 are outside the buffer's 24"):
        stored(body)


def test_strided_memory_has_no_flat_view():
    body = f"""
      %v = memref.subview %m[1, 1][2, 2][1, 2] : memref<4x6xi8> to {SUBVIEW}
      %f = memref.collapse_shape %v [[0 : i64, 1 : i64]] : {SUBVIEW} into memref<4xi8>
    """
    with pytest.raises(InterpretationError, match=r"no view of a buffer \[2, 2\] has the extents \[4\]"):
        stored(body)


def test_fresh_memory_is_poison():
    text = """
    func.func @main(%m: memref<2x3xi8> {accel.output}, %k: memref<2x3xi8> {accel.output}) {
      %f = memref.alloc() : memref<2x3xi8>
      "memref.copy"(%f, %m) : (memref<2x3xi8>, memref<2x3xi8>) -> ()
      memref.dealloc %f : memref<2x3xi8>
      func.return
    }
    """
    copied, never_written = run(parse(text), [])
    assert (copied == POISON).all() and (never_written == POISON).all()


GLOBALS = """
"memref.global"() <{{sym_name = "table", sym_visibility = "private", {constant} type = memref<3xi32>,
                    initial_value = {value}}}> : () -> ()
func.func @main(%m: memref<3xi32> {{accel.output}}) {{
  %g = memref.get_global @table : memref<3xi32>
  %i = arith.constant 1 : index
  {store}
  %h = memref.get_global @table : memref<3xi32>
  "memref.copy"(%h, %m) : (memref<3xi32>, memref<3xi32>) -> ()
  func.return
}}
"""
STORE = "%nine = arith.constant 9 : i32 memref.store %nine, %g[%i] : memref<3xi32>"
DENSE = "dense<[1, -2, 3]> : tensor<3xi32>"


def test_globals_hold_their_initial_value_in_every_run():
    assert run(parse(GLOBALS.format(constant="constant,", value=DENSE, store="")), [])[0].tolist() == [1, -2, 3]
    variable = parse(GLOBALS.format(constant="", value=DENSE, store=STORE))
    assert [run(variable, [])[0].tolist() for _ in range(2)] == [[1, 9, 3]] * 2
    blank = parse(GLOBALS.format(constant="", value="unit", store=STORE))
    assert run(blank, [])[0].view(np.uint8).tolist() == [0xA5] * 4 + [9, 0, 0, 0] + [0xA5] * 4


def test_a_constant_cannot_be_written():
    with pytest.raises(ValueError, match="read-only"):
        run(parse(GLOBALS.format(constant="constant,", value=DENSE, store=STORE)), [])


def test_a_name_that_is_no_global_is_caught():
    text = (
        "func.func @f() -> memref<3xi32> { %g = memref.get_global @f : memref<3xi32> func.return %g : memref<3xi32> }"
    )
    interpreter = Interpreter(parse(text))
    register(interpreter)
    with pytest.raises(InterpretationError, match=r"@f is not a memref\.global"):
        interpreter.call_op("f")


def test_types_without_numpy_counterpart_are_named():
    for element in ("i7", "bf16"):
        text = f"func.func @f() {{ %a = memref.alloc() : memref<2x{element}> func.return }}"
        interpreter = Interpreter(parse(text))
        register(interpreter)
        with pytest.raises(InterpretationError, match=f"no array can hold elements of type {element}"):
            interpreter.call_op("f")


def test_dynamic_extents_are_refused():
    text = "func.func @f(%n: index) { %a = memref.alloc(%n) : memref<?xi8> func.return }"
    interpreter = Interpreter(parse(text))
    register(interpreter)
    with pytest.raises(InterpretationError, match="has no static shape"):
        interpreter.call_op("f", (3,))
