"""Execution of ``accel.external``: the very C of the kernel, compiled for this machine.

The C computes with correctly rounded operations and functions it defines itself, and is compiled without contraction,
so that every machine gets the same bits.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from xdsl.interpreter import Interpreter, InterpreterFunctions, PythonValues, impl, register_impls
from xdsl.utils.exceptions import InterpretationError

from htvm_ir.dialects.external import ExternalOp
from htvm_ir.dialects.graph import tensor_type
from htvm_ir.errors import HtvmError
from htvm_ir.interpreters.machine import POISON
from htvm_ir.interpreters.numpy_types import Array, dtype_of, static_shape

_FLAGS = ("-std=c11", "-O1", "-ffp-contract=off", "-fPIC", "-shared", "-w", "-g0")


def compile_library(source: str) -> ctypes.CDLL:
    """C for this machine.

    Raises:
        HtvmError: the C compiler refuses the source.
    """
    with tempfile.TemporaryDirectory(prefix="htvm-") as folder:
        path, library = Path(folder, "kernel.c"), Path(folder, "kernel.so")
        path.write_text(source)
        command = [sys.executable, "-m", "ziglang", "cc", *_FLAGS, str(path), "-o", str(library)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise HtvmError(f"an external kernel cannot be compiled: {' '.join(done.stderr.split())[:300]}")
        return ctypes.CDLL(str(library))


@lru_cache(maxsize=64)
def _compiled(source: str, symbol: str, arguments: int) -> Callable[..., None]:
    """The function on the addresses of its buffers."""
    passed = ", ".join(f"a[{index}]" for index in range(arguments))
    entry = f"void htvm_entry(void **a) {{ {symbol}({passed}); }}\n"
    function = compile_library(f"#include <stdint.h>\n{source}\n{entry}").htvm_entry
    function.restype = None
    return function


def call_external(op: ExternalOp, buffers: list[Array]) -> None:
    """Run the kernel on contiguous arrays: inputs, the output, and the workspace if there is one."""
    if not all(buffer.flags.c_contiguous for buffer in buffers):
        raise InterpretationError(f"{op.name} {op.symbol.data} needs buffers without gaps")
    function = _compiled(op.source.data, op.symbol.data, len(buffers))
    function((ctypes.c_void_p * len(buffers))(*(buffer.ctypes.data for buffer in buffers)))


@register_impls
class ExternalFunctions(InterpreterFunctions):
    """On tensors it makes its result, on buffers it fills the last but one or the last."""

    @impl(ExternalOp)
    def run_external(self, interpreter: Interpreter, op: ExternalOp, args: tuple[Any, ...]) -> PythonValues:
        if not op.results_:
            call_external(op, list(args))
            return ()
        type_ = tensor_type(op.results_[0])
        result = np.empty(static_shape(type_), dtype_of(type_.element_type))
        workspace = np.full(op.workspace.value.data, POISON, np.uint8)
        buffers = [*map(np.ascontiguousarray, args), result]
        call_external(op, buffers + [workspace] * bool(workspace.size))
        return (result,)
