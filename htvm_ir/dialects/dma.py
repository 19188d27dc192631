"""``dma``: explicit asynchronous transfers between memories."""

from __future__ import annotations

from math import prod

from xdsl.dialects.builtin import FlatSymbolRefAttrConstr, MemRefType, SymbolRefAttr
from xdsl.ir import Attribute, Dialect, ParametrizedAttribute, SSAValue, TypeAttribute
from xdsl.irdl import (
    IRDLOperation,
    irdl_attr_definition,
    irdl_op_definition,
    operand_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import MemoryReadEffect, MemoryWriteEffect
from xdsl.utils.exceptions import VerifyException

MAX_DIMENSIONS = 3
"""A transfer is a contiguous run repeated with at most two strides."""


@irdl_attr_definition
class TokenType(ParametrizedAttribute, TypeAttribute):
    """A transfer in flight."""

    name = "dma.token"


def transfer_shape(type_: MemRefType[Attribute]) -> list[tuple[int, int]]:
    """(count, stride in elements) of each loop of a strided buffer, outermost first, merged where contiguous.

    The last entry is the contiguous run and has stride 1.

    Raises:
        VerifyException: the buffer has a dynamic shape or strides.
    """
    if any(extent < 1 for extent in type_.get_shape()):
        raise VerifyException(f"a transfer needs a static shape, got {type_}")
    strides = type_.get_strides()
    if strides is None or any(s is None for s in strides):
        raise VerifyException(f"a transfer needs static strides, got {type_}")
    loops: list[tuple[int, int]] = []
    for count, stride in zip(type_.get_shape(), strides, strict=True):
        assert stride is not None
        if count == 1:
            continue
        if loops and loops[-1][1] == count * stride:
            loops[-1] = (loops[-1][0] * count, stride)
        else:
            loops.append((count, stride))
    if not loops or loops[-1][1] != 1:
        loops.append((1, 1))
    return loops


@irdl_op_definition
class StartOp(IRDLOperation):
    """Starts copying the elements of ``source``, in row-major order, to those of ``destination``, in row-major order.

    Their shapes may differ, their sizes may not; both are strided with at most three loops. The outcome is
    defined after ``dma.wait`` of the token.
    """

    name = "dma.start"
    source = operand_def(MemRefType)
    destination = operand_def(MemRefType)
    channel = prop_def(FlatSymbolRefAttrConstr)
    token = result_def(TokenType())
    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())
    assembly_format = "$channel $source `to` $destination attr-dict `:` type($source) `to` type($destination)"

    def __init__(self, channel: str, source: SSAValue, destination: SSAValue):
        super().__init__(
            operands=[source, destination],
            properties={"channel": SymbolRefAttr(channel)},
            result_types=[TokenType()],
        )

    def verify_(self) -> None:
        assert isinstance(self.source.type, MemRefType)
        assert isinstance(self.destination.type, MemRefType)
        source, destination = self.source.type, self.destination.type
        sizes = prod(source.get_shape()), prod(destination.get_shape())
        if sizes[0] != sizes[1]:
            raise VerifyException(f"copies {sizes[0]} elements to {sizes[1]}")
        if source.element_type != destination.element_type:
            raise VerifyException(f"copies {source.element_type} to {destination.element_type}")
        if source.memory_space == destination.memory_space:
            raise VerifyException(f"both ends lie in memory space {source.memory_space}")
        for end in (source, destination):
            if len(transfer_shape(end)) > MAX_DIMENSIONS:
                raise VerifyException(f"{end} needs more than {MAX_DIMENSIONS} loops")


@irdl_op_definition
class WaitOp(IRDLOperation):
    """Returns when the transfer is done."""

    name = "dma.wait"
    token = operand_def(TokenType())
    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())
    assembly_format = "$token attr-dict"

    def __init__(self, token: SSAValue):
        super().__init__(operands=[token])


Dma = Dialect("dma", [StartOp, WaitOp], [TokenType])
