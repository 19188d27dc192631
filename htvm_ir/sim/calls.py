"""Watching functions return, without changing the program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from htvm_ir.sim.core import Core

_RA, _SP, _A0, _ARGUMENTS = 1, 2, 10, 8

ReturnCallback = Callable[[tuple[int, ...]], None]
"""Called with a0..a7 as they were on entry to the function that has now returned."""


@dataclass(frozen=True, slots=True)
class _Call:
    """A call in progress. The stack pointer tells a return from a deeper call of a recursive function."""

    return_address: int
    stack_pointer: int
    arguments: tuple[int, ...]
    callback: ReturnCallback


class CallWatch:
    """The calls in progress of the functions that somebody wants to see return."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._callbacks: dict[int, list[ReturnCallback]] = {}
        self._in_progress: list[_Call] = []

    def on_return(self, function: int, callback: ReturnCallback) -> None:
        """Call `callback` whenever the function at this address has returned, before its caller goes on."""
        self._callbacks.setdefault(function, []).append(callback)
        self._core.watch_execution(function, partial(self._arrive, function))

    def reset(self) -> None:
        """Forget the calls in progress."""
        self._in_progress.clear()

    def _arrive(self, address: int) -> None:
        stack_pointer = self._core.register(_SP)
        while self._in_progress and self._is_return(self._in_progress[-1], address, stack_pointer):
            call = self._in_progress.pop()
            call.callback(call.arguments)
        for callback in self._callbacks.get(address, ()):
            self._enter(stack_pointer, callback)

    @staticmethod
    def _is_return(call: _Call, address: int, stack_pointer: int) -> bool:
        return call.return_address == address and call.stack_pointer == stack_pointer

    def _enter(self, stack_pointer: int, callback: ReturnCallback) -> None:
        return_address = self._core.register(_RA)
        arguments = tuple(self._core.register(_A0 + index) for index in range(_ARGUMENTS))
        self._in_progress.append(_Call(return_address, stack_pointer, arguments, callback))
        self._core.watch_execution(return_address, partial(self._arrive, return_address))
