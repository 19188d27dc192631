"""Names of new symbols."""

from __future__ import annotations

from networks import parse

from htvm_ir.passes.symbols import Symbols

TEXT = """
"memref.global"() <{sym_name = "a", type = memref<1xi8>, sym_visibility = "private", initial_value}> : () -> ()
func.func @a_1() { func.return }
"""


def test_names_are_told_apart_from_the_module_s_and_from_each_other() -> None:
    symbols = Symbols(parse(TEXT))
    assert [symbols.unused(name) for name in ("a", "b", "a", "b", "a_1")] == ["a_2", "b", "a_3", "b_1", "a_1_1"]
