"""The way in: inputs by position or name, named layers, and errors a user understands."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from ir_modules import Array, context, parse, random_array
from xdsl.interpreter import Interpreter
from xdsl.interpreters import register_implementations
from xdsl.utils.exceptions import InterpretationError

from htvm_ir.errors import HtvmError
from htvm_ir.interpreters.run import Runner, layers, register, run
from htvm_ir.targets.layout import Layout

TENSORS = """
func.func @main(%a: tensor<1x4xi8> {graph.name = "left", graph.aliases = ["l", "x.0"]},
                %b: tensor<1x4xi8> {graph.name = "right"}) -> tensor<1x4xi8> {
  %s = graph.add %a, %b {graph.name = "sum"} : tensor<1x4xi8>, tensor<1x4xi8> -> tensor<1x4xi32>
  %r = graph.requant "floor" %s multiplier [1] shift [1] zero_point 0 range -128 to 127
    {graph.name = "mean", graph.aliases = ["out"]} : tensor<1x4xi32> -> tensor<1x4xi8>
  func.return %r : tensor<1x4xi8>
}
"""
A, B = random_array(1, (1, 4)), random_array(2, (1, 4))
SUM = A.astype(np.int32) + B
MEAN = (SUM >> 1).astype(np.int8)


@pytest.mark.parametrize("inputs", [[A, B], {"left": A, "right": B}, {"right": B, "x.0": A}])
def test_inputs_by_position_name_or_alias(inputs: Sequence[Array] | Mapping[str, Array]):
    (result,) = run(parse(TENSORS), inputs)
    np.testing.assert_array_equal(result, MEAN)


def test_layers_has_every_name():
    named = layers(parse(TENSORS), [A, B])
    assert set(named) == {"left", "l", "x.0", "right", "sum", "mean", "out"}
    for name, value in {"l": A, "right": B, "sum": SUM, "mean": MEAN, "out": MEAN}.items():
        np.testing.assert_array_equal(named[name], value)


def test_outputs_do_not_alias_inputs():
    text = "func.func @main(%a: tensor<2xi8>) -> tensor<2xi8> { func.return %a : tensor<2xi8> }"
    given = np.array([1, 2], np.int8)
    (result,) = run(parse(text), [given])
    result[0] = 9
    assert given[0] == 1


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([A], r"expected 2 inputs \(left, right\), got 1"),
        ([A, B, B], "expected 2 inputs"),
        ({"left": A}, "input 'right' is missing; the inputs are: left, right"),
        ({"left": A, "right": B, "more": B}, "unknown input 'more'; the inputs are: left, right"),
        ([A, B[:, :3]], r"input 'right' must be int8 \[1, 4\], got int8 \[1, 3\]"),
        ([A, B.astype(np.float32)], r"input 'right' must be int8 \[1, 4\], got float32 \[1, 4\]"),
    ],
)
def test_wrong_inputs_are_explained(inputs: Any, message: str):
    with pytest.raises(HtvmError, match=message):
        run(parse(TENSORS), inputs)


@pytest.mark.parametrize("text", ["builtin.module {}", "func.func private @main() -> ()", '"test.op"() : () -> ()'])
def test_a_module_without_main_is_explained(text: str):
    with pytest.raises(HtvmError, match="the module has no function @main with a body"):
        run(parse(text), [])


def test_an_argument_that_is_no_array_is_explained():
    with pytest.raises(HtvmError, match="argument 0 of type i32 is neither a tensor nor a buffer"):
        run(parse("func.func @main(%a: i32) { func.return }"), [])


def test_another_function_can_be_entered():
    text = TENSORS.replace("@main", "@other")
    np.testing.assert_array_equal(run(parse(text), [A, B], function="other")[0], MEAN)


def test_an_op_without_meaning_is_named():
    with pytest.raises(InterpretationError, match=r"interpretation function for op test\.op"):
        run(parse('func.func @main() { "test.op"() : () -> () func.return }'), [])


DISPATCH = """
func.func @main(%in: memref<1x4xi8> {{graph.name = "in"}},
                %out: memref<1x16xi8> {{graph.name = "out", accel.output}}) {{
  %m = memref.alloc() : memref<1x8xi32, "L2">
  accel.dispatch @digital "add" ins(%in : memref<1x4xi8>) outs(%m : memref<{middle}xi32, "L2">) {{
  ^bb0(%x: tensor<1x4xi8>):
    %s = graph.add %x, %x {{graph.name = "twice"}} : tensor<1x4xi8>, tensor<1x4xi8>
      -> tensor<1x4xi32, #accel.layout<0, 1 : 8>>
    accel.yield %s : tensor<1x4xi32, #accel.layout<0, 1 : 8>>
  }}
  accel.dispatch @cpu "requant" ins(%m : memref<1x8xi32, "L2">) outs(%out : memref<1x16xi8>) {{
  ^bb0(%x: tensor<1x4xi32, #accel.layout<0, 1 : 8>>):
    %c = accel.convert_layout %x : tensor<1x4xi32, #accel.layout<0, 1 : 8>> to tensor<1x4xi32>
    %r = graph.requant "floor" %c multiplier [1] shift [2] zero_point 0 range -128 to 127
      : tensor<1x4xi32> -> tensor<1x4xi8, #accel.layout<0, 1 : 16 xor 3>>
    accel.yield %r : tensor<1x4xi8, #accel.layout<0, 1 : 16 xor 3>>
  }}
  func.return
}}
"""


def test_dispatches_on_buffers_pack_and_unpack():
    seen: dict[str, Array] = {}
    (result,) = run(parse(DISPATCH.format(middle="1x8")), {"in": A}, capture=seen.__setitem__)
    twice = 2 * A.astype(np.int32)
    np.testing.assert_array_equal(seen["twice"], twice)
    expected = Layout((0, 1), (1, 16), 3).pack((twice >> 2).astype(np.int8))
    np.testing.assert_array_equal(result, expected.reshape(1, 16))


def test_a_buffer_of_another_size_than_its_layout_is_caught():
    text = DISPATCH.format(middle="1x8").replace("1x8xi32", "1x9xi32")
    with pytest.raises(InterpretationError, match=r"a tensor of \[1, 4\] takes 8 elements, its buffer has 9"):
        run(parse(text), [A])


def test_register_replaces_upstreams_functions():
    module = parse(TENSORS)
    interpreter = Interpreter(module)
    register_implementations(interpreter, context())
    register(interpreter)
    np.testing.assert_array_equal(interpreter.call_op("main", (A, B))[0], MEAN)


def test_a_prepared_module_runs_fast():
    runner = Runner(parse(TENSORS))
    runner.run([A, B])
    start = time.perf_counter()
    for _ in range(50):
        runner.run([A, B])
    # About 0.3 ms each; the bound leaves room for a busy machine.
    assert (time.perf_counter() - start) / 50 < 0.01
