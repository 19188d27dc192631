"""A network as MLIR text of upstream dialects only: loops over buffers, for any tool that lowers them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from xdsl.dialects.builtin import MemRefType, ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.dialects.memref import GlobalOp
from xdsl.ir import Attribute, SSAValue
from xdsl.printer import Printer
from xdsl.rewriter import Rewriter

from htvm_ir.driver.compile import Options, load_model
from htvm_ir.passes.pipeline import default_passes, run_passes
from htvm_ir.passes.set_target import SetTarget


def lowered(module: ModuleOp) -> ModuleOp:
    """Our pipeline without any engine, in place: what is left are loops."""
    run_passes(module, [SetTarget("diana", ("none",)), *default_passes()], verify=False)
    return module


def only_upstream(module: ModuleOp) -> ModuleOp:
    """Drop what only we understand: attributes of our dialects, and the names of memories. In place."""
    for op in module.walk():
        for name in [name for name in op.attributes if "." in name]:
            del op.attributes[name]
        for value in (*op.results, *(argument for region in op.regions for b in region.blocks for argument in b.args)):
            _forget_memory(value)
        if isinstance(op, GlobalOp):
            op.properties["type"] = _plain(op.properties["type"])
        if isinstance(op, FuncOp):
            op.arg_attrs = None
            op.update_function_type()
    module.verify()
    return module


def _forget_memory(value: SSAValue) -> None:
    if (plain := _plain(value.type)) != value.type:
        Rewriter.replace_value_with_new_type(value, plain)


def _plain(type_: Attribute) -> Attribute:
    return MemRefType(type_.element_type, type_.shape, type_.layout) if isinstance(type_, MemRefType) else type_


def main(arguments: Sequence[str] | None = None) -> None:
    """Read an ONNX network, write MLIR."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="a path to an ONNX file, or zoo:NAME")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the MLIR file")
    options = parser.parse_args(arguments)
    module = only_upstream(lowered(load_model(options.model, Options())))
    with options.output.open("w") as file:
        Printer(file, print_generic_format=True).print_op(module)
        file.write("\n")


if __name__ == "__main__":
    main()
