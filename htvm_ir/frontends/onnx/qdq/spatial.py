"""Pools and means, on integers and on real numbers."""

from __future__ import annotations

from dataclasses import replace

from xdsl.ir import Operation, SSAValue

from htvm_ir.dialects.graph import PadOp, PoolOp, ReshapeOp
from htvm_ir.frontends.onnx.graph import Node, Shape
from htvm_ir.frontends.onnx.quantised.net import QuantisedNet
from htvm_ir.frontends.onnx.quantised.quantise import affine
from htvm_ir.frontends.onnx.quantised.tables import is_monotone
from htvm_ir.frontends.onnx.quantised.tensors import Affine, Format, Integers, Mean, Move, Real, Table
from htvm_ir.frontends.onnx.shapes import Window, global_window, lifted, pool_window, window


def convert_max_pool(net: QuantisedNet, node: Node) -> None:
    """MaxPool or GlobalMaxPool in one or two dimensions."""
    x = net.operand(node)
    if isinstance(x, Table) and not is_monotone(x.values):
        raise node.error("its operand must be quantised before; put QuantizeLinear and DequantizeLinear there")
    if not isinstance(x, Integers | Real):
        raise node.error("its operand is a constant; fold it")
    planar, image = _planar(net, node, x)
    win = pool_window(planar, image.shape)
    shape = (*image.shape[:2], *win.outputs(image.shape[2:]))

    def make(value: SSAValue, _: Format) -> Operation:
        return PoolOp("max", value, win.kernel, win.strides, win.pads)

    name = node.output if image is x else f"{node.output}.pooled"
    pooled = net.moved(image, Move(node, make, shape), name)
    net.define(node, _unplanar(net, node, pooled, len(x.shape)))


def convert_average(net: QuantisedNet, node: Node) -> None:
    """AveragePool or GlobalAveragePool in one or two dimensions."""
    net.define(node, average(net, node, affine(net, node)))


def average(net: QuantisedNet, node: Node, x: Affine) -> Mean:
    """The averages over the windows of pool ``node``."""
    planar, image = _planar(net, node, x)
    assert isinstance(image, Affine)
    if node.integer("count_include_pad", 0):
        planar, image = _padded(net, planar, image)
    return _mean(node, image, pool_window(planar, image.shape), len(x.shape), reduced=False)


def _padded(net: QuantisedNet, node: Node, x: Affine) -> tuple[Node, Affine]:
    """A pool whose padding counts as one without padding on a map with zeros around it."""
    added, zero_point = window(node, x.shape, None).pads, x.format.zero_point
    whole = pool_window(replace(node, attributes={**node.attributes, "count_include_pad": 0}), x.shape).pads
    # windows that ceil_mode adds reach beyond the padding, and what they find there does not count
    beyond = tuple(end - start for end, start in zip(whole, added, strict=True))
    before, after = ((0, 0, *added[:2]), (0, 0, *added[2:]))
    shape = tuple(low + n + high for low, n, high in zip(before, x.shape, after, strict=True))
    zeros = Move(node, lambda value, _: PadOp(value, before, after, zero_point), shape, fills=True)
    image = net.moved(x, zeros, f"{node.output}.padded") if any(added) else x
    assert isinstance(image, Affine)
    plain = {"pads": beyond, "auto_pad": "NOTSET", "count_include_pad": 0, "ceil_mode": 0}
    attributes = {**node.attributes, **plain}
    return replace(node, attributes=attributes), image


def convert_reduce_mean(net: QuantisedNet, node: Node) -> None:
    """ReduceMean over height and width."""
    net.define(node, reduced_mean(net, node, affine(net, node)))


def reduced_mean(net: QuantisedNet, node: Node, x: Affine) -> Mean:
    """The averages of ReduceMean ``node``."""
    axes = node.integers("axes", ())
    if node.op == "ReduceMean" and node.operand(1):
        axes = tuple(int(v) for v in net.graph.constant(node, 1, "axes").reshape(-1))
    rank = len(x.shape)
    if rank not in (3, 4) or {axis % rank for axis in axes} != set(range(2, rank)):
        raise node.error("only the mean over height and width of N, C, H, W is supported")
    _, image = _planar(net, node, x)
    assert isinstance(image, Affine)
    mean = _mean(node, image, global_window(image.shape), rank, reduced=True)
    if node.integer("keepdims", 1):
        return mean
    result = mean.moved(_reshape(node, x.shape[:2]))
    assert isinstance(result, Mean)
    return result


def _mean(node: Node, x: Affine, win: Window, rank: int, reduced: bool) -> Mean:
    shape = (*x.shape[:2], *win.outputs(x.shape[2:]))
    mean = Mean(shape=shape, operand=x, window=win, reduced=reduced)
    if rank == 4:
        return mean
    result = mean.moved(_reshape(node, (*shape[:2], shape[3])))
    assert isinstance(result, Mean)
    return result


def _planar(net: QuantisedNet, node: Node, x: Integers | Real) -> tuple[Node, Integers | Real]:
    """A pool in one dimension as one in two, of height 1."""
    if len(x.shape) != 3:
        return node, x
    name = f"{node.output}.planar"
    return lifted(node), net.moved(x, _reshape(node, (*x.shape[:2], 1, x.shape[2])), name)


def _unplanar(net: QuantisedNet, node: Node, x: Integers | Real, rank: int) -> Integers | Real:
    if rank == 4:
        return x
    return net.moved(x, _reshape(node, (*x.shape[:2], x.shape[3])), node.output)


def _reshape(node: Node, shape: Shape) -> Move:
    return Move(node, lambda value, _: ReshapeOp(value, shape), shape)
