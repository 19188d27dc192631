"""How far outputs are from the exact ones, where a network is not computed exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from htvm_ir.driver.edges import Array

if TYPE_CHECKING:
    from htvm_ir.driver.compile import Compiled


@dataclass
class OutputError:
    """Sums over samples, in steps of the outputs' integers; ``agreed`` counts samples with the same greatest output."""

    samples: int = 0
    values: int = 0
    wrong: int = 0
    max_abs: int = 0
    sum_abs: int = 0
    agreed: int = 0

    def add(self, got: Sequence[Array], exact: Sequence[Array]) -> None:
        """Count one sample, given all outputs of both; the greatest is sought in the first one."""
        self.samples += 1
        for a, b in zip(got, exact, strict=True):
            difference = np.abs(a.astype(np.int64) - b.astype(np.int64))
            self.values += difference.size
            self.wrong += int((difference != 0).sum())
            self.max_abs = max(self.max_abs, int(difference.max(initial=0)))
            self.sum_abs += int(difference.sum())
        self.agreed += int(got[0].reshape(-1).argmax() == exact[0].reshape(-1).argmax())

    def as_json(self) -> dict[str, Any]:
        """The ``output_error`` object of the JSON report."""
        return {
            "samples": self.samples,
            "values": self.values,
            "wrong": self.wrong,
            "max_abs": self.max_abs,
            "mean_abs": round(self.sum_abs / max(1, self.values), 4),
            "argmax_agreement": round(self.agreed / max(1, self.samples), 4),
        }


def approximation_error(compiled: Compiled, samples: int = 8) -> OutputError | None:
    """The error of a network's approximated meaning on random inputs, by interpreter; None if it is exact."""
    from htvm_ir.driver.edges import edges
    from htvm_ir.driver.samples import load_samples
    from htvm_ir.interpreters.run import Runner

    if compiled.exact is None:
        return None
    drawn = load_samples("random:0", *edges(compiled.module), samples)
    meaning, exact, error = Runner(compiled.source), Runner(compiled.exact), OutputError()
    for index in range(samples):
        sample = [values[index : index + 1] for values in drawn.inputs]
        error.add(meaning.run(sample), exact.run(sample))
    return error
