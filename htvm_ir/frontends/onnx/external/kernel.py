"""What a front end wants of a compiler for kernels that htvm_ir does not implement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Kernel:
    """``void symbol(inputs..., constants..., output, int8_t *workspace)``, defined in ``source``.

    constants: arrays of numbers, row-major. workspace: bytes; without any, the last parameter is missing.
    """

    symbol: str
    source: str
    constants: tuple[NDArray[Any], ...]
    workspace: int


Compiler = Callable[[str, "onnx.ModelProto"], Kernel]
"""(symbol, model with static shapes and one output) -> its kernel; HtvmError if it cannot."""
