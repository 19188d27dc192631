"""Random networks with every map turned, on the virtual SoC, layer by layer under the names of the model."""

from __future__ import annotations

from pathlib import Path

import pytest
from random_networks import random_network
from test_soc_networks import assert_exact, run
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp

from htvm_ir.passes.orient_maps import OrientMaps
from htvm_ir.passes.turn_region import regions, turn_region
from htvm_ir.passes.turns import Turn
from htvm_ir.passes.workloads import main_function

TURNS = {"swapped": Turn(swap=True), "mirrored": Turn(mirror=True), "both": Turn(swap=True, mirror=True)}


@pytest.mark.parametrize("name", TURNS)
@pytest.mark.parametrize("seed", [200, 202])
def test_turned_networks_are_exact(seed: int, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it costs, every region is turned."""

    def turn_all(self: OrientMaps, ctx: Context, op: ModuleOp) -> None:
        for region in regions(main_function(op).body.block, TURNS[name]):
            turn_region(region, TURNS[name])

    monkeypatch.setattr(OrientMaps, "apply", turn_all)
    net, last = random_network(seed)
    compiled, check = run(net, last, tmp_path)
    assert_exact(net, check)
    assert ("graph.turned" in str(compiled.module)) == TURNS[name].swap
    assert ("graph.mirrored" in str(compiled.module)) == TURNS[name].mirror
