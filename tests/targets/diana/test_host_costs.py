"""The CPU's cost model against the virtual SoC: it knows every op, and by how much it is off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from xdsl.dialects.arith import ConstantOp
from xdsl.dialects.builtin import ModuleOp, StringAttr, TensorType, i8, i32
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Operation, Region, SSAValue

from htvm_ir.dialects import graph
from htvm_ir.driver import compile as driver
from htvm_ir.driver.compile import Options, compile_model
from htvm_ir.driver.execute import execute
from htvm_ir.driver.samples import Samples
from htvm_ir.passes.fold_constants import constant
from htvm_ir.passes.workloads import ANCHORS

SHAPE = (1, 8, 12, 12)
FACTOR = 3

Ops = list[Operation]


def wide(x: SSAValue) -> graph.RequantOp:
    return graph.RequantOp(x, i32, rounding="half_even", multiplier=(3 << 20,), shift=(20,), lo=-(2**31), hi=2**31 - 1)


def narrow(x: SSAValue) -> graph.RequantOp:
    return graph.RequantOp(x, i8, rounding="half_even", multiplier=(1 << 30,), shift=(33,))


def noise(*shape: int) -> ConstantOp:
    return constant(np.random.default_rng(0).integers(-100, 101, shape).astype(np.int8))


def narrowed(*ops: Operation) -> Ops:
    return [*ops, narrow(ops[-1].results[0])]


def convolution(x: SSAValue, zero_point: int) -> Ops:
    weights = noise(8, 8, 3, 3)
    return narrowed(weights, graph.Conv2dOp(x, weights.result, None, (1, 1), (1, 1, 1, 1), zero_point=zero_point))


def widened(op: Callable[[SSAValue, SSAValue], Operation], x: SSAValue, y: SSAValue) -> Ops:
    a, b = wide(x), wide(y)
    return narrowed(a, b, op(a.result, b.result))


def lookup(x: SSAValue) -> Ops:
    table = noise(256)
    return [table, graph.LookupOp(x, table.result)]


def dense(x: SSAValue) -> Ops:
    flat = graph.ReshapeOp(x, (1, int(np.prod(SHAPE))))
    weights = noise(10, int(np.prod(SHAPE)))
    return narrowed(flat, weights, graph.DenseOp(flat.result, weights.result, None))


def pool(kind: str, x: SSAValue) -> graph.PoolOp:
    return graph.PoolOp(kind, x, (2, 2), (2, 2), (0, 0, 0, 0), "floor")


NETWORKS: dict[str, Callable[[SSAValue, SSAValue], Ops]] = {
    "conv2d": lambda x, y: convolution(x, 0),
    "conv2d with zero point": lambda x, y: convolution(x, -5),
    "dense": lambda x, y: dense(x),
    "add": lambda x, y: narrowed(graph.AddOp(x, y)),
    "add widened": lambda x, y: widened(graph.AddOp, x, y),
    "sub": lambda x, y: narrowed(graph.SubOp(x, y)),
    "sub widened": lambda x, y: widened(graph.SubOp, x, y),
    "mul": lambda x, y: narrowed(graph.MulOp(x, y, (3, -4))),
    "requant": lambda x, y: [narrow(x)],
    "pool max": lambda x, y: [pool("max", x)],
    "pool average": lambda x, y: [pool("average", x)],
    "pool sum": lambda x, y: narrowed(pool("sum", x)),
    "lookup": lambda x, y: lookup(x),
    "concat": lambda x, y: [graph.ConcatOp([x, y], 1)],
    "slice": lambda x, y: [graph.SliceOp(x, (0, 1, 2, 2), (1, 6, 5, 8), (1, 1, 2, 1))],
    "pad": lambda x, y: [graph.PadOp(x, (0, 0, 1, 1), (0, 0, 1, 1), 0)],
    "transpose": lambda x, y: [graph.TransposeOp(x, (0, 2, 3, 1))],
    "reverse": lambda x, y: [graph.ReverseOp(x, (3,))],
    "reshape": lambda x, y: [graph.ReshapeOp(x, (1, int(np.prod(SHAPE))))],
    "space_to_depth": lambda x, y: [graph.SpaceToDepthOp(x, (2, 2), (0, 0, 0, 0))],
}


def module_of(build: Callable[[SSAValue, SSAValue], Ops]) -> ModuleOp:
    """``@main`` with two inputs."""
    block = Block(arg_types=[TensorType(i8, SHAPE)] * 2)
    ops = build(*block.args)
    for number, op in enumerate(ops):
        op.attributes[graph.NAME] = StringAttr(f"t{number}")
    block.add_ops([*ops, ReturnOp(ops[-1].results[0])])
    return ModuleOp([FuncOp("main", (block.arg_types, [ops[-1].results[0].type]), Region(block))])


def test_every_op_is_measured() -> None:
    kinds = {op.name.removeprefix("graph.") for op in (*ANCHORS, graph.RequantOp, graph.ReshapeOp)}
    assert {name.split()[0] for name in NETWORKS} == kinds


@pytest.mark.parametrize("name", NETWORKS)
def test_predictions_are_near(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = module_of(NETWORKS[name])

    def load_model(*_: Any) -> ModuleOp:
        return module

    monkeypatch.setattr(driver, "load_model", load_model)
    compiled = compile_model("", Options(engines=()))
    inputs = [np.random.default_rng(n).integers(-128, 128, SHAPE).astype(np.int8) for n in range(2)]
    execution = execute(compiled, "default", Samples(tuple(inputs), "integer"), check=True)
    assert execution.check is not None and not execution.check.failed
    layer = compiled.report["layers"][-1]
    measured = execution.layer_cycles[layer["kernel"]]
    assert measured / FACTOR < layer["cycles"] < measured * FACTOR, (measured, layer["cycles"])
