"""Regions that another compiler computes, between tensors of proven integers."""

from __future__ import annotations

from dataclasses import replace

from xdsl.ir import SSAValue

from htvm_ir.dialects.graph import shape_of
from htvm_ir.errors import HtvmError
from htvm_ir.frontends.onnx.external.kernel import Compiler
from htvm_ir.frontends.onnx.external.model import Casts, append_kernel
from htvm_ir.frontends.onnx.external.regions import Region, producers
from htvm_ir.frontends.onnx.graph import Node, Shape
from htvm_ir.frontends.onnx.integer.cutting import quantised_range, stored_as
from htvm_ir.frontends.onnx.integer.net import IntegerNet, Tensor
from htvm_ir.frontends.onnx.integer.proof import Value


def convert_region(net: IntegerNet, node: Node, region: Region, compiler: Compiler) -> None:
    """The kernel of a region; its result is integers if the region ends with their clip, else real numbers.

    Raises:
        NodeError: an operand is no integer; what computes it has to be in the region as well.
    """
    operands = {name: _operand(net, node, name) for name in node.inputs}
    whole = replace(net.graph, nodes=[*net.graph.nodes, *region.nodes])
    interval = quantised_range(whole, region.output)
    casts = Casts(True, None if interval is None else stored_as(interval))
    source = append_kernel(net.emit, net.graph, node, region, operands, compiler, casts)
    if interval is None:
        net.floats[region.output] = source
    else:
        net.tensors[region.output] = Tensor(region.output, source, Value.integers(*interval), shape_of(source))


def _operand(net: IntegerNet, node: Node, name: str) -> tuple[SSAValue, Shape]:
    if name in net.floats:
        return net.floats[name], shape_of(net.floats[name])
    source = producers(net.graph).get(name)
    if name not in net.tensors and source is None:
        raise HtvmError(f"{node}: operand '{name}' is computed by nothing")
    tensor = net.tensors.get(name)
    if tensor is None or (source is not None and tensor.why_no_integer() is not None):
        assert source is not None
        raise source.error("is computed in real numbers")
    tensor = net.integers(node, name)
    return tensor.source, tensor.shape
