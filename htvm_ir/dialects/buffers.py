"""Who uses a buffer, for all that has to know when its bytes are free."""

from __future__ import annotations

from collections.abc import Iterator

from xdsl.dialects.builtin import MemRefType
from xdsl.ir import Operation, SSAValue

from htvm_ir.dialects.accel import JobTokenType
from htvm_ir.dialects.dma import TokenType


def users(value: SSAValue) -> Iterator[Operation]:
    """The ops that use a buffer or a view of it; a token's wait counts, since the buffer is busy until then."""
    for use in value.uses:
        yield use.operation
        for result in use.operation.results:
            if isinstance(result.type, MemRefType | TokenType | JobTokenType):
                yield from users(result)
