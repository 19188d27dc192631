"""Networks for both arrays on the virtual SoC: exact, all three cores in use, faster than with the digital alone."""

from __future__ import annotations

import pytest

from htvm_ir.driver.compile import Compiled, Options, compile_model
from htvm_ir.driver.edges import edges
from htvm_ir.driver.execute import Execution, execute
from htvm_ir.driver.samples import load_samples


def run(model: str, engines: tuple[str, ...] | None) -> tuple[Compiled, Execution]:
    compiled = compile_model(model, Options(engines=engines))
    samples = load_samples("random:1", *edges(compiled.module), 1)
    execution = execute(compiled, "default", samples, check=True, check_layers=True)
    assert execution.check is not None
    assert not execution.check.failed, execution.check.first
    return compiled, execution


@pytest.mark.parametrize("name", ["resnet8-mixed", "dscnn-mixed"])
def test_both_arrays_and_the_cpu_are_exact_and_faster_than_the_digital_one_alone(name: str):
    compiled, execution = run(f"zoo:{name}", None)
    assert {layer["engine"] for layer in compiled.report["layers"]} == {"digital", "analog", "cpu"}
    converted = [layer for layer in compiled.report["layers"] if layer["name"].endswith(".adc")]
    assert {layer["engine"] for layer in converted if layer["op"] == "conv2d"} == {"analog"}
    _, without = run(f"zoo:{name}", ("digital",))
    both, alone = (e.report["cycles"]["per_inference"] for e in (execution, without))
    assert both < alone
