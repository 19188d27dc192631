"""Loops of the host core, one file per kind of operator; ``passes/lower_host.py`` puts them together."""
