"""``python -m benchmarks.pow2 MODEL --input X.npz``: what DIANA's number format costs a float or QDQ network.

The network is converted on the first samples of the file and judged on the others, which it has not seen: accuracy
against the file's ``label``, of the converted network (interpreter) and of the float network it was, and how often both
agree. The first of the others run on the virtual SoC as well. Exits with 1 if that differs from the interpreter.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htvm_ir.driver.compile import Compiled, Options, compile_model
from htvm_ir.driver.edges import edges
from htvm_ir.driver.execute import execute
from htvm_ir.driver.samples import Samples, load_samples, read_npz
from htvm_ir.interpreters.run import Runner
from htvm_ir.quantize import forward
from htvm_ir.quantize.calibration import real_samples

Array = NDArray[Any]


@dataclass(frozen=True)
class Result:
    """Shares of the samples that were not calibrated on; ``soc_mismatches`` are values that differ."""

    calibrated: int
    judged: int
    accuracy: float
    float_accuracy: float
    agreement: float
    soc: int
    soc_mismatches: int

    def lines(self) -> str:
        """For people."""
        return (
            f"calibrated on {self.calibrated} samples, judged on the other {self.judged}\n"
            f"accuracy: {self.accuracy:.2%} (float network: {self.float_accuracy:.2%}), "
            f"same class: {self.agreement:.2%}\n"
            f"virtual SoC: {self.soc_mismatches} values of {self.soc} samples differ from the interpreter"
        )


def measure(model: str, data: Path, calibrated: int, soc: int) -> Result:
    """Convert, then judge."""
    compiled = compile_model(model, Options(calibration=data, calibration_samples=calibrated))
    assert compiled.quantized is not None
    samples = load_samples(str(data), *edges(compiled.module), None, compiled.quantized.real_arrays)
    if samples.labels is None:
        raise SystemExit(f"{data}: holds no 'label' to judge by")
    runner = Runner(compiled.source)
    (inputs,) = samples.inputs
    guesses = np.array([runner.run([inputs[i : i + 1]])[0].argmax() for i in range(calibrated, len(samples))])
    wanted, real = samples.labels[calibrated:], _float_guesses(compiled, data)[calibrated:]
    return Result(
        calibrated,
        len(guesses),
        float((guesses == wanted).mean()),
        float((real == wanted).mean()),
        float((guesses == real).mean()),
        soc,
        _soc_mismatches(compiled, samples, slice(calibrated, calibrated + soc)),
    )


def _float_guesses(compiled: Compiled, data: Path) -> Array:
    assert compiled.quantized is not None
    network = compiled.quantized.network
    tensors = forward.run(network.layers, real_samples(str(data), read_npz(data), network))
    return tensors[next(iter(network.outputs.values()))].argmax(axis=1)


def _soc_mismatches(compiled: Compiled, samples: Samples, part: slice) -> int:
    if part.start == part.stop:
        return 0
    few = replace(samples, inputs=tuple(values[part] for values in samples.inputs), labels=None)
    check = execute(compiled, "default", few, check=True).check
    assert check is not None
    return check.interpreter_mismatches


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.pow2", description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--input", required=True, type=Path, metavar="X.npz")
    parser.add_argument("--calibrate", type=int, default=100, metavar="N")
    parser.add_argument("--soc", type=int, default=20, metavar="N")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure(options.model, options.input, options.calibrate, options.soc)
    print(json.dumps(asdict(result), indent=2) if options.json else result.lines())
    return 1 if result.soc_mismatches else 0


if __name__ == "__main__":
    sys.exit(main())
