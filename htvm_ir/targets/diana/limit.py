"""How fast the digital array could compute a network: the yardstick that measured cycles are divided by.

The limit knows the shapes of the layers and nothing of the compiler: each layer takes the cheapest of a fixed list of
mappings, computed in untiled jobs with the weights streamed once, and the network's inputs and outputs cross between L2
and L1 once. Starts of transfers, the CPU and whatever it computes alone count nothing. It is a yardstick, not a proof:
a mapping that is not in the list (diagonal blocks of 8 channels, say) can be cheaper for some layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil

from htvm_ir.targets.diana.costs import add_cycles, conv_cycles, dense_cycles
from htvm_ir.targets.diana.instruction import LANES
from htvm_ir.targets.diana.parameters import DIANA, Parameters
from htvm_ir.targets.workload import Workload

BIAS = 4
"""Bytes of a bias beside the weights of a channel."""
SHARED_STREAM = 4
"""Depthwise channels whose kernels the published driver keeps in one block of weights."""


@dataclass(frozen=True)
class Mapping:
    """One way to compute a layer: cycles of its job or jobs, and bytes of weights they stream."""

    name: str
    compute: int
    weight_bytes: int

    def cycles(self, parameters: Parameters = DIANA) -> float:
        """Compute, then the weights at the rate of the stream."""
        return self.compute + self.weight_bytes / parameters.weight_bytes_per_cycle


@dataclass(frozen=True)
class _Shape:
    """A convolution in numbers: channels, rows and columns; ``stride`` and ``pad`` are those of the rows."""

    k: int
    c: int
    cy: int
    oy: int
    ox: int
    fy: int
    fx: int
    stride: int
    pad: int

    def compute(self, parameters: Parameters) -> int:
        """Cycles of one job for all of it."""
        return conv_cycles(
            k=_blocks(self.k),
            ox=_blocks(self.ox),
            c=self.c,
            fx=self.fx,
            fy=self.fy,
            stride=self.stride,
            pad_top=self.pad,
            cy=self.cy,
            oy=self.oy,
            parameters=parameters,
        )

    def weight_bytes(self) -> int:
        """Bytes its job streams."""
        return _blocks(self.k) * LANES * (self.c * self.fy * self.fx + BIAS)


def network_limit(layers: Sequence[Workload], edge_bytes: int, parameters: Parameters = DIANA) -> int:
    """Cycles of a network: its convolutions, dense layers and sums, and ``edge_bytes`` of inputs and outputs."""
    best = sum(min(m.cycles(parameters) for m in mappings(layer, parameters)) for layer in layers)
    return ceil(best + edge_bytes / parameters.dma_bytes_per_cycle)


def mappings(layer: Workload, parameters: Parameters = DIANA) -> list[Mapping]:
    """The ways to compute a ``conv2d``, ``dense`` or ``add``."""
    match layer.kind:
        case "conv2d":
            return list(_convolution(layer, parameters))
        case "dense":
            c, k = _blocks(layer.inputs[0].shape[1]), _blocks(layer.output.shape[1])
            weights = k * LANES * LANES * (c + 1)
            return [Mapping("direct", dense_cycles(c=c, k=k, parameters=parameters), weights)]
        case "add":
            return [Mapping("direct", add_cycles(c=_blocks(layer.output.size), parameters=parameters), 0)]
        case kind:
            raise ValueError(f"the limit does not know {kind}")


def _convolution(layer: Workload, parameters: Parameters) -> Iterator[Mapping]:
    for suffix, shape in (("", _shape(layer)), (", swapped", _shape(layer, swapped=True))):
        for mapping in _grouped(shape, layer.groups, parameters):
            yield replace(mapping, name=mapping.name + suffix)
    if layer.groups == 1 and layer.kernel == (1, 1) and layer.strides == (1, 1):
        shape = _shape(layer)
        row = replace(shape, cy=1, oy=1, ox=shape.oy * shape.ox)
        yield Mapping("flattened", row.compute(parameters), row.weight_bytes())


def _grouped(shape: _Shape, groups: int, parameters: Parameters) -> Iterator[Mapping]:
    """Direct or, of a convolution in groups, a job for each group, and of a depthwise one also 16-channel blocks."""
    if groups == 1:
        yield Mapping("direct", shape.compute(parameters), shape.weight_bytes())
        return
    part = replace(shape, k=shape.k // groups, c=shape.c // groups)
    if part.k > 1 or part.c > 1:
        yield Mapping("one job a group", groups * part.compute(parameters), groups * part.weight_bytes())
        return
    blocks, square = _blocks(groups), replace(shape, k=LANES, c=LANES)
    single = blocks * SHARED_STREAM * part.weight_bytes()
    yield Mapping("one job a channel", groups * part.compute(parameters), single)
    yield Mapping("diagonal", blocks * square.compute(parameters), blocks * square.weight_bytes())


def _shape(layer: Workload, swapped: bool = False) -> _Shape:
    """The numbers of a convolution; ``swapped``: of the one with height and width exchanged."""
    _, c, *image = layer.inputs[0].shape
    _, k, *result = layer.output.shape
    rows, columns = (1, 0) if swapped else (0, 1)
    return _Shape(
        k=k,
        c=c,
        cy=image[rows],
        oy=result[rows],
        ox=result[columns],
        fy=layer.kernel[rows],
        fx=layer.kernel[columns],
        stride=layer.strides[rows],
        pad=layer.pads[rows],
    )


def _blocks(size: int) -> int:
    return -(-size // LANES)
