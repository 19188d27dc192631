"""The core's numbers are parameters of every target that has it, and reach the emulator."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from htvm_ir.targets.registry import load_target
from htvm_ir.targets.ri5cy import Ri5cy


@pytest.mark.parametrize("name", ["diana", "npu"])
def test_costs_of_instructions_can_be_changed(name: str) -> None:
    parameters = load_target(name).parameters
    assert {key: value for key, value in parameters.items() if key.startswith("core_")} == asdict(Ri5cy())
    changes = {key: 40 + number for number, key in enumerate(asdict(Ri5cy()))}
    soc = load_target(",".join([name, *(f"{key}={value}" for key, value in changes.items())])).soc
    assert soc is not None
    assert {f"core_{key}": value for key, value in asdict(soc().costs).items()} == changes
