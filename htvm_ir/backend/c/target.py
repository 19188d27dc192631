"""``htvm-c``: C as a target of ``htvm-opt``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.target import Target

from htvm_ir.backend.c.package import render


@dataclass(frozen=True)
class CTarget(Target):
    """Prints all files one after another, each below a line ``// ---- <path>``."""

    name = "htvm-c"
    module_name: str = "default"

    def emit(self, ctx: Context, module: ModuleOp, output: IO[str]) -> None:
        for path, text in render(module, self.module_name).items():
            output.write(f"// ---- {path}\n{text}\n")
