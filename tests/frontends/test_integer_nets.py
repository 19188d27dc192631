"""Patterns of integer nets: the operations they become, and their values against onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_models import Array, integer_weights, model, names, node, operations, requant
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, StringAttr, TensorType, UnitAttr, i8, i32
from xdsl.dialects.func import FuncOp

from htvm_ir.dialects.attributes import values
from htvm_ir.dialects.graph import Conv2dOp, PoolOp, RequantOp
from htvm_ir.driver.compile import compile_model
from htvm_ir.driver.edges import edges
from htvm_ir.driver.execute import execute
from htvm_ir.driver.samples import load_samples
from htvm_ir.errors import HtvmError
from htvm_ir.frontends.onnx import import_model
from htvm_ir.interpreters.run import Runner

CLIP = {"lo": [-128.0], "hi": [127.0]}
W = integer_weights(1, 3, 2, 3, 3)
B = integer_weights(2, 3)
CONV = node("Conv", "x w b", "c", pads=[1, 1, 1, 1])
LAYER = {"w": W, "b": B, "div": [16.0], **CLIP}
DENSE = integer_weights(3, 3, 5)


def check(proto: onnx.ModelProto, *, samples: int = 4) -> ModuleOp:
    """The imported model, after it gave what onnxruntime gives on random inputs."""
    module = import_model(proto)
    module.verify()
    runner = Runner(module)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    scales = attribute_floats(module, "arg_attrs"), attribute_floats(module, "res_attrs")
    feeds = [argument for argument in runner.arguments if not argument.is_output]
    for _ in range(samples):
        inputs = [rng.integers(-128, 128, argument.shape).astype(np.int8) for argument in feeds]
        real = {
            argument.names[0]: (value * scale).astype(np.float32)
            for argument, value, scale in zip(feeds, inputs, scales[0], strict=True)
        }
        expected = session.run(None, real)
        for got, want, scale in zip(runner.run(inputs), expected, scales[1], strict=True):
            np.testing.assert_array_equal((got * scale).astype(np.float32), np.asarray(want))
    return module


def main(module: ModuleOp) -> FuncOp:
    (function,) = module.ops
    assert isinstance(function, FuncOp)
    return function


def attribute_floats(module: ModuleOp, which: str) -> list[float]:
    found = main(module).properties[which]
    return [entry.data["graph.scale"].value.data for entry in found]  # pyright: ignore


def requants(module: ModuleOp) -> list[RequantOp]:
    return [op for op in operations(module) if isinstance(op, RequantOp)]


def settings_of(op: RequantOp) -> tuple[str, int, int, int, int]:
    """(rounding, shift, zero point, lo, hi)"""
    point, lo, hi = (a.value.data for a in (op.zero_point, op.lo, op.hi))
    return op.rounding.data, values(op.shift)[0], point, lo, hi


TAILS: list[tuple[str, list[onnx.NodeProto], dict[str, object], tuple[str, int, int, int, int]]] = [
    ("as exported", requant("c", "y"), {}, ("floor", 4, 0, -128, 127)),
    ("no shift", requant("c", "y", shift=None), {}, ("floor", 0, 0, -128, 127)),
    (
        "multiplied",
        [node("Mul", "s c", "d"), *requant("d", "y", shift=None)],
        {"s": [0.125]},
        ("floor", 3, 0, -128, 127),
    ),
    (
        "min first, constants first",
        [node("Div", "c div", "d"), node("Floor", "d", "f"), node("Min", "hi f", "m"), node("Max", "lo m", "y")],
        {},
        ("floor", 4, 0, -128, 127),
    ),
    (
        "relu and clip",
        [node("Div", "c div", "d"), node("Floor", "d", "f"), node("Relu", "f", "r"), node("Clip", "r _ hi1", "y")],
        {"hi1": np.float32(63)},
        ("floor", 4, 0, 0, 63),
    ),
    (
        "clip before the floor",
        [node("Div", "c div", "d"), node("Clip", "d lo1 hi1", "r"), node("Floor", "r", "y")],
        {"lo1": np.float32(-8.5), "hi1": np.float32(63.5)},
        ("floor", 4, 0, -9, 63),
    ),
    (
        "relu on the accumulator",
        [node("Relu", "c", "r"), *requant("r", "y")],
        {},
        ("floor", 4, 0, 0, 127),
    ),
    (
        "rounded by a half",
        [node("Div", "c div", "d"), node("Add", "d half", "h"), *requant("h", "y", shift=None)],
        {"half": [0.5]},
        ("half_up", 4, 0, -128, 127),
    ),
    (
        "offset",
        [
            node("Div", "c div", "d"),
            node("Floor", "d", "f"),
            node("Add", "f three", "h"),
            *requant("h", "y", shift=None),
        ],
        {"three": [3.0]},
        ("floor", 4, 3, -128, 127),
    ),
    (
        "copies",
        [
            node("Identity", "c", "i"),
            node("Cast", "i", "k", to=TensorProto.FLOAT),
            node("Dropout", "k", "d"),
            *requant("d", "q"),
            node("Cast", "q", "j", to=TensorProto.INT8),
            node("Cast", "j", "y", to=TensorProto.FLOAT),
        ],
        {},
        ("floor", 4, 0, -128, 127),
    ),
]


@pytest.mark.parametrize(("tail", "constants", "expected"), [t[1:] for t in TAILS], ids=[t[0] for t in TAILS])
def test_requantisation_patterns(
    tail: list[onnx.NodeProto], constants: dict[str, object], expected: tuple[str, int, int, int, int]
) -> None:
    module = check(model([CONV, *tail], {**LAYER, **constants}))  # pyright: ignore[reportArgumentType]
    assert names(module) == ["conv2d", "requant"]
    assert settings_of(requants(module)[0]) == expected
    assert operations(module)[-1].attributes["graph.name"] == StringAttr("y")
    assert operations(module)[-1].results[0].type == TensorType(i8, [1, 3, 4, 4])


CONVOLUTIONS = {
    "asymmetric pads": ({"pads": [0, 1, 2, 1]}, (3, 2, 3, 3)),
    "same upper": ({"auto_pad": "SAME_UPPER", "strides": [2, 2]}, (3, 2, 3, 3)),
    "same lower": ({"auto_pad": "SAME_LOWER"}, (3, 2, 2, 4)),
    "valid": ({"auto_pad": "VALID", "kernel_shape": [3, 3]}, (3, 2, 3, 3)),
    "dilated": ({"dilations": [2, 1], "pads": [2, 1, 2, 1]}, (3, 2, 3, 3)),
    "depthwise": ({"group": 2, "strides": [1, 2]}, (4, 1, 3, 1)),
}


@pytest.mark.parametrize(("attributes", "shape"), CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_convolutions(attributes: dict[str, object], shape: Sequence[int]) -> None:
    nodes = [node("Conv", "x w", "c", **attributes), *requant("c", "y")]
    size = [1, 2, 7, 6]
    module = check(model(nodes, {**LAYER, "w": integer_weights(4, *shape)}, shape=size))
    assert names(module) == ["conv2d", "requant"]


FLAT = {**LAYER, "w": integer_weights(4, 3, 2, 3), "v": integer_weights(6, 4, 3, 2), "t": integer_weights(5, 1, 3, 1)}
TURN = node("Transpose", "c", "n", perm=[0, 2, 1])


@pytest.mark.parametrize(
    ("nodes", "becomes"),
    [
        ([node("Conv", "x w b", "c"), *requant("c", "y")], "conv2d requant"),
        ([node("Conv", "x w", "n"), node("Add", "n t", "c"), *requant("c", "y")], "conv2d requant"),
        ([node("Conv", "x w b", "y", pads=[2, 1], strides=[2])], "conv2d"),
        ([node("Conv", "x w b", "c", dilations=[2]), node("Div", "c div", "y")], "conv2d"),
        ([node("Conv", "x w b", "c"), *requant("c", "n"), node("Conv", "n v", "y")], "conv2d requant conv2d"),
        ([node("Conv", "x w b", "c"), TURN, *requant("n", "y")], "conv2d transpose requant"),
        ([node("Conv", "x w b", "c"), *requant("c", "n"), node("Flatten", "n", "y")], "conv2d requant"),
    ],
)
def test_one_dimension_is_two_of_height_one(nodes: list[onnx.NodeProto], becomes: str) -> None:
    module = check(model(nodes, FLAT, shape=(1, 2, 9)))
    assert [name for name in names(module) if name != "reshape"] == becomes.split()


def test_layers_of_one_dimension_run_on_the_array(tmp_path: Path) -> None:
    nodes = [node("Conv", "x w b", "c"), *requant("c", "n"), node("Conv", "n v", "e"), *requant("e", "y")]
    onnx.save(model(nodes, FLAT, shape=(1, 2, 40)), tmp_path / "net.onnx")
    compiled = compile_model(str(tmp_path / "net.onnx"))
    kernels = [(layer["op"], layer["engine"]) for layer in compiled.report["layers"]]
    assert kernels == [("reshape", "cpu"), ("conv2d", "digital"), ("conv2d", "digital"), ("reshape", "cpu")]
    samples = load_samples("random:1", *edges(compiled.module), 2)
    found = execute(compiled, "default", samples, check=True, check_layers=True).check
    assert found is not None and not found.failed


def test_a_bias_may_be_an_addition() -> None:
    add = node("Add", "t c", "c1")
    module = check(model([CONV, add, *requant("c1", "y")], {**LAYER, "t": integer_weights(5, 3, 1, 1)}))
    assert names(module) == ["conv2d", "requant"]
    assert operations(module)[0].attributes["graph.name"] == StringAttr("c1")


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        ([node("Gemm", "x w b", "c", transB=1)], {"w": DENSE, "b": B}),
        ([node("Gemm", "x w", "c")], {"w": DENSE.T}),
        ([node("Gemm", "x w b", "c")], {"w": DENSE.T, "b": B[:1]}),
        ([node("MatMul", "x w", "m"), node("Add", "m b", "c")], {"w": DENSE.T, "b": B}),
        ([node("MatMul", "x w", "m"), node("Add", "b m", "c")], {"w": DENSE.T, "b": B.reshape(1, 3)}),
    ],
)
def test_dense_layers(nodes: list[onnx.NodeProto], constants: dict[str, Array]) -> None:
    module = check(model([*nodes, *requant("c", "y")], {**LAYER, **constants}, shape=[1, 5]))
    assert names(module) == ["dense", "requant"]
    assert operations(module)[0].attributes["graph.name"] == StringAttr("c")


def test_wide_weights_take_wide_constants() -> None:
    module = check(model([node("Gemm", "x w", "y")], {"w": [[1000.0], [-3.0]]}, shape=[1, 2]))
    assert operations(module)[0].operands[1].type == TensorType(IntegerAttr(0, 16).type, [1, 2])


def test_a_residual_sum() -> None:
    nodes = [
        node("Conv", "x w b", "c", pads=[1, 1, 1, 1]),
        *requant("c", "q"),
        node("Add", "q x", "s"),
        node("Relu", "s", "r"),
        *requant("r", "y", shift=None),
    ]
    constants = {**LAYER, "w": integer_weights(6, 2, 2, 3, 3), "b": B[:2]}
    module = check(model(nodes, constants))
    assert names(module) == ["conv2d", "requant", "add", "requant"]
    assert settings_of(requants(module)[1]) == ("floor", 0, 0, 0, 127)


def test_requantisations_stay_beside_their_layers() -> None:
    nodes = [
        node("Conv", "x w", "c"),
        *requant("c", "q"),
        node("Conv", "x w", "d"),
        *requant("d", "r"),
        node("Add", "q r", "y"),
    ]
    module = check(model(nodes, LAYER))
    assert names(module) == ["conv2d", "requant", "conv2d", "requant", "add"]


AVERAGES = {
    "global": (["GlobalAveragePool"], {}),
    "global, flattened": (["GlobalAveragePool", "Flatten"], {}),
    "mean": (["ReduceMean"], {"axes": [2, 3], "keepdims": 0}),
    "windows": (["AveragePool"], {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]}),
}


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize(("ops", "attributes"), AVERAGES.values(), ids=AVERAGES)
def test_averages(ops: list[str], attributes: dict[str, object], half: bool) -> None:
    nodes = [node(ops[0], "x", "a", **attributes)]
    nodes += [node(op, "a", "b") for op in ops[1:]]
    last = "b" if len(ops) > 1 else "a"
    nodes += [node("Add", f"{last} half", "h")] if half else []
    nodes += requant("h" if half else last, "y", shift=None)
    module = check(model(nodes, {**CLIP, "half": [0.5]}, shape=[1, 2, 5, 6]))
    flat = ["reshape"] if last == "b" or ops == ["ReduceMean"] else []
    assert names(module) == ["pool", *flat]
    pool = operations(module)[0]
    assert isinstance(pool, PoolOp)
    assert pool.rounding.data == ("half_up" if half else "floor")
    assert operations(module)[-1].attributes["graph.name"] == StringAttr("y")


def test_a_clip_that_narrows_an_average() -> None:
    nodes = [node("GlobalAveragePool", "x", "a"), node("Floor", "a", "f"), node("Relu", "f", "y")]
    assert names(check(model(nodes))) == ["pool", "requant"]


def test_shapes() -> None:
    nodes = [
        node("MaxPool", "x", "m", kernel_shape=[2, 2], strides=[2, 2], pads=[0, 1, 0, 0]),
        node("Shape", "m", "s"),
        node("Gather", "s zero", "n"),
        node("Unsqueeze", "n axis", "n1"),
        node("Concat", "n1 rest", "t", axis=0),
        node("Reshape", "m t", "r"),
        node("Unsqueeze", "r two", "u"),
        node("Squeeze", "u two", "v"),
        node("Flatten", "v", "y"),
    ]
    constants = {"zero": np.int64(0), "axis": np.array([0]), "rest": np.array([-1]), "two": np.array([2])}
    module = check(model(nodes, constants))
    assert names(module)[:2] == ["pool", "reshape"]
    assert operations(module)[-1].attributes["graph.name"] == StringAttr("y")


def test_constants_are_folded() -> None:
    nodes = [
        helper.make_node("Constant", [], ["d1"], value=numpy_helper.from_array(np.array([64.0], np.float32))),
        node("Mul", "d1 four", "d2"),
        CONV,
        node("Div", "c d2", "d"),
        *requant("d", "y", shift=None),
    ]
    module = check(model(nodes, {**LAYER, "four": [0.25]}))
    assert settings_of(requants(module)[0])[1] == 4


def test_float_edges_are_left_to_the_caller() -> None:
    nodes = [
        node("Div", "x step", "x.div"),
        *requant("x.div", "x.int8", shift=None),
        node("Conv", "x.int8 w b", "c"),
        *requant("c", "q"),
        node("Mul", "scale q", "y"),
    ]
    module = check(model(nodes, {**LAYER, "step": [0.25], "scale": [0.1]}))
    assert names(module) == ["conv2d", "requant"]
    arguments, results = main(module).arg_attrs, main(module).res_attrs
    assert arguments is not None
    assert results is not None
    argument, result = arguments.data[0].data, results.data[0].data
    assert str(argument["graph.aliases"]) == '["x.int8"]'
    assert str(result["graph.aliases"]) == '["q"]'
    assert (argument["graph.name"], result["graph.name"]) == (StringAttr("x"), StringAttr("y"))
    assert attribute_floats(module, "res_attrs") == [float(np.float32(0.1))]
    assert "graph.assumed_range" not in argument


def test_an_input_that_rounds_half_up() -> None:
    nodes = [
        node("Div", "x step", "x.div"),
        node("Add", "half x.div", "x.half"),
        *requant("x.half", "x.int8", shift=None),
        node("Conv", "x.int8 w b", "c"),
        *requant("c", "y"),
    ]
    module = check(model(nodes, {**LAYER, "step": [0.25], "half": [0.5]}))
    assert names(module) == ["conv2d", "requant"]
    arguments = main(module).arg_attrs
    assert arguments is not None
    assert arguments.data[0].data["graph.edge_rounding"] == StringAttr("half_up")


def test_transposes() -> None:
    turned = node("Transpose", "x", "t", perm=[0, 3, 1, 2])
    again = node("Transpose", "f", "y", perm=[0, 1, 3, 2])
    nodes = [turned, node("Conv", "t w b", "c"), *requant("c", "q"), node("Div", "q div", "d"), node("Floor", "d", "f")]
    module = check(model([*nodes, again], LAYER, shape=(1, 5, 4, 2), output_shape=(1, 3, 2, 3)))
    assert names(module) == ["transpose", "conv2d", "requant", "requant", "transpose"]
    turned.attribute[0].ints[3] = 1
    with pytest.raises(HtvmError, match="does not fit rank 4"):
        import_model(model([*nodes, again], LAYER, shape=(1, 5, 4, 2)))


def test_accumulators_may_be_the_output() -> None:
    module = check(model([CONV, node("Div", "c div", "y")], LAYER))
    assert names(module) == ["conv2d"]
    assert operations(module)[0].results[0].type == TensorType(i32, [1, 3, 4, 4])
    assert attribute_floats(module, "res_attrs") == [1 / 16]


def test_the_range_of_an_unquantised_input() -> None:
    proto = model([CONV, *requant("c", "y")], LAYER)
    assumed, stated = import_model(proto), import_model(proto, name="n", input_ranges={"x": (-7, 8)})
    first, second = (main(module).arg_attrs for module in (assumed, stated))
    assert first is not None
    assert second is not None
    assert first.data[0].data["graph.assumed_range"] == UnitAttr()
    assert "graph.assumed_range" not in second.data[0].data
    assert str(second.data[0].data["graph.range"]) == "array<i64: -7, 8>"
    assert stated.attributes["graph.model"] == StringAttr("n")


def test_a_symbolic_batch_becomes_one() -> None:
    module = import_model(model([CONV, *requant("c", "y")], LAYER, shape=["N", 2, 4, 4]))
    conv = operations(module)[0]
    assert isinstance(conv, Conv2dOp)
    assert conv.input.type == TensorType(i8, [1, 2, 4, 4])


def test_order_of_nodes_and_dead_nodes_do_not_matter() -> None:
    nodes = [*requant("c", "y"), node("LSTM", "c", "unused"), CONV]
    assert names(import_model(model(nodes, LAYER))) == ["conv2d", "requant"]


def test_several_inputs_and_outputs() -> None:
    nodes = [node("Add", "a b", "s"), *requant("s", "y"), node("Relu", "a", "z")]
    shape = [1, 3]
    proto = model(nodes, {**CLIP, "div": [2.0]}, inputs={"a": shape, "b": shape}, outputs=["y", "z"])
    module = check(proto)
    assert names(module) == ["add", "requant", "requant"]
    (returned,) = [op for op in main(module).body.block.ops if op.name == "func.return"]
    assert [value.type for value in returned.operands] == [TensorType(i8, shape)] * 2


def test_an_intermediate_with_two_readers() -> None:
    nodes = [
        CONV,
        node("Div", "c div", "d"),
        node("Floor", "d", "f"),
        node("Max", "f lo", "m"),
        node("Min", "m hi", "q"),
        node("Add", "f q", "y"),
    ]
    module = check(model(nodes, LAYER))
    assert names(module)[0] == "conv2d"
    assert names(module)[-1] == "add"


def test_scales_of_each_channel_become_a_depthwise_kernel():
    """What follows an analog layer: Mul and Add of each channel on 6 bits, then a shift; exact as 1x1 kernels."""
    constants = {
        "w": np.sign(W), "g": [4.0], "l6": [-32.0], "h6": [31.0], "div": [16.0], **CLIP,
        "m": np.array([3.0, -60.0, 127.0]).reshape(1, 3, 1, 1), "a": np.array([-7.0, 900.0, 0.0]).reshape(3, 1, 1),
    }  # fmt: skip
    nodes = [
        node("Conv", "x w", "c", pads=[1, 1, 1, 1]),
        node("Div", "c g", "d"),
        node("Floor", "d", "e"),
        node("Max", "e l6", "f"),
        node("Min", "f h6", "adc"),
        node("Mul", "m adc", "p"),
        node("Add", "p a", "q"),
        *requant("q", "y"),
    ]
    module = check(model(nodes, constants))
    assert names(module) == ["conv2d", "requant", "conv2d", "requant"]
    scale = operations(module)[2]
    assert isinstance(scale, Conv2dOp)
    assert scale.groups.value.data == 3
    assert scale.bias is not None


@pytest.mark.parametrize(
    ("factors", "reason"),
    [
        ([[[2.5]], [[1.0]], [[1.0]]], "has a fractional part"),
        ([1.0, 2.0], "does not fit 3 output channels"),
    ],
)
def test_scales_that_are_not_of_channels_are_refused(factors: list[float], reason: str):
    nodes = [CONV, *requant("c", "d"), node("Mul", "d m", "y")]
    with pytest.raises(HtvmError, match=reason):
        import_model(model(nodes, {**LAYER, "m": factors}))


def test_scales_of_wide_sums_join_the_requantisation():
    nodes = [CONV, node("Mul", "c m", "y")]
    module = check(model(nodes, {**LAYER, "m": [[[2.0]], [[-1.0]], [[7.0]]]}))
    assert names(module) == ["conv2d", "requant"]
    assert values(requants(module)[0].multiplier) == (2, -1, 7)
