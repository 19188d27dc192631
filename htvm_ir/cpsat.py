"""A thin, deterministic door to OR-Tools' CP-SAT, opened only when a model is solved.

The public `ortools.sat.python.cp_model` imports pandas for type annotations and takes 0.6 s; the
binding below it, `cp_model_helper`, takes 0.1 s. A model is therefore written in the text format
of CP-SAT's published message `CpModelProto` and handed to the binding. `solve` is the only place
that knows OR-Tools. Since a model is a text, its hash is the name under which a proven answer is stored.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from typing import Literal, TypeAlias

from htvm_ir.store import current, digest

Variable: TypeAlias = int
Terms: TypeAlias = Sequence[tuple[int, Variable]]
"""A linear expression: (coefficient, variable) pairs."""
Status: TypeAlias = Literal["optimal", "feasible", "infeasible", "unknown"]

PROVEN: tuple[Status, ...] = ("optimal", "infeasible")
"""What no longer search could change."""

STORED = "cpsat"
"""The kind of these entries in the store."""

LARGEST = 2**60
"""No coefficient times bound may pass this: CP-SAT computes in 64-bit integers."""


WORK_PER_SECOND = 0.04
"""CP-SAT's machine-independent work units granted per second of a time limit.

Measured on tiling and memory models: 0.04 to 0.45 units a second of one worker. With the low end
the work limit is what ends a search, and the same model gives the same answer on a slow day; the
wall clock is the safety net.
"""


@dataclass(frozen=True)
class Outcome:
    """`values` by variable, empty if none were found; `bound`: the objective cannot be lower."""

    status: Status
    values: tuple[int, ...]
    bound: int


def _numbers(name: str, values: Iterable[int]) -> str:
    return "".join(f"{name}:{value} " for value in values)


def _expression(factor: int, variable: Variable, offset: int) -> str:
    return f"vars:{variable} coeffs:{factor} offset:{offset}"


@dataclass
class Model:
    """Collects variables and constraints; literals are the variables made by `boolean`."""

    _text: list[str] = field(default_factory=list[str])
    _hints: dict[Variable, int] = field(default_factory=dict[int, int])
    _variables: int = 0
    _constraints: int = 0

    def integer(self, low: int, high: int) -> Variable:
        """Return a new variable in low..high, both included."""
        self._text.append(f"variables{{domain:{low} domain:{high}}}")
        self._variables += 1
        return self._variables - 1

    def boolean(self) -> Variable:
        """Return a new variable that is 0 or 1."""
        return self.integer(0, 1)

    def linear(self, terms: Terms, low: int, high: int, when: Sequence[Variable] = ()) -> None:
        """Require low <= terms <= high, if every literal of `when` is true."""
        body = _numbers("vars", (v for _, v in terms)) + _numbers("coeffs", (c for c, _ in terms))
        literals = _numbers("enforcement_literal", when)
        self._constraint(f"{literals}linear{{{body}domain:{low} domain:{high}}}")

    def exactly_one(self, literals: Sequence[Variable]) -> None:
        """Require that one literal is true and the others are false."""
        self._constraint(f"exactly_one{{{_numbers('literals', literals)}}}")

    def interval(self, start: Variable, factor: int, size: int) -> int:
        """Return an interval of `size` that starts at factor * start."""
        first, last = _expression(factor, start, 0), _expression(factor, start, size)
        return self._constraint(f"interval{{start{{{first}}} end{{{last}}} size{{offset:{size}}}}}")

    def no_overlap(self, intervals: Sequence[int]) -> None:
        """Require that no two of the intervals share a point."""
        self._constraint(f"no_overlap{{{_numbers('intervals', intervals)}}}")

    def minimise(self, terms: Terms) -> None:
        """Set the objective."""
        body = _numbers("vars", (v for _, v in terms)) + _numbers("coeffs", (c for c, _ in terms))
        self._text.append(f"objective{{{body}}}")

    def hint(self, variable: Variable, value: int) -> None:
        """Suggest where the search starts."""
        self._hints[variable] = value

    def solve(self, seconds: float, relax: bool = False) -> Outcome:
        """Run one worker with a fixed seed; `relax`: bound by the linear relaxation of the clauses, too.

        A proven answer is kept in the store in use, and found there. Raises ValueError if CP-SAT rejects the model.
        """
        hints = _numbers("vars", self._hints) + _numbers("values", self._hints.values())
        text = "\n".join([*self._text, f"solution_hint{{{hints}}}"])
        store = current()
        if store is None:
            return _solve(text, seconds, relax)
        key = digest([_solver(), str(relax), text])
        stored = store.get(STORED, key)
        outcome = None if stored is None else _decoded(stored, self._variables)
        if outcome is None:
            outcome = _solve(text, seconds, relax)
            if outcome.status in PROVEN:
                store.put(STORED, key, json.dumps([outcome.status, outcome.values, outcome.bound]).encode())
        return outcome

    def _constraint(self, body: str) -> int:
        self._text.append(f"constraints{{{body}}}")
        self._constraints += 1
        return self._constraints - 1


@cache
def _solver() -> str:
    return version("ortools")


def _decoded(stored: bytes, variables: int) -> Outcome | None:
    """An answer for that many variables, read back; None if it is not one."""
    try:
        status, values, bound = json.loads(stored)
        outcome = Outcome(PROVEN[PROVEN.index(status)], tuple(map(int, values)), int(bound))
    except (ValueError, TypeError):
        return None
    return outcome if len(outcome.values) == (variables if status == "optimal" else 0) else None


def _solve(text: str, seconds: float, relax: bool) -> Outcome:
    """Let CP-SAT solve a model."""
    from ortools.sat.python import cp_model_helper as cp

    proto = cp.CpModelProto()
    if not proto.parse_text_format(text):
        raise ValueError("CP-SAT cannot parse the model")
    parameters = cp.SatParameters()
    parameters.num_workers = 1
    parameters.random_seed = 0
    parameters.max_time_in_seconds = seconds
    parameters.max_deterministic_time = seconds * WORK_PER_SECOND
    if relax:
        parameters.linearization_level = 2
    wrapper = cp.SolveWrapper()
    wrapper.set_parameters(parameters)
    response = wrapper.solve(proto)
    statuses: dict[str, Status] = {
        "OPTIMAL": "optimal",
        "FEASIBLE": "feasible",
        "INFEASIBLE": "infeasible",
        "UNKNOWN": "unknown",
    }
    if response.status.name not in statuses:
        raise ValueError(f"CP-SAT rejects the model: {cp.CpSatHelper.validate_model(proto)}")
    return Outcome(
        status=statuses[response.status.name],
        values=tuple(response.solution),
        bound=math.ceil(response.best_objective_bound - 1e-6),
    )
