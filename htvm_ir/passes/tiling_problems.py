"""The tiling problems of workloads, posed and solved once for all that look the same to an engine.

Several passes ask what a kernel costs, and networks repeat their layers: the same question comes up dozens of times.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from numpy.typing import NDArray

from htvm_ir.targets.target import Engine, Target
from htvm_ir.targets.workload import Workload
from htvm_ir.tiling.problem import Infeasible, Problem, Solution
from htvm_ir.tiling.solve import solve

REMEMBERED = 4096
"""Questions whose answers are kept (model choice: a deep network asks a few hundred)."""


@dataclass(frozen=True, eq=False)
class _Question:
    """What a tiling problem follows from. It holds the engine, so that its identity stays its own."""

    engine: Engine
    workload: Workload
    target: Target

    @cached_property
    def key(self) -> tuple[object, ...]:
        """Equal for questions of equal answers."""
        return id(self.engine), _shape_of(self.workload), self.target.memories, self.target.channels

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Question) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def problem_of(engine: Engine, workload: Workload, target: Target) -> Problem:
    """The engine's tiling problem."""
    return _problem(_Question(engine, workload, target))


def solved(engine: Engine, workload: Workload, target: Target, seconds: float) -> Solution | Infeasible:
    """Its solution; ``seconds`` limits the search."""
    return _solved(_Question(engine, workload, target), seconds)


@lru_cache(maxsize=REMEMBERED)
def _problem(question: _Question) -> Problem:
    return question.engine.problem(question.workload, question.target)


@lru_cache(maxsize=REMEMBERED)
def _solved(question: _Question, seconds: float) -> Solution | Infeasible:
    return solve(_problem(question), seconds)


def key_of(workload: Workload) -> object:
    """What decides who takes a workload at which cost: of weights how large they are, of a bias whether it is 0."""
    bias = None if workload.bias is None else bool(workload.bias.any())
    bits = None if workload.weights is None else _bits(workload.weights)
    return _shape_of(workload), bias, bits


def _shape_of(workload: Workload) -> tuple[object, ...]:
    """All of a workload but the values of constants."""
    fields = tuple(value for name, value in vars(workload).items() if name not in ("weights", "bias"))
    constants = (workload.weights, workload.bias)
    return (*fields, *(None if array is None else (array.shape, array.dtype.char) for array in constants))


def _bits(weights: NDArray[Any]) -> tuple[int, ...]:
    """The bits of the least and of the greatest weight."""
    return tuple(int(end).bit_length() for end in (weights.min(), weights.max()))
