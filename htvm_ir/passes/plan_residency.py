"""``plan-residency``: decide which tensors stay in the engines' local memory between kernels; an attribute, no change.

A tensor can stay if the kernel that writes it and all that read it run on engines with one local memory, whose
contracts allow it. What it saves are its transfers and the CPU's work for them, as each kernel's own tiling problem
tells: it is solved for every set of resident operands, with the memory that other tensors may leave to it.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import DictionaryAttr, ModuleOp
from xdsl.passes import ModulePass

from htvm_ir.dialects.attributes import integer
from htvm_ir.memory.plan import plan
from htvm_ir.memory.problem import Buffer
from htvm_ir.passes.residents import Residents, User, residents
from htvm_ir.passes.workloads import RESIDENT, ROOM, module_target
from htvm_ir.schedule.residency import Option, Residency, plan_residency


@dataclass(frozen=True)
class PlanResidency(ModulePass):
    """Sets ``accel.resident`` on the kernels of engines, and ``accel.room`` where other tensors take memory.

    enabled: False = nothing stays. ``seconds`` limits the search for each memory.
    """

    name = "plan-residency"
    enabled: bool = True
    seconds: float = 5.0

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        if self.enabled:
            for found in residents(op, module_target(op), self.seconds):
                _plan(found)


def _plan(found: Residents) -> None:
    """Solve, without the longest-lived tensor if what was chosen cannot be placed, and set the attributes."""
    tensors, size = found.tensors, found.memory.size
    while tensors:
        residency = plan_residency(found.kernels, tensors, size, found.seconds)
        if _placed(found, residency) <= size:
            for user, option in zip(found.users, residency.options, strict=True):
                _set(found, user, option)
            return
        stays = [t for t in tensors if t.name in residency.tensors]
        lost = max(stays, key=lambda t: (t.last - t.first, t.size))
        tensors = [t for t in tensors if t is not lost]


def _placed(found: Residents, residency: Residency) -> int:
    """Bytes of an arena for the resident tensors and, for each kernel, one block of tiles."""
    alignment = found.memory.alignment
    stays = [t for t in found.tensors if t.name in residency.tensors]
    buffers = [Buffer(t.name, t.size, t.first, t.last + 1, alignment) for t in stays]
    for index, option in enumerate(residency.options):
        buffers.append(Buffer(f"tiles {index}", option.size, index, index + 1, alignment))
    return plan(buffers, seconds=found.seconds).bytes


def _set(found: Residents, user: User, option: Option) -> None:
    """Write down one kernel's part; its room if its tiling was chosen for less than all the memory."""
    mine = [tensor for tensor in found.tensors if tensor.name in option.resident]
    resident = found.resident(user, mine)
    attributes = user.dispatch.attributes
    if resident:
        sizes = {i: t.size for t in mine for i in user.indices(found.values[t.name])}
        attributes[RESIDENT] = DictionaryAttr({str(index): integer(sizes[index]) for index in sorted(sizes)})
    if (user, option) not in found.unlimited:
        attributes[ROOM] = integer(option.size + user.whole(resident))
