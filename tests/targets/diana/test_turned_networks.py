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


def turn_all(self: OrientMaps, ctx: Context, op: ModuleOp) -> None:
    """In place of the pass: no prediction is asked."""
    for region in regions(main_function(op).body.block):
        turn_region(region, Turn())


@pytest.mark.parametrize("seed", range(200, 204))
def test_turned_networks_are_exact(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OrientMaps, "apply", turn_all)
    net, last = random_network(seed)
    compiled, check = run(net, last, tmp_path)
    assert_exact(net, check)
    assert "graph.turned" in str(compiled.module)
