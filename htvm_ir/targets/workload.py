"""What one kernel computes, in plain data: the language between the IR and the engine contracts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

Range = tuple[int, int]
"""Start and size along one dimension."""

Interval = tuple[int, int]
"""The least and the greatest value."""

Tile = Mapping[str, Range]
"""The part of the iteration space a tile computes: a range for each tiled dimension."""


@dataclass(frozen=True)
class Requant:
    """``clamp(zero_point + R(acc * multiplier + addend, shift), lo, hi)``; see docs/numerics.md.

    multiplier, shift, addend: one value, or one for each output channel.
    """

    rounding: str
    multiplier: tuple[int, ...]
    shift: tuple[int, ...]
    zero_point: int
    lo: int
    hi: int
    addend: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Tensor:
    """Logical shape (NCHW or [1, N]) and element type (``i8``, ``i32``, ...)."""

    shape: tuple[int, ...]
    dtype: str = "i8"

    @property
    def size(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True, eq=False)
class Workload:
    """One operator with its requantisation.

    kind: name of the anchoring ``graph`` op: conv2d, dense, add, pool, requant, ...
    inputs, output: activations; a constant operand is none.
    weights, bias: constants as numpy arrays ([K, C/groups, FY, FX] or [K, C]; [K]), None where there are none
        or they are not constant.
    pads: top, left, bottom, right.
    ranges: proven least and greatest element of each input; empty = nothing is known but the types.
    zero_point: of the input of a conv2d or dense, which multiplies ``x - zero_point``; pads hold it.
    bias_is_computed: there is a bias, but it is not constant.
    window, mode, mean_rounding: height and width of a pooling window, whether it is ``max``, ``average`` or ``sum``,
        and the rounding of an average.
    mapping: the engine's name for the way it computes this (``Engine.mappings``); '' = the engine's usual one.
    resident: operands (inputs, then the output) that lie whole in the engine's local memory, so that none of their
        bytes is moved; see :meth:`Engine.may_stay`.
    whole: in the workload of a tile that has resident operands: the shapes of all operands of the nest.
    strips: operands (inputs, then the output) that are some rows of a larger map, whose channels therefore do not
        follow each other in memory.
    reversed_axes: along which a reverse turns the order of elements.
    work: arithmetic operations of a kernel that is given as C.
    apart: of a part of a kernel of the CPU: some operand's rows do not follow each other in memory.
    """

    kind: str
    inputs: tuple[Tensor, ...]
    output: Tensor
    weights: NDArray[Any] | None = None
    bias: NDArray[Any] | None = None
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1
    requant: Requant | None = None
    ranges: tuple[Interval, ...] = ()
    zero_point: int = 0
    bias_is_computed: bool = False
    window: tuple[int, int] = (1, 1)
    mode: str = ""
    mapping: str = ""
    resident: frozenset[int] = frozenset()
    whole: tuple[tuple[int, ...], ...] = ()
    strips: frozenset[int] = frozenset()
    reversed_axes: tuple[int, ...] = ()
    mean_rounding: str = "floor"
    work: int = 0
    apart: bool = False

    @property
    def kernel(self) -> tuple[int, int]:
        """Kernel height and width; (1, 1) for what has none."""
        if self.kind == "conv2d" and self.weights is not None:
            return int(self.weights.shape[2]), int(self.weights.shape[3])
        return 1, 1

    @property
    def is_depthwise(self) -> bool:
        """One kernel for each channel."""
        return self.kind == "conv2d" and self.groups == self.inputs[0].shape[1] == self.output.shape[1] > 1

    @property
    def macs(self) -> int:
        """Multiply-accumulates: output elements times the weights each of them needs."""
        if self.weights is None:
            return 0
        return self.output.size * prod(self.weights.shape[1:])


@dataclass(frozen=True)
class Approximation:
    """How an engine could compute a convolution that it cannot compute exactly.

    The input channels are cut into ``parts`` (ranges); the sum over each is brought to few bits by ``requant`` (floor,
    multiplier 1, one shift), and what is left of them is added up.
    """

    parts: tuple[Range, ...]
    requant: Requant

    @property
    def shift(self) -> int:
        return self.requant.shift[0]


def converted_part(workload: Workload, channels: Range, requant: Requant) -> Workload:
    """The convolution over some input channels, without bias, requantised to 8 bits."""
    start, size = channels
    source = workload.inputs[0]
    return replace(
        workload,
        inputs=(replace(source, shape=(source.shape[0], size, *source.shape[2:])),),
        output=replace(workload.output, dtype="i8"),
        weights=as_array(workload.weights)[:, start : start + size],
        bias=None,
        requant=requant,
    )


@dataclass(frozen=True)
class Window:
    """Which part of one axis of an operand a tile touches.

    dimension: the tiled dimension that moves the window; None = the whole axis always.
    For a tile [start, start + size) of the dimension the window is
    [start * stride + offset, (start + size - 1) * stride + offset + extent), where what lies outside the axis reads as
    zero (that is how padding and halo are expressed).
    """

    dimension: str | None = None
    stride: int = 1
    offset: int = 0
    extent: int = 1

    def span(self, tile: Tile, axis: int) -> tuple[int, int, int, int]:
        """Start and size inside an axis of ``axis`` elements, and the zeros before and after it."""
        if self.dimension is None:
            return 0, axis, 0, 0
        start, size = tile[self.dimension]
        low = start * self.stride + self.offset
        high = low + (size - 1) * self.stride + self.extent
        inner_low, inner_high = max(low, 0), min(high, axis)
        if inner_low >= inner_high:  # only padding
            return 0, 0, high - low, 0
        return inner_low, inner_high - inner_low, inner_low - low, high - inner_high


WHOLE = Window()
Windows = tuple[tuple[Window, ...], ...]
"""For each operand, for each of its axes."""


def dimensions(workload: Workload) -> dict[str, int]:
    """The dimensions a nest may tile, outermost first, with their extents.

    k: output channels (or elements of a vector), y: output rows.
    """
    shape = workload.output.shape
    return {"k": shape[1], "y": shape[2]} if len(shape) == 4 else {"k": shape[1]}


def windows(workload: Workload, tiled: Sequence[str]) -> Windows:
    """Windows of the operands (activations, weights, bias, output; absent ones left out).

    Only dimensions in ``tiled`` move a window; any other axis is whole, and its padding stays in the operator.
    """
    k = Window("k") if "k" in tiled else WHOLE
    y = Window("y") if "y" in tiled else WHOLE
    rank = len(workload.output.shape)
    output = (WHOLE, k, y, WHOLE)[:rank]
    operands: list[tuple[Window, ...]]
    match workload.kind:
        case "conv2d":
            span = workload.dilations[0] * (workload.kernel[0] - 1) + 1
            rows = Window("y", workload.strides[0], -workload.pads[0], span) if "y" in tiled else WHOLE
            channels = k if workload.is_depthwise else WHOLE
            operands = [(WHOLE, channels, rows, WHOLE), (k, WHOLE, WHOLE, WHOLE)]
            operands += [(k,)] if workload.bias is not None else []
        case "pool":
            rows = Window("y", workload.strides[0], -workload.pads[0], workload.window[0]) if "y" in tiled else WHOLE
            operands = [(WHOLE, k, rows, WHOLE)]
        case "dense":
            operands = [(WHOLE, WHOLE), (k, WHOLE)]
            operands += [(k,)] if workload.bias is not None else []
        case "add":
            operands = [output] * 2
        case kind:
            raise ValueError(f"{kind} cannot be tiled")
    return (*operands, output)


def tiles(extents: Mapping[str, int], sizes: Mapping[str, int], order: Sequence[str]) -> list[Tile]:
    """All tiles of a grid, the last dimension of ``order`` fastest; edge tiles are smaller."""
    grid: list[dict[str, Range]] = [{}]
    for name in order:
        extent, step = extents[name], sizes[name]
        steps = [(start, min(step, extent - start)) for start in range(0, extent, step)]
        grid = [{**outer, name: inner} for outer in grid for inner in steps]
    return list(grid)


def tile_workload(workload: Workload, tile: Tile) -> Workload:
    """The workload of one tile: cut operands, and padding only where the tile touches the border."""
    tiled = tuple(tile)
    spans = windows(workload, tiled)
    activations = len(workload.inputs)
    cut_inputs: list[Tensor] = []
    pads = list(workload.pads)
    for tensor, axes in zip(workload.inputs, spans, strict=False):
        parts = [w.span(tile, n) for w, n in zip(axes, tensor.shape, strict=True)]
        cut_inputs.append(replace(tensor, shape=tuple(p[1] for p in parts)))
        if workload.kind == "conv2d" and "y" in tiled:
            pads[0], pads[2] = parts[2][2], parts[2][3]
    out_shape = tuple(w.span(tile, n)[1] for w, n in zip(spans[-1], workload.output.shape, strict=True))
    channels = slice(None)
    if "k" in tile and workload.weights is not None:
        start, size = tile["k"]
        channels = slice(start, start + size)
    return replace(
        workload,
        inputs=tuple(cut_inputs[:activations]),
        output=replace(workload.output, shape=out_shape),
        weights=None if workload.weights is None else workload.weights[channels],
        bias=None if workload.bias is None else workload.bias[channels],
        pads=(pads[0], pads[1], pads[2], pads[3]),
        groups=out_shape[1] if workload.is_depthwise else workload.groups,
        requant=_cut_requant(workload.requant, channels),
        whole=tuple(t.shape for t in (*workload.inputs, workload.output)) if workload.resident else (),
    )


def _cut_requant(requant: Requant | None, channels: slice) -> Requant | None:
    if requant is None:
        return None

    def cut(values: tuple[int, ...]) -> tuple[int, ...]:
        return values[channels] if len(values) > 1 else values

    parameters = {name: cut(getattr(requant, name)) for name in ("multiplier", "shift", "addend")}
    return replace(requant, **parameters)


def as_array(values: NDArray[Any] | None) -> NDArray[Any]:
    """The constant, or an error where the caller needs one and the workload has none."""
    if values is None:
        raise ValueError("the workload has no constant weights")
    return np.asarray(values)
