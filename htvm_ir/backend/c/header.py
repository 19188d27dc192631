"""``tvmgen_<mod>.h``: the interface of TVM's ahead-of-time executor, unpacked, and the function behind it."""

from __future__ import annotations

from collections.abc import Mapping

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
        *_map_declarations(prefix, boundary),
        "// Run the network once; 0 = done. Not re-entrant while it runs. Buffers are aligned to 4 bytes.\n"
        f"{_run_head(prefix)};",
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


def _map_heads(prefix: str) -> tuple[str, str]:
    """The functions that tell the caller of room in the arena; TVM's have these names."""
    return (
        f"struct {prefix}_inputs {prefix}_map_inputs(void)",
        f"struct {prefix}_outputs {prefix}_map_outputs(void)",
    )


def _map_declarations(prefix: str, boundary: Boundary) -> list[str]:
    if not boundary.has_places:
        return []
    heads = "\n".join(f"{head};" for head in _map_heads(prefix))
    return [f"// Room inside the arena for the inputs, which a run overwrites, and for the outputs.\n{heads}"]


def map_functions(name: str, boundary: Boundary, arenas: Mapping[str, str]) -> list[str]:
    """The definitions of ``tvmgen_<mod>_map_inputs`` and ``_outputs``, if there is room.

    ``arenas``: C array of each memory.
    """
    if not boundary.has_places:
        return []
    prefix = f"tvmgen_{name}"
    texts: list[str] = []
    for head, tensors in zip(_map_heads(prefix), (boundary.inputs, boundary.outputs), strict=True):
        places = [(t.name, t.place) for t in tensors]
        members = ", ".join(f".{n} = &{arenas[place[0]]}[{place[1]}]" for n, place in places if place is not None)
        texts.append(f"{head} {{\n  return ({head.rpartition(' ')[0]}){{ {members} }};\n}}")
    return texts
