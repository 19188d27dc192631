"""Results written over operands that die: where it saves bytes, where it is legal, and exactly."""

from __future__ import annotations

import numpy as np
import pytest
from lowering import POISONED, of_type, reference
from networks import Net, apply
from xdsl.dialects.builtin import DictionaryAttr, IntegerAttr, ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.dialects.memref import AllocOp
from xdsl.utils.exceptions import InterpretationError

from htvm_ir.backend.c.package import render
from htvm_ir.dialects.attributes import integers
from htvm_ir.interpreters.run import run
from htvm_ir.passes.in_place import MAY_OVERWRITE, OVERWRITES
from htvm_ir.passes.memory_fit import in_memory
from htvm_ir.passes.pipeline import PIPELINE, pass_class
from htvm_ir.passes.plan_memory import ARENA, BOUND, OFFSET
from htvm_ir.passes.set_target import SetTarget
from htvm_ir.passes.workloads import main_function, module_target


def doubled() -> ModuleOp:
    """A large map that is doubled, between a small input and a small output."""
    net = Net((1, 2, 2, 16))
    x = net.conv(net.arguments[0], 16, (1, 1))
    x = net.add(x, x, lo=0)
    return net.module(net.conv(x, 5, (1, 1), strides=(2, 2)))


def compiled(module: ModuleOp) -> ModuleOp:
    """Down to addresses, loops of the CPU included."""
    return apply(module, *(pass_class(name)() for name in PIPELINE))


def number(module: ModuleOp, name: str, memory: str) -> int:
    attribute = module.attributes[name]
    assert isinstance(attribute, DictionaryAttr)
    value = attribute.data[memory]
    assert isinstance(value, IntegerAttr)
    return value.value.data


def kernels_that(module: ModuleOp, attribute: str) -> list[str]:
    return [f.sym_name.data for f in module.ops if isinstance(f, FuncOp) and attribute in f.attributes]


def places(module: ModuleOp, memory: str) -> list[int]:
    """Offsets of what `@main` allocates in a memory."""
    found: list[AllocOp] = of_type(main_function(module).body.block, AllocOp)
    local = module_target(module).memory(memory)
    offsets = [op.attributes[OFFSET] for op in found if in_memory(op.memref.type, local)]
    return [offset.value.data for offset in offsets if isinstance(offset, IntegerAttr)]


ENGINES = pytest.mark.parametrize(
    ("engines", "memory", "kernel"), [(None, "L1", "digital_add_1"), (("none",), "L2", "cpu_add_1")]
)


@ENGINES
def test_a_sum_goes_over_its_operand(engines: tuple[str, ...] | None, memory: str, kernel: str) -> None:
    module = doubled()
    apply(module, SetTarget("diana", engines))
    inputs, expected = reference(module)
    compiled(module)
    assert kernels_that(module, MAY_OVERWRITE) == kernels_that(module, OVERWRITES) == [kernel]
    before, after = places(module, memory)[:2]
    assert before == after
    assert number(module, ARENA, memory) == number(module, BOUND, memory)
    for options in POISONED.values():
        np.testing.assert_array_equal(run(module, inputs, **options)[0], expected)
    forbidden = next(f for f in module.ops if isinstance(f, FuncOp) and MAY_OVERWRITE in f.attributes)
    del forbidden.attributes[MAY_OVERWRITE]
    saved = -number(module, ARENA, memory)
    saved += number(apply(module, pass_class("plan-memory")()), ARENA, memory)
    assert saved > 0


def test_what_is_read_later_is_not_overwritten() -> None:
    net = Net((1, 2, 2, 16))
    x = net.conv(net.arguments[0], 16, (3, 3), pads=(1, 1, 1, 1))
    y = net.add(x, x, lo=0)
    module = compiled(net.module(net.conv(net.add(y, x), 5, (1, 1), strides=(2, 2))))
    assert kernels_that(module, MAY_OVERWRITE) == ["digital_add_1", "digital_add_2"]
    first, second, third = places(module, "L1")[:3]
    assert first != second
    assert third in (first, second)


def test_without_a_smaller_arena_results_lie_apart() -> None:
    """Two maps are alive together elsewhere anyway; the C compiler may then know that pointers do not meet."""
    net = Net((1, 16, 2, 16))
    x = net.conv(net.arguments[0], 16, (3, 3), pads=(1, 1, 1, 1))
    module = net.module(net.conv(net.add(x, x), 16, (3, 3), pads=(1, 1, 1, 1)))
    assert kernels_that(compiled(module), MAY_OVERWRITE) == ["digital_add_1"]
    assert kernels_that(module, OVERWRITES) == []
    assert len(set(places(module, "L1")[:2])) == 2


@pytest.mark.parametrize("engines", [None, ("none",)])
def test_a_kernel_that_says_it_may_but_may_not_is_caught(engines: tuple[str, ...] | None) -> None:
    net = Net((1, 2, 2, 16))
    x = net.conv(net.arguments[0], 16, (1, 1))
    x = net.conv(x, 16, (1, 1))
    module = net.module(net.conv(x, 5, (1, 1), strides=(2, 2)))
    apply(module, SetTarget("diana", engines))
    inputs, expected = reference(module)
    apply(module, *(pass_class(name)() for name in PIPELINE[:-1]))
    conv = next(f for f in module.ops if isinstance(f, FuncOp) and f.sym_name.data.endswith("conv2d_1"))
    assert MAY_OVERWRITE not in conv.attributes
    conv.attributes[MAY_OVERWRITE] = integers([0])
    apply(module, pass_class("plan-memory")())
    for options in POISONED.values():
        with pytest.raises((AssertionError, InterpretationError)):
            np.testing.assert_array_equal(run(module, inputs, **options)[0], expected)


def test_c_does_not_promise_that_pointers_differ_where_they_do_not() -> None:
    module = doubled()
    apply(module, SetTarget("diana", ("none",)))
    source = render(compiled(module))["src/tvmgen_default_kernels.c"]
    assert "cpu_add_1(const int8_t *input, int8_t *output)" in source
    assert "cpu_conv2d_0(const int8_t *input, int8_t *restrict output)" in source
