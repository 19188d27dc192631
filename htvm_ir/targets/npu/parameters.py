"""Every number of the npu. There is no such chip: all of them are model choices, and all can be changed."""

from __future__ import annotations

from dataclasses import dataclass

from htvm_ir.errors import HtvmError
from htvm_ir.targets.ri5cy import Ri5cy

PAGE = 4096
"""Memories that the CPU addresses are mapped in pages of so many bytes."""

SHARED_BASE = 0x1C00_0000
"""Address of L2 in the CPU's map."""

EXTERNAL_BASE = 0x3000_0000
"""Address at which programs are linked for the external memory."""


POSITIVE = (
    *("clock_hz", "rows", "cols", "l1", "weight_memory", "dma_width", "dma_queue", "ext_width"),
    *("imc_cols", "imc_pixel", "imc_write"),
)
"""Parameters that must not be 0."""


@dataclass(frozen=True, kw_only=True)
class Parameters(Ri5cy):
    """What the compiler's contract and the device models both read; sizes in bytes, costs in cycles."""

    clock_hz: int = 260_000_000

    # The array: output channels by pixels that it works on at one time, and the fixed start of a job.
    rows: int = 16
    cols: int = 16
    job_start: int = 20

    # Memories: tiles of activations, packed constants, and what CPU and DMA share.
    l1: int = 32 * 1024
    weight_memory: int = 32 * 1024
    l2: int = 512 * 1024

    # The DMA: channels for inputs, weights and outputs, each with a queue of descriptors, share one port of this width.
    dma_width: int = 8
    dma_start: int = 8
    dma_queue: int = 4

    # An external memory (0 = none) that holds all packed constants, with a channel and a port of its own into the
    # weight memory: bytes a cycle, and cycles before the first byte. The order of HyperRAM on eight data lines, whose
    # address phase and latency take tens of cycles of a core a few times faster.
    ext_memory: int = 0
    ext_width: int = 1
    ext_start: int = 60

    # An in-memory-compute array beside the other one (imc_rows = 0: none), whose memory cells multiply: all inputs of a
    # kernel (rows) by all output channels (columns) at one time, with weights of few bits and sums of any size. Digital
    # ones take the inputs bit by bit, so that a pixel needs a cycle for each of eight bits. A job first writes its
    # weights into the array, row by row, so many bytes a cycle.
    imc_rows: int = 0
    imc_cols: int = 512
    imc_bits: int = 4
    imc_pixel: int = 8
    imc_write: int = 32

    # The most buffers of an operand the compiler may plan: 1 forbids every overlap of transfers and jobs, those of
    # different layers included.
    buffers: int = 3

    # Whether maps may stay in L1 between layers; otherwise all go through L2.
    residency: bool = True

    def __post_init__(self) -> None:
        for name in POSITIVE:
            if getattr(self, name) < 1:
                raise HtvmError(f"target 'npu': {name}={getattr(self, name)} must be at least 1")
        if not 1 <= self.buffers <= 3:
            raise HtvmError(f"target 'npu': buffers={self.buffers} must be 1, 2 or 3")
        if self.l2 % PAGE or not PAGE <= self.l2 <= 1 << 24:
            raise HtvmError(f"target 'npu': l2={self.l2} must be whole pages of 4k, at most 16m")
        if self.ext_memory % PAGE or self.ext_memory > 1 << 26:
            raise HtvmError(f"target 'npu': ext_memory={self.ext_memory} must be whole pages of 4k, at most 64m")
        if not 2 <= self.imc_bits <= 8:
            raise HtvmError(f"target 'npu': imc_bits={self.imc_bits} must be 2 to 8")


NPU = Parameters()
