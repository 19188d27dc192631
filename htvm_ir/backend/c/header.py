"""``tvmgen_<mod>.h``: the interface of TVM's ahead-of-time executor, unpacked, and the function behind it."""

from __future__ import annotations

from htvm_ir.backend.c.signature import Boundary, Tensor


def one_line(text: str) -> str:
    """Text that can neither end nor continue a line comment."""
    return "".join(c if c.isprintable() and c != "\\" else "?" for c in text)


def interface_header(name: str, title: str, boundary: Boundary, workspace: int) -> str:
    """The header of module ``name``: ``workspace`` is in bytes and already part of the C files."""
    prefix = f"tvmgen_{name}"
    guard = f"{prefix.upper()}_H"
    parts = [
        f"// {one_line(title)}.\n#ifndef {guard}\n#define {guard}\n\n#include <stdint.h>",
        '#ifdef __cplusplus\nextern "C" {\n#endif',
        "// Bytes of the static arena; the caller provides nothing.\n"
        f"#define {prefix.upper()}_WORKSPACE_SIZE {workspace}",
        *(_macros(prefix.upper(), tensor) for tensor in boundary.tensors),
        _struct(f"{prefix}_inputs", boundary.inputs),
        _struct(f"{prefix}_outputs", boundary.outputs),
        f"// Run the network once; 0 = done. Not re-entrant while it runs.\n{_run_head(prefix)};",
        "#ifdef __cplusplus\n}\n#endif",
        f"#endif  // {guard}\n",
    ]
    return "\n\n".join(parts)


def _run_head(prefix: str) -> str:
    return f"int32_t {prefix}_run(struct {prefix}_inputs *inputs, struct {prefix}_outputs *outputs)"


def _macros(prefix: str, tensor: Tensor) -> str:
    """Bytes of a tensor and how its integers map to real numbers."""
    macro = f"{prefix}_{tensor.name.upper()}"
    shape = "x".join(str(n) for n in tensor.type.get_shape())
    onnx = f" '{one_line(tensor.onnx_name)}'" if tensor.onnx_name else ""
    also = "".join(f", also called '{one_line(alias)}'" for alias in tensor.aliases)
    kind = "Output" if tensor.is_output else "Input"
    lines = [
        f"// {kind}{onnx}{also}: {shape} {tensor.element}, row-major. Bytes:",
        f"#define {macro}_SIZE {tensor.bytes}",
    ]
    if tensor.scale is not None:
        lines += [
            f"// real number = {macro}_SCALE * (integer - {macro}_ZERO_POINT)",
            f"#define {macro}_SCALE {tensor.scale!r}",
            f"#define {macro}_ZERO_POINT ({tensor.zero_point})",
        ]
    return "\n".join(lines)


def _struct(name: str, tensors: list[Tensor]) -> str:
    members = "\n".join(f"  void* {tensor.name};" for tensor in tensors)
    return f"struct {name} {{\n{members}\n}};"


def run_function(name: str, boundary: Boundary) -> str:
    """The definition of ``tvmgen_<mod>_run``."""
    prefix = f"tvmgen_{name}"
    arguments = ", ".join(f"outputs->{t.name}" if t.is_output else f"inputs->{t.name}" for t in boundary.tensors)
    return f"{_run_head(prefix)} {{\n  return {prefix}___tvm_main__({arguments});\n}}"
