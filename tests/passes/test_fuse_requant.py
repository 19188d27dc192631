"""``fuse-requant``: fewer requantisations, the same bits for every value their input can hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lowering import of_type
from networks import Array, apply, parse
from xdsl.dialects.builtin import IntegerType, ModuleOp, StringAttr, TensorType
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.utils.comparisons import signed_value_range

from htvm_ir.arithmetic import ROUNDINGS
from htvm_ir.dialects import graph
from htvm_ir.interpreters.run import run
from htvm_ir.passes.fuse_requant import FuseRequant, only_clips
from htvm_ir.passes.workloads import main_function

SHAPE = (1, 2, 16, 16)
"""Room for every int8 in each of two channels."""

Draw = Callable[[st.SearchStrategy[Any]], Any]


def module_of(operations: list[Operation], argument: Block, results: list[SSAValue]) -> ModuleOp:
    argument.add_ops([*operations, ReturnOp(*results)])
    types = [value.type for value in results]
    module = ModuleOp([FuncOp("main", (argument.arg_types, types), Region(argument))])
    module.verify()
    return module


def requant(draw: Draw, x: SSAValue) -> graph.RequantOp:
    """Any requantisation; most of them only clip, and many clip nothing."""
    bits = draw(st.sampled_from([8, 8, 16, 32]))
    low, end = signed_value_range(bits)
    scales = draw(st.integers(0, 3)) == 0
    rounding = draw(st.sampled_from(ROUNDINGS if scales else [r for r in ROUNDINGS if r != "gemmlowp"]))
    channels = graph.shape_of(x)[1] if draw(st.booleans()) else 1
    first = 31 if rounding == "gemmlowp" else 0
    factor, shift = (st.integers(-300, 300), st.integers(first, first + 9)) if scales else (st.just(1), st.just(0))
    lo = draw(st.sampled_from([low, low, -7, 0]))
    return graph.RequantOp(
        x,
        IntegerType(bits),
        rounding=rounding,
        multiplier=[draw(factor) for _ in range(channels)],
        shift=[draw(shift) for _ in range(channels)],
        zero_point=draw(st.sampled_from([0, 0, 0, 5, -90])),
        lo=lo,
        hi=draw(st.sampled_from([end - 1, end - 1, max(lo, 90)])),
    )


def step(draw: Draw, x: SSAValue) -> Operation:
    """A requantisation, or an op that keeps the range."""
    kind = draw(st.sampled_from(["requant"] * 5 + ["reshape", "max", "average"]))
    if kind == "requant":
        return requant(draw, x)
    if kind == "reshape":
        return graph.ReshapeOp(x, graph.shape_of(x))
    return graph.PoolOp(kind, x, (2, 2), (1, 1), (1, 0, 0, 1), "half_up")


@st.composite
def chains(draw: Draw) -> ModuleOp:
    """A chain of steps; now and then a tensor inside is an output as well."""
    block = Block(arg_types=[TensorType(IntegerType(draw(st.sampled_from([8, 32]))), SHAPE)])
    x: SSAValue = block.args[0]
    operations: list[Operation] = []
    results: list[SSAValue] = []
    for number in range(draw(st.integers(2, 6))):
        operations.append(step(draw, x))
        x = operations[-1].results[0]
        operations[-1].attributes[graph.NAME] = StringAttr(f"t{number}")
        if draw(st.integers(0, 5)) == 0:
            results.append(x)
    return module_of(operations, block, [*results, x])


def inputs_of(module: ModuleOp) -> list[Array]:
    """Every int8, or int32 of all magnitudes and both ends."""
    (type_,) = main_function(module).function_type.inputs
    assert isinstance(type_, TensorType)
    if type_.element_type == IntegerType(8):
        return [np.arange(512).astype(np.int8).reshape(SHAPE)]
    random = np.random.default_rng(0)
    values = (random.integers(-(2**31), 2**31, SHAPE) >> random.integers(0, 31, SHAPE)).astype(np.int32)
    values[0, 0, 0, :2] = -(2**31), 2**31 - 1
    return [values]


def requants(module: ModuleOp) -> list[graph.RequantOp]:
    return of_type(main_function(module).body.block, graph.RequantOp)


@settings(deadline=None, max_examples=60)
@given(chains())
def test_the_result_stays(module: ModuleOp) -> None:
    inputs = inputs_of(module)
    expected = run(module, inputs)
    apply(module, FuseRequant())
    for result, wanted in zip(run(module, inputs), expected, strict=True):
        assert result.dtype == wanted.dtype
        np.testing.assert_array_equal(result, wanted)


@settings(deadline=None, max_examples=40)
@given(chains())
def test_nothing_is_left_to_do(module: ModuleOp) -> None:
    """A clip stays only where there is no requantisation of its own before it, and a second run has no work."""
    apply(module, FuseRequant())
    for op in requants(module):
        before = op.input.owner
        assert not (only_clips(op) and isinstance(before, graph.RequantOp) and before.result.has_one_use())
    text = str(module)
    assert str(apply(module, FuseRequant())) == text


@settings(deadline=None, max_examples=20)
@given(chains())
def test_the_last_name_stays(module: ModuleOp) -> None:
    returned = main_function(module).body.block.last_op
    assert returned is not None
    owner = returned.operands[-1].owner
    assert isinstance(owner, Operation)
    name = owner.attributes[graph.NAME]
    apply(module, FuseRequant())
    owner = returned.operands[-1].owner
    assert not isinstance(owner, Operation) or owner.attributes[graph.NAME] == name


def one_requant(element: str, properties: str) -> ModuleOp:
    return parse(f"""
      func.func @main(%x: tensor<1x4x{element}>) -> tensor<1x4x{element}> {{
        %y = graph.requant "half_up" %x {properties} : tensor<1x4x{element}> -> tensor<1x4x{element}>
        func.return %y : tensor<1x4x{element}>
      }}
    """)


@pytest.mark.parametrize(
    ("element", "span", "left"),
    [
        ("i8", "range -128 to 127", 0),
        ("i8", "range -127 to 127", 1),
        ("i8", "range -128 to 126", 1),
        ("ui8", "range 0 to 255", 0),
        ("ui8", "range 0 to 127", 1),
        ("i16", "range -128 to 127", 1),
    ],
)
def test_a_clip_to_all_a_type_holds_goes(element: str, span: str, left: int) -> None:
    module = one_requant(element, f"multiplier [1] shift [0] zero_point 0 {span}")
    assert len(requants(apply(module, FuseRequant()))) == left


@pytest.mark.parametrize(
    "scale", ["multiplier [2] shift [0]", "multiplier [1] shift [1]", "multiplier [1, 1, 1, 2] shift [0]"]
)
def test_scalings_stay_as_they_are(scale: str) -> None:
    module = one_requant("i8", f"{scale} zero_point 0 range -128 to 127")
    text = str(module)
    assert str(apply(module, FuseRequant())) == text
