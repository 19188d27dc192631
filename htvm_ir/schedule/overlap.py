"""In which order the CPU takes the steps of the kernels, so that engines work while it does something else.

A step occupies the CPU. It may leave a job behind, which the next step of its kernel waits for; until then the units
of the job belong to that kernel. So the schedule is an order of the steps, and its length follows from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from itertools import pairwise, permutations, product

Order = tuple[int, ...]
"""Indices of the steps, first to last."""


@dataclass(frozen=True)
class Step:
    """A part of a kernel; the steps of one kernel are taken in their order.

    host: cycles of the CPU. job: cycles that ``units`` work on after it (0 = nothing is left behind).
    after: indices of steps of other kernels that come first.
    """

    kernel: int
    host: int
    job: int = 0
    units: frozenset[str] = frozenset()
    after: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Schedule:
    """An order; ``cycles`` until its last step is done; for each step how long the CPU waits before it.

    No order takes less than ``bound``.
    """

    order: Order
    cycles: int
    waits: tuple[int, ...]
    bound: int

    @property
    def proven(self) -> bool:
        """Whether no order is faster."""
        return self.cycles == self.bound


@dataclass
class _Run:
    """The state after some steps. ``call``: cycles to turn to another kernel."""

    steps: Sequence[Step]
    call: int
    clock: int = 0
    order: list[int] = field(default_factory=list[int])
    waits: list[int] = field(init=False)
    _job_ends: dict[int, int] = field(default_factory=dict[int, int])
    _held: dict[str, int] = field(default_factory=dict[str, int])

    def __post_init__(self) -> None:
        self.waits = [0] * len(self.steps)
        before = _predecessors(self.steps)
        self._missing = [len(numbers) for numbers in before]
        self._after: list[list[int]] = [[] for _ in self.steps]
        for number, numbers in enumerate(before):
            for earlier in numbers:
                self._after[earlier].append(number)
        self._open = {number for number, missing in enumerate(self._missing) if not missing}

    def ready(self) -> list[int]:
        """The steps that may come next: nothing that comes first is missing, nobody else holds their units."""
        return [number for number in sorted(self._open) if self._free(self.steps[number])]

    def wait(self, number: int) -> int:
        """Cycles until the job that a step waits for is done."""
        return max(0, self._job_ends.get(self.steps[number].kernel, 0) - self.clock)

    def turn(self, number: int) -> int:
        """Cycles to turn to the kernel of a step."""
        same = bool(self.order) and self.steps[self.order[-1]].kernel == self.steps[number].kernel
        return 0 if same else self.call

    def take(self, number: int) -> None:
        step = self.steps[number]
        self.clock += self.turn(number)
        self.waits[number] = self.wait(number)
        self.clock += self.waits[number] + step.host
        self._held = {unit: kernel for unit, kernel in self._held.items() if kernel != step.kernel}
        self._job_ends.pop(step.kernel, None)
        if step.job:
            self._held |= dict.fromkeys(step.units, step.kernel)
            self._job_ends[step.kernel] = self.clock + step.job
        self.order.append(number)
        self._open.discard(number)
        for later in self._after[number]:
            self._missing[later] -= 1
            if not self._missing[later]:
                self._open.add(later)

    def copy(self) -> _Run:
        """The same state, to go on with apart."""
        other = copy(self)
        other.order, other.waits, other._missing = self.order[:], self.waits[:], self._missing[:]
        other._job_ends, other._held, other._open = dict(self._job_ends), dict(self._held), set(self._open)
        return other

    def bound(self, tails: Sequence[int]) -> int:
        """Cycles that every way to go on ends after: the CPU's work that is left, the longest chain, jobs in flight."""
        taken = set(self.order)
        host = sum(step.host for number, step in enumerate(self.steps) if number not in taken)
        chains = (self.clock + self.wait(number) + tails[number] for number in self._open)
        return max(self.clock + host, *self._job_ends.values(), *chains, 0)

    def _free(self, step: Step) -> bool:
        return all(self._held.get(unit, step.kernel) == step.kernel for unit in step.units)


def simulate(steps: Sequence[Step], order: Sequence[int], call: int = 0) -> Schedule | None:
    """Return what an order takes, None if it breaks a rule."""
    run = _Run(steps, call)
    for number in order:
        if number not in run.ready():
            return None
        run.take(number)
    return Schedule(tuple(run.order), run.clock, tuple(run.waits), lower_bound(steps))


def schedule(steps: Sequence[Step], call: int = 0) -> Schedule:
    """Return the best order of several rules, a search and the given one, which must be legal; deterministic.

    Where all that comes later needs all that came before, each side has an order of its own.

    Raises:
        ValueError: the order of ``steps`` is none that can be taken.
    """
    given = simulate(steps, range(len(steps)), call)
    if given is None:
        raise ValueError("the steps are not in an order in which they can be taken")
    cuts = _cuts(steps)
    order: list[int] = []
    for first, end in pairwise(cuts):
        section = [replace(s, after=frozenset(n - first for n in s.after if n >= first)) for s in steps[first:end]]
        order += [first + number for number in _best(section, call).order]
    found = simulate(steps, order, call)
    return given if found is None or found.cycles >= given.cycles else found


def _cuts(steps: Sequence[Step]) -> list[int]:
    """Return where sections of steps begin that need all steps before them, and the end."""
    ancestors: list[int] = []
    for before in _predecessors(steps):
        ancestors.append(0)
        for earlier in before:
            ancestors[-1] |= ancestors[earlier] | 1 << earlier
    cuts, common = [len(steps)], -1
    for number in reversed(range(len(steps))):
        common &= ancestors[number]
        everything = (1 << number) - 1
        if common & everything == everything:
            cuts.append(number)
    return cuts[::-1]


def _best(steps: Sequence[Step], call: int) -> Schedule:
    """Return the best order of several rules, the search and the given one."""
    best = simulate(steps, range(len(steps)), call)
    assert best is not None
    if best.proven or len(steps) == 1:
        return best
    tails = _tails(steps)
    orders = [_listed(steps, call, rule, t) for rule, t in product(RULES, (tails, _loads(steps)))]
    best = min([best, *(found for found in orders if found is not None)], key=lambda found: found.cycles)
    if best.cycles - best.bound <= best.cycles // WORTH or len(steps) > SEARCHED:
        return best
    return _searched(steps, call, tails, best.cycles) or best


def brute_force(steps: Sequence[Step], call: int = 0) -> Schedule:
    """Return the best of all orders, by trying them; for tests."""
    found = (simulate(steps, order, call) for order in permutations(range(len(steps))))
    return min((s for s in found if s is not None), key=lambda s: s.cycles)


def lower_bound(steps: Sequence[Step]) -> int:
    """Return cycles that every order takes: the CPU's, a unit's, those of the longest chain."""
    units = {unit for step in steps for unit in step.units}
    loads = [sum(step.job for step in steps if unit in step.units) for unit in units]
    return max([sum(step.host for step in steps), *loads, *_tails(steps)], default=0)


Rule = Callable[[_Run, int, Sequence[int]], tuple[int, ...]]
"""What makes a step come next: the least of these."""


def _eager(run: _Run, number: int, tails: Sequence[int]) -> tuple[int, ...]:
    """Never wait if there is something to do; start jobs before anything else."""
    step = run.steps[number]
    return (int(run.wait(number) > 0), run.wait(number), int(not step.job), run.turn(number), -tails[number], number)


def _urgent(run: _Run, number: int, tails: Sequence[int]) -> tuple[int, ...]:
    """The same, but jobs on which more depends come before those of the same kernel."""
    step = run.steps[number]
    return (int(run.wait(number) > 0), run.wait(number), int(not step.job), -tails[number], run.turn(number), number)


def _onwards(run: _Run, number: int, tails: Sequence[int]) -> tuple[int, ...]:
    """The same, but a tile goes on through the later kernels before the next one is begun."""
    step = run.steps[number]
    return (int(run.wait(number) > 0), run.wait(number), int(not step.job), -step.kernel, -tails[number], number)


def _patient(run: _Run, number: int, tails: Sequence[int]) -> tuple[int, ...]:
    """What more depends on comes first, even if it has to be waited for."""
    return (run.wait(number) - tails[number], run.turn(number), number)


RULES: tuple[Rule, ...] = (_eager, _urgent, _onwards, _patient)

WIDTH = 16
"""Orders that the search keeps at a time (model choice: twice as many find nothing better on the zoo's networks)."""

WORTH = 100
"""The search must have a chance to save one part in so many (model choice)."""

SEARCHED = 256
"""Most steps for which there is a search; the rules are left for longer sections, so that time stays linear."""


def _searched(steps: Sequence[Step], call: int, tails: Sequence[int], limit: int) -> Schedule | None:
    """Return the best order of a beam search: of all ways to go on, those of the least bound are kept.

    Of orders of the same steps only the best is. None if it finds none of less than ``limit`` cycles.
    """
    runs = [_Run(steps, call)]
    for _ in steps:
        found: dict[frozenset[int], tuple[tuple[int, int, Order], _Run]] = {}
        for before, number in [(run, number) for run in runs for number in run.ready()]:
            longer = before.copy()
            longer.take(number)
            key, rank = frozenset(longer.order), (longer.bound(tails), longer.clock, tuple(longer.order))
            if rank[0] < limit and (key not in found or rank < found[key][0]):
                found[key] = (rank, longer)
        runs = [run for _, run in sorted(found.values(), key=lambda pair: pair[0])[:WIDTH]]
    orders = (Schedule(tuple(run.order), run.clock, tuple(run.waits), lower_bound(steps)) for run in runs)
    return min(orders, key=lambda order: order.cycles, default=None)


def _listed(steps: Sequence[Step], call: int, rule: Rule, tails: Sequence[int]) -> Schedule | None:
    """Return the list schedule of a rule, None if it ends in a job that waits for another one's units."""
    run = _Run(steps, call)
    while len(run.order) < len(steps):
        ready = run.ready()
        if not ready:
            return None
        run.take(min(ready, key=lambda number: rule(run, number, tails)))
    return Schedule(tuple(run.order), run.clock, tuple(run.waits), lower_bound(steps))


def _predecessors(steps: Sequence[Step]) -> list[set[int]]:
    """Return for each step those that come right before it: of other kernels, and the last of its own."""
    last: dict[int, int] = {}
    found: list[set[int]] = []
    for number, step in enumerate(steps):
        own = {last[step.kernel]} if step.kernel in last else set[int]()
        found.append(own | step.after)
        last[step.kernel] = number
    return found


def _tails(steps: Sequence[Step]) -> list[int]:
    """Return for each step the cycles from its start to the end of the longest chain that depends on it."""
    tails = [step.host + step.job for step in steps]
    for number, before in reversed(list(enumerate(_predecessors(steps)))):
        for earlier in before:
            tails[earlier] = max(tails[earlier], _length(steps, earlier, number) + tails[number])
    return tails


def _loads(steps: Sequence[Step]) -> list[int]:
    """Return for each step what the CPU has to do for all that depends on it, or the longest chain if that is more."""
    loads, below = [step.host for step in steps], [0] * len(steps)
    after: list[list[int]] = [[] for _ in steps]
    for number, before in enumerate(_predecessors(steps)):
        for earlier in before:
            after[earlier].append(number)
    for number in reversed(range(len(steps))):
        for later in after[number]:
            below[number] |= below[later] | 1 << later
        if len(after[number]) == 1:
            loads[number] += loads[after[number][0]]
        elif after[number]:
            loads[number] += sum(step.host for n, step in enumerate(steps) if below[number] >> n & 1)
    return [max(pair) for pair in zip(loads, _tails(steps), strict=True)]


def _length(steps: Sequence[Step], first: int, then: int) -> int:
    """Return the cycles between the starts of two steps: only the next of the same kernel waits for the job."""
    step = steps[first]
    return step.host + (step.job if steps[then].kernel == step.kernel else 0)


def runs(order: Sequence[int], steps: Sequence[Step]) -> Iterator[list[int]]:
    """Yield the steps of one kernel that follow one another in an order."""
    current: list[int] = []
    for number in order:
        if current and steps[current[-1]].kernel != steps[number].kernel:
            yield current
            current = []
        current.append(number)
    if current:
        yield current
