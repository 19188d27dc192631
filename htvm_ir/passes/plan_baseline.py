"""The plans of ``--tiler=dory`` and ``--tiler=none``: HTVM's tile for each kernel, or the legal one nearest to it.

HTVM loads the input tile for every job, also where it is there already; ``explicit-dma`` does so with ``reload``.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import prod

from htvm_ir.dialects.accel import DispatchOp
from htvm_ir.dialects.tiled import PlanAttr
from htvm_ir.errors import HtvmError
from htvm_ir.passes.workloads import block_workload
from htvm_ir.targets.target import Engine, Target
from htvm_ir.targets.workload import Workload, dimensions, tile_workload, tiles, windows
from htvm_ir.tiling.dory import Budget, Layer, tile
from htvm_ir.tiling.nearest import nearest
from htvm_ir.tiling.problem import Infeasible, Order

ORDER: Order = ("k", "y")
"""DORY's loops from the outermost: output channels, then rows."""


def baseline_plan(dispatch: DispatchOp, target: Target, tiler: str) -> PlanAttr:
    """HTVM's plan for a kernel, with the latency that the cost model gives it.

    Raises:
        HtvmError: HTVM has no rules for the engine, or finds no tile, or nothing near it fits.
    """
    engine, workload = target.engine(dispatch.engine_name), block_workload(dispatch.body.block)
    kernel = dispatch.kernel.data
    problem = engine.problem(workload, target)
    point = nearest(problem, _wanted(kernel, engine, workload, target, tiler))
    if isinstance(point, Infeasible):
        raise HtvmError(
            f"kernel '{kernel}': the smallest tile exceeds {point.capacity} by {point.missing} bytes; "
            "keep it off the engine with --engines"
        )
    names = [d.name for d in problem.dimensions]
    wished = tuple(name for name in ORDER if name in names)
    order = wished if wished in problem.orders else problem.orders[0]
    found = problem.sizes(point)
    sizes = {name: found[name] for name in order}
    latency = problem.latency(point, order) + reload_cycles(engine, workload, target, sizes)
    return PlanAttr(sizes, (1,) * (len(workload.inputs) + 1), latency)


def reload_cycles(engine: Engine, workload: Workload, target: Target, sizes: Mapping[str, int]) -> int:
    """Cycles of the loads of tiles that are in place already; ``sizes`` in the order of the loops."""
    extents = dimensions(workload)
    cut = {name: size for name, size in sizes.items() if size < extents[name]}
    spans = windows(workload, tuple(cut))
    channel = target.channel(engine.load)
    cycles = 0
    for before, now in pairwise(tiles(extents, cut, tuple(cut))):
        part = tile_workload(workload, now)
        for tensor, part_of, layout, axes in zip(
            workload.inputs, part.inputs, engine.layouts(workload), spans, strict=False
        ):
            if all(w.span(before, n) == w.span(now, n) for w, n in zip(axes, tensor.shape, strict=True)):
                cycles += channel.cycles(prod(layout.stored_shape(part_of.shape))) + channel.software
    return cycles


def _wanted(kernel: str, engine: Engine, workload: Workload, target: Target, tiler: str) -> dict[str, int]:
    """HTVM's tile as sizes of our dimensions."""
    seen = engine.baseline(workload, target)
    if seen is None:
        raise HtvmError(f"--tiler={tiler}: HTVM has no rules for the {engine.name} engine of {target.name}")
    layer, budget = seen
    found = tile(layer, budget, heuristics=tiler != "none")
    if found is None:
        raise HtvmError(f"kernel '{kernel}': HTVM's tiler finds no tile {_room(layer, budget)}; use --tiler=optimal")
    if layer.kind == "add":  # as many bytes, but of whole channels
        return {"k": workload.output.shape[1] * found.h_out // layer.output[1]}
    return {"k": found.n_out, "y": found.h_out}


def _room(layer: Layer, budget: Budget) -> str:
    weights = "" if layer.kind == "add" else f" and {budget.weights} of weights"
    return f"within {budget.activations} bytes of activations{weights}"
