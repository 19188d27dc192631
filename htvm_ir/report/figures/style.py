"""What all figures share: colours, fonts, and files that are the same for the same data."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from htvm_ir.driver.files import write_file
from htvm_ir.errors import HtvmError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9"
"""Okabe and Ito's palette, which colour-blind readers can tell apart."""

NOTE = "virtual SoC (a model)"

_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "htvm_ir",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "legend.frameon": False,
}


def check_matplotlib() -> None:
    """Say before measuring for minutes that nothing can be drawn.

    Raises:
        HtvmError: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise HtvmError("--figures needs matplotlib, which is not installed; pip install 'htvm-ir[figures]' brings it")


@contextmanager
def styled() -> Generator[None]:
    """Everything drawn and saved inside looks alike."""
    import matplotlib

    with matplotlib.rc_context(_SETTINGS):
        yield


def save(figure: Figure, path: Path) -> None:
    """Write a figure as SVG, text as text; the same bytes for the same data.

    Raises:
        HtvmError: the file cannot be written.
    """
    drawn = BytesIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    write_file(path, drawn.getvalue(), "the figure")
