"""What the command line promises: the JSON, the folder it writes, the same answer on every way."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from small_nets import OUTPUTS, SHAPE, net, save

from htvm_ir.frontends.onnx import import_model
from htvm_ir.interpreters.run import Runner
from htvm_ir.tools.htvm import main
from htvm_ir.zoo.builder import NetBuilder

MODEL = net()
SAMPLES = np.random.default_rng(1).integers(-128, 128, (2, *SHAPE)).astype(np.int8)
HTVM = [sys.executable, "-m", "htvm_ir.tools"]

NUMBER = (int, float)
COMPILE_FIELDS: dict[str, Any] = {
    "schema": int,
    "model": str,
    "target": str,
    "compile_seconds": float,
    "macs": {"network": int, "executed": int},
    "layers": [
        {
            "name": str,
            "op": str,
            "engine": str,
            "rows": (list, type(None)),
            "reason": (str, type(None)),
            "macs": int,
            "cycles": int,
            "tile": (dict, type(None)),
            "mapping": (str, type(None)),
            "resident": list,
            "proven_optimal": (bool, type(None)),
        }
    ],
    "cycles": {"predicted": int, "compute_bound": int, "transfer_bound": int},
    "memory": {"L1": {"used": int, "size": int, "fits": bool}, "L2": {"used": int, "size": int, "fits": bool}},
    "arena": {
        "L1": {"bytes": int, "lower_bound": int, "proven_minimal": bool},
        "L2": {"bytes": int, "lower_bound": int, "proven_minimal": bool},
    },
    "inputs": [{"name": str, "shape": list, "dtype": str, "scale": float, "zero_point": int, "range": list}],
    "outputs": [{"name": str, "shape": list, "dtype": str, "scale": float, "zero_point": int}],
    "interface": {
        "module": str,
        "calls": str,
        "workspace": str,
        "device_hooks": bool,
        "inputs": {"input": {"size": int, "dtype": str}},
        "outputs": {"output": {"size": int, "dtype": str}},
        "workspace_bytes": int,
        "arenas": {"L2": int},
        "pools": dict,
        "devices": dict,
        "constants_bytes": int,
        "operators": list,
    },
    "numerics": str,
    "tiler": str,
    "approximated": list,
    "orientation": dict,
    "strips_refused": (dict, type(None)),
    "weights_bytes": int,
    "code_bytes": (int, type(None)),
}
RUN_FIELDS: dict[str, Any] = COMPILE_FIELDS | {
    "samples": int,
    "cycles": COMPILE_FIELDS["cycles"] | {"per_inference": int, "cpu": int, "digital": int, "transfers": int},
    "instructions": int,
    "latency_ms": float,
    "engines": {"digital": {"busy_cycles": int, "jobs": int}},
    "transfers": {"bytes": int, "count": int, "cycles": int},
    "code_bytes": int,
    "stack_bytes": int,
    "input_edge": str,
    "check": {
        "samples": int,
        "mismatches": int,
        "max_abs_diff": int,
        "tolerance": int,
        "reference": str,
        "interpreter_mismatches": int,
        "layers_checked": int,
        "layers_skipped": int,
        "layer_mismatches": int,
        "accuracy": (float, type(None)),
    },
}
"""Field -> its type; a list has entries of its one element's form."""


def misfit(value: Any, form: Any, where: str = "report") -> str | None:
    """What of a JSON value is not of a form."""
    if isinstance(form, dict):
        if not isinstance(value, dict):
            return f"{where} is {value!r}"
        problems = (misfit(value.get(name, "absent"), part, f"{where}.{name}") for name, part in form.items())
        return next(filter(None, problems), None)
    if isinstance(form, list):
        if not isinstance(value, list) or not value:
            return f"{where} is {value!r}"
        return next(filter(None, (misfit(entry, form[0], f"{where}[]") for entry in value)), None)
    types = form if isinstance(form, tuple) else (form,)
    return None if type(value) in types else f"{where} is {value!r}"


def test_the_form_check_finds_what_is_wrong() -> None:
    assert misfit({"a": 1}, {"a": int}) is None
    assert misfit({}, {"a": int}) == "report.a is 'absent'"
    assert misfit({"a": True}, {"a": int}) == "report.a is True"
    assert misfit({"a": [{"b": 1}, {"b": "x"}]}, {"a": [{"b": int}]}) == "report.a[].b is 'x'"


def htvm(*arguments: str | Path) -> str:
    """Standard output of a command that succeeds."""
    out = io.StringIO()
    with redirect_stdout(out):
        assert main([str(argument) for argument in arguments]) == 0
    return out.getvalue()


def report(*arguments: str | Path) -> dict[str, Any]:
    """The one JSON object a command prints."""
    return json.loads(htvm(*arguments, "--json"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """net.onnx, in.npz with a reference, and the package of the network in out/."""
    folder = tmp_path_factory.mktemp("net")
    save(MODEL, folder / "net.onnx")
    np.savez(folder / "in.npz", input=SAMPLES, output=expected(SAMPLES), label=np.array([0, 1]))
    htvm("compile", folder / "net.onnx", "-o", folder / "out")
    return folder


@pytest.fixture(scope="module")
def ran(folder: Path) -> dict[str, Any]:
    """The report of a run with all checks."""
    return report("run", folder / "net.onnx", "--input", folder / "in.npz", "--check", "--check-layers")


def expected(samples: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The interpreter's outputs."""
    runner = Runner(import_model(MODEL))
    return np.concatenate([runner.run([sample[None]])[0] for sample in samples])


def test_json_of_compile(folder: Path) -> None:
    printed = report("compile", folder / "net.onnx")
    assert misfit(printed, COMPILE_FIELDS) is None
    written = json.loads((folder / "out" / "report.json").read_text())
    assert printed | {"compile_seconds": 0.0} == written | {"compile_seconds": 0.0}
    assert printed["schema"] == 1 and printed["target"] == "diana"


def test_json_of_compile_tells_the_truth(folder: Path) -> None:
    found = report("compile", folder / "net.onnx")
    conv = next(layer for layer in found["layers"] if layer["name"] == "conv2")
    assert (conv["op"], conv["engine"], conv["macs"]) == ("conv2d", "digital", 16 * 16 * 9 * 36)
    assert found["cycles"]["predicted"] == sum(layer["cycles"] for layer in found["layers"])
    pool = next(layer for layer in found["layers"] if layer["op"] == "pool")
    assert pool["engine"] == "cpu" and pool["reason"].startswith("digital: ")
    assert found["inputs"][0] == {
        "name": "input", "shape": [1, *SHAPE], "dtype": "int8", "scale": 1 / 16, "zero_point": 0,
        "range": [-128, 127], "range_assumed": False, "rounding": "floor", "left_to_caller": [],
    }  # fmt: skip
    assert all(memory["fits"] == (memory["used"] <= memory["size"]) for memory in found["memory"].values())
    assert all(arena["lower_bound"] <= arena["bytes"] for arena in found["arena"].values())


def test_json_of_run(ran: dict[str, Any]) -> None:
    assert misfit(ran, RUN_FIELDS) is None
    assert ran["samples"] == 2 and ran["input_edge"] == "integer"
    assert ran["engines"]["digital"]["jobs"] == 4
    assert ran["cycles"]["per_inference"] >= ran["cycles"]["cpu"] + ran["cycles"]["digital"]
    assert ran["latency_ms"] == pytest.approx(ran["cycles"]["per_inference"] / 260e6 * 1e3, abs=1e-4)


def test_json_of_a_check(ran: dict[str, Any]) -> None:
    check = ran["check"]
    assert (check["samples"], check["reference"], check["mismatches"], check["max_abs_diff"]) == (2, "output", 0, 0)
    assert (check["interpreter_mismatches"], check["layer_mismatches"]) == (0, 0)
    assert check["layers_checked"] == len(ran["layers"])
    guesses = expected(SAMPLES).argmax(axis=1)
    assert check["accuracy"] == (guesses == [0, 1]).mean()


@pytest.mark.parametrize(("tolerance", "code"), [(1, 1), (2, 0)])
def test_tolerance_is_for_the_reference(tolerance: int, code: int, folder: Path) -> None:
    near = folder / "near.npz"
    np.savez(near, input=SAMPLES, output=expected(SAMPLES).clip(-126, 125) + 2)
    options = ["--input", str(near), "--check", "--tolerance", str(tolerance), "--json"]
    assert main(["run", str(folder / "out"), *options]) == code


def test_a_compiled_folder_runs_as_the_model_does(folder: Path, ran: dict[str, Any]) -> None:
    again = report("run", folder / "out", "--input", folder / "in.npz", "--check", "--check-layers")
    assert again == ran | {"compile_seconds": again["compile_seconds"]}


def test_stored_layers(folder: Path, ran: dict[str, Any]) -> None:
    tensors = Runner(import_model(MODEL)).layers([SAMPLES[:1]])
    stored: dict[str, Any] = {name: tensors[name] for name in ("conv1", "sum")}
    np.savez(folder / "layers.npz", **stored, invented=np.zeros(1))
    check = report("run", folder / "out", "--input", folder / "in.npz", "--layers", folder / "layers.npz")["check"]
    assert check["layers_checked"] == ran["check"]["layers_checked"] + 2
    assert check["layers_skipped"] == ran["check"]["layers_skipped"] + 1
    assert check["layer_mismatches"] == 0


def test_wrong_stored_layer_fails(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = Runner(import_model(MODEL)).layers([SAMPLES[:1]])["conv1"].copy()
    wrong[0, 3, 2, 1] ^= 1
    np.savez(folder / "wrong.npz", conv1=wrong)
    options = ["--input", str(folder / "in.npz"), "--layers", str(folder / "wrong.npz")]
    assert main(["run", str(folder / "out"), *options, "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["check"]["layer_mismatches"] == 1
    assert err == f"htvm: the check failed: layer 'conv1': 1 of {16 * 36} values differ from the stored layer\n"


@pytest.mark.parametrize("engines", ["none", "digital"])
def test_engines(engines: str, folder: Path, ran: dict[str, Any]) -> None:
    found = report("run", folder / "net.onnx", "--engines", engines, "--input", folder / "in.npz", "--check")
    used = {layer["engine"] for layer in found["layers"]}
    assert used == ({"cpu"} if engines == "none" else {"cpu", "digital"})
    assert (found["check"]["mismatches"], found["check"]["interpreter_mismatches"]) == (0, 0)
    slower = found["cycles"]["per_inference"] > 2 * ran["cycles"]["per_inference"]
    assert slower == (engines == "none")


def test_plan_is_obeyed(folder: Path, ran: dict[str, Any]) -> None:
    (folder / "plan.json").write_text('{"conv2": {"y": 2, "k": 16}}')
    found = report("run", folder / "net.onnx", "--plan", folder / "plan.json", "--check", "--check-layers")
    conv = next(layer for layer in found["layers"] if layer["name"] == "conv2")
    assert conv["tile"] == {"y": 2, "k": 16}
    assert found["engines"]["digital"]["jobs"] == ran["engines"]["digital"]["jobs"] + 2
    assert found["check"]["layer_mismatches"] == 0


@pytest.mark.parametrize("tiler", ["optimal", "dory", "htvm", "none"])
def test_tiler(tiler: str, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = report("compile", folder / "net.onnx", "--tiler", tiler, "-o", out)
    assert found["tiler"] == json.loads((out / "report.json").read_text())["tiler"] == tiler
    assert f"`--tiler {tiler}`" in (out / "README.md").read_text()
    proven = {layer["proven_optimal"] for layer in found["layers"]}
    assert proven == {None, tiler == "optimal"}
    assert report("run", out, "--check", "--check-layers")["check"]["layer_mismatches"] == 0


def plan_of(layers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The plan that a report's layers follow."""
    mapped = {layer["kernel"]: {"mapping": layer["mapping"]} if layer["mapping"] else {} for layer in layers}
    return {layer["kernel"]: layer["tile"] | mapped[layer["kernel"]] for layer in layers if layer["tile"]}


@pytest.mark.parametrize("tiler", ["optimal", "dory"])
def test_reported_tiles_are_a_plan(tiler: str, folder: Path, tmp_path: Path) -> None:
    """What a report says can be fed back, as it is or edited."""
    plan, options = tmp_path / "plan.json", ("--tiler", tiler)
    before = report("compile", folder / "net.onnx", *options)["layers"]
    tiles = plan_of(before)
    plan.write_text(json.dumps(tiles))
    again = report("compile", folder / "net.onnx", *options, "--plan", plan)["layers"]
    assert [(layer["tile"], layer["cycles"]) for layer in again] == [
        (layer["tile"], layer["cycles"]) for layer in before
    ]
    tiles["digital_conv2d_1"]["y"] = 2
    plan.write_text(json.dumps(tiles))
    edited = report("run", folder / "net.onnx", *options, "--plan", plan, "--check", "--check-layers")
    assert plan_of(edited["layers"]) == tiles
    assert edited["check"]["layer_mismatches"] == 0


def test_float_edge(folder: Path) -> None:
    """Float inputs are quantised as the network would, float references are compared as its integers."""
    values = (SAMPLES / np.float32(16) + np.float32(1 / 64)).astype(np.float32)
    values[0, 0, 0, 0], values[1, 0, 0, 0] = 1e9, -1e9
    clipped = SAMPLES.copy()
    clipped[0, 0, 0, 0], clipped[1, 0, 0, 0] = 127, -128
    outputs = expected(clipped)
    np.savez(folder / "float.npz", input=values, output=outputs * np.float32(1 / 4))
    found = report("run", folder / "out", "--input", folder / "float.npz", "--check", "--outputs", folder / "got.npz")
    assert found["input_edge"] == "float"
    assert (found["check"]["mismatches"], found["check"]["reference"]) == (0, "output")
    np.testing.assert_array_equal(np.load(folder / "got.npz")["output"], outputs)


def test_outputs_are_saved(folder: Path) -> None:
    for name in ("a.npz", "b.npz"):
        htvm("run", folder / "out", "--input", folder / "in.npz", "--outputs", folder / name)
    with np.load(folder / "a.npz") as saved:
        assert saved.files == ["output"]
        np.testing.assert_array_equal(saved["output"], expected(SAMPLES))
    assert (folder / "a.npz").read_bytes() == (folder / "b.npz").read_bytes()


def test_random_samples_have_a_seed(folder: Path) -> None:
    for seed in (7, 8):
        htvm("run", folder / "out", "--input", f"random:{seed}", "--outputs", folder / f"{seed}.npz")
    htvm("run", folder / "out", "--input", "random:7", "--outputs", folder / "7b.npz")
    first, other, again = ((folder / f"{name}.npz").read_bytes() for name in ("7", "8", "7b"))
    assert first == again != other


def test_folder(folder: Path) -> None:
    out = folder / "out"
    files = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert files >= {
        "Makefile", "README.md", "report.json", "module.mlir", "source.mlir", "include/tvmgen_default.h",
        "include/tvmgen_default_kernels.h", "src/tvmgen_default.c", "src/tvmgen_default_kernels.c",
        "include/diana_digital.h", "include/diana_core.h", "src/diana_digital.c", "src/diana.ld", "src/diana_start.S",
        "include/riscv_start.h",
    }  # fmt: skip
    assert not [name for name in files if Path(name).name.startswith(".")]
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith(".")) == []


def test_module_name(folder: Path) -> None:
    named = folder / "named"
    htvm("compile", folder / "net.onnx", "--engines", "none", "--module-name", "kws_1", "-o", named)
    header = (named / "include" / "tvmgen_kws_1.h").read_text()
    assert "int32_t tvmgen_kws_1_run(" in header and "default" not in header.lower()
    assert report("run", named, "--check")["check"]["interpreter_mismatches"] == 0


def test_a_folder_is_run_in_the_form_it_has(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed = folder / "packed"
    form = ("--interface=packed", "--workspace=backend", "--module-name", "m")
    htvm("compile", folder / "net.onnx", *form, "-o", packed)
    assert report("run", packed, "--check")["check"]["interpreter_mismatches"] == 0
    assert main(["run", str(packed), "--workspace=pools"]) == 1
    assert "is compiled already, --workspace comes too late" in capsys.readouterr().err


def test_compiling_again_replaces_only_what_it_writes(folder: Path) -> None:
    out = folder / "again"
    htvm("compile", folder / "net.onnx", "--engines", "none", "--module-name", "old", "-o", out)
    (out / "notes.txt").write_text("mine")
    htvm("compile", folder / "net.onnx", "--engines", "none", "-o", out)
    assert (out / "notes.txt").read_text() == "mine"
    assert not list(out.rglob("*old*"))
    assert (out / "src" / "tvmgen_default.c").is_file()


def test_current_folder_as_output(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        htvm("compile", folder / "net.onnx", "--engines", "none", "-o", ".")
        assert (tmp_path / "Makefile").is_file()
    assert not list(tmp_path.glob(".*"))


def test_two_compilations_write_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    for seed in ("1", "2"):
        command = [*HTVM, "compile", str(folder / "net.onnx"), "-o", str(tmp_path / seed)]
        subprocess.run(command, check=True, capture_output=True, env=os.environ | {"PYTHONHASHSEED": seed})
    first, second = (package(tmp_path / seed) for seed in ("1", "2"))
    assert first == second
    assert first == package(folder / "out"), "and none of it depends on where it is written"


def package(out: Path) -> dict[str, str]:
    """The files of a package; the report without its seconds."""
    files = {str(path.relative_to(out)): path.read_text() for path in out.rglob("*") if path.is_file()}
    files["report.json"] = json.dumps(json.loads(files["report.json"]) | {"compile_seconds": 0.0})
    return files


def test_makefile_builds_with_the_packaged_compiler(folder: Path, tmp_path: Path) -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    shutil.copytree(folder / "out", tmp_path / "out")
    tools = [f"CC={sys.executable} -m ziglang cc", f"AR={sys.executable} -m ziglang ar"]
    done = subprocess.run(
        ["make", "-C", str(tmp_path / "out"), *tools], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    assert (tmp_path / "out" / "libnetwork.a").stat().st_size > 5000


HOST_MAIN = """
#include <stdio.h>
#include "tvmgen_default.h"
int main(void)
{
  static signed char input[TVMGEN_DEFAULT_INPUT_SIZE], output[TVMGEN_DEFAULT_OUTPUT_SIZE];
  struct tvmgen_default_inputs inputs = {.input = input};
  struct tvmgen_default_outputs outputs = {.output = output};
  while (fread(input, sizeof input, 1, stdin) == 1) {
    if (tvmgen_default_run(&inputs, &outputs) != 0) {
      return 1;
    }
    fwrite(output, sizeof output, 1, stdout);
  }
  return 0;
}
"""
STRICT = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Werror")


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_another_compiler_has_no_complaint(compiler: str, folder: Path, tmp_path: Path) -> None:
    """Nothing but freestanding C11; without engines the program runs anywhere and gives the same numbers."""
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    out = folder / "out"
    sources = sorted(map(str, (out / "src").glob("*.c")))
    flags = [*STRICT, f"-I{out / 'include'}"]
    subprocess.run([compiler, *flags, "-ffreestanding", "-fsyntax-only", *sources], check=True)
    htvm("compile", folder / "net.onnx", "--engines", "none", "-o", tmp_path / "out")
    (tmp_path / "main.c").write_text(HOST_MAIN)
    sources = [str(tmp_path / "main.c"), *map(str, (tmp_path / "out" / "src").glob("tvmgen_*.c"))]
    program = str(tmp_path / "program")
    command = [compiler, *STRICT, f"-I{tmp_path / 'out' / 'include'}", *sources, "-o", program]
    subprocess.run(command, check=True)
    done = subprocess.run([program], input=SAMPLES.tobytes(), capture_output=True, check=True)
    got = np.frombuffer(done.stdout, np.int8).reshape(-1, OUTPUTS)
    np.testing.assert_array_equal(got, expected(SAMPLES))


def test_tables_for_people(folder: Path) -> None:
    text = htvm("run", folder / "out", "--input", folder / "in.npz", "--check", "--check-layers")
    for words in (
        "conv1", "digital", "MAC/cycle", "fits", "check: 2 samples, 0 values differ from the interpreter, 0 from",
        "layers: ", "accuracy: ", "the digital array has no pool",
    ):  # fmt: skip
        assert words in text, words


def test_explain(folder: Path) -> None:
    text = htvm("explain", folder / "net.onnx")
    pool = next(line for line in text.splitlines() if line.startswith("pool"))
    assert " cpu " in pool and "the digital array has no pool" in pool
    assert misfit(report("explain", folder / "net.onnx"), COMPILE_FIELDS) is None


def test_targets() -> None:
    assert htvm("targets").startswith("diana")
    assert "diana" in report("targets")
    facts = report("targets", "diana")
    assert [memory["name"] for memory in facts["memories"]] == ["L1", "L2"]
    text = htvm("targets", "diana")
    assert "digital_in" in text and "clock_hz = 260000000" in text


def test_zoo(folder: Path, tmp_path: Path) -> None:
    assert [line.split()[0] for line in htvm("zoo").splitlines()] == [
        "resnet8", "dscnn", "mobilenetv1", "dae", "dscnn-htvm", "resnet8-mixed", "dscnn-mixed",
        "resnet8-ternary", "resnet50", "chain",
    ]  # fmt: skip
    htvm("zoo", "dscnn-htvm", "-o", tmp_path / "net.onnx")
    onnx.checker.check_model(onnx.load(tmp_path / "net.onnx"), full_check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


def test_verbose_times_the_passes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", str(folder / "net.onnx"), "-v", "--json", "--no-cache"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["schema"] == 1
    assert [line.split()[-1] for line in err.splitlines()][:2] == ["fold-constants", "fold-dead-channels"]
    assert main(["compile", str(folder / "net.onnx"), "--json"]) == 0
    assert main(["compile", str(folder / "net.onnx"), "-v", "--json"]) == 0
    assert "--no-cache" in capsys.readouterr().err


def test_progress_is_for_terminals(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["run", str(folder / "out"), "--input", str(folder / "in.npz"), "--json"]
    assert main(arguments) == 0
    assert capsys.readouterr().err == ""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", terminal)
        assert main(arguments) == 0
    assert terminal.getvalue() == "\r1/2 samples\r2/2 samples\n"


def test_process_prints_one_object_and_nothing_else(folder: Path) -> None:
    command: Sequence[str] = [*HTVM, "run", str(folder / "out"), "--input", "random", "--samples", "2", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert json.loads(done.stdout)["samples"] == 2


def test_version() -> None:
    done = subprocess.run([*HTVM, "--version"], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0] == f"htvm-ir {version('htvm-ir')}"
    assert f"xdsl {version('xdsl')}" in lines


@pytest.mark.parametrize("arguments", [["--help"], ["compile", "--help"], ["run", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from htvm_ir.tools.htvm import main\n"
        f"try: main({arguments})\n"
        "except SystemExit as stopped: print('CODE', stopped.code, 'LOADED', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    status, _, loaded = done.stdout.rpartition("CODE ")[2].partition(" LOADED ")
    assert status == "0"
    assert not {"numpy", "xdsl", "onnx", "ortools", "unicorn", "ziglang"} & set(loaded.split())


@pytest.mark.parametrize("text", ["0", "-1", "loud", "0.5,x", "1000"])
def test_noise_that_is_none_is_wrong_usage(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["run", "zoo:dscnn-mixed", f"--analog-noise={text}"])
    assert end.value.code == 2
    assert "is not SIGMA[,SEED]" in capsys.readouterr().err


def test_noise_and_approximation_are_reported(tmp_path: Path) -> None:
    model = tmp_path / "ternary.onnx"
    net = NetBuilder("ternary", (4, 8, 8), scale=1 / 4)
    x = net.ternary("body", net.conv("head", net.input, 16, (1, 1), hi=63), 16, (3, 3), hi=63)
    net.output(net.dense("logits", net.global_average("pool", x), 5, relu=False), 1 / 4)
    model.write_bytes(net.model().SerializeToString())
    options = ("--engines", "analog", "--numerics", "analog")
    exact = report("explain", model, "--engines", "analog")
    assert exact["numerics"] == "exact"
    assert exact["approximated"] == []
    assert "output_error" not in exact
    assert report("explain", model, *options)["output_error"]["samples"] == 8
    text = htvm("explain", model, *options)
    assert "approximated: body.conv" in text
    assert "output error against the exact result: 8 samples" in text
    run = report("run", model, *options, "--check")
    assert run["check"]["interpreter_mismatches"] == 0
    assert run["output_error"]["samples"] == 1
    noisy = report("run", model, *options, "--check", "--analog-noise", "2,7")
    assert "check" not in noisy
    assert noisy["output_error"] != run["output_error"]
    assert "output error" in htvm("run", model, *options, "--analog-noise", "2,7")


def test_all_exact_is_said_too() -> None:
    text = htvm("explain", "zoo:dscnn", "--numerics", "analog")
    assert "approximated: nothing, since all is computed exactly at least as fast" in text
