"""Execution of the ``graph`` dialect: each op is one function of :mod:`htvm_ir.arithmetic`."""

from __future__ import annotations

from typing import Any

from xdsl.interpreter import Interpreter, InterpreterFunctions, PythonValues, impl, register_impls

from htvm_ir import arithmetic
from htvm_ir.dialects import graph
from htvm_ir.dialects.attributes import values
from htvm_ir.interpreters.numpy_types import dtype_of


@register_impls
class GraphFunctions(InterpreterFunctions):
    """Extents come from the operands, not the types: a nest's body, typed for a full tile, runs on edge tiles too."""

    @impl(graph.Conv2dOp)
    def run_conv2d(self, interpreter: Interpreter, op: graph.Conv2dOp, args: tuple[Any, ...]) -> PythonValues:
        x, weights, bias = args if op.bias is not None else (*args, None)
        # The op's `groups` counts those of a full tile.
        groups = x.shape[1] // weights.shape[1]
        spatial = (values(op.strides), values(op.pads), values(op.dilations))
        return (arithmetic.conv2d(x, weights, bias, *spatial, groups),)

    @impl(graph.DenseOp)
    def run_dense(self, interpreter: Interpreter, op: graph.DenseOp, args: tuple[Any, ...]) -> PythonValues:
        x, weights, bias = args if op.bias is not None else (*args, None)
        return (arithmetic.dense(x, weights, bias),)

    @impl(graph.AddOp)
    def run_add(self, interpreter: Interpreter, op: graph.AddOp, args: tuple[Any, ...]) -> PythonValues:
        return (arithmetic.add(*args),)

    @impl(graph.PoolOp)
    def run_pool(self, interpreter: Interpreter, op: graph.PoolOp, args: tuple[Any, ...]) -> PythonValues:
        window = (values(op.kernel), values(op.strides), values(op.pads))
        return (arithmetic.pool(args[0], op.kind.data, *window, op.rounding.data),)

    @impl(graph.RequantOp)
    def run_requant(self, interpreter: Interpreter, op: graph.RequantOp, args: tuple[Any, ...]) -> PythonValues:
        result = arithmetic.requantize(
            args[0],
            op.rounding.data,
            values(op.multiplier),
            values(op.shift),
            op.zero_point.value.data,
            op.lo.value.data,
            op.hi.value.data,
            dtype_of(graph.tensor_type(op.result).element_type),
        )
        return (result,)

    @impl(graph.ReshapeOp)
    def run_reshape(self, interpreter: Interpreter, op: graph.ReshapeOp, args: tuple[Any, ...]) -> PythonValues:
        return (args[0].reshape(graph.shape_of(op.result)),)

    @impl(graph.SpaceToDepthOp)
    def run_space_to_depth(
        self, interpreter: Interpreter, op: graph.SpaceToDepthOp, args: tuple[Any, ...]
    ) -> PythonValues:
        return (arithmetic.space_to_depth(args[0], values(op.block), values(op.pads)),)
