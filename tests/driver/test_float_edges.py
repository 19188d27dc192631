"""How float samples become integers at the edge of a network."""

from __future__ import annotations

import numpy as np
import pytest

from htvm_ir.driver.edges import Edge


@pytest.mark.parametrize(
    ("rounding", "expected"),
    [("floor", [3, 4, 4, 2, -128]), ("half_even", [3, 5, 5, 3, -128]), ("half_away", [4, 5, 5, 3, -128])],
)
def test_rounding(rounding: str, expected: list[int]) -> None:
    edge = Edge(("x",), (1, 5), np.dtype(np.int8), (-128, 127), scale=0.5, zero_point=3, rounding=rounding)
    values = np.array([0.25, 0.75, 0.75 + 1e-3 + 0.24, -0.2, -1e9], np.float32)
    np.testing.assert_array_equal(edge.quantize(values), expected)
    assert edge.as_json()["rounding"] == rounding
