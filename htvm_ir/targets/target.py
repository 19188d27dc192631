"""The vocabulary in which a system on chip is described: one literal per target, one contract per engine.

A target outside this package is a module with one :class:`Target` and an entry point in the group ``htvm_ir.targets``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from htvm_ir.settings import Setting
from htvm_ir.targets.layout import Layout
from htvm_ir.targets.word_moves import workload_move
from htvm_ir.targets.workload import Approximation, Tile, Workload
from htvm_ir.tiling.problem import Problem

if TYPE_CHECKING:
    from htvm_ir.targets.soc import Soc
    from htvm_ir.tiling import dory

Bytes = NDArray[np.uint8]

Loops = tuple[tuple[int, int], ...]
"""How a transfer walks through a buffer: (count, stride in bytes) of each loop, outermost first."""


@dataclass(frozen=True)
class Memory:
    """A memory a buffer can live in.

    size: bytes. alignment: bytes every buffer's offset and size is rounded up to.
    host: whether the CPU can load and store here.
    constant_section, arena_section: C attributes that place initialised data and the arena here ('' = none needed).
    reserved: bytes of ``size`` that are not the compiler's (code, stack).
    """

    name: str
    size: int
    alignment: int
    host: bool = True
    constant_section: str = ""
    arena_section: str = ""
    reserved: int = 0


@dataclass(frozen=True)
class Channel:
    """A DMA channel from one memory to another.

    start: cycles before the first byte. bytes_per_cycle: throughput. granule: every contiguous piece is rounded up to
    this many bytes. pieces: each contiguous piece is a transfer of its own (no strides in hardware).
    software: CPU cycles to start and wait for one piece, as predicted. overlaps: whether it moves data while the
    engine computes. function, wait: C functions ``function(to, from, length, count, stride, count2, stride2)`` and
    ``wait()``. queue: how many transfers it takes before it has done the first; if more than one, ``wait(n)`` returns
    when at most the last ``n`` of those started are not done. bank_stride: bytes between the banks of the local memory
    over which a transfer can deal its data; then ``function`` takes the number of banks as its last argument. 0 = it
    knows no banks. port: what it moves its bytes through; channels of the same port take turns. lent_by: the engine
    whose DMA this is, if it is not the one that computes on the tiles: ``overlaps`` then. That engine has no job in the
    meantime, all channels it lends do one transfer at a time, and the CPU drives those of several pieces. '' = its own.
    """

    name: str
    source: str
    destination: str
    start: int
    bytes_per_cycle: int
    granule: int
    pieces: bool
    software: int
    overlaps: bool
    function: str
    wait: str
    queue: int = 1
    bank_stride: int = 0
    port: str = ""
    lent_by: str = ""

    def cycles(self, length: int, count: int = 1) -> int:
        """Cycles of ``count`` contiguous pieces of ``length`` bytes each."""
        moved = -(-length // self.granule) * self.granule
        each = -(-moved // self.bytes_per_cycle)
        return count * (self.start + each) if self.pieces else self.start + count * each


@dataclass(frozen=True)
class Job:
    """One call of an engine: which of its kernels, and the numbers that configure it.

    Operand addresses are not part of it; they are known after memory planning.
    """

    kernel: str
    fields: Mapping[str, int]

    def __getitem__(self, name: str) -> int:
        return self.fields[name]


@dataclass(frozen=True)
class Data:
    """A constant array the emitted call refers to (a prebuilt instruction list, for example).

    words: unsigned 32-bit words. memory: where it must lie.
    """

    words: tuple[int, ...]
    memory: str


@dataclass(frozen=True)
class Call:
    """A C call: ``function(arguments...)``. An argument is C text, a number, or Data the printer names and places."""

    function: str
    arguments: tuple[str | int | Data, ...]


BUFFERS: tuple[str, str, str] = ("inputs", "constants", "output")
"""Choices a tiling problem may have: how many tiles of an operand (all inputs alike) have a buffer at one time."""


class Engine(ABC):
    """The contract of one accelerator: what it takes, how it is fed, what it costs, and what it computes.

    Attributes:
        name: symbol in the IR, option of ``--engines`` and label in reports.
        local: memory the input and output tiles of a job live in.
        constants: memory the packed constants live in, from where a job streams them.
        load, store: names of the channels that fill and drain ``local``.
        wait: C function that returns when the last started job is done.
        buffers: how many tiles of each operand have room in ``local`` at one time (2 = double buffering), where the
            tiling problem has no choice of BUFFERS.
        constants_local, load_constants: memory into which the constants of a tile are brought before its job reads
            them, and the channel that does it; '' = jobs stream them from ``constants`` themselves.
        kinds: the kinds of workload it computes at all; ``match`` says which of them.
    """

    name: str
    local: str
    constants: str
    load: str
    store: str
    wait: str
    buffers: int = 1
    constants_local: str = ""
    load_constants: str = ""
    kinds: tuple[str, ...]

    @abstractmethod
    def match(self, workload: Workload) -> str | None:
        """None if the engine computes the workload bit-exactly, else the reason in words and what would change it."""

    def approximate(self, workload: Workload) -> Approximation | str:
        """How to compute a refused convolution with an error, or why not even that is possible."""
        del workload
        return f"the {self.name} engine computes exactly or not at all"

    def mappings(self, workload: Workload) -> tuple[str, ...]:
        """The ways it can compute an accepted workload, the usual one first.

        Every other method looks at ``workload.mapping``: tiles, constants, cycles and jobs may depend on it.
        """
        del workload
        return ("",)

    @abstractmethod
    def layouts(self, workload: Workload) -> tuple[Layout, ...]:
        """Stored layout of each activation input, then of the output."""

    def channels(self, buffered: bool) -> tuple[str, str]:
        """Those of ``load`` and ``store`` that a nest uses; buffered: whether an operand has several buffers.

        One without may take others, if they cost the same.
        """
        del buffered
        return self.load, self.store

    def may_stay(self, workload: Workload) -> frozenset[int]:
        """Operands (inputs, then the output) that may be ``resident``: none unless the engine says so.

        With any set of these in ``workload.resident``, :meth:`problem` has only tiles that are contiguous bytes of each
        resident operand in tile order, counts all its bytes, and none of its transfers. A tile may have gaps that the
        job leaves alone, if :meth:`local_bytes` of the tile's workload, which has ``whole``, counts them.
        """
        del workload
        return frozenset()

    @abstractmethod
    def problem(self, workload: Workload, target: Target) -> Problem:
        """The tiling problem: legal tiles, bytes in each memory, predicted cycles; its choices are of BUFFERS.

        It follows from the workload, of constants from their shapes and sizes only, and from memories and channels.
        """

    def baseline(self, workload: Workload, target: Target) -> tuple[dory.Layer, dory.Budget] | None:
        """The workload and the memories as HTVM's tiler sees them; None: it has no rules for this engine."""
        del workload, target
        return None

    @abstractmethod
    def pack(self, workload: Workload) -> Bytes:
        """The constants of the whole workload as the engine reads them; empty if it has none."""

    @abstractmethod
    def packed_range(self, workload: Workload, tile: Tile) -> tuple[int, int]:
        """Byte offset and size inside :meth:`pack` of what a tile's job reads."""

    @abstractmethod
    def local_bytes(self, workload: Workload) -> tuple[int, ...]:
        """Bytes in ``local`` for each input tile and the output tile of a (tile) workload, slack included."""

    def local_loops(self, workload: Workload, index: int) -> Loops | None:
        """How the transfer of an operand (inputs, then output) of a tile walks through its buffer; None: straight."""
        del workload, index
        return None

    @abstractmethod
    def job(self, workload: Workload) -> Job:
        """The job that computes a (tile) workload whose operands lie packed in ``local`` or as ``may_stay`` says."""

    @abstractmethod
    def cycles(self, job: Job) -> int:
        """Cycles the engine is busy with a job, its constants' stream included."""

    def preparation(self, job: Job) -> int | None:
        """Cycles of what the CPU does for a job before its start, and can do while the engine works; None: nothing.

        They are not part of :meth:`cycles`. What is prepared has room for one job.
        """
        del job
        return None

    def prepare(self, job: Job, inputs: Sequence[int], output: int, beside: bool) -> Call:
        """The C call that does so, with the operand addresses of :meth:`call`; asked for if there is anything to do.

        beside: the engine works meanwhile, on a job that nothing was prepared for.
        """
        raise NotImplementedError(f"the {self.name} engine prepares nothing for {job.kernel}")

    def detached(self, job: Job) -> int:
        """Of these, cycles for which it goes on after the call that starts it: all, unless the CPU has to drive it."""
        return self.cycles(job)

    @abstractmethod
    def execute(self, job: Job, inputs: Sequence[Bytes], constants: Bytes, output: Bytes) -> None:
        """The exact arithmetic of a job on bytes; writes ``output`` in place."""

    def overwrites(self, job: Job) -> frozenset[int]:
        """Inputs over which a job may write its output, from the same address on: none unless the engine says so."""
        del job
        return frozenset()

    @abstractmethod
    def call(self, job: Job, inputs: Sequence[int], output: int, constants: str) -> Call:
        """The C call that starts a job: operand addresses in ``local``, C expression of the constants.

        Constants in a memory that the CPU cannot address are a number, their address there.
        """


@dataclass(frozen=True)
class Host:
    """The CPU and what its loops cost, for reports and plans; the virtual SoC counts what they really take.

    call: cycles to call a function and return. per_mac: cycles of a multiply-accumulate. per_float: of an operation on
    numbers of floating point, done in software (measured on the virtual SoC). per_word, per_row: of a word moved as it
    is, and of each row of words. per_element: cycles of an element read or written, whichever are more, by kind of
    kernel, with ``other`` for the rest.
    """

    name: str = "cpu"
    call: int = 20
    per_mac: int = 6
    per_float: int = 60
    per_word: int = 2
    per_row: int = 6
    per_element: Mapping[str, int] = field(
        default_factory=lambda: {"convert_layout": 3, "pool": 3, "add": 16, "other": 6}
    )

    def cycles(self, workload: Workload, layouts: Sequence[Layout] = ()) -> int:
        """Predicted cycles of a kernel; ``layouts`` of its inputs and its output, none = row-major."""
        if workload.work:
            return workload.work * self.per_float
        words = workload_move(workload, layouts) if layouts else None
        if words is not None:
            return prod(words.stored) * self.per_word + prod(words.stored[:-1]) * self.per_row
        read = () if workload.kind == "slice" else workload.inputs  # of a slice only what is written
        elements = max(tensor.size for tensor in (*read, workload.output))
        each = self.per_element.get(workload.kind, self.per_element["other"])
        return workload.macs * self.per_mac + elements * each


@dataclass(frozen=True)
class Target:
    """One system on chip.

    host_memory: where activations live between kernels. engines: in order of preference.
    constant_price: cycles a byte of constants has to save, where ways to compute a layer differ in both.
    direct_edges: transfers may read and write the caller's buffers, which lie in ``host_memory`` and which no transfer
        overruns; otherwise only the CPU touches them.
    prefetches: transfers of a kernel may go on beside the jobs of its neighbours, on channels with a queue.
    headers: C headers of the run-time library. soc: makes the virtual SoC, if there is one; keyword arguments replace
    ``parameters`` of its devices. parameters: numbers and switches that ``--target NAME,PARAMETER=VALUE`` changes (see
    ``registry.GROUP``), with their values.
    peak_macs: multiply-accumulates a cycle of its fastest exact array, 0 = not stated. limit: (convolutions, dense
    layers and sums of a network, bytes of its inputs and outputs) -> cycles that measured ones are divided by.
    functional: by engine, a C file that implements its driver on any machine, without its time; it includes the
        driver's header, and is given the size of each memory the CPU cannot address as ``HTVM_<MEMORY>_BYTES``.
    """

    name: str
    description: str
    clock_hz: int
    memories: tuple[Memory, ...]
    channels: tuple[Channel, ...]
    engines: tuple[Engine, ...]
    host_memory: str
    direct_edges: bool = False
    prefetches: bool = True
    host: Host = Host()
    constant_price: float = 0.0
    headers: tuple[str, ...] = ()
    soc: Callable[..., Soc] | None = None
    parameters: Mapping[str, Setting] = field(default_factory=dict[str, Setting])
    peak_macs: int = 0
    limit: Callable[[Sequence[Workload], int], int] | None = None
    functional: Mapping[str, Path] = field(default_factory=dict[str, Path])

    def memory(self, name: str) -> Memory:
        """The memory called ``name``; KeyError if there is none."""
        return next(m for m in self.memories if m.name == name)

    def channel(self, name: str) -> Channel:
        """The channel called ``name``."""
        return next(c for c in self.channels if c.name == name)

    def engine(self, name: str) -> Engine:
        """The engine called ``name``."""
        return next(e for e in self.engines if e.name == name)
