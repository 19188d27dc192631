"""Measurements of the compiler itself; nothing here asserts, everything prints its figure."""
