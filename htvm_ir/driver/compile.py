"""Model in, C package out, with a report of every decision."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from htvm_ir.backend.c.interface import Interface
from htvm_ir.errors import NoRoomError

if TYPE_CHECKING:
    import onnx
    from xdsl.dialects.builtin import ModuleOp

    from htvm_ir.driver.plans import Entry
    from htvm_ir.driver.quantize import Quantized
    from htvm_ir.driver.report import Recorder
    from htvm_ir.frontends.onnx import Edges, Rounding
    from htvm_ir.targets.target import Target


@dataclass(frozen=True)
class Options:
    """What the user can choose.

    engines: None = all of the target's; empty = CPU only.
    numerics: ``exact``; ``pow2``: the model is converted, see ``calibration``; ``analog``: engines may also compute
        convolutions they cannot compute exactly.
    tiler: who plans: ``optimal``, ``dory`` or ``none``, see ``passes.pipeline.TILERS``.
    overlap: whether the CPU and the engines work side by side; if not, every kernel ends before the next one begins.
    depth_first: whether consecutive kernels may be computed strip by strip, where a map between them has no room in
        local memory.
    plan: tile sizes by dimension, and ``mapping``, by kernel or layer name (JSON form of the plan attribute).
    rounding: whose results a QDQ or QOperator network is to have, see ``import_model``.
    input_ranges: least and greatest value of inputs that the model does not quantise.
    calibration: an npz; the float or QDQ model is converted to DIANA's number format on it (``--numerics=pow2``).
    calibration_samples: use only so many of it.
    fallback: who compiles what is not implemented: ``tvm``, ``none``, or None = TVM where it is installed.
    io: whether float inputs and outputs are left to the caller as integers, or computed by the fallback (``float``).
    interface: how the caller meets the network in C.
    """

    target: str = "diana"
    engines: tuple[str, ...] | None = None
    numerics: str = "exact"
    module_name: str = "default"
    tiler: str = "optimal"
    overlap: bool = True
    depth_first: bool = True
    solver_seconds: float | None = None
    plan: Mapping[str, Entry] | None = None
    rounding: Rounding = "onnx"
    input_ranges: Mapping[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    calibration: Path | None = None
    calibration_samples: int | None = None
    fallback: str | None = None
    io: Edges = "integer"
    interface: Interface = field(default_factory=Interface)


@dataclass
class Compiled:
    """A compiled network.

    source: the network at level 1, what the interpreter runs as reference. module: the last IR.
    files: path in the package -> text. report: the JSON report.
    exact: the network at level 1 before ``approximate-convs`` changed its meaning; None if nothing did.
    quantized: the conversion before, if there was one.
    """

    target: Target
    source: ModuleOp
    module: ModuleOp
    files: dict[str, str]
    report: dict[str, Any]
    exact: ModuleOp | None = None
    quantized: Quantized | None = None


def load_model(model: str, options: Options) -> ModuleOp:
    """The network at level 1, from a path or ``zoo:NAME``.

    Raises:
        HtvmError: no such model, or it is not an integer network.
    """
    if model.startswith("zoo:"):
        from htvm_ir import zoo

        name = model.removeprefix("zoo:")
        return _import(zoo.build(name), name, options)
    return _import(Path(model), None, options)


def _import(source: Path | onnx.ModelProto, name: str | None, options: Options) -> ModuleOp:
    from htvm_ir import fallback
    from htvm_ir.frontends.onnx import import_model

    return import_model(
        source,
        name=name,
        input_ranges=options.input_ranges,
        rounding=options.rounding,
        compiler=fallback.compiler(options.fallback),
        io=options.io,
        hint=fallback.hint(options.fallback),
    )


def compile_model(
    model: str, options: Options | None = None, watch: Callable[[str, float], None] | None = None
) -> Compiled:
    """Compile a network.

    watch: called after each pass with its name and the seconds it took.

    Raises:
        HtvmError: anything the user can mend.
    """
    from htvm_ir.backend.c.package import render_package
    from htvm_ir.driver.edges import edges

    options = options or Options()
    options.interface.check()
    started = time.perf_counter()
    quantized = _quantized(model, options)
    source = load_model(model, options) if quantized is None else _import(quantized.model, Path(model).stem, options)
    lowered = _fitting(source, options, watch)
    module, snapshot = lowered.module, lowered.snapshot
    rendered = render_package(module, options.module_name, options.interface)
    report = lowered.recorder.report(model, module)
    inputs, outputs = edges(module)
    report["numerics"] = options.numerics
    report["tiler"] = options.tiler
    report["strips_refused"] = lowered.strips_refused
    report["inputs"] = [edge.as_json() for edge in inputs]
    report["outputs"] = [edge.as_json() for edge in outputs]
    report["interface"] = rendered.interface
    if quantized is not None:
        report["quantization"] = quantized.report
    report["compile_seconds"] = round(time.perf_counter() - started, 3)
    if snapshot.module is None or not report["approximated"]:
        return Compiled(lowered.target, source, module, rendered.files, report, quantized=quantized)
    return Compiled(lowered.target, snapshot.module, module, rendered.files, report, exact=source)


@dataclass
class _Lowered:
    """A network after all passes, and what was seen between them.

    has_strips: whether some kernels are computed strip by strip. strips_refused: the memory that has no room for those
        that would be, and the bytes it lacks; None = none is refused.
    """

    target: Target
    module: ModuleOp
    recorder: Recorder
    snapshot: _Snapshot
    has_strips: bool = False
    strips_refused: dict[str, str | int] | None = None

    def after(self, name: str, module: ModuleOp) -> None:
        """Called after each pass."""
        self.recorder.after(name, module)
        self.snapshot.after(name, module)
        if name == "plan-strips":
            from htvm_ir.passes.strips import segments

            self.has_strips = bool(segments(module))


def _fitting(source: ModuleOp, options: Options, watch: Callable[[str, float], None] | None) -> _Lowered:
    """Lower a network; without strips if it only fits so. What they need of a memory is known when all is planned.

    Raises:
        NoRoomError: it fits neither way; the error of the one that lacks less.
    """
    lowered = _start(source, options)
    try:
        _lower(lowered, options, watch)
    except NoRoomError as error:
        if not lowered.has_strips:
            raise
        whole = _start(source, options)
        whole.strips_refused = {"memory": error.memory, "missing": error.missing}
        try:
            _lower(whole, replace(options, depth_first=False), watch)
        except NoRoomError as other:
            raise min(error, other, key=lambda e: e.missing) from None
        return whole
    return lowered


def _start(source: ModuleOp, options: Options) -> _Lowered:
    from htvm_ir.driver.report import Recorder
    from htvm_ir.passes.pipeline import APPROXIMATE, run_passes
    from htvm_ir.passes.set_target import SetTarget
    from htvm_ir.passes.workloads import module_target

    module, engines = source.clone(), ("none",) if options.engines == () else options.engines
    run_passes(module, [SetTarget(options.target, engines)], verify=False)
    target = module_target(module)
    return _Lowered(target, module, Recorder(target), _Snapshot(APPROXIMATE))


def _lower(lowered: _Lowered, options: Options, watch: Callable[[str, float], None] | None) -> None:
    from htvm_ir.driver.plans import Plans
    from htvm_ir.passes.pipeline import default_passes, run_passes

    observers = [lowered.after]
    if options.plan is not None:
        observers.insert(0, Plans(options.plan).after)
    if watch is not None:
        observers.append(_Stopwatch(watch).after)

    def after(name: str, module: ModuleOp) -> None:
        for observer in observers:
            observer(name, module)

    chosen = (options.solver_seconds, options.numerics, options.tiler, options.overlap, options.depth_first)
    run_passes(lowered.module, list(default_passes(*chosen)), after, verify=False)


class _Snapshot:
    """Keeps the module as one pass left it."""

    def __init__(self, name: str):
        self.name = name
        self.module: ModuleOp | None = None

    def after(self, name: str, module: ModuleOp) -> None:
        """Called after each pass."""
        if name == self.name:
            self.module = module.clone()


def _quantized(model: str, options: Options) -> Quantized | None:
    if options.calibration is None:
        return None
    from htvm_ir.driver.quantize import quantize_model

    return quantize_model(model, options.calibration, options.calibration_samples)


class _Stopwatch:
    """Tells how long each pass took."""

    def __init__(self, watch: Callable[[str, float], None]):
        self.watch, self.last = watch, time.perf_counter()

    def after(self, name: str, module: ModuleOp) -> None:
        now = time.perf_counter()
        self.watch(name, now - self.last)
        self.last = time.perf_counter()
