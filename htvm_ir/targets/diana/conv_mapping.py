"""The ways in which DIANA's digital core computes a convolution, and their names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product

from htvm_ir.targets.diana import compact
from htvm_ir.targets.diana.instruction import LANES
from htvm_ir.targets.diana.packing import round_up
from htvm_ir.targets.diana.parameters import Parameters
from htvm_ir.targets.layout import Layout
from htvm_ir.targets.workload import Tensor, Workload

OX_LAYOUT = Layout((0, 1, 2, 3), (1, 1, 1, LANES), xor=3)
"""Feature maps: CHW, rows padded to 16 bytes, every word reversed (HTVM's and DORY's layout)."""

BLOCKS = {"blocks16": 16, "blocks8": 8, "blocks4": 4}
"""Depthwise layers as diagonal blocks: channels of a job."""

LAYOUTS = {(False, False): "", (True, True): "compact", (True, False): "from_compact", (False, True): "to_compact"}
"""Whether the input and the output are compact maps, in the names of mappings."""

MOST_JOBS = 25
"""Jobs that the driver's list has room for."""


@dataclass(frozen=True)
class ConvMapping:
    """A way to compute a convolution.

    lanes: channels of a diagonal block; 0 = an ordinary convolution, or one job for each channel of a depthwise one.
    compact_input, compact_output: which maps are compact (``compact.py``).
    """

    lanes: int = 0
    compact_input: bool = False
    compact_output: bool = False

    @staticmethod
    def of(workload: Workload) -> ConvMapping:
        """The mapping a workload names."""
        return _named(workload.mapping)

    def layouts(self, workload: Workload) -> tuple[Layout, ...]:
        """Of the input and the output."""
        sides = ((workload.inputs[0], self.compact_input), (workload.output, self.compact_output))
        return tuple(compact.layout(tensor) if is_compact else OX_LAYOUT for tensor, is_compact in sides)

    def is_flat(self, workload: Workload) -> bool:
        """Whether whole planes are computed as one row."""
        alone = workload.kernel == (1, 1) == workload.strides and not any(workload.pads)
        return alone and not workload.is_depthwise and self.compact_input and self.compact_output

    def row_pitch(self, workload: Workload) -> int:
        """Bytes between output rows that are jobs of their own; 0 = one job computes all rows."""
        if not self.compact_output or self.is_flat(workload):
            return 0
        return compact.pitch(workload.output)

    def in_plane(self, workload: Workload) -> int:
        """Stored bytes of an input channel."""
        return plane_bytes(workload.inputs[0], self.compact_input)

    def out_plane(self, workload: Workload) -> int:
        """Stored bytes of an output channel."""
        return plane_bytes(workload.output, self.compact_output)


def mappings(workload: Workload, parameters: Parameters) -> Iterator[str]:
    """The names of all that compute a convolution, the published one first."""
    source, result = workload.inputs[0], workload.output
    narrow = [
        parameters.compact_maps and compact.is_narrower(tensor) and index not in workload.strips  # rows of a larger map
        for index, tensor in enumerate((source, result))
    ]
    inputs, outputs = ((False, True) if compact_too else (False,) for compact_too in narrow)
    ways: list[str] = [""]
    if workload.is_depthwise:
        yield "channels"
        least = min(BLOCKS.values())
        ways = [name for name, lanes in BLOCKS.items() if result.shape[1] > lanes // 2 or lanes == least]
    for maps, way in product(product(inputs, outputs), ways):
        mapping = ConvMapping(BLOCKS.get(way, 0), *maps)
        if _is_possible(mapping, workload):
            yield "_".join(filter(None, (way, LAYOUTS[maps])))


def plane_bytes(tensor: Tensor, is_compact: bool) -> int:
    """Stored bytes of one channel of a feature map."""
    if is_compact:
        return compact.plane_bytes(tensor)
    return tensor.shape[2] * round_up(tensor.shape[3], LANES)


@cache
def _named(name: str) -> ConvMapping:
    way, _, rest = name.partition("_")
    if way in BLOCKS:
        return ConvMapping(BLOCKS[way], *_maps(rest))
    return ConvMapping(0, *_maps(name))


def _maps(name: str) -> tuple[bool, bool]:
    return next((maps for maps, text in LAYOUTS.items() if text == name), (False, False))


def _is_possible(mapping: ConvMapping, workload: Workload) -> bool:
    """Whether the rows that are jobs of their own see the input, and have room in the list."""
    if not mapping.row_pitch(workload):
        return True
    rows = workload.output.shape[2] * (LANES // mapping.lanes if mapping.lanes else 1)
    return rows <= MOST_JOBS and compact.sees_every_row(workload)
