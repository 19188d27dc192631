"""ONNX front end: a model file to a module of ``graph`` operations.

``reader`` checks the file and makes a light view of it; one file per quantisation convention turns the view into
operations. There is one so far: ``integer``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from xdsl.dialects.builtin import ModuleOp

from htvm_ir.errors import HtvmError
from htvm_ir.frontends.onnx.integer import import_integer
from htvm_ir.frontends.onnx.reader import read_graph

if TYPE_CHECKING:
    import onnx

__all__ = ["import_model"]


def import_model(
    source: Path | onnx.ModelProto,
    *,
    name: str | None = None,
    input_ranges: Mapping[str, tuple[int, int]] | None = None,
) -> ModuleOp:
    """A network as ``func.func @main`` on integer tensors, batch 1.

    ``name`` replaces the stem of the file. ``input_ranges`` gives the least and the greatest integer of
    inputs that the network does not quantise itself; they are int8 otherwise. Raises HtvmError, with the
    file and the node, for anything that is not an integer net or not supported.
    """
    try:
        return import_integer(read_graph(source, name), input_ranges or {})
    except HtvmError as error:
        where = str(source) if isinstance(source, Path) else "the model"
        raise HtvmError(_one_line(f"{where}: {error}")) from None


def _one_line(message: str) -> str:
    """``message`` without the control characters that names in a damaged file may hold."""
    return "".join(c if c.isprintable() else "?" for c in message)
