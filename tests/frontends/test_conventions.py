"""Random integer nets of every convention: the interpreter gives what onnxruntime, or numpy, gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from convention_models import nemo, quantlab, requant_shift
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_models import Array, integer_weights, model, names, node, operations
from xdsl.dialects.builtin import ModuleOp, StringAttr, TensorType, i8, i16

from htvm_ir import arithmetic
from htvm_ir.dialects.graph import NAME, RequantOp
from htvm_ir.driver.compile import Options, compile_model
from htvm_ir.driver.edges import edges
from htvm_ir.driver.execute import execute
from htvm_ir.driver.samples import load_samples
from htvm_ir.errors import HtvmError
from htvm_ir.frontends.onnx import import_model
from htvm_ir.frontends.onnx.integer.net import ui8
from htvm_ir.interpreters.run import Runner
from htvm_ir.passes.workloads import main_function

SEEDS = st.integers(0, 10**6)
SAMPLES = 3


def compare(proto: onnx.ModelProto, runnable: onnx.ModelProto) -> None:
    """The interpreter and onnxruntime on random inputs; the caller computes what is behind the integers."""
    module = import_model(proto)
    module.verify()
    runner = Runner(module)
    feeds = runner.arguments
    wanted = result_names(module)
    visible = onnx.ModelProto()
    visible.CopyFrom(runnable)
    known = {output.name for output in visible.graph.output}
    visible.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in {*wanted} - known
    )
    session = onnxruntime.InferenceSession(visible.SerializeToString(), providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    for _ in range(SAMPLES):
        inputs = [random.integers(*_limits(feed.dtype), feed.shape, feed.dtype, endpoint=True) for feed in feeds]
        real = {feed.names[0]: x.astype(np.float32) for feed, x in zip(feeds, inputs, strict=True)}
        for got, expected in zip(runner.run(inputs), session.run(wanted, real), strict=True):
            np.testing.assert_array_equal(got, np.asarray(expected))


def result_names(module: ModuleOp) -> list[str]:
    attributes = [entry.data[NAME] for entry in main_function(module).res_attrs or ()]
    return [name.data for name in attributes if isinstance(name, StringAttr)]


def _limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    return (0, 255) if dtype.kind == "u" else (-128, 127)


@settings(deadline=None, max_examples=25)
@given(SEEDS)
def test_nemo(seed: int) -> None:
    proto = nemo(seed)
    compare(proto, proto)


@settings(deadline=None, max_examples=25)
@given(SEEDS)
def test_quantlab(seed: int) -> None:
    compare(*quantlab(seed))


@settings(deadline=None, max_examples=60)
@given(SEEDS)
def test_requant_shift(seed: int) -> None:
    proto, weights, shift = requant_shift(seed)
    try:
        module = import_model(proto)
    except HtvmError as error:
        # divisors that are no powers of two may need multipliers beyond 32 bits
        assert shift.divisor == 3**9
        assert "divide by a power of two" in str(error)
        return
    x = np.random.default_rng(seed).integers(-128, 128, (1, 2, 4, 4)).astype(np.int8)
    acc = arithmetic.conv2d(x, weights, None, (1, 1), (1, 1, 1, 1), (1, 1), 1)
    np.testing.assert_array_equal(Runner(module).run([x])[0], shift.apply(acc))


BUILDERS: dict[str, Callable[[int], onnx.ModelProto]] = {
    "nemo": nemo,
    "quantlab": lambda seed: quantlab(seed)[0],
    "requant shift": lambda seed: requant_shift(seed)[0],
}


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
@pytest.mark.parametrize("seed", [1, 2])
def test_the_virtual_soc(build: Callable[[int], onnx.ModelProto], seed: int, tmp_path: Path) -> None:
    onnx.save(build(seed), tmp_path / "net.onnx")
    compiled = compile_model(str(tmp_path / "net.onnx"), Options())
    samples = load_samples("random:1", *edges(compiled.module), SAMPLES)
    check = execute(compiled, "default", samples, check=True, check_layers=True).check
    assert check is not None
    assert not check.failed
    assert check.samples == SAMPLES


W = integer_weights(1, 3, 2, 3, 3)
CONV = node("Conv", "x w", "c")


def nemo_tail(divisor: Array, low: float | None = 0.0) -> onnx.ModelProto:
    clip = [] if low is None else [node("Clip", "f lo hi", "y")]
    nodes = [
        CONV,
        node("Cast", "c", "i", to=onnx.TensorProto.INT64),
        node("Div", "i div", "q"),
        node("Cast", "q", "f", to=onnx.TensorProto.FLOAT),
    ]
    bounds = {"lo": [low or 0.0], "hi": [255.0]}
    return model([*nodes, *clip], {"w": W, "div": divisor, **bounds}, outputs=["y" if clip else "f"])


def test_a_division_of_integers_needs_a_clip_at_zero() -> None:
    import_model(nemo_tail(np.array(16)))
    for proto in (nemo_tail(np.array(16), -3.0), nemo_tail(np.array(16), None)):
        with pytest.raises(HtvmError, match="rounded towards zero and may be negative; clip it at 0 or use Floor"):
            import_model(proto)


def test_nemo_takes_uint8_images() -> None:
    (x,) = Runner(import_model(nemo_tail(np.array(16)))).arguments
    assert x.dtype == np.uint8
    (x,) = Runner(import_model(nemo_tail(np.array(16)), input_ranges={"x": (0, 100)})).arguments
    assert x.dtype == np.int8


def test_integers_are_stored_in_as_few_bits_as_hold_them() -> None:
    def clipped(high: float) -> object:
        nodes = [CONV, node("Clip", "c lo hi", "y")]
        module = import_model(model(nodes, {"w": W * 100, "lo": [0.0], "hi": [high]}))
        type_ = operations(module)[-1].results[0].type
        assert isinstance(type_, TensorType)
        return type_.element_type

    assert [clipped(high) for high in (127.0, 255.0, 510.0)] == [i8, ui8, i16]


def test_a_divisor_that_is_no_power_of_two_becomes_a_multiplier() -> None:
    module = import_model(nemo_tail(np.array(1000)))
    assert names(module) == ["conv2d", "requant"]
    requant = operations(module)[-1]
    assert isinstance(requant, RequantOp)
    assert requant.rounding.data == "floor"


@pytest.mark.parametrize("places", [0, -1, [2], [0, 2], [2, 0, 1, 1], [[0, 1], [2, -1]], [[1]]])
@pytest.mark.parametrize("axis", [1, -2])
def test_gather(places: object, axis: int) -> None:
    indices = np.array(places)
    module = import_model(model([node("Gather", "x i", "y", axis=axis)], {"i": indices}, shape=[1, 3, 4, 2]))
    module.verify()
    x = np.random.default_rng(0).integers(-128, 128, (1, 3, 4, 2)).astype(np.int8)
    np.testing.assert_array_equal(Runner(module).run([x])[0], np.take(x, indices, axis))


BAD: dict[str, tuple[list[onnx.NodeProto], dict[str, object], str]] = {
    "no levels": (
        [CONV, node("RequantShift", "c m a", "y", domain="d", div=4)],
        {},
        "RequantShift 'y': has no attribute 'n_levels_out'",
    ),
    "fractional multiplier": (
        [CONV, node("RequantShift", "c m a", "y", div=4, n_levels=4)],
        {"m": [0.5]},
        "RequantShift 'y': the mul must be integers, but hold 0.5",
    ),
    "another number of channels": (
        [CONV, node("RequantShift", "c m a", "y", div=4, n_levels=4)],
        {"m": [1.0, 2.0]},
        "mul has 2 elements; it needs one, or one for each channel of [1, 3, 2, 2]",
    ),
    "no divisor": ([CONV, node("RequantShift", "c m a", "y", div=0, n_levels=4)], {}, "they must be positive"),
    "fractional divisor": (
        [CONV, node("RequantShift", "c m a", "y", div=2.5, n_levels=4)],
        {},
        "attribute 'div' must be one integer",
    ),
    "fraction before": (
        [CONV, node("Div", "c f", "d"), node("RequantShift", "d m a", "y", div=4, n_levels=4)],
        {},
        "RequantShift 'y': needs integers, but 'd' is not provably one: it has a fractional part",
    ),
    "gather beyond": ([CONV, node("Gather", "c i", "y", axis=1)], {"i": np.array([3])}, "within the 3 elements"),
    "gather along no axis": ([CONV, node("Gather", "c i", "y", axis=4)], {"i": np.array([0])}, "do not fit rank 4"),
    "gather at computed places": ([CONV, node("Gather", "x c", "y")], {}, "the indices must be a constant"),
    "another domain": ([node("Conv", "x w", "y", domain="d")], {}, "operator of domain 'd' is not supported"),
}


@pytest.mark.parametrize(("nodes", "constants", "words"), BAD.values(), ids=BAD)
def test_what_is_refused(nodes: list[onnx.NodeProto], constants: dict[str, object], words: str) -> None:
    given_ = {"w": W, "m": [1.0], "a": [0.0], "f": [4.0], **constants}
    with pytest.raises(HtvmError) as raised:
        import_model(model(nodes, given_))  # pyright: ignore[reportArgumentType]
    assert words in str(raised.value)
