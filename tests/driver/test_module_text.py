"""The text of a module is what xDSL's own printer writes."""

from __future__ import annotations

import pytest
from xdsl.dialects.builtin import ArrayAttr, DenseIntOrFPElementsAttr, ModuleOp, StringAttr, TensorType, i8

from htvm_ir.driver.compile import Options, compile_model
from htvm_ir.driver.module_text import HEXADECIMAL, module_text


@pytest.mark.parametrize("target", ["diana", "npu"])
def test_networks_at_the_first_and_the_last_level(target: str):
    compiled = compile_model("zoo:resnet8", Options(target=target))
    for module in (compiled.source, compiled.module):
        assert module_text(module) == str(module) + "\n"


def test_constants_on_both_sides_of_the_limit():
    sizes = (1, 2, HEXADECIMAL, HEXADECIMAL + 1)
    arrays = [[n % 7 for n in range(size)] for size in sizes] + [[5] * size for size in sizes]
    values = [DenseIntOrFPElementsAttr.from_list(TensorType(i8, [len(array)]), array) for array in arrays]
    module = ModuleOp([], {"values": ArrayAttr(values)})
    assert module_text(module) == str(module) + "\n"


@pytest.mark.parametrize("text", ["", "plain", 'a "quoted" one', "back\\slash", "tab\t", "line\nline", "käse", "\x7f"])
def test_strings_of_any_characters(text: str):
    module = ModuleOp([], {"text": StringAttr(text), "dictionary key": StringAttr(text)})
    assert module_text(module) == str(module) + "\n"
