"""Random workloads of the array, and their exact results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from htvm_ir import arithmetic
from htvm_ir.targets.target import Engine
from htvm_ir.targets.workload import (
    Requant,
    Tensor,
    Tile,
    Window,
    Workload,
    dimensions,
    tile_workload,
    tiles,
    windows,
)

Array = NDArray[Any]
KINDS = ("conv2d", "depthwise", "dense", "add", "pool")


@st.composite
def requants(draw: st.DrawFn, channels: int, kind: str) -> Requant:
    """One number or one for each channel, both signs of rounding, any clip."""
    count = channels if kind in ("conv2d", "depthwise", "dense") and draw(st.booleans()) else 1
    rounding = draw(st.sampled_from(["floor", "half_even", "gemmlowp", "single"]))
    shifts = st.integers(31, 40) if rounding != "floor" else st.integers(0, 12)
    multipliers = st.integers(2**29, 2**30) if rounding != "floor" else st.just(1)
    lo, hi = sorted(draw(st.lists(st.integers(-128, 127), min_size=2, max_size=2, unique=True)))
    return Requant(
        rounding,
        tuple(draw(multipliers) for _ in range(count)),
        tuple(draw(shifts) for _ in range(count)),
        draw(st.integers(-5, 5)),
        lo,
        hi,
        (draw(st.integers(-1000, 1000)),) if rounding == "floor" else (0,),
    )


@st.composite
def workloads(draw: st.DrawFn, kinds: tuple[str, ...] = KINDS) -> Workload:
    """Small maps with any kernel, strides and padding narrower than the kernel."""
    kind = draw(st.sampled_from(kinds))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    c, k = draw(st.integers(1, 20)), draw(st.integers(1, 40))
    if kind == "dense":
        weights, bias = random.integers(-128, 128, (k, c)), random.integers(-(2**20), 2**20, k)
        shapes = ((1, c), (1, k))
        options: dict[str, Any] = {"weights": weights, "bias": bias.astype(np.int32)}
    elif kind == "add":
        shape = draw(st.sampled_from([(1, c), (1, c, draw(st.integers(1, 9)), draw(st.integers(1, 9)))]))
        shapes, options = (shape, shape), {}
    else:
        shapes, options = _windowed(draw, kind, c, k, random)
    inputs = (Tensor(shapes[0]),) * (2 if kind == "add" else 1)
    zero_point = draw(st.integers(-128, 127)) if kind in ("conv2d", "depthwise", "dense") else 0
    requant = draw(requants(shapes[1][1], kind))
    name = "conv2d" if kind == "depthwise" else kind
    return Workload(name, inputs, Tensor(shapes[1]), requant=requant, zero_point=zero_point, **options)


def _windowed(draw: st.DrawFn, kind: str, c: int, k: int, random: np.random.Generator) -> tuple[Any, dict[str, Any]]:
    fy, fx = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    strides = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    pads = tuple(draw(st.integers(0, size - 1)) for size in (fy, fx, fy, fx))
    iy, ix = draw(st.integers(fy, 12)), draw(st.integers(fx, 12))
    oy, ox = (iy + pads[0] + pads[2] - fy) // strides[0] + 1, (ix + pads[1] + pads[3] - fx) // strides[1] + 1
    options: dict[str, Any] = {"strides": strides, "pads": pads}
    if kind == "pool":
        mode = draw(st.sampled_from(arithmetic.POOLS))
        rounding = draw(st.sampled_from(arithmetic.MEAN_ROUNDINGS))
        return ((1, c, iy, ix), (1, c, oy, ox)), {
            **options,
            "window": (fy, fx),
            "mode": mode,
            "mean_rounding": rounding,
        }
    depthwise = kind == "depthwise"
    k = max(2, c) if depthwise else k
    c = k if depthwise else c
    options["weights"] = random.integers(-128, 128, (k, 1 if depthwise else c, fy, fx))
    options["bias"] = random.integers(-(2**20), 2**20, k).astype(np.int32)
    return ((1, c, iy, ix), (1, k, oy, ox)), {**options, "groups": c if depthwise else 1}


def maps(workload: Workload, seed: int = 0) -> list[Array]:
    """Noise for the inputs."""
    random = np.random.default_rng(seed)
    return [random.integers(-128, 128, tensor.shape).astype(np.int8) for tensor in workload.inputs]


def expected(workload: Workload, inputs: list[Array]) -> Array:
    """The result by the reference arithmetic."""
    requant = workload.requant
    assert requant is not None
    match workload.kind:
        case "add":
            acc = arithmetic.add(*inputs)
        case "dense":
            assert workload.weights is not None
            acc = arithmetic.dense(inputs[0], workload.weights, workload.bias, workload.zero_point)
        case "pool":
            windows = (workload.window, workload.strides, workload.pads)
            acc = arithmetic.pool(inputs[0], workload.mode, *windows, workload.mean_rounding)
        case _:
            assert workload.weights is not None
            shape = (workload.strides, workload.pads, (1, 1), workload.groups, workload.zero_point)
            acc = arithmetic.conv2d(inputs[0], workload.weights, workload.bias, *shape)
    scales = (requant.multiplier, requant.shift, requant.zero_point, requant.lo, requant.hi)
    return arithmetic.requantize(acc, requant.rounding, *scales, np.dtype(np.int8), requant.addend)


def tile_by_tile(engine: Engine, workload: Workload, inputs: list[Array], sizes: Mapping[str, int]) -> Array:
    """The result of a job for each tile of some channels and rows, in this order, where they lie in maps in L1."""
    whole = replace(workload, resident=frozenset(range(len(inputs) + 1)))
    extents = dimensions(whole)
    cut = {name: min(size, extents[name]) for name, size in sizes.items() if name in extents}
    buffers = [*(x.reshape(-1).view(np.uint8) for x in inputs), np.zeros(whole.output.size, np.uint8)]
    for tile in tiles(extents, cut, tuple(cut)):
        part, spans = tile_workload(whole, tile), windows(whole, tuple(tile))
        operands = zip(buffers, part.whole, (*spans[: len(inputs)], spans[-1]), engine.local_bytes(part), strict=True)
        *sources, result = (_reached(*operand, tile) for operand in operands)
        engine.execute(engine.job(part), sources, engine.pack(part), result)
    return buffers[-1].view(np.int8).reshape(whole.output.shape)


def _reached(buffer: Array, shape: tuple[int, ...], axes: Sequence[Window], size: int, tile: Tile) -> Array:
    """The bytes of a row-major map from the first of a tile to its last."""
    starts = [axis.span(tile, extent)[0] for axis, extent in zip(axes, shape, strict=True)]
    first = int(np.ravel_multi_index(starts, shape))
    assert first + size <= buffer.size
    return buffer[first : first + size]
