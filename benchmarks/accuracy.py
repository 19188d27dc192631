"""``python -m benchmarks.accuracy MODEL --input SAMPLES.npz``: how often a quantised network is right.

Every sample goes through the interpreter, with the rounding of either reference; the first of them through the virtual
SoC as well. The file holds ``input``, and ``label`` and ``logits`` (or ``output``) as far as they are known. Exits
with 1 when the virtual SoC differs from the interpreter.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from htvm_ir.driver.compile import Compiled, Options, compile_model
from htvm_ir.driver.edges import edges
from htvm_ir.driver.execute import execute
from htvm_ir.driver.samples import Samples, load_samples
from htvm_ir.frontends.onnx import Rounding
from htvm_ir.interpreters.run import Runner

Array = NDArray[Any]


@dataclass(frozen=True)
class Result:
    """Shares and counts over the samples; ``None`` where the file does not say.

    accuracy: predictions that are the label. stored: predictions that are the stored one. equal: samples whose
    outputs are the stored ones, every bit. onnxruntime: predictions that are its own. soc: samples on the virtual
    SoC, soc_mismatches: values there that differ from the interpreter.
    """

    rounding: str
    samples: int
    accuracy: float | None
    stored: int | None
    equal: int | None
    onnxruntime: int
    soc: int
    soc_mismatches: int

    def line(self) -> str:
        """For people."""
        parts = [f"{self.rounding:<7} {self.samples} samples"]
        if self.accuracy is not None:
            parts.append(f"accuracy {100 * self.accuracy:.1f} %")
        if self.stored is not None:
            parts.append(f"stored prediction {self.stored}, all outputs as stored {self.equal}")
        parts.append(f"onnxruntime's prediction {self.onnxruntime}")
        parts.append(f"virtual SoC: {self.soc_mismatches} values of {self.soc} samples differ")
        return "; ".join(parts)


def onnxruntime_predictions(model: str, samples: Samples) -> Array:
    """The class of each sample, by onnxruntime."""
    import onnxruntime as ort  # pyright: ignore[reportMissingTypeStubs]

    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    name, (values,) = session.get_inputs()[0].name, samples.inputs
    return np.array([np.asarray(session.run(None, {name: x[None]})[0]).argmax() for x in values])


def measure(model: str, source: str, rounding: Rounding, count: int | None, soc: int) -> Result:
    """One network with one rounding; ``soc`` samples go through the virtual SoC."""
    compiled = compile_model(model, Options(rounding=rounding))
    inputs, outputs = edges(compiled.module)
    samples = load_samples(source, inputs, outputs, count)
    run, (values,) = Runner(compiled.source), samples.inputs
    results = np.concatenate([run.run([x[None]])[0] for x in values])
    guesses = results.reshape(len(results), -1).argmax(1)
    stored = None if samples.reference is None else samples.reference[0]
    return Result(
        rounding,
        len(samples),
        None if samples.labels is None else float((guesses == samples.labels).mean()),
        None if stored is None else int((guesses == stored.reshape(len(stored), -1).argmax(1)).sum()),
        None if stored is None else int((results == stored).reshape(len(stored), -1).all(1).sum()),
        int((guesses == onnxruntime_predictions(model, samples)).sum()),
        min(soc, len(samples)),
        soc_mismatches(compiled, samples, soc),
    )


def soc_mismatches(compiled: Compiled, samples: Samples, count: int) -> int:
    """Output values of the first ``count`` samples that differ between the virtual SoC and the interpreter."""
    if count == 0:
        return 0
    first = Samples(tuple(values[:count] for values in samples.inputs), samples.edge)
    check = execute(compiled, "default", first, check=True).check
    assert check is not None
    return check.interpreter_mismatches


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.accuracy", description=__doc__)
    parser.add_argument("model", help="a quantised ONNX file with one integer input and one output")
    parser.add_argument("--input", required=True, metavar="X.npz")
    parser.add_argument("--rounding", choices=get_args(Rounding), action="append", help="default: both")
    parser.add_argument("--samples", type=int, help="only the first N samples")
    parser.add_argument("--soc", type=int, default=50, metavar="N", help="samples on the virtual SoC (default: 50)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    if not Path(options.model).is_file():
        parser.error(f"{options.model}: no such file")
    roundings: list[Rounding] = options.rounding or list(get_args(Rounding))
    results = [measure(options.model, options.input, r, options.samples, options.soc) for r in roundings]
    if options.json:
        print(json.dumps([asdict(result) for result in results], indent=2))
    else:
        print("\n".join(result.line() for result in results))
    return int(any(result.soc_mismatches for result in results))


if __name__ == "__main__":
    sys.exit(main())
