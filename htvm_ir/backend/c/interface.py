"""How a caller meets the network in C: the forms that TVM's ahead-of-time executor has, by the names of its options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from htvm_ir.backend.c.names import Names, identifier
from htvm_ir.errors import HtvmError

if TYPE_CHECKING:
    from htvm_ir.backend.c.signature import Boundary, Parameter, Tensor
    from htvm_ir.targets.target import Memory

CALLS = ("c", "packed")
"""Structs of pointers, or arrays of DLTensors; the default first."""

WORKSPACES = ("static", "backend", "pools")
"""Who owns the arenas: the package, ``TVMBackendAllocWorkspace``, or the caller; the default first."""

PACKED = (
    ("TVMValue *", "args"),
    ("int *", "type_codes"),
    ("int ", "num_args"),
    ("TVMValue *", "out_value"),
    ("int *", "out_tcode"),
    ("void *", "resource_handle"),
)
"""Types and names of a packed function's parameters."""

NETWORK = "network"
"""The function with the network's calls where TVM's entry has more to do than that."""

OWN_NAMES = (NETWORK, "aligned", "tensor_data", "workspace", "status", *(name for _, name in PACKED))
"""What the entry functions use themselves."""

DTYPES = {"float": "float32", "double": "float64", "_Bool": "bool"}
"""TVM's names of C types; the others are called like the C type without ``_t``."""


@dataclass(frozen=True)
class Interface:
    """The user's choice.

    calls: one of CALLS. workspace: one of WORKSPACES. device_hooks: whether the application hears of each engine's use.
    pool_names: (memory, name) of pools that are not called like their memory.
    """

    calls: str = "c"
    workspace: str = "static"
    device_hooks: bool = False
    pool_names: tuple[tuple[str, str], ...] = ()

    def check(self) -> None:
        """Refuse what has no form.

        Raises:
            HtvmError: a packed function has no parameters for pools and devices (nor in TVM), or no pool has a name.
        """
        if self.pool_names and self.workspace != "pools":
            raise HtvmError("--pool-name names a pool that the caller gives; add --workspace=pools")
        extra = "--workspace=pools" if self.workspace == "pools" else "--device-hooks" if self.device_hooks else None
        if self.calls == "packed" and extra is not None:
            raise HtvmError(f"{extra} adds a parameter, which --interface=packed cannot have; use --interface=c")


@dataclass(frozen=True)
class Pool:
    """The arena of a memory: ``bytes`` of it are used, from a multiple of the memory's alignment on.

    name: member of ``struct tvmgen_<mod>_workspace_pools``.
    """

    memory: Memory
    bytes: int
    name: str

    @property
    def parameter(self) -> str:
        """What the entry function calls it."""
        return f"{self.name}_pool"

    @property
    def arena(self) -> str:
        """The C array or pointer that is the arena; no function is called like it."""
        return arena_symbol(self.memory.name)

    @property
    def room(self) -> int:
        """Bytes that hold the arena wherever they begin: what a caller gives or an allocator is asked for."""
        return self.bytes + self.memory.alignment


def pools_of(interface: Interface, arenas: Sequence[tuple[Memory, int]]) -> tuple[Pool, ...]:
    """The pools of all arenas, (memory, bytes), called like their memory or as the user wants.

    Raises:
        HtvmError: the user names a pool of a memory that has no arena, or two pools alike.
    """
    names = {memory.name: identifier(memory.name.lower()) for memory, _ in arenas}
    for memory, name in interface.pool_names:
        if memory not in names:
            known = f"pools are in {', '.join(names)}" if names else "the network needs no pool"
            raise HtvmError(f"--pool-name {memory}={name}: no pool is in memory '{memory}'; {known}")
        names[memory] = name
    if len({*names.values()}) < len(names):
        raise HtvmError(f"pools would be called alike ({', '.join(names.values())}); give each another --pool-name")
    return tuple(Pool(memory, size, names[memory.name]) for memory, size in arenas)


def arena_symbol(memory: str) -> str:
    """The C array that is the arena of a memory; no function is called like it, they begin with the module's name."""
    return identifier(f"arena_{memory.lower()}")


@dataclass(frozen=True)
class Device:
    """An engine that runs kernels of the module, as the application's hooks know it."""

    target: str
    engine: str

    @property
    def name(self) -> str:
        """Member of ``struct tvmgen_<mod>_devices``: the engine and whose it is."""
        return identifier(f"{self.target.split(',')[0]}_{self.engine}".lower())

    def hook(self, event: str) -> str:
        """The application's function for ``Activate``, ``Open``, ``Close`` or ``Deactivate``."""
        return f"TVMDevice{''.join(word.capitalize() for word in self.name.split('_'))}{event}"


@dataclass(frozen=True)
class Frame:
    """Everything the header and the entry functions of a module are made from.

    name: ``<mod>``. pools: arenas in memories that the CPU addresses. devices: engines in use, if hooks are wanted.
    """

    name: str
    title: str
    boundary: Boundary
    interface: Interface
    pools: tuple[Pool, ...]
    devices: tuple[Device, ...]

    def __post_init__(self) -> None:
        self.interface.check()
        if self.interface.workspace != "backend":
            return
        if len(self.pools) > 1:
            names = ", ".join(pool.memory.name for pool in self.pools)
            raise HtvmError(f"--workspace=backend cannot tell memories {names} apart; use --workspace=pools")
        if self.boundary.has_places:
            raise HtvmError(
                "--workspace=backend: the network's inputs and outputs have room inside the arena only, and the caller "
                "cannot fill it before the call; use --workspace=pools or static"
            )

    @property
    def prefix(self) -> str:
        """What all external names of the module begin with."""
        return f"tvmgen_{self.name}"

    @property
    def owns_arenas(self) -> bool:
        """Whether the arenas are arrays of the package."""
        return self.interface.workspace == "static"

    @property
    def given_pools(self) -> tuple[Pool, ...]:
        """The pools that the caller gives."""
        return self.pools if self.interface.workspace == "pools" else ()

    @property
    def workspace(self) -> int:
        """Bytes of all arenas; with the room to align them where they are not the package's own."""
        return sum(pool.bytes if self.owns_arenas else pool.room for pool in self.pools)

    @property
    def tensor_parameters(self) -> list[Parameter]:
        """Inputs, then outputs, called like nothing else in the functions that have them."""
        pools = chain.from_iterable((pool.arena, pool.parameter) for pool in self.pools)
        return self.boundary.parameters(Names((*OWN_NAMES, *pools, *(device.name for device in self.devices))))

    def facts(self, operators: Sequence[str], constants: int) -> dict[str, Any]:
        """What a report says of the interface; all sizes in bytes.

        In it, ``arenas`` has bytes by memory, ``pools`` the memory of each member of the struct, and ``devices`` how
        the names of their hooks begin.

        operators: C names of the kernels' functions. constants: bytes of all initialised data.
        """
        return {
            "module": self.name,
            "calls": self.interface.calls,
            "workspace": self.interface.workspace,
            "device_hooks": self.interface.device_hooks,
            "inputs": {t.name: _tensor_facts(t) for t in self.boundary.inputs},
            "outputs": {t.name: _tensor_facts(t) for t in self.boundary.outputs},
            "workspace_bytes": self.workspace,
            "arenas": {pool.memory.name: pool.bytes if self.owns_arenas else pool.room for pool in self.pools},
            "pools": {pool.name: pool.memory.name for pool in self.given_pools},
            "devices": {device.name: device.hook("") for device in self.devices},
            "constants_bytes": constants,
            "operators": list(operators),
        }


def _tensor_facts(tensor: Tensor) -> dict[str, Any]:
    return {"size": tensor.bytes, "dtype": DTYPES.get(tensor.element, tensor.element.removesuffix("_t"))}
