"""``overlap-kernels``: engines work on while the CPU, or another engine, does what does not depend on them.

The kernels of ``@main`` are cut into steps and put into the order of the shortest predicted time. A kernel whose steps
are no longer together becomes a function for each run of them; the tokens of what is in flight between them are results
of one and arguments of the next, and ``@main`` allocates what had been local to the kernel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from xdsl.context import Context
from xdsl.dialects.builtin import DictionaryAttr, FunctionType, IntegerAttr, MemRefType, ModuleOp, StringAttr, UnitAttr
from xdsl.dialects.func import CallOp, FuncOp, ReturnOp
from xdsl.dialects.memref import AllocOp, GetGlobalOp, SubviewOp
from xdsl.ir import Block, BlockArgument, Operation, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from htvm_ir.dialects.accel import LaunchOp, PrepareOp
from htvm_ir.dialects.attributes import integer
from htvm_ir.dialects.dma import StartOp
from htvm_ir.memory.plan import plan
from htvm_ir.memory.problem import Buffer
from htvm_ir.passes.bufferize import OUTPUT
from htvm_ir.passes.memory_fit import Fixed, bytes_of, in_memory
from htvm_ir.passes.pipeline_dma import root
from htvm_ir.passes.steps import Part, main_parts, steps
from htvm_ir.passes.workloads import KERNEL, main_function, module_target
from htvm_ir.schedule.overlap import Schedule, Step, runs, schedule, simulate
from htvm_ir.targets.target import Memory, Target

STARTS = StartOp | PrepareOp | LaunchOp
"""Ops whose token another one needs."""

HIDDEN = "accel.hidden"
"""Module attribute: for each kernel the predicted cycles of its jobs in which the CPU did something else."""


@dataclass(frozen=True)
class OverlapKernels(ModulePass):
    """Orders the steps of the kernels that ``@main`` calls, where that is predicted to save cycles and memory allows:
    in any order, or else with the engines' kernels one after the other.

    A module whose kernels are cut already stays as it is. ``seconds`` limits the search for a place of all buffers.
    """

    name = "overlap-kernels"
    seconds: float = 2.0

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target, main = module_target(op), main_function(op)
        functions = {f.sym_name.data: f for f in op.ops if isinstance(f, FuncOp) and f.body.blocks}
        parts = main_parts(main, functions)
        if any(part.call.results for part in parts):  # tokens: their order is made
            return
        given = steps(parts, target)
        before = simulate(given, range(len(given)), target.host.call)
        for allowed in (given, _in_turn(parts, given)):
            best = schedule(allowed, target.host.call)
            if before is None or best.cycles >= before.cycles:
                return
            if _fits(op, parts, best, target, self.seconds):
                op.attributes[HIDDEN] = _hidden(parts, before, best)
                _mark_beside(parts, given, best)
                Rewriting(parts, given, main).run(best.order)
                return


def _in_turn(parts: Sequence[Part], given: Sequence[Step]) -> list[Step]:
    """The steps with each kernel of an engine behind the one before it: local memory holds no more than it did."""
    found: list[Step] = []
    current, ended, end = None, None, None
    for number, (part, step) in enumerate(zip(parts, given, strict=True)):
        works = bool(part.ops) and not part.prepares
        if works and part.call is not current:
            current, ended = part.call, end
        found.append(replace(step, after=step.after | {ended}) if works and ended is not None else step)
        end = number if works else end
    return found


def _mark_beside(parts: Sequence[Part], given: Sequence[Step], best: Schedule) -> None:
    """Say what is prepared beside a job of its engine that nothing was prepared for and that goes on long enough."""
    clock, ends = 0, dict[str, int]()
    for number in best.order:
        step, ops = given[number], parts[number].ops
        clock += best.waits[number] + step.host
        for op in ops:
            if isinstance(op, LaunchOp):
                ends[op.engine_name] = clock + step.job if op.prepared is None else 0
            elif isinstance(op, PrepareOp) and ends.get(op.engine_name, 0) >= clock + step.host:
                op.beside = UnitAttr()


def _hidden(parts: Sequence[Part], before: Schedule, after: Schedule) -> DictionaryAttr:
    """The cycles for which the CPU need not wait any more, by kernel."""
    saved: dict[str, int] = {}
    for part, long, short in zip(parts, before.waits, after.waits, strict=True):
        name = part.function.sym_name.data
        saved[name] = saved.get(name, 0) + long - short
    return DictionaryAttr({name: integer(cycles) for name, cycles in saved.items() if cycles})


def _fits(module: ModuleOp, parts: Sequence[Part], best: Schedule, target: Target, seconds: float) -> bool:
    """Whether all buffers have a place in this order; the caller's too, if they have one in the given order."""

    def needed(memory: Memory, order: Sequence[int], callers: bool) -> int:
        return plan(_buffers(parts, order, memory, callers), seconds=seconds).bytes

    given = range(len(parts))
    for memory in target.memories:
        is_host = memory.name == target.host_memory
        room = Fixed.of(module, target)[memory.name].room if is_host else memory.size
        if needed(memory, best.order, False) > room:
            return False
        if is_host and needed(memory, best.order, True) > room >= needed(memory, given, True):
            return False
    return True


def _buffers(parts: Sequence[Part], order: Sequence[int], memory: Memory, callers: bool) -> list[Buffer]:
    """The allocations in a memory, alive from the first to the last step of the kernels that use them.

    What only prepares a job needs no more than addresses. callers: and the arguments of ``@main``, inputs from the
    start on and outputs to the end.
    """
    spans: dict[SSAValue, list[int]] = {}
    for position, number in enumerate(order):
        if parts[number].prepares:
            continue
        call, function = parts[number].call, parts[number].function
        local = [op.memref for op in function.body.block.ops if isinstance(op, AllocOp)]
        for value in (*map(root, call.arguments), *local):
            is_callers = isinstance(value, BlockArgument)
            if (is_callers and callers) or (not is_callers and in_memory(value.type, memory)):
                spans.setdefault(value, []).append(position)
    for value, places in spans.items():
        if isinstance(value, BlockArgument):
            places.append(len(order) - 1 if _is_output(value) else 0)
    sizes = {value: -(-bytes_of(value.type) // memory.alignment) * memory.alignment for value in spans}
    return [
        Buffer(str(n), sizes[value], min(places), max(places) + 1, memory.alignment)
        for n, (value, places) in enumerate(spans.items())
    ]


def _is_output(argument: BlockArgument) -> bool:
    """Whether the network writes an argument of ``@main``."""
    main = argument.owner.parent_op()
    given = main.arg_attrs if isinstance(main, FuncOp) else None
    return given is not None and OUTPUT in given.data[argument.index].data


def add_hidden(module: ModuleOp, kernel: str, cycles: int) -> None:
    """Note that the CPU need not wait for some more (or fewer) cycles of a kernel."""
    found = module.attributes.get(HIDDEN)
    hidden = dict(found.data) if isinstance(found, DictionaryAttr) else {}
    before = hidden.get(kernel)
    total = cycles + (before.value.data if isinstance(before, IntegerAttr) else 0)
    if total:
        hidden[kernel] = integer(total)
        module.attributes[HIDDEN] = DictionaryAttr(hidden)


class Rewriting:
    """The new ``@main``, and functions for the pieces of kernels that are not left whole."""

    def __init__(self, parts: Sequence[Part], given: Sequence[Step], main: FuncOp):
        self.parts, self.steps = parts, given
        last = main.body.block.last_op
        assert last is not None
        self.end: Operation = last
        self.values: dict[SSAValue, SSAValue] = {}
        self.moved: set[SubviewOp] = set()

    def run(self, order: Sequence[int]) -> None:
        """Write all calls anew, and a function for each run of parts of the kernels that are cut."""
        pieces = [[self.parts[number] for number in run] for run in runs(order, self.steps)]
        totals = Counter(piece[0].call for piece in pieces)
        counts = Counter[CallOp]()
        for piece in pieces:
            call, function = piece[0].call, piece[0].function
            counts[call] += 1
            if totals[call] == 1:
                self._move(call)
                continue
            if counts[call] == 1:
                self._enter(call, function)
            self._piece(piece, counts[call], counts[call] == totals[call])
        for function in {part.function for part in self.parts if totals[part.call] > 1}:
            Rewriter.erase_op(function)
        for call in (call for call, total in totals.items() if total > 1):
            Rewriter.erase_op(call)

    def _move(self, call: CallOp) -> None:
        """Append a call."""
        self._move_views(call)
        call.detach()
        Rewriter.insert_op(call, InsertPoint.before(self.end))

    def _move_views(self, call: CallOp) -> None:
        """Append the views that a call is the first to take: a buffer is alive from its first view."""
        for view in dict.fromkeys(value.owner for value in call.arguments):
            if isinstance(view, SubviewOp) and view not in self.moved:
                self.moved.add(view)
                view.detach()
                Rewriter.insert_op(view, InsertPoint.before(self.end))

    def _enter(self, call: CallOp, function: FuncOp) -> None:
        """Let ``@main`` have the buffers of a kernel."""
        self._move_views(call)
        self.values |= zip(function.args, call.arguments, strict=True)
        for alloc in [op for op in function.body.block.ops if isinstance(op, AllocOp)]:
            clone = alloc.clone()
            Rewriter.insert_op(clone, InsertPoint.before(self.end))
            self.values[alloc.memref] = clone.memref

    def _piece(self, piece: Sequence[Part], number: int, is_last: bool) -> None:
        """A function for some parts of a kernel, and its call."""
        ops, function = [op for part in piece for op in part.ops], piece[0].function
        given, left = _needed(ops, function, is_last), _left(ops)
        block = Block(arg_types=[value.type for value in given])
        copies: dict[SSAValue, SSAValue] = dict(zip(given, block.args, strict=True))
        for value, argument in copies.items():
            argument.name_hint = value.name_hint
        for op in ops:
            _copy(op, block, copies)
        block.add_op(ReturnOp(*(copies[token] for token in left)))
        kernel = function.sym_name.data
        types = FunctionType.from_lists(block.arg_types, [token.type for token in left])
        new = FuncOp(f"{kernel}_part{number}", types, Region(block), "private")
        new.attributes |= {**function.attributes, KERNEL: StringAttr(kernel)}
        Rewriter.insert_op(new, InsertPoint.before(function))
        call = CallOp(new.sym_name.data, [self.values[value] for value in given], new.function_type.outputs.data)
        Rewriter.insert_op(call, InsertPoint.before(self.end))
        self.values |= zip(left, call.results, strict=True)


def _needed(ops: Sequence[Operation], function: FuncOp, is_last: bool) -> list[SSAValue]:
    """What some ops of a kernel take from outside: tokens, local buffers, the kernel's arguments; last its output."""
    inside = {result for op in ops for result in op.results}
    outside = [operand for op in ops for operand in op.operands if operand not in inside]
    used = [root(value) if isinstance(value.type, MemRefType) else value for value in outside]
    if is_last:
        used.append(function.args[-1])

    def rank(value: SSAValue) -> int:
        return value.index + 2 if isinstance(value, BlockArgument) else int(isinstance(value.owner, AllocOp))

    found = dict.fromkeys(value for value in used if not isinstance(value.owner, GetGlobalOp))
    return sorted(found, key=rank)


def _left(ops: Sequence[Operation]) -> list[SSAValue]:
    """The tokens of what is in flight, or made ready, after some ops."""
    tokens = [op.prepared if isinstance(op, PrepareOp) else op.token for op in ops if isinstance(op, STARTS)]
    return [token for token in tokens if not any(use.operation in ops for use in token.uses)]


def _copy(op: Operation, block: Block, copies: dict[SSAValue, SSAValue]) -> None:
    """Append an op, after the views and constants it needs."""
    for operand in op.operands:
        if operand not in copies and isinstance(operand.owner, Operation):
            _copy(operand.owner, block, copies)
    block.add_op(op.clone(copies))
