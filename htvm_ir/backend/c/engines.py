"""Transfers and jobs as calls of the target's run-time library."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, takewhile
from typing import Protocol

from xdsl.dialects.builtin import MemRefType
from xdsl.ir import Attribute, Operation, SSAValue

from htvm_ir.backend.c.scope import CFile
from htvm_ir.backend.c.tokens import Flow
from htvm_ir.backend.c.types import element_bytes, memref_type
from htvm_ir.dialects.accel import AwaitOp, LaunchOp, PrepareOp
from htvm_ir.dialects.dma import MAX_DIMENSIONS, StartOp, WaitOp, transfer_shape
from htvm_ir.errors import HtvmError
from htvm_ir.targets.target import Call, Channel, Data, Engine, Job


class Values(Protocol):
    """What the texts of transfers and jobs need to know of the function they are in."""

    file: CFile
    function: str

    def text(self, value: SSAValue) -> str:
        """The C expression of a value."""
        ...

    def address(self, value: SSAValue) -> int | None:
        """The byte address of a buffer the CPU cannot address."""
        ...

    def fail(self, op: Operation, why: str) -> HtvmError:
        """The error for an op that C has no form for."""
        ...


def _pointer(values: Values, buffer: SSAValue) -> str:
    address = values.address(buffer)
    return values.text(buffer) if address is None else str(address)


def _channel(values: Values, op: StartOp) -> Channel:
    name = op.channel.string_value()
    target = values.file.target
    known = [channel.name for channel in target.channels]
    if name not in known:
        raise values.fail(op, f"target '{target.name}' has no channel '{name}'; it has {', '.join(known)}")
    return target.channel(name)


def transfer(values: Values, op: StartOp) -> str:
    """``function(to, from, length, count, stride, count2, stride2);``, all in bytes; then the number of banks, if any.

    The side the CPU cannot address is packed, or lies in banks; the strides are those of the other.

    Raises:
        HtvmError: the packed side has gaps.
    """
    channel = _channel(values, op)
    packed, strided = op.source, op.destination
    if values.address(packed) is None:
        packed, strided = strided, packed
    banks = _banks(memref_type(packed), channel)
    if banks is None:
        raise values.fail(op, f"the buffer in the local memory must be contiguous, not {packed.type}")
    size = element_bytes(memref_type(strided).element_type)
    loops = transfer_shape(memref_type(strided))
    length = loops.pop()[0] * size
    numbers = [length]
    for count, stride in reversed(loops):
        numbers += [count, stride * size]
    numbers += [1, 0] * (MAX_DIMENSIONS - 1 - len(loops))
    numbers += [banks] if channel.bank_stride else []
    arguments = [_pointer(values, op.destination), _pointer(values, op.source), *(str(n) for n in numbers)]
    return f"{channel.function}({', '.join(arguments)});"


def _banks(type_: MemRefType[Attribute], channel: Channel) -> int | None:
    """Over how many banks a local buffer is dealt; None if it is not contiguous within each of them."""
    size = element_bytes(type_.element_type)
    loops = transfer_shape(type_)
    dealt = [count for count, stride in loops if stride * size == channel.bank_stride]
    within = [(count, stride) for count, stride in loops if stride * size != channel.bank_stride]
    touching = all(outer[1] == inner[0] * inner[1] for outer, inner in pairwise(within))
    return (dealt or [1])[0] if len(dealt) <= 1 and touching else None


def transfer_done(values: Values, op: WaitOp) -> str:
    """``wait();`` of the channel the token comes from; ``wait(n);`` if ``n`` transfers may be left in its queue."""
    start = values.file.flow.origin(op.token)
    if not isinstance(start, StartOp):
        raise values.fail(op, "the token must come from a dma.start")
    channel = _channel(values, start)
    return f"{channel.wait}({_started_since(start, op, values.file.flow) if channel.queue > 1 else ''});"


def _started_since(start: StartOp, wait: WaitOp, flow: Flow) -> int:
    """Transfers that a channel was given after one of them and before its wait."""
    between = takewhile(lambda op: op is not wait, flow.followers(start))
    return sum(isinstance(op, StartOp) and op.channel == start.channel for op in between)


def _engine(values: Values, op: LaunchOp | PrepareOp) -> Engine:
    target = values.file.target
    known = [engine.name for engine in target.engines]
    if op.engine_name not in known:
        raise values.fail(op, f"target '{target.name}' has no engine '{op.engine_name}' in this module")
    return target.engine(op.engine_name)


def _addresses(values: Values, op: LaunchOp | PrepareOp, buffers: Sequence[SSAValue]) -> list[int]:
    addresses = [values.address(buffer) for buffer in buffers]
    known = [address for address in addresses if address is not None]
    if len(known) != len(addresses):
        raise values.fail(op, f"operands must lie in the local memory of engine '{op.engine_name}'")
    return known


def launch(values: Values, op: LaunchOp) -> str:
    """The call the engine's contract asks for; its tables become static arrays of the file."""
    engine = _engine(values, op)
    constants = "NULL" if op.constants is None else _pointer(values, op.constants)
    job = Job(op.kernel.data, op.fields)
    *inputs, output = _addresses(values, op, [*op.inputs, op.output])
    return _call(values, engine.call(job, inputs, output, constants))


def prepare(values: Values, op: PrepareOp) -> str:
    """The call that makes ready what a job needs of the CPU."""
    engine, job = _engine(values, op), Job(op.kernel.data, op.fields)
    if engine.preparation(job) is None:
        raise values.fail(op, f"engine '{op.engine_name}' has nothing to prepare for '{op.kernel.data}'")
    *inputs, output = _addresses(values, op, [*op.inputs, op.output])
    return _call(values, engine.prepare(job, inputs, output, op.beside is not None))


def _call(values: Values, call: Call) -> str:
    arguments = [
        values.file.table_name(argument, f"{values.function}_job") if isinstance(argument, Data) else str(argument)
        for argument in call.arguments
    ]
    return f"{call.function}({', '.join(arguments)});"


def job_done(values: Values, op: AwaitOp) -> str:
    """``wait();`` of the engine the token comes from."""
    start = values.file.flow.origin(op.token)
    if not isinstance(start, LaunchOp):
        raise values.fail(op, "the token must come from an accel.launch")
    return f"{_engine(values, start).wait}();"
