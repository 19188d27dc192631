"""Tile sizes and loop order of least latency: a pure solver."""
