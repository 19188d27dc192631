"""Networks that need more memory than there is: cut smaller, sharing the arena, or refused with numbers."""

from __future__ import annotations

import re
import time
from functools import cache

import pytest

from htvm_ir.driver.compile import Compiled, Options, compile_model
from htvm_ir.driver.edges import edges
from htvm_ir.driver.execute import Execution, execute
from htvm_ir.driver.samples import load_samples
from htvm_ir.errors import HtvmError, NoRoomError
from htvm_ir.report import tables

LARGE = "zoo:mobilenetv1,width=0.125,resolution=224"


@cache
def compiled(model: str, target: str = "diana", depth_first: bool = True) -> Compiled:
    return compile_model(model, Options(target=target, depth_first=depth_first))


def checked(network: Compiled) -> Execution:
    """Run on the virtual SoC; every kernel and the output as the interpreter has them."""
    inputs, outputs = edges(network.module)
    samples = load_samples("random:0", inputs, outputs, 1)
    execution = execute(network, "default", samples, check=True, check_layers=True)
    assert execution.check is not None and not execution.check.failed, execution.check
    assert execution.check.layers_checked > 5
    return execution


def test_a_224x224_network_is_exact_on_the_soc():
    """Its input, once as it comes and once converted, and the first layer's result take most of L2."""
    started = time.process_time()
    network = compiled(LARGE, depth_first=False)
    assert time.process_time() - started < 10
    (source,), (result,) = edges(network.module)
    assert source.offset is not None and result.offset is not None  # the caller's buffers share the arena
    assert "tvmgen_default_map_inputs(void)" in network.files["include/tvmgen_default.h"]
    assert {entry["engine"] for entry in network.report["layers"] if entry["op"] != "convert_layout"} == {
        "digital",
        "cpu",  # the mean over the map
    }
    checked(network)


def test_strips_give_way_where_they_leave_no_room():
    """With its first layers in strips the network lacks 28 kB of L2; as whole maps they fit."""
    model = LARGE.replace("224", "256")
    network, whole = (compiled(model, depth_first=way) for way in (True, False))
    assert network.report["strips_refused"]["memory"] == "L2" and network.report["strips_refused"]["missing"] > 0
    assert whole.report["strips_refused"] is None
    assert network.report["layers"] == whole.report["layers"]
    assert network.files.keys() == whole.files.keys()
    assert "no strips of rows: with them L2 lacks" in tables.totals(network.report)
    assert "strips" not in tables.totals(whole.report)


@pytest.mark.parametrize(("model", "target"), [(LARGE, "diana"), ("zoo:mobilenetv1", "npu")])
def test_depth_first_saves_cycles_and_memory(model: str, target: str):
    """What lies between kernels on strips is neither stored nor loaded; predicted as precisely as whole maps."""
    whole, strips = (compiled(model, target, depth_first) for depth_first in (False, True))
    assert strips.report["arena"]["L2"]["bytes"] < 0.75 * whole.report["arena"]["L2"]["bytes"]
    before, after = (checked(network).report["cycles"]["per_inference"] for network in (whole, strips))
    assert after < 0.95 * before
    assert abs(strips.report["cycles"]["predicted"] - after) < 0.03 * after


@pytest.mark.parametrize("model", ["zoo:mobilenetv1,resolution=224", "zoo:mobilenetv1,width=0.5"])
def test_what_exceeds_l2_says_by_how_much(model: str):
    with pytest.raises(HtvmError) as caught:
        compiled(model)
    found = re.fullmatch(
        r"the network does not fit L2: (\d+) bytes needed "
        r"\((\d+) of constants, (\d+) of job tables, (\d+) of buffers\), 451584 there, (\d+) too many; "
        r"largest: .+ bytes\), .+ bytes\), .+ bytes\)",
        str(caught.value),
    )
    assert found, caught.value
    needed, *parts, missing = map(int, found.groups())
    assert needed == sum(parts) == 451584 + missing  # 448 kB but what the driver keeps


def test_l2_is_used_to_the_last_kilobytes():
    """Weights, tables and live tensors fit at this resolution, and 8 pixels more need a larger L2."""
    assert compiled("zoo:mobilenetv1,resolution=176").report["memory"]["L2"]["fits"]
    with pytest.raises(HtvmError, match="does not fit L2"):
        compiled("zoo:mobilenetv1,resolution=184")
    assert compiled("zoo:mobilenetv1,resolution=184", "diana,shared_bytes=512k").report["memory"]["L2"]["fits"]


@pytest.mark.parametrize(
    ("model", "l1", "cut"),
    [
        ("zoo:mobilenetv1,width=0.125,resolution=64", "6k", ("conv1", "block1.depthwise", "block2.depthwise")),
        ("zoo:resnet8", "8k", ("conv1", "block1.conv2", "block2.skip", "block1.sum")),
        ("zoo:dscnn", "16k", ("block1.depthwise", "block1.pointwise")),  # 25 rows of 16 bytes
    ],
)
def test_a_small_l1_cuts_layers_exactly(model: str, l1: str, cut: tuple[str, ...]):
    network = compiled(model, f"diana,l1_bytes={l1}", depth_first=False)
    for layer in network.report["layers"]:
        if layer["name"] in cut and layer["op"] != "convert_layout":
            assert layer["engine"] == "digital"
            channels, rows = layer["shape"][1:3]
            assert layer["tile"].get("y", rows) < rows or layer["tile"]["k"] < channels
    checked(network)


def test_what_no_tile_fits_runs_on_the_cpu_and_says_why():
    layers = compiled("zoo:dscnn", "diana,l1_bytes=2k,analog_rows=16").report["layers"]
    pointwise = next(entry for entry in layers if entry["name"] == "block1.pointwise")
    assert pointwise["engine"] == "cpu"
    assert re.search(r"digital: the smallest tile exceeds L1 by \d+ bytes", pointwise["reason"])


def test_of_two_ways_that_do_not_fit_the_nearer_one_is_told() -> None:
    wide = LARGE.replace("0.125", "0.25")
    with pytest.raises(NoRoomError) as strips:
        compiled(wide, depth_first=True)
    with pytest.raises(NoRoomError) as whole:
        compiled(wide, depth_first=False)
    assert strips.value.missing < whole.value.missing
