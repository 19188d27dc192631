"""Imports go one way: the architecture of the package as one table.

A part is a file or folder of `htvm_ir`, named from the package down; a file belongs to the longest
name that contains it. The table says what a part may import besides itself. Imports inside
functions count as well: laziness is for speed, not for going upwards.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import htvm_ir

PACKAGE = Path(htvm_ir.__file__).parent

BASE = ("errors", "arithmetic", "settings")
SOLVERS = ("cpsat", "tiling", "memory", "schedule")
VOCABULARY = (*BASE, *SOLVERS, "dialects", "targets")

RULES: dict[str, tuple[str, ...]] = {
    "__init__": ("driver", *BASE),
    "errors": (),
    "arithmetic": ("errors",),
    "settings": ("errors",),
    "store": (),
    "cpsat": ("errors", "store"),
    "tiling": ("errors", "cpsat"),
    "memory": ("errors", "cpsat"),
    "schedule": ("errors", "cpsat"),
    "dialects": BASE,
    "targets": (*BASE, *SOLVERS, "dialects"),
    "interpreters": VOCABULARY,
    "passes": VOCABULARY,
    "backend": VOCABULARY,
    "frontends": VOCABULARY,
    "fallback": (*BASE, *SOLVERS, "frontends"),
    "quantize": ("errors", "frontends"),
    "sim": (*BASE, "targets"),
    "zoo": ("errors", "settings"),
    "integrations": ("*",),
    "report": ("*",),
    "driver": ("*",),
    "universe": ("*",),
    "tools": ("*",),
}
"""Part -> what it may import of `htvm_ir`; "*" is everything but a concrete target."""

SOLVER_LIBRARIES = ("numpy", "ortools")
"""What the solvers may import besides the standard library: in particular not xDSL."""

EXCEPTIONS: dict[tuple[str, str], str] = {}
"""(importing module, imported part) -> why; the importing file's docstring must say so as well."""


def concrete_targets(package: Path) -> list[str]:
    """Return the folders in `targets`: each is one target and private to itself."""
    return [f"targets.{path.parent.name}" for path in (package / "targets").glob("*/__init__.py")]


def within(module: str, part: str) -> bool:
    """Return whether the module is the part or lies in it."""
    return module == part or module.startswith(f"{part}.")


def imports(tree: ast.Module, package: str) -> Iterator[tuple[int, str]]:
    """Yield (line, absolute module) of every import; `from a import b` yields a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            parts = [*(above if node.level else []), *([node.module] if node.module else [])]
            yield from ((node.lineno, ".".join([*parts, alias.name])) for alias in node.names)


def allowed(module: str, imported: str, targets: list[str]) -> bool:
    """Return whether the module of `htvm_ir` may import the other one; names without `htvm_ir.`."""
    for target in targets:
        if within(imported, target):
            return within(module, target)
        if within(module, target):
            return True
    if any(module == name and within(imported, part) for name, part in EXCEPTIONS):
        return True
    part = module.split(".", maxsplit=1)[0]
    may = (part, *RULES.get(part, ()))
    return "*" in may or any(within(imported, other) for other in may)


def violations(package: Path) -> list[str]:
    """Return one line for each import that the table forbids."""
    found: list[str] = []
    targets = concrete_targets(package)
    for path in sorted(package.rglob("*.py")):
        dotted = ".".join(path.relative_to(package).with_suffix("").parts)
        module = dotted.removesuffix(".__init__")
        home = ".".join(("htvm_ir", *path.relative_to(package).parent.parts))
        for line, imported in imports(ast.parse(path.read_text()), home):
            top, _, inside = imported.partition(".")
            if top == "htvm_ir":
                bad = not allowed(module, inside, targets)
            else:
                bad = module.split(".")[0] in SOLVERS and not harmless(top)
            if bad:
                found.append(f"{module}:{line} imports {imported}")
    return found


def harmless(library: str) -> bool:
    """Return whether a solver may import the library."""
    return library in sys.stdlib_module_names or library in SOLVER_LIBRARIES


def test_imports_go_one_way() -> None:
    assert violations(PACKAGE) == []


def test_every_part_has_a_rule() -> None:
    parts = {path.stem for path in PACKAGE.glob("*.py")} | {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert parts <= set(RULES)


def test_exceptions_are_explained_where_they_are_used() -> None:
    for (module, _), why in EXCEPTIONS.items():
        path = PACKAGE / f"{module.replace('.', '/')}.py"
        assert why in (ast.get_docstring(ast.parse(path.read_text())) or "")


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("tiling/a.py", "import htvm_ir.dialects.graph"),
        ("tiling/a.py", "from xdsl.ir import Operation"),
        ("tiling/a.py", "from ..memory import plan"),
        ("memory/a.py", "from htvm_ir.tiling.solve import solve"),
        ("dialects/a.py", "from htvm_ir.targets.target import Target"),
        ("targets/target.py", "from htvm_ir import passes"),
        ("targets/registry.py", "from htvm_ir.targets.diana.target import diana"),
        ("targets/registry.py", "from .diana import target"),
        ("targets/target.py", "def f():\n    from htvm_ir.sim.clock import Clock"),
        ("passes/a.py", "from htvm_ir.backend.c.types import ctype"),
        ("passes/a.py", "from htvm_ir.frontends.onnx import reader"),
        ("backend/c/a.py", "from ...interpreters import graph"),
        ("sim/a.py", "from htvm_ir.dialects.graph import Graph"),
        ("zoo/a.py", "from htvm_ir.tools import htvm"),
        ("tools/htvm.py", "if True:\n    import htvm_ir.targets.diana as d"),
        ("compiler.py", "from htvm_ir.targets import diana"),
        ("errors.py", "import htvm_ir.dialects"),
        ("unheard_of/a.py", "import htvm_ir.errors"),
    ],
)
def test_a_planted_violation_is_caught(tmp_path: Path, file: str, line: str) -> None:
    plant(tmp_path, file, line)
    assert len(violations(tmp_path)) == 1


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("tiling/a.py", "import math\nfrom .problem import Problem\nfrom htvm_ir.errors import X"),
        ("memory/a.py", "from htvm_ir.cpsat import Model"),
        ("targets/diana/a.py", "from htvm_ir.backend.c import types\nfrom . import layouts"),
        ("passes/a.py", "from htvm_ir.targets.registry import load\nimport xdsl.ir"),
        ("tools/htvm.py", "from htvm_ir.passes import pipeline"),
    ],
)
def test_what_the_table_allows_passes(tmp_path: Path, file: str, line: str) -> None:
    plant(tmp_path, file, line)
    assert violations(tmp_path) == []


def plant(package: Path, file: str, text: str) -> None:
    """Write one file into an otherwise empty package with a concrete target."""
    for path in (package / "targets" / "diana" / "__init__.py", package / file):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (package / file).write_text(text)
