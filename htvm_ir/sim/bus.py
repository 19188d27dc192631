"""The bus: memory as devices see it, virtual time, taint, the trace, and faults."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn, Protocol

from htvm_ir.errors import HtvmError
from htvm_ir.sim.clock import Clock
from htvm_ir.sim.trace import Interval, Trace
from htvm_ir.targets.soc import Region


class SimFault(HtvmError):
    """The program or a device did something the SoC does not allow.

    The message says what, at which address, and where the program was: `(pc 0x1c008120, net_run+0x20)`.
    """


class Memory(Protocol):
    """What the bus needs of the core: its memory, and a way to see loads and stores of the CPU in a range."""

    def read(self, address: int, size: int) -> bytes: ...

    def write(self, address: int, data: bytes) -> None: ...

    def watch(self, address: int, size: int) -> int:
        """Report the CPU's accesses to the range to `SimBus.check_access`; the handle ends it."""
        ...

    def unwatch(self, handle: int) -> None: ...


class SimBus:
    """The `Bus` of the emulator. One for each machine; `reset` makes it as new."""

    def __init__(
        self,
        regions: Sequence[Region],
        memory: Memory,
        clock: Clock,
        stop: Callable[[int], None],
    ) -> None:
        """`stop` is told the exit code when a device ends the program."""
        self.trace = Trace()
        self._regions = regions
        self._memory = memory
        self._clock = clock
        self._stop = stop
        self._tainted: dict[int, _TaintedRange] = {}

    @property
    def now(self) -> int:
        return self._clock.now

    def advance_to(self, cycle: int) -> None:
        self._clock.wait_until(cycle)

    def read(self, address: int, size: int) -> bytes:
        self._region(address, size, "read")
        self._check_taint(address, size, "device")
        return self._memory.read(address, size)

    def write(self, address: int, data: bytes) -> None:
        region = self._region(address, len(data), "write")
        if not region.writable:
            self.fault(f"a device writes {len(data)} bytes to the read-only {region.name} at {address:#010x}")
        self._clean(address, len(data))
        self._memory.write(address, data)

    def taint(self, address: int, size: int) -> None:
        if size == 0:
            return
        self._region(address, size, "taint")
        self._clean(address, size)
        handle = self._memory.watch(address, size)
        self._tainted[handle] = _TaintedRange(address, size)

    def record(self, unit: str, what: str, start: int, end: int, bytes: int = 0) -> None:
        self.trace.intervals.append(Interval(unit, what, start, end, bytes))

    def fault(self, message: str) -> NoReturn:
        raise SimFault(message)

    def stop(self, code: int) -> None:
        self._stop(code)

    def check_access(self, address: int, size: int, is_write: bool) -> None:
        """A load or store of the CPU that may touch tainted bytes: a store cleans them, a load faults."""
        if is_write:
            self._clean(address, size)
        else:
            self._check_taint(address, size, "CPU")

    def reset(self) -> None:
        """Forget taint and trace; time and memory are reset by their owners."""
        for handle in self._tainted:
            self._memory.unwatch(handle)
        self._tainted.clear()
        self.trace = Trace()

    def _region(self, address: int, size: int, verb: str) -> Region:
        for region in self._regions:
            if region.contains(address, size):
                return region
        raise SimFault(f"a device cannot {verb} {size} bytes at {address:#010x}: not all of it is memory")

    def _check_taint(self, address: int, size: int, reader: str) -> None:
        for tainted in self._tainted.values():
            byte = tainted.first_in(address, size)
            if byte is not None:
                why = "which a transfer has not finished, or filled with unwritten bytes"
                self.fault(f"the {reader} reads {byte:#010x}, {why}")

    def _clean(self, address: int, size: int) -> None:
        for handle, tainted in list(self._tainted.items()):
            if tainted.clean(address, size):
                self._memory.unwatch(handle)
                del self._tainted[handle]


class _TaintedRange:
    """The tainted bytes of what was one `taint` call."""

    def __init__(self, address: int, size: int) -> None:
        self._address = address
        self._flags = bytearray(b"\1" * size)

    def first_in(self, address: int, size: int) -> int | None:
        """The first tainted address in [address, address + size)."""
        start, stop = self._overlap(address, size)
        index = self._flags.find(1, start, stop)
        return None if index < 0 else self._address + index

    def clean(self, address: int, size: int) -> bool:
        """Clean [address, address + size); whether no tainted byte is left."""
        start, stop = self._overlap(address, size)
        if start < stop:
            self._flags[start:stop] = bytes(stop - start)
        return not any(self._flags)

    def _overlap(self, address: int, size: int) -> tuple[int, int]:
        start = min(max(address - self._address, 0), len(self._flags))
        return start, min(max(address + size - self._address, start), len(self._flags))
