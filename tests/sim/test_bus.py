"""What devices may do to memory, and how taint follows it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_soc import Console

from htvm_ir.sim.bus import SimBus, SimFault
from htvm_ir.sim.clock import Clock
from htvm_ir.sim.devices import DeviceMap
from htvm_ir.targets.soc import Region

_RAM = Region("ram", 0x100, 0x40)
_ROM = Region("rom", 0x200, 0x40, writable=False)


class _Memory:
    """Memory at address 0, and the ranges in it that are watched."""

    def __init__(self) -> None:
        self.contents = bytearray(0x300)
        self.watched: dict[int, range] = {}
        self._handles = iter(range(1, 10_000))

    def read(self, address: int, size: int) -> bytes:
        return bytes(self.contents[address : address + size])

    def write(self, address: int, data: bytes) -> None:
        self.contents[address : address + len(data)] = data

    def watch(self, address: int, size: int) -> int:
        handle = next(self._handles)
        self.watched[handle] = range(address, address + size)
        return handle

    def unwatch(self, handle: int) -> None:
        del self.watched[handle]


def _bus(memory: _Memory) -> SimBus:
    return SimBus((_RAM, _ROM), memory, Clock(), lambda _: None)


@pytest.mark.parametrize(("address", "size"), [(0xFF, 4), (0x13E, 4), (0x150, 1), (0x23F, 2)])
def test_devices_fault_outside_memory(address: int, size: int):
    bus = _bus(_Memory())
    with pytest.raises(SimFault, match="not all of it is memory"):
        bus.read(address, size)
    with pytest.raises(SimFault, match="not all of it is memory"):
        bus.write(address, bytes(size))


def test_devices_do_not_write_read_only_memory():
    bus = _bus(_Memory())
    assert bus.read(0x200, 4) == bytes(4)
    with pytest.raises(SimFault, match="writes 4 bytes to the read-only rom at 0x00000200"):
        bus.write(0x200, bytes(4))


_SPANS = st.tuples(st.sampled_from(["taint", "write", "store"]), st.integers(0, 31), st.integers(1, 12))


@settings(deadline=None, max_examples=60)
@given(st.lists(_SPANS, max_size=12))
def test_exactly_the_bytes_not_written_since_are_tainted(actions: list[tuple[str, int, int]]):
    memory = _Memory()
    bus = _bus(memory)
    tainted: set[int] = set()
    for action, offset, size in actions:
        address = 0x100 + offset
        span = set(range(address, address + size))
        if action == "taint":
            bus.taint(address, size)
            tainted |= span
        else:
            tainted -= span
            if action == "write":
                bus.write(address, bytes(size))
            else:
                bus.check_access(address, size, is_write=True)
    for address in range(0x100, 0x130):
        if address in tainted:
            with pytest.raises(SimFault, match=f"{address:#010x}"):
                bus.read(address, 1)
        else:
            bus.read(address, 1)
    assert tainted <= {address for watched in memory.watched.values() for address in watched}
    assert len(memory.watched) <= len(tainted)


def test_device_windows_must_not_overlap():
    with pytest.raises(ValueError, match="overlap"):
        DeviceMap([Console(), Console(base=0x100000F0)])


def test_devices_may_share_a_page_and_span_two():
    assert list(DeviceMap([Console(), Console(base=0x10000F80)]).pages()) == [0x10000000, 0x10001000]
