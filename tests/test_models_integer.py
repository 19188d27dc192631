"""Integer networks of NEMO and QuantLab on the virtual DIANA: every stored layer and output, bit for bit."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from htvm_ir.driver.compile import Compiled, Options, compile_model, load_model
from htvm_ir.driver.edges import edges
from htvm_ir.driver.execute import execute
from htvm_ir.driver.samples import load_samples, read_npz
from htvm_ir.interpreters.run import Runner

MODELS = Path(os.environ.get("HTVM_MODELS", Path(__file__).parents[2] / "shared" / "models"))
DORY, KEYWORDS = MODELS / "dory", MODELS / "diana" / "kws_po2"
FILES = {
    "residual_connection_test_1": ("model_int.onnx", "129"),
    "nas_frontnet": ("Frontnet.onnx", "136, 137, 138, 139"),
    "dvs_cnn_9inputs": ("dvs_cnn_cnn_ql_integerized.onnx", "56"),
}

pytestmark = pytest.mark.skipif(not DORY.is_dir(), reason=f"no integer networks at {MODELS}")


@cache
def compiled(name: str) -> Compiled:
    return compile_model(str(DORY / name / FILES[name][0]), Options())


@pytest.mark.parametrize("name", FILES)
def test_outputs_and_layers(name: str) -> None:
    network, golden = compiled(name), DORY / name / "golden.npz"
    samples = load_samples(str(golden), *edges(network.module), 1)
    check = execute(network, "default", samples, check=True, check_layers=True, layers=read_npz(golden)).check
    assert check is not None
    assert check.reference == FILES[name][1]
    assert not check.failed, check.first
    assert check.layers_checked > len(network.report["layers"]), "every kernel, and stored layers on top"


@pytest.mark.parametrize("name", FILES)
def test_the_interpreter_gives_all_stored_layers(name: str) -> None:
    """Those too that share a kernel on the SoC."""
    golden, source = read_npz(DORY / name / "golden.npz"), compiled(name).source
    (edge,), outputs = edges(compiled(name).module)
    found = Runner(source).layers([golden[edge.name].astype(edge.dtype)])
    known = golden.keys() & found.keys()
    for tensor in known:
        np.testing.assert_array_equal(found[tensor], golden[tensor], tensor)
    assert {output.name for output in outputs} <= known
    assert len(known) >= len(golden) - 2, "all but a float function at the end, and a quotient before its Floor"


def test_the_largest_map_of_the_event_network_is_never_stored() -> None:
    """With it the network would not fit; pools without overlap run in the kernel of the convolution before."""
    report = compiled("dvs_cnn_9inputs").report
    assert [layer["engine"] for layer in report["layers"]] == ["cpu"] * 5
    assert all("converters" in layer["refused"]["analog"] for layer in report["layers"][1:])
    largest_map = 32 * 64 * 64
    assert report["arena"]["L2"]["bytes"] < largest_map / 2
    held = sum(int(np.prod(edge["shape"])) for edge in (*report["inputs"], *report["outputs"]))
    assert report["memory"]["L2"]["used"] + held < report["memory"]["L2"]["size"]


def test_the_event_network_on_the_analog_array() -> None:
    """Ternary weights and no converters in its meaning: computed with an error, each layer as by interpreter."""
    name, golden = "dvs_cnn_9inputs", DORY / "dvs_cnn_9inputs" / "golden.npz"
    options = Options(numerics="analog", input_ranges={"input.1": (-1, 1)})
    network = compile_model(str(DORY / name / FILES[name][0]), options)
    assert network.report["approximated"] == ["16", "24", "32", "40", "48"]
    samples = load_samples(str(golden), *edges(network.module), 1)
    execution = execute(network, "default", samples, check=True, check_layers=True)
    assert execution.check is not None
    assert not execution.check.failed, execution.check.first
    error = execution.report["output_error"]
    assert 0 < error["mean_abs"] < 0.5
    assert error["max_abs"] <= 3  # of the two bits an output has
    assert execution.report["engines"]["analog"]["jobs"] > 5


def test_a_sigmoid_at_the_end_is_left_to_the_caller() -> None:
    (output,) = compiled("residual_connection_test_1").report["outputs"]
    assert output["left_to_caller"] == ["Sigmoid 'Sigmoid_82'"]


def test_keywords_with_power_of_two_scales() -> None:
    """All 1000 outputs by the interpreter, some of them on the SoC."""
    source = str(KEYWORDS / "kws_po2.onnx")
    runner, golden = Runner(load_model(source, Options())), read_npz(KEYWORDS / "golden_1000.npz")
    outputs = np.concatenate([runner.run([x[None]])[0] for x in golden["input"]])
    np.testing.assert_array_equal(outputs, golden["output"])
    assert (outputs.argmax(axis=1) == golden["label"]).mean() == 0.912
    network = compile_model(source, Options())
    samples = load_samples(str(KEYWORDS / "golden_1000.npz"), *edges(network.module), 20)
    done = execute(network, "default", samples, check=True)
    assert done.check is not None
    assert not done.check.failed
    assert done.check.accuracy == (outputs[:20].argmax(axis=1) == golden["label"][:20]).mean()
