"""What a network and parts of it are predicted to cost, with every kind of kernel priced once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation

from htvm_ir.passes.choices import candidates, joints, kernels, prices
from htvm_ir.passes.tiling_problems import key_of
from htvm_ir.passes.workloads import ANCHORS, following_requant, main_function, workload_of
from htvm_ir.schedule.assign import assign
from htvm_ir.targets.target import Target
from htvm_ir.targets.workload import Workload


@dataclass
class Prices:
    """Predicted cycles; what looks the same to every engine is priced once. ``seconds`` limits each solver run."""

    target: Target
    seconds: float
    known: dict[object, tuple[dict[str, int], dict[str, str]]] = field(
        default_factory=dict[object, tuple[dict[str, int], dict[str, str]]]
    )

    def network(self, module: ModuleOp) -> int:
        """The whole network, each op where it is best for all."""
        function = main_function(module)
        found = candidates(function, self.target, self.seconds, self.prices)
        return assign(kernels(found), joints(found, function, self.target), self.seconds).cycles

    def best(self, workload: Workload) -> int:
        """Cycles where the workload is quickest."""
        return min(self.prices(workload, self.target, self.seconds)[0].values())

    def prices(self, workload: Workload, target: Target, seconds: float) -> tuple[dict[str, int], dict[str, str]]:
        """As ``choices.prices``."""
        key = key_of(workload)
        if key not in self.known:
            self.known[key] = prices(workload, target, seconds)
        cycles, refused = self.known[key]
        return dict(cycles), dict(refused)


def workloads_of(ops: Sequence[Operation]) -> Iterator[Workload]:
    """The workloads of the kernels that ops could become, a requantisation with the op before it."""
    fused: set[object] = set()
    for op in ops:
        requant = following_requant(op) if isinstance(op, ANCHORS) else None
        if op not in fused:
            yield workload_of(op, requant)
        fused.add(requant)
