"""Builds the module a convention produces: ``func.func @main`` around ``graph`` operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np
from xdsl.dialects.arith import ConstantOp
from xdsl.dialects.builtin import (
    ArrayAttr,
    BytesAttr,
    DenseIntOrFPElementsAttr,
    DictionaryAttr,
    FloatAttr,
    IntegerType,
    ModuleOp,
    Signedness,
    StringAttr,
    TensorType,
    UnitAttr,
    f32,
    f64,
)
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, BlockArgument, Operation, Region, SSAValue
from xdsl.utils.exceptions import VerifyException

from htvm_ir.dialects.attributes import integer, integers
from htvm_ir.dialects.graph import NAME, shape_of
from htvm_ir.frontends.onnx.graph import LARGEST_TENSOR, Array, Node

MODEL = "graph.model"
"""Module attribute: the network's name."""
ALIASES = "graph.aliases"
"""Argument and result attribute: other ONNX tensors that hold the same integers."""
SCALE = "graph.scale"
ZERO_POINT = "graph.zero_point"
"""Argument and result attributes: the real number is ``scale * (integer - zero_point)``."""
RANGE = "graph.range"
"""Argument attribute: the least and the greatest integer that the proof relies on."""
ROUNDING = "graph.edge_rounding"
"""Argument attribute: how the caller rounds real numbers to integers, ``floor`` (if absent), half_up,
half_even or half_away."""
TAIL = "graph.tail"
"""Result attribute: the float operators behind the result, which are left to the caller."""
ASSUMED = "graph.assumed_range"
"""Argument attribute: neither the model nor the user states the range; it is the type's."""


@dataclass
class Edge:
    """What a caller needs to know about an argument or a result; without a scale it holds real numbers."""

    name: str
    scale: float | None = 1.0
    zero_point: int = 0
    aliases: list[str] = field(default_factory=list[str])
    extra: dict[str, Attribute] = field(default_factory=dict[str, Attribute])

    def attribute(self) -> DictionaryAttr:
        """The attribute dictionary of ``func.func``."""
        names: dict[str, Attribute] = {
            NAME: StringAttr(self.name),
            ALIASES: ArrayAttr([StringAttr(alias) for alias in self.aliases]),
        }
        if self.scale is None:
            return DictionaryAttr(names)
        return DictionaryAttr(
            {**names, SCALE: FloatAttr(self.scale, f64), ZERO_POINT: integer(self.zero_point), **self.extra}
        )


class Emitter:
    """Appends operations to the body of ``@main``. ``order`` ranks ONNX tensor names by position."""

    def __init__(self, order: dict[str, int]) -> None:
        self._block = Block()
        self._order = order
        self._arguments: list[Edge] = []
        self._constants: dict[tuple[str, str], SSAValue] = {}
        self._made: dict[str, SSAValue] = {}

    def argument(
        self,
        shape: Sequence[int],
        edge: Edge,
        interval: tuple[int, int],
        assumed: bool = False,
        element: Attribute | None = None,
    ) -> SSAValue:
        """A new argument, int8 if no ``element`` is given; ``assumed`` says that nobody stated its range."""
        edge.extra[RANGE] = integers(interval)
        if assumed:
            edge.extra[ASSUMED] = UnitAttr()
        return self._argument(shape, edge, element or IntegerType(8))

    def float_argument(self, shape: Sequence[int], name: str) -> SSAValue:
        """A new argument of real numbers."""
        return self._argument(shape, Edge(name, None), f32)

    def _argument(self, shape: Sequence[int], edge: Edge, element: Attribute) -> SSAValue:
        self._arguments.append(edge)
        return self._block.insert_arg(TensorType(element, shape), len(self._block.args))

    def constant(self, name: str, form: str, array: Array) -> SSAValue:
        """An array of integers or float32 as a constant; one for each initialiser ``name`` and ``form`` of it."""
        key = (name, form)
        if key not in self._constants:
            signedness = Signedness.UNSIGNED if array.dtype.kind == "u" else Signedness.SIGNLESS
            element = f32 if array.dtype.kind == "f" else IntegerType(array.dtype.itemsize * 8, signedness)
            data = BytesAttr(np.ascontiguousarray(array).tobytes())
            op = ConstantOp(DenseIntOrFPElementsAttr(TensorType(element, array.shape), data))
            op.attributes[NAME] = StringAttr(name)
            self._block.add_op(op)
            self._constants[key] = op.result
        return self._constants[key]

    def append(self, node: Node, op: Operation, name: str) -> SSAValue:
        """``op``, verified, under the name of the ONNX tensor it computes; errors name ``node``."""
        try:
            op.verify_()
        except VerifyException as error:
            raise node.error(str(error)) from None
        if prod(shape_of(op.results[0])) > LARGEST_TENSOR:
            raise node.error(f"shape {list(shape_of(op.results[0]))} is beyond 32-bit addresses")
        op.attributes[NAME] = StringAttr(name)
        self._block.add_op(op)
        return op.results[0]

    def once(self, node: Node, name: str, make: Callable[[], Operation]) -> SSAValue:
        """The operation ``make`` gives for tensor ``name``, appended the first time only."""
        if name not in self._made:
            self._made[name] = self.append(node, make(), name)
        return self._made[name]

    def name_of(self, value: SSAValue) -> str:
        """The ONNX name of a value."""
        if isinstance(value, BlockArgument):
            edge = self._arguments[value.index]
            return edge.aliases[-1] if edge.aliases else edge.name
        assert isinstance(value.owner, Operation)
        name = value.owner.attributes[NAME]
        assert isinstance(name, StringAttr)
        return name.data

    def also(self, value: SSAValue, name: str) -> None:
        """Records that ONNX tensor ``name`` holds the integers of ``value``; the last name counts."""
        present = self.name_of(value)
        if self._order.get(name, -1) <= self._order.get(present, -1):
            return
        if isinstance(value, BlockArgument):
            self._arguments[value.index].aliases.append(name)
        else:
            assert isinstance(value.owner, Operation)
            value.owner.attributes[NAME] = StringAttr(name)

    def module(self, name: str, results: Sequence[tuple[SSAValue, Edge]]) -> ModuleOp:
        """The finished module."""
        self._block.add_op(ReturnOp(*(value for value, _ in results)))
        kinds = (self._block.arg_types, [value.type for value, _ in results])
        main = FuncOp(
            "main",
            kinds,
            Region(self._block),
            arg_attrs=ArrayAttr([edge.attribute() for edge in self._arguments]),
            res_attrs=ArrayAttr([edge.attribute() for _, edge in results]),
        )
        return ModuleOp([main], {MODEL: StringAttr(name)})
