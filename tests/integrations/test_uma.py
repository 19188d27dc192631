"""htvm as a UMA backend: every call against the interface, and its C on the virtual SoC under a main like TVM's."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_uma import (
    Buffer,
    Call,
    Constant,
    Function,
    GlobalVar,
    IRModule,
    PassPhase,
    PrimFunc,
    TensorType,
    Var,
    call,
    install,
    number,
)

from htvm_ir.errors import HtvmError
from htvm_ir.sim.machine import Machine
from htvm_ir.sim.toolchain import build
from htvm_ir.targets.registry import load_target

MAP = TensorType((1, 16, 8, 8), "int8")
RANDOM = np.random.default_rng(11)
WEIGHTS = {n: RANDOM.integers(-99, 100, (16, 16, 3, 3)).astype("int8") for n in ("w0", "w1")}
PARAMS = {**WEIGHTS, "b0": RANDOM.integers(-2000, 2000, 16).astype("int32")}
PREFIX = "tvmgen_default_htvm_main_"


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Any:
    install(monkeypatch)
    from htvm_ir.integrations.uma import HtvmBackend

    return HtvmBackend(PARAMS)


def requantised(sums: Call, shift: int = 9) -> Call:
    shifted = call("right_shift", sums, number(shift))
    return call("cast", call("clip", shifted, a_min=-128.0, a_max=127.0), dtype="int8")


def conv(x: Any, weights: Any, **attrs: Any) -> Call:
    given: dict[str, Any] = {"strides": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1}
    given |= {"data_layout": "NCHW", "kernel_layout": "OIHW", "out_layout": ""}
    return call("nn.conv2d", x, weights, shape=MAP.shape, **(given | attrs))


def var(name: str) -> Var:
    return Var(name, TensorType(PARAMS[name].shape, str(PARAMS[name].dtype)) if name in PARAMS else MAP)


def first(x: Any, weights: Any, bias: Any) -> Call:
    return requantised(call("nn.bias_add", conv(x, weights), bias, axis=1))


def second(x: Any, weights: Any) -> Call:
    return requantised(conv(x, weights))


def total(x: Any, y: Any) -> Call:
    wide = [call("cast", value, dtype="int32") for value in (x, y)]
    for value in wide:
        value.attrs.dtype = "int32"
    return requantised(call("add", *wide), 1)


def test_patterns_take_what_engines_compute(backend: Any):
    x = var("x")
    assert [name for name, _, _ in backend.patterns] == ["conv2d", "dense", "add"]
    one = first(x, var("w0"), var("b0"))
    assert backend.matching(one) == ["conv2d"]
    two = second(one, var("w1"))
    assert backend.matching(two) == ["conv2d"], "what lies before a kernel's operand is not the kernel's"
    assert backend.matching(total(one, two)) == ["add"]


X = var("x")


@pytest.mark.parametrize(
    "expression",
    [
        second(X, var("y")),  # weights that nobody knows
        second(X, Constant(WEIGHTS["w0"])),  # bound weights, which TVM would not pass
        requantised(conv(X, var("w0"), data_layout="NHWC")),
        requantised(conv(X, var("w0"), groups=5)),
        call("cast", call("right_shift", conv(X, var("w0")), number(3)), dtype="int8"),  # it would wrap
    ],
)
def test_what_would_be_wrong_is_not_taken(backend: Any, expression: Any):
    assert backend.matching(expression) == []


def test_the_log_says_what_is_wrong(backend: Any, caplog: pytest.LogCaptureFixture):
    with caplog.at_level("INFO", "htvm_ir.integrations"):
        backend.matching(second(X, Constant(WEIGHTS["w0"])))
    assert "a bound constant; leave parameters unbound" in caplog.text


def composite(name: str, make: Any, *arguments: Any) -> Call:
    params = [Var(f"FunctionVar_{n}", a.checked_type) for n, a in enumerate(arguments)]
    return Call(Function(params, make(*params), {"Composite": f"htvm.{name}"}), list(arguments), MAP)


def partitioned() -> IRModule:
    """``main`` as UMA leaves it: two functions of ours, one with two composites, and a ReLU of TVM's between."""
    x = var("x")
    p = [Var(f"htvm_0_i{n}", v.checked_type) for n, v in enumerate((x, var("w0"), var("b0")))]
    one = Function(p, composite("conv2d", first, *p), {"Compiler": "htvm", "global_symbol": f"{PREFIX}0"})
    q = [Var(f"htvm_1_i{n}", v.checked_type) for n, v in enumerate((x, var("w1"), x))]
    inner = composite("add", total, composite("conv2d", second, q[0], q[1]), q[2])
    two = Function(q, inner, {"Compiler": "htvm", "global_symbol": f"{PREFIX}1"})
    host = call("nn.relu", Call(GlobalVar(f"{PREFIX}0"), [x, var("w0"), var("b0")], MAP), dtype="int8")
    body = Call(GlobalVar(f"{PREFIX}1"), [host, var("w1"), x], MAP)
    return IRModule({"main": Function([x], body), f"{PREFIX}0": one, f"{PREFIX}1": two})


def prim_func(number: int, dtypes: list[str]) -> PrimFunc:
    names = [f"p{n}" for n in range(len(dtypes))]
    buffers = {name: Buffer(f"{name}_data", dtype) for name, dtype in zip(names, dtypes, strict=True)}
    return PrimFunc(names, buffers, {"global_symbol": f"{PREFIX}{number}"})


def compiled(backend: Any) -> Any:
    mod = partitioned()
    assert all(result is mod for result in backend.run(PassPhase.POST_PARTITIONING_0, mod, None))
    return backend


def test_loops_become_one_call_of_the_kernel(backend: Any):
    compiled(backend)
    function = prim_func(0, ["int8", "int8", "int32", "int8"])
    (result,) = backend.run(PassPhase.TIR_PHASE_0, function, None, None)
    buffers = ("p0_data", "p1_data", "p2_data", "p3_data")
    assert result.body == ("evaluate", ("call_extern", "int32", "htvm_main_0", *buffers))
    (other,) = backend.run(PassPhase.TIR_PHASE_0, prim_func(7, ["int8"]), None, None)
    assert other.body == "loops"


def test_other_tensors_than_the_kernel_takes_are_an_error(backend: Any):
    compiled(backend)
    with pytest.raises(HtvmError, match="leave the network's parameters unbound"):
        backend.run(PassPhase.TIR_PHASE_0, prim_func(0, ["int8", "int8"]), None, None)


def test_prototypes_are_those_of_tvm_s_forward_declarations(backend: Any):
    header = compiled(backend).files()["include/htvm_uma.h"]
    assert "int32_t htvm_main_0(int8_t *p0, int8_t *p1, int32_t *p2, int8_t *p3);" in header
    assert backend.includes() == '#include "htvm_uma.h"\n'


def test_the_files_include_nothing_that_is_missing(backend: Any):
    files = compiled(backend).files()
    included = {name for text in files.values() for name in re.findall(r'#include "(.*)"', text)}
    assert "diana_core.h" in included
    assert {f"include/{name}" for name in included} <= set(files)


UMA_C = """\
#include <stdint.h>
#include "htvm_uma.h"
{declaration}
int32_t {symbol}({parameters}) {{
  {kernel}({arguments});
  return 0;
}}
"""
"""What UMA's code generator prints for a function: our include, a forward declaration, a wrapper that returns 0."""

MAIN_C = """\
#include <stdint.h>
#include "diana_digital.h"
int32_t tvmgen_default_htvm_main_0(int8_t*, int8_t*, int32_t*, int8_t*);
int32_t tvmgen_default_htvm_main_1(int8_t*, int8_t*, int8_t*, int8_t*);
uint8_t x[{size}] DIANA_L2_SHARED_BSS, y[{size}] DIANA_L2_SHARED_BSS;
static uint8_t sid_1[{size}] __attribute__((aligned(16)));
static int8_t w0[4], w1[4];
static int32_t b0[4];
static int32_t tvmgen_default_fused_nn_relu(int8_t* p0, int8_t* T_relu) {{
  for (int32_t i = 0; i < {size}; ++i) T_relu[i] = p0[i] > 0 ? p0[i] : (int8_t)0;
  return 0;
}}
int32_t tvmgen_default___tvm_main__(void* x_buffer_var, void* output_buffer_var) {{
  if (tvmgen_default_htvm_main_0((int8_t*)x_buffer_var, w0, b0, (int8_t*)sid_1) != 0) return -1;
  if (tvmgen_default_fused_nn_relu((int8_t*)sid_1, (int8_t*)sid_1) != 0) return -1;
  if (tvmgen_default_htvm_main_1((int8_t*)sid_1, w1, (int8_t*)x_buffer_var, (int8_t*)output_buffer_var) != 0) {{
    return -1;
  }}
  return 0;
}}
int main(void) {{ return tvmgen_default___tvm_main__(x, y); }}
"""
"""The AOT main, with parameters whose values are not there: the kernels have their own."""


def uma_source(backend: Any) -> str:
    texts: list[str] = []
    for kernel in backend.kernels.values():
        types = [f"{dtype}_t*" for dtype in kernel.parameters]
        parameters = ", ".join(f"{t} p{n}" for n, t in enumerate(types))
        arguments = ", ".join(f"p{n}" for n in range(len(types)))
        declaration = f"int32_t {kernel.name}({', '.join(types)});"
        given = {"symbol": kernel.symbol, "parameters": parameters, "kernel": kernel.name, "arguments": arguments}
        texts.append(UMA_C.format(declaration=declaration, **given))
    return "\n".join(texts)


def plain(x: Any, weights: Any, bias: Any = 0) -> Any:
    padded = np.pad(x.astype("int64"), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded[0], (3, 3), (1, 2))
    sums = np.einsum("cyxij,kcij->kyx", windows, weights.astype("int64")) + np.reshape(bias, (-1, 1, 1))
    return np.clip(sums >> 9, -128, 127)[None]


def test_its_c_runs_under_tvm_s_main(backend: Any, tmp_path: Path):
    compiled(backend).write(tmp_path)
    size = int(np.prod(MAP.shape))
    (tmp_path / "src" / "uma.c").write_text(uma_source(backend))
    (tmp_path / "src" / "main.c").write_text(MAIN_C.format(size=size))
    soc = load_target("diana").soc
    assert soc is not None
    drivers = {path.name for path in soc().sources}
    sources = [path for path in sorted((tmp_path / "src").glob("*.c")) if path.name not in drivers]
    machine = Machine(soc(), build(soc(), sources, [tmp_path / "include"], tmp_path / "program.elf"))
    machine.reset()
    x = np.random.default_rng(12).integers(-128, 128, MAP.shape).astype("int8")
    machine.write_symbol("x", x.tobytes())
    assert machine.run().exit_code == 0
    got = np.frombuffer(machine.read_symbol("y"), "int8").reshape(MAP.shape)
    middle = np.maximum(plain(x, WEIGHTS["w0"], PARAMS["b0"]), 0)
    want = np.clip((plain(middle, WEIGHTS["w1"]) + x) >> 1, -128, 127)
    np.testing.assert_array_equal(got, want)
    assert np.unique(got).size > 50


def test_without_uma_the_error_says_which_tvm(monkeypatch: pytest.MonkeyPatch):
    for name in [name for name in sys.modules if name == "tvm" or name.startswith("tvm.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tvm", None)
    from htvm_ir.integrations import uma

    with pytest.raises(HtvmError, match=r"TVM 0\.10 to 0\.19"):
        _ = uma.HtvmBackend
