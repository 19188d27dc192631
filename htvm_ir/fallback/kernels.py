"""One external kernel from an ONNX model: TVM's C, the functions it calls, and its buffers planned in a workspace."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from htvm_ir.errors import HtvmError
from htvm_ir.fallback.lowered import LITERAL, Buffer, Lowered, lower
from htvm_ir.frontends.onnx.external.kernel import Kernel
from htvm_ir.memory.plan import plan
from htvm_ir.memory.problem import Buffer as Planned

if TYPE_CHECKING:
    import onnx

MATH = Path(__file__).parent / "runtime" / "math.c"
"""Functions of libm in single precision, each behind a line ``// name: what it needs``."""

Function = tuple[tuple[str, ...], str]
"""The functions that one calls, and its C."""

_ALIGNMENT = 8
_TYPES = {"float32": "float", "float64": "double", "bool": "_Bool"}
"""C types of TVM's that are not called like TVM's type with ``_t``."""

_GUARDS = (
    "#pragma GCC diagnostic push\n"
    '#pragma GCC diagnostic ignored "-Wconversion"\n'
    '#pragma GCC diagnostic ignored "-Wunused-parameter"\n'
    '#pragma GCC diagnostic ignored "-Wunused-variable"',
    "#pragma GCC diagnostic pop",
)


def compile_kernel(symbol: str, model: onnx.ModelProto) -> Kernel:
    """The kernel ``void symbol(inputs..., constants..., output, uint8_t *workspace)`` of a model with one output.

    Raises:
        HtvmError: TVM cannot compile the model, or calls a function that there is none of here.
    """
    lowered = lower(model)
    constants = _constants(lowered)
    offsets, workspace = _workspace(lowered)
    body = _body(lowered, symbol, offsets)
    head = [f"const {_c_type(lowered.buffers[name])} *{name}" for name in lowered.inputs]
    head += [f"const {_c_name(_stored(array))} *c{index}" for index, array in enumerate(constants)]
    head.append(f"{_c_type(lowered.buffers[lowered.output])} *output")
    head += ["int8_t *workspace"] if workspace else []
    kernels = _kernels(lowered.source, symbol)
    entry = f"static void {symbol}({', '.join(head)}) {{\n{body}\n}}"
    functions = _functions(kernels, symbol)
    kernels = re.sub(rf"\b({'|'.join(library())})\(", r"htvm_\1(", kernels)
    source = "\n\n".join([_GUARDS[0], *functions, kernels, entry, _GUARDS[1]])
    return Kernel(symbol, source, tuple(constants), workspace)


def _stored(array: NDArray[Any]) -> str:
    """What the module stores a constant as."""
    return "int8" if array.dtype == np.bool_ else str(array.dtype)


def _c_name(dtype: str) -> str:
    return _TYPES.get(dtype, f"{dtype}_t")


def _c_type(buffer: Buffer) -> str:
    return _c_name(buffer.dtype)


def _constants(lowered: Lowered) -> list[NDArray[Any]]:
    """The arrays that the calls read, in order."""
    return [a for call in lowered.calls for a in call.arguments if not isinstance(a, str)]


def _workspace(lowered: Lowered) -> tuple[dict[str, int], int]:
    """Where each buffer between calls lies, and how many bytes that takes."""
    alive: dict[str, list[int]] = {}
    for step, call in enumerate(lowered.calls):
        for name in call.arguments:
            if isinstance(name, str) and name not in (*lowered.inputs, lowered.output):
                alive.setdefault(name, []).append(step)
    buffers = [
        Planned(name, _bytes(lowered.buffers[name]), steps[0], steps[-1] + 1, _ALIGNMENT)
        for name, steps in alive.items()
    ]
    if not buffers:
        return {}, 0
    placement = plan(buffers)
    return dict(placement.offsets), placement.bytes


def _bytes(buffer: Buffer) -> int:
    size = buffer.size * np.dtype(buffer.dtype).itemsize
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _body(lowered: Lowered, symbol: str, offsets: Mapping[str, int]) -> str:
    """The calls, one a line."""
    lines: list[str] = []
    count = 0
    for call in lowered.calls:
        arguments: list[str] = []
        for argument in call.arguments:
            if not isinstance(argument, str):
                arguments.append(f"({_c_name(str(argument.dtype))} *)(uintptr_t)c{count}")
                count += 1
            elif argument in lowered.inputs:
                arguments.append(f"({_c_type(lowered.buffers[argument])} *)(uintptr_t){argument}")
            elif argument == lowered.output:
                arguments.append("output")
            else:
                kind = _c_type(lowered.buffers[argument])
                arguments.append(f"({kind} *)(void *)(workspace + {offsets[argument]})")
        lines.append(f"  {symbol}_{call.function}({', '.join(arguments)});")
    return "\n".join(lines)


def _kernels(source: str, symbol: str) -> str:
    """TVM's definitions without its includes, static, in names of their own, with exact literals."""
    start = source.index("TVM_DLL")
    text = re.sub(r"#ifdef __cplusplus\nextern \"C\"\n#endif\n", "", source[start:])
    text = re.sub(r"^TVM_DLL (?!void tvm_)[^{};]*;\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^TVM_DLL void tvm_[^{};]*;\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"\bbool\b", "_Bool", text)
    text = text.replace("TVM_DLL void tvm_", f"static void {symbol}_tvm_")
    text = re.sub(rf"{LITERAL}\((?:\(int64_t\))?(\d+)\)", _literal, text)
    if "TVMBackend" in text or LITERAL in text:
        raise HtvmError("TVM cannot compile it: its C calls TVM's run time")
    return text.strip()


def _literal(found: re.Match[str]) -> str:
    (value,) = struct.unpack("<f", struct.pack("<I", int(found[1])))
    if np.isfinite(value):
        return f"{float(value).hex()}f"
    return "(0.0f / 0.0f)" if np.isnan(value) else f"({'-' if value < 0 else ''}1.0f / 0.0f)"


def _functions(kernels: str, symbol: str) -> list[str]:
    """The definitions of what the kernels call, in the order of the library.

    Raises:
        HtvmError: the library lacks one.
    """
    known = library()
    keywords = {"for", "if", "while", "return", "sizeof"}
    called = set(re.findall(r"\b([A-Za-z_]\w*)\(", kernels)) - keywords
    called = {name for name in called if not name.startswith(f"{symbol}_tvm_")}
    missing = sorted(called - known.keys())
    if missing:
        raise HtvmError(f"TVM's kernel calls {', '.join(missing)}, which is not in htvm_ir's library of functions")
    needed = closure(called, known)
    return [_once(name, known[name][1]) for name in known if name in needed]


def _once(name: str, text: str) -> str:
    """A definition that several kernels of a file may bring."""
    guard = f"HTVM_{name.upper()}"
    return f"#ifndef {guard}\n#define {guard}\n{text}\n#endif"


def closure(called: set[str], known: Mapping[str, Function]) -> set[str]:
    """Functions and all that they call."""
    needed, waiting = set[str](), list(called)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += known[name][0]
    return needed


def library() -> dict[str, Function]:
    """By name: the functions it needs, and its C under a name that no libm has."""
    text = MATH.read_text()
    parts = re.split(r"^// (\w+):([^\n]*)\n", text, flags=re.MULTILINE)
    return {parts[n]: (tuple(parts[n + 1].split()), parts[n + 2].strip()) for n in range(1, len(parts), 3)}
