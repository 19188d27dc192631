"""Cycles of the CPU's loops, measured on the virtual core: packaged clang at -O2.

``python -m benchmarks.host_costs`` compares them with measurements, with ``--refit`` it prints them anew.
"""

from __future__ import annotations

from htvm_ir.targets.diana.host import LoopCosts

SCALED = 16
"""An element whose requantisation multiplies in 64 bits: 8 to 20 cycles more than one that shifts."""

CLIP = 3
"""A limit that an element may exceed: 2 to 4 cycles."""

HOST_COSTS: dict[str, LoopCosts] = {
    "add channels channels": LoopCosts(8, (0.0, 11.75, 20.0, 20.0, 20.0, 10.25, 0.6, 0.0, 0.0, 0.0)),
    "add channels rows": LoopCosts(4, (152.41, 4.97, 5.14, 12.43, 10.43, 1.91, 0.0, 0.0, 0.0, 0.0)),
    "add channels swapped": LoopCosts(8, (0.0, 6.3, 9.81, 16.08, 12.04, 0.0, 1.14, 0.0, 0.0, 0.0)),
    "add rows rows": LoopCosts(12, (0.0, 5.64, 5.97, 12.49, 12.38, 0.0, 0.0, 0.0, 0.0, 0.0)),
    "add rows swapped": LoopCosts(12, (0.0, 5.96, 6.25, 14.53, 14.02, 0.0, 1.04, 0.0, 0.0, 0.0)),
    "add swapped channels": LoopCosts(8, (0.0, 7.82, 14.83, 14.83, 14.83, 24.74, 0.0, 0.0, 0.0, 0.0)),
    "add swapped rows": LoopCosts(12, (0.0, 5.64, 6.31, 14.36, 13.46, 0.0, 0.0, 0.0, 0.0, 0.0)),
    "add swapped swapped": LoopCosts(12, (0.0, 5.89, 6.11, 13.3, 12.89, 0.0, 1.1, 0.0, 0.0, 0.0)),
    "average channels": LoopCosts(4, (1135.72, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.88)),
    "average rows": LoopCosts(4, (0.0, 0.0, 0.0, 0.0, 0.0, 0.67, 0.0, 0.0, 4.72, 1.88)),
    "average swapped": LoopCosts(4, (0.0, 0.0, 0.0, 0.0, 0.0, 4.83, 0.99, 0.0, 2.54, 2.09)),
    "conv2d channels": LoopCosts(4, (71836.05, 8.63, 8.63, 8.63, 8.63, 0.0, 0.0, 4.04, 0.0, 7.98)),
    "conv2d rows": LoopCosts(4, (0.0, 16.68, 16.68, 16.68, 16.68, 439.81, 0.0, 15.71, 0.0, 4.76)),
    "conv2d swapped": LoopCosts(4, (46340.19, 49.89, 49.89, 49.89, 49.89, 0.0, 0.0, 15.48, 0.0, 6.48)),
    "convert_layout channels rows": LoopCosts(8, (0.0, 3.77, 1.7, 4.2, 2.94, 4.85, 0.0, 0.0, 0.0, 0.0)),
    "convert_layout channels swapped": LoopCosts(8, (117.2, 3.71, 2.03, 3.93, 2.83, 9.81, 0.58, 0.0, 0.0, 0.0)),
    "convert_layout rows swapped": LoopCosts(20, (155.69, 2.06, 2.39, 2.12, 2.32, 0.8, 1.09, 0.0, 0.0, 0.0)),
    "convert_layout swapped rows": LoopCosts(8, (11.01, 1.35, 1.49, 2.01, 2.13, 4.6, 0.0, 0.0, 0.0, 0.0)),
    "dense rows": LoopCosts(4, (0.0, 0.0, 0.0, 0.0, 0.0, 482.56, 0.0, 0.0, 0.0, 5.04)),
    "dense swapped": LoopCosts(4, (0.0, 0.0, 0.0, 0.0, 0.0, 330.32, 0.0, 0.0, 0.0, 5.34)),
    "depthwise channels": LoopCosts(4, (0.0, 3.65, 3.65, 3.65, 3.65, 0.36, 0.2, 0.03, 9.82, 7.39)),
    "depthwise rows": LoopCosts(4, (0.0, 3.33, 3.33, 3.33, 3.33, 0.0, 0.0, 1.03, 10.21, 4.64)),
    "depthwise swapped": LoopCosts(4, (0.0, 10.44, 10.44, 10.44, 10.44, 0.0, 0.96, 0.02, 0.0, 8.91)),
    "max channels channels": LoopCosts(4, (183.29, 0.0, 13.37, 13.37, 13.37, 0.0, 0.0, 0.0, 0.0, 5.09)),
    "max channels rows": LoopCosts(4, (0.0, 11.95, 0.0, 14.68, 14.51, 0.0, 0.0, 0.0, 0.0, 4.18)),
    "max channels swapped": LoopCosts(6, (0.0, 0.0, 0.0, 4.7, 5.42, 0.95, 0.92, 0.0, 0.0, 7.21)),
    "max rows rows": LoopCosts(12, (584.45, 0.58, 0.0, 5.36, 5.45, 0.0, 0.0, 0.0, 1.3, 3.02)),
    "max rows swapped": LoopCosts(12, (0.0, 0.0, 0.0, 6.11, 6.07, 0.0, 1.27, 0.0, 0.0, 4.02)),
    "max swapped rows": LoopCosts(6, (0.0, 0.65, 0.0, 4.48, 15.81, 0.0, 0.0, 0.0, 0.0, 4.07)),
    "max swapped swapped": LoopCosts(6, (0.0, 0.0, 0.0, 13.89, 16.0, 0.0, 0.6, 0.0, 0.0, 4.63)),
    "pointwise channels": LoopCosts(4, (3318.59, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.15, 0.0, 0.0)),
    "pointwise rows": LoopCosts(4, (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 4.63, 0.0, 0.0)),
    "pointwise swapped": LoopCosts(4, (0.0, 1.8, 1.8, 1.8, 1.8, 0.0, 0.0, 6.45, 0.0, 0.0)),
    "requant channels channels": LoopCosts(16, (0.0, 9.99, 11.16, 11.16, 11.16, 5.08, 0.95, 0.0, 0.0, 0.0)),
    "requant channels rows": LoopCosts(8, (0.0, 4.69, 2.52, 5.59, 3.95, 5.26, 0.0, 0.0, 0.0, 0.0)),
    "requant channels swapped": LoopCosts(20, (180.99, 5.31, 3.75, 5.79, 4.27, 2.66, 0.97, 0.0, 0.0, 0.0)),
    "requant rows channels": LoopCosts(16, (12.44, 2.52, 1.98, 3.58, 3.58, 0.23, 1.33, 0.0, 0.0, 0.0)),
    "requant rows rows": LoopCosts(20, (0.0, 3.43, 3.66, 9.26, 9.19, 0.03, 0.0, 0.0, 0.0, 0.0)),
    "requant rows swapped": LoopCosts(20, (173.99, 3.14, 3.23, 3.41, 3.08, 3.12, 0.94, 0.0, 0.0, 0.0)),
    "requant swapped channels": LoopCosts(16, (0.0, 4.06, 5.71, 5.71, 5.71, 19.08, 0.0, 0.0, 0.0, 0.0)),
    "requant swapped rows": LoopCosts(20, (0.0, 2.84, 2.86, 3.38, 3.28, 3.94, 0.0, 0.0, 0.0, 0.0)),
    "requant swapped swapped": LoopCosts(16, (0.0, 2.27, 2.47, 3.47, 2.87, 18.04, 0.0, 0.0, 0.0, 0.0)),
    "scale channels channels": LoopCosts(8, (34.7, 8.18, 18.6, 18.6, 18.6, 7.4, 0.77, 0.33, 0.0, 0.0)),
    "scale channels rows": LoopCosts(8, (940.47, 9.16, 9.98, 15.17, 13.45, 0.0, 0.0, 0.0, 0.0, 0.0)),
    "scale channels swapped": LoopCosts(8, (0.0, 8.51, 11.04, 17.73, 13.87, 0.0, 1.36, 0.45, 0.0, 0.0)),
    "scale rows rows": LoopCosts(12, (316.73, 8.03, 8.16, 14.15, 12.63, 2.98, 0.0, 0.0, 0.0, 0.0)),
    "scale rows swapped": LoopCosts(12, (129.3, 8.26, 8.13, 16.06, 16.02, 0.0, 1.08, 0.58, 0.0, 0.0)),
    "scale swapped channels": LoopCosts(8, (0.0, 10.39, 20.15, 20.15, 20.15, 14.13, 0.0, 0.0, 0.0, 0.0)),
    "scale swapped rows": LoopCosts(12, (0.0, 8.47, 9.0, 16.51, 16.22, 1.28, 0.0, 0.0, 0.0, 0.0)),
    "scale swapped swapped": LoopCosts(12, (0.0, 8.0, 8.11, 14.18, 14.38, 0.77, 1.23, 0.63, 0.0, 0.0)),
    "transpose channels channels": LoopCosts(16, (313.6, 2.23, 2.56, 2.56, 2.56, 0.0, 1.34, 0.0, 0.0, 0.0)),
    "transpose channels rows": LoopCosts(20, (0.0, 3.3, 2.19, 4.4, 3.26, 3.87, 0.0, 0.0, 0.0, 0.0)),
    "transpose channels swapped": LoopCosts(20, (396.9, 3.04, 2.35, 4.24, 3.0, 9.64, 0.49, 0.0, 0.0, 0.0)),
    "transpose rows rows": LoopCosts(20, (101.84, 2.01, 1.87, 2.48, 2.19, 3.07, 0.0, 0.0, 0.0, 0.0)),
    "transpose rows swapped": LoopCosts(20, (612.55, 2.18, 2.17, 2.49, 2.08, 0.95, 0.97, 0.0, 0.0, 0.0)),
    "transpose swapped rows": LoopCosts(4, (0.0, 1.19, 1.04, 4.27, 2.57, 4.59, 0.0, 0.0, 0.0, 0.0)),
    "transpose swapped swapped": LoopCosts(4, (0.0, 1.46, 1.43, 4.38, 2.94, 4.17, 0.94, 0.0, 0.0, 0.0)),
}
