"""An MLIR-style multi-level IR compiler for heterogeneous TinyML systems on chip.

``htvm_ir.compile("model.onnx", Options(target="diana"))`` is what ``htvm compile`` does. Passes, dialects and targets
are importable one by one and known to xDSL tools through the entry point ``xdsl.universe``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from htvm_ir.driver.compile import Compiled, Options
    from htvm_ir.driver.compile import compile_model as compile

__all__ = ["Compiled", "Options", "compile"]


def __getattr__(name: str) -> Any:
    """Import the compiler when it is first used, so that ``import htvm_ir`` costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module 'htvm_ir' has no attribute '{name}'")
    from htvm_ir.driver import compile as driver

    return {"compile": driver.compile_model, "Options": driver.Options, "Compiled": driver.Compiled}[name]
