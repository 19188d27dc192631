"""Random networks on the virtual SoC, layer by layer against the interpreter and ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from random_networks import Plan, RandomNet, planned, random_network, slow_cpu
from xdsl.dialects.func import CallOp, FuncOp
from xdsl.dialects.memref import AllocOp

from htvm_ir.driver.compile import Compiled, Options, compile_model
from htvm_ir.driver.execute import Check, execute
from htvm_ir.driver.samples import Samples
from htvm_ir.passes.memory_fit import in_memory
from htvm_ir.passes.workloads import KERNEL, main_function

Array = NDArray[Any]
Plans = dict[str, Plan]


def onnx_runtime(net: RandomNet, last: str, x: Array) -> dict[str, Array]:
    """Every layer's result and the network's "output", by name."""
    model = net.model(last, layers=True).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    results = session.run(None, {"input": x.astype(np.float32)})
    return {o.name: np.asarray(r).astype(np.int8) for o, r in zip(session.get_outputs(), results, strict=True)}


def run(
    net: RandomNet,
    last: str,
    folder: Path,
    plan: Plans | None = None,
    engines: tuple[str, ...] | None = None,
    depth_first: bool = True,
    **parameters: Any,
) -> tuple[Compiled, Check]:
    """Compile, run one sample, compare the output and all layers."""
    path = folder / "network.onnx"
    path.write_bytes(net.model(last).SerializeToString())
    with slow_cpu(**parameters):
        compiled = compile_model(str(path), Options(plan=plan, engines=engines, depth_first=depth_first))
    x = np.random.default_rng(1).integers(-128, 128, (1, *net.shape)).astype(np.int8)
    layers = onnx_runtime(net, last, x)
    samples = Samples((x,), "integer", (layers.pop("output"),), "ONNX Runtime")
    execution = execute(compiled, "default", samples, check=True, check_layers=True, layers=layers)
    assert execution.check is not None
    return compiled, execution.check


def assert_exact(net: RandomNet, check: Check) -> None:
    """Nothing differs, and the layers were really compared, with both references.

    The input is none; flattening and the last pool may be part of the kernel before them.
    """
    assert not check.failed, check.first
    assert check.samples == 1
    assert check.layers_checked >= 2 * (len(net.shapes) - 3)


@pytest.mark.parametrize("seed", range(4))
def test_random_networks_are_exact(seed: int, tmp_path: Path):
    net, last = random_network(seed)
    compiled, check = run(net, last, tmp_path)
    assert_exact(net, check)
    assert sum(layer["engine"] == "digital" for layer in compiled.report["layers"]) >= 4


def staying(compiled: Compiled) -> int:
    """How many tensors stay in L1: buffers there of more than one kernel."""
    functions = {f.sym_name.data: f for f in compiled.module.ops if isinstance(f, FuncOp)}

    def kernels(alloc: AllocOp) -> int:
        calls = [use.operation for use in alloc.memref.uses if isinstance(use.operation, CallOp)]
        called = [functions[call.callee.string_value()] for call in calls]
        return len({f.attributes.get(KERNEL, f.sym_name) for f in called})

    l1 = compiled.target.memory("L1")
    allocs = [op for op in main_function(compiled.module).body.block.ops if isinstance(op, AllocOp)]
    return sum(in_memory(alloc.memref.type, l1) and kernels(alloc) > 1 for alloc in allocs)


@pytest.mark.parametrize("seed", [200, 203, 204, 205])
def test_fewer_tensors_stay_in_a_small_l1(seed: int, tmp_path: Path):
    """With half of the memory that the plan takes, some tensors go through L2, and tiles are cut smaller."""
    net, last = random_network(seed)
    compiled, check = run(net, last, tmp_path)
    assert_exact(net, check)
    small = compiled.report["arena"]["L1"]["bytes"] // 2 // 32 * 32
    squeezed, check = run(net, last, tmp_path, depth_first=False, l1_bytes=small)
    assert_exact(net, check)
    assert squeezed.report["arena"]["L1"]["bytes"] <= small
    assert 1 <= staying(squeezed) < staying(compiled)


@pytest.mark.parametrize("engines", [None, ()])
def test_a_sum_in_place(engines: tuple[str, ...] | None, tmp_path: Path):
    net = RandomNet(np.random.default_rng(0), (2, 12, 16))
    x = net.conv("x0", 16, (3, 3), pads=(1, 1, 1, 1))
    x = net.add(x, x, 1, 0)
    x = net.conv(x, 5, (1, 1), (2, 2))
    compiled, check = run(net, x, tmp_path, engines=engines)
    assert_exact(net, check)
    memory = "L1" if engines is None else "L2"
    assert compiled.report["arena"][memory]["bytes"] < 2 * 16 * 12 * 16


@pytest.mark.parametrize("seed", range(100, 104))
def test_random_tilings_are_exact(seed: int, tmp_path: Path):
    net, last = random_network(seed)
    random = np.random.default_rng(seed)
    chosen = {kernel: problems[random.integers(len(problems))] for kernel, problems in planned(net.model(last)).items()}
    plan = {kernel: problem.draw(random) for kernel, problem in chosen.items()}
    compiled, check = run(net, last, tmp_path, plan)
    assert_exact(net, check)
    tiled = [layer for layer in compiled.report["layers"] if layer["tile"]]
    sizes = {name: {d: size for d, size in written.items() if d != "mapping"} for name, written in plan.items()}
    assert {layer["kernel"]: layer["tile"] for layer in tiled} == sizes
    assert all(layer["mapping"] == plan[layer["kernel"]].get("mapping") for layer in tiled)


def test_narrow_maps_feed_strides_and_wide_kernels(tmp_path: Path):
    """No column is hidden by zeros in memory: the padded ones hold what the layers before computed there."""
    net = RandomNet(np.random.default_rng(0), (3, 33, 19))
    x = net.conv("x0", 17, (3, 3), (2, 2), (1, 1, 1, 1), lo=0)
    x = net.conv(x, 17, (7, 7), (1, 1), (3, 3, 3, 3), groups=17)
    y = net.conv(x, 9, (5, 3), (2, 2), (0, 2, 4, 0))
    z = net.conv(x, 9, (1, 1), (2, 2))
    x = net.add(y, z, 1, 0)
    x = net.conv(x, 20, (7, 7), (2, 2), (6, 5, 1, 3))
    x = net.conv(x, 5, (1, 7), (1, 1), (0, 6, 0, 6))
    x = net.pool(x, "MaxPool", (2, 2), 1)
    x = net.dense(net.flatten(x), 33)
    compiled, check = run(net, x, tmp_path)
    assert_exact(net, check)
    engines = {layer["op"]: layer["engine"] for layer in compiled.report["layers"]}
    assert engines == dict.fromkeys(("conv2d", "depthwise", "add", "dense"), "digital") | dict.fromkeys(
        ("convert_layout", "pool"), "cpu"
    )


def test_layers_the_array_lacks_are_rewritten_or_left_to_the_cpu(tmp_path: Path):
    net = RandomNet(np.random.default_rng(0), (1, 25, 10))
    x = net.conv("x0", 18, (10, 4), (2, 2), (4, 1, 5, 1))
    x = net.conv(x, 5, (2, 4), (1, 1), (1, 1, 0, 2))
    x = net.conv(x, 6, (9, 1), pads=(8, 0, 0, 0))
    x = net.conv(x, 4, (3, 3), groups=2)
    x = net.conv(x, 3, (1, 1), hi=100)
    compiled, check = run(net, x, tmp_path)
    assert_exact(net, check)
    convs = [layer for layer in compiled.report["layers"] if layer["op"] == "conv2d"]
    # of the last one only the clip is left to the CPU
    assert [layer["engine"] for layer in convs] == ["digital", "digital", "cpu", "cpu", "digital"]
    reasons = [layer["reason"].split(":")[1].split()[0] for layer in convs[2:4]]
    assert reasons == ["kernel", "2"]


def test_an_operand_read_twice(tmp_path: Path):
    net = RandomNet(np.random.default_rng(0), (4, 6, 9))
    x = net.conv("x0", 5, (3, 3), pads=(1, 1, 1, 1))
    x = net.add(x, x, 1, 0)
    x = net.conv(x, 4, (1, 1))
    _, check = run(net, x, tmp_path)
    assert_exact(net, check)


def test_maps_larger_than_l1_are_tiled(tmp_path: Path):
    net = RandomNet(np.random.default_rng(0), (8, 48, 64))
    x = net.conv("x0", 56, (1, 1), lo=0)
    x = net.conv(x, 32, (3, 3), (1, 1), (1, 1, 1, 1))
    x = net.pool(x, "MaxPool", (48, 64), 1)
    compiled, check = run(net, x, tmp_path)
    assert_exact(net, check)
    assert compiled.report["memory"]["L1"]["used"] <= compiled.report["memory"]["L1"]["size"]
    second = next(layer for layer in compiled.report["layers"] if layer["shape"] == [1, 32, 48, 64])
    assert second["tile"] != {"k": 32, "y": 48}
