"""What depth-first strips save where a map has no room in local memory: cycles, and bytes of L2 between kernels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.figure import Figure
from htvm_ir.driver.bench import row
from htvm_ir.driver.compile import Options, compile_model
from htvm_ir.errors import HtvmError

CASES = (
    ("zoo:mobilenetv1", "npu"),
    ("zoo:resnet8", "npu"),
    ("zoo:mobilenetv1,width=0.125,resolution=224", "diana"),
    ("zoo:mobilenetv1,resolution=128", "diana"),
    ("zoo:mobilenetv1", "diana,l1_bytes=32k"),
    ("zoo:mobilenetv1", "diana,l1_bytes=16k"),
    ("zoo:resnet8", "diana,l1_bytes=32k"),
    ("zoo:resnet8", "diana,l1_bytes=16k"),
)
"""Networks and targets on which some maps do not stay in L1."""


def figures() -> list[Figure]:
    """Kernels on whole maps / on strips."""
    return [figure for model, target in CASES for figure in _gains(model, target)]


def _gains(model: str, target: str) -> Iterator[Figure]:
    """Both runs compared with the interpreter; digital engines only, as the analog array's maps stay nowhere."""
    whole, strips = (_run(model, target, depth_first) for depth_first in (False, True))
    name = f"depth first, {model} on {target}"
    yield Figure(f"{name}: cycles without / with", whole["cycles"] / strips["cycles"], "x", 1.0, True)
    yield Figure(f"{name}: arena in L2 without / with", whole["arena"] / strips["arena"], "x")


def _run(model: str, target: str, depth_first: bool) -> dict[str, Any]:
    engines = ("digital",) if target.startswith("diana") else None
    compiled = compile_model(model, Options(target=target, engines=engines, depth_first=depth_first))
    found = row(compiled, "default", 1)
    if found["check"]["mismatches"]:
        raise HtvmError(f"'{model}' on {target} differs from the interpreter")
    return {"cycles": found["cycles"], "arena": compiled.report["arena"]["L2"]["bytes"]}
