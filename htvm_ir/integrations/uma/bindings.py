"""The parts of TVM 0.10 to 0.19 that we use; they have no types, and no later version has them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from htvm_ir.errors import HtvmError

UMA = "tvm.relay.backend.contrib.uma"


def require_uma() -> None:
    """Import UMA.

    Raises:
        HtvmError: it is not there.
    """
    try:
        import_module(f"{UMA}.backend")
    except ModuleNotFoundError as error:
        if not UMA.startswith(str(error.name)):
            raise
        raise HtvmError(
            "this needs TVM 0.10 to 0.19, which have UMA; for later ones there is htvm_ir.integrations.tvm.partition"
        ) from None


def module(name: str) -> Any:
    """A module of TVM by its full name."""
    return import_module(name)
