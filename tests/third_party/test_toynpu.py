"""A target from another package: installed, found, compiled for, and executed, without a change to htvm_ir."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from math import log2, prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, TensorType, i8
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.dialects.memref import AllocOp
from xdsl.ir import Block, Region

from htvm_ir.dialects import graph
from htvm_ir.dialects.accel import CPU, AwaitOp, LaunchOp, kernels
from htvm_ir.dialects.dma import StartOp
from htvm_ir.dialects.tiled import PlanAttr
from htvm_ir.driver.compile import Options, load_model
from htvm_ir.interpreters.machine import Order
from htvm_ir.interpreters.run import Runner
from htvm_ir.passes.fold_constants import constant
from htvm_ir.passes.pipeline import PIPELINE, pass_class
from htvm_ir.passes.pipeline_dma import root
from htvm_ir.passes.set_target import SetTarget
from htvm_ir.passes.workloads import block_workload
from htvm_ir.targets.registry import load_target
from htvm_ir.targets.target import Target

SOURCE = Path(__file__).parent / "toynpu"
Array = NDArray[Any]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that pip installed the package into."""
    folder = tmp_path_factory.mktemp("third_party")
    copy = shutil.copytree(
        SOURCE, folder / "source", ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    )
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    where = ["--no-deps", "--no-build-isolation", "--target", str(folder / "site"), str(copy)]
    done = subprocess.run([*pip, *where], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.fixture(scope="session")
def toynpu(installed: Path) -> Iterator[Target]:
    """The target as the compiler finds it in this process."""
    sys.path.insert(0, str(installed))
    try:
        yield load_target("toynpu")
    finally:
        sys.path.remove(str(installed))


def htvm(installed: Path, *arguments: str) -> str:
    """What the command line prints with the package on the path."""
    path = os.pathsep.join(filter(None, [str(installed), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    program = Path(sys.executable).parent / "htvm"
    done = subprocess.run([program, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_package_names_no_other_target() -> None:
    """It is written against the vocabulary alone, as any package outside must be."""
    tree = ast.parse((SOURCE / "toynpu.py").read_text())
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    ours = {module for module in modules if module.startswith("htvm_ir")}
    assert ours <= {
        "htvm_ir",
        "htvm_ir.tiling.problem",
        *(f"htvm_ir.targets.{m}" for m in ("layout", "target", "workload")),
    }


def test_the_command_line_lists_it(installed: Path) -> None:
    assert json.loads(htvm(installed, "targets", "--json"))["toynpu"].startswith("RISC-V core, 8x4 NPU")
    assert "SPM" in htvm(installed, "targets", "toynpu")


@pytest.mark.parametrize(("network", "engine_layers"), [("resnet8", 13), ("dscnn", 6)])
def test_the_command_line_compiles_for_it(installed: Path, network: str, engine_layers: int, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = json.loads(htvm(installed, "compile", f"zoo:{network}", "--target", "toynpu", "--json", "-o", str(out)))
    layers = report["layers"]
    assert sum(layer["engine"] == "npu" for layer in layers) == engine_layers
    assert report["memory"]["SPM"]["fits"]
    refusals = {layer["reason"] for layer in layers if layer["op"] in ("pool", "depthwise")}
    assert refusals
    assert all(reason.startswith("npu: the NPU ") for reason in refusals)
    text = (out / "src" / "tvmgen_default_kernels.c").read_text()
    assert "toynpu_conv(" in text
    assert "toynpu_dma_in(" in text
    assert "diana" not in text


def passes(module: ModuleOp, *names: str) -> ModuleOp:
    for name in names:
        pass_class(name)().apply(Context(), module)
        module.verify()
    return module


def on_toynpu(module: ModuleOp) -> ModuleOp:
    SetTarget("toynpu").apply(Context(), module)
    return module


def results(module: ModuleOp, inputs: list[Array]) -> Iterator[tuple[str, Array]]:
    """The output in every order, of which there is one while nothing is asynchronous, and at planned addresses."""
    asynchronous = any(isinstance(op, StartOp) for op in module.walk())
    orders: tuple[Order, ...] = ("eager", "lazy", "checked") if asynchronous else ("eager",)
    for order in orders:
        for overlay in {False, "accel.arena" in module.attributes}:
            (result,) = Runner(module, order=order, overlay=overlay).run(inputs)
            yield f"{order}, overlay {overlay}", result


def noise_for(module: ModuleOp) -> list[Array]:
    random = np.random.default_rng(0)
    arguments = Runner(module).arguments
    return [random.integers(-128, 128, a.shape).astype(a.dtype) for a in arguments]


@pytest.mark.usefixtures("toynpu")
@pytest.mark.parametrize(("network", "last"), [("resnet8", "plan-memory"), ("dscnn", "pipeline-dma")])
def test_every_pass_keeps_the_result(network: str, last: str) -> None:
    """dscnn only as far as its depthwise layers are not loops on the CPU, which take a minute to interpret."""
    module = load_model(f"zoo:{network}", Options())
    inputs = noise_for(module)
    (expected,) = Runner(module).run(inputs)
    on_toynpu(module)
    for name in PIPELINE[: PIPELINE.index(last) + 1]:
        passes(module, name)
        for how, result in results(module, inputs):
            np.testing.assert_array_equal(result, expected, err_msg=f"after {name}, {how}")


def convolution(
    shape: tuple[int, ...], channels: int, kernel: tuple[int, int], strides: tuple[int, int], pads: tuple[int, ...]
) -> ModuleOp:
    """``@main`` with one convolution of noise, requantised so that it neither dies nor saturates."""
    random = np.random.default_rng(channels)
    block = Block(arg_types=[TensorType(i8, shape)])
    weights = constant(random.integers(-100, 101, (channels, shape[1], *kernel)).astype(np.int8))
    bias = constant(random.integers(-20000, 20001, channels).astype(np.int32))
    conv = graph.Conv2dOp(block.args[0], weights.result, bias.result, strides, pads, (1, 1), 1)
    taps = shape[1] * prod(kernel)
    requant = graph.RequantOp(conv.result, i8, shift=(6 + round(log2(taps) / 2),))
    block.add_ops([weights, bias, conv, requant, ReturnOp(requant.result)])
    return on_toynpu(ModuleOp([FuncOp("main", (block.arg_types, [requant.result.type]), Region(block))]))


@pytest.mark.usefixtures("toynpu")
def test_maps_larger_than_the_scratchpad_are_tiled_and_double_buffered() -> None:
    module = convolution((1, 24, 64, 48), 40, (3, 3), (1, 1), (1, 1, 1, 1))
    inputs = noise_for(module)
    (expected,) = Runner(module).run(inputs)
    passes(module, *PIPELINE[: PIPELINE.index("pipeline-dma") + 1])
    (function,) = [f for f in module.ops if isinstance(f, FuncOp) and f.sym_name.data.startswith("npu")]
    at = {op: number for number, op in enumerate(function.body.block.ops)}
    launches = [op for op in at if isinstance(op, LaunchOp)]
    awaits = [op for op in at if isinstance(op, AwaitOp)]
    loads = [op for op in at if isinstance(op, StartOp) and isinstance(root(op.destination).owner, AllocOp)]
    rows, channels = ({launch.fields[name] for launch in launches} for name in ("oy", "k"))
    assert max(rows) < 64
    assert max(channels) < 40
    assert len(loads) < len(launches)
    for load in loads[1:]:
        reader = next(i for i, job in enumerate(launches) if at[job] > at[load] and reads(job, load))
        assert at[load] < at[awaits[reader - 1]], "the load of a tile must run beside the job before"
    passes(module, "plan-memory")
    for how, result in results(module, inputs):
        np.testing.assert_array_equal(result, expected, err_msg=how)


def reads(job: LaunchOp, load: StartOp) -> bool:
    return root(load.destination) in map(root, job.inputs)


@pytest.mark.usefixtures("toynpu")
@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_any_plan_of_any_convolution_keeps_the_result(data: st.DataObject) -> None:
    kernel = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 5)), "kernel")
    strides = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)), "strides")
    pads = data.draw(st.tuples(*(st.integers(0, size - 1) for size in kernel * 2)), "pads")
    height, width = (data.draw(st.integers(size, 12), "extent") for size in kernel)
    channels = data.draw(st.integers(1, 20), "input channels"), data.draw(st.integers(1, 20), "output channels")
    module = convolution((1, channels[0], height, width), channels[1], kernel, strides, pads)
    inputs = noise_for(module)
    (expected,) = Runner(module).run(inputs)
    passes(module, *PIPELINE[: PIPELINE.index("plan-tiles")])
    (dispatch,) = [d for d in kernels(module) if d.engine_name != CPU]
    problem = load_target("toynpu").engine("npu").problem(block_workload(dispatch.body.block), load_target("toynpu"))
    sizes = {d.name: data.draw(st.sampled_from(d.sizes), d.name) for d in problem.dimensions}
    order = data.draw(st.permutations(sorted(sizes)), "order")
    depths = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)), "depths")
    dispatch.plan = PlanAttr({name: sizes[name] for name in order}, depths)
    passes(module, "apply-plan", "bufferize", "explicit-dma", "pipeline-dma", "plan-memory")
    for how, result in results(module, inputs):
        np.testing.assert_array_equal(result, expected, err_msg=how)
