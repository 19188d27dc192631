"""Which device answers at an address."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from htvm_ir.errors import HtvmError
from htvm_ir.sim.bus import SimFault
from htvm_ir.targets.soc import Device, HasLocalMemory

PAGE = 4096
"""The granularity of the emulator's memory map, in bytes."""


class DeviceMap:
    """The registers of all devices; the windows of several may share a page."""

    def __init__(self, devices: Sequence[Device]) -> None:
        """Raises `ValueError` if two windows overlap."""
        self._devices = sorted(devices, key=lambda device: device.base)
        for low, high in zip(self._devices, self._devices[1:], strict=False):
            if low.base + low.size > high.base:
                raise ValueError(f"the windows of devices {low.name} and {high.name} overlap")

    def pages(self) -> Iterable[int]:
        """Base addresses of the pages that hold a window, in ascending order."""
        return sorted(
            {
                page
                for device in self._devices
                for page in range(device.base // PAGE * PAGE, device.base + device.size, PAGE)
            }
        )

    def load(self, address: int, size: int) -> int:
        """The value that the CPU loads from a register; faults where no device is."""
        device = self._device_at(address, size, "load")
        return device.read(address - device.base, size) & ((1 << 8 * size) - 1)

    def store(self, address: int, size: int, value: int) -> None:
        """The CPU stores to a register; faults where no device is."""
        device = self._device_at(address, size, "store")
        device.write(address - device.base, size, value & ((1 << 8 * size) - 1))

    def peek(self, memory: str, offset: int, size: int) -> bytes:
        """Bytes of a memory that only devices can address; `HtvmError` if none of them shows it."""
        for device in self._devices:
            if isinstance(device, HasLocalMemory) and device.local_memory == memory:
                return device.peek(offset, size)
        raise HtvmError(f"no device of the virtual SoC shows what is in {memory}")

    def reset(self) -> None:
        """Reset every device."""
        for device in self._devices:
            device.reset()

    def _device_at(self, address: int, size: int, verb: str) -> Device:
        for device in self._devices:
            if device.base <= address and address + size <= device.base + device.size:
                return device
        raise SimFault(f"the CPU's {verb} of {size} bytes at {address:#010x} meets no device register")
