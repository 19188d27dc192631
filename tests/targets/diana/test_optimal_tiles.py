"""The tiles of whole layers are the best there are: brute force over all legal tiles and orders agrees."""

from __future__ import annotations

import numpy as np
import pytest

from htvm_ir.driver.compile import Options, compile_model
from htvm_ir.targets.diana.target import diana
from htvm_ir.targets.workload import Tensor, Workload
from htvm_ir.tiling.brute_force import brute_force
from htvm_ir.tiling.problem import Infeasible
from htvm_ir.tiling.solve import solve

LAYERS = 2000
SEARCHED = 100
"""Of these layers every tile is left to CP-SAT, which takes longer to load than to enumerate them."""


def random_layer(random: np.random.Generator) -> Workload:
    """A layer of the digital core with less than 128 channels on less than 28 x 28 pixels."""
    kind = random.choice(("conv", "conv", "depthwise", "dense", "add"))
    c, k = (int(n) for n in random.integers(1, 128, 2))
    if kind == "dense":
        weights = np.zeros((k, c), np.int8)
        return Workload("dense", (Tensor((1, c)),), Tensor((1, k)), weights)
    h, w, stride = int(random.integers(7, 28)), int(random.integers(7, 28)), int(random.integers(1, 3))
    source = Tensor((1, c, h, w))
    if kind == "add":
        return Workload("add", (source, source), source)
    fy, fx = (int(n) for n in random.choice((1, 3, 5, 7), 2))
    out, depth = (c, 1) if kind == "depthwise" else (k, c)
    top, left, bottom, right = (int(random.integers(0, n)) for n in (fy, fx, fy, fx))
    oy, ox = (h + top + bottom - fy) // stride + 1, (w + left + right - fx) // stride + 1
    weights = np.zeros((out, depth, fy, fx), np.int8)
    pads = (top, left, bottom, right)
    return Workload(
        "conv2d",
        (source,),
        Tensor((1, out, oy, ox)),
        weights,
        strides=(stride, stride),
        pads=pads,
        groups=c if kind == "depthwise" else 1,
    )


def test_brute_force_agrees_on_random_layers() -> None:
    random = np.random.default_rng(0)
    cut = infeasible = 0
    for number in range(LAYERS):
        target = diana(l1_bytes=2 ** int(random.integers(10, 18)))
        engine, workload = target.engine("digital"), random_layer(random)
        problem = engine.problem(workload, target)
        best = brute_force(problem)
        limit = 0 if number < SEARCHED else 256
        assert solve(problem, enumerate_up_to=limit) == best, (workload, target.memory("L1").size)
        infeasible += isinstance(best, Infeasible)
        cut += not isinstance(best, Infeasible) and best.sizes != {d.name: d.extent for d in problem.dimensions}
    assert cut > LAYERS / 4, cut
    assert infeasible > LAYERS / 50, infeasible


@pytest.mark.parametrize(
    ("model", "target"),
    [
        *((name, "diana") for name in ("resnet8", "dscnn", "mobilenetv1", "dae", "dscnn-htvm", "resnet8-mixed")),
        ("mobilenetv1", "diana,l1_bytes=32768"),
    ],
)
def test_every_layer_of_the_networks_is_proven_optimal(model: str, target: str) -> None:
    """By itself: where the CPU works beside a layer, tiles are chosen for what both take."""
    layers = compile_model(f"zoo:{model}", Options(target=target, overlap=False)).report["layers"]
    planned = [layer for layer in layers if layer["tile"] is not None]
    assert len(planned) >= 6
    assert [layer["name"] for layer in planned if not layer["proven_optimal"]] == []
