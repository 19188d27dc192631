"""Solvers for the order and the place of whole kernels."""
