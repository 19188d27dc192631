"""What is not a sound integer net is one line that says what, where and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto
from onnx_models import integer_weights, model, node, requant

from htvm_ir.errors import HtvmError
from htvm_ir.frontends.onnx import import_model

CLIP = {"lo": [-128.0], "hi": [127.0], "div": [16.0]}
W = integer_weights(1, 3, 2, 3, 3)
CONV = node("Conv", "x w", "c")
TAIL = requant("c", "y")
LAYER = {"w": W, **CLIP}
GOOD = model([CONV, *TAIL], LAYER)


def failure(source: Path | onnx.ModelProto, ranges: dict[str, tuple[int, int]] | None = None) -> str:
    with pytest.raises(HtvmError) as caught:
        import_model(source, input_ranges=ranges)
    message = str(caught.value)
    assert "\n" not in message
    return message


def external() -> onnx.ModelProto:
    proto = onnx.ModelProto()
    proto.CopyFrom(GOOD)
    weights = next(t for t in proto.graph.initializer if t.name == "w")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="absent.bin")
    return proto


def damaged() -> onnx.ModelProto:
    proto = onnx.ModelProto()
    proto.CopyFrom(GOOD)
    next(t for t in proto.graph.initializer if t.name == "w").dims[0] = 7
    return proto


def sparse() -> onnx.ModelProto:
    proto = onnx.ModelProto()
    proto.CopyFrom(GOOD)
    proto.graph.sparse_initializer.add()
    return proto


def deep(count: int) -> onnx.ModelProto:
    """A constant that doubles `count` times."""
    nodes = [node("Concat", f"t{i} t{i}", f"t{i + 1}", axis=0) for i in range(count)]
    return model([*nodes, node("Reshape", f"x t{count}", "y")], {"t0": np.array([1])})


SOUNDNESS: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "cycle": (
        lambda: model([node("Add", "x b", "a"), node("Relu", "a", "b"), node("Relu", "b", "y")]),
        "Add 'a': the graph is cyclic",
    ),
    "dangling": (lambda: model([node("Relu", "nowhere", "y")]), "Relu 'y': reads 'nowhere', which nothing"),
    "defined twice": (lambda: model([node("Relu", "x", "y"), node("Relu", "x", "y")]), "'y' is defined twice"),
    "no output": (lambda: model([node("Relu", "x", "z")]), "output 'y': no node produces it"),
    "no nodes": (lambda: model([]), "no outputs or no nodes"),
    "no shape": (lambda: model([CONV, *TAIL], LAYER, shape=None), "input 'x' has no shape"),
    "free height": (lambda: model([CONV, *TAIL], LAYER, shape=[1, 2, "H", 4]), "no fixed size in axis 2"),
    "batch": (lambda: model([CONV, *TAIL], LAYER, shape=[8, 2, 4, 4]), "has batch 8"),
    "empty": (lambda: model([CONV, *TAIL], LAYER, shape=[1, 2, 0, 4]), "sizes must be positive"),
    "vast": (lambda: model([CONV, *TAIL], LAYER, shape=[1, 2, 2**40, 4]), "fit 32 bits"),
    "unknown op": (lambda: model([node("LSTM", "x", "y")]), "LSTM 'y': operator is not supported"),
    "unknown domain": (lambda: model([node("Conv", "x", "y", domain="extra")]), "operator of domain 'extra'"),
    "external data": (external, "'w' lies in an external file"),
    "damaged constant": (damaged, "constant 'w' is damaged"),
    "sparse": (sparse, "sparse initializers"),
    "text constant": (lambda: model([node("Relu", "x", "y")], {"t": np.array(["a"])}), "not numbers"),
    "declared shape": (
        lambda: model([CONV, *TAIL], LAYER, output_shape=[1, 3, 9, 9]),
        "'y' has shape [1, 3, 2, 2], but the file declares [1, 3, 9, 9]",
    ),
    "exploding constant": (lambda: deep(60), "elements"),
    "constant output": (lambda: model([node("Add", "t t", "y")], {"t": [1.0]}), "output 'y' is a constant"),
    "nothing to do": (lambda: model([node("Identity", "x", "y")]), "an input unchanged"),
    "double": (lambda: model([CONV, *TAIL], LAYER, element=TensorProto.DOUBLE), "use float32, int8 or uint8"),
}


@pytest.mark.parametrize(("build", "words"), SOUNDNESS.values(), ids=SOUNDNESS)
def test_unsound_models(build: Callable[[], onnx.ModelProto], words: str) -> None:
    assert words in failure(build())


def layer(*nodes: onnx.NodeProto, **constants: object) -> onnx.ModelProto:
    return model(nodes, {**LAYER, **constants}, outputs=[nodes[-1].output[0]])  # pyright: ignore[reportArgumentType]


FLOOR = node("Floor", "d", "f")
CONVENTION: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "float weights": (lambda: layer(CONV, *TAIL, w=W / 3), "Conv 'c': the weights must be integers, but hold"),
    "huge weights": (lambda: layer(CONV, *TAIL, w=W * 1e9), "must fit int32"),
    "nan weights": (lambda: layer(CONV, *TAIL, w=W * np.nan), "must fit int32"),
    "float bias": (
        lambda: layer(node("Conv", "x w b", "c"), *TAIL, b=[0.5, 0.0, 1.0]),
        "the bias values must be integers, but hold 0.5",
    ),
    "bias of another size": (lambda: layer(node("Conv", "x w b", "c"), *TAIL, b=[1.0, 2.0]), "does not fit 3"),
    "weights computed": (lambda: layer(node("Conv", "x x", "c")), "the weights must be a constant"),
    "accumulator": (lambda: layer(CONV, *TAIL, w=W * 1e6), "the accumulator may reach"),
    "no floor": (
        lambda: layer(CONV, node("Div", "c div", "d"), node("Conv", "d v", "e"), v=W[:, :, :1, :1].repeat(2, 1)[:, :3]),
        "'d' is not provably one: it has a fractional part; add a Floor",
    ),
    "no floor after a mean": (
        lambda: layer(node("GlobalAveragePool", "x", "a"), node("Add", "a a", "y")),
        "'a' is not provably one: it is an average; add a Floor",
    ),
    "odd divisor": (lambda: layer(CONV, node("Div", "c div", "d"), FLOOR, div=[3.0]), "scaled by 1/3"),
    "rounded factor": (lambda: layer(CONV, node("Mul", "c div", "d"), FLOOR, div=[0.0123]), "rounds in float32"),
    "per channel": (
        lambda: layer(CONV, node("Div", "c div", "d"), FLOOR, div=[[[2.0]], [[4.0]]]),
        "Div 'd': constant 'div' of shape [2, 1, 1] must be one number or one for each channel of [1, 3, 2, 2]",
    ),
    "per channel, no numbers": (
        lambda: layer(CONV, node("Mul", "c div", "d"), FLOOR, div=[[[2.0]], [[np.nan]], [[8.0]]]),
        "Mul 'd': constant 'div' must hold finite numbers only",
    ),
    "per channel, in a clip": (
        lambda: layer(
            CONV,
            node("Div", "c div", "d"),
            node("Relu", "d", "r"),
            node("Mul", "r m", "e"),
            m=[[[2.0]], [[1.0]], [[4.0]]],
        ),
        "Mul 'e': needs integers, but 'r' is not provably one: it has a fractional part; add a Floor",
    ),
    "zero divisor": (lambda: layer(CONV, node("Div", "c div", "d"), FLOOR, div=[0.0]), "scales by 0"),
    "inverse": (lambda: layer(CONV, node("Div", "div c", "d"), FLOOR), "a divisor"),
    "quarter": (
        lambda: layer(CONV, node("Div", "c div", "e"), node("Add", "e q", "d"), FLOOR, q=[0.25]),
        "0.25 is added before the Floor",
    ),
    "fractional clip": (
        lambda: layer(CONV, *requant("c", "q"), node("Max", "q half", "y"), half=[0.5]),
        "clips integers at 0.5",
    ),
    "mean with a factor": (
        lambda: layer(node("GlobalAveragePool", "x", "a"), node("Div", "a div", "d"), FLOOR),
        "without a factor",
    ),
    "input without a clip": (
        lambda: layer(node("Div", "x div", "d"), FLOOR, node("Conv", "f w", "c")),
        "ends its quantisation without a clip",
    ),
    "wide input": (
        lambda: layer(node("Floor", "x", "f"), node("Clip", "f a b", "g"), node("Conv", "g w", "c"), a=0.0, b=256.0),
        "the range 0..256 of input 'x' must lie in",
    ),
    "behind the end": (
        lambda: layer(CONV, node("Sigmoid", "c", "s"), node("Add", "s s", "y")),
        "Add 'y': reads 's', which only the caller computes; cut the network there",
    ),
    "3-D": (
        lambda: model([node("Conv", "x w", "y")], {"w": W[..., None]}, shape=[1, 2, 9, 9, 9]),
        "only 1-D and 2-D convolutions are supported",
    ),
    "channels": (lambda: layer(CONV, *TAIL, w=W[:, :1]), "weights take 1 channels in 1 groups, the input has 2"),
    "groups": (lambda: layer(node("Conv", "x w", "c", group=2), *TAIL, w=W[:, :1]), "groups 2 must divide"),
    "kernel": (lambda: layer(node("Conv", "x w", "c", kernel_shape=[5, 5]), *TAIL), "the weights have [3, 3]"),
    "large kernel": (lambda: layer(CONV, *TAIL, w=integer_weights(1, 3, 2, 9, 9)), "does not fit an input"),
    "attribute type": (lambda: layer(node("Conv", "x w", "c", strides=2), *TAIL), "'strides' must be a list"),
    "attribute length": (lambda: layer(node("Conv", "x w", "c", strides=[2]), *TAIL), "must have 2 values"),
    "alpha": (
        lambda: model([node("Gemm", "x w", "y", alpha=0.5)], {"w": [[1.0]]}, shape=[1, 1]),
        "alpha and beta must be 1",
    ),
    "rank of matmul": (lambda: layer(node("MatMul", "x w", "y"), w=[[1.0]]), "only [1, C] times a matrix"),
    "residual shapes": (
        lambda: layer(node("Flatten", "x", "a"), node("Add", "a x", "y")),
        "must be alike",
    ),
    "reshape": (lambda: layer(node("Reshape", "x s", "y"), s=np.array([3, -1])), "cannot reshape"),
    "two results": (
        lambda: model(
            [node("MaxPool", "x", "m i", kernel_shape=[2, 2]), node("Relu", "i", "y")],
        ),
        "MaxPool 'm': only its first result",
    ),
    "scaled clip": (
        lambda: layer(CONV, node("Mul", "c div", "d"), node("Max", "d half", "y"), div=[0.3], half=[0.5]),
        "neither an integer nor one times a scale",
    ),
    "truncating cast": (
        lambda: layer(CONV, node("Div", "c div", "d"), node("Cast", "d", "y", to=TensorProto.INT32)),
        "'y' is not provably one: it is rounded towards zero and may be negative; clip it at 0 or use Floor",
    ),
    "truncating cast of the input": (
        lambda: layer(node("Div", "x div", "d"), node("Cast", "d", "k", to=TensorProto.INT32), *requant("k", "y")),
        "Div 'y.div': needs integers, but 'k' is not provably one: it is rounded towards zero",
    ),
    "scales per channel": (
        lambda: layer(node("QuantizeLinear", "x w", "y")),
        "QuantizeLinear 'y': scales per channel are supported for weights only",
    ),
}


@pytest.mark.parametrize(("build", "words"), CONVENTION.values(), ids=CONVENTION)
def test_models_outside_the_convention(build: Callable[[], onnx.ModelProto], words: str) -> None:
    assert words in failure(build())


@pytest.mark.parametrize(
    ("ranges", "words"),
    [
        ({"z": (0, 1)}, "no input 'z'"),
        ({"x": (-1, 255)}, "must lie in -128..127 or 0..255: inputs have 8 bits"),
        ({"x": (-1000, 1)}, "inputs have 8 bits"),
        ({"x": (5, 1)}, "is empty"),
    ],
)
def test_bad_input_ranges(ranges: dict[str, tuple[int, int]], words: str) -> None:
    assert words in failure(GOOD, ranges)


def test_a_quantised_input_takes_no_range() -> None:
    proto = layer(node("Floor", "x", "f"), node("Clip", "f a b", "g"), node("Conv", "g w", "c"), a=0.0, b=9.0)
    assert "leave its range out" in failure(proto, {"x": (0, 9)})


def test_bad_files(tmp_path: Path) -> None:
    assert failure(tmp_path / "absent.onnx") == f"{tmp_path / 'absent.onnx'}: no such file"
    assert "is a directory" in failure(tmp_path)
    assert "cannot be read" in failure(tmp_path / ("x" * 300))
    (tmp_path / "m.onnx").write_bytes(b"")
    assert "not an ONNX model" in failure(tmp_path / "m.onnx")
    (tmp_path / "m.onnx").write_text("builtin.module {}")
    assert "not an ONNX model" in failure(tmp_path / "m.onnx")
    (tmp_path / "m.onnx").write_bytes(external().SerializeToString())
    assert "its external data cannot be read" in failure(tmp_path / "m.onnx")


def test_external_data_is_read(tmp_path: Path) -> None:
    proto = external()
    weights = next(t for t in proto.graph.initializer if t.name == "w")
    (tmp_path / "absent.bin").write_bytes(weights.raw_data)
    weights.ClearField("raw_data")
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    assert str(import_model(tmp_path / "m.onnx", name="net")) == str(import_model(GOOD))


def survives(path: Path, data: bytes) -> None:
    """Imports `data`; only HtvmError, on one line, may come out of it."""
    path.write_bytes(data)
    try:
        import_model(path)
    except HtvmError as error:
        assert "\n" not in str(error)


@settings(deadline=None, max_examples=150)
@given(data=st.binary(max_size=300))
def test_random_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    survives(tmp_path_factory.getbasetemp() / "random.onnx", data)


def test_truncated_models(tmp_path: Path) -> None:
    data = GOOD.SerializeToString()
    for length in range(len(data)):
        survives(tmp_path / "truncated.onnx", data[:length])


@settings(deadline=None, max_examples=400)
@given(edits=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_models(tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[int, int]]) -> None:
    data = bytearray(GOOD.SerializeToString())
    for position, byte in edits:
        data[position % len(data)] = byte
    survives(tmp_path_factory.getbasetemp() / "damaged.onnx", bytes(data))


def test_a_default_name_for_a_model_without_one() -> None:
    proto = onnx.ModelProto()
    proto.CopyFrom(GOOD)
    proto.graph.name = ""
    assert 'graph.model = "model"' in str(import_model(proto))
