"""``assign-layouts``: engines get the byte order they want, the caller row-major ones, and no copy is needless."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from lowering import use_target
from networks import SAME, Net, apply, random_network, residual, small_diana
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import ReturnOp
from xdsl.ir import Block

from htvm_ir.dialects.accel import CPU, ConvertLayoutOp, DispatchOp, kernels, layout_of
from htvm_ir.passes.assign_layouts import AssignLayouts
from htvm_ir.passes.dispatch import Dispatch
from htvm_ir.passes.mappings import by_layouts
from htvm_ir.passes.workloads import block_layouts, block_workload, layout_attr, main_function, module_target
from htvm_ir.targets.diana.digital import Digital
from htvm_ir.targets.layout import Layout
from htvm_ir.targets.target import Host
from htvm_ir.targets.workload import Workload

SEEDS = range(8)
CHANNELS_LAST = Layout((0, 2, 3, 1), (1, 16, 1, 1))


def assigned(module: ModuleOp) -> ModuleOp:
    return apply(module, Dispatch(), AssignLayouts())


def conversions(module: ModuleOp) -> list[DispatchOp]:
    """The kernels that only copy."""
    return [d for d in kernels(module) if isinstance(d.body.block.first_op, ConvertLayoutOp)]


def returned(module: ModuleOp) -> ReturnOp:
    last = main_function(module).body.block.last_op
    assert isinstance(last, ReturnOp)
    return last


@pytest.mark.parametrize("seed", SEEDS)
def test_engines_get_their_layouts(seed: int) -> None:
    module = assigned(random_network(seed))
    for dispatch in kernels(module):
        if dispatch.engine_name == CPU:
            continue
        workload = block_workload(dispatch.body.block)
        found = block_layouts(dispatch.body.block)
        assert found in by_layouts(module_target(module).engine(dispatch.engine_name), workload)
        *wanted, output = map(layout_attr, found)
        assert {layout_of(v.type) for v in dispatch.inputs} == set(wanted)
        assert [layout_of(v.type) for v in dispatch.results_] == [output]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_callers_buffers_are_row_major_and_for_the_cpu_alone(seed: int) -> None:
    """A DMA may not reach them; a result is written by a kernel for the caller, and by it only."""
    module = assigned(random_network(seed))
    arguments = main_function(module).body.block.args
    assert all(layout_of(v.type) is None for v in (*arguments, *returned(module).operands))
    for argument in arguments:
        for use in argument.uses:
            assert isinstance(use.operation, DispatchOp) and use.operation.engine_name == CPU
    for value in returned(module).operands:
        assert isinstance(value.owner, DispatchOp) and value.owner.engine_name == CPU
        assert value.has_one_use()


@pytest.mark.parametrize("seed", SEEDS)
def test_every_conversion_has_a_cause(seed: int) -> None:
    """It changes the layout, or it is at the caller's edge; and none is there twice for one source and layout."""
    module = assigned(random_network(seed))
    inner: list[tuple[object, object]] = []
    for convert in conversions(module):
        (source,), (result,) = convert.inputs, convert.results_
        edge = isinstance(source.owner, Block) or returned(module) in [use.operation for use in result.uses]
        assert edge or layout_of(source.type) != layout_of(result.type)
        if returned(module) not in [use.operation for use in result.uses]:
            inner.append((source, layout_of(result.type)))
    assert len(set(inner)) == len(inner)


def test_a_residual_network_is_converted_at_its_edges_only() -> None:
    module = assigned(residual())
    first, last = conversions(module)
    assert list(first.inputs) == list(main_function(module).body.block.args)
    assert list(last.results_) == list(returned(module).operands)


def test_the_cpu_works_in_the_layout_of_its_neighbours() -> None:
    """A pool between two convolutions reads one layout and writes it; nothing is converted for it."""
    net = Net((1, 4, 6, 32))
    x = net.conv(net.arguments[0], 4, (3, 3), pads=SAME)
    module = assigned(net.module(net.conv(net.pool("max", x, (2, 2), (2, 2)), 4, (1, 1))))
    assert len(conversions(module)) == 2
    (pool,) = [d for d in kernels(module) if block_workload(d.body.block).kind == "pool"]
    assert layout_of(pool.inputs[0].type) == layout_of(pool.results_[0].type) is not None


def test_an_input_is_converted_once_for_all_its_readers() -> None:
    net = Net((1, 4, 6, 6))
    (x,) = net.arguments
    module = assigned(net.module(net.add(net.conv(x, 4, (1, 1)), net.add(x, x))))
    assert len(conversions(module)) == 2


def test_a_network_of_the_cpu_is_not_converted() -> None:
    net = Net((1, 4, 6, 6))
    x = net.pool("max", net.arguments[0], (2, 2), (1, 1))
    assert not conversions(assigned(net.module(net.pool("average", x, (2, 2), (1, 1)))))


@pytest.mark.parametrize("what", ["input", "same result twice", "result read on"])
def test_what_the_caller_gets_is_a_copy_where_it_must_be(what: str) -> None:
    """An input returned, a result returned twice, and one that another kernel reads as well."""
    net = Net((1, 4, 6, 6))
    (x,) = net.arguments
    pool = net.pool("max", x, (2, 2), (1, 1))
    results = {"input": [x], "same result twice": [pool, pool], "result read on": [pool, net.requant(pool, 1)]}[what]
    module = assigned(net.module(*results))
    assert len(conversions(module)) == {"input": 1, "same result twice": 2, "result read on": 1}[what]
    assert len(set(returned(module).operands)) == len(results)


@dataclass(frozen=True)
class Rows(Digital):
    """An engine that takes sums only, and wants channels innermost, or what else it is given."""

    name: str = "rows"
    layout: Layout = CHANNELS_LAST

    def match(self, workload: Workload) -> str | None:
        return super().match(workload) if workload.kind == "add" else "sums only"

    def layouts(self, workload: Workload) -> tuple[Layout, ...]:
        return (self.layout,) * (len(workload.inputs) + 1)


@dataclass(frozen=True)
class NoSums(Digital):
    """The digital array without its sums."""

    def match(self, workload: Workload) -> str | None:
        return super().match(workload) if workload.kind != "add" else "sums are another engine's"


def engines_that_disagree(monkeypatch: pytest.MonkeyPatch, rows: Rows = Rows()) -> None:
    """The CPU is so slow that only its copies are worth while."""
    slow = Host(per_mac=1000, per_element={"convert_layout": 1, "other": 1000})
    use_target(monkeypatch, replace(small_diana(64 * 1024), engines=(rows, NoSums()), host=slow))


def between(module: ModuleOp) -> Sequence[DispatchOp]:
    """The conversions that touch neither an input nor a result of the network."""
    ends = [*main_function(module).body.block.args, *returned(module).operands]
    return [d for d in conversions(module) if not {*d.inputs, *d.results_} & {*ends}]


def test_engines_that_disagree_need_a_conversion_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    engines_that_disagree(monkeypatch)
    net = Net((1, 4, 6, 6))
    x = net.conv(net.arguments[0], 4, (1, 1))
    y = net.add(x, x)
    module = assigned(net.module(net.conv(net.add(y, x), 4, (1, 1))))
    assert [d.engine_name for d in kernels(module) if d not in conversions(module)] == [
        "digital",
        "rows",
        "rows",
        "digital",
    ]
    assert len(between(module)) == 2  # x once for both sums, and the last sum


def test_the_cpu_writes_what_most_of_its_readers_want(monkeypatch: pytest.MonkeyPatch) -> None:
    engines_that_disagree(monkeypatch)
    net = Net((1, 4, 6, 6))
    pool = net.pool("max", net.arguments[0], (2, 2), (1, 1))
    a, b, c = net.add(pool, pool), net.conv(pool, 4, (1, 1)), net.conv(pool, 4, (3, 3), pads=SAME)
    module = assigned(net.module(a, b, c, net.conv(pool, 2, (1, 1))))
    (kernel,) = [d for d in kernels(module) if block_workload(d.body.block).kind == "pool"]
    first_conv = next(d for d in kernels(module) if d.engine_name == "digital")
    assert layout_of(kernel.results_[0].type) == layout_of(first_conv.inputs[0].type)
    assert len(between(module)) == 1


def test_an_engine_that_wants_row_major_gets_a_copy_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The layout of the caller's buffers would fit, but no DMA reaches them."""
    engines_that_disagree(monkeypatch, Rows(layout=Layout.row_major(4)))
    net = Net((1, 4, 6, 6))
    (x,) = net.arguments
    module = assigned(net.module(net.add(x, x)))
    assert [d.engine_name for d in kernels(module)] == [CPU, "rows", CPU]
    assert len(conversions(module)) == 2
