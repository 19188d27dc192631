"""htvm_ir as a backend of TVM's Relax: kernels of a target's engines, found by patterns, compiled by our pipeline.

Importing this package imports neither TVM nor the compiler: TVM calls :func:`register` at each ``import tvm``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CODEGEN = "relax.ext.htvm"
"""The global function by which Relax finds the code generator of functions with ``Codegen`` = ``htvm``."""


def register() -> None:
    """Make the code generator known to TVM; the entry point in the group ``tvm.backends``."""
    from htvm_ir.integrations.tvm.bindings import tvm_ffi

    tvm_ffi().register_global_func(CODEGEN, _generate, override=True)


def _generate(functions: Any, options: Any, constant_names: Any) -> list[Any]:
    from htvm_ir.integrations.tvm.codegen import generate

    del options, constant_names
    return [generate(function) for function in functions]


def partition(
    mod: Any,
    target: str = "diana",
    *,
    engines: tuple[str, ...] | None = None,
    params: Mapping[str, Any] | None = None,
    merge: bool = True,
) -> Any:
    """Move what the engines of a target compute exactly into functions of their own, for ``RunCodegen``.

    mod: a Relax module; it is not changed. engines: those to ask, None = all. params: values of parameters of ``main``,
    by name; weights must be known. merge: neighbours become one function, so that tensors between them need not
    leave the engine's layout and memory.

    Raises:
        HtvmError: TVM is not installed, or there is no such target or engine.
    """
    from htvm_ir.integrations.tvm.partitioner import partition as run

    return run(mod, target, engines, params or {}, merge)


__all__ = ["CODEGEN", "partition", "register"]
