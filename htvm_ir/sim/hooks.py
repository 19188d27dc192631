"""Hooks that Unicorn calls directly.

Unicorn's own binding wraps a Python callback twice, which more than doubles what a hook costs, and a hook that is
called for every basic block is where an emulation spends its time. The binding also frees a callback when its hook is
deleted, even within that callback.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from unicorn import UC_HOOK_BLOCK, UC_HOOK_MEM_READ, UC_HOOK_MEM_WRITE
from unicorn.unicorn import Uc, UcError
from unicorn.unicorn_py3.unicorn import uclib

BlockCallback = Callable[[int, int, int, int], None]
"""(engine, address, size in bytes, unused), before a block is executed. Must not raise."""

AccessCallback = Callable[[int, int, int, int, int, int], None]
"""(engine, UC_MEM_READ or UC_MEM_WRITE, address, size in bytes, value, unused), before an access. Must not raise."""

_BLOCK_SIGNATURE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_void_p)
_ACCESS_SIGNATURE = ctypes.CFUNCTYPE(
    None,
    ctypes.c_void_p,
    ctypes.c_int,
    ctypes.c_uint64,
    ctypes.c_int,
    ctypes.c_int64,
    ctypes.c_void_p,
)
_EVERYWHERE = (1, 0)  # an empty range means all addresses


class DirectHooks:
    """The block hook, and memory access hooks on ranges, of one engine. Must live as long as the engine runs."""

    def __init__(self, uc: Uc, on_block: BlockCallback, on_access: AccessCallback) -> None:
        self._engine = uc._uch  # pyright: ignore[reportPrivateUsage]
        self._on_block = _BLOCK_SIGNATURE(on_block)
        self._on_access = _ACCESS_SIGNATURE(on_access)
        self._add(UC_HOOK_BLOCK, self._on_block, *_EVERYWHERE)

    def add_access(self, first: int, last: int) -> int:
        """Report accesses that begin in [first, last]; the handle is for `remove`."""
        return self._add(UC_HOOK_MEM_READ | UC_HOOK_MEM_WRITE, self._on_access, first, last)

    def remove(self, handle: int) -> None:
        """End a hook; allowed within its callback."""
        _check(uclib.uc_hook_del(self._engine, ctypes.c_size_t(handle)))

    def _add(self, kind: int, callback: object, first: int, last: int) -> int:
        handle = ctypes.c_size_t()
        _check(uclib.uc_hook_add(self._engine, ctypes.byref(handle), kind, callback, None, first, last))
        return handle.value


def _check(status: int) -> None:
    if status:
        raise UcError(status)
