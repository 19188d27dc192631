"""Networks and devices that are not exact: what is checked all the same, and how the error is reported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from htvm_ir.driver.compile import Compiled, Options, compile_model
from htvm_ir.driver.edges import edges
from htvm_ir.driver.execute import execute
from htvm_ir.driver.folder import write_package
from htvm_ir.driver.harness import Board
from htvm_ir.driver.output_error import OutputError, approximation_error
from htvm_ir.driver.package import load_package, package_files
from htvm_ir.driver.samples import Samples, load_samples
from htvm_ir.errors import HtvmError
from htvm_ir.zoo.arithmetic import INT7_MAX
from htvm_ir.zoo.builder import NetBuilder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small network with two ternary convolutions whose sums are exact."""
    net = NetBuilder("small", (4, 8, 8), scale=1 / 4)
    x = net.conv("first", net.input, 16, (1, 1), hi=INT7_MAX)
    x = net.ternary("second", x, 16, (3, 3), stride=2, hi=INT7_MAX)
    x = net.ternary("third", x, 16, (3, 3))
    net.output(net.dense("logits", net.global_average("pool", x), 5, relu=False), 1 / 4)
    path = tmp_path_factory.mktemp("model") / "small.onnx"
    path.write_bytes(net.model().SerializeToString())
    return str(path)


@pytest.fixture(scope="module")
def analog(model: str) -> Compiled:
    """The network with both ternary layers on the analog array."""
    return compile_model(model, Options(engines=("analog",), numerics="analog"))


@pytest.fixture(scope="module")
def mixed() -> Compiled:
    return compile_model("zoo:dscnn-mixed")


def random(compiled: Compiled, count: int = 1) -> Samples:
    return load_samples("random:3", *edges(compiled.module), count)


def test_the_error_of_outputs():
    error = OutputError()
    error.add([np.array([[1, 5, 3]], np.int8)], [np.array([[1, 4, 6]], np.int8)])
    error.add([np.array([[-128, 0, 1]], np.int8)], [np.array([[127, 0, 1]], np.int8)])
    error.add([np.array([[0, 0, 1]], np.int8)], [np.array([[0, 0, 1]], np.int8)])
    assert error.as_json() == {
        "samples": 3, "values": 9, "wrong": 3, "max_abs": 255, "mean_abs": round(259 / 9, 4),
        "argmax_agreement": round(1 / 3, 4),
    }  # fmt: skip


def test_an_approximated_network_is_checked_bit_exactly_and_its_error_reported(analog: Compiled):
    assert analog.report["approximated"] == ["second.conv", "third.conv"]
    execution = execute(analog, "default", random(analog), check=True, check_layers=True)
    assert execution.check is not None
    assert not execution.check.failed, execution.check.first
    assert execution.check.layers_checked > len(analog.report["approximated"])
    error = execution.report["output_error"]
    assert error["samples"] == 1
    assert 0 < error["mean_abs"] <= error["max_abs"] < 30
    assert execution.report["engines"]["analog"]["jobs"] == 3  # one powers the array up


def test_a_stored_reference_of_the_exact_network_is_not_a_mismatch(analog: Compiled, model: str):
    samples = random(analog)
    exact = compile_model(model, Options(engines=()))
    expected = execute(exact, "default", samples).outputs[0]
    execution = execute(analog, "default", replace(samples, reference=(expected,), reference_name="output"), check=True)
    assert execution.check is not None
    assert (execution.check.reference, execution.check.mismatches, execution.check.failed) == ("", 0, False)
    difference = np.abs(execution.outputs[0].astype(int) - expected.astype(int))
    assert execution.report["output_error"]["max_abs"] == difference.max()


def test_the_interpreter_alone_tells_the_error(analog: Compiled, mixed: Compiled):
    assert approximation_error(mixed) is None
    error = approximation_error(analog, samples=2)
    assert error is not None
    assert (error.samples, error.values) == (2, 10)
    assert error.sum_abs > 0


def test_a_package_remembers_the_exact_network(analog: Compiled, tmp_path: Path):
    write_package(package_files(analog, "default"), tmp_path / "out")
    loaded, _ = load_package(tmp_path / "out")
    assert loaded.exact is not None
    samples = random(analog)
    reports = [execute(compiled, "default", samples).report["output_error"] for compiled in (analog, loaded)]
    assert reports[0] == reports[1]


def test_noise_changes_outputs_reproducibly_and_fails_no_check(mixed: Compiled):
    samples = random(mixed)

    def run(**parameters: float) -> tuple[list[int], int]:
        execution = execute(mixed, "default", samples, check=True, check_layers=True, parameters=parameters)
        assert execution.check is None
        return execution.outputs[0].reshape(-1).tolist(), execution.report["output_error"]["max_abs"]

    first, error = run(analog_noise=1.0, analog_seed=1)
    assert error > 0
    assert run(analog_noise=1.0, analog_seed=1) == (first, error)
    assert run(analog_noise=1.0, analog_seed=2)[0] != first
    exact = execute(mixed, "default", samples, check=True)
    assert "output_error" not in exact.report
    assert exact.check is not None
    assert not exact.check.failed


def test_a_parameter_no_device_has_is_refused(mixed: Compiled):
    inputs, outputs = edges(mixed.module)
    with pytest.raises(HtvmError, match="virtual SoC of target 'diana' has no parameter loudness"):
        Board.build(mixed.target, mixed.files, mixed.report["interface"], inputs, outputs, parameters={"loudness": 1})
