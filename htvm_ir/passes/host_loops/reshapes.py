"""Kernels that end in a reshape to an array in C order write the tensor before it: only the names of places differ."""

from __future__ import annotations

from xdsl.ir import SSAValue

from htvm_ir.dialects.graph import ReshapeOp, shape_of
from htvm_ir.passes.host_loops.buffers import Buffer
from htvm_ir.targets.layout import Layout


def before_reshapes(output: Buffer, value: SSAValue) -> tuple[Buffer, SSAValue]:
    """The output in the shape that ``value`` has before its last reshapes, and that value.

    Loops over the one shape find the places in the other by dividing, which takes longer than all else they do.
    """
    while isinstance(value.owner, ReshapeOp) and output.is_dense:
        value = value.owner.input
        shape = shape_of(value)
        output = Buffer(output.memref, shape, Layout.row_major(len(shape)))
    return output, value
