"""``plan-overlap`` tiles what stands beside a kernel of the CPU, and its chunks compute the same, in loops as well."""

from __future__ import annotations

import pytest
from lowering import RUNS, caught, lowered, reference
from networks import SAME, Array, Net, apply, inputs_of
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import CallOp

from htvm_ir.dialects import graph
from htvm_ir.dialects.accel import CPU, kernels
from htvm_ir.dialects.tiled import PlanAttr
from htvm_ir.interpreters.run import run
from htvm_ir.passes.chunks import CHANNELS, ROWS, chunks_of, set_chunks
from htvm_ir.passes.lower_host import LowerHost
from htvm_ir.passes.pipeline import PIPELINE, pass_class
from htvm_ir.passes.plan_memory import PlanMemory
from htvm_ir.passes.workloads import main_function


def pooled() -> ModuleOp:
    """A large convolution in front of a pooling over the whole map."""
    net = Net((1, 16, 16, 16))
    x = net.conv(net.arguments[0], 64, (3, 3), pads=SAME)
    return net.module(net.flatten(net.pool("average", x, (16, 16), (1, 1))))


def summed() -> ModuleOp:
    """The same with a sum between them."""
    net = Net((1, 16, 16, 16))
    x = net.conv(net.arguments[0], 64, (3, 3), pads=SAME)
    y = net.conv(net.arguments[0], 64, (1, 1))
    return net.module(net.flatten(net.pool("average", net.add(x, y), (16, 16), (1, 1))))


def converted() -> ModuleOp:
    """A large map that has to be converted for a convolution with a stride and padding; its result stays in L1."""
    net = Net((1, 4, 33, 32))
    x = net.conv(net.arguments[0], 48, (5, 5), strides=(2, 2), pads=(2, 2, 2, 2))
    return net.module(net.conv(x, 16, (1, 1)))


def mirrored() -> ModuleOp:
    """A map that nobody reads column by column in the end, so that the CPU mirrors the input, word by word."""
    net = Net((1, 3, 64, 64))
    x = net.conv(net.arguments[0], 16, (3, 3), pads=SAME)
    return net.module(net.flatten(net.pool("average", x, (64, 64), (1, 1))))


CASES = {
    "pooled": (pooled, CHANNELS, 1),
    "summed": (summed, CHANNELS, 2),
    "converted": (converted, ROWS, 1),
    "mirrored": (mirrored, ROWS, 1),
}


@pytest.mark.parametrize("name", CASES)
def test_neighbours_are_cut_alike(name: str) -> None:
    build, axis, count = CASES[name]
    module = lowered(build(), "plan-overlap")
    (chunks,) = (found for d in kernels(module) if (found := chunks_of(d)) is not None and found[0] == axis)
    cut = [d for d in kernels(module) if isinstance(d.plan, PlanAttr) and not d.plan.proven.data]
    assert len(cut) >= count
    assert chunks[1] > 0


@pytest.mark.parametrize("name", CASES)
def test_chunks_alternate_with_the_parts_of_the_engines_kernel(name: str) -> None:
    module = lowered(CASES[name][0](), "overlap-kernels")
    calls = [op.callee.string_value() for op in main_function(module).body.block.ops if isinstance(op, CallOp)]
    chunks = [n for n, call in enumerate(calls) if call.startswith(CPU) and call.endswith("_chunk")]
    parts = [n for n, call in enumerate(calls) if "_part" in call]
    assert any(chunk < part for chunk in chunks for part in parts)
    assert any(part < chunk for chunk in chunks for part in parts)


@pytest.mark.parametrize("name", CASES)
def test_the_meaning_stays(name: str) -> None:
    module = CASES[name][0]()
    inputs, expected = reference(module)
    assert not caught(lowered(module, "plan-memory"), inputs, expected)


def test_chunks_are_right_as_loops() -> None:
    """Views with gaps between their rows; small, for loops are slow to interpret."""
    net = Net((1, 2, 12, 16))
    module = net.module(net.conv(net.arguments[0], 48, (5, 5), pads=(2, 2, 2, 2)))
    inputs = inputs_of(module)
    expected = run(module, inputs)
    check_loops(lowered(module, "overlap-kernels"), inputs, expected)


def test_chunks_of_words_are_right_as_loops() -> None:
    net = Net((1, 2, 12, 16))
    x = net.conv(net.arguments[0], 4, (3, 3), pads=SAME)
    module = net.module(net.flatten(net.pool("average", x, (12, 16), (1, 1))))
    inputs = inputs_of(module)
    expected = run(module, inputs)
    lowered(module, "plan-overlap")
    (mirror,) = (d for d in kernels(module) if isinstance(d.body.block.first_op, graph.ReverseOp))
    set_chunks(mirror, ROWS, 5)
    first, last = (PIPELINE.index(name) for name in ("plan-overlap", "overlap-kernels"))
    apply(module, *(pass_class(name)() for name in PIPELINE[first + 1 : last + 1]))
    check_loops(module, inputs, expected)


def check_loops(module: ModuleOp, inputs: list[Array], expected: list[Array]) -> None:
    calls = (op for op in main_function(module).body.block.ops if isinstance(op, CallOp))
    assert any(call.callee.string_value().endswith("_chunk") for call in calls)
    apply(module, LowerHost(), PlanMemory())
    for options in RUNS.values():
        assert (run(module, inputs, **options)[0] == expected[0]).all()
