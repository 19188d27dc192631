"""What the analog engine takes and refuses, and that its kernels are exact on the virtual SoC, whatever their tiles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from htvm_ir.driver.compile import Options, compile_model
from htvm_ir.driver.edges import edges
from htvm_ir.driver.execute import execute
from htvm_ir.driver.samples import load_samples
from htvm_ir.targets.diana.analog import Analog
from htvm_ir.targets.diana.analog_tiles import unrolled
from htvm_ir.targets.diana.parameters import DIANA
from htvm_ir.targets.diana.target import diana
from htvm_ir.targets.workload import Requant, Tensor, Workload
from htvm_ir.tiling.solve import Solution, solve

ADC = Requant("floor", (1,), (4,), 0, -32, 31)
ENGINE = Analog()


def workload(c: int = 16, k: int = 16, size: int = 8, kernel: int = 3, **changes: Any) -> Workload:
    """A convolution that keeps the size and that the array takes."""
    weights = np.random.default_rng(0).integers(-1, 2, (k, c, kernel, kernel)).astype(np.int8)
    shape = (1, c, size, size), (1, k, size, size)
    half = kernel // 2
    whole = Workload(
        "conv2d",
        (Tensor(shape[0]),),
        Tensor(shape[1]),
        weights,
        pads=(half, half, half, half),
        requant=ADC,
        ranges=((-64, 63),),
    )
    return replace(whole, **changes)


def test_it_takes_ternary_kernels_behind_seven_bits():
    assert ENGINE.match(workload()) is None
    assert ENGINE.match(workload(bias=np.zeros(16, np.int32))) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kind": "dense"}, "the analog array has no dense"),
        ({"weights": np.full((16, 16, 3, 3), 2, np.int8)}, "weights are 8-bit; the analog array takes ternary"),
        ({"weights": None}, "not constant"),
        ({"bias": np.ones(16, np.int32)}, "a bias; the analog array has none"),
        ({"ranges": ((-128, 127),)}, "the input may hold -128 to 127; the analog array takes 7 bits"),
        ({"ranges": ()}, "the input may hold -128 to 127"),
        ({"requant": None}, "through its converters"),
        ({"requant": replace(ADC, hi=127)}, "range -32 to 127: the converters clip to -32 to 31"),
        ({"requant": replace(ADC, shift=(16,))}, "shift 16: the gain is at most 2^15"),
        ({"requant": replace(ADC, multiplier=(3,))}, "one power-of-two gain"),
        ({"requant": replace(ADC, rounding="half_up")}, "round down"),
        ({"groups": 2}, "2 groups"),
        ({"strides": (1, 2)}, "stride 1x2"),
        ({"dilations": (2, 2)}, "dilation"),
        ({"pads": (1, 4, 1, 4)}, "at most 3"),
        ({"output": Tensor((1, 16, 8, 8), "i32")}, "8-bit signed"),
    ],
)
def test_every_refusal_says_why(changes: dict[str, Any], reason: str):
    assert reason in (ENGINE.match(workload(**changes)) or "")


def test_sizes_it_refuses():
    assert "1296 inputs of a kernel: the array has 1152 rows" in (ENGINE.match(workload(c=144)) or "")
    assert "pad the channels to a multiple of 32" in (ENGINE.match(workload(c=48, size=5)) or "")
    assert ENGINE.match(workload(c=48, size=6)) is None
    assert "kernel 2x2" in (ENGINE.match(workload(kernel=2)) or "")


def test_unrolling_follows_the_published_conditions():
    wide = replace(DIANA, analog_unroll=4)
    assert unrolled(16, 16, 3, 3, 32, wide) == 4
    assert unrolled(16, 16, 3, 3, 32, DIANA) == 1
    assert unrolled(16, 16, 3, 3, 6, wide) == 2
    assert unrolled(16, 200, 3, 3, 32, wide) == 2
    assert unrolled(64, 16, 3, 3, 32, wide) == 4
    assert unrolled(65, 16, 3, 3, 32, wide) == 2


def test_unrolling_is_predicted_to_be_faster():
    def cycles(unroll: int) -> int:
        parameters = replace(DIANA, analog_unroll=unroll)
        found = solve(Analog(parameters).problem(workload(size=32), diana(parameters)))
        assert isinstance(found, Solution)
        return found.latency

    assert cycles(1) - cycles(4) == 18637 - 4660


def network(c: int, k: int, size: tuple[int, int], kernel: int, stride: int, pads: tuple[int, ...]) -> onnx.ModelProto:
    """A clip to 7 bits, a ternary convolution, its converters."""
    weights = np.random.default_rng(1).integers(-1, 2, (k, c, kernel, kernel)).astype(np.float32)
    out = [(n + pads[i] + pads[i + 2] - kernel) // stride + 1 for i, n in enumerate(size)]
    constants = {"w": weights, "one": 1.0, "g": 16.0, "l7": -64.0, "h7": 63.0, "l6": -32.0, "h6": 31.0}
    steps = [("Div", "x one", "a"), ("Floor", "a", "b"), ("Max", "b l7", "c"), ("Min", "c h7", "d")]
    nodes = [helper.make_node(op, inputs.split(), [result]) for op, inputs, result in steps]
    nodes.append(helper.make_node("Conv", ["d", "w"], ["e"], strides=[stride] * 2, pads=pads))
    steps = [("Div", "e g", "f"), ("Floor", "f", "h"), ("Max", "h l6", "i"), ("Min", "i h6", "y")]
    nodes += [helper.make_node(op, inputs.split(), [result]) for op, inputs, result in steps]
    graph = helper.make_graph(
        nodes,
        "analog",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, c, *size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, k, *out])],
        [numpy_helper.from_array(np.array(v, np.float32), name) for name, v in constants.items()],
    )
    return helper.make_model(graph, ir_version=7, opset_imports=[helper.make_opsetid("", 13)])


@pytest.mark.parametrize(
    ("shape", "tile"),
    [
        ((3, 20, (9, 7), 3, 2, (1, 1, 1, 1)), {"k": 20, "y": 5}),
        ((16, 16, (8, 12), 5, 1, (2, 2, 2, 2)), {"k": 16, "y": 8}),
        ((64, 64, (25, 5), 1, 1, (0, 0, 0, 0)), {"k": 64, "y": 25}),
        ((32, 64, (36, 32), 3, 2, (0, 0, 1, 1)), {"k": 64, "y": 7}),
        ((128, 128, (3, 5), 1, 1, (0, 0, 0, 0)), {"k": 128, "y": 3}),
        ((64, 640, (3, 3), 1, 1, (0, 0, 0, 0)), {"k": 256, "y": 3}),
    ],
    ids=["narrow", "linear", "banks", "tiles of rows", "more than four banks", "tiles of channels"],
)
def test_kernels_are_exact_on_the_virtual_soc(tmp_path: Path, shape: Any, tile: dict[str, int]):
    path = tmp_path / "net.onnx"
    onnx.save(network(*shape), path)
    compiled = compile_model(str(path), Options(overlap=False))
    layer = next(layer for layer in compiled.report["layers"] if layer["op"] == "conv2d")
    assert (layer["engine"], layer["tile"]) == ("analog", tile)
    samples = load_samples("random", *edges(compiled.module), 1)
    execution = execute(compiled, "default", samples, check=True, check_layers=True)
    assert execution.check is not None
    assert not execution.check.failed
    assert execution.report["engines"]["analog"]["jobs"] >= 2  # the power-up's included
