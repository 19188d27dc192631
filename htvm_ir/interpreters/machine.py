"""What a run keeps besides SSA values: memories, tokens in flight, the target, and who watches."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, IntegerAttr, ModuleOp, StringAttr
from xdsl.ir import Attribute, Operation
from xdsl.utils.exceptions import InterpretationError

from htvm_ir.dialects.accel import TARGET, TargetAttr
from htvm_ir.dialects.graph import NAME
from htvm_ir.interpreters.numpy_types import Array
from htvm_ir.targets.registry import target_with_engines
from htvm_ir.targets.target import Bytes, Engine, Target

Order = Literal["eager", "lazy", "checked"]
"""When a transfer or job takes effect: at its start, or at its wait. A correct program gives equal results in both.

A checked run is eager, and fails where one of two things in flight together writes what the other uses.
"""

Capture = Callable[[str, Array], None]

ALIASES = "graph.aliases"
"""Discardable attribute: further ONNX names of the tensor ``graph.name`` names."""

ARENA = "accel.arena"
"""Module attribute: bytes of the arena in each memory, after memory planning."""

POISON = 0xA5
"""What every byte of a fresh buffer holds, so that a missing write shows."""


def tensor_names(attributes: dict[str, Attribute]) -> tuple[str, ...]:
    """The ONNX names an op's or argument's attributes give its tensor, the primary one first."""
    name, aliases = attributes.get(NAME), attributes.get(ALIASES)
    names = [name.data] if isinstance(name, StringAttr) else []
    if isinstance(aliases, ArrayAttr):
        names += [alias.data for alias in aliases if isinstance(alias, StringAttr)]
    return tuple(names)


@dataclass(eq=False)
class Token:
    """A transfer or job that has started; ``effect`` is what its wait still has to do."""

    started_by: str
    effect: Callable[[], None] | None
    reads: Sequence[Array]
    writes: Array
    waited: bool = False

    def conflicts(self, other: Token) -> bool:
        """Whether one of the two writes bytes that the other reads or writes."""
        pairs = [(self.writes, x) for x in (*other.reads, other.writes)] + [(x, other.writes) for x in self.reads]
        return any(np.shares_memory(a, b) for a, b in pairs)


@dataclass(eq=False)
class Machine:
    """The state of one run.

    order: see Order. overlay: buffers lie at their planned offsets in one arena per memory, so that a wrong plan shows.
    target: runs the jobs; None = the one the module names. capture: called with name and value of each named tensor.
    """

    module: ModuleOp
    order: Order = "eager"
    overlay: bool = False
    target: Target | None = None
    capture: Capture | None = None
    globals: dict[str, Array] = field(default_factory=dict[str, Array])
    _arenas: dict[str, Bytes] = field(default_factory=dict[str, Bytes])
    _in_flight: set[Token] = field(default_factory=set[Token])
    _prepared: dict[str, tuple[object]] = field(default_factory=dict[str, tuple[object]])

    def engine(self, name: str) -> Engine:
        """The engine that runs the jobs of ``name``.

        Raises:
            InterpretationError: the module names no target, or its target lacks the engine.
        """
        if self.target is None:
            attribute = self.module.attributes.get(TARGET)
            if not isinstance(attribute, TargetAttr):
                raise InterpretationError(f"the module has no {TARGET} to run jobs on")
            self.target = target_with_engines(attribute.target.data, attribute.engine_names)
        for engine in self.target.engines:
            if engine.name == name:
                return engine
        raise InterpretationError(f"target '{self.target.name}' has no engine '{name}'")

    def prepare(self, engine: str, job: object) -> object:
        """Make a job ready for an engine, which has room for one: InterpretationError if another is not started yet."""
        if engine in self._prepared:
            raise InterpretationError(f"@{engine} is prepared twice before a launch")
        self._prepared[engine] = (job,)
        return self._prepared[engine]

    def use_prepared(self, engine: str, prepared: object, job: object) -> None:
        """Start what was made ready; InterpretationError if that is something else."""
        found = self._prepared.pop(engine, None)
        if found is None or found is not prepared or found != (job,):
            raise InterpretationError(f"a job of @{engine} is not the one that was prepared")

    def start(self, started_by: str, effect: Callable[[], None], reads: Sequence[Array], writes: Array) -> Token:
        """Start a transfer or job that uses these buffers.

        Raises:
            InterpretationError: in a checked run, it races with something in flight.
        """
        token = Token(started_by, effect if self.order == "lazy" else None, reads, writes)
        rivals = [other for other in self._in_flight if self.order == "checked" and token.conflicts(other)]
        if rivals:
            others = ", ".join(sorted(other.started_by for other in rivals))
            raise InterpretationError(f"{started_by} races with {others}, still in flight")
        if self.order != "lazy":
            effect()
        self._in_flight.add(token)
        return token

    def wait(self, token: Token) -> None:
        """Finish it; InterpretationError if that was done before."""
        if token.waited:
            raise InterpretationError(f"the token of {token.started_by} is waited for twice")
        if token.effect is not None:
            token.effect()
        token.waited = True
        self._in_flight.discard(token)

    @contextmanager
    def frame(self, function: str) -> Generator[list[object]]:
        """A function call: whatever it starts it must also wait for, or return; its results belong into the list."""
        before, results = set(self._in_flight), list[object]()
        yield results
        leaked = sorted(token.started_by for token in self._in_flight - before if token not in results)
        if leaked:
            raise InterpretationError(f"@{function} returns without waiting for {', '.join(leaked)}")

    def arena(self, memory: str) -> Bytes:
        """The bytes that all planned buffers of a memory share."""
        if memory not in self._arenas:
            sizes = self.module.attributes.get(ARENA)
            size = sizes.data.get(memory) if isinstance(sizes, DictionaryAttr) else None
            if not isinstance(size, IntegerAttr):
                raise InterpretationError(f"{ARENA} has no size for memory '{memory}'; plan the memory first")
            self._arenas[memory] = np.full(size.value.data, POISON, np.uint8)
        return self._arenas[memory]

    def place(self, memory: str, start: int, size: int) -> Bytes:
        """Part of the arena; InterpretationError if it does not lie inside."""
        arena = self.arena(memory)
        if start < 0 or start + size > arena.size:
            raise InterpretationError(
                f"bytes {start} to {start + size} are outside the {arena.size} of {memory}'s arena"
            )
        return arena[start : start + size]

    def record(self, op: Operation, value: Array) -> None:
        """Show the tensor an op produced to whoever watches."""
        if self.capture is not None:
            for name in tensor_names(op.attributes):
                self.capture(name, value)

    @contextmanager
    def unwatched(self) -> Generator[None]:
        """While tiles are computed: values here are parts of tensors, not tensors."""
        capture, self.capture = self.capture, None
        try:
            yield
        finally:
            self.capture = capture
