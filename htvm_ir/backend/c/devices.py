"""When an application's device hooks are called: an engine is open while a kernel of it has begun and not ended."""

from __future__ import annotations

from collections.abc import Iterator

from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.dialects.func import CallOp, FuncOp
from xdsl.ir import Operation

from htvm_ir.backend.c.interface import Device

ENGINE = "accel.engine"
"""Attribute of a kernel function: the engine it runs on."""

KERNEL = "accel.kernel"
"""Attribute of a function that does a part of a kernel."""

Hooks = dict[Operation, tuple[list[str], list[str]]]
"""C calls before and after a call of a kernel."""


def devices_of(main: FuncOp, module: ModuleOp, target: str, engines: frozenset[str]) -> tuple[Device, ...]:
    """The engines whose kernels ``main`` calls, in order of their first call; ``engines`` are all there are."""
    found = dict.fromkeys(engine for _, engine, _ in _calls(main, module) if engine in engines)
    return tuple(Device(target, engine) for engine in found)


def hooks_of(main: FuncOp, module: ModuleOp, devices: tuple[Device, ...]) -> Hooks:
    """``Open`` before a kernel of a device and ``Close`` after it.

    Parts of kernels of one device may alternate, with jobs in flight between them: then the device stays open from
    the first of them to the last.
    """
    hooks: Hooks = {}
    for device in devices:
        calls = [(op, kernel) for op, engine, kernel in _calls(main, module) if engine == device.engine]
        for first, last in _sessions(calls):
            hooks.setdefault(first, ([], []))[0].append(f"{device.hook('Open')}({device.name})")
            hooks.setdefault(last, ([], []))[1].append(f"{device.hook('Close')}({device.name})")
    return hooks


def _sessions(calls: list[tuple[CallOp, str]]) -> Iterator[tuple[CallOp, CallOp]]:
    """First and last call of each stretch outside of which no kernel has begun and not ended."""
    ends = {kernel: index for index, (_, kernel) in enumerate(calls)}
    start = end = 0
    for index, (call, kernel) in enumerate(calls):
        end = max(end, ends[kernel])
        if index == end:
            yield calls[start][0], call
            start = end = index + 1


def _calls(main: FuncOp, module: ModuleOp) -> Iterator[tuple[CallOp, str, str]]:
    """Calls with the callee's engine and kernel."""
    functions = {f.sym_name.data: f for f in module.ops if isinstance(f, FuncOp)}
    for op in main.body.block.ops:
        if isinstance(op, CallOp):
            name = op.callee.string_value()
            attributes = functions[name].attributes
            yield op, _text(attributes.get(ENGINE), ""), _text(attributes.get(KERNEL), name)


def _text(attribute: object, default: str) -> str:
    return attribute.data if isinstance(attribute, StringAttr) else default
