"""A small SoC for tests: memory, a console and an end-of-program register, where QEMU's `virt` machine has them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from htvm_ir.targets.soc import Bus, CoreCosts, Device, Region, Soc

PROGRAMS = Path(__file__).parent / "programs"
RAM = Region("ram", 0x80000000, 0x100000, executable=True)
UNIT_COSTS = CoreCosts(load_use=0, taken_branch=1, jump=1, mul=1, mulh=1, div=1)
"""Every instruction takes a cycle, so that time is the instruction count."""
PIPELINE_COSTS = CoreCosts(load_use=1, taken_branch=3, jump=2, mul=1, mulh=5, div=35)


@dataclass
class Console:
    """A serial port that is always ready."""

    text: str = ""
    name: str = "console"
    base: int = 0x10000000
    size: int = 0x100

    def reset(self) -> None:
        self.text = ""

    def read(self, offset: int, size: int) -> int:
        return 0x60 if offset == 5 else 0

    def write(self, offset: int, size: int, value: int) -> None:
        if offset == 0:
            self.text += chr(value)


@dataclass
class Finisher:
    """A store ends the program; the upper half is the exit code."""

    bus: Bus
    name: str = "finisher"
    base: int = 0x100000
    size: int = 4

    def reset(self) -> None:
        pass

    def read(self, offset: int, size: int) -> int:
        return 0

    def write(self, offset: int, size: int, value: int) -> None:
        self.bus.stop(value >> 16)


@dataclass
class SmallSoc:
    """The SoC and, once a machine was made of it, its console."""

    costs: CoreCosts = UNIT_COSTS
    regions: tuple[Region, ...] = (RAM,)
    more_devices: tuple[Callable[[Bus], Device], ...] = ()
    console: Console = field(default_factory=Console)

    @property
    def soc(self) -> Soc:
        return Soc(
            "small",
            1_000_000,
            self.regions,
            self.costs,
            self._devices,
            PROGRAMS / "link.ld",
            (PROGRAMS / "start.S", PROGRAMS / "support.c"),
            (PROGRAMS,),
        )

    def _devices(self, bus: Bus) -> list[Device]:
        return [self.console, Finisher(bus), *(make(bus) for make in self.more_devices)]
