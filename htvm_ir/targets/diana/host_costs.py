"""Cycles of the CPU's loops, measured on the virtual core: packaged clang at -O2.

``python -m benchmarks.host_costs`` compares them with measurements, with ``--refit`` it prints them anew.
"""

from __future__ import annotations

from htvm_ir.targets.diana.host import LoopCosts

SCALED = 16
"""An element whose requantisation multiplies in 64 bits: 8 to 20 cycles more than one that shifts."""

HOST_COSTS: dict[tuple[str, str, str], LoopCosts] = {
    ("add", "channels", "channels"): LoopCosts(8, (0.0, 11.75, 20.0, 20.0, 20.0, 10.25, 0.6, 0.0, 0.0, 0.0)),
    ("add", "channels", "rows"): LoopCosts(4, (933.46, 3.45, 3.75, 12.03, 9.48, 4.94, 0.0, 0.0, 0.0, 0.0)),
    ("add", "channels", "swapped"): LoopCosts(8, (0.0, 6.05, 9.41, 16.05, 12.04, 0.0, 1.29, 0.0, 0.0, 0.0)),
    ("add", "rows", "rows"): LoopCosts(12, (658.84, 4.78, 4.97, 12.25, 12.2, 3.1, 0.0, 0.0, 0.0, 0.0)),
    ("add", "rows", "swapped"): LoopCosts(12, (86.65, 5.25, 5.29, 14.31, 14.33, 4.48, 1.15, 0.0, 0.0, 0.0)),
    ("add", "swapped", "channels"): LoopCosts(8, (0.0, 13.66, 20.83, 20.83, 20.83, 25.42, 0.0, 0.0, 0.0, 0.0)),
    ("add", "swapped", "rows"): LoopCosts(12, (16.09, 4.67, 5.24, 14.1, 14.19, 6.14, 0.0, 0.0, 0.0, 0.0)),
    ("add", "swapped", "swapped"): LoopCosts(12, (6.9, 5.3, 5.31, 13.13, 13.13, 3.82, 1.21, 0.0, 0.0, 0.0)),
    ("average", "channels", ""): LoopCosts(4, (1135.72, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.88)),
    ("average", "rows", ""): LoopCosts(4, (0.0, 0.0, 0.0, 0.0, 0.0, 0.67, 0.0, 0.0, 4.72, 1.88)),
    ("average", "swapped", ""): LoopCosts(4, (0.0, 0.0, 0.0, 0.0, 0.0, 4.83, 0.99, 0.0, 2.54, 2.09)),
    ("conv2d", "channels", ""): LoopCosts(4, (71836.05, 8.63, 8.63, 8.63, 8.63, 0.0, 0.0, 4.04, 0.0, 7.98)),
    ("conv2d", "rows", ""): LoopCosts(4, (0.0, 16.68, 16.68, 16.68, 16.68, 439.81, 0.0, 15.71, 0.0, 4.76)),
    ("conv2d", "swapped", ""): LoopCosts(4, (46340.19, 49.89, 49.89, 49.89, 49.89, 0.0, 0.0, 15.48, 0.0, 6.48)),
    ("convert_layout", "channels", "rows"): LoopCosts(8, (0.0, 4.51, 2.59, 4.4, 3.1, 0.96, 0.0, 0.0, 0.0, 0.0)),
    ("convert_layout", "channels", "swapped"): LoopCosts(8, (150.4, 3.7, 2.05, 3.94, 2.81, 9.23, 0.63, 0.0, 0.0, 0.0)),
    ("convert_layout", "rows", "swapped"): LoopCosts(24, (156.42, 2.13, 2.45, 2.14, 2.32, 0.0, 1.13, 0.0, 0.0, 0.0)),
    ("convert_layout", "swapped", "rows"): LoopCosts(4, (0.0, 1.92, 2.02, 2.12, 2.24, 1.65, 0.0, 0.0, 0.0, 0.0)),
    ("dense", "rows", ""): LoopCosts(4, (0.0, 0.0, 0.0, 0.0, 0.0, 482.56, 0.0, 0.0, 0.0, 5.04)),
    ("dense", "swapped", ""): LoopCosts(4, (0.0, 0.0, 0.0, 0.0, 0.0, 330.32, 0.0, 0.0, 0.0, 5.34)),
    ("depthwise", "channels", ""): LoopCosts(4, (0.0, 3.65, 3.65, 3.65, 3.65, 0.36, 0.2, 0.03, 9.82, 7.39)),
    ("depthwise", "rows", ""): LoopCosts(4, (0.0, 3.33, 3.33, 3.33, 3.33, 0.0, 0.0, 1.03, 10.21, 4.64)),
    ("depthwise", "swapped", ""): LoopCosts(4, (0.0, 10.44, 10.44, 10.44, 10.44, 0.0, 0.96, 0.02, 0.0, 8.91)),
    ("max", "channels", "channels"): LoopCosts(4, (183.29, 0.0, 13.37, 13.37, 13.37, 0.0, 0.0, 0.0, 0.0, 5.09)),
    ("max", "channels", "rows"): LoopCosts(4, (0.0, 11.95, 0.0, 14.68, 14.51, 0.0, 0.0, 0.0, 0.0, 4.18)),
    ("max", "channels", "swapped"): LoopCosts(8, (0.0, 1.08, 0.0, 1.08, 2.35, 0.0, 0.0, 0.0, 0.0, 8.06)),
    ("max", "rows", "rows"): LoopCosts(12, (584.45, 0.58, 0.0, 5.36, 5.45, 0.0, 0.0, 0.0, 1.3, 3.02)),
    ("max", "rows", "swapped"): LoopCosts(12, (0.0, 0.0, 0.0, 6.11, 6.07, 0.0, 1.27, 0.0, 0.0, 4.02)),
    ("max", "swapped", "rows"): LoopCosts(24, (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 4.92)),
    ("max", "swapped", "swapped"): LoopCosts(16, (0.0, 1.96, 0.0, 10.18, 11.04, 0.0, 0.0, 0.0, 0.0, 5.83)),
    ("pointwise", "channels", ""): LoopCosts(4, (3318.59, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.15, 0.0, 0.0)),
    ("pointwise", "rows", ""): LoopCosts(4, (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 4.63, 0.0, 0.0)),
    ("pointwise", "swapped", ""): LoopCosts(4, (0.0, 1.8, 1.8, 1.8, 1.8, 0.0, 0.0, 6.45, 0.0, 0.0)),
    ("requant", "channels", "channels"): LoopCosts(16, (0.0, 9.99, 11.16, 11.16, 11.16, 5.08, 0.95, 0.0, 0.0, 0.0)),
    ("requant", "channels", "rows"): LoopCosts(8, (0.0, 4.46, 2.32, 5.53, 3.83, 6.44, 0.0, 0.0, 0.0, 0.0)),
    ("requant", "channels", "swapped"): LoopCosts(24, (279.71, 5.34, 3.78, 6.08, 4.2, 1.2, 1.07, 0.0, 0.0, 0.0)),
    ("requant", "rows", "channels"): LoopCosts(16, (11.98, 8.56, 8.0, 9.59, 9.59, 0.0, 1.34, 0.0, 0.0, 0.0)),
    ("requant", "rows", "rows"): LoopCosts(12, (480.25, 2.91, 3.1, 4.08, 3.73, 2.04, 0.0, 0.0, 0.0, 0.0)),
    ("requant", "rows", "swapped"): LoopCosts(24, (273.75, 3.15, 3.24, 3.59, 3.04, 2.3, 0.97, 0.0, 0.0, 0.0)),
    ("requant", "swapped", "channels"): LoopCosts(16, (0.0, 10.15, 11.8, 11.8, 11.8, 18.68, 0.0, 0.0, 0.0, 0.0)),
    ("requant", "swapped", "rows"): LoopCosts(24, (0.0, 2.89, 2.92, 3.56, 3.05, 3.92, 0.0, 0.0, 0.0, 0.0)),
    ("requant", "swapped", "swapped"): LoopCosts(24, (182.53, 3.07, 3.19, 4.79, 3.0, 4.37, 0.85, 0.0, 0.0, 0.0)),
    ("scale", "channels", "channels"): LoopCosts(8, (34.7, 8.18, 18.6, 18.6, 18.6, 7.4, 0.77, 0.33, 0.0, 0.0)),
    ("scale", "channels", "rows"): LoopCosts(8, (1609.48, 8.52, 9.62, 15.03, 12.76, 0.52, 0.0, 0.0, 0.0, 0.0)),
    ("scale", "channels", "swapped"): LoopCosts(8, (0.0, 8.12, 10.54, 17.63, 13.76, 0.0, 1.55, 0.52, 0.0, 0.0)),
    ("scale", "rows", "rows"): LoopCosts(12, (769.66, 7.37, 7.4, 13.97, 12.25, 5.63, 0.0, 0.0, 0.0, 0.0)),
    ("scale", "rows", "swapped"): LoopCosts(12, (723.69, 7.43, 7.0, 15.72, 15.65, 1.35, 1.28, 0.73, 0.0, 0.0)),
    ("scale", "swapped", "channels"): LoopCosts(8, (0.0, 10.39, 20.15, 20.15, 20.15, 14.13, 0.0, 0.0, 0.0, 0.0)),
    ("scale", "swapped", "rows"): LoopCosts(12, (307.55, 7.36, 7.71, 16.2, 16.04, 7.41, 0.0, 0.0, 0.0, 0.0)),
    ("scale", "swapped", "swapped"): LoopCosts(12, (220.09, 7.15, 7.03, 14.19, 14.71, 16.24, 0.56, 0.08, 0.0, 0.0)),
}
