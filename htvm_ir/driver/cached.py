"""Compilations kept on disk: the same model, options and compiler give the same package, at once."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from htvm_ir.driver.compile import Options, compile_model
from htvm_ir.fallback import is_installed
from htvm_ir.store import Store, digest, use
from htvm_ir.targets.registry import is_builtin

KIND = "package"
LIBRARIES = ("numpy", "onnx", "ortools", "xdsl")
"""Whose versions a result may depend on."""


@dataclass(frozen=True)
class Package:
    """A compiled network as it is written and reported.

    files: relative path -> text; empty if none were asked for. cached: whether it was in the store.
    """

    files: dict[str, str]
    report: dict[str, Any]
    cached: bool = False


def compile_package(
    model: str,
    options: Options,
    store: Store | None,
    files: bool = True,
    watch: Callable[[str, float], None] | None = None,
) -> Package:
    """Compile a network, or take it from the store.

    store: None = neither read nor write one. files: whether the package's files are wanted, or only the report.
    watch: see ``compile_model``; not called for what is in the store.

    Raises:
        HtvmError: anything the user can mend.
    """
    if store is None or not is_builtin(options.target):
        return _compile(model, options, files, watch)
    started = time.perf_counter()
    key = digest(_ingredients(model, options, files))
    found = store.get(KIND, key)
    if found is not None and (package := _decoded(found)) is not None:
        seconds = round(time.perf_counter() - started, 3)
        return replace(package, report=package.report | {"compile_seconds": seconds}, cached=True)
    with use(store):
        package = _compile(model, options, files, watch)
    store.put(KIND, key, zlib.compress(json.dumps([package.files, package.report]).encode(), 1))
    store.trim()
    return package


def _compile(model: str, options: Options, files: bool, watch: Callable[[str, float], None] | None) -> Package:
    compiled = compile_model(model, options, watch)
    if not files:
        return Package({}, compiled.report)
    from htvm_ir.driver.package import package_files

    return Package(package_files(compiled, options.module_name), compiled.report)


def _ingredients(model: str, options: Options, files: bool) -> Iterator[bytes | str]:
    """Everything a result depends on: this compiler, the libraries below it, the model and the options."""
    root = Path(__file__).parents[1]
    for path in sorted(p for p in root.rglob("*") if p.suffix in (".py", ".c", ".h", ".S", ".ld")):
        yield str(path.relative_to(root))
        yield path.read_bytes()
    yield from (f"{name} {version(name)}" for name in LIBRARIES)
    yield f"tvm {version('apache-tvm') if is_installed() else ''}"
    yield model
    for path in (None if model.startswith("zoo:") else Path(model), options.calibration):
        yield path.read_bytes() if path is not None and path.is_file() else b""
    yield repr(options)
    yield str(files)


def _decoded(stored: bytes) -> Package | None:
    """A package read back; None if it is not one."""
    try:
        files, report = json.loads(zlib.decompress(stored))
        return Package({str(name): str(text) for name, text in files.items()}, dict(report))
    except (zlib.error, ValueError, TypeError, AttributeError):
        return None
