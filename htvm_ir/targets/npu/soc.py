"""The virtual npu: memory map, core, devices, and what a program is linked with."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from htvm_ir.targets.npu.devices import ArrayDevice, Control, DmaChannel, external_port, l2_port
from htvm_ir.targets.npu.imc_device import ImcDevice
from htvm_ir.targets.npu.memories import LocalMemory
from htvm_ir.targets.npu.parameters import EXTERNAL_BASE, NPU, SHARED_BASE, Parameters
from htvm_ir.targets.soc import SHARED_RUNTIME, Bus, Device, Region, Soc

RUNTIME = Path(__file__).parent / "runtime"


def npu_soc(parameters: Parameters = NPU) -> Soc:
    """The system with the given numbers. The linker script knows the largest memories, the regions the real ones."""
    p = parameters
    external = Region("external memory", EXTERNAL_BASE, p.ext_memory, writable=False, loadable=False)
    return Soc(
        name="npu",
        clock_hz=p.clock_hz,
        regions=(
            Region("data memory", 0x1000_0000, 64 * 1024),
            Region("code memory", 0x1010_0000, 1024 * 1024, False, True),
            Region("L2", SHARED_BASE, p.l2),
            *((external,) if p.ext_memory else ()),
        ),
        costs=p.core_costs,
        devices=partial(_devices, p),
        linker_script=RUNTIME / "npu.ld",
        sources=(RUNTIME / "npu_start.S",),
        include_dirs=(RUNTIME, SHARED_RUNTIME),
    )


def _devices(p: Parameters, bus: Bus) -> list[Device]:
    """Each array with channels of its own on the ports that all share."""
    l1, weights = LocalMemory("L1", p.l1), LocalMemory("the weight memory", p.weight_memory)
    l2, outside = l2_port(p), external_port(p)
    found: list[Device] = [Control(bus), ArrayDevice(bus, l1, weights, p)]
    found += [ImcDevice(bus, l1, weights, p)] if p.imc_rows else []
    for prefix, first in (("", 0), ("imc_", 4)) if p.imc_rows else (("", 0),):
        found.append(DmaChannel(f"{prefix}inputs", first, bus, l2, l1, p, loads=True))
        found.append(DmaChannel(f"{prefix}weights", first + 1, bus, l2, weights, p, loads=True))
        found.append(DmaChannel(f"{prefix}outputs", first + 2, bus, l2, l1, p, loads=False))
        if p.ext_memory:
            found.append(DmaChannel(f"{prefix}external", first + 3, bus, outside, weights, p, loads=True))
    return found
