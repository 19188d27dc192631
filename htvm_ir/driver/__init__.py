"""From a model to a package, and from a package to a run: what the command line and Python users call."""
