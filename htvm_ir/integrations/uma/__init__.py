"""htvm_ir as a UMA backend of TVM 0.10 to 0.19 (``tvm.relay.backend.contrib.uma``).

::

    backend = HtvmBackend(params, target="diana")
    backend.register()
    mod = backend.partition(mod)  # without params: what is bound cannot be taken
    lib = relay.build(mod, [Target("c"), Target("htvm", host=Target("c"))], params=params, ...)
    backend.write(Path("kernels"))  # compile these with the library

Importing this package imports no TVM; naming ``HtvmBackend`` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    HtvmBackend: Any

__all__ = ["HtvmBackend"]


def __getattr__(name: str) -> Any:
    """The class, which can be defined only where its base class is.

    Raises:
        HtvmError: there is no TVM that has UMA.
    """
    if name != "HtvmBackend":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from importlib import import_module

    from htvm_ir.integrations.uma.bindings import require_uma

    require_uma()
    return import_module("htvm_ir.integrations.uma.backend").HtvmBackend
