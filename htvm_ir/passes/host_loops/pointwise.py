"""Ops that compute an element from the elements at the same place; requantisation has a file of its own."""

from __future__ import annotations

from xdsl.ir import Operation, SSAValue

from htvm_ir.dialects.attributes import values
from htvm_ir.dialects.graph import AddOp, LookupOp, MulOp, SubOp, element_limits, tensor_type
from htvm_ir.passes.host_loops.kernel import Index, Kernel


def add(kernel: Kernel, op: Operation, index: Index) -> SSAValue:
    """Both operands, widened, and their sum."""
    assert isinstance(op, AddOp)
    total = kernel.emit.add(kernel.wide(op.lhs, index, "lhs"), kernel.wide(op.rhs, index, "rhs"), "sum")
    assert isinstance(total, SSAValue)
    return total


def sub(kernel: Kernel, op: Operation, index: Index) -> SSAValue:
    """Both operands, widened, and their difference."""
    assert isinstance(op, SubOp)
    difference = kernel.emit.sub(kernel.wide(op.lhs, index, "lhs"), kernel.wide(op.rhs, index, "rhs"), "difference")
    assert isinstance(difference, SSAValue)
    return difference


def mul(kernel: Kernel, op: Operation, index: Index) -> SSAValue:
    """Both operands, widened and moved by their zero points, and their product."""
    assert isinstance(op, MulOp)
    za, zb = values(op.zero_points)
    lhs = kernel.emit.sub(kernel.wide(op.lhs, index, "lhs"), za, "lhs")
    rhs = kernel.emit.sub(kernel.wide(op.rhs, index, "rhs"), zb, "rhs")
    product = kernel.emit.mul(lhs, rhs, "product")
    assert isinstance(product, SSAValue)
    return product


def lookup(kernel: Kernel, op: Operation, index: Index) -> SSAValue:
    """The table's element at the operand's number, counted from the smallest of its type."""
    assert isinstance(op, LookupOp)
    lowest, _ = element_limits(tensor_type(op.input).element_type)
    at = kernel.emit.sub(kernel.wide(op.input, index, "x"), lowest, "at")
    assert isinstance(at, SSAValue)
    return kernel.element(op.table, (kernel.emit.to_index(at, "at"),), "table")
