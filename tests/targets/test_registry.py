"""Targets by name, and targets with fewer engines."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint

import pytest

from htvm_ir.errors import HtvmError
from htvm_ir.targets import registry
from htvm_ir.targets.registry import GROUP, load_target, target_names, target_with_engines


def test_diana_is_registered():
    assert "diana" in target_names()
    target = load_target("diana")
    assert target.name == "diana"
    assert load_target("diana") is target
    for engine in target.engines:  # what engines refer to by name is there
        assert target.channel(engine.load).destination == engine.local
        assert target.channel(engine.store).source == engine.local
        assert target.memory(engine.constants).size > 0
    assert target.memory(target.host_memory).host


def test_names_are_sorted_and_unique(monkeypatch: pytest.MonkeyPatch):
    points = [EntryPoint(name, "nowhere:nothing", GROUP) for name in ("b", "a", "b")]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)  # pyright: ignore[reportUnknownLambdaType]
    assert target_names() == ("a", "b")


def test_targets_of_other_packages_are_found(monkeypatch: pytest.MonkeyPatch):
    point = EntryPoint("mine", "htvm_ir.targets.diana.target:diana", GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])  # pyright: ignore[reportUnknownLambdaType]
    load_target.cache_clear()
    try:
        assert load_target("mine").name == "diana"
    finally:
        load_target.cache_clear()


def test_unknown_targets_list_the_known():
    with pytest.raises(HtvmError, match=r"unknown target 'dianna'; known targets: .*diana"):
        load_target("dianna")


def test_parameters_make_another_target():
    small = load_target("diana,l1_bytes=32k,sum_relu=off")
    assert small.name == "diana,l1_bytes=32768,sum_relu=false"
    assert small.memory("L1").size == 32 * 1024
    assert small.parameters == {**load_target("diana").parameters, "l1_bytes": 32 * 1024, "sum_relu": False}
    assert load_target(small.name).parameters == small.parameters
    assert load_target("diana").memory("L1").size == 256 * 1024


def test_unknown_parameters_are_named():
    with pytest.raises(HtvmError, match=r"target 'diana' has no setting 'l1'; its settings are .*l1_bytes"):
        load_target("diana,l1=32k")


def test_engines_can_be_left_out():
    whole = load_target("diana")
    assert target_with_engines("diana", None) is whole
    assert target_with_engines("diana", ()).engines == ()
    assert target_with_engines("diana", ("digital",)).engines == (whole.engine("digital"),)
    assert replace(target_with_engines("diana", ()), engines=whole.engines) == whole


def test_unknown_engines_list_the_known():
    with pytest.raises(HtvmError, match=r"target 'diana' has no engine 'npu'; choose from .*digital.*none"):
        target_with_engines("diana", ("digital", "npu"))
