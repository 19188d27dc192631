"""``tiled``: a grid of tiles over named dimensions, with what ``scf.for`` cannot say.

Edge tiles, halo, padding per tile and buffering per operand are data here, so no dynamic shape leaks out.
"""

from __future__ import annotations

from xdsl.ir import Dialect

from htvm_ir.dialects.tiled.grid import GridAttr, WindowAttr
from htvm_ir.dialects.tiled.nest import NestOp, YieldOp
from htvm_ir.dialects.tiled.plan import PlanAttr

Tiled = Dialect("tiled", [NestOp, YieldOp], [PlanAttr, GridAttr, WindowAttr])

__all__ = ["GridAttr", "NestOp", "PlanAttr", "Tiled", "WindowAttr", "YieldOp"]
