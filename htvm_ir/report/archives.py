"""The text that ``htvm inspect`` prints of an archive."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from htvm_ir.report.tables import table

DEVICES = {1: "CPU"}
"""DLPack's numbers."""

Facts = Mapping[str, Any]


def text(facts: Facts) -> str:
    """All modules, then all files."""
    parts = [f"{facts['archive']}: Model Library Format {facts['version']}"]
    parts += ["\n".join(_module(name, module)) for name, module in facts["modules"].items()]
    rows = [[name, f"{size:,}"] for name, size in facts["files"].items()]
    parts.append(table(["file", "bytes"], rows, right=(1,)))
    return "\n\n".join(parts)


def _module(name: str, module: Facts) -> Iterator[str]:
    yield f"module {name}: {module['style']}, {', '.join(module['executors']) or 'no executor'}"
    yield f"target: {', '.join(module['target']) or 'not stated'}"
    if module["exported"]:
        yield f"exported: {module['exported']}"
    if "buffers" in module:
        for function, buffers in module["buffers"].items():
            yield f"{function}: {', '.join(_tensor(buffer) for buffer in buffers)}"
        return
    yield from _interface(module)
    for memory in module["memory"]:
        for kind in ("inputs", "outputs"):
            tensors = (f"{tensor} {_tensor(what)}" for tensor, what in memory[kind].items())
            yield f"{kind}: {', '.join(tensors) or 'not stated'}"
        device = DEVICES.get(memory["device"], f"device {memory['device']}")
        sizes = ", ".join(f"{what} {memory[what]:,}" for what in ("workspace", "constants", "io"))
        yield f"memory of the {device}, bytes: {sizes}"
    yield from _dependencies(module)
    yield ""
    yield _functions(module)


def _interface(module: Facts) -> Iterator[str]:
    if module["interface"] is not None:
        yield f"interface: {module['interface']}{'' if module['run'] is None else ', ' + _call(module['run'])}"
    for pool, size in module["workspace_pools"].items():
        yield f"workspace pool: {pool}{'' if size is None else f', {size:,} bytes'}"
    if module["devices"]:
        yield f"device hooks: {', '.join(module['devices'])}"


def _call(declaration: str) -> str:
    """A C declaration without its types."""
    head, _, parameters = declaration.removesuffix(")").partition("(")
    return f"{head.split()[-1]}({', '.join(re.split(r'[ *]', p.strip())[-1] for p in parameters.split(','))})"


def _dependencies(module: Facts) -> Iterator[str]:
    for dependency in module["external_dependencies"]:
        yield f"needs: {dependency['short_name']} {dependency['version_spec']} at {dependency['url']}"
    if module["htvm"] is not None:
        yield f"written by: htvm {module['htvm'].get('version', '')}".rstrip()


def _functions(module: Facts) -> str:
    """Operators, with what each takes of the workspace."""
    rows = [[name, f"{sum(w['workspace'] for w in entries):,}"] for name, entries in module["functions"].items()]
    return table(["function", "workspace"], rows, right=(1,))


def _tensor(tensor: Facts) -> str:
    return f"{tensor['dtype']} {tensor['size']:,} bytes".strip()
