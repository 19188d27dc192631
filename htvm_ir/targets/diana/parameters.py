"""Every number and switch of the virtual DIANA, each with its source.

DIANA's register-transfer code and data sheet are not public. The sources named here are: `archi` (the
register headers and linker scripts of DIANA's pulp-sdk), `dory-hal` (its published driver), DORY (targets
Diana_SoC and Diana_TVM), MATCH, ODiMO and HTVM. "Model choice" marks what none of them tells.
"""

from __future__ import annotations

from dataclasses import dataclass

from htvm_ir.errors import HtvmError
from htvm_ir.targets.ri5cy import Ri5cy

COPY_ENGINES = ("none", "analog")
"""Whose DMA moves the digital core's tiles: its own, or the analog core's."""


@dataclass(frozen=True, kw_only=True)
class Parameters(Ri5cy):
    """What the compiler's contract and the device models both read; sizes in bytes, costs in cycles."""

    # Memories (archi headers, link script).
    private0_base: int = 0x1C00_0000
    private0_bytes: int = 32 * 1024
    private1_base: int = 0x1C00_8000
    private1_bytes: int = 32 * 1024
    shared_base: int = 0x1C01_0000
    shared_bytes: int = 448 * 1024
    # Of these, what the run-time library keeps for itself: two lists of jobs of 26 entries, programs, configurations.
    driver_bytes: int = 7 * 1024

    # 16384 rows of 128 bits: the analog address fields have 14 bits. DORY reserves less (128000, 256000).
    l1_bytes: int = 256 * 1024
    row_bytes: int = 16
    # DORY: 64 KiB (Diana_TVM plans with 64000); a limit for one trigger, dense included.
    weight_memory_bytes: int = 64 * 1024
    # Of an entry's offset in the weight memory (model choice): depthwise streams start 4 bytes apart, too.
    weight_alignment: int = 4

    # HTVM since 2023, ODiMO and PLiNIO: 260 MHz. DORY says 100 MHz.
    clock_hz: int = 260_000_000

    # The array: 16 output columns by 16 output channels (dory-hal's ARRAY_PARALLELISM).
    array: int = 16
    # HTVM's acceptance check; the hardware's own limit is not known.
    kernels: tuple[int, ...] = (1, 3, 5, 7)
    max_shift: int = 31

    # Direct memory access. A transfer moves a multiple of 32 bytes (DORY's DMA_PARALLELISM).
    dma_granule: int = 32
    l2_alignment: int = 4  # model choice
    # MATCH counts 70 cycles a transfer, the driver's instructions included; here those are executed.
    dma_start: int = 20
    dma_bytes_per_cycle: int = 8  # DORY, ODiMO; MATCH and stream say 16
    weight_start: int = 20  # as for the transfers
    weight_bytes_per_cycle: int = 16  # MATCH; ODiMO's analog core
    # Chip measurements: bank b of a multi-bank transfer starts 512 rows after bank b - 1.
    bank_rows: int = 512
    max_banks: int = 4

    # MATCH's compute model: an output row costs c * (kernel rows) * (fx + 2) + 23.
    row_overhead: int = 23
    column_overhead: int = 2

    # The analog array (dory-hal, HTVM, quantlib agree): inputs of a kernel by output channels.
    analog_rows: int = 1152
    analog_columns: int = 512
    # ODiMO: 70 ns an activation of the array, for 128 input channels; 128 bytes of weights a row at 16 a cycle.
    analog_activation_ns: int = 70
    analog_channels: int = 128
    analog_row_cycles: int = 8
    # The most adjacent outputs one activation may compute (DORY: 1, 2 or 4); 1 is without risk on silicon.
    analog_unroll: int = 1
    # Error of the converters in their steps, normally distributed, drawn from the seed; 0 computes exactly.
    analog_noise: float = 0.0
    analog_seed: int = 0

    # Model choices, each of which can be switched off.
    # Cycles that a byte of constants has to save: L2 is all memory the chip has, and the whole network lies in it.
    constant_price: float = 0.5
    # Convolutions read and write maps at any word of L1, rows and planes as far apart as their fields say; off: rows of
    # 16 bytes, as all published software stores them.
    compact_maps: bool = True
    # The nibble 7:4 of the padding word hides that many trailing stored columns of the input.
    narrow_maps: bool = True
    # The activation field of a sum clips at 0; the published drivers always write 0 there.
    sum_relu: bool = True
    # The analog core's DMA moves the tiles of the digital core, while that computes; no published software does so.
    copy_engine: str = "none"
    # A job that reads never-written L1 bytes faults instead of seeing what silicon has there.
    fault_stale_reads: bool = True

    def __post_init__(self) -> None:
        if self.copy_engine not in COPY_ENGINES:
            choice = ", ".join(COPY_ENGINES)
            raise HtvmError(f"target 'diana': copy_engine={self.copy_engine}: choose from {choice}")

    @property
    def shared_end(self) -> int:
        """First address after shared L2, the only L2 that accelerators reach."""
        return self.shared_base + self.shared_bytes


DIANA = Parameters()
