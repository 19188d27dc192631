"""``#tiled.plan``: what is printed is parsed to the same attribute, and what could not be is no plan."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.context import Context
from xdsl.parser import Parser
from xdsl.utils.exceptions import VerifyException

from htvm_ir.dialects.tiled import PlanAttr, Tiled

NAMES = st.sampled_from(["y", "k", "_x", "buffers", "latency", "proven", "mapping", "constants"])


@settings(deadline=None, max_examples=60)
@given(
    st.dictionaries(NAMES, st.integers(1, 999), max_size=3),
    st.lists(st.integers(1, 3), max_size=3),
    st.integers(0, 99),
    st.booleans(),
    st.sampled_from(["", "wide", "buffers", "mapping"]),
    st.integers(1, 3),
)
def test_round_trip(
    sizes: dict[str, int], buffers: list[int], latency: int, proven: bool, mapping: str, constants: int
) -> None:
    plan = PlanAttr(sizes, buffers, latency, proven, mapping, constants)
    context = Context()
    context.load_dialect(Tiled)
    assert Parser(context, str(plan)).parse_attribute() == plan


@pytest.mark.parametrize("name", ["_", "", "two words", "12", "\u00b5"])
def test_dimensions_have_names(name: str) -> None:
    with pytest.raises(VerifyException, match="named by identifiers"):
        PlanAttr({name: 2})


def test_mappings_have_names() -> None:
    with pytest.raises(VerifyException, match="mapping must be an identifier"):
        PlanAttr({}, mapping="16 wide")
