"""Offsets for buffers whose lifetimes overlap: a pure solver."""
