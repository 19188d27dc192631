"""When each unit of the SoC works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from htvm_ir.report.figures.style import BLUE, GREEN, NOTE, ORANGE, PURPLE, SKY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WEIGHTS = " weights"
_CPU, _DMA, _ENGINES = ORANGE, GREEN, (BLUE, PURPLE, SKY)
_FINEST = 2000
"""Gaps of less than such a part of the diagram are not drawn."""


def draw(traces: Sequence[Mapping[str, Any]]) -> Figure:
    """One panel for each trace on one axis of time; weight streams are the pale parts of an engine's row."""
    from matplotlib.figure import Figure

    longest = max(trace["cycles"] for trace in traces)
    figure = Figure(figsize=(9, 0.7 + 1.6 * len(traces)), layout="constrained")
    panels = figure.subplots(len(traces), 1, squeeze=False, sharex=True)[:, 0]
    for axes, trace in zip(panels, traces, strict=True):
        _panel(axes, trace, longest)
    panels[-1].set_xlabel(f"thousand cycles, {NOTE}; pale: weights on their way to an array")
    panels[-1].set_xlim(0, longest / 1000)
    return figure


def _panel(axes: Axes, trace: Mapping[str, Any], longest: int) -> None:
    units = [name for name in trace["rows"] if not name.endswith(_WEIGHTS)]
    engines = [name for name in units if name not in ("CPU", "DMA")]
    colours = {"CPU": _CPU, "DMA": _DMA, **dict(zip(engines, _ENGINES, strict=False))}
    for place, unit in enumerate(units):
        for name, alpha in ((unit, 1.0), (unit + _WEIGHTS, 0.45)):
            bars = _merged(trace["rows"].get(name, []), longest // _FINEST)
            spans = [(start / 1000, (end - start) / 1000) for start, end in bars]
            axes.broken_barh(spans, (place - 0.4, 0.8), facecolor=colours[unit], alpha=alpha, linewidth=0)
    axes.set_yticks(range(len(units)), units)
    axes.invert_yaxis()
    axes.set_title(f"{trace['model']}, {trace['tiler']}: {trace['cycles']:,} cycles", fontsize=9, loc="left")


def _merged(intervals: Sequence[Sequence[int]], gap: int) -> list[list[int]]:
    """In order, those with less than ``gap`` between them as one."""
    merged: list[list[int]] = []
    for start, end in sorted(map(tuple, intervals)):
        if merged and start - merged[-1][1] <= gap:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    return merged
