"""What a kernel call costs beyond the jobs it starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from htvm_ir.report.figures.style import BLUE, GREEN, NOTE, VERMILION

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = {"conv 3x3": BLUE, "conv 1x1": BLUE, "depthwise 3x3": VERMILION, "dense": GREEN}
_MARKERS = {"conv 3x3": "o", "conv 1x1": "D", "depthwise 3x3": "^", "dense": "s"}


def draw(sweeps: Sequence[Mapping[str, Any]]) -> Figure:
    """One panel for each engine: whole kernel over bare jobs, in percent, against the size of the layer."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    engines = list(dict.fromkeys(sweep["engine"] for sweep in sweeps))
    figure = Figure(figsize=(3.6 * len(engines), 3.2), layout="constrained")
    panels = figure.subplots(1, len(engines), squeeze=False, sharey=True)[0]
    for axes, engine in zip(panels, engines, strict=True):
        for sweep in sweeps:
            if sweep["engine"] == engine:
                macs = [macs / 1e3 for macs, _, _ in sweep["points"]]
                over = [100 * (whole / bare - 1) for _, whole, bare in sweep["points"]]
                kind = sweep["kind"]
                axes.plot(macs, over, label=kind, color=_COLOURS[kind], marker=_MARKERS[kind], markersize=4)
        axes.set_title(engine, fontsize=9)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("thousand MACs of the layer")
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.legend()
    panels[0].set_ylabel(f"kernel call over its jobs, %\n{NOTE}")
    return figure
