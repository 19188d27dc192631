"""Networks on both arrays and the CPU take the predicted cycles; ``python -m benchmarks predictions`` has them all."""

from __future__ import annotations

import pytest

from htvm_ir.dialects.accel import CPU
from htvm_ir.driver.compile import Options, compile_model
from htvm_ir.driver.edges import edges
from htvm_ir.driver.execute import execute
from htvm_ir.driver.samples import load_samples

CASES = (
    ("zoo:resnet8-mixed", None),
    ("zoo:dscnn-mixed", None),
    ("zoo:resnet8-mixed", ("digital",)),
    ("zoo:resnet8-ternary", None),
    ("zoo:mobilenetv1", None),
    ("zoo:chain,layers=20", None),
)

SMALL = 0.005
"""Share of a network below which a kernel of the CPU may be off by more."""


@pytest.mark.parametrize(("model", "engines"), CASES)
def test_networks_take_the_predicted_cycles(model: str, engines: tuple[str, ...] | None) -> None:
    compiled = compile_model(model, Options(engines=engines))
    execution = execute(compiled, "default", load_samples("random:0", *edges(compiled.module), 1))
    total = execution.report["cycles"]["per_inference"]
    assert abs(compiled.report["cycles"]["predicted"] / total - 1) < 0.03
    on_cpu = {layer["kernel"]: layer["cycles"] for layer in compiled.report["layers"] if layer["engine"] == CPU}
    measured = {name: execution.layer_cycles[name] for name in on_cpu}
    large = {name: cycles / measured[name] for name, cycles in on_cpu.items() if measured[name] > SMALL * total}
    assert {name: ratio for name, ratio in large.items() if not 0.85 < ratio < 1.25} == {}
