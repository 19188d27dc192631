"""What functions write, through views and calls."""

from __future__ import annotations

from test_package import parse
from xdsl.dialects.func import FuncOp

from htvm_ir.backend.c.effects import Effects

TEXT = """
func.func @writes(%a: memref<4xi8>, %b: memref<4xi8>) {
  %zero = arith.constant 0 : index
  %view = memref.subview %b[1] [2] [1] : memref<4xi8> to memref<2xi8, strided<[1], offset: 1>>
  %value = memref.load %a[%zero] : memref<4xi8>
  memref.store %value, %view[%zero] : memref<2xi8, strided<[1], offset: 1>>
  func.return
}
func.func @calls(%a: memref<4xi8>, %b: memref<4xi8>, %c: memref<4xi8>, %d: memref<4xi8>) {
  func.call @writes(%a, %b) : (memref<4xi8>, memref<4xi8>) -> ()
  func.call @elsewhere(%c) : (memref<4xi8>) -> ()
  func.call @writes(%d, %d) : (memref<4xi8>, memref<4xi8>) -> ()
  func.return
}
func.func private @elsewhere(memref<4xi8>) -> ()
"""


def test_written_arguments() -> None:
    module = parse(TEXT)
    functions = {op.sym_name.data: op for op in module.ops if isinstance(op, FuncOp)}
    effects = Effects(module)
    assert effects.written_arguments(functions["calls"]) == {1, 2, 3}, "of a function without a body nothing is known"
    assert effects.written_arguments(functions["writes"]) == {1}
