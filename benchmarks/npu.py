"""Whether double buffering pays on the npu, and how near the transfers or the array are to being the only cost."""

from __future__ import annotations

from benchmarks.figure import Figure
from benchmarks.measured import diana_networks, measured
from htvm_ir.driver.bench import OPTIMAL

NETWORKS = ("resnet8", "dscnn")
TARGET = "npu,rows=16,cols=16,l1=32k,dma_width=8"


def figures() -> list[Figure]:
    """ResNet-8 and the keyword network with one buffer an operand and with two."""
    return [figure for name in NETWORKS for figure in _network(name, diana_networks()[name])]


def _network(name: str, model: str) -> list[Figure]:
    single, double = (
        measured(model, f"{TARGET},buffers={buffers}", None)["configurations"][OPTIMAL] for buffers in (1, 2)
    )
    bound = max(double["compute_bound"], double["transfer_bound"])
    return [
        Figure(f"npu, {name}: cycles single- / double-buffered", single["cycles"] / double["cycles"], "x", 1.3, True),
        Figure(f"npu, {name}: cycles / max(compute, transfers)", double["cycles"] / bound, "x", 1.10),
    ]
