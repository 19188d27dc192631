"""Running a program: results, faults, time, taint, and what can be seen from outside."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from small_soc import PIPELINE_COSTS, RAM, UNIT_COSTS, SmallSoc

from htvm_ir.errors import HtvmError
from htvm_ir.sim.bus import SimFault
from htvm_ir.sim.machine import Machine, RunResult
from htvm_ir.targets.soc import Bus, Region

LOAD, STORE, JUMP, SPIN, COUNTDOWN, JOB, TAINT, ILLEGAL, HALT, LOOP, EXIT = range(11)


@dataclass
class Worker:
    """A device that is busy for as many cycles as it is told, and moves meaningless bytes."""

    bus: Bus
    busy_until: int = 0
    name: str = "worker"
    base: int = 0x10000200
    size: int = 0x14

    def reset(self) -> None:
        self.busy_until = 0

    def read(self, offset: int, size: int) -> int:
        if offset != 4:
            raise KeyError(offset)
        is_busy = self.bus.now < self.busy_until
        self.bus.advance_to(self.busy_until)
        return is_busy

    def write(self, offset: int, size: int, value: int) -> None:
        match offset:
            case 0:
                self.busy_until = self.bus.now + value
                self.bus.record("worker", "job", self.bus.now, self.busy_until, 16)
            case 8:
                self.bus.taint(value, 8)
            case 12:
                self.bus.write(value, bytes(8))
            case 16:
                self.bus.read(value, 8)
            case _:
                self.bus.fault(f"no register {offset}")


def _machine(elf: Path, *regions: Region, mmio: int = 1) -> Machine:
    costs = replace(UNIT_COSTS, mmio=mmio)
    return Machine(SmallSoc(costs, (RAM, *regions), (Worker,)).soc, elf)


def _select(machine: Machine, case: int, argument: int = 0) -> None:
    machine.write_symbol("selected", struct.pack("<I", case))
    machine.write_symbol("argument", struct.pack("<I", argument))


def _run(machine: Machine, case: int, argument: int = 0) -> tuple[int, RunResult]:
    _select(machine, case, argument)
    result = machine.run(max_cycles=100_000)
    return int.from_bytes(machine.read_symbol("observed"), "little"), result


@pytest.mark.parametrize(
    ("case", "argument", "message"),
    [
        (LOAD, 0x1000, r"reads 4 bytes at 0x00001000, where nothing is mapped \(pc 0x8.*, load_from\+0x0\)"),
        (STORE, 0x1000, r"writes 4 bytes at 0x00001000, where nothing is mapped .*store_to\+0x2\)"),
        (STORE, 0x20000000, r"writes 4 bytes at 0x20000000, which is read-only .*store_to\+0x2\)"),
        (JUMP, 0x1000, r"executes 2 bytes at 0x00001000, where nothing is mapped .*, jump_to\+"),
        (LOAD, 0x30000000, r"reads 4 bytes at 0x30000000, which only devices can .*load_from\+0x0\)"),
        (JUMP, 0x20000000, r"executes 2 bytes at 0x20000000, which is not for code .*, jump_to\+"),
        (LOAD, 0x10000800, r"load of 4 bytes at 0x10000800 meets no device register .*load_from\+0x0\)"),
        (STORE, 0x10000214, r"store of 4 bytes at 0x10000214 meets no device register .*store_to\+0x2\)"),
        (STORE, 0x10000204, r"no register 4 \(pc .*store_to\+0x2\)"),
        (SPIN, 0, r"does not end within 100000 cycles .*, spin\+0x"),
        (ILLEGAL, 0, r"cannot go on: .*, main\+|cannot go on: .*, run\+"),
        (HALT, 0, r"halts without having ended the program"),
    ],
)
def test_fault_says_what_and_where(cases_elf: Path, case: int, argument: int, message: str):
    rom = Region("rom", 0x20000000, 0x1000, writable=False)
    remote = Region("remote", 0x30000000, 0x1000, writable=False, loadable=False)
    with pytest.raises(SimFault, match=message):
        _run(_machine(cases_elf, rom, remote), case, argument)


def test_memory_that_the_cpu_cannot_load_holds_bytes(cases_elf: Path):
    machine = _machine(cases_elf, Region("remote", 0x30000000, 0x1000, writable=False, loadable=False))
    machine.write(0x30000010, b"\x78\x56")
    assert machine.read(0x30000010, 3) == b"\x78\x56\x00"


def test_memory_of_a_read_only_region_can_be_read(cases_elf: Path):
    machine = _machine(cases_elf, Region("rom", 0x20000000, 0x1000, writable=False))
    machine.write(0x20000010, b"\x78\x56\x34\x12")
    assert _run(machine, LOAD, 0x20000010)[0] == 0x12345678


def test_misaligned_access_is_allowed(cases_elf: Path):
    machine = _machine(cases_elf)
    address, _ = machine.symbol("buffer")
    assert _run(machine, LOAD, address + 2)[0] == 0x00020000


def test_exception_of_a_device_keeps_its_type_and_names_the_place(cases_elf: Path):
    with pytest.raises(KeyError) as raised:
        _run(_machine(cases_elf), LOAD, 0x10000200)
    assert "load_from+0x0" in raised.value.__notes__[0]


def test_waiting_moves_the_clock_and_is_not_cpu_time(cases_elf: Path):
    machine = _machine(cases_elf)
    polls, result = _run(machine, JOB)
    assert polls == 2
    assert result.cpu_cycles == result.instructions
    (job,) = result.trace.intervals
    assert (job.unit, job.what, job.cycles, job.bytes) == ("worker", "job", 1000, 16)
    waited = result.cycles - result.cpu_cycles
    assert 990 < waited < 1000  # all but the few instructions from the start of the job to the poll


def test_the_pipeline_of_the_core_is_charged(cases_elf: Path):
    rounds = 50
    cycles, _ = _run(Machine(SmallSoc(PIPELINE_COSTS).soc, cases_elf), LOOP, rounds)
    taken, not_taken = 5 + 1 + 3, 5 + 1 + 1
    load_and_use = 1 + 1 + 1
    assert cycles == 1 + (rounds - 1) * taken + not_taken + load_and_use


def test_device_accesses_cost_what_the_core_says(cases_elf: Path):
    _, fast = _run(_machine(cases_elf), LOAD, 0x10000000)
    _, slow = _run(_machine(cases_elf, mmio=5), LOAD, 0x10000000)
    accesses = 1 + 2 * 18 + 1  # the load; a poll and a store for each character; the end
    assert slow.cycles - fast.cycles == 4 * accesses
    assert slow.instructions == fast.instructions


@pytest.mark.parametrize(("what", "value"), [(0, 2 + 5), (2, 40), (4, 0)])
def test_taint_leaves_other_and_rewritten_bytes_alone(cases_elf: Path, what: int, value: int):
    assert _run(_machine(cases_elf), TAINT, what)[0] == value


@pytest.mark.parametrize(("what", "reader"), [(1, "CPU"), (3, "CPU"), (5, "CPU"), (6, "device")])
def test_reading_a_tainted_byte_faults(cases_elf: Path, what: int, reader: str):
    machine = _machine(cases_elf)
    with pytest.raises(SimFault, match=rf"the {reader} reads 0x8.*unwritten bytes"):
        _run(machine, TAINT, what)
    machine.reset()
    assert _run(machine, LOAD, machine.symbol("buffer")[0] + 8)[0] == 3


def test_on_return_gives_the_arguments_of_every_call_in_the_order_of_returns(cases_elf: Path):
    machine = _machine(cases_elf)
    calls: list[tuple[int, ...]] = []
    machine.on_return("countdown", lambda arguments: calls.append(arguments[:2]))
    value, result = _run(machine, COUNTDOWN, 3)
    assert value == 3 + 2 + 1 + 1
    assert calls == [(0, 103), (1, 102), (2, 101), (3, 100), (0, 8), (1, 7)]
    assert result.instructions == _run(_machine(cases_elf), COUNTDOWN, 3)[1].instructions


def test_on_return_sees_memory_before_the_caller_goes_on(cases_elf: Path):
    machine = _machine(cases_elf)
    seen: list[bytes] = []
    machine.on_return("main", lambda _: seen.append(machine.read_symbol("observed")))
    assert _run(machine, LOAD, machine.symbol("buffer")[0])[0] == 1
    assert seen == [struct.pack("<I", 1)]


def test_error_in_on_return_ends_the_run(cases_elf: Path):
    def check(_: tuple[int, ...]) -> None:
        raise HtvmError("wrong tensor")

    machine = _machine(cases_elf)
    machine.on_return("load_from", check)
    with pytest.raises(SimFault, match=r"wrong tensor \(pc 0x8"):
        _run(machine, LOAD, machine.symbol("buffer")[0])


def test_the_program_ends_with_the_store_that_says_so(cases_elf: Path):
    _, result = _run(_machine(cases_elf), EXIT, 42)
    assert result.exit_code == 42
    assert result.cycles == result.instructions


def test_reset_restores_memory_time_and_trace(cases_elf: Path):
    machine = _machine(cases_elf)
    _, first = _run(machine, JOB)
    with pytest.raises(RuntimeError, match="reset"):
        machine.run()
    machine.reset()
    assert machine.read_symbol("selected") == machine.read_symbol("observed") == bytes(4)
    _, second = _run(machine, JOB)
    assert second == first


def test_stack_high_water_mark_grows_with_recursion(cases_elf: Path):
    shallow, deep = (_run(_machine(cases_elf), COUNTDOWN, depth)[1].stack_bytes for depth in (3, 43))
    assert 0 < shallow < deep
    assert (deep - shallow) % 40 == 0


def test_symbols_are_checked(cases_elf: Path):
    machine = _machine(cases_elf)
    with pytest.raises(HtvmError, match="no symbol nothing"):
        machine.symbol("nothing")
    with pytest.raises(HtvmError, match="selected has 4 bytes, but 3"):
        machine.write_symbol("selected", bytes(3))


def test_program_must_fit_the_memory(cases_elf: Path):
    tiny = SmallSoc(regions=(replace(RAM, size=0x1000),)).soc
    with pytest.raises(HtvmError, match=r"needs \d+ bytes more than small's ram has"):
        Machine(tiny, cases_elf)
    elsewhere = SmallSoc(regions=(replace(RAM, base=0x90000000),)).soc
    with pytest.raises(HtvmError, match="where small has no memory"):
        Machine(elsewhere, cases_elf)


def test_only_programs_for_the_core_are_loaded(tmp_path: Path):
    text = tmp_path / "text.elf"
    text.write_text("not a program")
    with pytest.raises(HtvmError, match="cannot load the program"):
        Machine(SmallSoc().soc, text)
    with pytest.raises(HtvmError, match="cannot load the program"):
        Machine(SmallSoc().soc, tmp_path / "missing.elf")
