"""A virtual SoC with a program in its memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from htvm_ir.errors import HtvmError
from htvm_ir.sim.bus import SimBus
from htvm_ir.sim.calls import CallWatch, ReturnCallback
from htvm_ir.sim.clock import Clock
from htvm_ir.sim.core import Core
from htvm_ir.sim.counters import counter_reads
from htvm_ir.sim.devices import PAGE, DeviceMap
from htvm_ir.sim.program import Program, Segment, load_program
from htvm_ir.sim.trace import Trace
from htvm_ir.targets.soc import Region, Soc

_STACK_PAINT = b"\xa5"
_STACK_LOW, _STACK_TOP = "__stack_low", "__stack_top"


@dataclass(frozen=True)
class RunResult:
    """What a run did. `cycles` is its length in virtual time; in `cpu_cycles` of them the CPU executed instructions.

    `waits` are the intervals [start, end) in which it did not, in order.
    `stack_bytes` is the deepest the stack ever was, 0 if the program does not say where its stack is (symbols
    `__stack_low` and `__stack_top`).
    """

    exit_code: int
    instructions: int
    cycles: int
    cpu_cycles: int
    stack_bytes: int
    trace: Trace
    waits: tuple[tuple[int, int], ...] = ()


class Machine:
    """The SoC, ready to run the program of an ELF file. Make inputs with `write_symbol`, then `run`; `reset` for more.

    Runs are deterministic. Errors of the program while it runs are `SimFault`s.
    """

    def __init__(self, soc: Soc, elf: Path) -> None:
        """Raises `HtvmError` if the file cannot be read or the program does not fit the SoC's memories."""
        self._program = load_program(elf)
        self._stack = _stack(self._program)
        self._image = _image(soc, self._program, self._stack)
        self._clock = Clock()
        self._core = Core(soc.regions, soc.costs, self._clock, self._program.locate)
        self._bus = SimBus(soc.regions, self._core, self._clock, self._core.stop)
        self._core.on_watched_access(self._bus.check_access)
        self._devices = DeviceMap(soc.devices(self._bus))
        self._core.map_devices(self._devices.pages(), self._devices)
        for segment in self._program.segments:
            if segment.executable:
                self._core.watch_counters(counter_reads(segment.address, segment.data))
        self._calls = CallWatch(self._core)
        self.reset()

    def reset(self) -> None:
        """Return to the state after loading: memory, devices, time, trace."""
        self._bus.reset()
        self._clock.reset()
        self._devices.reset()
        for base, image in self._image.items():
            self._restore(base, image)
        self._calls.reset()
        self._ran = False

    def symbol(self, name: str) -> tuple[int, int]:
        """Address and size in bytes of a symbol."""
        try:
            return self._program.symbols[name]
        except KeyError:
            raise HtvmError(f"the program has no symbol {name}") from None

    def read_symbol(self, name: str) -> bytes:
        """The bytes of an object."""
        return self.read(*self.symbol(name))

    def write_symbol(self, name: str, data: bytes) -> None:
        """Set all bytes of an object."""
        address, size = self.symbol(name)
        if len(data) != size:
            raise HtvmError(f"{name} has {size} bytes, but {len(data)} are to be written to it")
        self.write(address, data)

    def read(self, address: int, size: int) -> bytes:
        """Memory as it is, from outside the SoC: no time, no faults for tainted bytes."""
        return self._core.read(address, size)

    def read_local(self, memory: str, offset: int, size: int) -> bytes:
        """A memory that only devices can address, as it is; `HtvmError` if no device shows it."""
        return self._devices.peek(memory, offset, size)

    def write(self, address: int, data: bytes) -> None:
        """Change memory from outside the SoC."""
        self._core.write(address, data)

    @property
    def now(self) -> int:
        """Virtual cycles since the reset."""
        return self._clock.now

    def on_return(self, symbol: str, callback: ReturnCallback) -> None:
        """Call back each time function `symbol` has returned, before its caller goes on; the code is not changed."""
        address, _ = self.symbol(symbol)
        self._calls.on_return(address, callback)

    def run(self, max_cycles: int = 10**10) -> RunResult:
        """Run from the entry point until a device ends the program; faults if that takes more than `max_cycles`."""
        if self._ran:
            raise RuntimeError("the machine has run already: reset it first")
        self._ran = True
        exit_code = self._core.run(self._program.entry, max_cycles)
        return RunResult(
            exit_code,
            self._core.instructions,
            self._clock.now,
            self._clock.now - self._clock.waited,
            self._stack_bytes(),
            self._bus.trace,
            tuple(self._clock.waits),
        )

    def _restore(self, base: int, image: bytes) -> None:
        """Set a region, but leave alone the pages that are right: the emulator retranslates code that is written."""
        present = self._core.read(base, len(image))
        for offset in range(0, len(image), PAGE):
            page = image[offset : offset + PAGE]
            if present[offset : offset + PAGE] != page:
                self._core.write(base + offset, page)

    def _stack_bytes(self) -> int:
        stack = self._core.read(self._stack.start, len(self._stack))
        return len(stack.lstrip(_STACK_PAINT))


def _stack(program: Program) -> range:
    """The addresses of the stack; empty if the program has no symbols for it."""
    if _STACK_LOW in program.symbols and _STACK_TOP in program.symbols:
        return range(program.symbols[_STACK_LOW][0], program.symbols[_STACK_TOP][0])
    return range(0)


def _image(soc: Soc, program: Program, stack: range) -> dict[int, bytes]:
    """The contents of every region when the program starts, by base address."""
    image = {region.base: bytearray(region.size) for region in soc.regions}
    for segment in program.segments:
        _region_of(soc, segment.address, segment.size)
        _place(image, _region_of(soc, segment.load_address, len(segment.data)), segment)
    if stack:
        region = _region_of(soc, stack.start, len(stack))
        first = stack.start - region.base
        image[region.base][first : first + len(stack)] = _STACK_PAINT * len(stack)
    return {base: bytes(contents) for base, contents in image.items()}


def _place(image: dict[int, bytearray], region: Region, segment: Segment) -> None:
    first = segment.load_address - region.base
    image[region.base][first : first + len(segment.data)] = segment.data


def _region_of(soc: Soc, address: int, size: int) -> Region:
    """The region that holds [address, address + size); `HtvmError` if there is none."""
    region = soc.region_at(address)
    if region is None:
        raise HtvmError(f"the program has {size} bytes at {address:#010x}, where {soc.name} has no memory")
    excess = address + size - region.end
    if excess > 0:
        raise HtvmError(f"the program needs {excess} bytes more than {soc.name}'s {region.name} has")
    return region
