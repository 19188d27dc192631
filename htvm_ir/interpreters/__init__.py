"""Executable meaning of every level of the IR on numpy arrays; :mod:`htvm_ir.interpreters.run` is the way in."""
