"""Random networks of every op that has a turned form, on maps that are not square."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
from networks import SAME, Net
from xdsl.dialects.builtin import ModuleOp, i32
from xdsl.ir import SSAValue

from htvm_ir.dialects import graph

PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def turnable(draw: Any) -> ModuleOp:
    """Some layers, a branch, and one of the ends: the map itself, a mean, dense layers on the flattened map."""
    shape = (1, draw(st.integers(1, 5)), draw(st.integers(3, 9)), draw(st.integers(3, 9)))
    net = Net(shape, seed=draw(st.integers(0, 99)))
    x = net.arguments[0]
    for _ in range(draw(st.integers(1, 4))):
        x = draw(st.sampled_from(LAYERS))(draw, net, x)
    return net.module(*draw(st.sampled_from(ENDS))(net, x))


def conv(draw: Any, net: Net, x: SSAValue) -> SSAValue:
    _, c, height, width = graph.shape_of(x)
    kernel = (draw(st.integers(1, min(4, height))), draw(st.integers(1, min(4, width))))
    pads = tuple(draw(st.integers(0, n - 1)) for n in (*kernel, *kernel))
    dilations = draw(PAIRS) if min(height, width) > 9 else (1, 1)
    grouped = draw(st.booleans())
    channels = c if grouped else draw(st.integers(1, 4))
    return net.conv(
        x, channels, kernel, strides=draw(PAIRS), pads=pads, dilations=dilations, groups=c if grouped else 1
    )


def residual(draw: Any, net: Net, x: SSAValue) -> SSAValue:
    return net.add(x, net.conv(x, graph.shape_of(x)[1], (3, 3), pads=SAME))


def constants(draw: Any, net: Net, x: SSAValue) -> SSAValue:
    """A product with a constant map and a difference from one, as numbers of 32 bits."""
    shape = graph.shape_of(x)
    product = net.emit(graph.MulOp(x, net.constant(net.noise(shape, 100)), (3, -2)))
    difference = net.emit(graph.SubOp(net.requant(product, 5), net.constant(net.noise(shape, 100))))
    return net.requant(difference, 1)


def scales(draw: Any, net: Net, x: SSAValue) -> SSAValue:
    """A requantisation for each channel and a table."""
    x = net.requant(x, [n % 2 for n in range(graph.shape_of(x)[1])], element=i32, lo=-128)
    return net.emit(graph.LookupOp(net.requant(x, 0), net.constant(net.noise((256,), 127))))


def pool(draw: Any, net: Net, x: SSAValue) -> SSAValue:
    _, _, height, width = graph.shape_of(x)
    kernel = (min(2, height), min(3, width))
    pads = tuple(draw(st.integers(0, n - 1)) for n in (*kernel, *kernel))
    kind, rounding = draw(st.sampled_from([("max", "floor"), ("average", "half_even"), ("sum", "floor")]))
    pooled = net.emit(graph.PoolOp(kind, x, kernel, draw(PAIRS), pads, rounding))
    return net.requant(pooled, 3) if kind == "sum" else pooled


def moves(draw: Any, net: Net, x: SSAValue) -> SSAValue:
    """Padded by different numbers on all sides, put beside itself, and a part of that."""
    edges = st.tuples(*[st.integers(0, 2)] * 4)
    padded = net.emit(graph.PadOp(x, (0, *draw(edges)[1:]), (0, *draw(edges)[1:]), 7))
    doubled = net.emit(graph.ConcatOp([padded, padded], draw(st.integers(1, 3))))
    shape = graph.shape_of(doubled)
    offsets = tuple(draw(st.integers(0, n // 3)) for n in shape)
    strides = (1, *draw(PAIRS), draw(st.integers(1, 2)))
    sizes = tuple(min((n - o - 1) // s + 1, 9) for n, o, s in zip(shape, offsets, strides, strict=True))
    return net.emit(graph.SliceOp(doubled, offsets, sizes, strides))


LAYERS = (conv, conv, residual, constants, scales, pool, moves)


def whole(net: Net, x: SSAValue) -> tuple[SSAValue, ...]:
    return (x,)


def mean(net: Net, x: SSAValue) -> tuple[SSAValue, ...]:
    size = graph.shape_of(x)[2], graph.shape_of(x)[3]
    return net.dense(net.flatten(net.pool("average", x, size, (1, 1))), 3), x


def classes(net: Net, x: SSAValue) -> tuple[SSAValue, ...]:
    """Two layers read the flattened map; another vector of it is an output."""
    flat = net.flatten(x)
    return net.dense(flat, 3), net.dense(flat, 2), net.flatten(x)


ENDS = (whole, mean, classes)
