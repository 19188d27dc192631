"""``graph`` ops of networks with zero points, against loops over the definition and onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from itertools import product
from math import ceil, floor
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_modules import Array, evaluate, random_array
from onnx import TensorProto, helper
from xdsl.dialects.builtin import IntegerType, Signedness, i32
from xdsl.ir import SSAValue

from htvm_ir.arithmetic import MEAN_ROUNDINGS
from htvm_ir.dialects import graph

FEW = settings(deadline=None, max_examples=12)
SEEDS = st.integers(0, 1000)
DTYPES = st.sampled_from(["int8", "uint8"])


def noise(seed: int, shape: Sequence[int], dtype: str = "int8") -> Array:
    limits = np.iinfo(dtype)
    return random_array(seed, shape, int(limits.min), int(limits.max), dtype)


def onnx_run(op: str, inputs: Sequence[Array], **attributes: Any) -> Array:
    """One ONNX op."""
    names = [f"x{i}" for i in range(len(inputs))]
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for n, a in zip(names, inputs, strict=True)
    ]
    element = TensorProto.INT32 if op.endswith("Integer") else infos[0].type.tensor_type.elem_type
    result = helper.make_tensor_value_info("y", element, None)
    model = helper.make_model(
        helper.make_graph([helper.make_node(op, names, ["y"], **attributes)], "g", infos, [result]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["y"], dict(zip(names, inputs, strict=True)))[0])


@FEW
@given(SEEDS, DTYPES, st.integers(0, 127), st.tuples(*[st.integers(0, 2)] * 4), st.integers(1, 2))
def test_padding_of_a_convolution_holds_the_zero_point(
    seed: int, dtype: str, zero_point: int, pads: tuple[int, int, int, int], stride: int
):
    x, weights = noise(seed, (1, 3, 5, 4), dtype), noise(seed + 1, (2, 3, 3, 2))
    build = partial(graph.Conv2dOp, bias=None, strides=(stride, stride), pads=pads, zero_point=zero_point)
    result = evaluate([x, weights], build)

    top, left, bottom, right = pads
    edges = ((0, 0), (0, 0), (top, bottom), (left, right))
    padded = np.pad(x, edges, constant_values=zero_point).astype(int) - zero_point
    for k, y, z in np.ndindex(*result.shape[1:]):
        window = padded[0, :, y * stride : y * stride + 3, z * stride : z * stride + 2]
        assert result[0, k, y, z] == (window * weights[k].astype(int)).sum()


@FEW
@given(SEEDS, st.integers(0, 255))
def test_convolution_equals_onnxruntime(seed: int, zero_point: int):
    x, weights = noise(seed, (1, 2, 6, 5), "uint8"), noise(seed + 1, (3, 2, 3, 3))
    expected = onnx_run("ConvInteger", [x, weights, np.array(zero_point, np.uint8)], pads=(1, 0, 1, 1))
    build = partial(graph.Conv2dOp, bias=None, strides=(1, 1), pads=(1, 0, 1, 1), zero_point=zero_point)
    np.testing.assert_array_equal(evaluate([x, weights], build), expected)


@FEW
@given(SEEDS, DTYPES, st.integers(0, 127))
def test_dense_subtracts_the_zero_point(seed: int, dtype: str, zero_point: int):
    x, weights, bias = noise(seed, (1, 9), dtype), noise(seed + 1, (4, 9)), noise(seed + 2, (4,), "int32")
    result = evaluate([x, weights, bias], partial(graph.DenseOp, zero_point=zero_point))
    exact = (x.astype(int) - zero_point) @ weights.T.astype(int) + bias
    np.testing.assert_array_equal(result, (exact + 2**31) % 2**32 - 2**31)


@FEW
@given(SEEDS, DTYPES, DTYPES, st.tuples(st.integers(0, 127), st.integers(0, 127)))
def test_pairs_extend_before_they_compute(seed: int, left: str, right: str, zero_points: tuple[int, int]):
    a, b = noise(seed, (1, 3, 4, 5), left), noise(seed + 1, (1, 3, 4, 5), right)
    (za, zb), pairs = zero_points, list(zip(a.flat, b.flat, strict=True))
    difference, result = evaluate([a, b], graph.SubOp), evaluate([a, b], partial(graph.MulOp, zero_points=zero_points))
    assert difference.dtype == result.dtype == np.int32
    assert difference.flatten().tolist() == [int(p) - int(q) for p, q in pairs]
    assert result.flatten().tolist() == [(int(p) - za) * (int(q) - zb) for p, q in pairs]


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_a_table_begins_with_the_smallest_number(dtype: str):
    limits = np.iinfo(dtype)
    x = np.arange(limits.min, limits.max + 1).astype(dtype).reshape(1, 256)
    table = noise(3, (256,), "uint8")
    result = evaluate([x, table], graph.LookupOp)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result[0], table)


ROUNDERS: dict[str, Callable[[Fraction], int]] = {
    "floor": floor,
    "half_up": lambda mean: floor(mean + Fraction(1, 2)),
    "half_away": lambda mean: floor(mean + Fraction(1, 2)) if mean >= 0 else ceil(mean - Fraction(1, 2)),
    "half_even": round,
}


@FEW
@given(SEEDS, DTYPES, st.sampled_from(MEAN_ROUNDINGS), st.tuples(*[st.integers(0, 1)] * 4))
def test_average_is_the_rounded_fraction(seed: int, dtype: str, rounding: str, pads: tuple[int, int, int, int]):
    x = noise(seed, (1, 2, 5, 4), dtype) // 16  # small numbers meet ties
    top, left, _, _ = pads
    window = {"kernel": (2, 2), "strides": (1, 2), "pads": pads}
    mean = evaluate([x], partial(graph.PoolOp, "average", **window, rounding=rounding))
    total = evaluate([x], partial(graph.PoolOp, "sum", **window))
    assert mean.dtype == x.dtype
    assert total.dtype == np.int32
    for c, y, z in product(*map(range, mean.shape[1:])):
        rows, columns = slice(max(y - top, 0), y - top + 2), slice(max(2 * z - left, 0), 2 * z - left + 2)
        inside = [int(v) for v in x[0, c, rows, columns].flat]
        assert total[0, c, y, z] == sum(inside)
        assert mean[0, c, y, z] == ROUNDERS[rounding](Fraction(sum(inside), len(inside)))


@FEW
@given(SEEDS, DTYPES, st.integers(0, 3))
def test_moves_equal_onnxruntime(seed: int, dtype: str, axis: int):
    x, other = noise(seed, (2, 4, 6, 5), dtype), noise(seed + 1, (2, 4, 6, 5), dtype)

    def concat(*inputs: SSAValue) -> graph.ConcatOp:
        return graph.ConcatOp(inputs, axis)

    np.testing.assert_array_equal(evaluate([x, other, x], concat), onnx_run("Concat", [x, other, x], axis=axis))
    permutation = np.random.default_rng(seed).permutation(4).tolist()
    result = evaluate([x], partial(graph.TransposeOp, permutation=permutation))
    np.testing.assert_array_equal(result, onnx_run("Transpose", [x], perm=permutation))

    starts, steps = [0, 1, axis, 0], [1, 2, 2, 3]
    sizes = [(n - start - 1) // step + 1 for n, start, step in zip(x.shape, starts, steps, strict=True)]
    result = evaluate([x], partial(graph.SliceOp, offsets=starts, sizes=sizes, strides=steps))
    inputs = [np.array(numbers, np.int64) for numbers in (starts, x.shape, [0, 1, 2, 3], steps)]
    np.testing.assert_array_equal(result, onnx_run("Slice", [x, *inputs]))

    before, after = [0, 1, axis, 0], [1, 0, 2, 3]
    result = evaluate([x], partial(graph.PadOp, before=before, after=after, value=7))
    inputs = [np.array([*before, *after], np.int64), np.array(7, x.dtype)]
    np.testing.assert_array_equal(result, onnx_run("Pad", [x, *inputs]))


@pytest.mark.parametrize(
    ("element", "dtype", "lo", "hi"),
    [
        (IntegerType(8, Signedness.UNSIGNED), "uint8", 0, 255),
        (IntegerType(16), "int16", -3000, 3000),
        (i32, "int32", -(2**31), 5),
    ],
)
def test_requantisation_gives_any_type(element: IntegerType, dtype: str, lo: int, hi: int):
    x = noise(1, (1, 50), "uint8")

    def requant(value: SSAValue) -> graph.RequantOp:
        return graph.RequantOp(
            value, element, rounding="half_even", multiplier=(-45,), shift=(1,), zero_point=30, lo=lo, hi=hi
        )

    result = evaluate([x], requant)
    assert result.dtype == dtype
    assert result[0].tolist() == [min(max(30 + round(Fraction(int(v) * -45, 2)), lo), hi) for v in x[0]]
