"""The CPU: an RV32IMC instruction-set emulator that counts instructions and cycles exactly.

Unicorn executes translated basic blocks and calls a hook at the start of each. The cost of a block is worked out once,
when it is met for the first time; from then on a block costs one dictionary lookup.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from unicorn import (
    UC_ARCH_RISCV,
    UC_HOOK_CODE,
    UC_HOOK_MEM_INVALID,
    UC_MEM_FETCH_PROT,
    UC_MEM_FETCH_UNMAPPED,
    UC_MEM_READ_PROT,
    UC_MEM_READ_UNMAPPED,
    UC_MEM_WRITE,
    UC_MEM_WRITE_PROT,
    UC_MEM_WRITE_UNMAPPED,
    UC_MODE_RISCV32,
    UC_PROT_EXEC,
    UC_PROT_NONE,
    UC_PROT_READ,
    UC_PROT_WRITE,
)
from unicorn.riscv_const import UC_RISCV_REG_PC, UC_RISCV_REG_X0
from unicorn.unicorn import Uc, UcError

from htvm_ir.errors import HtvmError
from htvm_ir.sim.bus import SimFault
from htvm_ir.sim.clock import Clock
from htvm_ir.sim.costs import Block, measure_block
from htvm_ir.sim.counters import Counter, CounterRead
from htvm_ir.sim.devices import PAGE
from htvm_ir.sim.hooks import BlockCallback, DirectHooks
from htvm_ir.targets.soc import CoreCosts, Region

_NOWHERE = 0xFFFFFFFF
"""An address at which nothing is ever executed, loaded or stored."""

_FORBIDDEN = {
    UC_MEM_READ_UNMAPPED: ("reads", "where nothing is mapped"),
    UC_MEM_WRITE_UNMAPPED: ("writes", "where nothing is mapped"),
    UC_MEM_FETCH_UNMAPPED: ("executes", "where nothing is mapped"),
    UC_MEM_READ_PROT: ("reads", "which only devices can"),
    UC_MEM_WRITE_PROT: ("writes", "which is read-only"),
    UC_MEM_FETCH_PROT: ("executes", "which is not for code"),
}
_FETCHES = (UC_MEM_FETCH_UNMAPPED, UC_MEM_FETCH_PROT)


class DevicePort(Protocol):
    """Where loads and stores of device registers go; addresses and sizes in bytes."""

    def load(self, address: int, size: int) -> int: ...

    def store(self, address: int, size: int, value: int) -> None: ...


@dataclass(slots=True)
class _Progress:
    """What the block hook keeps: the block being executed, instructions so far, the time that must not be passed."""

    block: Block
    instructions: int = 0
    limit: int = 0


class Core:
    """The emulated CPU with its memory; every address is a byte address."""

    def __init__(
        self,
        regions: Sequence[Region],
        costs: CoreCosts,
        clock: Clock,
        locate: Callable[[int], str],
    ) -> None:
        """`locate` names the place of a program counter in messages."""
        self._regions = regions
        self._costs = costs
        self._clock = clock
        self._locate = locate
        self._blocks: dict[int, Block] = {}
        self._watched_blocks: dict[int, Block] = {}
        self._watchers: dict[int, Callable[[], None]] = {}
        self._decoded = range(_NOWHERE, 0)
        self._progress = _Progress(_nothing_before(0))
        self._exit_code: int | None = None
        self._failure: BaseException | None = None
        self._on_access: Callable[[int, int, bool], None] | None = None
        self._uc = Uc(UC_ARCH_RISCV, UC_MODE_RISCV32)
        for region in regions:
            self._map(region)
        self._uc.hook_add(UC_HOOK_MEM_INVALID, self._forbid)
        self._hooks = DirectHooks(self._uc, self._block_hook(), self._report_access)
        # Code that was translated while there was no access hook ignores those that come later. So there always is one.
        self._hooks.add_access(_NOWHERE, _NOWHERE)

    @property
    def instructions(self) -> int:
        """Instructions executed since the start of the run."""
        return self._progress.instructions

    def register(self, number: int) -> int:
        """The value of register x`number`, unsigned."""
        return int(self._uc.reg_read(UC_RISCV_REG_X0 + number))

    def read(self, address: int, size: int) -> bytes:
        """Memory as it is."""
        return bytes(self._uc.mem_read(address, size))

    def write(self, address: int, data: bytes) -> None:
        """Change memory, read-only memory included."""
        self._uc.mem_write(address, data)
        if address < self._decoded.stop and address + len(data) > self._decoded.start:
            self._blocks.clear()
            self._watched_blocks.clear()

    def map_devices(self, pages: Iterable[int], port: DevicePort) -> None:
        """Send the CPU's accesses to these pages of `devices.PAGE` bytes to `port`."""

        def load(_uc: Uc, offset: int, size: int, page: int) -> int:
            return self._serve(lambda: port.load(page + offset, size))

        def store(_uc: Uc, offset: int, size: int, value: int, page: int) -> None:
            self._serve(lambda: port.store(page + offset, size, value) or 0)

        for page in pages:
            self._uc.mmio_map(page, PAGE, load, page, store, page)
            # The emulator brings the program counter up to date for an access hook, but not for a device.
            self._hooks.add_access(page, page + PAGE - 1)

    def on_watched_access(self, callback: Callable[[int, int, bool], None]) -> None:
        """Tell `callback(address, size, is_write)` of CPU accesses to watched ranges and just around them."""
        self._on_access = callback

    def watch(self, address: int, size: int) -> int:
        """Report CPU accesses to the range from now on; the handle is for `unwatch`."""
        widest_access = 4
        return self._hooks.add_access(max(address - widest_access + 1, 0), address + size - 1)

    def unwatch(self, handle: int) -> None:
        """End a `watch`."""
        self._hooks.remove(handle)

    def watch_execution(self, address: int, callback: Callable[[], None]) -> None:
        """Call `callback` each time control comes to `address`, where a basic block must start."""
        self._watchers[address] = callback
        self._blocks.pop(address, None)

    def watch_counters(self, reads: Mapping[int, CounterRead]) -> None:
        """Let the instructions at these addresses read virtual time instead of the host's."""
        for address, read in reads.items():
            self._uc.hook_add(UC_HOOK_CODE, self._read_counter, read, address, address)

    def stop(self, exit_code: int) -> None:
        """End the run with the instruction that is being executed."""
        self._exit_code = exit_code
        self._uc.emu_stop()

    def run(self, entry: int, max_cycles: int) -> int:
        """Execute from `entry`, with all registers zero, until `stop`; the exit code. Faults raise `SimFault`."""
        for number in range(1, 32):
            self._uc.reg_write(UC_RISCV_REG_X0 + number, 0)
        self._progress.block = _nothing_before(entry)
        self._progress.instructions = 0
        self._progress.limit = max_cycles
        self._exit_code = self._failure = None
        try:
            self._uc.emu_start(entry, _NOWHERE)
        except UcError as error:
            self._fail(SimFault(f"the CPU cannot go on: {error}"))
        if self._failure is not None:
            raise self._failure
        if self._exit_code is None:
            raise self._located(SimFault("the CPU halts without having ended the program"))
        return self._exit_code

    def _map(self, region: Region) -> None:
        protection = UC_PROT_READ if region.loadable else UC_PROT_NONE
        protection |= UC_PROT_WRITE if region.writable else 0
        protection |= UC_PROT_EXEC if region.executable else 0
        self._uc.mem_map(region.base, region.size, protection)

    def _block_hook(self) -> BlockCallback:
        """The hot path: called once for every basic block executed."""
        clock, progress, known, first_time = self._clock, self._progress, self._blocks, self._enter

        def on_block(_engine: int, address: int, size: int, _unused: int) -> None:
            try:
                previous = progress.block
                if address != previous.end:
                    clock.charged += previous.taken_extra
                block = known.get(address) or first_time(address, size)
                progress.block = block
                progress.instructions += block.instructions
                clock.charged += block.cycles
                if clock.charged > progress.limit:
                    raise SimFault(f"the program does not end within {progress.limit} cycles")
            except BaseException as error:  # a callback cannot raise through the emulator
                self._fail(error, address)

        return on_block

    def _enter(self, address: int, size: int) -> Block:
        """A block that the hot path does not know: a new one, or one that is watched."""
        if address in self._watchers:
            self._watchers[address]()
            return self._watched_blocks.get(address) or self._measure(address, size, self._watched_blocks)
        return self._measure(address, size, self._blocks)

    def _measure(self, address: int, size: int, known: dict[int, Block]) -> Block:
        block = known[address] = measure_block(address, self._code(address, size), size, self._costs)
        start, stop = self._decoded.start, self._decoded.stop
        self._decoded = range(min(start, address), max(stop, address + size))
        return block

    def _code(self, address: int, size: int) -> bytes:
        """The code of a block and, as far as there is one, of the instruction after it."""
        end = next(region.end for region in self._regions if region.contains(address))
        return self.read(address, min(size + 4, end - address))

    def _serve(self, access: Callable[[], int]) -> int:
        """Let a device serve the access at the current instruction, at the time of that instruction."""
        clock, pc = self._clock, self._pc()
        block = self._progress.block
        clock.ahead = block.cycles - block.starts[pc][1]
        try:
            return access()
        except BaseException as error:  # as in the block hook
            self._fail(error, pc)
            return 0
        finally:
            clock.ahead = 0
            clock.charged += self._costs.mmio - 1
            if self._exit_code is not None:
                self._drop_rest_of_block(pc)

    def _drop_rest_of_block(self, pc: int) -> None:
        """Take back the cost of what the current block would have executed after `pc`."""
        block = self._progress.block
        following = (start for address, start in block.starts.items() if address > pc)
        instructions, cycles = next(following, (block.instructions, block.cycles))
        self._progress.instructions -= block.instructions - instructions
        self._clock.charged -= block.cycles - cycles

    def _report_access(self, _engine: int, kind: int, address: int, size: int, _value: int, _unused: int) -> None:
        try:
            if self._on_access is not None:
                self._on_access(address, size, kind == UC_MEM_WRITE)
        except BaseException as error:  # as in the block hook
            self._fail(error)

    def _read_counter(self, _uc: Uc, address: int, _size: int, read: CounterRead) -> None:
        """Execute a counter read in place of the emulator: it ends its block, so its place is known."""
        block = self._progress.block
        instructions, cycles = block.starts[address]
        if read.counter is Counter.CYCLES:
            count = self._clock.charged - block.cycles + cycles
        else:
            count = self._progress.instructions - block.instructions + instructions
        if read.rd:
            self._uc.reg_write(UC_RISCV_REG_X0 + read.rd, count >> read.shift & 0xFFFFFFFF)
        self._uc.reg_write(UC_RISCV_REG_PC, address + 4)

    def _forbid(self, _uc: Uc, kind: int, address: int, size: int, _value: int, _unused: object) -> bool:
        verb, why = _FORBIDDEN[kind]
        fault = SimFault(f"the CPU {verb} {size} bytes at {address:#010x}, {why}")
        self._fail(fault, self._last_pc() if kind in _FETCHES else self._pc())
        return False

    def _pc(self) -> int:
        return int(self._uc.reg_read(UC_RISCV_REG_PC))

    def _last_pc(self) -> int:
        """The last instruction of the current block: where a jump to nowhere came from."""
        return max(self._progress.block.starts, default=self._pc())

    def _fail(self, error: BaseException, pc: int | None = None) -> None:
        """End the run with `error`; of several, the first counts."""
        if self._failure is None:
            self._failure = self._located(error, pc)
        self._uc.emu_stop()

    def _located(self, error: BaseException, pc: int | None = None) -> BaseException:
        """`error` with the place of the program in it. What is no `HtvmError` is a bug and keeps its type."""
        pc = self._pc() if pc is None else pc
        place = f"(pc {pc:#010x}, {self._locate(pc)})"
        if isinstance(error, HtvmError):
            fault = SimFault(f"{error} {place}")
            fault.__cause__ = error.__cause__
            return fault
        error.add_note(f"while the virtual SoC was at {place}")
        return error


def _nothing_before(entry: int) -> Block:
    """The predecessor of the first block."""
    return Block(entry, 0, 0, 0, {})
