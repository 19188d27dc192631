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
    "add channels channels": LoopCosts(8, (4.21, 5.03, 7.0, 7.0, 7.0, 5.72, 0.0, 1.05, 0.0, 0.0, 0.0)),
    "add channels swapped": LoopCosts(20, (368.84, 9.15, 5.98, 9.81, 8.38, 0.0, 3.02, 0.0, 0.0, 0.0, 0.0)),
    "add rows rows": LoopCosts(4, (12.33, 12.01, 12.01, 12.01, 12.01, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)),
    "add rows swapped": LoopCosts(20, (0.0, 5.03, 5.19, 7.02, 7.07, 6.74, 0.37, 0.75, 0.0, 0.0, 0.0)),
    "add swapped channels": LoopCosts(8, (0.0, 5.39, 8.27, 8.27, 8.27, 17.39, 0.0, 0.0, 0.0, 0.0, 0.0)),
    "add swapped rows": LoopCosts(20, (0.0, 5.34, 5.15, 7.01, 6.89, 5.11, 0.0, 0.0, 0.0, 0.0, 0.0)),
    "add swapped swapped": LoopCosts(12, (0.0, 4.73, 4.87, 7.01, 5.84, 10.22, 0.28, 0.0, 0.0, 0.0, 0.0)),
    "average channels": LoopCosts(4, (1484.58, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.19)),
    "average rows": LoopCosts(4, (200.53, 2.93, 2.93, 2.93, 2.93, 0.0, 0.0, 0.0, 0.0, 1.98, 2.16)),
    "average swapped": LoopCosts(4, (859.32, 0.0, 0.0, 0.0, 0.0, 0.0, 1.71, 0.0, 0.07, 2.87, 1.71)),
    "clip swapped channels": LoopCosts(64, (201.22, 3.64, 6.08, 6.08, 6.08, 3.73, 0.0, 0.0, 0.0, 0.0, 0.0)),
    "clip swapped swapped": LoopCosts(4, (840.34, 2.13, 4.83, 1.75, 1.73, 4.27, 2.11, 0.0, 0.0, 0.0, 0.0)),
    "conv2d rows": LoopCosts(4, (0.0, 16.68, 16.68, 16.68, 16.68, 439.81, 0.0, 0.0, 15.71, 0.0, 4.76)),
    "conv2d swapped": LoopCosts(4, (45834.56, 49.94, 49.94, 49.94, 49.94, 0.0, 0.0, 0.0, 15.49, 0.0, 6.48)),
    "convert_layout channels rows": LoopCosts(4, (0.0, 2.45, 2.45, 2.45, 2.41, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)),
    "convert_layout channels swapped": LoopCosts(12, (65.55, 2.15, 2.01, 2.47, 2.43, 2.23, 0.97, 0.48, 0.0, 0.0, 0.0)),
    "convert_layout rows rows": LoopCosts(64, (0.0, 0.65, 3.0, 0.57, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)),
    "convert_layout rows swapped": LoopCosts(6, (21.3, 2.24, 2.08, 2.12, 2.06, 3.11, 1.33, 1.42, 0.0, 0.0, 0.0)),
    "convert_layout swapped rows": LoopCosts(20, (16.3, 1.95, 1.89, 2.11, 1.99, 5.69, 0.0, 0.0, 0.0, 0.0, 0.0)),
    "dense rows": LoopCosts(4, (0.0, 0.0, 0.0, 0.0, 0.0, 457.62, 15.27, 0.0, 0.0, 0.0, 5.05)),
    "depthwise channels": LoopCosts(4, (0.0, 6.78, 6.78, 6.78, 6.78, 0.0, 0.0, 0.0, 0.12, 2.62, 9.57)),
    "depthwise rows": LoopCosts(4, (0.0, 3.33, 3.33, 3.33, 3.33, 0.0, 0.0, 0.0, 1.03, 10.21, 4.64)),
    "depthwise swapped": LoopCosts(4, (0.0, 10.43, 10.43, 10.43, 10.43, 0.0, 0.0, 1.85, 0.02, 0.0, 8.89)),
    "max channels channels": LoopCosts(4, (0.0, 0.0, 15.81, 15.81, 15.81, 0.0, 0.0, 0.0, 0.0, 0.0, 4.53)),
    "max channels swapped": LoopCosts(6, (0.0, 0.0, 0.0, 4.66, 5.5, 0.0, 0.0, 1.32, 0.0, 0.0, 7.23)),
    "max rows rows": LoopCosts(12, (584.45, 0.58, 0.0, 5.36, 5.45, 0.0, 0.0, 0.0, 0.0, 1.3, 3.02)),
    "max rows swapped": LoopCosts(12, (191.74, 0.0, 0.0, 5.65, 6.15, 0.0, 0.0, 0.0, 0.0, 0.0, 4.14)),
    "max swapped rows": LoopCosts(6, (0.0, 0.65, 0.0, 4.48, 15.81, 0.0, 0.0, 0.0, 0.0, 0.0, 4.07)),
    "max swapped swapped": LoopCosts(6, (0.0, 0.0, 0.0, 14.43, 16.67, 0.0, 0.0, 0.63, 0.0, 0.0, 4.46)),
    "pointwise rows": LoopCosts(4, (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 4.63, 0.0, 0.0)),
    "pointwise swapped": LoopCosts(4, (0.0, 1.96, 1.96, 1.96, 1.96, 0.0, 0.0, 0.0, 6.42, 0.0, 0.0)),
    "requant channels channels": LoopCosts(8, (3.74, 2.99, 4.75, 4.75, 4.75, 5.27, 0.0, 0.93, 0.0, 0.0, 0.0)),
    "requant channels swapped": LoopCosts(6, (111.13, 5.57, 3.16, 5.62, 3.81, 2.39, 3.09, 0.0, 0.0, 0.0, 0.0)),
    "requant rows channels": LoopCosts(16, (0.0, 1.91, 3.54, 3.54, 3.54, 8.19, 0.0, 0.0, 0.0, 0.0, 0.0)),
    "requant rows rows": LoopCosts(4, (7.2, 9.0, 9.0, 9.0, 9.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)),
    "requant rows swapped": LoopCosts(64, (13.55, 3.01, 3.01, 4.76, 2.99, 4.85, 1.01, 1.04, 0.0, 0.0, 0.0)),
    "requant swapped channels": LoopCosts(16, (0.0, 4.8, 5.89, 5.89, 5.89, 7.03, 0.0, 0.0, 0.0, 0.0, 0.0)),
    "requant swapped rows": LoopCosts(64, (10.85, 3.0, 3.0, 4.75, 4.0, 5.01, 0.0, 0.0, 0.0, 0.0, 0.0)),
    "requant swapped swapped": LoopCosts(64, (11.41, 3.0, 3.0, 4.75, 3.0, 5.0, 1.0, 1.0, 0.0, 0.0, 0.0)),
    "scale channels channels": LoopCosts(8, (42.29, 8.48, 18.9, 18.9, 18.9, 7.56, 0.0, 0.03, 0.02, 0.0, 0.0)),
    "scale channels swapped": LoopCosts(8, (494.73, 9.76, 10.38, 18.22, 14.11, 0.0, 2.89, 0.0, 0.0, 0.0, 0.0)),
    "scale rows rows": LoopCosts(12, (316.73, 8.03, 8.16, 14.15, 12.63, 2.98, 0.0, 0.0, 0.0, 0.0, 0.0)),
    "scale rows swapped": LoopCosts(12, (0.0, 8.47, 8.72, 16.5, 16.61, 0.0, 1.13, 1.08, 0.17, 0.0, 0.0)),
    "scale swapped channels": LoopCosts(8, (0.0, 10.5, 20.18, 20.18, 20.18, 3.28, 0.0, 0.0, 0.37, 0.0, 0.0)),
    "scale swapped rows": LoopCosts(12, (0.0, 8.47, 9.0, 16.51, 16.22, 1.28, 0.0, 0.0, 0.0, 0.0, 0.0)),
    "scale swapped swapped": LoopCosts(12, (154.75, 8.25, 8.19, 14.61, 15.17, 7.24, 0.0, 0.09, 0.0, 0.0, 0.0)),
    "signed sum rows": LoopCosts(4, (9.2, 9.61, 7.69, 9.61, 9.61, 0.0, 0.0, 0.0, 0.0, 0.0, 1.09)),
    "signed sum swapped": LoopCosts(4, (18.49, 8.55, 7.23, 8.55, 8.55, 0.0, 1.0, 0.99, 0.25, 3.25, 1.1)),
    "space_to_depth rows swapped": LoopCosts(12, (69.74, 1.29, 1.59, 1.93, 1.93, 4.38, 0.0, 1.88, 0.0, 0.0, 0.0)),
    "sum swapped": LoopCosts(4, (13.24, 6.75, 6.75, 6.75, 6.75, 2.55, 0.0, 0.0, 0.34, 3.46, 1.07)),
}
