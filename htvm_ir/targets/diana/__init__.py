"""diana."""
