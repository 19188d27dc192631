"""The groups of figures, and measuring them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks import compile_time, compiler, copy_engine, depth_first, npu, peers, predictions, targets
from benchmarks.figure import Figure
from htvm_ir.errors import HtvmError

GROUPS: Mapping[str, Callable[[], list[Figure]]] = {
    "targets": targets.figures,
    "predictions": predictions.figures,
    "peers": peers.figures,
    "copy-engine": copy_engine.figures,
    "npu": npu.figures,
    "depth-first": depth_first.figures,
    "compile-time": compile_time.figures,
    "compiler": compiler.figures,
}


def measure(name: str) -> list[Figure]:
    """The figures of a group; one that counts its failures if it cannot be measured."""
    try:
        return GROUPS[name]()
    except HtvmError as error:
        return [Figure(f"cannot be measured: {error}", 1, "error", 0)]


def lines(name: str, figures: list[Figure]) -> str:
    """A group for people."""
    return "\n".join([f"{name}:", *(figure.line() for figure in figures), ""])
