"""``graph`` ops against loops over the definition, onnxruntime and exact fractions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ir_modules import Array, evaluate, random_array
from onnx import TensorProto, helper
from xdsl.dialects.builtin import i8, i32

from htvm_ir.arithmetic import ROUNDINGS
from htvm_ir.dialects import graph

FEW = settings(deadline=None, max_examples=15)
PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def convolutions(draw: st.DrawFn) -> dict[str, Any]:
    """Shapes and attributes of a convolution whose kernel fits the padded input."""
    groups, per_group, outputs = draw(st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)))
    height, width = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    case: dict[str, Any] = {
        "x": (1, groups * per_group, height, width),
        "weights": (groups * outputs, per_group, *draw(PAIRS)),
        "strides": draw(PAIRS),
        "pads": draw(st.tuples(*[st.integers(0, 2)] * 4)),
        "dilations": draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        "groups": groups,
        "seed": draw(st.integers(0, 1000)),
    }
    (fy, fx), (dy, dx), (top, left, bottom, right) = case["weights"][2:], case["dilations"], case["pads"]
    assume(dy * (fy - 1) < height + top + bottom and dx * (fx - 1) < width + left + right)
    return case


def convolve(case: dict[str, Any], x: Array, weights: Array, bias: Array) -> Array:
    options = {name: case[name] for name in ("strides", "pads", "dilations", "groups")}
    return evaluate([x, weights, bias], partial(graph.Conv2dOp, **options))


def operands(case: dict[str, Any], limit: int = 128) -> tuple[Array, Array, Array]:
    seed, channels = case["seed"], case["weights"][0]
    x = random_array(seed, case["x"], -limit, limit - 1)
    weights = random_array(seed + 1, case["weights"], -limit, limit - 1)
    return x, weights, random_array(seed + 2, (channels,), -(10**4), 10**4, "int32")


def slow_convolution(case: dict[str, Any], x: Array, weights: Array, bias: Array) -> Array:
    (sy, sx), (dy, dx), (top, left, bottom, right) = case["strides"], case["dilations"], case["pads"]
    _, channels, height, width = x.shape
    outputs, per_group, fy, fx = weights.shape
    oy = (height + top + bottom - dy * (fy - 1) - 1) // sy + 1
    ox = (width + left + right - dx * (fx - 1) - 1) // sx + 1
    result = np.zeros((1, outputs, oy, ox), np.int32)
    for k, y, z in product(range(outputs), range(oy), range(ox)):
        first = k // (outputs // case["groups"]) * per_group
        total = int(bias[k])
        for c, i, j in product(range(per_group), range(fy), range(fx)):
            row, column = y * sy + i * dy - top, z * sx + j * dx - left
            if 0 <= row < height and 0 <= column < width:
                total += int(x[0, first + c, row, column]) * int(weights[k, c, i, j])
        result[0, k, y, z] = total
    assert channels == per_group * case["groups"]
    return result


@FEW
@given(convolutions())
def test_conv2d_is_its_definition(case: dict[str, Any]):
    x, weights, bias = operands(case)
    result = convolve(case, x, weights, bias)
    assert result.dtype == np.int32
    np.testing.assert_array_equal(result, slow_convolution(case, x, weights, bias))


def onnx_run(op: str, inputs: Sequence[Array], **attributes: Any) -> Array:
    """One ONNX op on float32 inputs (exact for integers below 2**24)."""
    names = [f"x{i}" for i in range(len(inputs))]
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, a.shape) for n, a in zip(names, inputs, strict=True)]
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    node = helper.make_node(op, names, ["y"], **attributes)
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(helper.make_graph([node], "g", infos, [result]), opset_imports=opsets, ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {n: a.astype(np.float32) for n, a in zip(names, inputs, strict=True)}
    return np.asarray(session.run(["y"], feeds)[0])


@FEW
@given(convolutions())
def test_conv2d_equals_onnxruntime(case: dict[str, Any]):
    x, weights, bias = operands(case)
    attributes = {
        "strides": case["strides"],
        "pads": case["pads"],
        "dilations": case["dilations"],
        "group": case["groups"],
    }
    expected = onnx_run("Conv", [x, weights, bias], **attributes)
    np.testing.assert_array_equal(convolve(case, x, weights, bias), expected.astype(np.int32))


def test_accumulators_wrap():
    x = np.full((1, 1, 1, 1), 127, np.int8)
    weights = np.full((1, 1, 1, 1), 127, np.int8)
    bias = np.full((1,), 2**31 - 1, np.int32)
    wrapped = 127 * 127 + (2**31 - 1) - 2**32

    build = partial(graph.Conv2dOp, strides=(1, 1), pads=(0, 0, 0, 0))
    assert evaluate([x, weights, bias], build).item() == wrapped
    flat = [x.reshape(1, 1), weights.reshape(1, 1), bias]
    assert evaluate(flat, graph.DenseOp).item() == wrapped
    assert evaluate([bias.reshape(1, 1)] * 2, graph.AddOp).item() == -2


def test_conv2d_without_bias_and_with_wide_operands():
    x, weights = random_array(1, (1, 2, 3, 3), -(2**31), 2**31 - 1, "int32"), random_array(2, (1, 2, 3, 3))
    exact = sum(int(a) * int(b) for a, b in zip(x.flat, weights.flat, strict=True))
    result = evaluate([x, weights], partial(graph.Conv2dOp, bias=None, strides=(1, 1), pads=(0, 0, 0, 0)))
    assert result.item() == (exact + 2**31) % 2**32 - 2**31


@FEW
@given(st.integers(1, 20), st.integers(1, 20), st.booleans(), st.integers(0, 1000))
def test_dense_is_its_definition(inputs: int, outputs: int, biased: bool, seed: int):
    x, weights = random_array(seed, (1, inputs)), random_array(seed + 1, (outputs, inputs))
    bias = random_array(seed + 2, (outputs,), -1000, 1000, "int32")
    expected = [sum(int(a) * int(b) for a, b in zip(x[0], row, strict=True)) for row in weights]
    if biased:
        result = evaluate([x, weights, bias], graph.DenseOp)
        expected = [total + int(b) for total, b in zip(expected, bias, strict=True)]
    else:
        result = evaluate([x, weights], partial(graph.DenseOp, bias=None))
    assert result.tolist() == [expected]


def test_add_extends_before_it_adds():
    a, b = random_array(1, (1, 3, 4, 5)), random_array(2, (1, 3, 4, 5))
    expected = [int(p) + int(q) for p, q in zip(a.flat, b.flat, strict=True)]
    assert evaluate([a, b], graph.AddOp).flatten().tolist() == expected


@st.composite
def pools(draw: st.DrawFn) -> dict[str, Any]:
    kernel = draw(PAIRS)
    pads = tuple(draw(st.integers(0, kernel[i % 2] - 1)) for i in range(4))
    height, width = draw(st.tuples(st.integers(3, 7), st.integers(3, 7)))
    return {
        "kernel": kernel,
        "strides": draw(PAIRS),
        "pads": pads,
        "x": random_array(draw(st.integers(0, 1000)), (1, draw(st.integers(1, 3)), height, width)),
    }


def slow_pool(case: dict[str, Any], of_window: Callable[[list[int]], int]) -> list[int]:
    x, (ky, kx), (sy, sx), (top, left, bottom, right) = case["x"], case["kernel"], case["strides"], case["pads"]
    _, channels, height, width = x.shape
    oy, ox = (height + top + bottom - ky) // sy + 1, (width + left + right - kx) // sx + 1
    values: list[int] = []
    for c, y, z in product(range(channels), range(oy), range(ox)):
        rows = [r for r in range(y * sy - top, y * sy - top + ky) if 0 <= r < height]
        columns = [q for q in range(z * sx - left, z * sx - left + kx) if 0 <= q < width]
        values.append(of_window([int(x[0, c, r, q]) for r in rows for q in columns]))
    return values


MEANS: dict[str, Callable[[list[int]], int]] = {
    "floor": lambda window: math.floor(Fraction(sum(window), len(window))),
    "half_up": lambda window: math.floor(Fraction(sum(window), len(window)) + Fraction(1, 2)),
}


def pool(case: dict[str, Any], kind: str, rounding: str) -> Array:
    window = {name: case[name] for name in ("kernel", "strides", "pads")}
    return evaluate([case["x"]], partial(graph.PoolOp, kind, **window, rounding=rounding))


@FEW
@given(pools(), st.sampled_from(sorted(MEANS)))
def test_pools_are_their_definition(case: dict[str, Any], rounding: str):
    assert pool(case, "average", rounding).flatten().tolist() == slow_pool(case, MEANS[rounding])
    assert pool(case, "max", rounding).flatten().tolist() == slow_pool(case, max)


@FEW
@given(pools())
def test_pools_equal_onnxruntime(case: dict[str, Any]):
    attributes = {"kernel_shape": case["kernel"], "strides": case["strides"], "pads": case["pads"]}
    largest = onnx_run("MaxPool", [case["x"]], **attributes)
    np.testing.assert_array_equal(pool(case, "max", "floor"), largest.astype(np.int8))
    mean = onnx_run("AveragePool", [case["x"]], **attributes)
    # float32 means of at most nine bytes are within 1e-4 of the exact ones.
    excess = mean - pool(case, "average", "floor")
    assert excess.min() >= -1e-4 and excess.max() < 1
    off = mean - pool(case, "average", "half_up")
    assert off.min() >= -0.5 - 1e-4 and off.max() < 0.5


@FEW
@given(st.tuples(PAIRS, PAIRS), st.integers(1, 3), PAIRS, st.integers(0, 1000))
def test_space_to_depth_moves_every_pixel(
    blocks: tuple[tuple[int, int], tuple[int, int]], channels: int, cells: tuple[int, int], seed: int
):
    (by, bx), (top, left) = blocks
    tall, wide = cells[0] * by + 3 * by, cells[1] * bx + 3 * bx
    x = random_array(seed, (1, channels, tall - top, wide - left))
    result = evaluate([x], partial(graph.SpaceToDepthOp, block=(by, bx), pads=(top, left, 0, 0)))
    assert result.shape == (1, channels * by * bx, tall // by, wide // bx)
    padded = np.zeros((channels, tall, wide), np.int8)
    padded[:, top:, left:] = x[0]
    for c, i, j in product(range(channels), range(by), range(bx)):
        np.testing.assert_array_equal(result[0, (c * by + i) * bx + j], padded[c, i::by, j::bx])


def test_reshape_keeps_row_major_order():
    x = random_array(1, (1, 2, 3, 4))
    assert evaluate([x], partial(graph.ReshapeOp, shape=(1, 24))).tolist() == [x.flatten().tolist()]


def half_away(x: Fraction) -> int:
    magnitude = math.floor(abs(x) + Fraction(1, 2))
    return magnitude if x >= 0 else -magnitude


def half_up(x: Fraction) -> int:
    return math.floor(x + Fraction(1, 2))


def gemmlowp(acc: int, multiplier: int, shift: int) -> int:
    """Its doubling high multiply nudges ties up, and the one product that does not fit saturates."""
    high = min(half_up(Fraction(acc * multiplier, 2**31)), 2**31 - 1)
    return half_away(Fraction(high, 2 ** (shift - 31)))


DEFINITIONS: dict[str, Callable[[int, int, int], int]] = {
    "floor": lambda a, m, s: math.floor(Fraction(a * m, 2**s)),
    "half_up": lambda a, m, s: half_up(Fraction(a * m, 2**s)),
    "half_even": lambda a, m, s: round(Fraction(a * m, 2**s)),
    "half_away": lambda a, m, s: half_away(Fraction(a * m, 2**s)),
    "gemmlowp": gemmlowp,
    "single": lambda a, m, s: half_up(Fraction(a * m, 2**s)),
}
WORDS = st.integers(-(2**31), 2**31 - 1)
# Ties are rare among random words, so powers of two are drawn as often.
FACTORS = st.one_of(WORDS, st.integers(0, 30).map(lambda e: 2**e), st.just(-(2**31)))
ACCUMULATORS = st.one_of(WORDS, st.integers(-64, 64), st.just(-(2**31)))


def test_every_rounding_has_a_definition():
    assert set(DEFINITIONS) == set(ROUNDINGS)


@pytest.mark.parametrize("rounding", ROUNDINGS)
@settings(deadline=None, max_examples=60)
@given(st.data())
def test_requant_is_exact(rounding: str, data: st.DataObject):
    accumulators = data.draw(st.lists(ACCUMULATORS, min_size=4, max_size=4))
    multipliers = data.draw(st.lists(FACTORS, min_size=2, max_size=2))
    low = 31 if rounding == "gemmlowp" else 0
    shifts = data.draw(st.lists(st.integers(low, 62), min_size=2, max_size=2))
    acc = np.array(accumulators, np.int32).reshape(1, 2, 1, 2)
    lo, hi = -(2**31), 2**31 - 1

    def build(x: Any) -> graph.RequantOp:
        return graph.RequantOp(x, i32, rounding=rounding, multiplier=multipliers, shift=shifts, lo=lo, hi=hi)

    def expected(index: int) -> int:
        value = DEFINITIONS[rounding](accumulators[index], multipliers[index // 2], shifts[index // 2])
        return min(max(value, lo), hi)

    assert evaluate([acc], build).flatten().tolist() == [expected(i) for i in range(4)]


@FEW
@given(st.lists(st.integers(-5000, 5000), min_size=6, max_size=6), st.integers(-20, 20), st.integers(0, 5))
def test_requant_adds_the_zero_point_before_it_clamps(values: list[int], zero_point: int, shift: int):
    acc = np.array(values, np.int32).reshape(1, 6)

    def build(x: Any) -> graph.RequantOp:
        return graph.RequantOp(x, i8, shift=[shift], zero_point=zero_point, lo=-100, hi=90)

    result = evaluate([acc], build)
    assert result.dtype == np.int8
    assert result[0].tolist() == [min(max((v >> shift) + zero_point, -100), 90) for v in values]
