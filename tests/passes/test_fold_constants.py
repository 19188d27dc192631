"""``fold-constants``: what is constant becomes one, what nobody reads goes, and the result stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import SAME, Net, apply, inputs_of, parse, random_network
from xdsl.dialects.arith import ConstantOp
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from htvm_ir.dialects import graph
from htvm_ir.interpreters.run import run
from htvm_ir.passes.dispatch import Dispatch
from htvm_ir.passes.fold_constants import FoldConstants
from htvm_ir.passes.workloads import main_function

SHAPE = (1, 4, 4, 4)

Draw = Callable[[st.SearchStrategy[Any]], Any]


def layer(net: Net, kind: str, x: SSAValue, other: SSAValue) -> SSAValue:
    """One layer on a tensor of SHAPE that gives another one."""
    match kind:
        case "conv":
            return net.conv(x, 4, (3, 2), strides=(1, 1), pads=(2, 1, 2, 0), dilations=(2, 1))
        case "dense":
            return net.emit(graph.ReshapeOp(net.dense(net.flatten(x), 64), SHAPE))
        case "add":
            return net.add(x, other)
        case "pool":
            return net.emit(graph.PoolOp("average", x, (3, 3), (1, 1), SAME, "half_up"))
        case "blocks":
            return net.emit(graph.ReshapeOp(net.emit(graph.SpaceToDepthOp(x, (2, 2), (0, 0, 0, 0))), SHAPE))
        case _:
            return net.requant(x, [0, 1, 2, 1], rounding="half_even", multiplier=(3,))


@st.composite
def graphs(draw: Draw) -> ModuleOp:
    """Layers of all kinds on an input and two constants; some are read by nobody."""
    net = Net(SHAPE, seed=draw(st.integers(0, 99)))
    values = [*net.arguments, *(net.constant(net.noise(SHAPE, 127)) for _ in range(2))]
    for _ in range(draw(st.integers(1, 7))):
        kind = draw(st.sampled_from(["conv", "dense", "add", "pool", "blocks", "requant"]))
        values.append(layer(net, kind, draw(st.sampled_from(values)), draw(st.sampled_from(values))))
    return net.module(values[-1], draw(st.sampled_from(values)))


@settings(deadline=None, max_examples=40)
@given(graphs())
def test_the_result_stays(module: ModuleOp) -> None:
    inputs = inputs_of(module)
    expected = run(module, inputs)
    apply(module, FoldConstants())
    for result, wanted in zip(run(module, inputs), expected, strict=True):
        assert result.dtype == wanted.dtype
        np.testing.assert_array_equal(result, wanted)


@settings(deadline=None, max_examples=40)
@given(graphs())
def test_what_is_left_depends_on_the_input_and_is_read(module: ModuleOp) -> None:
    apply(module, FoldConstants())
    for op in main_function(module).body.block.ops:
        assert not op.results or op.results[0].uses
        assert not op.name.startswith("graph.") or not all(isinstance(v.owner, ConstantOp) for v in op.operands)
        assert not isinstance(op, graph.ReshapeOp) or not isinstance(op.input.owner, graph.ReshapeOp)
    text = str(module)
    assert str(apply(module, FoldConstants())) == text


def test_nothing_changes_where_nothing_is_constant() -> None:
    net = Net((1, 4, 6, 5))
    x = net.conv(net.arguments[0], 5, (3, 3))
    module = net.module(net.add(x, x), net.flatten(x))
    text = str(module)
    assert str(apply(module, FoldConstants())) == text


def test_regions_of_kernels_keep_their_constants() -> None:
    module = apply(random_network(1), Dispatch())
    text = str(module)
    assert str(apply(module, FoldConstants())) == text


def test_unsigned_numbers_are_computed_as_such() -> None:
    module = parse("""
      func.func @main() -> tensor<1x2xi32> {
        %wide = arith.constant dense<[[300, 3]]> : tensor<1x2xi32>
        %narrow = graph.requant "floor" %wide multiplier [1] shift [0] zero_point 0 range 0 to 255
          : tensor<1x2xi32> -> tensor<1x2xui8>
        %sum = graph.add %narrow, %narrow : tensor<1x2xui8>, tensor<1x2xui8> -> tensor<1x2xi32>
        func.return %sum : tensor<1x2xi32>
      }
    """)
    apply(module, FoldConstants())
    (result,) = run(module, [])
    assert [op.name for op in main_function(module).body.block.ops] == ["arith.constant", "func.return"]
    assert result.tolist() == [[510, 6]]


@pytest.mark.parametrize(("kernel", "ops"), [((1, 1), 2), ((1, 2), 3)])
def test_pools_of_single_pixels_go(kernel: tuple[int, int], ops: int) -> None:
    net = Net((1, 3, 4, 4))
    pooled = net.pool("max", net.pool("average", net.arguments[0], kernel, (1, 1)), (2, 2), (2, 2))
    module = net.module(pooled)
    inputs = inputs_of(module)
    expected = run(module, inputs)
    apply(module, FoldConstants())
    assert len(list(main_function(module).body.block.ops)) == ops
    assert (run(module, inputs)[0] == expected[0]).all()


def test_a_result_of_the_network_stays_its_own() -> None:
    net = Net((1, 3, 4, 4))
    module = net.module(net.pool("max", net.arguments[0], (1, 1), (1, 1)))
    text = str(module)
    assert str(apply(module, FoldConstants())) == text


@pytest.mark.parametrize("element", ["si8", "i4"])
def test_other_integers_are_not_computed(element: str) -> None:
    """Constants are signless or unsigned and of whole bytes; a network with others stays as it is."""
    module = parse(f"""
      func.func @main() -> (tensor<1x2x{element}>, tensor<1x2xi32>) {{
        %wide = arith.constant dense<[[300, 3]]> : tensor<1x2xi32>
        %narrow = arith.constant dense<[[7, 3]]> : tensor<1x2x{element}>
        %to = graph.requant "floor" %wide multiplier [1] shift [0] zero_point 0 range 0 to 7
          : tensor<1x2xi32> -> tensor<1x2x{element}>
        %from = graph.add %narrow, %narrow : tensor<1x2x{element}>, tensor<1x2x{element}> -> tensor<1x2xi32>
        func.return %to, %from : tensor<1x2x{element}>, tensor<1x2xi32>
      }}
    """)
    text = str(module)
    assert str(apply(module, FoldConstants())) == text
