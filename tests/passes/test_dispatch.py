"""``dispatch``: every op lands in exactly one kernel, and whoever refused it is on record with the reason."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from lowering import use_target
from networks import Net, apply, inputs_of, random_network, small_diana
from xdsl.dialects.arith import ConstantOp
from xdsl.dialects.builtin import DictionaryAttr, ModuleOp, i32
from xdsl.dialects.func import ReturnOp
from xdsl.ir import Attribute, Operation

from htvm_ir.dialects import graph
from htvm_ir.dialects.accel import CPU, DispatchOp, YieldOp, kernels
from htvm_ir.interpreters.run import run
from htvm_ir.passes.choices import unfit
from htvm_ir.passes.dispatch import COSTS, Dispatch
from htvm_ir.passes.pipeline import PIPELINE, pass_class
from htvm_ir.passes.set_target import SetTarget
from htvm_ir.passes.workloads import ANCHORS, block_workload, main_function, module_target

SEEDS = range(8)


def costs_of(dispatch: DispatchOp) -> dict[str, Attribute]:
    """By engine: the predicted cycles on record."""
    costs = dispatch.attributes[COSTS]
    assert isinstance(costs, DictionaryAttr)
    return dict(costs.data)


def graph_ops(root: Operation) -> Counter[Attribute]:
    """The names of all graph ops below an op."""
    return Counter(op.attributes[graph.NAME] for op in root.walk() if op.name.startswith("graph."))


def computing(dispatch: DispatchOp) -> list[Operation]:
    """The ops of a kernel besides constants and the yield."""
    return [op for op in dispatch.body.block.ops if not isinstance(op, ConstantOp | YieldOp)]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_op_is_in_one_kernel(seed: int) -> None:
    module = random_network(seed)
    inputs, before = inputs_of(module), graph_ops(module)
    expected = run(module, inputs)
    apply(module, Dispatch())
    assert graph_ops(module) == before
    assert all(isinstance(op, DispatchOp | ReturnOp) for op in main_function(module).body.block.ops)
    assert len({d.kernel.data for d in kernels(module)}) == len(kernels(module))
    for result, wanted in zip(run(module, inputs), expected, strict=True):
        np.testing.assert_array_equal(result, wanted)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_kernel_is_one_operator_and_what_follows_it(seed: int) -> None:
    for dispatch in kernels(apply(random_network(seed), Dispatch())):
        first, *rest = computing(dispatch)
        followers = (graph.RequantOp, graph.ReshapeOp) if dispatch.engine_name == CPU else (graph.RequantOp,)
        assert all(isinstance(op, followers) for op in rest)
        assert dispatch.engine_name == CPU or len(rest) == 1
        assert isinstance(first, (*ANCHORS, graph.RequantOp, graph.ReshapeOp))
        chain = [op.operands[0].owner for op in rest]
        assert chain == [first, *rest][:-1]
        assert all(op.results[0].has_one_use() for op in (first, *rest))


@pytest.mark.parametrize("seed", SEEDS)
def test_refusals_are_on_record(seed: int) -> None:
    """Every engine either has a predicted cost or the reason it gives for the kernel as it stands now."""
    module = apply(random_network(seed), Dispatch())
    target = module_target(module)
    for dispatch in kernels(module):
        costs, workload = costs_of(dispatch), block_workload(dispatch.body.block)
        assert dispatch.engine_name in costs
        assert {*costs, *dispatch.reasons} == {CPU, "digital", "analog"}
        for engine in target.engines:
            reason = engine.match(workload) or unfit(engine, workload, target)
            assert dispatch.reasons.get(engine.name) == reason
            assert (engine.name in costs) == (reason is None)


def test_the_networks_have_kernels_of_both() -> None:
    """Otherwise the tests above would show little."""
    found = Counter(d.engine_name for seed in SEEDS for d in kernels(apply(random_network(seed), Dispatch())))
    assert min(found["digital"], found[CPU]) > 10, found


def layers() -> ModuleOp:
    """A convolution and a dense layer."""
    net = Net((1, 4, 6, 5))
    return net.module(net.dense(net.flatten(net.conv(net.arguments[0], 4, (3, 3))), 10))


def engines(module: ModuleOp) -> dict[str, tuple[str, dict[str, str]]]:
    """By kind of kernel: who computes it and who refused it."""
    return {block_workload(d.body.block).kind: (d.engine_name, d.reasons) for d in kernels(module)}


def test_engines_that_are_switched_off_are_not_asked() -> None:
    found = engines(apply(layers(), SetTarget(engines=("none",)), Dispatch()))
    assert found == dict.fromkeys(found, (CPU, {}))


def test_what_fits_no_memory_is_refused_with_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    use_target(monkeypatch, small_diana(512))
    engine, reasons = engines(apply(layers(), Dispatch()))["conv2d"]
    found = re.fullmatch(r"the smallest tile exceeds L1 by (\d+) bytes", reasons["digital"])
    assert engine == CPU and found is not None
    for size, taker in ((511, CPU), (512, "digital")):
        use_target(monkeypatch, small_diana(size + int(found[1])))
        assert engines(apply(layers(), Dispatch()))["conv2d"][0] == taker


def test_an_accumulator_with_two_readers_is_not_swallowed() -> None:
    """Only a requantisation that reads a result alone may run in its kernel."""
    net = Net((1, 4, 6, 5))
    acc = net.accumulate(net.arguments[0], 4, (3, 3))
    found = kernels(apply(net.module(net.requant(acc, 8), net.requant(acc, 9)), Dispatch()))
    assert [len(computing(d)) for d in found] == [1, 1, 1]
    assert {d.engine_name for d in found} == {CPU}


def test_an_engine_takes_one_requantisation_and_the_cpu_all() -> None:
    for strides, sizes in (((1, 1), [2, 1]), ((1, 2), [3])):
        net = Net((1, 4, 6, 5))
        x = net.conv(net.arguments[0], 4, (3, 3), strides=strides)
        found = kernels(apply(net.module(net.requant(x, 1)), Dispatch()))
        assert [len(computing(d)) for d in found] == sizes


@pytest.mark.parametrize("depthwise", [False, True])
def test_a_computed_bias_keeps_a_convolution_on_the_cpu(depthwise: bool) -> None:
    """No engine would see it: what it takes is packed when the network is compiled."""
    net = Net((1, 4, 6, 5), (1, 4))
    x, source = net.arguments
    bias = net.emit(graph.ReshapeOp(net.requant(source, 1, -999, hi=999, element=i32), (4,)))
    weights = net.constant(net.noise((4, 1 if depthwise else 4, 2, 3), 100))
    groups = 4 if depthwise else 1
    conv = net.emit(graph.Conv2dOp(x, weights, bias, (1, 1), (0, 1, 1, 1), groups=groups))
    module = net.module(net.requant(conv, 9))
    inputs = net.inputs()
    (expected,) = run(module, inputs)
    for name in PIPELINE:
        apply(module, pass_class(name)())
        (result,) = run(module, inputs)
        np.testing.assert_array_equal(result, expected, name)


def test_constant_results_are_copied() -> None:
    """One that is folded, twice, beside a result that is computed and reads it as well."""
    net = Net((1, 4))
    folded = net.emit(graph.AddOp(*(net.constant(net.noise((1, 4), 100)) for _ in range(2))))
    total = net.emit(graph.AddOp(net.arguments[0], folded))
    module = net.module(folded, total, folded)
    inputs = net.inputs()
    expected = run(module, inputs)
    for name in PIPELINE:
        apply(module, pass_class(name)())
        for result, wanted in zip(run(module, inputs), expected, strict=True):
            np.testing.assert_array_equal(result, wanted, name)
