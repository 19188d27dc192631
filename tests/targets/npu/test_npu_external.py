"""Constants in an external memory: networks larger than L2, a port beside the others, nothing for the CPU to read."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from test_npu_devices import L2Bus

from htvm_ir.driver.compile import Compiled, Options, compile_model
from htvm_ir.driver.edges import edges
from htvm_ir.driver.execute import Execution, execute
from htvm_ir.driver.samples import load_samples
from htvm_ir.errors import HtvmError
from htvm_ir.targets.npu.devices import DmaChannel, external_port, l2_port
from htvm_ir.targets.npu.memories import LocalMemory
from htvm_ir.targets.npu.parameters import EXTERNAL_BASE, NPU, SHARED_BASE
from htvm_ir.targets.npu.soc import npu_soc
from htvm_ir.targets.npu.target import npu

L2 = 64 * 1024
EXTERNAL = f"npu,l2={L2},ext_memory=512k"
"""L2 has room for the maps, the job tables and the program's input and output, not for the weights."""
P = replace(NPU, ext_memory=4096)


class TwoMemories(L2Bus):
    """L2 and, above it, the external memory, whose bytes are their addresses' lowest."""

    def read(self, address: int, size: int) -> bytes:
        if address < EXTERNAL_BASE:
            return super().read(address, size)
        return bytes(n & 0xFF for n in range(address, address + size))


def channels(bus: L2Bus) -> tuple[DmaChannel, DmaChannel, LocalMemory]:
    """The channel of the inputs and that of the external memory, with the weight memory."""
    weights = LocalMemory("WM", P.weight_memory)
    inputs = DmaChannel("inputs", 0, bus, l2_port(P), LocalMemory("L1", P.l1), P, loads=True)
    return inputs, DmaChannel("external", 3, bus, external_port(P), weights, P, loads=True), weights


def start(channel: DmaChannel, shared: int, length: int) -> None:
    for register, value in ((DmaChannel.LOCAL, 0), (DmaChannel.SHARED, shared), (DmaChannel.LENGTH, length)):
        channel.write(register, 4, value)
    channel.write(DmaChannel.START, 4, 0)


@cache
def ran(name: str, target: str) -> tuple[Compiled, Execution]:
    compiled = compile_model(f"zoo:{name}", Options(target=target))
    samples = load_samples("random:0", *edges(compiled.module), 1)
    return compiled, execute(compiled, "default", samples, check=True, check_layers=True)


@pytest.mark.parametrize("name", ["resnet8", "dae"])
def test_networks_larger_than_l2_are_exact_and_as_fast_as_predicted(name: str) -> None:
    compiled, done = ran(name, EXTERNAL)
    assert compiled.report["weights_bytes"] > L2
    assert done.check is not None and not done.check.failed and done.check.layers_checked >= 10
    memory = compiled.report["memory"]
    assert memory["EXT"]["used"] == compiled.report["weights_bytes"] and memory["L2"]["fits"]
    on_array = [layer for layer in compiled.report["layers"] if layer["engine"] == "array"]
    predicted = sum(layer["cycles"] - layer["hidden"] for layer in on_array)
    measured = sum(done.layer_cycles[layer["kernel"]] for layer in on_array)
    assert abs(predicted / measured - 1) < 0.005
    assert all(layer["proven_optimal"] for layer in on_array)


@pytest.mark.parametrize(
    ("target", "memory"), [(f"npu,l2={L2}", "L2"), (f"npu,l2={L2},ext_memory=128k", "EXT")], ids=["none", "too small"]
)
def test_without_room_for_the_weights_a_network_is_refused(target: str, memory: str) -> None:
    with pytest.raises(HtvmError, match=rf"does not fit {memory}: .*270880 of constants"):
        compile_model("zoo:dae", Options(target=target))


def test_the_slow_memory_is_what_takes_the_time() -> None:
    """Each weight of an autoencoder is used once: the bytes behind the slow port are the limit, nearly reached."""
    compiled, done = ran("dae", EXTERNAL)
    cycles = done.report["cycles"]["per_inference"]
    assert compiled.report["weights_bytes"] < cycles < 1.02 * compiled.report["weights_bytes"]
    faster = ran("dae", f"{EXTERNAL},ext_width=4")[1].report["cycles"]["per_inference"]
    assert cycles > 3.5 * faster


def test_constants_of_the_array_are_declared_for_the_external_memory() -> None:
    sources = "".join(ran("dae", EXTERNAL)[0].files.values())
    assert sources.count("NPU_EXT_CONST = {") == 10
    assert "_job[" not in "".join(line for line in sources.splitlines() if "NPU_EXT_CONST" in line)
    assert "npu_weights(" not in sources and "npu_external(" in sources


def test_transfers_of_the_two_ports_run_beside_each_other() -> None:
    bus = TwoMemories()
    inputs, external, weights = channels(bus)
    start(inputs, SHARED_BASE, 800)
    start(external, EXTERNAL_BASE + 16, 100)
    external.read(DmaChannel.WAIT, 4)
    assert bus.now == P.ext_start + 100 == 160
    inputs.read(DmaChannel.WAIT, 4)
    assert bus.now == 160
    np.testing.assert_array_equal(weights.data[:100], np.arange(16, 116))


def test_the_cpu_cannot_use_it() -> None:
    region = npu_soc(P).region_at(EXTERNAL_BASE)
    assert region is not None and not (region.loadable or region.writable)
    assert npu_soc(NPU).region_at(EXTERNAL_BASE) is None
    assert not npu(P).memory("EXT").host


@pytest.mark.parametrize("shared", [SHARED_BASE, EXTERNAL_BASE + P.ext_memory - 4], ids=["L2", "beyond"])
def test_the_external_channel_reads_nothing_else(shared: int) -> None:
    _, external, _ = channels(TwoMemories())
    with pytest.raises(HtvmError, match=r"8 bytes at .* are not in the external memory"):
        start(external, shared, 8)
