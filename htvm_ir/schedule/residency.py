"""Which tensors stay in an engine's local memory from the kernel that writes them to the last that reads them.

A tensor that stays costs room as long as it lives, in kernels that do not use it as well, and saves the cycles of its
transfers. What a kernel costs with some of its operands resident, and how much room its other tiles need, is known
beforehand, as a list of options.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
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


def evaluate(kernels: Sequence[Kernel], tensors: Sequence[Tensor], capacity: int, chosen: Set[str]) -> Residency | None:
    """Return the best options if exactly `chosen` stay; None if some kernel has too little room."""
    options = [
        _best(kernel, chosen, capacity - sum(t.size for t in here if t.name in chosen))
        for kernel, here in zip(kernels, held(tensors, len(kernels)), strict=True)
    ]
    found = [option for option in options if option is not None]
    if len(found) < len(kernels):
        return None
    return Residency(frozenset(chosen), tuple(found), sum(option.cycles for option in found), False)


def _best(kernel: Kernel, chosen: Set[str], room: int) -> Option | None:
    """Return a kernel's fastest option with these tensors resident, and the smallest among equals."""
    resident = chosen & kernel.operands
    fitting = [option for option in kernel.options if option.resident == resident and option.size <= room]
    return min(fitting, key=lambda option: (option.cycles, option.size), default=None)


def held(tensors: Sequence[Tensor], kernels: int) -> list[list[Tensor]]:
    """Return the tensors that each kernel holds if all stay."""
    places: list[list[Tensor]] = [[] for _ in range(kernels)]
    for tensor in tensors:
        for index in range(tensor.first, tensor.last + 1):
            places[index].append(tensor)
    return places


def brute_force(kernels: Sequence[Kernel], tensors: Sequence[Tensor], capacity: int) -> Residency:
    """Return the best of all sets, by trying them; for tests and a handful of tensors."""
    names = [tensor.name for tensor in tensors]
    sets = (set(chosen) for count in range(len(names) + 1) for chosen in combinations(names, count))
    found = (evaluate(kernels, tensors, capacity, chosen) for chosen in sets)
    best = min((residency for residency in found if residency is not None), key=lambda residency: residency.cycles)
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
    for kernel, here in zip(kernels, held(tensors, len(kernels)), strict=True):
        taken = list(zip(kernel.options, _literals(model, kernel, stays), strict=True))
        room = [*((t.size, stays[t.name]) for t in here), *((option.size, literal) for option, literal in taken)]
        model.linear(room, -LARGEST, capacity)
        costs += [(option.cycles, literal) for option, literal in taken]
    model.minimise(costs)
    outcome = model.solve(seconds, relax=True)
    chosen = frozenset(name for name, literal in stays.items() if outcome.values and outcome.values[literal])
    found = evaluate(kernels, tensors, capacity, chosen)
    best = start if found is None or start.cycles <= found.cycles else found
    return Residency(best.tensors, best.options, best.cycles, best.cycles <= outcome.bound)


def greedy(kernels: Sequence[Kernel], tensors: Sequence[Tensor], capacity: int) -> Residency:
    """Return what is left when, of all tensors, the largest at each kernel without room are given up."""
    chosen = {tensor.name for tensor in tensors}
    places = held(tensors, len(kernels))
    while (found := evaluate(kernels, tensors, capacity, chosen)) is None:
        for kernel, mine in zip(kernels, places, strict=True):
            stays = [t for t in mine if t.name in chosen]
            while stays and _best(kernel, chosen, capacity - sum(t.size for t in stays)) is None:
                lost = max(stays, key=lambda t: (t.size, t.last - t.first, t.name))
                chosen.remove(lost.name)
                stays.remove(lost)
    return found


def _literals(model: Model, kernel: Kernel, stays: Mapping[str, Variable]) -> list[Variable]:
    """Return one literal for each option, exactly one true: one whose resident operands are those that stay."""
    literals = [model.boolean() for _ in kernel.options]
    model.exactly_one(literals)
    for name in sorted(kernel.operands):
        using = [(1, v) for option, v in zip(kernel.options, literals, strict=True) if name in option.resident]
        model.linear([*using, (-1, stays[name])], 0, 0)
    return literals
