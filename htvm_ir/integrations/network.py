"""Kernels of another compiler as a ``graph`` module, and that compiled for a target."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, IntegerType, ModuleOp, Signedness, StringAttr, TensorType
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.utils.exceptions import VerifyException

from htvm_ir.dialects import graph
from htvm_ir.integrations.kernels import Activation, Array, Kernel
from htvm_ir.integrations.requantisation import Refused
from htvm_ir.passes.fold_constants import constant
from htvm_ir.passes.pipeline import default_passes, run_passes
from htvm_ir.passes.set_target import SetTarget


class Network:
    """Builds ``@main`` kernel by kernel; it must know the activations of each."""

    def __init__(self, inputs: Sequence[Activation]):
        self._block = Block(arg_types=[_type(a.shape, a.dtype) for a in inputs])
        self._values: dict[Activation, SSAValue] = dict(zip(inputs, self._block.args, strict=True))

    def add(self, kernel: Kernel, result: Activation) -> None:
        """Append a kernel that computes ``result``.

        Raises:
            Refused: the ops do not exist in ``graph`` with these numbers.
        """
        operands = [self._values[a] for a in kernel.activations]
        try:
            operator = self._operator(kernel, operands)
            operator.verify_()
            requant = _requant(kernel, operator.results[0], result.dtype)
            requant.verify_()
        except VerifyException as error:
            raise Refused(str(error)) from None
        if graph.shape_of(requant.result) != tuple(kernel.shape):
            raise Refused(f"shape {list(kernel.shape)} is not that of a {kernel.kind} of batch 1")
        requant.attributes[graph.NAME] = StringAttr(f"t{len(self._values)}")
        self._block.add_ops([operator, requant])
        self._values[result] = requant.result

    def module(self, results: Sequence[Activation], name: str) -> ModuleOp:
        """The finished module."""
        values = [self._values[r] for r in results]
        self._block.add_op(ReturnOp(*values))
        names = [DictionaryAttr({graph.NAME: StringAttr(f"input{n}")}) for n in range(len(self._block.args))]
        kinds = (self._block.arg_types, [v.type for v in values])
        main = FuncOp("main", kinds, Region(self._block), arg_attrs=ArrayAttr(names))
        return ModuleOp([main], {"graph.model": StringAttr(name)})

    def _constant(self, array: Array) -> SSAValue:
        op = constant(array)
        self._block.add_op(op)
        return op.result

    def _operator(self, kernel: Kernel, operands: Sequence[SSAValue]) -> graph.Conv2dOp | graph.DenseOp | graph.AddOp:
        if kernel.weights is None:
            return graph.AddOp(operands[0], operands[1])
        weights = self._constant(kernel.weights)
        bias = None if kernel.requant.bias is None else self._constant(kernel.requant.bias.astype("int32"))
        if kernel.kind == "dense":
            return graph.DenseOp(operands[0], weights, bias)
        geometry = (kernel.strides, kernel.pads, kernel.dilations, kernel.groups)
        return graph.Conv2dOp(operands[0], weights, bias, *geometry)


def _requant(kernel: Kernel, accumulator: SSAValue, dtype: str) -> graph.RequantOp:
    given = kernel.requant
    assert given.range is not None
    return graph.RequantOp(
        accumulator,
        _element(dtype),
        multiplier=given.multiplier.tolist(),
        addend=given.addend.tolist(),
        shift=given.shift.tolist(),
        zero_point=given.zero_point,
        lo=given.range[0],
        hi=given.range[1],
    )


def _element(dtype: str) -> IntegerType:
    unsigned = dtype.startswith("u")
    return IntegerType(int(dtype.partition("int")[2]), Signedness.UNSIGNED if unsigned else Signedness.SIGNLESS)


def _type(shape: Sequence[int], dtype: str) -> TensorType[IntegerType]:
    return TensorType(_element(dtype), shape)


def compile_network(module: ModuleOp, target: str, engines: tuple[str, ...] | None = None) -> None:
    """Lower a ``graph`` module to its last IR, in place.

    ``engines``: None = all of the target's; empty = CPU only.

    Raises:
        HtvmError: it cannot be compiled for the target.
    """
    first = SetTarget(target, ("none",) if engines == () else engines)
    run_passes(module, [first, *default_passes()], verify=False)


def operators(module: ModuleOp) -> list[Operation]:
    """The convolutions, dense layers and sums of a module."""
    return [op for op in module.walk() if isinstance(op, graph.Conv2dOp | graph.DenseOp | graph.AddOp)]
