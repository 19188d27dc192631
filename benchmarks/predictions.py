"""How far predicted cycles are from those of the virtual DIANA: every built-in network, and trained ones."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.figure import Figure
from htvm_ir.driver.bench import row
from htvm_ir.driver.compile import Options, compile_model
from htvm_ir.errors import HtvmError

ZOO = (
    *("zoo:resnet8", "zoo:dscnn", "zoo:mobilenetv1", "zoo:dae", "zoo:dscnn-htvm"),
    *(f"zoo:mobilenetv1,resolution={size}" for size in ("128", "144", "224,width=0.125")),
    *("zoo:resnet8-mixed", "zoo:dscnn-mixed", "zoo:resnet8-ternary", "zoo:chain,layers=20", "zoo:resnet50"),
)
"""All topologies, and images of odd and of large sizes; with all engines, so that mixed networks use both arrays."""

DIGITAL_ONLY = ("zoo:resnet8-mixed", "zoo:dscnn-mixed")
"""Networks of which the digital array and the CPU do more if there is no other array."""

BAR = 3.0
"""Per cent."""


def figures() -> list[Figure]:
    """Of each network, and the worst."""
    offs = {model: _off(model, None) for model in ZOO}
    offs |= {f"{model}, digital array and CPU": _off(model, ("digital",)) for model in DIGITAL_ONLY}
    offs |= {path.stem: _off(str(path), None) for path in _trained()}
    found = [Figure(f"{name}: cycles predicted are off by", off, "%", BAR) for name, off in offs.items()]
    return [*found, Figure("cycles predicted are off by, the worst network", max(offs.values()), "%", BAR)]


def _trained() -> list[Path]:
    """Networks in DIANA's format in ``$HTVM_MODELS``."""
    folder = os.environ.get("HTVM_MODELS")
    return sorted(Path(folder, "diana").glob("*/*.onnx")) if folder else []


def _off(model: str, engines: tuple[str, ...] | None) -> float:
    """By how much one inference takes more or less, in per cent.

    Raises:
        HtvmError: the outputs are not the interpreter's.
    """
    found = row(compile_model(model, Options(engines=engines)), "default", 1)
    if found["check"]["mismatches"]:
        raise HtvmError(f"'{model}' differs from the interpreter")
    return 100 * abs(found["predicted"] / found["cycles"] - 1)
