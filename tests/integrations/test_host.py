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
from networks import Net, classifier, convolutions, depthwise, inputs_of, residual
from xdsl.dialects.builtin import ModuleOp

from htvm_ir.integrations.host import modelled_engines, single_file
from htvm_ir.interpreters.run import run


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
    calls: set[str] = set()
    for network in NETWORKS:
        kernels = single_file(network(), "diana", None, "net")[0].partition("kernels and constants")[2]
        names = ("conv", "dense", "add", "depthwise", "blocks", "rows", "dma_in", "dma_out")
        calls |= {name for name in names if f"  diana_digital_{name}(" in kernels}
    assert calls == {}, calls


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
