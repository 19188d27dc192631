"""Networks on the virtual npu: exact in every layer, as fast as predicted, and faster with buffers to spare."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from unittest.mock import patch

import pytest
from random_networks import random_network  # pyright: ignore[reportMissingImports]

from htvm_ir.driver.compile import Compiled, Options, compile_model
from htvm_ir.driver.edges import edges
from htvm_ir.driver.execute import Check, Execution, execute
from htvm_ir.driver.samples import load_samples
from htvm_ir.targets import registry
from htvm_ir.targets.npu.parameters import Parameters
from htvm_ir.targets.npu.target import npu
from htvm_ir.targets.target import Host

SMALL = Parameters(rows=4, cols=8, l1=3 * 1024, weight_memory=4096)


def run(compiled: Compiled) -> tuple[Execution, Check]:
    """One sample with all checks."""
    samples = load_samples("random:0", *edges(compiled.module), 1)
    done = execute(compiled, "default", samples, check=True, check_layers=True)
    assert done.check is not None
    return done, done.check


@cache
def zoo(name: str, target: str) -> tuple[Compiled, Execution, Check]:
    compiled = compile_model(f"zoo:{name}", Options(target=target))
    return compiled, *run(compiled)


@pytest.fixture
def slow_host() -> Iterator[None]:
    """The npu with little memory, and a CPU that is never chosen where the array takes an op."""
    slow = replace(npu(SMALL), host=Host(per_mac=1000, per_element={"convert_layout": 1, "other": 1000}))
    with patch.object(registry, "load_target", return_value=slow):
        yield


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 100, 101])
def test_random_networks_are_exact(seed: int, tmp_path: Path, slow_host: None) -> None:
    net, last = random_network(seed)
    path = tmp_path / "network.onnx"
    path.write_bytes(net.model(last).SerializeToString())
    compiled = compile_model(str(path), Options(target="npu"))
    _, check = run(compiled)
    assert not check.failed, check.first
    layers = compiled.report["layers"]
    assert sum(layer["engine"] == "array" for layer in layers) >= 4
    assert any(size < 4 for layer in layers for size in (layer["tile"] or {}).values())


@pytest.mark.parametrize("name", ["resnet8", "dscnn", "dae"])
@pytest.mark.parametrize("buffers", [1, 3])
def test_networks_are_exact_and_as_fast_as_predicted(name: str, buffers: int) -> None:
    compiled, done, check = zoo(name, f"npu,buffers={buffers}")
    assert not check.failed and check.layers_checked >= 10
    on_array = [layer for layer in compiled.report["layers"] if layer["engine"] == "array"]
    predicted = sum(layer["cycles"] - layer["hidden"] for layer in on_array)
    measured = sum(done.layer_cycles[layer["kernel"]] for layer in on_array)
    assert abs(predicted / measured - 1) < 0.03
    assert all(layer["proven_optimal"] for layer in on_array)
    assert "convert_layout" not in {layer["op"] for layer in compiled.report["layers"]}


@pytest.mark.parametrize("name", ["resnet8", "dscnn"])
def test_double_buffering_pays(name: str) -> None:
    targets = [f"npu,residency=false,buffers={buffers}" for buffers in (1, 2)]
    single, double = (zoo(name, target)[1].report["cycles"]["per_inference"] for target in targets)
    assert single >= 1.3 * double


@pytest.mark.parametrize(("name", "gain"), [("resnet8", 1.1), ("dscnn", 1.8)])
def test_maps_that_stay_in_l1_save_their_transfers(name: str, gain: float) -> None:
    through_l2, staying = (zoo(name, f"npu,buffers=3{rest}") for rest in (",residency=false", ""))
    cycles = [done.report["cycles"]["per_inference"] for _, done, _ in (through_l2, staying)]
    assert cycles[0] >= gain * cycles[1]
    assert any(layer["resident"] for layer in staying[0].report["layers"])
    assert not any(layer["resident"] for layer in through_l2[0].report["layers"])


@pytest.mark.parametrize(("name", "most"), [("resnet8", 1.1), ("dscnn", 1.06)])
def test_transfers_and_jobs_run_side_by_side(name: str, most: float) -> None:
    """A network takes little more than all its jobs, or all its transfers: tiles are rows of maps that stay, too."""
    compiled, done, _ = zoo(name, "npu,buffers=3")
    cycles = compiled.report["cycles"]
    alone = max(cycles["compute_bound"], cycles["transfer_bound"])
    assert done.report["cycles"]["per_inference"] <= most * alone


def test_rows_of_maps_that_stay_are_tiles() -> None:
    layers = [layer for layer in zoo("resnet8", "npu,buffers=3")[0].report["layers"] if layer["resident"]]
    assert any(layer["tile"]["y"] < layer["shape"][2] for layer in layers)


def test_other_sizes_of_array_and_memory() -> None:
    compiled, _, check = zoo("dscnn", "npu,rows=32,cols=8,l1=128k,weight_memory=8k")
    assert not check.failed
    assert compiled.target.memory("L1").size == 128 * 1024
