"""RI5CY, the RISC-V core of this package's targets: what its instructions cost."""

from __future__ import annotations

from dataclasses import dataclass

from htvm_ir.targets.soc import CoreCosts


@dataclass(frozen=True, kw_only=True)
class Ri5cy:
    """Cycles of an instruction, as parameters of a target: the published pipeline, with single-cycle memory."""

    core_base: int = 1
    core_load_use: int = 1  # in addition, when the next instruction needs the loaded value
    core_taken_branch: int = 3
    core_jump: int = 2
    core_mul: int = 1
    core_mulh: int = 5
    core_div: int = 35
    core_mmio: int = 1  # model choice: a register access costs no more than memory

    @property
    def core_costs(self) -> CoreCosts:
        """The same for the emulator."""
        return CoreCosts(
            base=self.core_base,
            load_use=self.core_load_use,
            taken_branch=self.core_taken_branch,
            jump=self.core_jump,
            mul=self.core_mul,
            mulh=self.core_mulh,
            div=self.core_div,
            mmio=self.core_mmio,
        )
