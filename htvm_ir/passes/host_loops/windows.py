"""Ops that accumulate: convolution, matrix-vector product, pooling. Padding clips the loops over the window."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.dialects.builtin import i32
from xdsl.ir import Operation, SSAValue

from htvm_ir.dialects.attributes import values
from htvm_ir.dialects.graph import Conv2dOp, DenseOp, PoolOp, SpaceToDepthOp, number, shape_of
from htvm_ir.passes.host_loops.arithmetic import Value
from htvm_ir.passes.host_loops.emitter import Emitter
from htvm_ir.passes.host_loops.kernel import Index, Kernel

UNROLL = 4
"""Copies of the body of a long loop of single products: the loop's own cost is as large as that of a product."""


@dataclass(frozen=True)
class Window:
    """A window of ``size`` taps, ``dilation`` apart, on an axis of ``extent`` elements after ``before`` zeros."""

    extent: int
    size: int
    stride: int
    dilation: int
    before: int
    outputs: int

    def base(self, emit: Emitter, output: Value, name: str) -> Value:
        """Position of the first tap; it may lie in the padding."""
        return emit.add(emit.mul(output, self.stride, name), -self.before, name)

    def taps(self, emit: Emitter, base: Value, name: str) -> tuple[Value, Value]:
        """First tap inside the axis, and the one after the last, for a window that starts at ``base``."""
        low, high = emit.range_of(base) or (-self.before, (self.outputs - 1) * self.stride - self.before)
        first: Value = 0
        if low < 0:
            first = emit.max(self._taps_up_to(emit, emit.sub(0, base, "skipped")), 0, f"{name}_first")
        if high + (self.size - 1) * self.dilation < self.extent:
            return first, self.size
        inside = self._taps_up_to(emit, emit.sub(self.extent, base, "room"))
        return first, emit.min(inside, self.size, f"{name}_end")

    @property
    def interior(self) -> tuple[int, int]:
        """The outputs whose window touches no padding: from the first to the one after the last."""
        return self.inside(0, self.extent)

    def inside(self, first: int, end: int) -> tuple[int, int]:
        """The outputs whose window lies in ``first`` to ``end`` (exclusive), in the same form."""
        low = -(-(self.before + first) // self.stride)
        room = end - (self.size - 1) * self.dilation + self.before
        return low, max(low, min(self.outputs, -(-room // self.stride)))

    def _taps_up_to(self, emit: Emitter, distance: Value) -> Value:
        """How many taps lie before ``distance``, if any."""
        return emit.div(emit.add(distance, self.dilation - 1, "reach"), self.dilation, "taps")


def windows_of(op: Conv2dOp | PoolOp) -> tuple[Window, Window]:
    """The vertical and the horizontal window of an op."""
    if isinstance(op, Conv2dOp):
        sizes, dilations = shape_of(op.weights)[2:], values(op.dilations)
    else:
        sizes, dilations = values(op.kernel), (1, 1)
    extents, outputs, strides = shape_of(op.input)[2:], shape_of(op.result)[2:], values(op.strides)
    before = values(op.pads)[:2]
    vertical, horizontal = (
        Window(extents[a], sizes[a], strides[a], dilations[a], before[a], outputs[a]) for a in (0, 1)
    )
    return vertical, horizontal


def blocks_of(op: SpaceToDepthOp) -> tuple[Window, Window]:
    """The blocks of pixels that become one pixel with more channels: heights and widths, as windows side by side."""
    vertical, horizontal = (
        Window(shape_of(op.input)[2 + a], size, size, 1, values(op.pads)[a], shape_of(op.result)[2 + a])
        for a, size in enumerate(values(op.block))
    )
    return vertical, horizontal


def number_of(value: Value) -> SSAValue:
    """A result that is not known now."""
    assert isinstance(value, SSAValue)
    return value


def _multiply_add(kernel: Kernel, op: Conv2dOp | DenseOp, acc: SSAValue, x: Index, weight: Index) -> SSAValue:
    """The accumulator and the product of an input, less its zero point, with a weight."""
    emit = kernel.emit
    value = emit.sub(kernel.wide(op.input, x), number(op.zero_point), "moved")
    return number_of(emit.add(acc, emit.mul(value, kernel.wide(op.weights, weight, "weight"), "product"), "acc"))


def _start(kernel: Kernel, bias: SSAValue | None, channel: Value) -> SSAValue:
    """What the accumulator of an output channel starts with."""
    if bias is None:
        return kernel.emit.constant(0, i32)
    return kernel.wide(bias, (channel,), "bias")


def conv2d(kernel: Kernel, op: Operation, index: Index) -> SSAValue:
    """One output position: loops over input channels and kernel rows and columns."""
    assert isinstance(op, Conv2dOp)
    emit = kernel.emit
    out_channels, per_group, _, _ = shape_of(op.weights)
    vertical, horizontal = windows_of(op)
    n, k, y, x = index
    group = emit.div(k, out_channels // op.groups.value.data, "group") if op.groups.value.data > 1 else 0
    first_channel = emit.mul(group, per_group, "first")
    top, left = vertical.base(emit, y, "top"), horizontal.base(emit, x, "left")

    def channels(c: Value, total: SSAValue) -> SSAValue:
        channel = emit.add(first_channel, c, "channel")

        def tap_rows(i: Value, total: SSAValue) -> SSAValue:
            row = emit.add(top, emit.mul(i, vertical.dilation, "step"), "row")

            def tap_columns(j: Value, total: SSAValue) -> SSAValue:
                column = emit.add(left, emit.mul(j, horizontal.dilation, "step"), "column")
                return _multiply_add(kernel, op, total, (n, channel, row, column), (k, c, i, j))

            return emit.reduce(*horizontal.taps(emit, left, "fx"), "fx", total, tap_columns)

        return emit.reduce(*vertical.taps(emit, top, "fy"), "fy", total, tap_rows)

    unroll = UNROLL if vertical.size == horizontal.size == 1 else 1
    return emit.reduce(0, per_group, "c", _start(kernel, op.bias, k), channels, unroll)


def dense(kernel: Kernel, op: Operation, index: Index) -> SSAValue:
    """One output: a loop over the inputs."""
    assert isinstance(op, DenseOp)
    n, k = index

    def products(c: Value, total: SSAValue) -> SSAValue:
        return _multiply_add(kernel, op, total, (n, c), (k, c))

    return kernel.emit.reduce(0, shape_of(op.input)[1], "c", _start(kernel, op.bias, k), products, UNROLL)
