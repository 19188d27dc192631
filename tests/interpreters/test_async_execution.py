"""Transfers and jobs: both orders agree on correct programs, and misuse of a token is caught."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytest
from ir_modules import parse
from xdsl.utils.exceptions import InterpretationError

from htvm_ir.interpreters.machine import Order
from htvm_ir.interpreters.run import run
from htvm_ir.targets.target import Bytes, Engine, Job, Memory, Target

ORDERS: tuple[Order, ...] = ("eager", "lazy")


class Adder:
    """An engine whose job writes the sum of its inputs' bytes, its constants' first byte and the field ``bias``."""

    name = "adder"

    def overwrites(self, job: Job) -> frozenset[int]:
        return frozenset((0, 1)) if job["bias"] == 2 else frozenset()

    def execute(self, job: Job, inputs: Sequence[Bytes], constants: Bytes, output: Bytes) -> None:
        total = sum((x.astype(np.int64) for x in inputs), np.zeros(output.size, np.int64))
        output[...] = (total + job["bias"] + (int(constants[0]) if constants.size else 0)) % 256


TARGET = Target("toy", "", 1, (Memory("L1", 64, 1),), (), (cast(Engine, Adder()),), "L2")

PROGRAM = """
builtin.module attributes {{accel.arena = {{L1 = 24 : i64, L2 = 8 : i64}}}} {{
  "memref.global"() <{{sym_name = "five", sym_visibility = "private", constant, type = memref<1xi8, "L1">,
                      initial_value = dense<5> : tensor<1xi8>}}> : () -> ()
  func.func private @kernel(%in: memref<2x4xi8>, %out: memref<2x4xi8>) {{
    %a = memref.alloc() {{accel.offset = 0 : i64}} : memref<8xi8, "L1">
    %b = memref.alloc() {{accel.offset = {second} : i64}} : memref<8xi8, "L1">
    %c = memref.get_global @five : memref<1xi8, "L1">
    %t = dma.start @load %in to %a : memref<2x4xi8> to memref<8xi8, "L1">
    {body}
    func.return
  }}
  func.func @main(%in: memref<2x4xi8>, %out: memref<2x4xi8> {{accel.output}}) {{
    func.call @kernel(%in, %out) : (memref<2x4xi8>, memref<2x4xi8>) -> ()
    func.return
  }}
}}
"""
LAUNCH = (
    'accel.launch @adder "sum" ins(%a, %a : memref<8xi8, "L1">, memref<8xi8, "L1">)'
    ' constants(%c : memref<1xi8, "L1">) outs(%b : memref<8xi8, "L1">) job {bias = 2 : i64}'
)
STORE = 'dma.start @store %b to %out : memref<8xi8, "L1"> to memref<2x4xi8>'
CORRECT = f"dma.wait %t\n%j = {LAUNCH}\naccel.await %j\n%s = {STORE}\ndma.wait %s"
X = np.arange(-4, 4, dtype=np.int8).reshape(2, 4)


def execute(body: str, order: Order, second: int = 8, **options: Any) -> np.ndarray[Any, Any]:
    (result,) = run(parse(PROGRAM.format(body=body, second=second)), [X], order=order, target=TARGET, **options)
    return result


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("overlay", [False, True])
def test_a_correct_program_has_one_result(order: Order, overlay: bool):
    np.testing.assert_array_equal(execute(CORRECT, order, overlay=overlay), 2 * X + 7)


def test_a_missing_dependency_shows_as_a_difference():
    late = CORRECT.replace("dma.wait %t\n", "") + "\ndma.wait %t"
    assert not np.array_equal(execute(late, "eager"), execute(late, "lazy"))


def test_a_job_read_too_early_shows_as_a_difference():
    late = CORRECT.replace("accel.await %j\n", "") + "\naccel.await %j"
    assert not np.array_equal(execute(late, "eager"), execute(late, "lazy"))


@pytest.mark.parametrize("order", ORDERS)
def test_a_transfer_never_waited_for_is_a_leak(order: Order):
    with pytest.raises(InterpretationError, match=r"@kernel returns without waiting for dma\.start @load"):
        execute(CORRECT.replace("dma.wait %t\n", ""), order)


@pytest.mark.parametrize("order", ORDERS)
def test_a_job_never_awaited_is_a_leak(order: Order):
    with pytest.raises(InterpretationError, match=r'@kernel returns without waiting for accel\.launch @adder "sum"'):
        execute(CORRECT.replace("accel.await %j\n", ""), order)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("again", "name"), [("dma.wait %t", "dma.start @load"), ("accel.await %j", "accel.launch")])
def test_a_second_wait_is_caught(order: Order, again: str, name: str):
    with pytest.raises(InterpretationError, match=f"the token of {name}.* is waited for twice"):
        execute(f"{CORRECT}\n{again}", order)


def test_overlapping_offsets_alias():
    # The transfer of a second tile over a live one shows in the result.
    body = CORRECT.replace(
        "%j =", '%u = dma.start @load %in to %b : memref<2x4xi8> to memref<8xi8, "L1">\ndma.wait %u\n%j ='
    )
    good = execute(body, "eager", overlay=True)
    np.testing.assert_array_equal(good, 2 * X + 7)
    over = execute(body, "eager", second=0, overlay=True)
    np.testing.assert_array_equal(over, good)  # the same bytes
    other = body.replace("dma.start @load %in to %b", "dma.start @load %out to %b")
    assert not np.array_equal(execute(other, "eager", second=0, overlay=True), good)
    np.testing.assert_array_equal(execute(body, "eager", second=4), good)


def test_a_job_writes_over_its_inputs_only_where_the_engine_allows_it():
    np.testing.assert_array_equal(execute(CORRECT, "eager", second=0, overlay=True), 2 * X + 7)
    with pytest.raises(InterpretationError, match=r'launch @adder "sum" writes over its input 0'):
        execute(CORRECT, "eager", second=4, overlay=True)
    with pytest.raises(InterpretationError, match=r'launch @adder "sum" writes over its input 0'):
        execute(CORRECT.replace("bias = 2", "bias = 3"), "eager", second=0, overlay=True)


def test_an_offset_outside_the_arena_is_caught():
    with pytest.raises(InterpretationError, match="bytes 17 to 25 are outside the 24 of L1's arena"):
        execute(CORRECT, "eager", second=17, overlay=True)


def test_a_memory_without_arena_is_caught():
    module = parse(PROGRAM.format(body=CORRECT, second=8))
    del module.attributes["accel.arena"]
    with pytest.raises(InterpretationError, match=r"accel\.arena has no size for memory 'L1'"):
        run(module, [X], overlay=True, target=TARGET)


def test_an_unplanned_buffer_has_no_place_in_an_arena():
    module = parse(PROGRAM.format(body=CORRECT, second=8).replace("{accel.offset = 0 : i64}", ""))
    with pytest.raises(InterpretationError, match=r"without memory or accel\.offset; plan the memory first"):
        run(module, [X], overlay=True, target=TARGET)


def test_an_engine_the_target_lacks_is_named():
    with pytest.raises(InterpretationError, match="target 'toy' has no engine 'digital'"):
        execute(CORRECT.replace("@adder", "@digital"), "eager")


def test_a_module_without_target_cannot_run_jobs():
    with pytest.raises(InterpretationError, match=r"the module has no accel\.target to run jobs on"):
        run(parse(PROGRAM.format(body=CORRECT, second=8)), [X])


def test_a_strided_operand_is_refused():
    body = (
        "dma.wait %t\n"
        '%v = memref.subview %a[0][4][2] : memref<8xi8, "L1"> to memref<4xi8, strided<[2]>, "L1">\n'
        '%w = memref.subview %b[0][4][1] : memref<8xi8, "L1"> to memref<4xi8, strided<[1]>, "L1">\n'
        '%j = accel.launch @adder "sum" ins(%v : memref<4xi8, strided<[2]>, "L1">)'
        ' outs(%w : memref<4xi8, strided<[1]>, "L1">) job {bias = 0 : i64}\n'
        "accel.await %j"
    )
    with pytest.raises(InterpretationError, match="an engine needs contiguous operands"):
        execute(body, "eager")


def test_a_transfer_follows_row_major_order_on_both_sides():
    body = (
        "dma.wait %t\n"
        "%v = memref.subview %in[0, 1][2, 2][1, 1] : memref<2x4xi8> to memref<2x2xi8, strided<[4, 1], offset: 1>>\n"
        '%w = memref.subview %b[0][4][2] : memref<8xi8, "L1"> to memref<4xi8, strided<[2]>, "L1">\n'
        '%z = dma.start @load %in to %b : memref<2x4xi8> to memref<8xi8, "L1">\n'
        "dma.wait %z\n"
        "%u = dma.start @load %v to %w"
        ' : memref<2x2xi8, strided<[4, 1], offset: 1>> to memref<4xi8, strided<[2]>, "L1">\n'
        f"dma.wait %u\n%s = {STORE}\ndma.wait %s"
    )
    expected = X.flatten()
    expected[::2] = X[:, 1:3].flatten()
    for order in ORDERS:
        np.testing.assert_array_equal(execute(body, order).flatten(), expected)
