"""Cycles of the CPU's loops."""

from __future__ import annotations

from htvm_ir.targets.diana.host import LoopCosts

HOST_COSTS: dict[tuple[str, str, str], LoopCosts] = {}
