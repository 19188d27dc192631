"""The network's assignment: least predicted time, conversions included."""

from __future__ import annotations

import pytest
from networks import Net, apply
from xdsl.dialects.builtin import DictionaryAttr, ModuleOp, i32
from xdsl.ir import SSAValue

from htvm_ir.dialects import graph
from htvm_ir.dialects.accel import ConvertLayoutOp, kernels
from htvm_ir.passes import choices
from htvm_ir.passes.assign_layouts import AssignLayouts
from htvm_ir.passes.dispatch import COSTS, Dispatch
from htvm_ir.passes.workloads import main_function, module_target
from htvm_ir.schedule.assign import assign, brute_force, greedy, total


def ternary(net: Net, x: SSAValue, channels: int, kernel: int = 1) -> SSAValue:
    """A convolution for the analog array; the digital one refuses its clip."""
    weights = net.noise((channels, graph.shape_of(x)[1], kernel, kernel), 1)
    half = kernel // 2
    conv = net.emit(graph.Conv2dOp(x, net.constant(weights), None, (1, 1), (half,) * 4))
    return net.requant(conv, 2, -32, hi=31)


def engines(module: ModuleOp) -> list[str]:
    return [dispatch.engine_name for dispatch in kernels(module)]


def mixed() -> ModuleOp:
    """Digital, a clip to 7 bits on the CPU, analog, digital."""
    net = Net((1, 16, 16, 16))
    x = net.conv(net.arguments[0], 16, (3, 3), pads=(1, 1, 1, 1))
    x = ternary(net, net.requant(x, 0, -64, hi=63), 16, 3)
    return net.module(net.conv(x, 16, (3, 3), pads=(1, 1, 1, 1)))


def test_every_op_goes_where_it_is_taken():
    module = apply(mixed(), Dispatch())
    assert engines(module) == ["digital", "cpu", "analog", "digital"]
    costs = [op.attributes[COSTS] for op in kernels(module)]
    assert all(isinstance(cost, DictionaryAttr) for cost in costs)
    assert [sorted(cost.data) for cost in costs if isinstance(cost, DictionaryAttr)] == [
        ["cpu", "digital"], ["cpu"], ["analog", "cpu"], ["cpu", "digital"]
    ]  # fmt: skip
    reasons = [op.reasons for op in kernels(module)]
    assert "ternary" in reasons[0]["analog"]
    assert "range -32 to 31" in reasons[2]["digital"]


def test_conversions_count():
    """A depthwise layer of few pixels between CPU kernels: it alone is faster on the array, the network is not."""
    net = Net((1, 16, 6, 6))
    x = net.pool("max", net.arguments[0], (2, 2), (2, 2))
    x = net.depthwise(x, (3, 3), pads=(1, 1, 1, 1))
    module = net.module(net.pool("max", x, (2, 2), (1, 1)), net.pool("max", x, (3, 3), (1, 1)))
    function, target = main_function(module), module_target(module)
    found = choices.candidates(function, target, 1.0)
    problem, costs = choices.kernels(found), choices.joints(found, function, target)
    best = assign(problem, costs)
    assert best.proven
    assert best.cycles == brute_force(problem, costs).cycles <= total(problem, costs, greedy(problem))


def test_engines_that_disagree_get_a_conversion():
    module = apply(mixed(), Dispatch(), AssignLayouts())
    converted = [op for op in module.walk() if isinstance(op, ConvertLayoutOp)]
    places = [dispatch.engine_name for dispatch in kernels(module)]
    assert places == ["cpu", "digital", "cpu", "analog", "cpu", "digital", "cpu"]
    assert len(converted) == 3  # in, from analog to digital, out


def test_ops_join_the_cpu_kernel_before_them():
    net = Net((1, 4, 6, 6))
    x = net.pool("average", net.arguments[0], (6, 6), (6, 6))
    module = net.module(net.flatten(net.requant(x, 1, 0, hi=40)))
    apply(module, Dispatch())
    (kernel,) = kernels(module)
    assert [op.name for op in kernel.body.block.ops][:-1] == ["graph.pool", "graph.requant", "graph.reshape"]


def widened_sum() -> ModuleOp:
    """Two widenings, a sum, a table and a slice."""
    net = Net((1, 4, 6, 6), (1, 4, 6, 6))
    a, b = (net.requant(x, 0, -999, i32, hi=999, multiplier=(3,)) for x in net.arguments)
    total = net.requant(net.emit(graph.AddOp(a, b)), 3)
    table = net.emit(graph.LookupOp(total, net.constant(net.noise((256,), 100))))
    return net.module(net.emit(graph.SliceOp(table, (0, 0, 1, 0), (1, 4, 4, 6), (1, 1, 1, 1))))


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ("cpu cpu cpu cpu cpu", [["t0", "t1", "t2", "t3", "t4", "t5"]]),
        ("cpu cpu npu cpu cpu", [["t0"], ["t1"], ["t2", "t3"], ["t4", "t5"]]),
        ("cpu cpu cpu npu cpu", [["t0", "t1", "t2", "t3"], ["t4"], ["t5"]]),
        ("npu cpu cpu cpu cpu", [["t0"], ["t1", "t2", "t3", "t4", "t5"]]),
    ],
)
def test_neighbours_on_the_cpu_share_a_kernel(places: str, expected: list[list[str]]):
    module = widened_sum()
    found = choices.candidates(main_function(module), module_target(module), 1.0)
    engines = dict(zip((c.name for c in found), places.split(), strict=True))
    found_groups = choices.groups(found, engines).values()
    assert [[str(op.attributes[graph.NAME]).strip('"') for op in ops] for ops in found_groups] == expected


def test_a_guest_costs_only_what_it_takes_alone():
    """A table behind a sum on an engine is a kernel of its own on the CPU, behind one on the CPU it is free."""
    module = widened_sum()
    function, target = main_function(module), module_target(module)
    found = choices.candidates(function, target, 1.0)
    a, b, add, lookup, cut = found
    add.cycles["npu"] = 7
    problem, costs = choices.kernels(found), choices.joints(found, function, target)
    cpu = dict.fromkeys((c.name for c in found), "cpu")
    assert total(problem, costs, cpu) == add.cycles["cpu"]
    alone = sum(c.cycles["cpu"] for c in (a, b, lookup))
    assert cut in choices.hosts(found)
    assert total(problem, costs, cpu | {add.name: "npu"}) == alone + 7


@pytest.mark.parametrize(("strides", "kernels_left"), [((2, 2), 1), ((3, 2), 1), ((2, 1), 2)])
def test_a_pool_joins_if_it_needs_each_element_once(strides: tuple[int, int], kernels_left: int) -> None:
    """Then the map between the two is never stored."""
    net = Net((1, 4, 8, 8))
    x = net.requant(net.accumulate(net.arguments[0], 6, (3, 3)), 7, multiplier=(3,))
    module = net.module(net.pool("max", x, (2, 2), strides))
    assert len(list(kernels(apply(module, Dispatch())))) == kernels_left
