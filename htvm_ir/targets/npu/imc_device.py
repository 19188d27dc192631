"""The in-memory-compute array as a memory-mapped device: the array's registers and descriptors, its own limits."""

from __future__ import annotations

from typing import ClassVar

from htvm_ir.targets.npu.costs import imc_cycles
from htvm_ir.targets.npu.datapath import taps
from htvm_ir.targets.npu.devices import ArrayDevice
from htvm_ir.targets.target import Job

IMC_BASE = 0x1A22_0000


class ImcDevice(ArrayDevice):
    """START takes the address of a descriptor in L2: the weights are written into the array, then it computes."""

    unit: ClassVar[str] = "imc"
    place: ClassVar[int] = IMC_BASE

    def cycles(self, job: Job) -> int:
        """Cycles of a job; faults if it is none of this array."""
        if job.kernel != "conv2d":
            self.bus.fault(f"{self.name}: no {job.kernel}")
        if taps(job) > self.p.imc_rows or job["k"] > self.p.imc_cols:
            size = f"{taps(job)} x {job['k']}"
            self.bus.fault(f"{self.name}: weights of {size} in {self.p.imc_rows} rows x {self.p.imc_cols} columns")
        return imc_cycles(job, self.p)

    @property
    def weight_bits(self) -> int:
        """Bits of a weight in the weight memory, as in the array."""
        return self.p.imc_bits
