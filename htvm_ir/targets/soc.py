"""The vocabulary in which a target describes its virtual SoC.

A `Soc` is one literal: the memory map, what an instruction costs, the memory-mapped devices, and what a program needs
to be linked for it. The emulator (`htvm_ir.sim`) knows nothing else about the hardware, and nothing here knows the
emulator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol, runtime_checkable

SHARED_RUNTIME = Path(__file__).parent / "runtime"
"""Headers that the sources of several SoCs include: the start of a bare-metal RISC-V program."""


class Bus(Protocol):
    """What a device sees of the SoC. Addresses are byte addresses, times are virtual cycles of the SoC's clock."""

    @property
    def now(self) -> int:
        """The cycle at which the access that the device is serving takes place."""
        ...

    def advance_to(self, cycle: int) -> None:
        """Let the CPU wait until `cycle` (no effect if that is past): how a poll of a busy register costs time."""
        ...

    def read(self, address: int, size: int) -> bytes:
        """Read `size` bytes of memory; faults outside the mapped regions and on a tainted byte."""
        ...

    def write(self, address: int, data: bytes) -> None:
        """Write memory and clean the bytes' taint; faults outside the mapped, writable regions."""
        ...

    def taint(self, address: int, size: int) -> None:
        """Mark bytes as meaningless: the next read of one, by the CPU or a device, faults unless a write came first."""
        ...

    def record(self, unit: str, what: str, start: int, end: int, bytes: int = 0) -> None:
        """Add an interval to the trace: `unit` did `what` in cycles [start, end) and moved `bytes` bytes."""
        ...

    def fault(self, message: str) -> NoReturn:
        """Raise the error that ends the run; where the program was is added to the message."""
        ...

    def stop(self, code: int) -> None:
        """The program has ended with exit code `code`; no further instruction is executed."""
        ...


class Device(Protocol):
    """A memory-mapped device: registers in the window [base, base + size)."""

    @property
    def name(self) -> str: ...

    @property
    def base(self) -> int: ...

    @property
    def size(self) -> int: ...

    def reset(self) -> None:
        """Return to the power-on state."""
        ...

    def read(self, offset: int, size: int) -> int:
        """A load of `size` (1, 2 or 4) bytes at `base + offset`; the unsigned little-endian value."""
        ...

    def write(self, offset: int, size: int, value: int) -> None:
        """A store of `size` (1, 2 or 4) bytes at `base + offset`; `value` is unsigned."""
        ...


@runtime_checkable
class HasLocalMemory(Protocol):
    """A device that can show a memory which the CPU cannot address."""

    @property
    def local_memory(self) -> str:
        """The memory's name in the target."""
        ...

    def peek(self, offset: int, size: int) -> bytes:
        """Bytes of it as they are, from outside the SoC."""
        ...


@dataclass(frozen=True)
class Region:
    """A memory that programs are linked for: [base, base + size), in bytes. `writable` is about the running program.

    `loadable`: whether the CPU can load from it; devices always can.
    """

    name: str
    base: int
    size: int
    writable: bool = True
    executable: bool = False
    loadable: bool = True

    @property
    def end(self) -> int:
        """The first address after the region."""
        return self.base + self.size

    def contains(self, address: int, size: int = 1) -> bool:
        """Whether all of [address, address + size) lies in the region."""
        return self.base <= address and address + size <= self.end


@dataclass(frozen=True)
class CoreCosts:
    """Cycles per instruction of an in-order RV32IMC core with single-cycle memory.

    An instruction costs `base` cycles unless it is one of those below, whose field is the *total*:

    - `jump`: `jal`, `jalr` and their compressed forms;
    - `taken_branch`: a conditional branch that jumps (one that falls through costs `base`);
    - `mul`, `mulh` (also `mulhsu`, `mulhu`), `div` (also `divu`, `rem`, `remu`).

    Two fields are *extra* cycles: `load_use` when the instruction right after a load reads the loaded register, and
    `mmio - 1` for every access to a device.
    """

    load_use: int
    taken_branch: int
    jump: int
    mul: int
    mulh: int
    div: int
    base: int = 1
    mmio: int = 1


@dataclass(frozen=True)
class Soc:
    """A system on chip that the emulator can build.

    `devices` makes a fresh set of device models on a bus. `sources` are the C and assembly files every program needs
    (start-up code, drivers); `linker_script`, `include_dirs`, `zig_target`, `zig_cpu` and `cflags` are for building.
    """

    name: str
    clock_hz: int
    regions: tuple[Region, ...]
    costs: CoreCosts
    devices: Callable[[Bus], Sequence[Device]]
    linker_script: Path
    sources: tuple[Path, ...]
    include_dirs: tuple[Path, ...]
    zig_target: str = "riscv32-freestanding"
    zig_cpu: str = "generic_rv32+m+c"
    cflags: tuple[str, ...] = ()

    @property
    def headers(self) -> tuple[Path, ...]:
        """The files in `include_dirs`: what programs, or `sources`, include."""
        return tuple(path for folder in self.include_dirs for path in sorted(folder.glob("*.h")))

    def region_at(self, address: int) -> Region | None:
        """The region that holds `address`."""
        return next((region for region in self.regions if region.contains(address)), None)
