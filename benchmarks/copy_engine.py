"""What DIANA's digital array gains if the analog core's DMA moves its tiles while it computes."""

from __future__ import annotations

from benchmarks.figure import Figure
from benchmarks.measured import NAMES, diana_networks
from htvm_ir.driver.bench import row
from htvm_ir.driver.compile import Options, compile_model
from htvm_ir.errors import HtvmError

COPIES = "copy_engine=analog"
LITTLE = "l1_bytes=16k"
"""So little L1 that many maps of the built-in networks do not stay there."""

LARGE = "zoo:mobilenetv1,resolution=128"
"""Its first maps do not fit DIANA's L1 beside each other."""


def figures() -> list[Figure]:
    """Cycles without the option / with it: the four networks, the same with little L1, and a larger one."""
    networks = diana_networks()
    return [
        *(_gain(name, model, "") for name, model in networks.items()),
        *(_gain(f"zoo:{name}, {LITTLE}", f"zoo:{name}", LITTLE) for name in NAMES),
        _gain(LARGE, LARGE, ""),
        _gain("zoo:resnet8-mixed, both arrays", "zoo:resnet8-mixed", "", None),
        _gain("zoo:dscnn-mixed, both arrays", "zoo:dscnn-mixed", "", None),
    ]


def _gain(name: str, model: str, settings: str, engines: tuple[str, ...] | None = ("digital",)) -> Figure:
    """Both runs compared with the interpreter."""
    without, copying = (_cycles(model, [settings, *more], engines) for more in ([], [COPIES]))
    return Figure(f"copy engine, {name}: cycles without / with", without / copying, "x")


def _cycles(model: str, settings: list[str], engines: tuple[str, ...] | None) -> int:
    target = ",".join(["diana", *filter(None, settings)])
    found = row(compile_model(model, Options(target=target, engines=engines)), "default", 1)
    if found["check"]["mismatches"]:
        raise HtvmError(f"'{model}' on {target} differs from the interpreter")
    return found["cycles"]
