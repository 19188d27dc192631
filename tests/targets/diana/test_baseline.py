"""HTVM's way on the virtual SoC: exact, predicted as closely as our own plans, and no more than HTVM does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from random_networks import RandomNet, random_network, slow_cpu

from htvm_ir.driver.compile import Compiled, Options, compile_model
from htvm_ir.driver.edges import edges
from htvm_ir.driver.execute import Execution, execute
from htvm_ir.driver.samples import load_samples
from htvm_ir.errors import HtvmError
from htvm_ir.passes.pipeline import TILERS
from htvm_ir.targets.diana.digital import Digital

NETWORKS = ("resnet8", "dscnn", "mobilenetv1", "dae")


def run(compiled: Compiled) -> Execution:
    """Run one sample, compare with the interpreter."""
    samples = load_samples("random:1", *edges(compiled.module), 1)
    execution = execute(compiled, "default", samples, check=True, check_layers=True)
    assert execution.check is not None
    assert not execution.check.failed, execution.check.first
    assert execution.check.layers_checked >= 4
    return execution


def engine_layers(compiled: Compiled) -> list[dict[str, Any]]:
    """The report's layers on the arrays."""
    return [layer for layer in compiled.report["layers"] if layer["engine"] != "cpu"]


def assert_predicted(compiled: Compiled, measured: Mapping[str, int], limit: float) -> None:
    """Relative error of every kernel on the arrays."""
    errors = {layer["kernel"]: layer["cycles"] / measured[layer["kernel"]] - 1 for layer in engine_layers(compiled)}
    assert max(map(abs, errors.values())) < limit, errors


@pytest.mark.parametrize("tiler", ["dory", "none"])
@pytest.mark.parametrize("model", NETWORKS)
def test_networks_are_exact_and_predicted(model: str, tiler: str) -> None:
    compiled = compile_model(f"zoo:{model}", Options(tiler=tiler))
    assert compiled.report["tiler"] == tiler
    assert_predicted(compiled, run(compiled).layer_cycles, 0.03)


def test_the_autoencoder_takes_the_transfers_and_jobs_of_htvms_own_code() -> None:
    """HTVM's C on the same cost model: 105 jobs, 210 transfers, 3,455 cycles computing, 20,420 streaming weights."""
    report = run(compile_model("zoo:dae", Options(tiler="dory"))).report
    assert report["engines"]["digital"] == {"busy_cycles": 3455 + 20420, "jobs": 105}
    assert (report["transfers"]["count"], report["transfers"]["cycles"]) == (210, 6716)


@pytest.mark.parametrize("seed", range(200, 203))
@pytest.mark.parametrize("tiler", ["dory", "none"])
def test_random_networks_are_exact_on_little_memory(seed: int, tiler: str, tmp_path: Path) -> None:
    compiled = compiled_on(8192, *random_network(seed), tmp_path, tiler)
    layers = engine_layers(compiled)
    assert len(layers) >= 4
    assert sum(layer["tile"]["k"] < layer["shape"][1] or layer["tile"].get("y", 99) < 8 for layer in layers) >= 2
    assert not any(layer["proven_optimal"] for layer in layers)
    assert_predicted(compiled, run(compiled).layer_cycles, 0.03)


def compiled_on(l1: int, net: RandomNet, last: str, folder: Path, tiler: str = "dory") -> Compiled:
    """A network on so many bytes of L1."""
    path = folder / "network.onnx"
    path.write_bytes(net.model(last).SerializeToString())
    with slow_cpu(l1_bytes=l1):
        return compile_model(str(path), Options(tiler=tiler, overlap=False))


def convolution() -> tuple[RandomNet, str]:
    """3x3 on 16 channels of 32 x 32 pixels to 48."""
    net = RandomNet(np.random.default_rng(0), (16, 32, 32))
    return net, net.conv("x0", 48, (3, 3), pads=(1, 1, 1, 1))


def test_from_512_kb_down_to_the_smallest_l1_the_optimum_is_never_slower(tmp_path: Path) -> None:
    """Below 4 kB no tile fits: the CPU takes over, and the report says why."""
    before, better = 0, 0
    for size in (524_288, 65_536, 16_384, 4096):
        cycles: dict[str, int] = {}
        for tiler in TILERS:
            (layer,) = engine_layers(compiled_on(size, *convolution(), tmp_path, tiler))
            cycles[tiler] = layer["cycles"]
        assert before <= cycles["optimal"] == min(cycles.values())
        before, better = cycles["optimal"], better + (cycles["optimal"] < cycles["dory"])
    assert better == 3
    for tiler in TILERS:
        layers = compiled_on(2048, *convolution(), tmp_path, tiler).report["layers"]
        (reason,) = (layer["reason"] for layer in layers if layer["op"] == "conv2d")
        assert reason.startswith("digital: the smallest tile exceeds L1 by 128 bytes")


def test_a_sum_is_tiled_over_channels_of_as_many_bytes(tmp_path: Path) -> None:
    """DORY: 41 of 200 rows; as many parts of the 16 channels."""
    net = RandomNet(np.random.default_rng(0), (16, 200, 64))
    (layer,) = engine_layers(compiled_on(262_144, net, net.add("x0", "x0", 1, 0), tmp_path))
    assert layer["tile"] == {"k": 3}


def test_htvm_without_a_tile_is_an_error(tmp_path: Path) -> None:
    net = RandomNet(np.random.default_rng(0), (16, 6, 64))
    with pytest.raises(HtvmError, match="finds no tile within 4000 bytes of activations; use --tiler=optimal"):
        compiled_on(4096, net, net.add("x0", "x0", 1, 0), tmp_path)


def test_engines_that_htvm_does_not_know(tmp_path: Path) -> None:
    with (
        patch.object(Digital, "baseline", return_value=None),
        pytest.raises(HtvmError, match="--tiler=dory: HTVM has no rules for the digital engine of diana"),
    ):
        compiled_on(262_144, *convolution(), tmp_path)


@pytest.mark.parametrize("tiler", TILERS)
def test_the_analog_array_is_predicted_as_well(tiler: str) -> None:
    """On 32 kB its tiles are cut in rows and in channels; the first job also powers the array up."""
    with slow_cpu(l1_bytes=32_768):
        compiled = compile_model("zoo:resnet8-mixed", Options(tiler=tiler, overlap=False))
    analog = [layer for layer in engine_layers(compiled) if layer["engine"] == "analog"]
    assert any(layer["tile"]["y"] < layer["shape"][2] for layer in analog)
    assert any(layer["tile"]["k"] < layer["shape"][1] for layer in analog)
    assert_predicted(compiled, run(compiled).layer_cycles, 0.03)
