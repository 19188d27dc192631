"""``set-target``: write the target into the module; every later pass reads it there."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from htvm_ir.dialects.accel import TARGET, TargetAttr
from htvm_ir.targets.registry import target_with_engines


@dataclass(frozen=True)
class SetTarget(ModulePass):
    """Sets ``accel.target``. ``engines`` restricts the engines; the word none leaves only the CPU."""

    name = "set-target"
    target: str = "diana"
    engines: tuple[str, ...] | None = None

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        engines = () if self.engines == ("none",) else self.engines
        target_with_engines(self.target, engines)  # an unknown name is an error here, not later
        op.attributes[TARGET] = TargetAttr(self.target, engines)
