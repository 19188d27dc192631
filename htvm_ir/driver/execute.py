"""Run a compiled network on the virtual SoC and compare it with the interpreter and with references."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from htvm_ir.driver.edges import Array, edges
from htvm_ir.driver.files import write_file
from htvm_ir.driver.harness import Board, KernelReturn
from htvm_ir.driver.layer_check import LayerCheck
from htvm_ir.driver.output_error import OutputError
from htvm_ir.driver.samples import Samples
from htvm_ir.interpreters.run import Runner

if TYPE_CHECKING:
    from htvm_ir.driver.compile import Compiled
    from htvm_ir.sim.machine import RunResult


OUTPUTS = "the outputs"
"""What a message calls the file of :func:`write_outputs`."""


FLOAT_ERROR = 1e-5
"""By how much real numbers may differ from a reference, of numbers above 1 in proportion to them (model choice)."""


@dataclass
class Check:
    """Counts of a comparison; ``reference`` names what the npz held ('' = nothing).

    ``tolerance``: integer steps by which outputs may differ from it (never from the interpreter).
    """

    samples: int = 0
    tolerance: int = 0
    mismatches: int = 0
    max_abs_diff: int = 0
    reference: str = ""
    interpreter_mismatches: int = 0
    layers_checked: int = 0
    layers_skipped: int = 0
    layer_mismatches: int = 0
    accuracy: float | None = None
    first: str = ""

    @property
    def failed(self) -> bool:
        """Whether anything differs by more than it may."""
        return bool(self.max_abs_diff > self.tolerance or self.interpreter_mismatches or self.layer_mismatches)

    def note(self, what: str) -> None:
        """Remember the first difference, for the message."""
        self.first = self.first or what

    def as_json(self) -> dict[str, Any]:
        """The ``check`` object of the JSON report."""
        return {name: value for name, value in vars(self).items() if name != "first"}


@dataclass
class Execution:
    """Outputs of all samples, [samples, ...] for each network output, and the run's part of the report.

    first: what the machine did for the first sample, to which all figures of the report belong.
    """

    outputs: list[Array]
    report: dict[str, Any]
    check: Check | None
    first: RunResult
    layer_cycles: dict[str, int] = field(default_factory=dict[str, int])


def execute(
    compiled: Compiled,
    module_name: str,
    samples: Samples,
    *,
    check: bool = False,
    check_layers: bool = False,
    layers: Mapping[str, Array] | None = None,
    tolerance: int = 0,
    compiler: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Execution:
    """Build the package, run every sample on the virtual SoC, check as asked.

    check: outputs against the interpreter of the level-1 network and the samples' reference. check_layers: every
    kernel's result of the first sample against the interpreter, and against the tensors in ``layers``. tolerance:
    steps by which outputs may differ from the reference, for one that comes of another arithmetic.
    parameters: make the devices of the virtual SoC err, so that nothing is checked. Where the network or the devices
    are not exact, the error of the outputs is reported and the samples' reference is not compared.

    Raises:
        HtvmError: no virtual SoC, C compiler errors, faults of the program.
    """
    inputs, outputs = edges(compiled.module)
    if parameters:
        check, check_layers, layers = False, False, None
    verdict = _Verdict(compiled, samples, check, OutputError() if compiled.exact or parameters else None)
    reference, counts = verdict.meaning, verdict.counts
    counts.tolerance = tolerance
    interface = compiled.report["interface"] | {"module": module_name}
    with Board.build(compiled.target, compiled.files, interface, inputs, outputs, compiler, parameters) as board:
        comparer = LayerCheck(compiled.module, board, counts)
        for kernel in comparer.kernels:
            board.watch(kernel, comparer.see if check_layers else None)
        results: list[list[Array]] = []
        first: RunResult | None = None
        cycles: dict[str, int] = {}
        for index in range(len(samples)):
            sample = [values[index : index + 1] for values in samples.inputs]
            comparer.expect(reference.layers(sample) if check_layers and index == 0 else None)
            got, result = board.run(sample)
            results.append(got)
            if first is None:
                first, cycles = result, _layer_cycles(board.returns, comparer.layers)
            verdict.judge(index, sample, got)
            if progress is not None:
                progress(index + 1)
        if layers is not None:
            comparer.compare_stored(layers)
        assert first is not None
        report = _run_report(compiled, board, first, len(samples))
    if samples.labels is not None and len(outputs) == 1:
        guesses = np.array([values[0].reshape(-1).argmax() for values in results])
        counts.accuracy = float((guesses == samples.labels).mean())
    checked = counts if check or check_layers else None
    if checked is not None:
        report["check"] = checked.as_json()
    if verdict.error is not None:
        report["output_error"] = verdict.error.as_json()
    stacked = [np.concatenate(column) for column in zip(*results, strict=True)]
    return Execution(stacked, report, checked, first, cycles)


class _Verdict:
    """What is known about the outputs: equal to the interpreter's or not, and how far from the exact ones."""

    def __init__(self, compiled: Compiled, samples: Samples, check: bool, error: OutputError | None):
        self.check, self.error = check, error
        self.samples = samples if error is None else replace(samples, reference=None, reference_name="")
        self.counts = Check(reference=self.samples.reference_name)
        self.meaning = Runner(compiled.source)
        self._exact = Runner(compiled.exact or compiled.source)

    def judge(self, index: int, sample: list[Array], got: list[Array]) -> None:
        """Take in the outputs of one sample."""
        if self.check:
            _compare(self.counts, index, got, self.meaning.run(sample), self.samples)
        if self.error is not None:
            self.error.add(got, self._exact.run(sample))


def _compare(counts: Check, index: int, got: list[Array], expected: list[Array], samples: Samples) -> None:
    counts.samples += 1
    wrong = sum(int(((a != b) & ~(np.isnan(a) & np.isnan(b))).sum()) for a, b in zip(got, expected, strict=True))
    counts.interpreter_mismatches += wrong
    if wrong:
        counts.note(f"sample {index}: {wrong} output values differ from the interpreter")
    for output, reference in zip(got, samples.reference or (), strict=samples.reference is not None):
        difference = _steps(output[0], reference[index])
        counts.mismatches += int((difference != 0).sum())
        counts.max_abs_diff = max(counts.max_abs_diff, int(difference.max(initial=0)))
        if difference.max(initial=0) > counts.tolerance:
            counts.note(f"sample {index}: outputs differ from '{samples.reference_name}' by up to {difference.max()}")


def _steps(output: Array, reference: Array) -> Array:
    """How many steps integers are off; real numbers are none off if they differ by FLOAT_ERROR at most."""
    if output.dtype.kind != "f":
        return np.abs(output.astype(np.int64) - reference.astype(np.int64))
    off = np.abs(output.astype(np.float64) - reference)
    return np.where(off <= FLOAT_ERROR * np.maximum(1, np.abs(reference)), 0, np.ceil(off)).astype(np.int64)


def _layer_cycles(returns: Sequence[KernelReturn], layers: Mapping[str, str]) -> dict[str, int]:
    """Cycles from the return of one function to that of the next, by the kernel it belongs to."""
    cycles: Counter[str] = Counter()
    before = 0
    for event in returns:
        cycles[layers[event.kernel]] += event.cycle - before
        before = event.cycle
    return dict(cycles)


def _run_report(compiled: Compiled, board: Board, result: RunResult, samples: int) -> dict[str, Any]:
    """What one inference took; all are figures of the model of the SoC."""
    from htvm_ir.sim.toolchain import constant_bytes, text_bytes

    target, trace = compiled.target, result.trace
    engines: dict[str, dict[str, int]] = {}
    for engine in target.engines:
        parts = [i for i in trace.intervals if i.unit in (engine.name, f"{engine.name}.weights")]
        jobs = sum(i.unit == engine.name for i in parts)
        engines[engine.name] = {"busy_cycles": sum(i.end - i.start for i in parts), "jobs": jobs}
    moved = [i for i in trace.intervals if i.unit.endswith(".dma")]
    transfers = {
        "bytes": sum(i.bytes for i in moved),
        "count": len(moved),
        "cycles": sum(i.end - i.start for i in moved),
    }
    busy = {name: entry["busy_cycles"] for name, entry in engines.items()}
    return {
        "samples": samples,
        "cycles": {
            "per_inference": result.cycles,
            "cpu": result.cpu_cycles,
            **busy,
            "transfers": transfers["cycles"],
        },
        "instructions": result.instructions,
        "latency_ms": round(result.cycles / target.clock_hz * 1000, 4),
        "engines": engines,
        "transfers": transfers,
        "code_bytes": text_bytes(board.elf),
        "constant_bytes": constant_bytes(board.elf),
        "stack_bytes": result.stack_bytes,
    }


def write_outputs(path: Path, outputs: Sequence[Array], names: Sequence[str]) -> None:
    """Save outputs as an npz, complete or not at all.

    Raises:
        HtvmError: the file cannot be written.
    """
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:  # numpy.savez cannot store a tensor named 'file', and adds the date
        for name, values in zip(names, outputs, strict=True):
            with file.open(zipfile.ZipInfo(f"{name}.npy"), "w") as entry:
                np.lib.format.write_array(entry, values)
    write_file(path, archive.getvalue(), OUTPUTS)
