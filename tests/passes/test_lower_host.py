"""``lower-host`` against ``htvm_ir.arithmetic``: the loops, as compiled C, compute the same integers."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from host_kernels import Builder, Case, module_of
from host_strategies import kernel
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from native import call, guarded, load
from xdsl.context import Context
from xdsl.dialects import memref, scf
from xdsl.dialects.builtin import ModuleOp, i8
from xdsl.dialects.func import FuncOp

from htvm_ir import arithmetic
from htvm_ir.backend.c.package import render
from htvm_ir.dialects import accel, graph
from htvm_ir.errors import HtvmError
from htvm_ir.passes.lower_host import LowerHost
from htvm_ir.targets.layout import Layout

ROW_MAJOR = Layout.row_major(4)
KERNELS = 16
"""Kernels of one C file: the compiler's start costs more than they do."""


def lowered(*cases: Case) -> ModuleOp:
    """The module of the kernels after the pass."""
    module = module_of(cases)
    module.verify()
    LowerHost().apply(Context(), module)
    module.verify()
    return module


def check(cases: list[Case]) -> None:
    """Compile and run all kernels; outputs, their padding, and the bytes around them are as they must be."""
    with tempfile.TemporaryDirectory() as folder:
        library = load(render(lowered(*cases)), Path(folder))
        for case in cases:
            packed = [layout.pack(a) for layout, a in zip(case.input_layouts, case.inputs, strict=True)]
            expected = case.output_layout.pack(case.expected)
            output, whole = guarded(expected.size, expected.dtype)
            assert call(library, f"tvmgen_default_{case.function.sym_name.data}", *packed, output) == 0
            np.testing.assert_array_equal(output, expected, err_msg=str(case.function))
            assert (np.delete(whole, np.s_[32:-32]) == 85).all()


@settings(max_examples=8, deadline=None, phases=[Phase.generate])
@given(st.tuples(*[kernel(f"kernel{index}") for index in range(KERNELS)]))
def test_compiled_loops_compute_the_reference(cases: tuple[Case, ...]) -> None:
    check(list(cases))


def scaling(name: str, x: np.ndarray, rounding: str, multiplier: list[int], shift: list[int]) -> Case:
    """A requantisation to 32 bits that clamps nothing away but what does not fit."""
    builder = Builder([x], [ROW_MAJOR])
    lo, hi = -(2**31), 2**31 - 1
    op = graph.RequantOp(
        builder.arguments[0].value,
        builder.arguments[0].value.type.element_type,  # pyright: ignore
        rounding=rounding,
        multiplier=multiplier,
        shift=shift,
        lo=lo,
        hi=hi,
    )
    result = arithmetic.requantize(x, rounding, multiplier, shift, 0, lo, hi, np.dtype(np.int32))
    return builder.finish(name, builder.add(op, result), ROW_MAJOR)
