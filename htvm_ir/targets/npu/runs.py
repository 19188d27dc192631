"""Bytes with gaps: how the planes of a map lie in L1, where a job works on some rows of a larger one."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from htvm_ir.targets.workload import Workload


@dataclass(frozen=True)
class Runs:
    """Runs of ``size`` bytes, each ``pitch`` bytes behind the one before; what lies between them is not theirs."""

    count: int
    size: int
    pitch: int

    @property
    def span(self) -> int:
        """Bytes from the first to the last, gaps included."""
        return (self.count - 1) * self.pitch + self.size

    def view(self, data: NDArray[Any]) -> NDArray[Any]:
        """The runs that begin where an array does, as [count, size]; writing to them writes to the array."""
        return sliding_window_view(data[: self.span], self.size, writeable=True)[:: self.pitch]


def one_run(size: int) -> Runs:
    """Bytes without gaps."""
    return Runs(1, size, size)


def planes(workload: Workload, index: int) -> Runs:
    """The planes of an operand (inputs, then the output): of a tile of what stays in L1 as far apart as the whole's."""
    shape = (*workload.inputs, workload.output)[index].shape
    whole = workload.whole[index] if index in workload.resident and workload.whole else shape
    return Runs(shape[1], _plane(shape), _plane(whole))


def _plane(shape: tuple[int, ...]) -> int:
    """Bytes of a channel; a vector has one for each."""
    return prod(shape[2:])
