"""``orient-maps``: exchange height and width, or mirror, parts of the network where that is predicted to save time."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import DictionaryAttr, IntegerAttr, ModuleOp
from xdsl.ir import BlockArgument, Operation
from xdsl.passes import ModulePass

from htvm_ir.dialects.accel import CPU
from htvm_ir.dialects.attributes import integer
from htvm_ir.passes.fold_constants import remove_dead
from htvm_ir.passes.network_prices import Prices, workloads_of
from htvm_ir.passes.tiling_problems import key_of
from htvm_ir.passes.turn_region import Region, regions, turn_region, turns_inputs_only
from htvm_ir.passes.turns import COLUMNS, Turn
from htvm_ir.passes.workloads import ANCHORS, following_requant, main_function, module_target, workload_of
from htvm_ir.targets.layout import Layout
from htvm_ir.targets.word_moves import workload_move
from htvm_ir.targets.workload import Workload

SAVED = "accel.orientation"
"""Module attribute, if maps were turned: predicted cycles saved by what was ``swapped`` and what was ``mirrored``."""

WORTH = 50
"""A swap must save one part in so many of the network's cycles; less may be the prediction's error (model choice)."""


@dataclass(frozen=True)
class OrientMaps(ModulePass):
    """Turns the maps of each region of ``@main`` whose ops all have a turned form, if the network gets faster by it.

    What an engine rounds up (columns to the lanes of an array) makes 25 x 5 maps dearer than 5 x 25 ones. Where an
    engine's layout reverses the bytes of words, a mirrored input of the network reaches it in whole words. A turned
    region is predicted with the moves at its border, a swapped one by the assignment of the whole network to engines.
    ``seconds`` limits each solver run.
    """

    name = "orient-maps"
    seconds: float = 5.0

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        prices = Prices(module_target(op), self.seconds)
        saved = {"swapped": swap(op, prices), "mirrored": mirror(op, prices)}
        if any(saved.values()):
            entries = {name: integer(cycles) for name, cycles in saved.items() if cycles}
            op.attributes[SAVED] = DictionaryAttr(entries)
            remove_dead(main_function(op).body.block)


def orientation(module: ModuleOp) -> dict[str, int]:
    """What was done to maps, and the predicted cycles it saves."""
    saved = module.attributes.get(SAVED)
    entries = saved.data.items() if isinstance(saved, DictionaryAttr) else ()
    return {name: cycles.value.data for name, cycles in entries if isinstance(cycles, IntegerAttr)}


def swap(module: ModuleOp, prices: Prices) -> int:
    """Exchange height and width of the regions that are worth it; the predicted cycles that saves."""
    turn = Turn(swap=True)
    hopeful = [n for n, region in enumerate(_regions(module, turn)) if _saved_by_ops(region, turn, prices) > 0]
    before = best = prices.network(module) if hopeful else 0
    for number in hopeful:
        turn_region(_regions(trial := module.clone(), turn)[number], turn)
        if best - (cycles := prices.network(trial)) > before // WORTH:
            best = cycles
            turn_region(_regions(module, turn)[number], turn)
    return before - best


def mirror(module: ModuleOp, prices: Prices) -> int:
    """Mirror the regions whose input then comes in words, if nothing else changes; the predicted cycles that saves."""
    turn, total = Turn(mirror=True), 0
    for region in _regions(module, turn):
        if turns_inputs_only(region, turn):
            moved = sum(_saved_by_words(op, prices) for op in region)
            saved = moved + _saved_by_ops(region, turn, prices) if moved else 0
            if saved > 0:
                turn_region(region, turn)
                total += saved
    return total


def _regions(module: ModuleOp, turn: Turn) -> list[Region]:
    return regions(main_function(module).body.block, turn)


def _saved_by_ops(region: Region, turn: Turn, prices: Prices) -> int:
    """What the ops of a region, each for itself, would save if they were turned."""
    pairs = ((workload, turn.workload(workload)) for workload in workloads_of(region))
    return sum(prices.best(a) - prices.best(b) for a, b in pairs if key_of(a) != key_of(b))


def _saved_by_words(op: Operation, prices: Prices) -> int:
    """What an op on the network's input would save if that were mirrored and moved in words; 0: that is impossible."""
    target, x = prices.target, op.operands[0]
    if not isinstance(x, BlockArgument) or not isinstance(op, ANCHORS):
        return 0
    workload = workload_of(op, following_requant(op))
    cycles, _ = prices.prices(workload, target, prices.seconds)
    engine = min(cycles, key=cycles.__getitem__)
    if engine == CPU:
        return 0
    tensor = workload.inputs[0]
    layouts = (Layout.row_major(len(tensor.shape)), target.engine(engine).layouts(workload)[0])
    mirrored = Workload("reverse", (tensor,), tensor, reversed_axes=(COLUMNS,))
    if workload_move(mirrored, layouts) is None:
        return 0
    converted = cycles[engine] + target.host.cycles(Workload("convert_layout", (tensor,), tensor), layouts)
    return max(0, min(converted, cycles[CPU]) - cycles[engine] - target.host.cycles(mirrored, layouts))
