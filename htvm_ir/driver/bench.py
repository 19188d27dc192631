"""Measuring networks: each in several configurations on the virtual SoC, every one checked against the interpreter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

from htvm_ir.dialects import graph
from htvm_ir.driver.compile import Compiled, Options, compile_model
from htvm_ir.driver.edges import edges
from htvm_ir.driver.execute import Execution, execute
from htvm_ir.driver.samples import load_samples
from htvm_ir.errors import HtvmError
from htvm_ir.passes.pipeline import pass_class, run_passes
from htvm_ir.passes.workloads import computed_inputs, workload_of
from htvm_ir.targets.registry import target_with_engines
from htvm_ir.targets.target import Engine, Target

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp

    from htvm_ir.targets.workload import Workload

SCHEMA = 1
NETWORKS = ("zoo:resnet8", "zoo:dscnn", "zoo:mobilenetv1", "zoo:dae", "zoo:dscnn-htvm")
"""The networks of MLPerf Tiny, and the keyword network in HTVM's shape."""

BASELINE, OPTIMAL = "dory", "optimal"
FOLDING = ("fold-constants", "fold-dead-channels")


@dataclass(frozen=True)
class Configuration:
    """One way to compile: a name in the report, and how it changes the user's options."""

    name: str
    change: Callable[[Options], Options]


CONFIGURATIONS = (
    Configuration("cpu", lambda options: replace(options, engines=())),
    Configuration(BASELINE, lambda options: replace(options, tiler=BASELINE)),
    Configuration(OPTIMAL, lambda options: options),
)


def measure(
    models: Sequence[str],
    options: Options,
    samples: int = 1,
    watch: Callable[[str, str], None] | None = None,
) -> dict[str, Any]:
    """The report of ``htvm bench``: every model in every configuration.

    samples: random inputs (seed 0) that each configuration is checked on. watch: called with model and configuration
    before each measurement.

    Raises:
        HtvmError: a model cannot be read or compiled, or the target has no virtual SoC.
    """
    return {
        "schema": SCHEMA,
        "target": options.target,
        "models": [_model(model, options, samples, watch) for model in models],
    }


def mismatches(report: dict[str, Any]) -> list[str]:
    """The measurements whose outputs were not the interpreter's, as ``MODEL in CONFIGURATION``."""
    return [
        f"{entry['model']} in '{name}'"
        for entry in report["models"]
        for name, row in entry["configurations"].items()
        if row["check"]["mismatches"]
    ]


def layers(module: ModuleOp) -> Iterator[Workload]:
    """The convolutions, dense layers and sums of a level-1 network, without their requantisations.

    Channels that cannot change an output are left out: nobody has to compute them, and a limit with them would flatter.
    """
    alive = run_passes(module.clone(), [pass_class(name)() for name in FOLDING])
    for op in alive.walk():
        constant = isinstance(op, graph.Conv2dOp | graph.DenseOp) and workload_of(op, None).weights is not None
        if constant or (isinstance(op, graph.AddOp) and len(computed_inputs(op)) == 2):
            yield workload_of(op, None)


def configurations(target: Target) -> list[Configuration]:
    """Those there are for a target: the baseline needs an engine for which HTVM has rules."""
    has_rules = any(type(engine).baseline is not Engine.baseline for engine in target.engines)
    return [c for c in CONFIGURATIONS if has_rules or c.name != BASELINE]


def _model(model: str, options: Options, samples: int, watch: Callable[[str, str], None] | None) -> dict[str, Any]:
    rows: dict[str, dict[str, Any]] = {}
    compiled: Compiled | None = None
    for configuration in configurations(target_with_engines(options.target, options.engines)):
        if watch is not None:
            watch(model, configuration.name)
        compiled = compile_model(model, configuration.change(options))
        rows[configuration.name] = row(compiled, options.module_name, samples)
    assert compiled is not None
    macs, target = compiled.report["macs"]["network"], compiled.target
    limit = network_limit(compiled)
    best = rows[OPTIMAL]
    best["mac_per_cycle"] = round(macs / best["cycles"], 3)
    best["peak_share"] = round(macs / best["cycles"] / target.peak_macs, 4) if target.peak_macs else None
    best["distance"] = None if limit is None else round(best["cycles"] / limit, 4)
    others = [name for name in rows if name != OPTIMAL]
    return {
        "model": model,
        "macs": macs,
        "peak_macs": target.peak_macs or None,
        "limit": limit,
        "configurations": rows,
        "speedup": {name: round(rows[name]["cycles"] / best["cycles"], 3) for name in others},
    }


def network_limit(compiled: Compiled) -> int | None:
    """The target's limit for the network as it was read; None if the target states none."""
    if compiled.target.limit is None:
        return None
    inputs, outputs = edges(compiled.module)
    edge_bytes = sum(prod(edge.shape) * edge.dtype.itemsize for edge in (*inputs, *outputs))
    return compiled.target.limit(list(layers(compiled.exact or compiled.source)), edge_bytes)


def row(compiled: Compiled, module_name: str, samples: int) -> dict[str, Any]:
    """What one compilation takes: cycles, seconds, and bytes of the memory in which activations lie between kernels."""
    inputs, outputs = edges(compiled.module)
    execution = execute(
        compiled, module_name, load_samples("random:0", inputs, outputs, samples), check=compiled.exact is None
    )
    memory = compiled.target.host_memory
    arena = compiled.report["arena"][memory]
    outside = sum(prod(e.shape) * e.dtype.itemsize for e in (*inputs, *outputs) if e.offset is None)
    cycles = execution.report["cycles"]
    return {
        "cycles": cycles["per_inference"],
        **compiled.report["cycles"],
        "cpu_cycles": cycles["cpu"],
        "unproven_tilings": sum(layer["proven_optimal"] is False for layer in compiled.report["layers"]),
        "compile_seconds": compiled.report["compile_seconds"],
        "arena": arena,
        "memory_bytes": arena["bytes"] + outside,
        "code_bytes": execution.report["code_bytes"],
        "constant_bytes": execution.report["constant_bytes"],
        "check": _check(execution),
    }


def _check(execution: Execution) -> dict[str, int]:
    if execution.check is None:
        raise HtvmError("a network that is only approximated cannot be checked; measure it with --numerics=exact")
    return {"samples": execution.check.samples, "mismatches": execution.check.interpreter_mismatches}
