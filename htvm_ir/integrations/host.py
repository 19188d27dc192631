"""The C of a network as one file for this machine: functional models instead of engines, all else as on the chip."""

from __future__ import annotations

import re
from collections.abc import Iterator

from xdsl.dialects.builtin import ModuleOp

from htvm_ir.backend.c.package import render
from htvm_ir.backend.c.signature import Boundary
from htvm_ir.integrations.network import compile_network
from htvm_ir.passes.workloads import main_function, module_target
from htvm_ir.targets.registry import target_with_engines
from htvm_ir.targets.target import Target

_OWN_INCLUDE = re.compile(r'^#include "[^"]*"\n', re.MULTILINE)


def modelled_engines(target: str, engines: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """Those of the target's engines (or of the ones given) that have a functional model.

    Raises:
        HtvmError: there is no such target or engine.
    """
    chosen = target_with_engines(target, engines)
    return tuple(engine.name for engine in chosen.engines if engine.name in chosen.functional)


def single_file(module: ModuleOp, target: str, engines: tuple[str, ...] | None, name: str) -> tuple[str, Boundary]:
    """Compile a ``graph`` module and give all its C in one text, and the tensors of ``tvmgen_<name>_run``.

    What an engine without a functional model would compute, the CPU's loops do: the integers are the same. The module
    is lowered in place.

    Raises:
        HtvmError: it cannot be compiled for the target.
    """
    compile_network(module, target, modelled_engines(target, engines))
    chosen = module_target(module)
    files = render(module, name)
    order = (f"include/tvmgen_{name}_kernels.h", f"include/tvmgen_{name}.h")
    sources = (f"src/tvmgen_{name}_kernels.c", f"src/tvmgen_{name}.c")
    library = [*_sizes(chosen), *_headers(chosen), *_models(chosen)]
    texts = [*library, *(files[path] for path in (*order, *sources))]
    return "\n".join(_OWN_INCLUDE.sub("", text) for text in texts), Boundary.of(main_function(module))


def _sizes(target: Target) -> Iterator[str]:
    yield from (f"#define HTVM_{m.name.upper()}_BYTES {m.size}" for m in target.memories if not m.host)


def _headers(target: Target) -> Iterator[str]:
    """The headers of the target's run-time library that C includes."""
    found = {path.name: path for path in target.soc().headers} if target.soc is not None else {}
    yield from (found[name].read_text() for name in target.headers if name in found)


def _models(target: Target) -> Iterator[str]:
    for engine in target.engines:
        yield target.functional[engine.name].read_text()
