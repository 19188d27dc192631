"""Kernels of the host by other compilers, for what htvm_ir does not implement: today by TVM, if it is installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from htvm_ir.errors import HtvmError

if TYPE_CHECKING:
    from htvm_ir.frontends.onnx.external.kernel import Compiler

INSTALL = "pip install 'htvm-ir[tvm]'"
"""What makes ``--fallback=tvm`` possible."""

FALLBACKS = ("tvm", "none")
"""What ``--fallback`` takes; left out: TVM where it is installed."""


def is_installed() -> bool:
    """Whether TVM can be imported; does not import it."""
    found = (find_spec(name) for name in ("tvm", "tvm_ffi"))
    return all(spec is not None and spec.origin is not None for spec in found)


def hint(fallback: str | None) -> str:
    """What to tell a user whose network needs a fallback that there is none of; '' if installing one is no remedy."""
    return "" if fallback == "none" or is_installed() else f"TVM can compile it for the CPU: {INSTALL}"


def compiler(fallback: str | None) -> Compiler | None:
    """Who compiles what htvm_ir does not implement; ``fallback`` is one of FALLBACKS, ``None`` = the default.

    Raises:
        HtvmError: TVM is asked for, and not installed.
    """
    if fallback == "none" or (fallback is None and not is_installed()):
        return None
    if not is_installed():
        raise HtvmError(f"--fallback tvm needs TVM; install it with {INSTALL}")
    from htvm_ir.fallback.kernels import compile_kernel

    return compile_kernel
