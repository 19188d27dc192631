"""Questions that look the same to an engine are asked once, others are not taken for the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from htvm_ir.passes.tiling_problems import key_of, problem_of, solved
from htvm_ir.passes.workloads import with_room
from htvm_ir.targets.registry import load_target
from htvm_ir.targets.workload import Requant, Tensor, Workload

TARGET = load_target("diana")
ENGINE = TARGET.engine("digital")


def layer(weight: int, channels: int = 32) -> Workload:
    """A convolution with weights of one value."""
    maps = Tensor((1, 16, 8, 8)), Tensor((1, channels, 8, 8))
    weights = np.full((channels, 16, 3, 3), weight, np.int8)
    requant = Requant("floor", (1,), (4,), 0, -128, 127)
    return Workload("conv2d", maps[:1], maps[1], weights=weights, pads=(1, 1, 1, 1), requant=requant)


def test_layers_that_differ_in_the_values_of_weights_have_one_problem():
    assert problem_of(ENGINE, layer(1), TARGET) is problem_of(ENGINE, layer(2), TARGET)
    assert solved(ENGINE, layer(1), TARGET, 5.0) is solved(ENGINE, layer(2), TARGET, 5.0)
    assert problem_of(ENGINE, layer(1), TARGET) == ENGINE.problem(layer(1), TARGET)


def test_shapes_mappings_memories_and_engines_make_a_difference():
    first = problem_of(ENGINE, layer(1), TARGET)
    assert problem_of(ENGINE, layer(1, 48), TARGET) == ENGINE.problem(layer(1, 48), TARGET) != first
    compact = replace(layer(1), mapping="compact")
    assert problem_of(ENGINE, compact, TARGET) == ENGINE.problem(compact, TARGET) != first
    small = with_room(TARGET, "L1", 8192)
    assert problem_of(ENGINE, layer(1), small) == ENGINE.problem(layer(1), small) != first
    other = load_target("npu").engines[0]
    assert problem_of(other, layer(1), load_target("npu")) != first


def test_prices_tell_weights_of_other_sizes_apart():
    assert key_of(layer(1)) != key_of(layer(64))
    assert key_of(layer(1)) == key_of(layer(1))
