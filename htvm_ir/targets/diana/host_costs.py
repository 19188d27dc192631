"""Cycles of the CPU's loops, measured on the virtual core: packaged clang at -O2.

``python -m benchmarks.host_costs`` compares them with measurements, with ``--refit`` it prints them anew.
"""

from __future__ import annotations

from htvm_ir.targets.diana.host import LoopCosts

SCALED = 16
"""An element whose requantisation multiplies in 64 bits: 8 to 20 cycles more than one that shifts."""

HOST_COSTS: dict[tuple[str, str, str], LoopCosts] = {}
