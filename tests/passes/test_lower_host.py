"""``lower-host`` against ``htvm_ir.arithmetic``: the loops, as compiled C, compute the same integers."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from host_kernels import Array, Builder, Case, module_of
from host_native import call, check_warnings, guarded, load
from host_strategies import kernel, moved, pixels, wide_pool
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from xdsl.context import Context
from xdsl.dialects import memref
from xdsl.dialects.builtin import MemRefType, ModuleOp, SymbolRefAttr, UnrealizedConversionCastOp, i8, i32

from htvm_ir import arithmetic
from htvm_ir.backend.c.package import render
from htvm_ir.dialects import graph
from htvm_ir.errors import HtvmError
from htvm_ir.passes.lower_host import LowerHost
from htvm_ir.targets.layout import Layout

KERNELS = 12
"""Kernels of one C file: a compiler's start costs more than they do."""


def lowered(*cases: Case) -> ModuleOp:
    """The module of the kernels after the pass."""
    module = module_of(cases)
    module.verify()
    LowerHost().apply(Context(), module)
    module.verify()
    return module


def check(*cases: Case) -> None:
    """Compile and run all kernels; outputs, their padding, and the bytes around them are as they must be."""
    with tempfile.TemporaryDirectory() as folder:
        library = load(render(lowered(*cases)), Path(folder))
        for case in cases:
            packed = [stored(layout, a) for layout, a in zip(case.input_layouts, case.inputs, strict=True)]
            expected = case.output_layout.pack(case.expected)
            output, whole = guarded(expected.size, expected.dtype)
            assert call(library, f"tvmgen_default_{case.name}", *packed, output) == 0
            np.testing.assert_array_equal(output, expected, err_msg=str(case.function))
            assert (np.delete(whole, np.s_[32:-32]) == 85).all()


def stored(layout: Layout, array: Array) -> Array:
    """The array in its layout; what an engine leaves in the padding is anything."""
    packed, held = layout.pack(array), layout.pack(np.ones(array.shape, np.bool_))
    junk = np.random.default_rng(2).integers(-128, 128, packed.shape).astype(packed.dtype)
    return np.where(held, packed, junk)


# Without shrinking: every step of it would run a C compiler.
@settings(max_examples=5, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(st.tuples(*[kernel(f"kernel{index}") for index in range(KERNELS)]))
def test_compiled_loops_compute_the_reference(cases: tuple[Case, ...]) -> None:
    check(*cases)


@settings(max_examples=3, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(st.tuples(*[wide_pool(f"pool{index}") for index in range(2 * KERNELS)]))
def test_windows_summed_in_words(cases: tuple[Case, ...]) -> None:
    check(*cases)


def largest_sum(name: str, rows: int, columns: int, range_: tuple[int, int], end: int) -> Case:
    """The sum of a map that has nothing but one end of its range."""
    x = np.full((1, 2, rows, columns), range_[end], np.int8)
    builder = Builder([x], [Layout((0, 1, 2, 3), (1, 1, 1, 4), xor=3)], range_)
    options = ("sum", (rows, columns), (1, 1), (0, 0, 0, 0), "floor")
    op = graph.PoolOp(options[0], builder.arguments[0].value, *options[1:])
    return builder.finish(name, builder.add(op, arithmetic.pool(x, *options)), Layout.row_major(4))


def test_sums_in_words_do_not_overflow() -> None:
    """Sums of 16 bits, those that need one row more, and rows that do not fit into 16 bits."""
    shapes = [(16, 16), (17, 16), (1, 257), (1, 258), (4, 64), (43, 12), (44, 12), (129, 4), (4, 129), (5, 1300)]
    ranges = [(-128, 127), (0, 127), (0, 1)]
    corners = [(*shape, range_, end) for shape in shapes for range_ in ranges for end in (0, 1)]
    check(*[largest_sum(f"sum{index}", *corner) for index, corner in enumerate(corners)])


@settings(max_examples=3, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(st.tuples(*[pixels(f"pixels{index}") for index in range(KERNELS)]))
def test_blocks_of_pixels(cases: tuple[Case, ...]) -> None:
    check(*cases)


@settings(max_examples=3, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(st.tuples(*[moved(f"moved{index}") for index in range(2 * KERNELS)]))
def test_copies_in_words_and_merged_loops(cases: tuple[Case, ...]) -> None:
    check(*cases)


def flattened(name: str, shape: tuple[int, ...], layout: Layout, multiple: int = 1) -> Case:
    """A map as a vector, padded to a multiple."""
    x = np.random.default_rng(0).integers(-128, 128, shape).astype(np.int8)
    builder = Builder([x], [layout])
    flat = x.reshape(1, -1)
    op = graph.ReshapeOp(builder.arguments[0].value, flat.shape)
    return builder.finish(name, builder.add(op, flat), Layout((0, 1), (1, multiple)))


SWAPPED, CHANNELS = Layout((0, 1, 2, 3), (1, 1, 1, 16), xor=3), Layout((0, 2, 3, 1), (1, 16, 1, 1), xor=3)


def test_maps_are_flattened_without_divisions() -> None:
    """Unless the vector is padded, so that it is no map in another shape."""
    shapes = [(1, 16, 1, 1), (1, 5, 1, 1), (1, 3, 7, 7), (1, 16, 5, 9), (1, 2, 1, 11), (1, 4, 3, 16)]
    cases = [(shape, layout) for shape in shapes for layout in (SWAPPED, CHANNELS)]
    padded = [flattened(f"padded{n}", *case, 64) for n, case in enumerate(cases)]
    check(*(flattened(f"flat{n}", *case) for n, case in enumerate(cases)), *padded)
    text = str(lowered(*(flattened(f"flat{n}", *case) for n, case in enumerate(cases))))
    assert "arith.rem" not in text  # what is left is divided by the bytes of a word


def scaling(name: str, x: Array, rounding: str, multiplier: list[int], shift: list[int]) -> Case:
    """A requantisation to 32 bits of an i32 tensor."""
    builder = Builder([x], [Layout.row_major(2)])
    lo, hi = -(2**31), 2**31 - 1
    options = {"rounding": rounding, "multiplier": multiplier, "shift": shift, "lo": lo, "hi": hi}
    op = graph.RequantOp(builder.arguments[0].value, i32, **options)  # pyright: ignore[reportArgumentType]
    result = arithmetic.requantize(x, rounding, multiplier, shift, 0, lo, hi, np.dtype(np.int32))
    return builder.finish(name, builder.add(op, result), Layout.row_major(2))


EDGES = [-(2**31), -(2**31) + 1, -(2**30), -3, -2, -1, 0, 1, 2, 3, 5, 2**30, 2**31 - 2, 2**31 - 1]


def test_rounding_is_exact_at_the_ends_of_the_range() -> None:
    x = np.array([EDGES], np.int32)
    cases: list[Case] = []
    for rounding in arithmetic.ROUNDINGS:
        low = 31 if rounding == "gemmlowp" else 0
        for multiplier in (1, -1, 2**31 - 1, -(2**31)):
            # A sum of product and half beyond 64 bits has no reference either.
            for shift in (low, low + 1, low + 31, 61):
                cases.append(scaling(f"scale{len(cases)}", x, rounding, [multiplier], [shift]))
        per_channel = [low + 31 * (n % 4) // 3 for n in range(x.size)]
        for first in (2**30, 1):  # in 64 bits, and after gemmlowp's doubling in 32
            multipliers = [first + n for n in range(x.size)]
            cases.append(scaling(f"scale{len(cases)}", x, rounding, multipliers, per_channel))
    check(*cases)


def conv(name: str, weights: Array, x: Array, **geometry: object) -> Case:
    """A 3x3 convolution with a floor requantisation by 2**6."""
    builder = Builder([x], [Layout.row_major(4)])
    value = builder.constant(weights).value
    options = ((1, 1), (1, 1, 1, 1), (1, 1), 1)
    acc = builder.add(
        graph.Conv2dOp(builder.arguments[0].value, value, None, *options),
        arithmetic.conv2d(x, weights, None, *options),
    )
    y = arithmetic.requantize(acc.array, "floor", [1], [6], 0, -128, 127, np.dtype(np.int8))
    return builder.finish(name, builder.add(graph.RequantOp(acc.value, i8, shift=[6]), y), Layout.row_major(4))


@st.composite
def pooled_conv(draw: st.DrawFn, name: str) -> Case:
    """A convolution whose map is not stored: a pool with separate windows takes its elements as they are computed."""
    size = draw(st.tuples(st.integers(3, 9), st.integers(3, 9)))
    builder = Builder([noise(1, 2, *size)], [Layout.row_major(4)])
    weights = noise(3, 2, *draw(st.tuples(st.integers(1, 3), st.integers(1, 3))))
    spatial = (draw(st.tuples(*[st.integers(1, 2)] * 2)), draw(st.tuples(*[st.integers(0, 2)] * 4)), (1, 1), 1)
    x, value = builder.arguments[0], builder.constant(weights).value
    acc = builder.add(
        graph.Conv2dOp(x.value, value, None, *spatial), arithmetic.conv2d(x.array, weights, None, *spatial)
    )
    y = arithmetic.requantize(acc.array, "floor", [1], [6], 0, -128, 127, np.dtype(np.int8))
    map_ = builder.add(graph.RequantOp(acc.value, i8, shift=[6]), y)
    kind = draw(st.sampled_from(["average", "max"]))
    kernel = tuple(draw(st.integers(1, min(3, n))) for n in y.shape[2:])
    strides = tuple(k + draw(st.integers(0, 1)) for k in kernel)
    pads = [draw(st.integers(0, kernel[side % 2] - 1)) for side in range(4)]
    pool = graph.PoolOp(kind, map_.value, kernel, strides, pads, "floor")
    result = builder.add(pool, arithmetic.pool(y, kind, kernel, strides, pads, "floor"))
    return builder.finish(name, result, Layout.row_major(4))


@settings(max_examples=2, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(st.tuples(*[pooled_conv(f"pooled{index}") for index in range(KERNELS)]))
def test_pools_of_maps_that_are_not_stored(cases: tuple[Case, ...]) -> None:
    check(*cases)


def noise(*shape: int) -> Array:
    return np.random.default_rng(1).integers(-128, 128, shape).astype(np.int8)


def types_of(module: ModuleOp) -> set[str]:
    return {str(result.type) for op in module.walk() for result in op.results}


def test_accumulators_that_provably_fit_need_no_64_bits() -> None:
    assert "i64" not in types_of(lowered(conv("small", noise(2, 3, 3, 3), noise(1, 3, 5, 5))))


def test_a_wide_multiplier_needs_64_bits() -> None:
    x = np.array([EDGES], np.int32)
    assert "i64" in types_of(lowered(scaling("wide", x, "half_up", [2**30], [35])))


def test_nothing_is_stored_but_the_output() -> None:
    module = lowered(conv("fused", noise(2, 3, 3, 3), noise(1, 3, 5, 5)))
    assert not [op for op in module.walk() if isinstance(op, memref.AllocOp)]
    stores = [op for op in module.walk() if isinstance(op, memref.StoreOp)]
    assert {str(op.memref.type) for op in stores} == {'memref<1x2x5x5xi8, "L2">'}


def test_every_compiler_accepts_the_loops_without_warnings(tmp_path: Path) -> None:
    x = np.array([EDGES], np.int32)
    shifts = [31 + n for n in range(x.size)]
    scalings = [scaling(f"scale_{r}", x, r, [2**30], shifts) for r in arithmetic.ROUNDINGS]
    builder = Builder([noise(1, 2, 5, 5)], [Layout((0, 2, 3, 1), (1, 4, 1, 1), 3)])
    blocks = arithmetic.space_to_depth(builder.inputs[0], (2, 2), (1, 1, 0, 0))
    op = graph.SpaceToDepthOp(builder.arguments[0].value, (2, 2), (1, 1, 0, 0))
    depth = builder.finish("depth", builder.add(op, blocks), Layout.row_major(4))
    convolution = conv("convolution", noise(2, 3, 3, 3), noise(1, 3, 5, 5))
    check_warnings(render(lowered(convolution, depth, *scalings)), tmp_path)


def test_padding_is_written_once() -> None:
    builder = Builder([noise(1, 3, 1, 6)], [Layout.row_major(4)])
    x = builder.arguments[0]
    pooled = arithmetic.pool(x.array, "max", (1, 3), (1, 1), (0, 1, 0, 1), "floor")
    value = builder.add(graph.PoolOp("max", x.value, (1, 3), (1, 1), (0, 1, 0, 1), "floor"), pooled)
    source = render(lowered(builder.finish("padded", value, Layout((0, 1, 2, 3), (1, 4, 1, 1)))))
    kernels = source["src/tvmgen_default_kernels.c"]
    # Six elements of the fourth channel, in one loop.
    assert kernels.count("] = 0;") == 1


def test_constants_are_named_after_the_kernel() -> None:
    module = lowered(conv("first", noise(2, 3, 3, 3), noise(1, 3, 5, 5)))
    assert [op.sym_name.data for op in module.ops if isinstance(op, memref.GlobalOp)] == ["first_weights"]


def test_equal_weights_are_not_stored_at_all() -> None:
    weights = np.full((2, 3, 3, 3), 7, np.int8)
    case = conv("splat", weights, noise(1, 3, 5, 5))
    check(case)
    module = lowered(conv("splat", weights, noise(1, 3, 5, 5)))
    assert not [op for op in module.ops if isinstance(op, memref.GlobalOp)]


def test_unknown_op_is_an_error_that_names_it_and_the_kernel() -> None:
    builder = Builder([noise(1, 3)], [Layout.row_major(2)])
    value = builder.arguments[0]
    cast = UnrealizedConversionCastOp.get([value.value], [value.value.type])
    case = builder.finish("odd", builder.add(cast, value.array), Layout.row_major(2))
    with pytest.raises(HtvmError, match=r"'odd'.*builtin\.unrealized_conversion_cast"):
        LowerHost().apply(Context(), module_of([case]))


def test_a_buffer_that_is_not_the_layouts_shape_is_an_error() -> None:
    builder = Builder([noise(1, 3)], [Layout.row_major(2)])
    case = builder.finish("short", builder.arguments[0], Layout((0, 1), (1, 4)))
    module = module_of([case])
    wrong = memref.AllocOp([], [], MemRefType(i8, [1, 3]))
    dispatch = next(op for op in module.walk() if op.name == "accel.dispatch")
    assert dispatch.parent is not None
    dispatch.parent.insert_op_before(wrong, dispatch)
    dispatch.operands[1] = wrong.memref
    with pytest.raises(HtvmError, match=r"stored as \[1, 4\]"):
        LowerHost().apply(Context(), module)


def test_kernels_of_engines_stay() -> None:
    case = conv("engine", noise(2, 3, 3, 3), noise(1, 3, 5, 5))
    module = module_of([case])
    dispatch = next(op for op in module.walk() if op.name == "accel.dispatch")
    dispatch.properties["engine"] = SymbolRefAttr("digital")
    LowerHost().apply(Context(), module)
    assert dispatch.parent is not None
