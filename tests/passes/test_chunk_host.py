"""``chunk-host``: kernels computed in chunks, in any order, write every byte of their output and none beside it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from host_kernels import Array, Builder, Case, Traced, module_of
from host_native import call, guarded, load
from host_strategies import fewer_bits, layout, rows_layout
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from test_lower_host import stored
from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, ModuleOp, StringAttr
from xdsl.dialects.func import CallOp, FuncOp, ReturnOp
from xdsl.dialects.memref import SubviewOp, ViewOp
from xdsl.ir import Block, Region, SSAValue

from htvm_ir.backend.c.package import render
from htvm_ir.dialects import graph
from htvm_ir.dialects.accel import DispatchOp, kernels
from htvm_ir.passes.chunk_host import ChunkHost
from htvm_ir.passes.chunks import CHANNELS, ROWS, chunk_step, set_chunks
from htvm_ir.passes.host_prices import host_cycles
from htvm_ir.passes.lower_host import LowerHost
from htvm_ir.passes.workloads import TYPES, main_function
from htvm_ir.targets.layout import Layout
from htvm_ir.targets.registry import load_target

KERNELS = 16
PLAIN = Layout.row_major(4)
DIGITAL = Layout((0, 1, 2, 3), (1, 1, 1, 16), xor=3)


def reverse(builder: Builder, x: Traced, axes: tuple[int, ...]) -> Traced:
    return builder.add(graph.ReverseOp(x.value, axes), np.ascontiguousarray(np.flip(x.array, axes)))


@st.composite
def chunked(draw: Any, name: str) -> Case:
    """Bytes that are moved or lose bits, between maps of which both, one or none has rows of words; cut somewhere."""
    columns = draw(st.sampled_from([1, 3, 4, 6, 8, 12, 16]))
    shape = (draw(st.sampled_from([1, 1, 2])), draw(st.integers(1, 6)), draw(st.integers(2, 9)), columns)
    x: Array = np.random.default_rng(draw(st.integers(0, 99))).integers(-128, 128, shape).astype(np.int8)
    axis = draw(st.sampled_from([CHANNELS, ROWS, ROWS]))

    def form() -> Layout:
        drawn = draw(st.sampled_from([PLAIN, DIGITAL, rows_layout(draw), layout(draw, shape)]))
        return drawn if drawn.stored_size(shape) % (drawn.xor + 1) == 0 else PLAIN

    source, target = form(), form()
    builder = Builder([x], [source])
    value = builder.arguments[0]
    if source == target or draw(st.booleans()):
        value = reverse(builder, value, tuple(sorted(draw(st.sets(st.integers(0, 3))) - {axis})))
    elif draw(st.booleans()):
        value = fewer_bits(draw, builder, value)
    case = builder.finish(name, value, target)
    cut(case, axis, draw(st.integers(1, 9)))
    return case


def cut(case: Case, axis: int, size: int) -> None:
    """Say that the kernel has chunks of ``size`` or a little more, as whole words want it."""
    (dispatch,) = (op for op in case.function.walk() if isinstance(op, DispatchOp))
    dispatch.kernel = StringAttr(case.name)
    case.function.attributes[TYPES] = ArrayAttr([dispatch.body.block.args[0].type, dispatch.yielded[0].type])
    step = chunk_step(dispatch, axis)
    assert step is not None
    set_chunks(dispatch, axis, -(-size // step) * step)


def in_chunks(*cases: Case) -> ModuleOp:
    """The kernels, which ``@main`` calls, after the pass."""
    module = module_of(cases)
    functions = [case.function for case in cases]
    block = Block(arg_types=[type_ for f in functions for type_ in f.function_type.inputs])
    arguments = iter(block.args)
    for function in functions:
        block.add_op(CallOp(function.sym_name.data, [next(arguments) for _ in function.args], []))
    block.add_op(ReturnOp())
    module.body.block.add_op(FuncOp("main", (block.arg_types, []), Region(block)))
    ChunkHost().apply(Context(), module)
    return module


def lowered(*cases: Case) -> tuple[ModuleOp, list[CallOp]]:
    """The chunks of all kernels as loops, and the calls of ``@main``."""
    module = in_chunks(*cases)
    LowerHost().apply(Context(), module)
    module.verify()
    return module, [op for op in main_function(module).body.block.ops if isinstance(op, CallOp)]


def part(value: SSAValue, arrays: dict[SSAValue, Array]) -> Array:
    """From where on a call's argument lies in the memory of an argument of ``@main``."""
    if not isinstance(view := value.owner, SubviewOp):
        return arrays[value]
    source = arrays[view.source]
    strides: Any = view.source.type
    offsets: Any = view.static_offsets.get_values()
    return source[sum(a * b for a, b in zip(offsets, strides.get_strides(), strict=True)) :]


def check(*cases: Case) -> None:
    """Run all chunks, the last one first; outputs, their padding, and the bytes around them are as they must be."""
    module, calls = lowered(*cases)
    main = main_function(module)
    arguments, arrays, wholes = iter(main.args), dict[SSAValue, Array](), list[Array]()
    for case in cases:
        arrays[next(arguments)] = stored(case.input_layouts[0], case.inputs[0])
        arrays[next(arguments)], whole = guarded(case.output_layout.stored_size(case.expected.shape), np.dtype(np.int8))
        wholes.append(whole)
    main.detach()
    with tempfile.TemporaryDirectory() as folder:
        library = load(render(module), Path(folder))
        for op in reversed(calls):
            parts = (part(value, arrays) for value in op.arguments)
            assert call(library, f"tvmgen_default_{op.callee.string_value()}", *parts) == 0
    for case, whole in zip(cases, wholes, strict=True):
        expected = case.output_layout.pack(case.expected)
        np.testing.assert_array_equal(whole[32:-32], expected, err_msg=str(case.function))
        assert (np.delete(whole, np.s_[32:-32]) == 85).all()


# Without shrinking: every step of it would run a C compiler.
@settings(max_examples=6, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(st.tuples(*[chunked(f"kernel{index}") for index in range(KERNELS)]))
def test_chunks_in_any_order_write_what_the_kernel_does(cases: tuple[Case, ...]) -> None:
    check(*cases)


def reversed_(name: str, shape: tuple[int, ...], axis: int, target: Layout, size: int) -> Case:
    """A row-major map in reverse order along an axis, in chunks of rows."""
    builder = Builder([np.arange(np.prod(shape)).reshape(shape).astype(np.int8)], [PLAIN])
    case = builder.finish(name, reverse(builder, builder.arguments[0], (axis,)), target)
    cut(case, ROWS, size)
    return case


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (partial(reversed_, "dense", (1, 3, 9, 32), 3, DIGITAL, 2), [True, True]),
        (partial(reversed_, "padded", (1, 3, 8, 28), 3, DIGITAL, 4), [True]),  # behind each row
        (partial(reversed_, "odd", (1, 3, 9, 30), 3, DIGITAL, 2), [False, False]),
        (partial(reversed_, "shared", (1, 4, 6, 6), 1, PLAIN, 4), [True, True]),  # words hold parts of two rows
        (partial(reversed_, "alone", (1, 4, 8, 6), 1, PLAIN, 1), [True]),  # there is no chunk of one row
        (partial(reversed_, "inside", (1, 4, 7, 6), 1, PLAIN, 2), [False, False]),  # planes begin inside a word
    ],
    ids=["dense", "padded", "odd", "shared", "alone", "inside"],
)
def test_chunks_move_words(case: Callable[[], Case], words: list[bool]) -> None:
    module, _ = lowered(case())
    functions = [op for op in module.ops if isinstance(op, FuncOp) and op.sym_name.data != "main"]
    assert [any(isinstance(op, ViewOp) for op in function.walk()) for function in functions] == words
    check(case())


def test_chunks_cost_their_share() -> None:
    case = reversed_("kernel", (1, 3, 9, 32), 3, DIGITAL, 2)
    (whole,) = (op for op in case.function.walk() if isinstance(op, DispatchOp))
    target = load_target("diana")
    cycles = host_cycles(whole, target)
    parts = [host_cycles(dispatch, target) for dispatch in kernels(in_chunks(case))]
    two, one = parts
    assert 4 * two + one == pytest.approx(cycles, rel=0.15)


def test_rows_of_words_that_begin_inside_one() -> None:
    """Four of six channels of each pixel, whose bytes change places."""
    x = np.arange(6 * 3 * 4).reshape(1, 6, 3, 4).astype(np.int8)
    channels = Layout((0, 2, 3, 1), (1, 1, 1, 1))
    builder = Builder([x], [channels])
    case = builder.finish("kernel", builder.arguments[0], Layout(channels.order, channels.multiple, xor=3))
    cut(case, CHANNELS, 4)
    check(case)
