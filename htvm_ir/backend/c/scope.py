"""What a C file of the package knows: the target, the names in it, and the static data it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.memref import GlobalOp
from xdsl.ir import Operation

from htvm_ir.backend.c.arrays import definition, global_text, words_text
from htvm_ir.backend.c.effects import Effects
from htvm_ir.backend.c.names import Names
from htvm_ir.backend.c.tokens import Flow
from htvm_ir.backend.c.types import buffer_bytes, memory_space
from htvm_ir.dialects.accel import TARGET, TargetAttr
from htvm_ir.errors import HtvmError
from htvm_ir.targets.registry import target_with_engines
from htvm_ir.targets.target import Data, Memory, Target


def module_target(module: ModuleOp) -> Target:
    """The target of a module.

    Raises:
        HtvmError: it has none.
    """
    attribute = module.attributes.get(TARGET)
    if not isinstance(attribute, TargetAttr):
        raise HtvmError("C needs a target for its memories and engines; run set-target first")
    return target_with_engines(attribute.target.data, attribute.engine_names)


@dataclass
class CFile:
    """One C file being written: file-scope names and data.

    prefix: what external names start with, ``tvmgen_<mod>``. functions: C names of the module's functions.
    arenas: C array of each memory whose buffers this file may address. hooks: C calls before and after a call of a
    kernel, which end the function with -1 unless they return 0. data_bytes: bytes of the static data so far.
    """

    target: Target
    module: ModuleOp
    effects: Effects
    prefix: str
    functions: dict[str, str]
    arenas: dict[str, str] = field(default_factory=dict[str, str])
    hooks: Mapping[Operation, tuple[list[str], list[str]]] = field(
        default_factory=dict[Operation, tuple[list[str], list[str]]]
    )
    data: list[str] = field(default_factory=list[str])
    data_bytes: int = field(default=0, init=False)
    names: Names = field(init=False)
    flow: Flow = field(init=False)
    _tables: dict[Data, str] = field(default_factory=dict[Data, str], init=False)

    def __post_init__(self) -> None:
        self.flow = Flow(self.module)
        self.names = Names((*self.functions.values(), *self.arenas.values()))
        # Named before any function is printed, so that no local variable hides one.
        self._globals = {op.sym_name.data: op for op in self.module.ops if isinstance(op, GlobalOp)}
        self._global_names = {symbol: self.names.unique(symbol) for symbol in self._globals}
        self._defined: set[str] = set()

    def memory(self, space: str | None) -> Memory:
        """The memory behind a memory space; none is the host's.

        Raises:
            HtvmError: the target has no such memory.
        """
        name = space or self.target.host_memory
        known = [memory.name for memory in self.target.memories]
        if name not in known:
            raise HtvmError(f"target '{self.target.name}' has no memory '{name}'; it has {', '.join(known)}")
        return self.target.memory(name)

    def global_name(self, symbol: str) -> str:
        """The C array of a ``memref.global``; defined in this file from its first use on.

        Raises:
            HtvmError: no such global.
        """
        if symbol not in self._globals:
            raise HtvmError(f"memref.get_global @{symbol} names no memref.global")
        name = self._global_names[symbol]
        if symbol not in self._defined:
            op = self._globals[symbol]
            memory = self.memory(memory_space(op.type))
            section = memory.constant_section if op.constant is not None else ""
            self.data.append(global_text(op, name, section, memory.alignment))
            self.data_bytes += buffer_bytes(op.type)
            self._defined.add(symbol)
        return name

    def add_source(self, text: str) -> None:
        """C definitions that come from elsewhere, once, before what uses them."""
        if text not in self.data:
            self.data.append(text)

    def table_name(self, table: Data, wanted: str) -> str:
        """The C array of words an engine reads; equal ones are defined once."""
        if table not in self._tables:
            name = self.names.unique(wanted)
            memory = self.memory(table.memory)
            head = f"static const _Alignas({memory.alignment}) uint32_t {name}[{len(table.words)}]"
            section = memory.constant_section
            text = definition(head, section, words_text(table.words))
            self.data.append(f"// {name}: {len(table.words)} words for an engine.\n{text}")
            self.data_bytes += 4 * len(table.words)
            self._tables[table] = name
        return self._tables[table]
