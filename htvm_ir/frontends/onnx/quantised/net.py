"""The state of a conversion: what is known of each ONNX tensor, and the operations so far."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from xdsl.dialects.builtin import IntegerType, Signedness, i8
from xdsl.ir import SSAValue

from htvm_ir.dialects.graph import shape_of, tensor_type
from htvm_ir.frontends.onnx.emit import Emitter
from htvm_ir.frontends.onnx.graph import Array, Graph, Node
from htvm_ir.frontends.onnx.quantised.tensors import (
    Affine,
    Floats,
    Format,
    Integers,
    Move,
    Parameter,
    Pending,
    Real,
    Table,
    Tail,
    Tensor,
    valid_scale,
)

ui8 = IntegerType(8, Signedness.UNSIGNED)


class QuantisedNet:
    """``tensors`` by ONNX name; ``rounding`` is the reference whose rounding is followed, onnx or tflite."""

    def __init__(self, graph: Graph, rounding: str) -> None:
        self.graph = graph
        self.follows_tflite = rounding == "tflite"
        results = [name for node in graph.nodes for name in node.outputs]
        self.emit = Emitter({name: position for position, name in enumerate(results)})
        self.tensors: dict[str, Tensor] = {}

    def define(self, node: Node, tensor: Tensor, index: int = 0) -> None:
        """Makes ``tensor`` a result of ``node``; raises HtvmError if the file declares another shape for it."""
        name = node.outputs[index]
        self.graph.check_shape(node, name, tensor.shape)
        self.tensors[name] = tensor

    def operand(self, node: Node, index: int = 0) -> Integers | Parameter | Real:
        """A computed operand of ``node``, or a dequantised constant."""
        name = node.operand(index)
        tensor = self.tensors.get(name)
        if tensor is None:
            raise node.error(f"operand '{name}' is a constant or missing; it must be computed")
        if isinstance(tensor, Tail):
            raise node.error(
                f"reads the result of {tensor.operators[0]}, which is supported only at the end of a network, where "
                "it is left to the caller; cut the network there",
                unknown=True,
            )
        if isinstance(tensor, Floats):
            raise node.error(f"operand '{name}' holds real numbers; quantise them")
        return tensor

    def real(self, node: Node, index: int = 0) -> Real:
        """A computed operand that holds real numbers."""
        tensor = self.operand(node, index)
        if not isinstance(tensor, Affine | Table | Pending):
            raise node.error(f"operand '{node.operand(index)}' must be dequantised and computed by the network")
        return tensor

    def integers(self, node: Node, index: int = 0) -> Integers:
        """A computed operand that holds integers."""
        tensor = self.operand(node, index)
        if not isinstance(tensor, Integers):
            raise node.error(f"operand '{node.operand(index)}' must be an integer tensor; quantise it")
        return tensor

    def array(self, node: Node, index: int, what: str) -> Array:
        """A constant operand, dequantised if need be."""
        tensor = self.tensors.get(node.operand(index))
        return tensor.reals if isinstance(tensor, Parameter) else self.graph.constant(node, index, what)

    def format(self, node: Node, scale: int, zero_point: int, element: IntegerType | None = None) -> Format:
        """The format that constant operands ``scale`` and ``zero_point`` of ``node`` give, one for the tensor.

        ``element`` is the type if the zero point is left out (uint8 by the standard if ``None``).
        """
        factor = self.graph.constant(node, scale, "scale")
        if factor.size != 1:
            raise node.error("scales per channel are supported for weights only")
        number = float(factor.reshape(-1)[0])
        if not valid_scale(number):
            raise node.error(f"the scale must be a positive number, but is {number:g}")
        if not node.operand(zero_point):
            return Format(number, 0, element or ui8)
        zero = self.graph.constant(node, zero_point, "zero point")
        if zero.size != 1 or str(zero.dtype) not in ("int8", "uint8"):
            raise node.error(f"the zero point must be one int8 or uint8, but is {zero.dtype} {list(zero.shape)}")
        return Format(number, int(zero.reshape(-1)[0]), i8 if zero.dtype == np.int8 else ui8)

    def dequantised(self, node: Node, x: Integers, form: Format) -> Affine:
        """The real numbers of an 8-bit tensor."""
        if tensor_type(x.source).element_type != form.element:
            raise node.error(f"the zero point is of another type than '{self.emit.name_of(x.source)}'; make them alike")
        return Affine(shape=x.shape, source=x.source, format=form)

    def moved(self, tensor: Integers | Real, move: Move, name: str) -> Integers | Real:
        """``tensor`` rearranged, at once where its integers exist; ``name`` is the ONNX name of the result."""
        if isinstance(tensor, Pending):
            return tensor.moved(move)
        form = tensor.format or Format(1.0, 0, element_of(tensor.source))
        source = self.emit.append(move.node, move.make(tensor.source, form), name)
        return replace(tensor, source=source, shape=shape_of(source))


def element_of(value: SSAValue) -> IntegerType:
    """The element type of an integer tensor."""
    element = tensor_type(value).element_type
    assert isinstance(element, IntegerType)
    return element
