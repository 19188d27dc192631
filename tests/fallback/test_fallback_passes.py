"""Kernels given as C on every level of the IR, with a compiler that needs no TVM."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from float_networks import convolution, node, qdq, quantise
from xdsl.dialects.builtin import ModuleOp

from htvm_ir.backend.c.interface import Interface
from htvm_ir.backend.c.package import render, render_package
from htvm_ir.driver.compile import Compiled
from htvm_ir.driver.edges import edges
from htvm_ir.driver.execute import execute
from htvm_ir.driver.samples import Samples
from htvm_ir.frontends.onnx import import_model
from htvm_ir.frontends.onnx.external.kernel import Kernel
from htvm_ir.interpreters.run import Runner
from htvm_ir.passes.pipeline import default_passes, run_passes
from htvm_ir.passes.set_target import SetTarget
from htvm_ir.passes.workloads import module_target

SIZE = 4 * 5 * 6


def neighbours(symbol: str, net: onnx.ModelProto) -> Kernel:
    """Each element's sum with its neighbour, scaled: with a constant and a workspace, of whatever types."""
    of: dict[int, str] = {onnx.TensorProto.FLOAT: "float", onnx.TensorProto.INT8: "int8_t"}
    source, result = (of[v.type.tensor_type.elem_type] for v in (net.graph.input[0], net.graph.output[0]))
    text = f"""
static void {symbol}(const {source} *x, const float *factors, {result} *y, int8_t *workspace) {{
  float *sums = (float *)(void *)workspace;
  for (int32_t i = 0; i < {SIZE}; i++) sums[i] = (float)x[i] * factors[i % 3];
  for (int32_t i = 0; i < {SIZE}; i++) y[i] = ({result})(sums[i] / 3.0f + sums[(i + 1) % {SIZE}] / 7.0f);
}}"""
    return Kernel(symbol, text, (np.asarray([0.5, 0.7, 1 / 3], np.float32),), 4 * SIZE)


def network(io: str) -> ModuleOp:
    """convolution, region, convolution, and a second result of real numbers."""
    (first, one), (second, two) = convolution("in", "a", 4, 1), convolution("b", "c", 4, 2)
    nodes = [*quantise("x", "in"), *first, node("LayerNormalization", "a gamma", "n"), *quantise("n", "b"), *second]
    nodes += [node("QuantizeLinear", "c s z", "y"), node("Einsum", "n", "e", equation="abcd->abdc")]
    net = qdq(nodes, {**one, **two, "gamma": np.ones(6, np.float32)}, inputs={"x": (1, 4, 5, 6)}, outputs=("y", "e"))
    return import_model(net, compiler=neighbours, io="float" if io == "float" else "integer")


def inputs_of(module: ModuleOp, seed: int = 0) -> list[np.ndarray[tuple[int, ...], np.dtype[np.int8 | np.float32]]]:
    """One sample."""
    generator = np.random.default_rng(seed)
    kinds = [argument.dtype for argument in Runner(module).arguments]
    whole = generator.integers(-128, 128, (1, 4, 5, 6))
    return [whole.astype(kinds[0])]


@pytest.mark.parametrize("target", ["diana", "npu"])
@pytest.mark.parametrize("io", ["integer", "float"])
def test_every_pass_keeps_every_bit(target: str, io: str) -> None:
    module = network(io)
    given = inputs_of(module)
    expected = Runner(module).run(given)
    assert len({value.tobytes() for value in expected}) == 2

    def check(name: str, after: ModuleOp) -> None:
        planned = name == "plan-memory"
        for order in ("eager", "lazy") if planned else ("eager",):
            got = Runner(after, order=order, overlay=planned, poison=planned).run(given)
            assert all(np.array_equal(a, b) for a, b in zip(got, expected, strict=True)), (name, order)

    run_passes(module, [SetTarget(target), *default_passes(1.0)], check)


@pytest.mark.parametrize("target", ["diana", "npu"])
def test_the_virtual_soc_computes_the_same_bits(target: str) -> None:
    source = network("float")
    module = source.clone()
    run_passes(module, [SetTarget(target), *default_passes(1.0)])
    package = render_package(module, "default", Interface())
    compiled = Compiled(module_target(module), source, module, package.files, {"interface": package.interface})
    samples = Samples(tuple(np.concatenate([a, a]) for a in inputs_of(source)), "float")
    ran = execute(compiled, "default", samples, check=True, check_layers=True)
    assert ran.check is not None
    assert not ran.check.failed, ran.check.first
    assert [str(edge.dtype) for edge in edges(module)[1]] == ["int8", "float32"]


def test_real_numbers_are_given_as_they_are() -> None:
    module = network("float")
    run_passes(module, [SetTarget("npu"), *default_passes(1.0)])
    (x,), (_, e) = edges(module)
    assert (x.is_float, x.as_json()["range"], x.scale, e.as_json()["scale"]) == (True, None, None, None)
    header = render(module)["include/tvmgen_default.h"]
    assert "1x4x5x6 float, row-major" in header
    assert "TVMGEN_DEFAULT_X_SCALE" not in header
