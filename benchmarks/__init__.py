"""Measurements of the compiler itself: every figure is printed, those that have a bar with a verdict."""
