"""Latency of single layers against the size of L1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from htvm_ir.report.figures.style import BLUE, NOTE, ORANGE, VERMILION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINES = {
    "none": ("heuristics off", ORANGE, "s", ":"),
    "dory": ("dory", VERMILION, "^", "--"),
    "optimal": ("optimal", BLUE, "o", "-"),
}
"""Tiler -> label, colour, marker, line."""


def draw(sweeps: Sequence[Mapping[str, Any]]) -> Figure:
    """One panel for each layer, one line for each tiler; L1 shrinks to the right."""
    from matplotlib.figure import Figure

    layers = list(dict.fromkeys(sweep["layer"] for sweep in sweeps))
    figure = Figure(figsize=(3.2 * len(layers), 3.2), layout="constrained")
    panels = figure.subplots(1, len(layers), squeeze=False)[0]
    for axes, layer in zip(panels, layers, strict=True):
        _panel(axes, layer, [sweep for sweep in sweeps if sweep["layer"] == layer])
    panels[0].set_ylabel(f"thousand cycles, {NOTE}")
    panels[0].legend()
    return figure


def _panel(axes: Axes, layer: str, sweeps: Sequence[Mapping[str, Any]]) -> None:
    sizes = sorted({size for sweep in sweeps for size, _ in sweep["points"]}, reverse=True)
    for sweep in sweeps:
        label, colour, marker, line = _LINES[sweep["tiler"]]
        places = [sizes.index(size) for size, _ in sweep["points"]]
        cycles = [cycles / 1000 for _, cycles in sweep["points"]]
        axes.plot(places, cycles, label=label, color=colour, marker=marker, linestyle=line, markersize=4)
    axes.set_title(layer, fontsize=9)
    axes.set_xticks(range(len(sizes)), [f"{size / 1024:g}" for size in sizes])
    axes.set_xlabel("L1, kB")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
