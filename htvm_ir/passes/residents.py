"""What may stay in an engine's local memory between kernels, and what each kernel costs then: the questions that
``plan-residency`` and ``plan-strips`` put to their solvers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, combinations

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue

from htvm_ir.dialects.accel import CPU, DispatchOp, kernels
from htvm_ir.dialects.tiled import PlanAttr
from htvm_ir.passes.mappings import best_variant, constants_cost, fitting_variants
from htvm_ir.passes.plan_tiles import check_plan, chosen, latency, loop_order, point
from htvm_ir.passes.tiling_problems import problem_of
from htvm_ir.passes.workloads import activations, dispatch_workload, with_room
from htvm_ir.schedule.residency import Kernel, Option, Tensor, held
from htvm_ir.targets.target import Engine, Memory, Target
from htvm_ir.targets.workload import Workload
from htvm_ir.tiling.problem import Infeasible, Order, Problem, Solution


@dataclass(frozen=True, eq=False)
class Tiling:
    """A way to compute a kernel: its workload under a mapping, the size of each dimension of its tiling problem, the
    order of its loops, and predicted cycles.
    """

    workload: Workload
    sizes: Mapping[str, int]
    order: Order
    latency: int

    @staticmethod
    def of(workload: Workload, solution: Solution) -> Tiling:
        """A solution of its tiling problem."""
        return Tiling(workload, solution.sizes, solution.order, solution.latency)


MANY = 3
"""Up to so many tensors beside a kernel's own are considered in all combinations, more one after the other."""


def residents(module: ModuleOp, target: Target, seconds: float) -> Iterator[Residents]:
    """Every local memory that kernels of a module work in."""
    engines = [(d, target.engine(d.engine_name)) for d in kernels(module) if d.engine_name != CPU]
    for memory in target.memories:
        users = [User.of(dispatch, engine) for dispatch, engine in engines if engine.local == memory.name]
        if users:
            yield Residents(users, memory, target, seconds)


@dataclass(frozen=True, eq=False)
class User:
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
    def of(dispatch: DispatchOp, engine: Engine) -> User:
        workload = dispatch_workload(dispatch)
        inputs = [dispatch.inputs[argument.index] for argument in activations(dispatch)]
        operands = (*inputs, *dispatch.results_)
        variants = tuple(fitting_variants(engine, dispatch))
        sizes = list(zip(*map(engine.local_bytes, variants), strict=True))
        most, least = tuple(map(max, sizes)), tuple(map(min, sizes))
        return User(dispatch, engine, workload, variants, operands, engine.may_stay(workload), most, least)

    def indices(self, value: SSAValue) -> frozenset[int]:
        """The operands that are this tensor."""
        return frozenset(index for index, operand in enumerate(self.operands) if operand is value)

    def whole(self, resident: frozenset[int]) -> int:
        """The least that the engine's tiling problems count for resident operands."""
        return sum(self.least[index] for index in resident)

    def solve(self, resident: frozenset[int], target: Target, seconds: float) -> Tiling | None:
        """The best tiling or the one written by hand; None if there is none."""
        workload = replace(self.workload, resident=resident)
        written = self.dispatch.plan
        if isinstance(written, PlanAttr):
            problem = problem_of(self.engine, workload, target)
            sizes = chosen(problem, written)
            legal = check_plan(problem, sizes) is None
            return Tiling(workload, sizes, loop_order(problem, sizes), latency(problem, sizes)) if legal else None
        fitting = [replace(v, resident=resident) for v in self.variants]
        best = best_variant(self.engine, fitting, target, seconds)
        if isinstance(best, Infeasible):
            return None
        return Tiling.of(*best)

    def cost(self, tiling: Tiling, target: Target) -> int:
        """Cycles, with the price of the constants unless the tiling was written by hand."""
        written = isinstance(self.dispatch.plan, PlanAttr)
        return tiling.latency + (0 if written else round(constants_cost(self.engine, tiling.workload, target)))


def _used(problem: Problem, engine: Engine, sizes: Mapping[str, int]) -> int:
    """Bytes of local memory that a tiling takes."""
    capacity = next(c for c in problem.capacities if c.name == engine.local)
    return capacity.limit + capacity.missing(point(problem, sizes))


class Residents:
    """One local memory and the kernels that work in it, in program order.

    values: the tensors that may stay, by name. tensors: when, and how large they are. unlimited: the options that
    were chosen with all the memory for them. tilings: what each option is, but for plans by hand that are not legal.
    """

    def __init__(self, users: Sequence[User], memory: Memory, target: Target, seconds: float):
        self.memory, self.target, self.seconds = memory, target, seconds
        self.users = users
        self.unlimited: set[tuple[User, Option]] = set()
        self.tilings: dict[tuple[User, Option], Tiling] = {}
        self.values = {f"{n}": value for n, value in enumerate(self._candidates())}
        self.tensors = self._tensors()

    @cached_property
    def kernels(self) -> list[Kernel]:
        """The options of every kernel."""
        places = held(self.tensors, len(self.users))
        return [self._kernel(user, here) for user, here in zip(self.users, places, strict=True)]

    def _candidates(self) -> Iterator[SSAValue]:
        """The tensors that only kernels of this memory use, all of which let them stay."""
        users: dict[Operation, User] = {user.dispatch: user for user in self.users}
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
            found.append(Tensor(name, self.aligned(size), places[value][0][0], places[value][-1][0]))
        return found

    def _kernel(self, user: User, here: Sequence[Tensor]) -> Kernel:
        """A kernel's options: every set of resident operands, with every amount of memory that others may leave."""
        mine = [t for t in here if user.indices(self.values[t.name])]
        others = [t.size for t in here if t not in mine]
        sets = [frozenset(chosen) for count in range(len(mine) + 1) for chosen in combinations(mine, count)]
        options = [option for chosen in sets for option in self._options(user, chosen, _levels(others))]
        nothing = Option(frozenset(), 0, 0)  # a plan written by hand that is not legal: apply-plan will say why
        return Kernel(frozenset(t.name for t in mine), tuple(options) or (nothing,))

    def _options(self, user: User, chosen: frozenset[Tensor], levels: Sequence[int]) -> Iterator[Option]:
        """The best tilings with these operands resident, from all the memory to the least that others may leave."""
        resident, names = self.resident(user, chosen), frozenset(t.name for t in chosen)
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
            used = _used(problem_of(user.engine, found.workload, target), user.engine, found.sizes)
            needed = self.aligned(used - user.whole(resident))
            option = Option(names, needed, user.cost(found, target))
            self.tilings[user, option] = found
            if room is None:
                self.unlimited.add((user, option))
            yield option

    def resident(self, user: User, chosen: Iterable[Tensor]) -> frozenset[int]:
        return frozenset[int]().union(*(user.indices(self.values[t.name]) for t in chosen))

    def aligned(self, size: int) -> int:
        return -(-size // self.memory.alignment) * self.memory.alignment


def _levels(sizes: Sequence[int]) -> list[int]:
    """Bytes that others may take, from none to all of it."""
    if len(sizes) > MANY:
        return list(accumulate(sorted(sizes), initial=0))
    return sorted({sum(chosen) for count in range(len(sizes) + 1) for chosen in combinations(sizes, count)})
