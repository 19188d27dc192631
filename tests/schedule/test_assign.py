"""Assignment of kernels to engines: equal to trying everything, better than one by one, deterministic."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htvm_ir.errors import HtvmError
from htvm_ir.schedule import eliminate
from htvm_ir.schedule.assign import Joint, Kernel, assign, brute_force, greedy, total

ENGINES = ("a", "b", "cpu")


def convert(cycles: int, source: str, wrong: str, *readers: tuple[str, str]) -> Joint:
    """A conversion that is needed if `source` runs on `wrong` and one of the readers is chosen."""
    return Joint(cycles, (frozenset({(source, wrong)}), frozenset(readers)))


def test_a_chain_stays_where_it_is_if_conversions_cost_more_than_they_gain():
    kernels = [Kernel(f"k{n}", {"a": 10, "b": 9 if n == 1 else 12}) for n in range(3)]
    joints = [convert(5, "k0", "a", ("k1", "b")), convert(5, "k1", "b", ("k2", "a"))]
    joints += [convert(5, "k0", "b", ("k1", "a")), convert(5, "k1", "a", ("k2", "b"))]
    best = assign(kernels, joints)
    assert best.engines == dict.fromkeys(("k0", "k1", "k2"), "a")
    assert (best.cycles, best.proven) == (30, True)
    alone = greedy(kernels)
    assert alone["k1"] == "b"
    assert total(kernels, joints, alone) == 39


def test_one_conversion_serves_all_readers():
    kernels = [Kernel("k0", {"a": 1}), Kernel("k1", {"b": 1, "cpu": 4}), Kernel("k2", {"b": 1, "cpu": 4})]
    joint = convert(5, "k0", "a", ("k1", "b"), ("k2", "b"))
    assert assign(kernels, [joint]).cycles == 8
    apart = [convert(5, "k0", "a", ("k1", "b")), convert(5, "k0", "a", ("k2", "b"))]
    assert assign(kernels, apart).engines == {"k0": "a", "k1": "cpu", "k2": "cpu"}


def test_a_joint_without_groups_is_always_paid_and_one_with_an_empty_group_never():
    kernels = [Kernel("k", {"a": 2, "b": 3})]
    assert assign(kernels, [Joint(7, ())]).cycles == 9
    assert assign(kernels, [Joint(7, (frozenset(), frozenset({("k", "a")})))]).cycles == 2


def test_a_kernel_without_engine_is_an_error():
    with pytest.raises(HtvmError, match="kernel 'k': no engine"):
        assign([Kernel("k", {})], [])


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_equals_brute_force(data: st.DataObject):
    names = [f"k{n}" for n in range(data.draw(st.integers(1, 5)))]
    cycles = st.integers(0, 30)
    choices = st.sets(st.sampled_from(ENGINES), min_size=1)
    kernels = [Kernel(name, {e: data.draw(cycles) for e in sorted(data.draw(choices))}) for name in names]
    choice = st.tuples(st.sampled_from(names), st.sampled_from(ENGINES))
    groups = st.lists(st.frozensets(choice, max_size=3), max_size=3)
    joints = [Joint(data.draw(cycles), tuple(data.draw(groups))) for _ in range(data.draw(st.integers(0, 6)))]
    best = assign(kernels, joints)
    assert best.proven
    assert best.cycles == total(kernels, joints, best.engines) == brute_force(kernels, joints).cycles
    assert best == assign(kernels, joints)


@settings(deadline=None, max_examples=20)
@given(data=st.data())
def test_cp_sat_finds_the_same_where_tables_would_be_too_large(data: st.DataObject):
    names = [f"k{n}" for n in range(5)]
    kernels = [Kernel(name, {e: data.draw(st.integers(0, 30)) for e in ENGINES}) for name in names]
    choice = st.tuples(st.sampled_from(names), st.sampled_from(ENGINES))
    groups = st.lists(st.frozensets(choice, max_size=3), max_size=3)
    joints = [Joint(data.draw(st.integers(0, 30)), tuple(data.draw(groups))) for _ in range(4)]
    with patch.object(eliminate, "LARGEST_TABLE", 2):
        searched = assign(kernels, joints)
    assert searched.proven
    assert searched.cycles == assign(kernels, joints).cycles


def test_many_readers_of_one_tensor_are_left_to_cp_sat():
    kernels = [Kernel(f"k{n}", {"a": 1, "b": 2}) for n in range(40)]
    joints = [Joint(30, (frozenset({("k0", "a")}), frozenset((f"k{n}", "a") for n in range(1, 40))))]
    best = assign(kernels, joints)
    assert best.proven
    assert (best.cycles, best.engines["k0"]) == (41, "b")


def test_a_large_network_is_proven_quickly():
    kernels = [Kernel(f"k{n}", {"a": 5 + n * 7 % 11, "b": 5 + n * 5 % 13, "cpu": 40}) for n in range(120)]
    joints = [
        convert(4, f"k{n}", here, (f"k{n + 1}", there)) for n in range(119) for here, there in (("a", "b"), ("b", "a"))
    ]
    best = assign(kernels, joints)
    assert best.proven
    assert best.cycles < total(kernels, joints, greedy(kernels))
