"""TVM as far as we use it. It has no type annotations that a checker could rely on, and need not be installed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from htvm_ir.errors import HtvmError


def tvm() -> Any:
    """The module ``tvm``.

    Raises:
        HtvmError: it is not installed.
    """
    return _installed("tvm")


def tvm_ffi() -> Any:
    """The module ``tvm_ffi``, which every TVM with our interface brings."""
    return _installed("tvm_ffi")


def relax() -> Any:
    """The module ``tvm.relax``."""
    tvm()
    return import_module("tvm.relax")


def backend_utils() -> Any:
    """The module ``tvm.relax.backend.utils``."""
    tvm()
    return import_module("tvm.relax.backend.utils")


def _installed(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise HtvmError("TVM is not installed; pip install 'htvm-ir[tvm]'") from None
