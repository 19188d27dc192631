"""A light view of an ONNX graph: nodes in topological order, constants, who reads what.

Nothing here imports ``onnx``: the reader fills the view, the conventions walk it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from heapq import heapify, heappop, heappush
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htvm_ir.errors import HtvmError

Array = NDArray[Any]
Shape = tuple[int, ...]
Declared = tuple[int | None, ...]
"""A shape as the file states it; ``None`` is a symbolic or missing dimension."""

INT8 = (-128, 127)
UINT8 = (0, 255)
INT32 = (-(2**31), 2**31 - 1)
LARGEST_TENSOR = 2**31 - 1
"""Elements a tensor may have: what 32-bit addresses reach."""


class NodeError(HtvmError):
    """An operator that is not converted as it is used; ``node`` may be left to another compiler.

    ``unknown``: the operator is none of those that htvm_ir implements.
    """

    def __init__(self, node: Node, message: str, unknown: bool = False) -> None:
        super().__init__(message)
        self.node, self.unknown = node, unknown


@dataclass(frozen=True)
class Node:
    """One ONNX node. ``attributes`` holds numbers, strings, tuples of numbers and arrays; ``proto`` is the file's."""

    op: str
    domain: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    proto: Any = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.op} '{self.name or self.output}'"

    @property
    def output(self) -> str:
        """The name of the first result."""
        return self.outputs[0] if self.outputs else ""

    def error(self, message: str, unknown: bool = False) -> NodeError:
        """An error that says at which node it happened."""
        return NodeError(self, f"{self}: {message}", unknown)

    def operand(self, index: int) -> str:
        """The name of an operand, empty when it is left out."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def integer(self, name: str, default: int) -> int:
        """An integer attribute."""
        value = self.attributes.get(name, default)
        if not isinstance(value, int):
            raise self.error(f"attribute '{name}' must be an integer")
        return value

    def number(self, name: str, default: float) -> float:
        """A float attribute."""
        value = self.attributes.get(name, default)
        if not isinstance(value, int | float):
            raise self.error(f"attribute '{name}' must be a number")
        return float(value)

    def text(self, name: str, default: str) -> str:
        """A string attribute."""
        value = self.attributes.get(name, default)
        if not isinstance(value, str):
            raise self.error(f"attribute '{name}' must be a string")
        return value

    def integers(self, name: str, default: Sequence[int], length: int | None = None) -> Shape:
        """A list of integers, ``length`` of them if given."""
        value = self.attributes.get(name, tuple(default))
        if not isinstance(value, tuple) or not all(isinstance(v, int) for v in value):
            raise self.error(f"attribute '{name}' must be a list of integers")
        if length is not None and len(value) != length:
            raise self.error(f"attribute '{name}' must have {length} values, got {list(value)}")
        return value


@dataclass(frozen=True)
class Input:
    """A graph input; ``element`` is the ONNX name of its element type, e.g. FLOAT."""

    name: str
    shape: Shape
    element: str


@dataclass
class Graph:
    """``nodes`` are sorted and all of them are needed for ``outputs``; what is constant is folded.

    ``opsets`` gives the version of each domain whose operators the file uses.
    """

    name: str
    inputs: list[Input]
    outputs: list[str]
    nodes: list[Node]
    constants: dict[str, Array]
    declared: dict[str, Declared | None]
    opsets: dict[str, int] = field(default_factory=dict[str, int])

    def __post_init__(self) -> None:
        self._readers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in node.inputs:
                self._readers.setdefault(name, []).append(node)

    def readers(self, name: str) -> list[Node]:
        """The nodes that read a tensor."""
        return self._readers.get(name, [])

    def sole_reader(self, name: str) -> Node | None:
        """The node that reads a tensor once, when nothing else does and it is no graph output."""
        readers = self.readers(name)
        return readers[0] if len(readers) == 1 and name not in self.outputs else None

    def is_used(self, name: str) -> bool:
        """Whether a node or an output of the graph reads a tensor."""
        return name != "" and (name in self._readers or name in self.outputs)

    def constant(self, node: Node, index: int, what: str) -> Array:
        """A constant operand of ``node``."""
        name = node.operand(index)
        if name not in self.constants:
            raise node.error(f"the {what} must be a constant of the file, not '{name}'")
        return self.constants[name]

    def check_shape(self, node: Node, name: str, shape: Shape) -> None:
        """Raises HtvmError if the file declares another shape for tensor ``name``, which ``node`` computes."""
        declared = self.declared.get(name)
        if declared is None:
            return
        if len(declared) != len(shape) or any(
            stated not in (None, size) for stated, size in zip(declared, shape, strict=True)
        ):
            shown = [size if size is not None else "?" for size in declared]
            raise HtvmError(f"{node}: '{name}' has shape {list(shape)}, but the file declares {shown}")

    def scalar(self, name: str) -> Fraction | None:
        """The exact value of a constant with one finite element."""
        array = self.constants.get(name)
        if array is None or array.size != 1 or not np.isfinite(array).all():
            return None
        return Fraction(array.item())


def sort_nodes(nodes: Sequence[Node], known: Callable[[str], bool]) -> list[Node]:
    """``nodes`` so that each follows the producers of what it reads, otherwise in the order given.

    ``known`` says which tensors exist without a node. Raises HtvmError for a tensor that nothing
    produces, that two nodes produce, or that depends on itself.
    """
    producer: dict[str, int] = {}
    for index, node in enumerate(nodes):
        for name in filter(None, node.outputs):
            if name in producer or known(name):
                raise node.error(f"tensor '{name}' is defined twice")
            producer[name] = index
    waiting = [0] * len(nodes)
    readers: list[list[int]] = [[] for _ in nodes]
    for index, node in enumerate(nodes):
        for name in filter(None, node.inputs):
            if name in producer:
                waiting[index] += 1
                readers[producer[name]].append(index)
            elif not known(name):
                raise node.error(f"reads '{name}', which nothing in the graph produces")
    ready = [index for index, count in enumerate(waiting) if count == 0]
    heapify(ready)
    order: list[int] = []
    while ready:
        index = heappop(ready)
        order.append(index)
        for reader in readers[index]:
            waiting[reader] -= 1
            if waiting[reader] == 0:
                heappush(ready, reader)
    if len(order) < len(nodes):
        stuck = next(node for node, count in zip(nodes, waiting, strict=True) if count)
        raise stuck.error("the graph is cyclic here: the node depends on its own result")
    return [nodes[index] for index in order]


def live_nodes(nodes: Sequence[Node], outputs: Sequence[str]) -> list[Node]:
    """Those of the sorted ``nodes`` that the outputs need."""
    needed = set(outputs)
    live: list[Node] = []
    for node in reversed(nodes):
        if needed.intersection(node.outputs):
            live.append(node)
            needed.update(node.inputs)
    return live[::-1]
