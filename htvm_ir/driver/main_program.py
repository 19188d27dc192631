"""The C of a bare-metal ``main`` that calls a compiled network once, in whichever form its interface has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from htvm_ir.backend.c.interface import arena_symbol

if TYPE_CHECKING:
    from htvm_ir.driver.edges import Edge
    from htvm_ir.targets.target import Target

PROGRAM = """\
#include <stddef.h>
#include <stdint.h>
#include "tvmgen_{module}.h"
{headers}
{declarations}
int main(void);
int main(void)
{{
{statements}
}}
"""

ALLOCATOR = """\
void *TVMBackendAllocWorkspace(int device_type, int device_id, uint64_t nbytes, int code_hint, int bits_hint);
int TVMBackendFreeWorkspace(int device_type, int device_id, void *ptr);
void *TVMBackendAllocWorkspace(int device_type, int device_id, uint64_t nbytes, int code_hint, int bits_hint)
{{
  (void)device_type, (void)device_id, (void)code_hint, (void)bits_hint;
  return nbytes <= sizeof {arena} ? {arena} : NULL;
}}
int TVMBackendFreeWorkspace(int device_type, int device_id, void *ptr)
{{
  (void)device_type, (void)device_id;
  return ptr == {arena} ? 0 : -1;
}}"""

HOOK = """\
int32_t {name}(void *context);
int32_t {name}(void *context)
{{
  (void)context;
  return 0;
}}"""


def main_source(facts: Mapping[str, Any], target: Target, inputs: Sequence[Edge], outputs: Sequence[Edge]) -> str:
    """A program with static buffers, or the room the network has for them, and one call.

    facts: the ``interface`` object of the report. Arenas that are not the package's own are called as if they were.
    """
    section = target.memory(target.host_memory).arena_section
    mapped = in_arena(inputs, outputs)
    buffers = [
        f"_Alignas(4) uint8_t htvm_{kind}_{index}[{edge.nbytes}] {section};"
        for kind, edges in (("inputs", inputs), ("outputs", outputs))
        for index, edge in enumerate(edges)
        if not mapped
    ]
    statements = [*_structs(facts, mapped), *_call(facts, mapped)]
    return PROGRAM.format(
        module=facts["module"],
        headers="\n".join(f'#include "{name}"' for name in target.headers),
        declarations="\n".join([*buffers, *_arenas(facts, target), *_hooks(facts)]),
        statements="\n".join(f"  {statement}" for statement in statements),
    )


def in_arena(inputs: Sequence[Edge], outputs: Sequence[Edge]) -> bool:
    """Whether the network has room in its arena for the caller's buffers, because there is none beside it."""
    return all(edge.offset is not None for edge in (*inputs, *outputs))


def _arenas(facts: Mapping[str, Any], target: Target) -> list[str]:
    """The arenas and, for the package that asks for one, the allocator."""
    if facts["workspace"] == "static":
        return []
    texts: list[str] = []
    for name, size in facts["arenas"].items():
        memory = target.memory(name)
        texts.append(f"_Alignas({memory.alignment}) uint8_t {arena_symbol(name)}[{size}] {memory.arena_section};")
        if facts["workspace"] == "backend":
            texts.append(ALLOCATOR.format(arena=arena_symbol(name)))
    return texts


def _hooks(facts: Mapping[str, Any]) -> list[str]:
    events = ("Activate", "Open", "Close", "Deactivate")
    return [HOOK.format(name=prefix + event) for prefix in facts["devices"].values() for event in events]


def _structs(facts: Mapping[str, Any], mapped: bool) -> list[str]:
    """The structs that are arguments of the call."""
    members = {"workspace_pools": {field: arena_symbol(memory) for field, memory in facts["pools"].items()}}
    members["devices"] = dict.fromkeys(facts["devices"], "NULL")
    if not mapped and facts["calls"] == "c":
        for kind in ("inputs", "outputs"):
            members[kind] = {name: f"htvm_{kind}_{index}" for index, name in enumerate(facts[kind])}
    prefix = f"tvmgen_{facts['module']}"
    texts = [_struct(f"{prefix}_{kind}", kind, fields) for kind, fields in members.items() if fields]
    if mapped:
        pools = "&workspace_pools" if facts["pools"] else ""
        texts += [f"struct {prefix}_{kind} {kind} = {prefix}_map_{kind}({pools});" for kind in ("inputs", "outputs")]
    return texts


def _struct(type_: str, name: str, members: Mapping[str, str]) -> str:
    return f"struct {type_} {name} = {{ {', '.join(f'.{member} = {value}' for member, value in members.items())} }};"


def _call(facts: Mapping[str, Any], mapped: bool) -> list[str]:
    run = f"tvmgen_{facts['module']}_run"
    if facts["calls"] == "c":
        given = {"inputs": True, "outputs": True, "workspace_pools": facts["pools"], "devices": facts["devices"]}
        return [f"return (int){run}({', '.join(f'&{name}' for name, there in given.items() if there)});"]
    data = [
        f"{kind}.{name}" if mapped else f"htvm_{kind}_{index}"
        for kind in ("inputs", "outputs")
        for index, name in enumerate(facts[kind])
    ]
    tensors = ", ".join(f"{{ .data = {pointer} }}" for pointer in data)
    values = ", ".join(f"{{ .v_handle = &tensors[{index}] }}" for index in range(len(data)))
    codes = ", ".join(["kTVMDLTensorHandle"] * len(data))
    return [
        f"DLTensor tensors[] = {{ {tensors} }};",
        f"TVMValue args[] = {{ {values} }};",
        f"int type_codes[] = {{ {codes} }};",
        f"return (int){run}(args, type_codes, {len(data)}, NULL, NULL, NULL);",
    ]
