"""Networks on both arrays of the npu: exact in every layer, as predicted, side by side where they are independent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import RandomNet  # pyright: ignore[reportMissingImports]
from test_npu_overlap_transfers import INPUT, SHAPE, caught, lowered
from test_npu_soc_networks import run as run_on_soc
from test_npu_soc_networks import zoo
from xdsl.dialects.builtin import ModuleOp

from htvm_ir.dialects.accel import LaunchOp
from htvm_ir.driver.compile import Options, compile_model
from htvm_ir.frontends.onnx import import_model
from htvm_ir.interpreters.run import run
from htvm_ir.sim.trace import Interval
from htvm_ir.targets import registry
from htvm_ir.targets.npu.target import npu
from htvm_ir.targets.target import Host

BOTH = "npu,imc_rows=1152,imc_bits=8"
NARROW = "npu,imc_rows=1152"


def narrowed(net: Any, layer: str) -> str:
    """Give a layer weights of four bits."""
    net.constants[f"{layer}.weight"] = np.floor(net.constants[f"{layer}.weight"] / 16)
    return layer


def mixed(shape: tuple[int, int, int], channels: int, seed: int = 0) -> Any:
    """Two branches, one of them with weights of four bits, in front of a sum, a pool and a dense layer of four bits."""
    net = RandomNet(np.random.default_rng(seed), shape)
    x = net.conv("x0", channels, (3, 3), pads=(1, 1, 1, 1), lo=0)
    a = narrowed(net, net.conv(x, channels, (3, 3), pads=(1, 1, 1, 1)))
    b = net.conv(x, channels, (1, 1))
    pooled = net.pool(net.add(a, b, 1, -128), "MaxPool", (2, 2), 2)
    return net.model(narrowed(net, net.dense(net.flatten(pooled), 10)))


def beside(first: Iterable[Interval], second: Iterable[Interval]) -> int:
    """Cycles for which an interval of one and one of the other go on at one time."""
    pairs = [(max(a.start, b.start), min(a.end, b.end)) for a in first for b in second]
    return sum(max(0, end - start) for start, end in pairs)


def test_layers_of_four_bits_go_to_the_array_that_holds_them(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    path.write_bytes(mixed((16, 12, 12), 32).SerializeToString())
    compiled = compile_model(str(path), Options(target=NARROW))
    done, check = run_on_soc(compiled)
    assert not check.failed and check.layers_checked >= 6
    layers = [layer for layer in compiled.report["layers"] if layer["engine"] != "cpu"]
    assert [layer["engine"] for layer in layers] == ["array", "imc", "array", "array", "array", "imc"]
    eight_bits = layers[2]["refused"]["imc"]
    assert "the in-memory array holds 4 bits, -8 to 7" in eight_bits
    alone, _ = run_on_soc(compile_model(str(path), Options(target="npu")))
    cycles = [execution.report["cycles"]["per_inference"] for execution in (done, alone)]
    assert cycles[0] < 0.8 * cycles[1]


@pytest.mark.parametrize(("name", "gain"), [("resnet8", 1.3), ("dscnn", 1.25), ("dae", 1.0)])
def test_networks_are_exact_as_fast_as_predicted_and_faster_than_before(name: str, gain: float) -> None:
    compiled, done, check = zoo(name, BOTH)
    assert not check.failed and check.layers_checked >= 10
    on_arrays = [layer for layer in compiled.report["layers"] if layer["engine"] != "cpu"]
    assert {layer["engine"] for layer in on_arrays} == {"array", "imc"}
    predicted = sum(layer["cycles"] - layer["hidden"] for layer in on_arrays)
    measured = sum(done.layer_cycles[layer["kernel"]] for layer in on_arrays)
    assert abs(predicted / measured - 1) < 0.03
    alone = zoo(name, "npu")[1]
    assert alone.report["cycles"]["per_inference"] > gain * done.report["cycles"]["per_inference"]


def test_independent_branches_run_at_one_time() -> None:
    _, done, _ = zoo("resnet8", f"{BOTH},l1=64k")
    trace = done.first.trace.intervals
    units = [[interval for interval in trace if interval.unit == unit] for unit in ("array", "imc")]
    assert beside(*units) > 1000


@pytest.mark.parametrize("target", [f"{BOTH},ext_memory=128k,l2=64k", f"{BOTH},buffers=1,residency=false"])
def test_other_options_go_with_it(target: str) -> None:
    compiled, _, check = zoo("resnet8", target)
    assert not check.failed
    assert "imc" in {layer["engine"] for layer in compiled.report["layers"]}


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1024, 2048, 8192]), st.sampled_from([1, 2, 3]), st.booleans())
def test_the_meaning_stays_in_every_order_of_effects(seed: int, l1: int, buffers: int, residency: bool) -> None:
    def network() -> ModuleOp:
        return import_model(mixed(SHAPE, 20, seed))

    (expected,) = run(network(), [INPUT])
    target = npu(rows=4, l1=l1, weight_memory=4096, imc_rows=640, buffers=buffers, residency=residency)
    slow = replace(target, host=Host(per_mac=1000, per_element={"other": 1000}))  # a CPU that is never chosen
    with patch.object(registry, "load_target", return_value=slow):
        module = lowered(network(), "plan-memory")
        engines = {op.engine_name for op in module.walk() if isinstance(op, LaunchOp)}
        assert engines == {"array", "imc"}
        assert not caught(module, expected)
