"""Divisions without dividing, against Python's."""

from __future__ import annotations

import pytest

from htvm_ir.passes.host_loops.division import Reciprocal


@pytest.mark.parametrize("divisor", [1, 2, 3, 7, 9, 25, 49, 64, 100, 125])
def test_quotients_are_exact_up_to_the_bound(divisor: int) -> None:
    most = 255 * divisor
    found = Reciprocal.of(divisor, most)
    assert found is not None
    for number in range(most + 1):
        product = number * found.multiplier
        assert product < 2**31
        assert product >> found.shift == number // divisor


def test_a_power_of_two_is_a_shift() -> None:
    assert Reciprocal.of(64, 8192) == Reciprocal(1, 6)


def test_large_numerators_have_none() -> None:
    assert Reciprocal.of(7, 2**31 - 1) is None
