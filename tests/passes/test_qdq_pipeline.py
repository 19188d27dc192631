"""A network with zero points, unsigned tensors and every op, down the whole pipeline and as compiled C."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from host_native import call, guarded, load
from networks import apply
from numpy.typing import NDArray
from xdsl.dialects.builtin import IntegerType, ModuleOp, Signedness, TensorType, i8, i32
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from htvm_ir.backend.c.package import render
from htvm_ir.dialects import accel, graph
from htvm_ir.interpreters.run import run
from htvm_ir.passes.dispatch import Dispatch
from htvm_ir.passes.fold_constants import constant
from htvm_ir.passes.pipeline import PIPELINE, pass_class
from htvm_ir.passes.set_target import SetTarget
from htvm_ir.passes.workloads import block_workload

Array = NDArray[Any]
ui8 = IntegerType(8, Signedness.UNSIGNED)
SHAPE = (1, 3, 6, 5)


class Net:
    """``@main`` with one argument of 8 bits, and noise for its constants."""

    def __init__(self, element: IntegerType = ui8, shape: tuple[int, ...] = SHAPE):
        self.random = np.random.default_rng(7)
        self.block = Block(arg_types=[TensorType(element, shape)])
        self.x: SSAValue = self.block.args[0]

    def emit(self, op: Operation) -> SSAValue:
        self.block.add_op(op)
        return op.results[0]

    def noise(self, *shape: int, dtype: str = "int8") -> SSAValue:
        return self.emit(constant(self.random.integers(-128, 128, shape).astype(dtype)))

    def requant(self, x: SSAValue, element: Attribute = i8, multiplier: int = 1 << 24, zero_point: int = 0) -> SSAValue:
        lo, hi = graph.element_limits(element)
        options: dict[str, Any] = {"rounding": "half_even", "multiplier": (multiplier,), "shift": (33,)}
        return self.emit(graph.RequantOp(x, element, zero_point=zero_point, lo=lo, hi=hi, **options))

    def conv(self, x: SSAValue, groups: int, zero_point: int, dtype: str = "int8") -> SSAValue:
        channels = graph.shape_of(x)[1]
        weights = self.noise(4 if groups == 1 else groups, channels // groups, 3, 3, dtype=dtype)
        return self.emit(graph.Conv2dOp(x, weights, None, (1, 1), (1, 0, 1, 1), (1, 1), groups, zero_point))

    def module(self, result: SSAValue) -> ModuleOp:
        self.block.add_op(ReturnOp(result))
        module = ModuleOp([FuncOp("main", (self.block.arg_types, [result.type]), Region(self.block))])
        SetTarget().apply(None, module)  # pyright: ignore[reportArgumentType]
        module.verify()
        return module


def network() -> ModuleOp:
    """Every op of the dialect, on four 8-bit tensors that meet."""
    net = Net()
    a = net.requant(net.conv(net.x, 1, 128, "int16"), ui8, zero_point=3)
    a = net.requant(net.conv(a, 4, 3), zero_point=-5)
    b = net.emit(graph.LookupOp(a, net.noise(256)))
    wide = [net.requant(v, i32, 1 << 27) for v in (a, b)]
    c = net.requant(net.emit(graph.AddOp(*wide)), multiplier=1 << 30)
    d = net.requant(net.emit(graph.MulOp(b, c, (-5, 4))), multiplier=1 << 26)
    joined = net.emit(graph.ConcatOp([c, d, a], 1))
    framed = net.emit(graph.PadOp(joined, (0, 0, 1, 0), (0, 0, 0, 2), -5))
    part = net.emit(graph.SliceOp(framed, (0, 1, 0, 0), (1, 10, 4, 3), (1, 1, 2, 2)))
    mean = net.emit(graph.PoolOp("average", part, (2, 2), (2, 1), (0, 0, 0, 0), "half_even"))
    total = net.requant(net.emit(graph.PoolOp("sum", mean, (1, 2), (1, 1), (0, 0, 0, 0))), ui8, 1 << 30, 90)
    turned = net.emit(graph.TransposeOp(total, (0, 2, 3, 1)))
    size = int(np.prod(graph.shape_of(turned)))
    flat = net.emit(graph.ReshapeOp(turned, (1, size)))
    logits = net.emit(graph.DenseOp(flat, net.noise(6, size), None, 90))
    return net.module(net.emit(graph.SubOp(logits, net.noise(1, 6, dtype="int32"))))


@pytest.fixture
def image() -> Array:
    return np.random.default_rng(1).integers(0, 256, SHAPE).astype(np.uint8)


def test_every_pass_keeps_every_bit(image: Array, tmp_path: Path):
    module = network()
    (expected,) = run(module, [image])
    assert len(np.unique(expected)) == expected.size  # it says something
    for name in PIPELINE:
        apply(module, pass_class(name)())
        (result,) = run(module, [image])
        np.testing.assert_array_equal(result, expected, err_msg=name)
    library = load(render(module), tmp_path)
    output, whole = guarded(expected.size, expected.dtype)
    assert call(library, "tvmgen_default___tvm_main__", image, output) == 0
    np.testing.assert_array_equal(output.reshape(expected.shape), expected)
    assert (np.delete(whole, np.s_[32:-32]) == 85).all()


def test_no_kernel_hands_on_32_bits():
    module = apply(network(), *(pass_class(name)() for name in PIPELINE[: PIPELINE.index("dispatch") + 1]))
    dispatches = accel.kernels(module)
    stored = [graph.tensor_type(d.results_[0]).element_type for d in dispatches]
    assert i32 not in stored[:-1]
    anchors = [d.kernel.data.split("_", 1)[1].rsplit("_", 1)[0] for d in dispatches]
    assert anchors[0] == "transpose"
    assert anchors[1:] == ["conv2d", "conv2d", "lookup", "add", "mul", "concat", "pad", "pool", "pool", "dense"]


def dispatched(build: Callable[[Net], SSAValue], element: IntegerType = i8) -> dict[str, str]:
    """Why the engines refuse the first kernel of a network."""
    net = Net(element)
    module = apply(net.module(build(net)), Dispatch())
    return next(iter(accel.kernels(module))).reasons


def shifted(net: Net, x: SSAValue) -> SSAValue:
    return net.emit(graph.RequantOp(x, i8, shift=(4,)))


def test_the_digital_array_says_why_it_refuses():
    assert "digital" not in dispatched(lambda net: shifted(net, net.conv(net.x, 1, 0)))
    reasons = dispatched(lambda net: shifted(net, net.conv(net.x, 1, -7)))
    assert reasons["digital"] == "input zero point -7: the array is symmetric and pads with 0"
    reasons = dispatched(lambda net: shifted(net, net.conv(net.x, 1, 0)), ui8)
    assert reasons["digital"] == "operands and result must be 8-bit signed; requantise to i8"
    reasons = dispatched(lambda net: shifted(net, net.emit(graph.AddOp(net.x, net.noise(*SHAPE)))))
    assert reasons["digital"] == "a sum with a constant: the array adds two feature maps"
    reasons = dispatched(lambda net: shifted(net, net.emit(graph.SubOp(net.x, net.x))))
    assert reasons["digital"] == "the digital array has no sub; it computes conv2d, dense and add"


def ternary(net: Net, element: IntegerType, zero_point: int) -> SSAValue:
    """A convolution for the analog array, but for its zero point and unsigned elements."""
    lo, hi = (-64, 63) if element == i8 else (0, 63)
    seven_bits = net.emit(graph.RequantOp(net.x, element, lo=lo, hi=hi))
    weights = net.emit(constant(net.random.integers(-1, 2, (4, 3, 3, 3)).astype(np.int8)))
    conv = net.emit(graph.Conv2dOp(seven_bits, weights, None, (1, 1), (1, 1, 1, 1), zero_point=zero_point))
    return net.emit(graph.RequantOp(conv, i8, shift=(2,), lo=-32, hi=31))


@pytest.mark.parametrize(
    ("element", "zero_point", "reason"),
    [
        (i8, 0, None),
        (i8, 5, "input zero point 5: the array is symmetric and pads with 0"),
        (ui8, 0, "operands and result must be 8-bit signed; requantise to i8"),
    ],
)
def test_the_analog_array_says_why_it_refuses(element: IntegerType, zero_point: int, reason: str | None):
    net = Net(element)
    module = apply(net.module(ternary(net, element, zero_point)), Dispatch())
    (conv,) = [d for d in accel.kernels(module) if block_workload(d.body.block).kind == "conv2d"]
    assert conv.reasons.get("analog") == reason
