"""The C for this machine: functional models of engines compute what the interpreter computes."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import (  # pyright: ignore[reportMissingImports]
    Net,
    classifier,
    convolutions,
    depthwise,
    inputs_of,
    residual,
)
from xdsl.dialects.builtin import ModuleOp

from htvm_ir.integrations.host import modelled_engines, single_file
from htvm_ir.interpreters.run import run
from htvm_ir.targets.diana.soc import RUNTIME
from htvm_ir.targets.registry import load_target
from htvm_ir.targets.target import Data
from htvm_ir.targets.workload import Requant, Tensor, Workload


def wide_depthwise() -> ModuleOp:
    """More than 16 channels, so that diagonal blocks pay, on a narrow map, so that rows are jobs of their own."""
    net = Net((1, 40, 6, 6))
    x = net.depthwise(net.arguments[0], (3, 3), pads=(1, 1, 1, 1), lo=0)
    x = net.conv(x, 36, (3, 3), pads=(1, 1, 1, 1))
    return net.module(net.depthwise(net.conv(x, 24, (1, 1)), (3, 3), strides=(2, 2), pads=(1, 1, 1, 1)))


NETWORKS: list[Callable[[], ModuleOp]] = [convolutions, depthwise, residual, classifier, wide_depthwise]


def compile_c(text: str, folder: Path) -> ctypes.CDLL:
    source, library = folder / "network.c", folder / "network.so"
    source.write_text(text)
    command = [sys.executable, "-m", "ziglang", "cc", "-std=c11", "-O1", "-fPIC", "-shared"]
    command += ["-Werror", "-Wall", "-Wno-unused-function"]
    subprocess.run([*command, str(source), "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


@pytest.mark.parametrize("network", NETWORKS)
def test_the_model_equals_the_interpreter(tmp_path: Path, network: Callable[[], ModuleOp]):
    module = network()
    inputs = inputs_of(module, 5)
    want = run(module.clone(), inputs)
    text, boundary = single_file(module, "diana", None, "net")
    assert "diana_digital_" in text.partition("kernels and constants")[2], "an engine must be at work"
    arrays = [*inputs, *(np.full_like(w, 85) for w in want)]
    assert [t.is_output for t in boundary.tensors] == [False] * len(inputs) + [True] * len(want)
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in arrays]
    assert compile_c(text, tmp_path)["tvmgen_net___tvm_main__"](*pointers) == 0
    for got, expected in zip(arrays[len(inputs) :], want, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_every_kind_of_job_is_in_these_networks():
    names = ("conv", "dense", "add", "depthwise", "blocks", "rows", "dma_in", "dma_out")
    calls: set[str] = set()
    for network in NETWORKS:
        kernels = single_file(network(), "diana", None, "net")[0].partition("kernels and constants")[2]
        calls |= {name for name in names if f"  diana_digital_{name}(" in kernels}
    assert calls == set(names) - {"depthwise"}


def test_a_job_for_each_channel(tmp_path: Path):
    """The planner prefers diagonal blocks; a plan may ask for this all the same."""
    target = load_target("diana")
    engine = target.engine("digital")
    random = np.random.default_rng(7)
    weights = random.integers(-99, 100, (6, 1, 3, 3)).astype("int8")
    tensors = Tensor((1, 6, 5, 16)), Tensor((1, 6, 5, 16))
    requant = Requant("floor", (1,), (7,), 0, -128, 127)
    bias = random.integers(-999, 1000, 6).astype("int32")
    given: dict[str, Any] = {"pads": (1, 1, 1, 1), "groups": 6, "requant": requant}
    workload = Workload("conv2d", tensors[:1], tensors[1], weights, bias, **given)
    job, constants = engine.job(workload), engine.pack(workload)
    sizes = engine.local_bytes(workload)
    call = engine.call(job, [0], sizes[0], "constants")
    assert call.function == "diana_digital_depthwise"
    x, want = (random.integers(0, 256, size).astype("uint8") for size in sizes)
    before = want.copy()
    engine.execute(job, [x], constants, want)
    text = "".join(path.read_text() for path in (RUNTIME / "diana_digital.h", target.functional["digital"]))
    text = text.replace('#include "diana_digital.h"', "")
    words, *rest = call.arguments
    assert isinstance(words, Data)
    arguments = ", ".join(["words", *map(str, rest)])
    text += f"""
void go(const uint8_t *in, uint8_t *out, const uint8_t *constants) {{
  static const uint32_t words[] = {{{", ".join(f"{w}u" for w in words.words)}}};
  diana_digital_dma_in(0, in, {x.size}, 1, 0, 1, 0);
  diana_digital_dma_in({x.size}, out, {want.size}, 1, 0, 1, 0);
  {call.function}({arguments});
  diana_digital_dma_out(out, {x.size}, {want.size}, 1, 0, 1, 0);
}}
"""
    compile_c(text, tmp_path)["go"](*(ctypes.c_void_p(a.ctypes.data) for a in (x, before, constants)))
    np.testing.assert_array_equal(before, want)


def test_engines_without_a_model_are_left_out():
    assert modelled_engines("diana") == ("digital",)
    assert modelled_engines("diana", ("analog",)) == ()
    assert modelled_engines("npu") == ()


def test_other_targets_run_as_loops(tmp_path: Path):
    module = convolutions()
    x = np.random.default_rng(6).integers(-128, 128, (1, 3, 12, 11)).astype("int8")
    (want,) = run(module.clone(), [x])
    text, _ = single_file(module, "npu", None, "net")
    got = np.zeros_like(want)
    arguments: list[Any] = [ctypes.c_void_p(a.ctypes.data) for a in (x, got)]
    assert compile_c(text, tmp_path)["tvmgen_net___tvm_main__"](*arguments) == 0
    np.testing.assert_array_equal(got, want)
