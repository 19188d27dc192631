"""htvm as a backend of TVM's Relax: what is taken, what is left, and that all integers stay the same."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import htvm_ir
from htvm_ir.errors import HtvmError
from htvm_ir.integrations import tvm as htvm_tvm

Make = Callable[..., Any]

absent = pytest.mark.skipif(find_spec("tvm") is None, reason="needs TVM (pip install 'htvm-ir[tvm]')")


def needs_tvm(test: Make) -> Make:
    """Among the tests of the extra."""
    return pytest.mark.tvm(absent(test))


pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture(autouse=True)
def registered() -> None:
    """As at ``import tvm`` where the package is installed."""
    if find_spec("tvm") is not None:
        htvm_tvm.register()


def taken(mod: Any) -> list[str]:
    """The composite patterns of a partitioned module, in order."""
    from htvm_ir.integrations.tvm.codegen import bindings

    names: list[str] = []
    for function in mod.functions.values():
        if "Codegen" in function.attrs:
            values = [value for _, value in bindings(function)]
            inner = {v: f for v, f in bindings(function) if type(f).__name__ == "Function"}
            names += [str(inner[v.op].attrs["Composite"]) for v in values if type(v).__name__ == "Call"]
    return names


def check(make: Make, *shapes: tuple[int, ...], folder: Path, **options: Any) -> list[str]:
    """The partitioned network computes in the VM what Relax alone computes; returns what was taken."""
    from relax_networks import RelaxNet, run

    mod = RelaxNet(*shapes).build(make)
    partitioned = htvm_tvm.partition(mod, **options)
    random = np.random.default_rng(3)
    inputs = [random.integers(-128, 128, shape).astype("int8") for shape in shapes]
    results: list[Any] = []
    for name, module in (("alone", mod), ("htvm", partitioned)):
        (folder / name).mkdir()
        results.append(run(module, inputs, folder / name))
    for want, got in zip(*results, strict=True):
        np.testing.assert_array_equal(got, want)
        assert np.unique(want).size > 5
    return taken(partitioned)


@needs_tvm
@pytest.mark.parametrize("merge", [True, False])
def test_six_convolutions_equal_relax_alone(tmp_path: Path, merge: bool):
    from relax_networks import SIX_SHAPE, six_convolutions

    assert check(six_convolutions, SIX_SHAPE, folder=tmp_path, merge=merge) == ["htvm.conv2d"] * 6


@needs_tvm
def test_merging_makes_one_function_of_neighbours():
    from relax_networks import SIX_SHAPE, RelaxNet, six_convolutions

    mod = RelaxNet(SIX_SHAPE).build(six_convolutions)
    count = {merge: len(htvm_tvm.partition(mod, merge=merge).functions) - 1 for merge in (True, False)}
    assert count == {True: 1, False: 6}
    assert len(mod.functions) == 1, "partition must not change its argument"


@needs_tvm
def test_a_residual_block_and_a_dense_layer(tmp_path: Path):
    def make(net: Any, x: Any) -> Any:
        x = net.requant(net.conv(x, 16), 8, low=0)
        y = net.requant(net.conv(x, 16), 9)
        x = net.requant(net.emit(net.op.add(net.widened(x), net.widened(y))), 1)
        flat = net.emit(net.op.reshape(x, (1, 16 * 36)))
        weights = net.emit(net.op.permute_dims(net.const(net.noise((20, 16 * 36), 100, "int8"), "int8")))
        sums = net.emit(net.op.matmul(flat, weights, out_dtype="int32"))
        return net.requant(net.emit(net.op.add(sums, net.const(net.noise((20,), 900, "int32")))), 10)

    found = check(make, (1, 3, 6, 6), folder=tmp_path)
    assert sorted(found) == ["htvm.add", "htvm.conv2d", "htvm.conv2d", "htvm.dense"]


@needs_tvm
def test_requantisations_in_other_words(tmp_path: Path):
    """Half a unit before the shift, ReLU before it, a division, two one-sided limits, the constant first."""

    def make(net: Any, x: Any) -> Any:
        sums = net.emit(net.op.nn.relu(net.emit(net.op.add(net.const(128), net.conv(x, 20)))))
        x = net.emit(net.op.floor_divide(sums, net.const(256)))
        x = net.emit(net.op.minimum(net.emit(net.op.maximum(x, net.const(-128))), net.const(127)))
        x = net.emit(net.op.astype(x, "int8"))
        wide = net.emit(net.op.astype(net.conv(x, 17, strides=(2, 2)), "int64"))
        shifted = net.emit(net.op.right_shift(wide, net.const(9, "int64")))
        return net.emit(net.op.astype(net.emit(net.op.clip(shifted, -128, 127)), "int8"))

    assert check(make, (1, 3, 8, 9), folder=tmp_path) == ["htvm.conv2d"] * 2


def scaled(net: Any, x: Any) -> Any:
    """A multiplier for each channel, in 64 bits, and a zero point."""
    wide = net.emit(net.op.astype(net.conv(x, 9), "int64"))
    factors = net.const(np.arange(900, 918, 2).reshape(1, 9, 1, 1), "int64")
    products = net.emit(net.op.add(net.emit(net.op.multiply(wide, factors)), net.const(1 << 18, "int64")))
    shifted = net.emit(net.op.right_shift(products, net.const(19, "int64")))
    moved = net.emit(net.op.clip(net.emit(net.op.add(shifted, net.const(3, "int64"))), -128, 127))
    return net.emit(net.op.astype(moved, "int8"))


@needs_tvm
def test_the_target_decides(tmp_path: Path):
    from relax_networks import RelaxNet

    assert taken(htvm_tvm.partition(RelaxNet((1, 3, 8, 8)).build(scaled))) == []
    assert check(scaled, (1, 3, 8, 8), folder=tmp_path, target="npu") == ["htvm.conv2d"]


def unclipped(net: Any, x: Any) -> Any:
    shifted = net.emit(net.op.right_shift(net.conv(x, 8), net.const(3)))
    return net.emit(net.op.astype(shifted, "int8"))


def computed_weights(net: Any, x: Any) -> Any:
    weights = net.emit(net.op.reshape(net.const(net.noise((8, 27), 9, "int8"), "int8"), (8, 3, 3, 3)))
    return net.requant(net.emit(net.op.nn.conv2d(x, weights, out_dtype="int32")), 4)


def shared_accumulator(net: Any, x: Any) -> Any:
    sums = net.conv(x, 8)
    return net.relax.Tuple([net.requant(sums, 8), sums])


@needs_tvm
@pytest.mark.parametrize("make", [unclipped, computed_weights, shared_accumulator])
def test_what_would_not_be_exact_is_left_to_tvm(make: Make):
    from relax_networks import RelaxNet

    assert taken(htvm_tvm.partition(RelaxNet((1, 3, 6, 6)).build(make))) == []


@needs_tvm
def test_parameters_are_bound_on_request():
    from relax_networks import RelaxNet

    net = RelaxNet((1, 3, 6, 6), (8, 3, 3, 3))

    def make(net: Any, x: Any, weights: Any) -> Any:
        return net.requant(net.emit(net.op.nn.conv2d(x, weights, out_dtype="int32")), 8)

    mod = net.build(make)
    assert taken(htvm_tvm.partition(mod)) == []
    assert taken(htvm_tvm.partition(mod, params={"x1": net.noise((8, 3, 3, 3), 99, "int8")})) == ["htvm.conv2d"]


@needs_tvm
def test_unknown_targets_are_the_user_s_mistake():
    from relax_networks import RelaxNet

    with pytest.raises(HtvmError, match="nonesuch"):
        htvm_tvm.partition(RelaxNet((1, 3, 6, 6)).build(unclipped), target="nonesuch")


@needs_tvm
def test_functions_of_others_are_refused():
    from relax_networks import RelaxNet

    from htvm_ir.integrations.tvm.codegen import c_source

    mod = RelaxNet((1, 3, 6, 6)).build(unclipped)
    with pytest.raises(HtvmError, match=r"no attribute htvm\.target"):
        c_source(mod["main"], "main")


@needs_tvm
def test_a_second_target_takes_what_the_first_has_left(tmp_path: Path):
    from relax_networks import RelaxNet, run

    def make(net: Any, x: Any) -> Any:
        return scaled(net, net.requant(net.conv(x, 8), 8))

    mod = RelaxNet((1, 3, 8, 8)).build(make)
    both = htvm_tvm.partition(htvm_tvm.partition(mod, target="diana"), target="npu")
    ours = [f.attrs for f in both.functions.values() if "Codegen" in f.attrs]
    assert {str(a["htvm.target"]) for a in ours} == {"diana", "npu"}
    assert {str(a["global_symbol"]) for a in ours} == {"htvm_0", "htvm_1"}
    x = np.random.default_rng(8).integers(-128, 128, (1, 3, 8, 8)).astype("int8")
    results: list[Any] = []
    for name, module in (("alone", mod), ("both", both)):
        (tmp_path / name).mkdir()
        results += run(module, [x], tmp_path / name)
    np.testing.assert_array_equal(results[0], results[1])


@needs_tvm
def test_the_log_says_why(caplog: pytest.LogCaptureFixture):
    from relax_networks import RelaxNet

    with caplog.at_level("INFO", "htvm_ir.integrations"):
        htvm_tvm.partition(RelaxNet((1, 3, 6, 6)).build(unclipped))
    assert "[1, 8, 6, 6] left to TVM: cast to int8 could wrap" in caplog.text


@needs_tvm
def test_tvm_finds_the_code_generator_by_itself(tmp_path: Path):
    """An installed package with our entry point suffices."""
    info = tmp_path / "htvm_probe-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: htvm-probe\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[tvm.backends]\nhtvm = htvm_ir.integrations.tvm:register\n")
    code = "import tvm; assert tvm.get_global_func('relax.ext.htvm', allow_missing=True) is not None"
    paths = os.pathsep.join([str(tmp_path), str(Path(htvm_ir.__file__).parents[1])])
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": paths})


def test_without_tvm_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "tvm", None)
    monkeypatch.setitem(sys.modules, "tvm.relax", None)
    with pytest.raises(HtvmError, match=r"htvm-ir\[tvm\]"):
        htvm_tvm.partition(object())


def test_the_entry_point_is_cheap():
    """TVM loads it at each import."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["tvm.backends"] == {"htvm_ir": "htvm_ir.integrations.tvm:register"}
    code = (
        "import sys; from htvm_ir.integrations.tvm import register; "
        "assert not {'xdsl', 'numpy', 'tvm', 'onnx', 'ortools'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
