"""What the package adds to xDSL: its dialects, passes and targets, found through an entry point.

Every entry is a function that imports on its first call, so a tool that lists names pays for none of
them. The names are spelled out: a file that is added without a line here is not offered to anybody.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from xdsl.ir import Dialect
from xdsl.passes import ModulePass
from xdsl.universe import Universe
from xdsl.utils.target import Target

from htvm_ir.passes.pipeline import NUMERICS, PIPELINE, pass_class

PASS_NAMES = ("set-target", *PIPELINE, *(name for names in NUMERICS.values() for name in names))
"""Every pass, in the order the pipeline uses them."""


def lazy_pass(name: str) -> Callable[[], type[ModulePass]]:
    """The factory of a pass."""
    return partial(pass_class, name)


def _graph() -> Dialect:
    from htvm_ir.dialects.graph import Graph

    return Graph


def _accel() -> Dialect:
    from htvm_ir.dialects.accel import Accel

    return Accel


def _tiled() -> Dialect:
    from htvm_ir.dialects.tiled import Tiled

    return Tiled


def _dma() -> Dialect:
    from htvm_ir.dialects.dma import Dma

    return Dma


def _htvm_c() -> type[Target]:
    from htvm_ir.backend.c.target import CTarget

    return CTarget


HTVM_UNIVERSE = Universe(
    all_dialects={"graph": _graph, "accel": _accel, "tiled": _tiled, "dma": _dma},
    all_passes={name: lazy_pass(name) for name in PASS_NAMES},
    all_targets={"htvm-c": _htvm_c},
)
