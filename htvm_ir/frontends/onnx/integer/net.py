"""The state of a conversion: what is known of each ONNX tensor, and the operations so far."""

from __future__ import annotations

from dataclasses import dataclass, replace

from xdsl.dialects.builtin import IntegerType, Signedness, i8, i16, i32
from xdsl.ir import Attribute, Operation, SSAValue

from htvm_ir.dialects.graph import RequantOp, ReshapeOp, element_limits, shape_of, tensor_type
from htvm_ir.frontends.onnx.emit import Emitter
from htvm_ir.frontends.onnx.graph import INT32, Graph, Node, Shape
from htvm_ir.frontends.onnx.integer.proof import Value
from htvm_ir.frontends.onnx.shapes import Window

ui8 = IntegerType(8, Signedness.UNSIGNED)
_ELEMENTS = (i8, ui8, i16, i32)
"""What integers of the network are stored in, the first that holds them."""


def _width(element: Attribute) -> int:
    assert isinstance(element, IntegerType)
    return element.width.data


@dataclass(frozen=True)
class Tensor:
    """ONNX tensor ``name``: ``value`` of the integers in ``source``, or of their means over ``mean``.

    ``shape`` is the ONNX tensor's; it differs from the source's where a mean was reshaped, or a layer computes in
    another one: what follows element by element stays with the layer, and integers are reshaped in the end.
    """

    name: str
    source: SSAValue
    value: Value
    shape: Shape
    mean: Window | None = None

    def why_no_integer(self) -> str | None:
        """Why its elements are not proven integers, and what would make them so; or ``None``."""
        if self.mean is not None:
            return "it is an average; add a Floor"
        obstacle = self.value.obstacle()
        if obstacle is None and not self.value.is_integer:
            return "it has a fractional part; add a Floor"
        return obstacle


class IntegerNet:
    """``tensors`` by ONNX name; ``handled`` names results that need no conversion of their own.

    ``tails`` are results of float operators at the end of the network, which are left to the caller: by name the
    tensor before them, and the operators. ``floats`` are real numbers that regions of another compiler read and make.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        results = [name for node in graph.nodes for name in node.outputs]
        self.emit = Emitter({name: position for position, name in enumerate(results)})
        self.tensors: dict[str, Tensor] = {}
        self.handled: set[str] = set()
        self.tails: dict[str, tuple[str, tuple[str, ...]]] = {}
        self.floats: dict[str, SSAValue] = {}

    def operation(
        self, node: Node, op: Operation, value: Value, name: str | None = None, shape: Shape | None = None
    ) -> None:
        """Appends ``op``, whose result is tensor ``name`` (of ``node`` if left out) of ``value`` and ``shape``."""
        name = name or node.output
        whole = shape is None or shape == shape_of(op.results[0])
        source = self.emit.append(node, op, name if whole else f"{name}.planar")
        shape = shape or shape_of(source)
        self.graph.check_shape(node, name, shape)
        self.tensors[name] = Tensor(name, source, value, shape)

    def derive(self, node: Node, tensor: Tensor) -> None:
        """Makes the result of ``node`` a tensor like ``tensor``."""
        self.graph.check_shape(node, node.output, tensor.shape)
        self.tensors[node.output] = replace(tensor, name=node.output)

    def operand(self, node: Node, index: int = 0) -> Tensor:
        """A computed operand of ``node``."""
        name = node.operand(index)
        if name not in self.tensors:
            raise node.error(f"operand '{name}' is a constant or missing; it must be computed")
        return self.tensors[name]

    def integers(self, node: Node, name: str) -> Tensor:
        """Tensor ``name`` for ``node`` as integers that equal its source."""
        tensor = self.tensors.get(name)
        if tensor is None:
            raise node.error(f"operand '{name}' is a constant or missing; it must be computed")
        reason = tensor.why_no_integer()
        if reason is not None:
            raise node.error(f"needs integers, but '{name}' is not provably one: {reason}")
        self.tensors[name] = made = self.made(node, tensor)
        return made

    def made(self, node: Node, tensor: Tensor) -> Tensor:
        """A tensor proven to be integers, requantised to i8 or i32 unless it is its source already."""
        value = tensor.value
        low, high = value.interval
        if not value.fits(*INT32):
            raise node.error(f"'{tensor.name}' may span {low} to {high}, beyond int32; clip it")
        element = next(kind for kind in _ELEMENTS if value.fits(*element_limits(kind)))
        # accumulators stay as they are, what the network rounds or clips takes the bits it needs
        narrow = value.is_rounded and _width(element) < _width(tensor_type(tensor.source).element_type)
        same_shape = shape_of(tensor.source) == tensor.shape
        if value.is_source and not narrow:
            if same_shape:
                self.emit.also(tensor.source, tensor.name)
                return replace(tensor, value=Value.integers(low, high))
            return self._reshaped(node, tensor, tensor.source)
        spec, limits = value.requantisation(), element_limits(element)
        op = RequantOp(
            tensor.source,
            element,
            rounding=spec.rounding,
            multiplier=spec.multiplier,
            addend=spec.addend,
            shift=spec.shift,
            zero_point=spec.zero_point,
            lo=limits[0] if spec.lo is None else max(limits[0], spec.lo),
            hi=limits[1] if spec.hi is None else min(limits[1], spec.hi),
        )
        source = self.emit.append(node, op, tensor.name if same_shape else f"{tensor.name}.planar")
        if same_shape:
            return replace(tensor, source=source, value=Value.integers(low, high))
        return self._reshaped(node, tensor, source)

    def _reshaped(self, node: Node, tensor: Tensor, source: SSAValue) -> Tensor:
        result = self.emit.append(node, ReshapeOp(source, tensor.shape), tensor.name)
        return replace(tensor, source=result, value=Value.integers(*tensor.value.interval))
