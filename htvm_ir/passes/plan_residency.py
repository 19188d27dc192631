"""``plan-residency``: decide which tensors stay in the engines' local memory between kernels; an attribute, no change.

A tensor can stay if the kernel that writes it and all that read it run on engines with one local memory, whose
contracts allow it. What it saves are its transfers and the CPU's work for them, as each kernel's own tiling problem
tells: it is solved for every set of resident operands, with the memory that other tensors may leave to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, combinations

from xdsl.context import Context
from xdsl.dialects.builtin import DictionaryAttr, ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass

from htvm_ir.dialects.accel import CPU, DispatchOp, kernels
from htvm_ir.dialects.attributes import integer
from htvm_ir.dialects.tiled import PlanAttr
from htvm_ir.memory.plan import plan
from htvm_ir.memory.problem import Buffer
from htvm_ir.passes.mappings import best_variant, constants_cost, fitting_variants
from htvm_ir.passes.plan_tiles import check_plan, chosen, latency, point
from htvm_ir.passes.tiling_problems import problem_of
from htvm_ir.passes.workloads import (
    RESIDENT,
    ROOM,
    activations,
    dispatch_workload,
    module_target,
    with_room,
)
from htvm_ir.schedule.residency import Kernel, Option, Residency, Tensor, held, plan_residency
from htvm_ir.targets.target import Engine, Memory, Target
from htvm_ir.targets.workload import Workload
from htvm_ir.tiling.problem import Infeasible, Problem

MANY = 3
"""Up to so many tensors beside a kernel's own are considered in all combinations, more one after the other."""


@dataclass(frozen=True)
class PlanResidency(ModulePass):
    """Sets ``accel.resident`` on the kernels of engines, and ``accel.room`` where other tensors take memory.

    enabled: False = nothing stays. ``seconds`` limits the search for each memory.
    """

    name = "plan-residency"
    enabled: bool = True
    seconds: float = 5.0

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        if not self.enabled:
            return
        target = module_target(op)
        for memory in target.memories:
            users = [d for d in kernels(op) if d.engine_name != CPU and _engine(d, target).local == memory.name]
            if users:
                _Planner(users, memory, target, self.seconds).run()


def _engine(dispatch: DispatchOp, target: Target) -> Engine:
    return target.engine(dispatch.engine_name)


@dataclass(frozen=True, eq=False)
class _User:
    """A kernel of an engine: its workload, the fitting variants of it, the tensors of its operands, and which may stay.

    most, least: bytes of each operand as a whole under the mapping that wants most, or least, for it.
    """

    dispatch: DispatchOp
    engine: Engine
    workload: Workload
    variants: tuple[Workload, ...]
    operands: tuple[SSAValue, ...]
    may_stay: frozenset[int]
    most: tuple[int, ...]
    least: tuple[int, ...]

    @staticmethod
    def of(dispatch: DispatchOp, target: Target) -> _User:
        engine, workload = _engine(dispatch, target), dispatch_workload(dispatch)
        inputs = [dispatch.inputs[argument.index] for argument in activations(dispatch)]
        operands = (*inputs, *dispatch.results_)
        variants = tuple(fitting_variants(engine, dispatch))
        sizes = list(zip(*map(engine.local_bytes, variants), strict=True))
        most, least = tuple(map(max, sizes)), tuple(map(min, sizes))
        return _User(dispatch, engine, workload, variants, operands, engine.may_stay(workload), most, least)

    def indices(self, value: SSAValue) -> frozenset[int]:
        """The operands that are this tensor."""
        return frozenset(index for index, operand in enumerate(self.operands) if operand is value)

    def whole(self, resident: frozenset[int]) -> int:
        """The least that the engine's tiling problems count for resident operands."""
        return sum(self.least[index] for index in resident)

    def solve(self, resident: frozenset[int], target: Target, seconds: float) -> tuple[int, int] | None:
        """Bytes of local memory, and cycles, of the best tiling or the one written by hand; None if there is none."""
        workload = replace(self.workload, resident=resident)
        written = self.dispatch.plan
        if isinstance(written, PlanAttr):
            problem = problem_of(self.engine, workload, target)
            sizes = chosen(problem, written)
            legal = check_plan(problem, sizes) is None
            return (_used(problem, self.engine, sizes), latency(problem, sizes)) if legal else None
        fitting = [replace(v, resident=resident) for v in self.variants]
        best = best_variant(self.engine, fitting, target, seconds)
        if isinstance(best, Infeasible):
            return None
        variant, solution = best
        cost = solution.latency + round(constants_cost(self.engine, variant, target))
        return _used(problem_of(self.engine, variant, target), self.engine, solution.sizes), cost


def _used(problem: Problem, engine: Engine, sizes: Mapping[str, int]) -> int:
    """Bytes of local memory that a tiling takes."""
    capacity = next(c for c in problem.capacities if c.name == engine.local)
    return capacity.limit + capacity.missing(point(problem, sizes))


class _Planner:
    """One local memory and the kernels that work in it, in program order."""

    def __init__(self, dispatches: Sequence[DispatchOp], memory: Memory, target: Target, seconds: float):
        self.memory, self.target, self.seconds = memory, target, seconds
        self.users = [_User.of(dispatch, target) for dispatch in dispatches]
        self.unlimited: set[tuple[_User, Option]] = set()
        self.values = {f"{n}": value for n, value in enumerate(self._candidates())}
        self.tensors = self._tensors()
        self.named = {tensor.name: tensor for tensor in self.tensors}
        self.held = held(self.tensors, len(self.users))

    def run(self) -> None:
        """Solve, without the longest-lived tensor if what was chosen cannot be placed, and set the attributes."""
        found = [self._kernel(index, user) for index, user in enumerate(self.users)] if self.tensors else []
        tensors = self.tensors
        while tensors:
            residency = plan_residency(found, tensors, self.memory.size, self.seconds)
            if self._placed(residency) <= self.memory.size:
                for user, option in zip(self.users, residency.options, strict=True):
                    self._set(user, option)
                return
            stays = [t for t in tensors if t.name in residency.tensors]
            lost = max(stays, key=lambda t: (t.last - t.first, t.size))
            tensors = [t for t in tensors if t is not lost]

    def _candidates(self) -> Iterator[SSAValue]:
        """The tensors that only kernels of this memory use, all of which let them stay."""
        users: dict[Operation, _User] = {user.dispatch: user for user in self.users}
        for user in self.users:
            for value in user.dispatch.results_:
                around = [user, *(users.get(use.operation) for use in value.uses)]
                if all(u is not None and u.indices(value) <= u.may_stay for u in around):
                    yield value

    def _tensors(self) -> list[Tensor]:
        """The candidates; the bytes of each are the most that any of its kernels wants."""
        places: dict[SSAValue, list[tuple[int, int]]] = {value: [] for value in self.values.values()}
        for number, user in enumerate(self.users):
            for index, value in enumerate(user.operands):
                if value in places:
                    places[value].append((number, index))
        found: list[Tensor] = []
        for name, value in self.values.items():
            size = max(self.users[number].most[index] for number, index in places[value])
            found.append(Tensor(name, self._aligned(size), places[value][0][0], places[value][-1][0]))
        return found

    def _kernel(self, number: int, user: _User) -> Kernel:
        """A kernel's options: every set of resident operands, with every amount of memory that others may leave."""
        mine = [t for t in self.held[number] if user.indices(self.values[t.name])]
        others = [t.size for t in self.held[number] if t not in mine]
        sets = [frozenset(chosen) for count in range(len(mine) + 1) for chosen in combinations(mine, count)]
        options = [option for chosen in sets for option in self._options(user, chosen, _levels(others))]
        nothing = Option(frozenset(), 0, 0)  # a plan written by hand that is not legal: apply-plan will say why
        return Kernel(frozenset(t.name for t in mine), tuple(options) or (nothing,))

    def _options(self, user: _User, chosen: frozenset[Tensor], levels: Sequence[int]) -> Iterator[Option]:
        """The best tilings with these operands resident, from all the memory to the least that others may leave."""
        resident, names = self._resident(user, chosen), frozenset(t.name for t in chosen)
        rooms = [self.memory.size - sum(t.size for t in chosen) - level for level in levels]
        needed = None
        for room in (None, *rooms):
            if needed is not None and room is not None and needed <= room:
                continue
            target = self.target
            if room is not None:
                target = with_room(target, self.memory.name, room + user.whole(resident))
            found = None if room is not None and room < 0 else user.solve(resident, target, self.seconds)
            if found is None:
                return
            needed = self._aligned(found[0] - user.whole(resident))
            option = Option(names, needed, found[1])
            if room is None:
                self.unlimited.add((user, option))
            yield option

    def _resident(self, user: _User, chosen: Iterable[Tensor]) -> frozenset[int]:
        return frozenset[int]().union(*(user.indices(self.values[t.name]) for t in chosen))

    def _placed(self, residency: Residency) -> int:
        """Bytes of an arena for the resident tensors and, for each kernel, one block of tiles."""
        buffers = [
            Buffer(t.name, t.size, t.first, t.last + 1, self.memory.alignment)
            for t in self.tensors
            if t.name in residency.tensors
        ]
        for index, option in enumerate(residency.options):
            buffers.append(Buffer(f"tiles {index}", option.size, index, index + 1, self.memory.alignment))
        return plan(buffers, seconds=self.seconds).bytes

    def _set(self, user: _User, option: Option) -> None:
        """Write down one kernel's part; its room if its tiling was chosen for less than all the memory."""
        mine = [self.named[name] for name in option.resident]
        resident = self._resident(user, mine)
        attributes = user.dispatch.attributes
        if resident:
            sizes = {i: t.size for t in mine for i in user.indices(self.values[t.name])}
            attributes[RESIDENT] = DictionaryAttr({str(index): integer(sizes[index]) for index in sorted(sizes)})
        if (user, option) not in self.unlimited:
            attributes[ROOM] = integer(option.size + user.whole(resident))

    def _aligned(self, size: int) -> int:
        return -(-size // self.memory.alignment) * self.memory.alignment


def _levels(sizes: Sequence[int]) -> list[int]:
    """Bytes that others may take, from none to all of it."""
    if len(sizes) > MANY:
        return list(accumulate(sorted(sizes), initial=0))
    return sorted({sum(chosen) for count in range(len(sizes) + 1) for chosen in combinations(sizes, count)})
