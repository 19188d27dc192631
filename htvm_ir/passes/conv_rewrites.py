"""Exact rewritings of a convolution into others that an engine may accept; plain data in, plain data out.

Each leaves every output element the same sum of the same products, with products by zero added.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htvm_ir.targets.workload import Tensor, Workload, as_array

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]

GROWTH = 4
"""Zero rows or columns tried at the end of a kernel: from each odd size at least the next one is reached."""


@dataclass(frozen=True)
class Blocks:
    """A space-to-depth of the input before the convolution; see ``graph.space_to_depth``."""

    block: Pair
    pads: Pads


@dataclass(frozen=True, eq=False)
class Rewriting:
    """The convolution to compute instead, and what its input has to go through first (None = nothing)."""

    workload: Workload
    blocks: Blocks | None = None


def in_place(workload: Workload) -> Iterator[Rewriting]:
    """The convolution with larger kernels on the same input, fewest multiplications first."""
    dense = undilate(workload)
    return (Rewriting(grown) for grown in _grown(dense))


def on_blocks(workload: Workload) -> Iterator[Rewriting]:
    """Convolutions of stride 1 on the space-to-depth of the input, fewest multiplications first.

    None if the stride is 1 already, or in groups: a block's channels would not lie in one group's kernel. Nor with an
    input zero point: blocks are padded with 0.
    """
    if workload.strides == (1, 1) or workload.groups != 1 or workload.zero_point:
        return
    rewritten, blocks = space_to_depth(undilate(workload))
    for grown in _grown(rewritten):
        yield Rewriting(grown, blocks)


def _grown(workload: Workload) -> Iterator[Workload]:
    fy, fx = workload.kernel
    sizes = sorted(product(range(fy, fy + GROWTH + 1), range(fx, fx + GROWTH + 1)), key=lambda f: (f[0] * f[1], f))
    for kernel in sizes:
        if (grown := grow_kernel(workload, kernel)) is not None:
            yield grown


def undilate(workload: Workload) -> Workload:
    """The kernel with the zeros of its dilation written out."""
    weights, (dy, dx) = as_array(workload.weights), workload.dilations
    k, c, fy, fx = weights.shape
    spread = np.zeros((k, c, dy * (fy - 1) + 1, dx * (fx - 1) + 1), weights.dtype)
    spread[:, :, ::dy, ::dx] = weights
    return replace(workload, weights=spread, dilations=(1, 1))


def grow_kernel(workload: Workload, kernel: Pair) -> Workload | None:
    """The kernel with zero rows and columns after it, up to ``kernel``; dilation must be 1.

    The padding at the bottom and right is what the output's size asks for. None if the input has so many surplus rows
    or columns that even without such padding the output would be larger.
    """
    weights = as_array(workload.weights)
    extra = [new - old for new, old in zip(kernel, weights.shape[2:], strict=True)]
    after: list[int] = []
    for axis in (0, 1):
        size, out = workload.inputs[0].shape[2 + axis], workload.output.shape[2 + axis]
        stride, before = workload.strides[axis], workload.pads[axis]
        missing = (out - 1) * stride + kernel[axis] - before - size
        if missing <= -stride:
            return None
        after.append(max(0, missing))
    padded = np.pad(weights, ((0, 0), (0, 0), (0, extra[0]), (0, extra[1])))
    return replace(workload, weights=padded, pads=(*workload.pads[:2], after[0], after[1]))


def crop_kernel(workload: Workload) -> Workload:
    """The kernel without the rows and columns at its edges that meet nothing but padding.

    The output's size stays what it is: an edge is kept whose loss would need a cut input, or add outputs.
    """
    weights, pads = as_array(workload.weights), list(workload.pads)
    for axis in (0, 1):
        first, last, after = _met_taps(workload, axis)
        weights = weights.take(range(first, last + 1), 2 + axis)
        pads[axis] -= first * workload.dilations[axis]
        pads[axis + 2] = after
    top, left, bottom, right = pads
    return replace(workload, weights=weights, pads=(top, left, bottom, right))


def _met_taps(workload: Workload, axis: int) -> tuple[int, int, int]:
    """The first and the last tap to keep along rows (0) or columns (1), and the padding behind the input then."""
    size, out, taps = workload.inputs[0].shape[2 + axis], workload.output.shape[2 + axis], workload.kernel[axis]
    stride, dilation = workload.strides[axis], workload.dilations[axis]
    before, after = workload.pads[axis], workload.pads[axis + 2]
    starts = range(-before, out * stride - before, stride)
    met = [tap for tap in range(taps) if any(0 <= start + tap * dilation < size for start in starts)]
    if not met or len(met) == taps:
        return 0, taps - 1, after
    ends = {tap: starts[-1] + tap * dilation + 1 - size for tap in range(met[-1], taps)}
    last = next(tap for tap, end in ends.items() if end > -stride or tap == taps - 1)
    return min(met[0], before // dilation), last, after if last == taps - 1 else max(0, ends[last])


def space_to_depth(workload: Workload) -> tuple[Workload, Blocks]:
    """A convolution of stride s as one of stride 1 on blocks of s x s pixels; 1 group, dilation 1.

    Row s * y + j - P of the input, with P = s * p + o, is row j mod s of block y + j div s - p once o zero rows stand
    before the input. The padding after is left to :func:`grow_kernel`.
    """
    weights, (sy, sx) = as_array(workload.weights), workload.strides
    channels, height, width = workload.inputs[0].shape[1:]
    top, left = workload.pads[0] % sy, workload.pads[1] % sx
    blocks = Blocks((sy, sx), (top, left, -(height + top) % sy, -(width + left) % sx))
    rows, columns = -(-(height + top) // sy), -(-(width + left) // sx)
    source = Tensor((1, channels * sy * sx, rows, columns), workload.inputs[0].dtype)
    rewritten = replace(
        workload,
        inputs=(source,),
        weights=_kernel_on_blocks(weights, sy, sx),
        strides=(1, 1),
        pads=(workload.pads[0] // sy, workload.pads[1] // sx, 0, 0),
    )
    return rewritten, blocks


def _kernel_on_blocks(weights: NDArray[Any], sy: int, sx: int) -> NDArray[Any]:
    """W'[k, (c * sy + i) * sx + j, q, r] = W[k, c, q * sy + i, r * sx + j], zero where W has no such tap."""
    k, c, fy, fx = weights.shape
    padded = np.pad(weights, ((0, 0), (0, 0), (0, -fy % sy), (0, -fx % sx)))
    taps = padded.reshape(k, c, padded.shape[2] // sy, sy, padded.shape[3] // sx, sx)
    ordered = taps.transpose(0, 1, 3, 5, 2, 4)
    return np.ascontiguousarray(ordered.reshape(k, c * sy * sx, *ordered.shape[4:]))
