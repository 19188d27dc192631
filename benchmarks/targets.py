"""What the compiler is to reach on DIANA, by the baseline, the limit, the bound of memory and its own prediction."""

from __future__ import annotations

from math import ceil
from typing import Any

from benchmarks.figure import Figure, geometric_mean
from benchmarks.measured import diana_networks, measured
from htvm_ir.driver.bench import OPTIMAL, layers, row
from htvm_ir.driver.compile import Options, compile_model, load_model
from htvm_ir.targets.diana.limit import mappings

SPEEDUPS = {"dscnn": 2.0, "mobilenetv1": 2.5}
"""Least cycles of the baseline over ours where more than the general bar is asked."""
DISTANCES = {"resnet8": 1.10}
OFFICIAL_KEYWORD = "zoo:dscnn"


def figures() -> list[Figure]:
    """Of the four networks of MLPerf Tiny, all on the digital array and the CPU."""
    entries = {name: measured(model) for name, model in diana_networks().items()}
    found = [figure for name, entry in entries.items() for figure in (*_network(name, entry), _unproven(name))]
    speedups = [entry["speedup"]["dory"] for entry in entries.values()]
    return [
        *found,
        Figure("cycles dory / optimal, geometric mean of the four", geometric_mean(speedups), "x", 2.0, at_least=True),
        Figure("cycles dory / optimal, the worst of the four", min(speedups), "x", 1.2, at_least=True),
        *_kept_on_cpu(),
        *_swapping(),
    ]


def _network(name: str, entry: dict[str, Any]) -> list[Figure]:
    best = entry["configurations"][OPTIMAL]
    wrong = sum(row["check"]["mismatches"] for row in entry["configurations"].values())
    arena = best["arena"]
    return [
        Figure(f"{name}: cycles dory / optimal", entry["speedup"]["dory"], "x", SPEEDUPS.get(name), at_least=True),
        Figure(f"{name}: cycles / limit", best["distance"], "x", DISTANCES.get(name, 1.20)),
        Figure(f"{name}: share of the array's peak", 100 * best["peak_share"], "%"),
        Figure(f"{name}: cycles predicted are off by", _off(best), "%", 3.0),
        Figure(f"{name}: arena over its lower bound", arena["bytes"] - arena["lower_bound"], "bytes", 0),
        Figure(f"{name}: tiles chosen for what the CPU does meanwhile", best["unproven_tilings"], "kernels"),
        Figure(f"{name}: output values that are not the interpreter's", wrong, "", 0),
    ]


def _unproven(name: str) -> Figure:
    """Kernels whose tiles are not proven the best, each by itself."""
    report = compile_model(diana_networks()[name], Options(engines=("digital",), overlap=False)).report
    unproven = sum(layer["proven_optimal"] is False for layer in report["layers"])
    return Figure(f"{name}: tilings not proven optimal, each kernel alone", unproven, "", 0)


def _kept_on_cpu() -> list[Figure]:
    """The keyword network's baseline if its first kernel, which the array lacks, stays on the CPU, as with HTVM."""
    model = diana_networks()["dscnn"]
    best = measured(model)["configurations"][OPTIMAL]
    kept = row(compile_model(model, Options(engines=("digital",), tiler="htvm")), "default", 1)
    name = "dscnn: cycles dory / optimal, kernels other than 1, 3, 5, 7 left to the CPU"
    return [Figure(name, kept["cycles"] / best["cycles"], "x")]


def _off(best: dict[str, Any]) -> float:
    return 100 * abs(best["predicted"] / best["cycles"] - 1)


def _swapping() -> list[Figure]:
    """The official keyword network against the limit of mappings that keep its 25 x 5 maps upright."""
    upright = sum(
        min(m.cycles() for m in mappings(layer) if not m.name.endswith("swapped"))
        for layer in layers(load_model(OFFICIAL_KEYWORD, Options()))
    )
    best = measured(OFFICIAL_KEYWORD)["configurations"][OPTIMAL]
    name = f"{OFFICIAL_KEYWORD}: limit without swapping height and width / cycles"
    return [
        Figure(name, ceil(upright) / best["cycles"], "x", 1.0, at_least=True),
        Figure(f"{OFFICIAL_KEYWORD}: cycles / limit", best["distance"], "x", 1.20),
    ]
