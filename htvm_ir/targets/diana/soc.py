"""The virtual DIANA: memory map, core, devices, and what a program is linked with."""

from __future__ import annotations

from pathlib import Path

from htvm_ir.targets.diana.parameters import DIANA, Parameters
from htvm_ir.targets.soc import SHARED_RUNTIME, Bus, Device, Region, Soc

RUNTIME = Path(__file__).parent / "runtime"

FLL = 0x1A10_0000
EVENT_UNIT = 0x1A10_6000


def diana_soc(parameters: Parameters = DIANA) -> Soc:
    """The system with the given numbers and switches. The linker script has the default memory sizes."""
    p = parameters

    def devices(bus: Bus) -> list[Device]:
        from htvm_ir.targets.diana.analog_device import AnalogHwme
        from htvm_ir.targets.diana.devices import DigitalHwme
        from htvm_ir.targets.diana.l1 import L1
        from htvm_ir.targets.diana.peripherals import Gpio, SocControl, Stdout, Storage, Supply, Timer

        l1, supply = L1(p.l1_bytes), Supply()
        return [
            DigitalHwme(bus, l1, p),
            AnalogHwme(bus, l1, p, supply),
            SocControl(bus),
            Storage("event_unit", EVENT_UNIT),
            Timer(bus),
            Stdout(),
            Gpio(supply),
            Storage("fll", FLL),
        ]

    copies = (RUNTIME / "copy",) if p.copy_engine != "none" else ()
    return Soc(
        name="diana",
        clock_hz=p.clock_hz,
        regions=(
            Region("L2 private 0", p.private0_base, p.private0_bytes),
            # The run-time puts only code here, so a store is a stray pointer.
            Region("L2 private 1", p.private1_base, p.private1_bytes, False, True),
            Region("L2 shared", p.shared_base, p.shared_bytes),
        ),
        costs=p.core_costs,
        devices=devices,
        linker_script=RUNTIME / "diana.ld",
        sources=(
            RUNTIME / "diana_start.S",
            RUNTIME / "diana_digital.c",
            RUNTIME / "diana_analog.c",
            *(folder / "diana_copy.c" for folder in copies),
        ),
        include_dirs=(RUNTIME, SHARED_RUNTIME, *copies),
    )
