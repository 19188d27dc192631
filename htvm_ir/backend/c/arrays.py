"""Initialised C arrays; a weight array of a megabyte takes a fraction of a second."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, Float32Type, IntegerType, MemRefType, Signedness
from xdsl.dialects.memref import GlobalOp
from xdsl.ir import Attribute

from htvm_ir.arithmetic import float_text
from htvm_ir.backend.c.types import c_type, element_bytes, shape_text
from htvm_ir.errors import HtvmError

BYTES_PER_LINE = 24
NUMBERS_PER_LINE = 8

_BYTES = [str(value) for value in (*range(128), *range(-128, 0))]
"""Text of an int8 by its bits."""


def _lines(words: Sequence[str], count: int) -> Iterator[str]:
    for start in range(0, len(words), count):
        yield f"  {', '.join(words[start : start + count])},"


def words_text(words: Sequence[int]) -> str:
    """Unsigned 32-bit words in hexadecimal, as the inside of an initialiser."""
    return "\n".join(_lines([f"0x{word:08X}" for word in words], NUMBERS_PER_LINE))


def numbers_text(numbers: NDArray[Any]) -> str:
    """Integers in decimal, or floats in hexadecimal, as the inside of an initialiser."""
    if numbers.dtype == np.float32:
        return "\n".join(_lines([float_text(number) for number in numbers.tolist()], NUMBERS_PER_LINE))
    if numbers.dtype == np.int8:
        words = [_BYTES[byte] for byte in numbers.tobytes()]
        return "\n".join(_lines(words, BYTES_PER_LINE))
    minimum = np.iinfo(numbers.dtype).min
    width = numbers.dtype.itemsize * 8
    # The smallest int32 or int64 is not a literal in C.
    spelled = {minimum: f"INT{width}_MIN"} if minimum < 0 and width >= 32 else {}
    words = [spelled.get(number) or str(number) for number in numbers.tolist()]
    return "\n".join(_lines(words, BYTES_PER_LINE if width == 8 else NUMBERS_PER_LINE))


def definition(head: str, section: str, body: str) -> str:
    """``head section = { body };`` where the section may be empty."""
    return f"{head}{' ' if section else ''}{section} = {{\n{body}\n}};"


def global_text(op: GlobalOp, name: str, section: str, alignment: int) -> str:
    """A ``memref.global`` as a static array with a comment.

    Raises:
        HtvmError: it has no initial value, or not one of integers or float32.
    """
    type_, initial = op.type, op.initial_value
    assert isinstance(type_, MemRefType)
    if not isinstance(initial, DenseIntOrFPElementsAttr):
        raise HtvmError(f"memref.global @{op.sym_name.data} has no initial value")
    numbers = _numbers(op.sym_name.data, initial, len_of(type_))
    const = "const " if op.constant is not None else ""
    alignment = max(alignment, element_bytes(type_.element_type))  # C allows no less than the type's own
    head = f"static {const}_Alignas({alignment}) {c_type(type_.element_type)} {name}[{numbers.size}]"
    return f"// {name}: {shape_text(type_)}.\n{definition(head, section, numbers_text(numbers))}"


def len_of(type_: MemRefType[Attribute]) -> int:
    """Elements of a buffer."""
    return int(np.prod(type_.get_shape(), dtype=np.int64))


def _numbers(symbol: str, initial: DenseIntOrFPElementsAttr, size: int) -> NDArray[Any]:
    data = np.frombuffer(initial.data.data, _dtype(symbol, initial.get_element_type()))
    return np.broadcast_to(data, (size,)) if data.size == 1 else data


def _dtype(symbol: str, element: Attribute) -> np.dtype[Any]:
    if isinstance(element, Float32Type):
        return np.dtype("<f4")
    if not isinstance(element, IntegerType):
        raise HtvmError(f"memref.global @{symbol} holds {element}; the C back end prints integers and float32")
    sign = "u" if element.signedness.data == Signedness.UNSIGNED else "i"
    return np.dtype(f"<{sign}{element.width.data // 8}")
