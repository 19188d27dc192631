"""``tvmgen_<mod>.h``: the interface of TVM's ahead-of-time executor, and the functions that map its tensors."""

from __future__ import annotations

from collections.abc import Sequence

from htvm_ir.backend.c.interface import PACKED, Frame, Pool
from htvm_ir.backend.c.signature import Tensor, function_head

PACKED_HEADER = "htvm_packed.h"
"""The types in a packed function's signature; the same file for all modules of an image."""


def one_line(text: str) -> str:
    """Text that can neither end nor continue a line comment."""
    return "".join(c if c.isprintable() and c != "\\" else "?" for c in text)


def interface_header(frame: Frame) -> str:
    """The header of a module."""
    guard = f"{frame.prefix.upper()}_H"
    includes = ["#include <stdint.h>"]
    if frame.interface.calls == "packed":
        includes.append(f'#include "{PACKED_HEADER}"')
    parts = [
        f"// {one_line(frame.title)}.\n#ifndef {guard}\n#define {guard}\n\n" + "\n".join(includes),
        '#ifdef __cplusplus\nextern "C" {\n#endif',
        *_sizes(frame),
        *(_macros(frame.prefix.upper(), tensor) for tensor in frame.boundary.tensors),
        *_structs(frame),
        *_map_declarations(frame),
        f"{_run_comment(frame)}\n{run_head(frame)};",
        "#ifdef __cplusplus\n}\n#endif",
        f"#endif  // {guard}\n",
    ]
    return "\n\n".join(parts)


def _sizes(frame: Frame) -> list[str]:
    """Macros of the workspace and the pools."""
    what = {
        "static": "Bytes of the static arena; the caller provides nothing.",
        "backend": f"Bytes a run takes from TVMBackendAllocWorkspace{_where(frame.pools)}.",
        "pools": "Bytes of all workspace pools.",
    }[frame.interface.workspace]
    texts = [f"// {what}\n#define {frame.prefix.upper()}_WORKSPACE_SIZE {frame.workspace}"]
    for pool in frame.given_pools:
        macro = f"{frame.prefix.upper()}_{pool.name.upper()}_WORKSPACE_POOL_SIZE"
        what = f"Bytes of the pool '{pool.name}', of any alignment{_where([pool])}."
        texts.append(f"// {what}\n#define {macro} {pool.room}")
    return texts


def _where(pools: Sequence[Pool]) -> str:
    """The memory that these must lie in, and the attribute of C variables that does it."""
    if not pools:
        return ""
    section = pools[0].memory.arena_section
    return f", in memory {pools[0].memory.name}" + (f" ({section} places a variable there)" if section else "")


def _structs(frame: Frame) -> list[str]:
    """The structs of ``_run``; those of the tensors also where only the map functions need them."""
    texts: list[str] = []
    if frame.interface.calls == "c" or frame.boundary.has_places:
        texts.append(_struct(f"{frame.prefix}_inputs", [t.name for t in frame.boundary.inputs]))
        texts.append(_struct(f"{frame.prefix}_outputs", [t.name for t in frame.boundary.outputs]))
    if frame.given_pools:
        texts.append(_struct(f"{frame.prefix}_workspace_pools", [pool.name for pool in frame.given_pools]))
    if frame.devices:
        context = "// What the hooks TVMDevice*Activate, Open, Close and Deactivate are called with.\n"
        texts.append(context + _struct(f"{frame.prefix}_devices", [device.name for device in frame.devices]))
    return texts


def _run_comment(frame: Frame) -> str:
    lines = ["// Run the network once; 0 = done. Not re-entrant while it runs. Buffers are aligned to 4 bytes."]
    if frame.interface.calls == "packed":
        names = ", ".join(tensor.name for tensor in frame.boundary.tensors)
        lines.append(f"// args: handles of DLTensors, whose data are {names}; all else is TVM's and not read.")
    return "\n".join(lines)


def run_head(frame: Frame) -> str:
    """The head of ``tvmgen_<mod>_run``."""
    if frame.interface.calls == "packed":
        return function_head(f"{frame.prefix}_run", [f"{type_}{name}" for type_, name in PACKED])
    structs = ["inputs", "outputs", *(["workspace_pools"] if frame.given_pools else [])]
    structs += ["devices"] if frame.devices else []
    return function_head(f"{frame.prefix}_run", [f"struct {frame.prefix}_{name} *{name}" for name in structs])


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


def _struct(name: str, members: Sequence[str]) -> str:
    text = "\n".join(f"  void* {member};" for member in members)
    return f"struct {name} {{\n{text}\n}};"


def _map_heads(frame: Frame) -> tuple[str, str]:
    """The functions that tell the caller of room in the arena; TVM's have these names."""
    prefix = frame.prefix
    pools = f"struct {prefix}_workspace_pools *workspace_pools" if frame.given_pools else "void"
    return (
        f"struct {prefix}_inputs {prefix}_map_inputs({pools})",
        f"struct {prefix}_outputs {prefix}_map_outputs({pools})",
    )


def _map_declarations(frame: Frame) -> list[str]:
    if not frame.boundary.has_places:
        return []
    heads = "\n".join(f"{head};" for head in _map_heads(frame))
    return [f"// Room inside the arena for the inputs, which a run overwrites, and for the outputs.\n{heads}"]


def map_functions(frame: Frame) -> list[str]:
    """The definitions of ``tvmgen_<mod>_map_inputs`` and ``_outputs``, if there is room."""
    if not frame.boundary.has_places:
        return []
    arenas = {
        pool.memory.name: pool.arena
        if frame.owns_arenas
        else f"aligned(workspace_pools->{pool.name}, {pool.memory.alignment})"
        for pool in frame.pools
    }
    texts: list[str] = []
    for head, tensors in zip(_map_heads(frame), (frame.boundary.inputs, frame.boundary.outputs), strict=True):
        places = [(t.name, t.place) for t in tensors]
        members = ", ".join(f".{n} = &{arenas[place[0]]}[{place[1]}]" for n, place in places if place is not None)
        struct = " ".join(head.split()[:2])
        texts.append(f"{head} {{\n  return ({struct}){{ {members} }};\n}}")
    return texts
