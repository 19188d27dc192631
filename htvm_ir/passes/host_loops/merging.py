"""Kernels that compute each element from those at the same place need as few loops as their layouts allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from xdsl.dialects.arith import ConstantOp
from xdsl.ir import Block, SSAValue

from htvm_ir.dialects.accel import ConvertLayoutOp
from htvm_ir.dialects.attributes import values
from htvm_ir.dialects.graph import AddOp, LookupOp, MulOp, RequantOp, SubOp, shape_of
from htvm_ir.passes.constants import constant_array
from htvm_ir.passes.host_loops.buffers import Buffer
from htvm_ir.passes.host_loops.kernel import Kernel
from htvm_ir.targets.layout import mergeable


def merge_axes(kernel: Kernel, output: Buffer, value: SSAValue) -> tuple[Kernel, Buffer]:
    """The kernel and its output with axes merged where all buffers allow it; unchanged if elements need their index."""
    if not _ignores_index(value, output.shape):
        return kernel, output
    groups = mergeable(output.shape, [output.layout, *(buffer.layout for buffer in kernel.buffers.values())])
    if len(groups) == len(output.shape):
        return kernel, output
    buffers = {argument: _merged(buffer, groups) for argument, buffer in kernel.buffers.items()}
    return replace(kernel, buffers=buffers), _merged(output, groups)


def _ignores_index(value: SSAValue, shape: tuple[int, ...]) -> bool:
    """Whether an element is computed from the elements at the same index, wherever that is."""
    if shape_of(value) != shape:
        return False
    match value.owner:
        case ConvertLayoutOp() | LookupOp() as op:
            return _ignores_index(op.input, shape)
        case RequantOp() as op:
            parameters = values(op.multiplier), values(op.shift), op.addends
            return all(len(set(numbers)) <= 1 for numbers in parameters) and _ignores_index(op.input, shape)
        case AddOp() | SubOp() | MulOp() as op:
            return all(_ignores_index(operand, shape) for operand in op.operands)
        case ConstantOp() as op:
            array = constant_array(op.result)
            return array is not None and array.size > 0 and bool((array == array.flat[0]).all())
        case Block():
            return True
        case _:
            return False


def _merged(buffer: Buffer, groups: Sequence[Sequence[int]]) -> Buffer:
    """The same memory with one axis for each group."""
    shape = tuple(prod(buffer.shape[axis] for axis in group) for group in groups)
    return Buffer(buffer.memref, shape, buffer.layout.merged(buffer.shape, groups))
