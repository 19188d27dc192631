"""Execution of the ``graph`` dialect: each op is one function of :mod:`htvm_ir.arithmetic`."""

from __future__ import annotations

from typing import Any

from xdsl.interpreter import Interpreter, InterpreterFunctions, PythonValues, impl, register_impls
from xdsl.ir import Operation

from htvm_ir.dialects import graph
from htvm_ir.dialects.graph.evaluate import evaluate


def _evaluated(op_type: type[Operation]) -> Any:
    def run(self: object, interpreter: Interpreter, op: Operation, args: tuple[Any, ...]) -> PythonValues:
        return (evaluate(op, args),)

    return impl(op_type)(run)


@register_impls
class GraphFunctions(InterpreterFunctions):
    """Every op of the dialect."""

    run_conv2d = _evaluated(graph.Conv2dOp)
    run_dense = _evaluated(graph.DenseOp)
    run_add = _evaluated(graph.AddOp)
    run_sub = _evaluated(graph.SubOp)
    run_mul = _evaluated(graph.MulOp)
    run_lookup = _evaluated(graph.LookupOp)
    run_pool = _evaluated(graph.PoolOp)
    run_requant = _evaluated(graph.RequantOp)
    run_reshape = _evaluated(graph.ReshapeOp)
    run_space_to_depth = _evaluated(graph.SpaceToDepthOp)
    run_concat = _evaluated(graph.ConcatOp)
    run_slice = _evaluated(graph.SliceOp)
    run_pad = _evaluated(graph.PadOp)
    run_transpose = _evaluated(graph.TransposeOp)
    run_reverse = _evaluated(graph.ReverseOp)
