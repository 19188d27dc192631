"""``lower-host`` on what networks with zero points and unsigned tensors need: compiled C against the evaluated ops."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from host_kernels import Array, Builder, Case, Traced, module_of, plain_type
from host_native import call, guarded, load
from host_strategies import layout
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from xdsl.context import Context
from xdsl.ir import Operation, SSAValue

from htvm_ir.arithmetic import MEAN_ROUNDINGS, POOLS
from htvm_ir.backend.c.package import render
from htvm_ir.dialects import graph
from htvm_ir.dialects.graph.evaluate import evaluate
from htvm_ir.passes.lower_host import LowerHost
from htvm_ir.targets.layout import Layout

KERNELS = 14
"""Kernels of one C file: a compiler's start costs more than they do."""

Draw = Callable[[st.SearchStrategy[Any]], Any]
BYTES = ("int8", "uint8")


def noise(draw: Draw, shape: tuple[int, ...], dtype: str) -> Array:
    """Any numbers of the type, from a drawn seed."""
    limits = np.iinfo(dtype)
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    return random.integers(limits.min, limits.max, shape, endpoint=True).astype(dtype)


def zero_point(draw: Draw, x: Traced) -> int:
    """A number of the tensor's type, often 0."""
    limits = np.iinfo(x.array.dtype)
    return draw(st.sampled_from([0, int(limits.min), int(limits.max), 3]))


class Kernels:
    """Draws one kernel: a region whose values are computed as it grows."""

    def __init__(self, draw: Draw, inputs: int):
        self.draw = draw
        shape = (1, draw(st.integers(1, 4)), draw(st.integers(1, 6)), draw(st.integers(1, 7)))
        arrays = [noise(draw, shape, draw(st.sampled_from(BYTES))) for _ in range(inputs)]
        self.builder = Builder(arrays, [layout(draw, shape) for _ in arrays])
        self.arguments = self.builder.arguments

    def emit(self, build: Callable[..., Operation], *operands: Traced) -> Traced:
        """Append ``build(*values)``."""
        op = build(*(operand.value for operand in operands))
        return self.builder.add(op, np.ascontiguousarray(evaluate(op, [operand.array for operand in operands])))

    def constant(self, array: Array) -> Traced:
        return self.builder.constant(array)

    def conv2d(self, x: Traced) -> Traced:
        _, channels, height, width = x.array.shape
        pads = self.draw(st.tuples(*[st.integers(0, 2)] * 4))
        kernel = (min(3, height + pads[0] + pads[2]), min(2, width + pads[1] + pads[3]))
        groups = self.draw(st.sampled_from([1, channels]))
        weights = noise(self.draw, (2 * groups, channels // groups, *kernel), "int8")
        weights = weights.astype(self.draw(st.sampled_from(["int8", "int16"])))
        strides = self.draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
        z = zero_point(self.draw, x)
        options: dict[str, Any] = {"strides": strides, "pads": pads, "groups": groups, "zero_point": z}
        return self.emit(partial(graph.Conv2dOp, bias=None, **options), x, self.constant(weights))

    def dense(self, x: Traced) -> Traced:
        flat = self.emit(partial(graph.ReshapeOp, shape=[1, x.array.size]), x)
        weights = self.constant(noise(self.draw, (3, x.array.size), "int8"))
        bias = self.constant(noise(self.draw, (3,), "int16").astype(np.int32))
        z = zero_point(self.draw, x)
        return self.emit(partial(graph.DenseOp, zero_point=z), flat, weights, bias)

    def pool(self, x: Traced) -> Traced:
        kernel = (self.draw(st.integers(1, x.array.shape[2])), self.draw(st.integers(1, x.array.shape[3])))
        pads = [self.draw(st.integers(0, min(2, kernel[side % 2] - 1))) for side in range(4)]
        kind, rounding = self.draw(st.sampled_from(POOLS)), self.draw(st.sampled_from(MEAN_ROUNDINGS))
        strides = self.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
        window: dict[str, Any] = {"kernel": kernel, "strides": strides, "pads": pads, "rounding": rounding}
        return self.emit(partial(graph.PoolOp, kind, **window), x)

    def pair(self, a: Traced) -> Traced:
        constant = self.constant(noise(self.draw, a.array.shape, self.draw(st.sampled_from(BYTES))))
        b = self.draw(st.sampled_from([a, self.arguments[-1], constant]))
        zero_points = (zero_point(self.draw, a), zero_point(self.draw, b))
        build = self.draw(st.sampled_from([graph.AddOp, graph.SubOp, partial(graph.MulOp, zero_points=zero_points)]))
        return self.emit(build, a, b)

    def lookup(self, x: Traced) -> Traced:
        table = self.constant(noise(self.draw, (256,), self.draw(st.sampled_from(BYTES))))
        return self.emit(graph.LookupOp, x, table)

    def concat(self, x: Traced) -> Traced:
        others = [a for a in self.arguments if a.array.dtype == x.array.dtype] + [x]
        axis = self.draw(st.integers(1, 3))

        def build(*inputs: SSAValue) -> graph.ConcatOp:
            return graph.ConcatOp(inputs, axis)

        return self.emit(build, x, *others)

    def slice(self, x: Traced) -> Traced:
        offsets = [self.draw(st.integers(0, extent - 1)) for extent in x.array.shape]
        strides = [self.draw(st.integers(1, 3)) for _ in offsets]
        sizes = [
            self.draw(st.integers(1, (extent - offset - 1) // stride + 1))
            for extent, offset, stride in zip(x.array.shape, offsets, strides, strict=True)
        ]
        return self.emit(partial(graph.SliceOp, offsets=offsets, sizes=sizes, strides=strides), x)

    def pad(self, x: Traced) -> Traced:
        before, after = ([0, *(self.draw(st.integers(0, 2)) for _ in range(3))] for _ in range(2))
        value = zero_point(self.draw, x)
        return self.emit(partial(graph.PadOp, before=before, after=after, value=value), x)

    def transpose(self, x: Traced) -> Traced:
        permutation = self.draw(st.permutations(range(x.array.ndim)))
        return self.emit(partial(graph.TransposeOp, permutation=permutation), x)

    def requant(self, x: Traced) -> Traced:
        dtype = np.dtype(self.draw(st.sampled_from([*BYTES, "int16", "int32"])))
        limits = np.iinfo(dtype)
        element = plain_type(np.zeros(1, dtype)).element_type
        rounding, shift = self.draw(st.sampled_from(["floor", "half_even", "gemmlowp"])), self.draw(st.integers(31, 45))
        options: dict[str, Any] = {
            "rounding": rounding,
            "shift": (shift,),
            "multiplier": (self.draw(st.sampled_from([1 << 30, 2**31 - 1, 12345])),),
            "zero_point": self.draw(st.integers(max(limits.min, -200), 200)),
            "lo": int(limits.min),
            "hi": int(limits.max),
        }
        return self.emit(partial(graph.RequantOp, element_type=element, **options), x)


FIRST = ("conv2d", "dense", "pool", "pair", "lookup", "concat", "slice", "pad", "transpose", "requant")


@st.composite
def kernel(draw: Draw, name: str) -> Case:
    """One op of any kind, and what may follow it in a kernel."""
    kernels = Kernels(draw, 2)
    x = getattr(kernels, draw(st.sampled_from(FIRST)))(kernels.arguments[0])
    if draw(st.booleans()):
        x = kernels.requant(x)
    if x.array.dtype.itemsize == 1 and draw(st.booleans()):
        x = kernels.lookup(x)
    if draw(st.booleans()):
        x = getattr(kernels, draw(st.sampled_from(["slice", "transpose"])))(x)
    is_bytes = x.array.dtype.itemsize == 1  # byte permutations are for bytes
    return kernels.builder.finish(name, x, layout(draw, x.array.shape) if is_bytes else Layout.row_major(x.array.ndim))


@settings(max_examples=5, deadline=None, phases=[Phase.generate])
@given(st.tuples(*[kernel(f"kernel{index}") for index in range(KERNELS)]))
def test_compiled_loops_compute_the_evaluated_ops(cases: tuple[Case, ...]) -> None:
    module = module_of(cases)
    module.verify()
    LowerHost().apply(Context(), module)
    module.verify()
    with tempfile.TemporaryDirectory() as folder:
        library = load(render(module), Path(folder))
        for case in cases:
            packed = [form.pack(a) for form, a in zip(case.input_layouts, case.inputs, strict=True)]
            expected = case.output_layout.pack(case.expected)
            output, whole = guarded(expected.size, expected.dtype)
            name = case.function.sym_name.data
            assert call(library, f"tvmgen_default_{name}", *packed, output) == 0
            np.testing.assert_array_equal(output, expected, err_msg=str(case.function))
            assert (np.delete(whole, np.s_[32:-32]) == 85).all()
