"""Which engine runs which kernel, for a whole network at once.

A kernel has a cost on each engine that can run it. Costs that depend on several kernels (a tensor that one engine
writes and another reads in a different byte order) are joint costs. The sum of all is minimised by eliminating one
kernel after the other; where too many of them depend on each other, by CP-SAT.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from htvm_ir.cpsat import Model, Variable
from htvm_ir.errors import HtvmError
from htvm_ir.schedule.eliminate import Cost, is_large, least

Choice: TypeAlias = tuple[str, str]
"""A kernel and an engine."""


@dataclass(frozen=True)
class Kernel:
    """A kernel and the cycles it takes on each engine that can run it; at least one can."""

    name: str
    cycles: Mapping[str, int]


@dataclass(frozen=True)
class Joint:
    """Cycles that are paid once if of every group at least one choice is made; no groups: always."""

    cycles: int
    groups: tuple[frozenset[Choice], ...]

    def paid(self, engines: Mapping[str, str]) -> bool:
        """Whether an assignment pays for it."""
        return all(any(engines[kernel] == engine for kernel, engine in group) for group in self.groups)


@dataclass(frozen=True)
class Assignment:
    """The engine of each kernel; `cycles` is the predicted total, and the least possible one if `proven`."""

    engines: dict[str, str]
    cycles: int
    proven: bool


def total(kernels: Sequence[Kernel], joints: Sequence[Joint], engines: Mapping[str, str]) -> int:
    """Return the predicted cycles of an assignment."""
    alone = sum(kernel.cycles[engines[kernel.name]] for kernel in kernels)
    return alone + sum(joint.cycles for joint in joints if joint.paid(engines))


def greedy(kernels: Sequence[Kernel]) -> dict[str, str]:
    """Return the cheapest engine of each kernel by itself, joint costs aside; the first among equals."""
    return {kernel.name: min(kernel.cycles, key=lambda engine: kernel.cycles[engine]) for kernel in kernels}


def brute_force(kernels: Sequence[Kernel], joints: Sequence[Joint]) -> Assignment:
    """Return the best of all assignments, by trying them; for tests and a handful of kernels."""
    names = [kernel.name for kernel in kernels]
    combinations = (dict(zip(names, choice, strict=True)) for choice in product(*(k.cycles for k in kernels)))
    best = min(combinations, key=lambda engines: total(kernels, joints, engines))
    return Assignment(best, total(kernels, joints, best), True)


def assign(kernels: Sequence[Kernel], joints: Sequence[Joint], seconds: float = 5.0) -> Assignment:
    """Return the assignment of least cycles; deterministic.

    At the time limit the best one found is returned with `proven=False`, the greedy one at worst. Raises
    HtvmError if a kernel has no engine.
    """
    for kernel in kernels:
        if not kernel.cycles:
            raise HtvmError(f"kernel '{kernel.name}': no engine can run it")
    return _eliminated(kernels, joints) or _searched(kernels, joints, seconds)


def _eliminated(kernels: Sequence[Kernel], joints: Sequence[Joint]) -> Assignment | None:
    """The best assignment by elimination; None if too many kernels depend on each other."""
    sizes = {kernel.name: len(kernel.cycles) for kernel in kernels}
    number = {kernel.name: n for n, kernel in enumerate(kernels)}
    costs = [Cost((n,), np.array([*kernel.cycles.values()], np.int64)) for n, kernel in enumerate(kernels)]
    for joint in joints:
        names = sorted({name for group in joint.groups for name, _ in group}, key=number.__getitem__)
        if is_large([sizes[name] for name in names]):
            return None
        costs.append(Cost(tuple(number[name] for name in names), _table(joint, {n: kernels[number[n]] for n in names})))
    values = least([*sizes.values()], costs)
    if values is None:
        return None
    engines = {kernel.name: [*kernel.cycles][value] for kernel, value in zip(kernels, values, strict=True)}
    return Assignment(engines, total(kernels, joints, engines), True)


def _table(joint: Joint, scope: Mapping[str, Kernel]) -> NDArray[np.int64]:
    """A joint cost for all choices of the kernels it depends on, an axis for each."""
    paid = np.ones([len(kernel.cycles) for kernel in scope.values()], np.bool_)
    for group in joint.groups:
        made = np.zeros_like(paid)
        for name, engine in group:
            if engine in scope[name].cycles:
                axis, value = [*scope].index(name), [*scope[name].cycles].index(engine)
                made[(slice(None),) * axis + (value,)] = True
        paid &= made
    return paid * np.int64(joint.cycles)


def _searched(kernels: Sequence[Kernel], joints: Sequence[Joint], seconds: float) -> Assignment:
    """The best assignment that CP-SAT finds."""
    start = greedy(kernels)
    model = Model()
    literals = _literals(model, kernels, start)
    terms = [(k.cycles[engine], literals[k.name, engine]) for k in kernels for engine in k.cycles]
    terms += [(joint.cycles, _paid(model, joint, literals)) for joint in joints if joint.cycles]
    model.minimise(terms)
    outcome = model.solve(seconds, relax=True)  # the relaxation is all but integral
    engines = start
    if outcome.values:
        engines = {kernel: engine for (kernel, engine), literal in literals.items() if outcome.values[literal]}
    cycles = total(kernels, joints, engines)
    if cycles > total(kernels, joints, start):
        engines, cycles = start, total(kernels, joints, start)
    return Assignment(engines, cycles, cycles <= outcome.bound)


def _literals(model: Model, kernels: Sequence[Kernel], start: Mapping[str, str]) -> dict[Choice, Variable]:
    """Return one literal for each choice, exactly one of each kernel true; the search begins at `start`."""
    literals: dict[Choice, Variable] = {}
    for kernel in kernels:
        own = {(kernel.name, engine): model.boolean() for engine in kernel.cycles}
        model.exactly_one(list(own.values()))
        for (name, engine), literal in own.items():
            model.hint(literal, int(start[name] == engine))
        literals |= own
    return literals


def _paid(model: Model, joint: Joint, literals: Mapping[Choice, Variable]) -> Variable:
    """Return a literal that must be true if the joint cost is paid; the objective makes it false otherwise."""
    paid = model.boolean()
    for choices in product(*joint.groups):
        terms = [(1, literals[choice]) for choice in dict.fromkeys(choices) if choice in literals]
        if len(terms) == len(set(choices)):
            model.linear([*terms, (-1, paid)], -len(terms) - 1, len(terms) - 1)
    return paid
