"""What the figures of ``htvm bench --figures`` show: single layers in many sizes, and the trace of a network."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from htvm_ir.driver.compile import Compiled, Options, compile_model
from htvm_ir.driver.edges import edges
from htvm_ir.driver.execute import Execution, execute
from htvm_ir.driver.samples import load_samples
from htvm_ir.errors import HtvmError
from htvm_ir.zoo.arithmetic import INT7_MAX
from htvm_ir.zoo.builder import NetBuilder

Watch = Callable[[str], None]
Kind = Literal["conv 3x3", "conv 1x1", "depthwise 3x3", "dense"]

TILERS = ("none", "dory", "optimal")
BUDGETS = tuple(512 * 1024 >> step for step in range(10))
"""Bytes of L1, from 512 kB on in steps of 2."""


@dataclass(frozen=True)
class Layer:
    """One layer of ``channels`` in and ``outputs`` out on a square map, and the engine that is to compute it."""

    kind: Kind
    channels: int
    outputs: int
    size: int = 1
    engine: str = "digital"

    @property
    def name(self) -> str:
        """For legends."""
        shape = "" if self.kind == "dense" else f", {self.size}x{self.size}"
        return f"{self.kind}, {self.channels} to {self.outputs}{shape}"

    def network(self) -> NetBuilder:
        """The layer as a network: a map is averaged at the end, and a small layer makes the 7 bits of an analog one."""
        shape = (self.channels,) if self.kind == "dense" else (self.channels, self.size, self.size)
        net = NetBuilder(self.name, shape, scale=1 / 16, samples=1)
        x = net.input
        if self.engine == "analog":
            x = net.conv("narrow", x, self.channels, (1, 1), hi=INT7_MAX)
        x = self._layer(net, x)
        net.output(x if self.kind == "dense" else net.global_average("pool", x), 1 / 4)
        return net

    def _layer(self, net: NetBuilder, x: str) -> str:
        taps = (1, 1) if self.kind == "conv 1x1" else (3, 3)
        if self.engine == "analog":
            return net.analog("layer", x, self.outputs, taps)
        if self.kind == "dense":
            return net.dense("layer", x, self.outputs)
        if self.kind == "depthwise 3x3":
            return net.depthwise("layer", x, taps)
        return net.conv("layer", x, self.outputs, taps)


BUDGET_LAYERS = (Layer("conv 3x3", 64, 64, 32), Layer("conv 1x1", 128, 64, 32), Layer("depthwise 3x3", 64, 64, 32))

_CONVS = ((16, 8), (16, 16), (32, 16), (32, 32), (64, 32))
_DENSE = (16, 32, 64, 128, 256)
OVERHEAD_LAYERS: tuple[tuple[Layer, ...], ...] = (
    tuple(Layer("conv 3x3", c, c, size) for c, size in _CONVS),
    tuple(Layer("depthwise 3x3", c, c, size) for c, size in _CONVS),
    tuple(Layer("dense", c, c) for c in _DENSE),
    tuple(Layer("conv 3x3", c, c, size, "analog") for c, size in _CONVS),
    tuple(Layer("conv 1x1", c, c, size, "analog") for c, size in _CONVS),
)
"""Growing layers of one kind on one engine."""


def budgets(
    options: Options,
    layers: Sequence[Layer] = BUDGET_LAYERS,
    sizes: Sequence[int] = BUDGETS,
    watch: Watch | None = None,
) -> list[dict[str, Any]]:
    """Cycles of each layer's kernels with each tiler and L1 budget, down to the smallest with which the engine is used.

    Raises:
        HtvmError: the target has no parameter ``l1_bytes``, or outputs were not the interpreter's.
    """
    found: list[dict[str, Any]] = []
    for layer in layers:
        for tiler in TILERS:
            _tell(watch, f"{layer.name}, {tiler}")
            points = [[size, cycles[0]] for size, cycles in _shrinking(layer, tiler, options, sizes)]
            found.append({"layer": layer.name, "tiler": tiler, "points": points})
    return found


def overheads(
    options: Options,
    groups: Sequence[Sequence[Layer]] = OVERHEAD_LAYERS,
    watch: Watch | None = None,
) -> list[dict[str, Any]]:
    """(MACs, cycles of the whole kernel, cycles of its jobs with their weights) of growing layers.

    Raises:
        HtvmError: outputs were not the interpreter's.
    """
    found: list[dict[str, Any]] = []
    for layers in groups:
        points: list[list[int]] = []
        for layer in layers:
            _tell(watch, f"{layer.name}, {layer.engine}")
            cycles = _kernel_cycles(layer, replace(options, engines=None))
            if cycles is not None:
                points.append([cycles[2], cycles[0], cycles[1]])
        found.append({"kind": layers[0].kind, "engine": layers[0].engine, "points": points})
    return found


def timeline(model: str, options: Options, watch: Watch | None = None) -> dict[str, Any]:
    """When each unit worked in one inference: unit -> [start, end) cycles; weight streams and transfers apart."""
    _tell(watch, f"{model}, {options.tiler}")
    compiled = compile_model(model, options)
    execution = _run(compiled)
    engines = [engine.name for engine in compiled.target.engines]
    rows: dict[str, list[list[int]]] = {"CPU": _working(execution)}
    rows |= {row: [] for name in engines for row in (name, f"{name} weights")}
    rows["DMA"] = []
    for interval in execution.first.trace.intervals:
        unit = interval.unit.replace(".weights", " weights")
        rows[unit if unit in rows else "DMA"].append([interval.start, interval.end])
    return {"model": model, "tiler": options.tiler, "cycles": execution.first.cycles, "rows": rows}


def _shrinking(
    layer: Layer, tiler: str, options: Options, sizes: Sequence[int]
) -> Iterable[tuple[int, tuple[int, int, int]]]:
    for size in sizes:
        target = f"{options.target},l1_bytes={size}"
        cycles = _kernel_cycles(layer, replace(options, target=target, tiler=tiler, engines=(layer.engine,)))
        if cycles is None:
            return
        yield size, cycles


def _kernel_cycles(layer: Layer, options: Options) -> tuple[int, int, int] | None:
    """Cycles of the layer's kernels and of their jobs, and MACs; None if its engine computes nothing."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "layer.onnx")
        path.write_bytes(layer.network().model().SerializeToString())
        compiled = compile_model(str(path), options)
    kernels = [entry for entry in compiled.report["layers"] if entry["engine"] == layer.engine]
    if not kernels:
        return None
    execution = _run(compiled)
    whole = sum(execution.layer_cycles[entry["kernel"]] for entry in kernels)
    bare = execution.report["engines"][layer.engine]["busy_cycles"]
    return whole, bare, sum(entry["macs"] for entry in kernels)


def _run(compiled: Compiled) -> Execution:
    inputs, outputs = edges(compiled.module)
    samples = load_samples("random:0", inputs, outputs, 1)
    execution = execute(compiled, "default", samples, check=True)
    if execution.check is None or execution.check.failed:
        raise HtvmError(f"{compiled.report['model']}: the virtual SoC's outputs are not the interpreter's")
    return execution


def _working(execution: Execution) -> list[list[int]]:
    """When the CPU executed instructions: between its waits."""
    ends = [0, *(cycle for wait in execution.first.waits for cycle in wait), execution.first.cycles]
    pairs = zip(ends[::2], ends[1::2], strict=True)
    return [[start, end] for start, end in pairs if start < end]


def _tell(watch: Watch | None, what: str) -> None:
    if watch is not None:
        watch(what)
