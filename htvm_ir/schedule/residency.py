"""Which tensors stay in an engine's local memory from the kernel that writes them to the last that reads them.

A tensor that stays costs room as long as it lives, in kernels that do not use it as well, and saves the cycles of its
transfers. What a kernel costs with some of its operands resident, and how much room its other tiles need, is known
beforehand, as a list of options.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from htvm_ir.cpsat import LARGEST, Model, Variable


@dataclass(frozen=True)
class Tensor:
    """`size` bytes, held from kernel `first`, which writes it, to kernel `last`, both included."""

    name: str
    size: int
    first: int
    last: int

    def held(self, kernel: int) -> bool:
        """Return whether it takes room while a kernel runs."""
        return self.first <= kernel <= self.last


@dataclass(frozen=True)
class Option:
    """A way to run a kernel: its operands that are resident, bytes for the tiles of the others, predicted cycles."""

    resident: frozenset[str]
    size: int
    cycles: int


@dataclass(frozen=True)
class Kernel:
    """Which of the tensors it reads or writes, and its options; the first has none of them resident."""

    operands: frozenset[str]
    options: tuple[Option, ...]


@dataclass(frozen=True)
class Residency:
    """The tensors that stay and the option of each kernel; `cycles` are the least possible if `proven`."""

    tensors: frozenset[str]
    options: tuple[Option, ...]
    cycles: int
    proven: bool


def evaluate(
    kernels: Sequence[Kernel], tensors: Sequence[Tensor], capacity: int, chosen: frozenset[str]
) -> Residency | int:
    """Return the best options if exactly `chosen` stay, or the first kernel that has too little room."""
    options: list[Option] = []
    for index, kernel in enumerate(kernels):
        room = capacity - sum(t.size for t in tensors if t.name in chosen and t.held(index))
        fitting = [o for o in kernel.options if o.resident == chosen & kernel.operands and o.size <= room]
        if not fitting:
            return index
        options.append(min(fitting, key=lambda o: (o.cycles, o.size)))
    return Residency(chosen, tuple(options), sum(o.cycles for o in options), False)


def brute_force(kernels: Sequence[Kernel], tensors: Sequence[Tensor], capacity: int) -> Residency:
    """Return the best of all sets, by trying them; for tests and a handful of tensors."""
    names = [tensor.name for tensor in tensors]
    sets = (frozenset(chosen) for count in range(len(names) + 1) for chosen in combinations(names, count))
    found = (evaluate(kernels, tensors, capacity, chosen) for chosen in sets)
    best = min((r for r in found if isinstance(r, Residency)), key=lambda r: r.cycles)
    return Residency(best.tensors, best.options, best.cycles, True)


def plan_residency(
    kernels: Sequence[Kernel], tensors: Sequence[Tensor], capacity: int, seconds: float = 5.0
) -> Residency:
    """Return the residency of least cycles within `capacity` bytes; deterministic.

    Every kernel must fit with nothing resident. At the time limit the best residency found is returned with
    `proven=False`, the greedy one at worst.
    """
    start = greedy(kernels, tensors, capacity)
    if start.cycles == sum(min(o.cycles for o in kernel.options) for kernel in kernels):
        return Residency(start.tensors, start.options, start.cycles, True)
    model = Model()
    stays = {tensor.name: model.boolean() for tensor in tensors}
    for name, literal in stays.items():
        model.hint(literal, int(name in start.tensors))
    costs: list[tuple[int, Variable]] = []
    for index, kernel in enumerate(kernels):
        taken = list(zip(kernel.options, _literals(model, kernel, stays), strict=True))
        held = [(t.size, stays[t.name]) for t in tensors if t.held(index)]
        model.linear([*held, *((option.size, literal) for option, literal in taken)], -LARGEST, capacity)
        costs += [(option.cycles, literal) for option, literal in taken]
    model.minimise(costs)
    outcome = model.solve(seconds, relax=True)
    chosen = frozenset(name for name, literal in stays.items() if outcome.values and outcome.values[literal])
    found = evaluate(kernels, tensors, capacity, chosen)
    best = found if isinstance(found, Residency) and found.cycles < start.cycles else start
    return Residency(best.tensors, best.options, best.cycles, best.cycles <= outcome.bound)


def greedy(kernels: Sequence[Kernel], tensors: Sequence[Tensor], capacity: int) -> Residency:
    """Return what is left when, of all tensors, the largest at each kernel without room are given up."""
    chosen = frozenset(tensor.name for tensor in tensors)
    while isinstance(found := evaluate(kernels, tensors, capacity, chosen), int):
        held = [t for t in tensors if t.name in chosen and t.held(found)]
        chosen -= {max(held, key=lambda t: (t.size, t.last - t.first, t.name)).name}
    return found


def _literals(model: Model, kernel: Kernel, stays: Mapping[str, Variable]) -> list[Variable]:
    """Return one literal for each option, exactly one true: one whose resident operands are those that stay."""
    literals = [model.boolean() for _ in kernel.options]
    model.exactly_one(literals)
    for name in sorted(kernel.operands):
        using = [(1, v) for option, v in zip(kernel.options, literals, strict=True) if name in option.resident]
        model.linear([*using, (-1, stays[name])], 0, 0)
    return literals
