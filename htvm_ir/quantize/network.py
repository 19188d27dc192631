"""A float network as the layers a conversion to DIANA's number format works on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from numpy.typing import NDArray

from htvm_ir.frontends.onnx.graph import Shape
from htvm_ir.frontends.onnx.shapes import Window

Array = NDArray[Any]


@dataclass
class Layer:
    """What computes tensor ``name`` of ``shape`` (batch 1) from ``inputs``, clipped to ``low`` .. ``high``."""

    name: str
    inputs: tuple[str, ...]
    shape: Shape
    low: float = field(default=-inf, kw_only=True)
    high: float = field(default=inf, kw_only=True)

    @property
    def kind(self) -> str:
        """The layer's kind in one word, for people."""
        return type(self).__name__.lower()


@dataclass
class Linear(Layer):
    """A layer with weights [K, ...] and a bias [K] for K output channels, both real numbers."""

    weights: Array
    bias: Array


@dataclass
class Conv(Linear):
    """Convolution with weights [K, C/groups, FY, FX]; it pads with 0."""

    window: Window
    groups: int = 1

    @property
    def kind(self) -> str:
        return "depthwise" if self.groups > 1 and self.weights.shape[1] == 1 else "conv"


@dataclass
class Dense(Linear):
    """Matrix product with weights [K, C]."""


@dataclass
class Add(Layer):
    """Sum of two tensors of one shape."""


@dataclass
class Pool(Layer):
    """Mean (``average``; padding does not count) or maximum over windows."""

    window: Window
    average: bool


@dataclass
class Move(Layer):
    """The same numbers: transposed to ``permutation`` if there is one, else in another shape."""

    permutation: tuple[int, ...] = ()


@dataclass
class Clip(Layer):
    """Nothing but the clip every layer has."""


@dataclass(frozen=True)
class Source:
    """An input of the network, with the shape of the file (batch 1).

    ``scale`` and ``zero_point`` turn the integers the file's own input holds into real numbers,
    ``scale * (integer - zero_point)``; ``scale`` is None where the input is float.
    """

    name: str
    shape: Shape
    scale: float | None = None
    zero_point: int = 0


@dataclass
class Network:
    """Layers in topological order. ``outputs`` maps the names of the file to tensors.

    ``dropped`` are operators behind the outputs that are left to the caller (a last Softmax).
    """

    name: str
    sources: list[Source]
    layers: list[Layer]
    outputs: dict[str, str]
    dropped: list[str] = field(default_factory=list[str])

    def readers(self, tensor: str) -> list[Layer]:
        """The layers that read a tensor."""
        return [layer for layer in self.layers if tensor in layer.inputs]

    def last_readers(self) -> dict[str, int]:
        """Position of the last layer that reads each tensor; outputs are never done with."""
        last = {name: index for index, layer in enumerate(self.layers) for name in layer.inputs}
        return last | dict.fromkeys(self.outputs.values(), len(self.layers))


def per_channel(values: Array, rank: int) -> Array:
    """Values [C] so that they broadcast along axis 1 of a tensor of ``rank``."""
    return values.reshape(-1, *(1,) * (rank - 2))


def channel_axes(rank: int) -> Sequence[int]:
    """All axes but the channels'."""
    return [0, *range(2, rank)]
