"""``orient-maps``: exchange height and width of whole parts of the network where that is predicted to save time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from xdsl.context import Context
from xdsl.dialects.builtin import DictionaryAttr, IntegerAttr, ModuleOp
from xdsl.ir import BlockArgument, Operation
from xdsl.passes import ModulePass

from htvm_ir.dialects.attributes import integer
from htvm_ir.passes.choices import candidates, joints, kernels, prices
from htvm_ir.passes.fold_constants import remove_dead
from htvm_ir.passes.turn_region import Region, regions, turn_region
from htvm_ir.passes.turns import COLUMNS, Turn
from htvm_ir.passes.workloads import ANCHORS, following_requant, main_function, module_target, workload_of
from htvm_ir.schedule.assign import assign
from htvm_ir.targets.layout import Layout
from htvm_ir.targets.target import Target
from htvm_ir.targets.word_copies import workload_copy
from htvm_ir.targets.workload import Workload

SAVED = "accel.orientation"
"""Module attribute, if maps were turned: predicted cycles saved by each of TURNS."""

TURNS = {"swapped": Turn(swap=True), "mirrored": Turn(mirror=True)}
"""What is tried, one after the other."""

WORTH = 50
"""A turn must save one part in so many of the network's cycles; less may be the prediction's error (model choice)."""


@dataclass(frozen=True)
class OrientMaps(ModulePass):
    """Turns the maps of each region of ``@main`` whose ops all have a turned form, if the network gets faster by it.

    What an engine rounds up (columns to the lanes of an array) makes 25 x 5 maps dearer than 5 x 25 ones. A turned
    region is predicted with the transpositions at its border, by the assignment of the whole network to engines.
    ``seconds`` limits each solver run.
    """

    name = "orient-maps"
    seconds: float = 5.0

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        prices_ = Prices(module_target(op), self.seconds)
        saved: dict[str, int] = {}
        for name, turn in TURNS.items():
            hopeful = [n for n, region in enumerate(_regions(op, turn)) if prices_.promises(region, turn)]
            before = best = prices_.network(op) if hopeful else 0
            for number in hopeful:
                turn_region(_regions(trial := op.clone(), turn)[number], turn)
                if best - (cycles := prices_.network(trial)) > before // WORTH:
                    best = cycles
                    turn_region(_regions(op, turn)[number], turn)
            if best < before:
                saved[name] = before - best
        if saved:
            op.attributes[SAVED] = DictionaryAttr({name: integer(cycles) for name, cycles in saved.items()})
            remove_dead(main_function(op).body.block)


def orientation(module: ModuleOp) -> dict[str, int]:
    """What was done to maps, and the predicted cycles it saves."""
    saved = module.attributes.get(SAVED)
    entries = saved.data.items() if isinstance(saved, DictionaryAttr) else ()
    return {name: cycles.value.data for name, cycles in entries if isinstance(cycles, IntegerAttr)}


def _regions(module: ModuleOp, turn: Turn) -> list[Region]:
    return regions(main_function(module).body.block, turn)


@dataclass
class Prices:
    """Predicted cycles; what looks the same to every engine is priced once."""

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

    def promises(self, region: Region, turn: Turn) -> bool:
        """Whether turning a region could save time: in ops, each for itself, or where the network's input enters it."""
        return self._ops_save(region, turn) > 0 or (turn.mirror and any(map(self._enters_in_words, region)))

    def _enters_in_words(self, op: Operation) -> bool:
        """Whether the network's input would be moved in words, if it were mirrored for the first engine of an op."""
        if not isinstance(op.operands[0], BlockArgument) or not isinstance(op, ANCHORS):
            return False
        workload = workload_of(op, following_requant(op))
        x = workload.inputs[0]
        copy = Workload("reverse", (x,), x, reversed_axes=(COLUMNS,))
        engine = next(
            (e for e in self.target.engines if e.name in self.prices(workload, self.target, self.seconds)[0]), None
        )
        if engine is None:
            return False
        return workload_copy(copy, (Layout.row_major(len(x.shape)), engine.layouts(workload)[0])) is not None

    def _ops_save(self, region: Region, turn: Turn) -> int:
        return sum(
            self.best(workload) - self.best(turned)
            for workload in _workloads(region)
            if key_of(workload) != key_of(turned := turn.workload(workload))
        )

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


def _workloads(region: Region) -> Iterator[Workload]:
    """The workloads of the kernels a region could become."""
    fused: set[object] = set()
    for op in region:
        requant = following_requant(op) if isinstance(op, ANCHORS) else None
        if op not in fused:
            yield workload_of(op, requant)
        fused.add(requant)


def key_of(workload: Workload) -> object:
    """What an engine's contract may look at: everything but the numbers in weights and biases."""
    fields = {name: value for name, value in vars(workload).items() if name not in ("weights", "bias")}
    weights, bias = workload.weights, workload.bias
    limits = None if weights is None else (weights.shape, str(weights.dtype), int(weights.min()), int(weights.max()))
    return (*fields.items(), limits, bias is None)
