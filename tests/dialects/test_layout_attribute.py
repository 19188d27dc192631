"""The layout a tensor type carries, and what its encoding may not be."""

from __future__ import annotations

import pytest
from xdsl.dialects.builtin import StringAttr, TensorType, i8, i32
from xdsl.utils.exceptions import VerifyException

from htvm_ir.dialects.accel import LayoutAttr, layout_of, with_layout
from htvm_ir.interpreters.buffers import layout_from
from htvm_ir.targets.layout import Layout


def test_a_type_without_encoding_is_row_major():
    type_ = TensorType(i8, [1, 4])
    assert layout_of(type_) is None
    assert layout_of(i32) is None
    assert layout_from(type_) == Layout((0, 1), (1, 1))


def test_with_layout_sets_and_removes_the_encoding():
    plain, layout = TensorType(i8, [1, 4]), LayoutAttr([1, 0], [1, 16], 3)
    stored = with_layout(plain, layout)
    assert layout_of(stored) == layout
    assert layout_from(stored) == Layout((1, 0), (1, 16), 3)
    assert with_layout(stored, None) == plain


def test_another_encoding_is_an_error():
    with pytest.raises(VerifyException, match=r'expected an #accel\.layout encoding, got "nhwc"'):
        layout_of(TensorType(i8, [1, 4], StringAttr("nhwc")))


def test_the_order_must_name_every_axis():
    with pytest.raises(VerifyException, match=r"\[0, 2\] is not an order of the axes"):
        LayoutAttr([0, 2], [1, 1])
