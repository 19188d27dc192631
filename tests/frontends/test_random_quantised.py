"""Random quantised networks: as onnxruntime within its float32 rounding, and the same bits on the virtual SoC."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdq_models import Network, reference, result
from random_quantised import STAGES, Tensor, chains, single_stages

from htvm_ir.driver.compile import Options, compile_model
from htvm_ir.driver.edges import edges
from htvm_ir.driver.execute import execute
from htvm_ir.driver.samples import load_samples
from htvm_ir.frontends.onnx import Rounding

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


@pytest.mark.parametrize("operators", [False, True], ids=["qdq", "qoperator"])
@pytest.mark.parametrize("kind", [*STAGES, "classifier"])
@settings(deadline=None, max_examples=12, suppress_health_check=SLOW)
@given(data=st.data())
def test_one_stage(kind: str, operators: bool, data: st.DataObject) -> None:
    net, last = data.draw(single_stages(kind, operators))
    model = net.model({last.name: last.dtype})
    wrong = total = 0
    for seed in range(3):
        x = net.sample(seed)
        (ours,), (theirs,) = result(model, x), reference(model, {"x": x})
        assert ours.shape == theirs.shape == last.shape
        difference = np.abs(ours.astype(int) - theirs)
        assert difference.max() <= 1
        wrong, total = wrong + np.count_nonzero(difference), total + difference.size
    assert wrong <= 1 + total // 100


def on_the_virtual_soc(net: Network, last: Tensor, rounding: Rounding) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        path.write_bytes(net.model({last.name: last.dtype}).SerializeToString())
        compiled = compile_model(str(path), Options(rounding=rounding))
    samples = load_samples("random:1", *edges(compiled.module), 2)
    check = execute(compiled, "default", samples, check=True, check_layers=True).check
    assert check is not None
    assert not check.failed, check.first
    named = {layer["name"] for layer in compiled.report["layers"] if layer["name"] != layer["kernel"]}
    assert check.layers_checked >= len(named)


@pytest.mark.parametrize("rounding", ["onnx", "tflite"])
@pytest.mark.parametrize("operators", [False, True], ids=["qdq", "qoperator"])
@settings(deadline=None, max_examples=4, suppress_health_check=SLOW)
@given(data=st.data())
def test_chains_on_the_virtual_soc(operators: bool, rounding: Rounding, data: st.DataObject) -> None:
    on_the_virtual_soc(*data.draw(chains(operators)), rounding)
