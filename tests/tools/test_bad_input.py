"""Whatever a user hands in by mistake: one line on stderr, exit code 1 (2 for usage), nothing written, no JSON."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_nets import OUTPUTS, SHAPE, net, save

from htvm_ir.tools.htvm import main
from htvm_ir.zoo.builder import NetBuilder

NET = net()
SAMPLES = np.zeros((2, *SHAPE), np.int8)
PREPARE = Callable[[Path], object]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory of a test: it holds net.onnx, good.npz and nothing else."""
    monkeypatch.chdir(tmp_path)
    save(NET, tmp_path / "net.onnx")
    np.savez(tmp_path / "good.npz", input=SAMPLES)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every path below a folder, with what the files hold."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def refusal(capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str, code: int = 1) -> str:
    """Run a command that must fail; the one line it says."""
    before = contents(folder)
    try:
        returned = main(arguments)
    except SystemExit as stopped:
        returned = stopped.code
    out, err = capsys.readouterr()
    assert returned == code, err
    assert out == ""
    assert err.startswith("htvm") and err.endswith("\n") and err.count("\n") == 1, err
    assert contents(folder) == before
    return err


def edited(change: Callable[[onnx.GraphProto], object]) -> onnx.ModelProto:
    """The network with a change to its graph."""
    model = onnx.ModelProto()
    model.CopyFrom(NET)
    change(model.graph)
    return model


def rename_conv(graph: onnx.GraphProto) -> None:
    next(node for node in graph.node if node.op_type == "Conv").op_type = "LSTM"


def close_cycle(graph: onnx.GraphProto) -> None:
    conv = next(node for node in graph.node if node.op_type == "Conv")
    conv.input[0] = "logits"


def forget_shape(graph: onnx.GraphProto) -> None:
    graph.input[0].type.tensor_type.ClearField("shape")


def halve_weights(graph: onnx.GraphProto) -> None:
    weights = next(t for t in graph.initializer if t.name == "conv1.weight")
    values = np.frombuffer(weights.raw_data, np.float32) / 2 + np.float32(0.25)
    weights.raw_data = values.astype(np.float32).tobytes()


def large_net(channels: int) -> onnx.ModelProto:
    """Dense layers whose weights alone are a multiple of any memory."""
    builder = NetBuilder("large", (channels,), scale=1 / 16, samples=2)
    x = builder.dense("wide1", builder.input, channels)
    builder.output(builder.dense("wide2", x, channels, relu=False), 1 / 4)
    return builder.model()


def text(name: str, content: str | bytes) -> PREPARE:
    """A file with this content."""
    return lambda folder: (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def model(change: Callable[[onnx.GraphProto], object]) -> PREPARE:
    """bad.onnx, the network with a change."""
    return lambda folder: save(edited(change), folder / "bad.onnx")


def nothing(folder: Path) -> None:
    """No further files."""


BYTES = NET.SerializeToString()
MODELS: dict[str, tuple[PREPARE, str, tuple[str, ...]]] = {
    "missing": (nothing, "absent.onnx", ("absent.onnx", "no such file")),
    "empty": (text("bad.onnx", ""), "bad.onnx", ("bad.onnx", "not an ONNX model")),
    "truncated": (text("bad.onnx", BYTES[: len(BYTES) // 2]), "bad.onnx", ("bad.onnx",)),
    "cut by a byte": (text("bad.onnx", BYTES[:-1]), "bad.onnx", ("bad.onnx",)),
    "random bytes": (text("bad.onnx", np.random.default_rng(0).bytes(5000)), "bad.onnx", ("not an ONNX model",)),
    "text": (text("bad.onnx", "a network\nin words"), "bad.onnx", ("not an ONNX model",)),
    "unknown op": (model(rename_conv), "bad.onnx", ("LSTM", "not supported")),
    "cyclic": (model(close_cycle), "bad.onnx", ("cyclic",)),
    "without shape": (model(forget_shape), "bad.onnx", ("'input' has no shape",)),
    "not integer": (model(halve_weights), "bad.onnx", ("conv1", "must be integers")),
    "newline in the name": (nothing, "no\nsuch.onnx", ("no such file",)),
    "name too long": (nothing, "x" * 5000, ("too long",)),
    "unknown zoo network": (nothing, "zoo:resnet9000", ("no network named 'resnet9000'", "resnet8")),
    "empty zoo name": (nothing, "zoo:", ("resnet8",)),
}


@pytest.mark.parametrize(("prepare", "name", "words"), MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("command", ["compile", "run", "explain"])
def test_models(
    command: str,
    prepare: PREPARE,
    name: str,
    words: tuple[str, ...],
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    prepare(folder)
    output = ("-o", "out") if command == "compile" else ()
    line = refusal(capsys, folder, command, name, *output, "--json")
    assert all(word in line for word in words), line


def test_folder_for_a_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is a directory; name the .onnx file" in refusal(capsys, folder, "compile", ".")
    assert "not a package that htvm compile wrote" in refusal(capsys, folder, "run", ".")


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_damaged_model_never_gives_a_traceback(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Bytes changed at random positions: the network compiles, or one HtvmError says why not."""
    damaged = bytearray(BYTES)
    places = data.draw(st.lists(st.integers(0, len(BYTES) - 1), min_size=1, max_size=4))
    for place in places:
        damaged[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "net.onnx"
    path.write_bytes(damaged)
    assert main(["compile", str(path), "--json", "--engines", "none"]) in (0, 1)


def npz(**arrays: Any) -> PREPARE:
    """bad.npz with these arrays."""
    return lambda folder: np.savez(folder / "bad.npz", **arrays)


def truncated_npz(folder: Path) -> None:
    data = (folder / "good.npz").read_bytes()
    (folder / "bad.npz").write_bytes(data[: len(data) // 2])


def zip_of_text(folder: Path) -> None:
    with zipfile.ZipFile(folder / "bad.npz", "w") as archive:
        archive.writestr("input.npy", "not an array")


def zip_of_other_files(folder: Path) -> None:
    with zipfile.ZipFile(folder / "bad.npz", "w") as archive:
        archive.writestr("input", "a text file")


def wrong_checksum(folder: Path) -> None:
    data = bytearray((folder / "good.npz").read_bytes())
    data[150] ^= 0xFF
    (folder / "bad.npz").write_bytes(data)


def single_array(folder: Path) -> None:
    with (folder / "bad.npz").open("wb") as file:
        np.save(file, SAMPLES)


FLOATS = SAMPLES.astype(np.float32)
ARRAYS: dict[str, tuple[PREPARE, str]] = {
    "missing": (nothing, "no such file"),
    "directory": (lambda folder: (folder / "bad.npz").mkdir(), "no such file"),
    "wrong name": (npz(image=SAMPLES), "no array 'input' for the network's input (it holds image)"),
    "no arrays": (npz(), "it holds nothing"),
    "other dtype": (npz(input=SAMPLES.astype(np.uint8)), "'input' is uint8, expected int8"),
    "double": (npz(input=SAMPLES.astype(np.float64)), "'input' is float64"),
    "text": (npz(input=np.array(["a", "b"])), "has shape"),
    "objects": (npz(input=np.array([{}, None])), "not a readable .npz"),
    "wrong shape": (npz(input=np.zeros((2, 4, 6, 5), np.int8)), "has shape [2, 4, 6, 5], expected [N, 4, 6, 6]"),
    "without sample axis": (npz(input=np.zeros(SHAPE, np.int8)), "has shape [4, 6, 6], expected [N, 4, 6, 6]"),
    "no samples": (npz(input=SAMPLES[:0]), "holds no samples"),
    "not a number": (npz(input=FLOATS * np.float32(np.nan)), "NaN"),
    "reference shape": (npz(input=SAMPLES, output=np.zeros((2, OUTPUTS + 1), np.int8)), "reference 'output' has shape"),
    "reference of text": (npz(input=SAMPLES, output=np.full((2, OUTPUTS), "a")), "expected integers"),
    "label shape": (npz(input=SAMPLES, label=np.zeros((3,), np.int64)), "'label' is int64 of shape [3]"),
    "empty file": (text("bad.npz", ""), "not a readable .npz"),
    "random bytes": (text("bad.npz", np.random.default_rng(0).bytes(5000)), "not a readable .npz"),
    "truncated": (truncated_npz, "not a readable .npz"),
    "zip of text": (zip_of_text, "no array 'input'"),
    "zip of other files": (zip_of_other_files, "no array 'input'"),
    "wrong checksum": (wrong_checksum, "not a readable .npz"),
    "single array": (single_array, "is a single array"),
}


@pytest.mark.parametrize(("prepare", "words"), ARRAYS.values(), ids=ARRAYS)
def test_samples(prepare: PREPARE, words: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(folder)
    line = refusal(capsys, folder, "run", "net.onnx", "--engines", "none", "--input", "bad.npz", "--json")
    assert "bad.npz" in line and words in line


def test_outside_the_stated_range(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = edited(lambda graph: graph)
    quantisation = [node for node in bare.graph.node if node.output[0].startswith("input.")]
    for node in quantisation:
        bare.graph.node.remove(node)
    bare.graph.input[0].name = "input.int8"
    save(bare, folder / "bare.onnx")
    np.savez(folder / "bad.npz", input=SAMPLES - 1)
    line = refusal(capsys, folder, "run", "bare.onnx", "--input-range", "input.int8=0:127", "--input", "bad.npz")
    assert "holds -1..-1, the network takes 0..127" in line


def plan_case(content: str | bytes, words: str) -> tuple[PREPARE, tuple[str, ...], str]:
    return text("plan.json", content), ("--plan", "plan.json"), words


OPTIONS: dict[str, tuple[PREPARE, tuple[str, ...], str]] = {
    "unknown target": (nothing, ("--target", "diane"), "unknown target 'diane'; known targets: "),
    "unknown engine": (nothing, ("--engines", "digital,npu"), "no engine 'npu'; choose from digital"),
    "plan missing": (nothing, ("--plan", "absent.json"), "absent.json: not a readable JSON plan"),
    "plan directory": (nothing, ("--plan", "."), "not a readable JSON plan"),
    "plan not JSON": plan_case("{conv1", "not a readable JSON plan"),
    "plan of bytes": plan_case(b"\xff\xfe\x00", "not a readable JSON plan"),
    "plan too deep": plan_case("[" * 100_000, "not a readable JSON plan"),
    "plan list": plan_case("[1]", "expected {"),
    "plan of text": plan_case('{"conv1": {"y": "8"}}', "expected {"),
    "plan of zero": plan_case('{"conv1": {"y": 0}}', "expected {"),
    "plan of true": plan_case('{"conv1": {"y": true}}', "expected {"),
    "plan for nobody": plan_case('{"conv9": {"y": 2}}', "conv9"),
    "plan, twice one name": plan_case('{"conv1": {"y": 2}, "conv1": {"y": 4}}', "'conv1' is there twice"),
    "plan, twice one kernel": plan_case(
        '{"conv1": {"y": 2}, "digital_conv2d_0": {"y": 4}}',
        "'digital_conv2d_0', whose kernel 'digital_conv2d_0' it names",
    ),
    "plan for the CPU": plan_case('{"pool": {"k": 1}}', "names 'pool', which the CPU computes: it has no tiles"),
    "plan, no identifier": plan_case('{"conv1": {"a b": 2}}', "dimensions must be named by identifiers"),
    "plan, illegal size": plan_case('{"conv1": {"k": 3}}', "k = 3 is not one of the legal sizes"),
    "plan, huge size": plan_case(f'{{"conv1": {{"y": {10**30}}}}}', "is not one of the legal sizes"),
    "plan, unknown dimension": plan_case('{"conv1": {"z": 2}}', "unknown dimensions ['z']"),
    "range, no bounds": (nothing, ("--input-range", "input"), "expected NAME=LO:HI"),
    "range, no numbers": (nothing, ("--input-range", "input=a:b"), "expected NAME=LO:HI"),
    "range, empty": (nothing, ("--input-range", "input=5:-5"), "expected NAME=LO:HI"),
    "range, endless": (nothing, ("--input-range", f"input=0:{'9' * 5000}"), "expected NAME=LO:HI"),
    "range, of a quantised input": (nothing, ("--input-range", "input=0:100"), "leave its range out"),
    "range, unknown input": (nothing, ("--input-range", "image=0:100"), "image"),
}


@pytest.mark.parametrize(("prepare", "options", "words"), OPTIONS.values(), ids=OPTIONS)
def test_options(
    prepare: PREPARE, options: tuple[str, ...], words: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(folder)
    line = refusal(capsys, folder, "compile", "net.onnx", *options, "-o", "out", "--json")
    assert words in line, line


RUNS: dict[str, tuple[tuple[str, ...], str]] = {
    "more samples than there are": (("--input", "good.npz", "--samples", "3"), "holds 2 samples, 3 asked for"),
    "seed": (("--input", "random:x"), "the seed must be a number"),
    "no seed": (("--input", "random:"), "the seed must be a number"),
    "endless seed": (("--input", f"random:{'9' * 5000}"), "the seed must be a number"),
    "missing layers": (("--layers", "absent.npz"), "absent.npz: no such file"),
    "layers of another network": (("--layers", "good.npz"), "none of the stored layers"),
    "outputs in no folder": (("--outputs", "absent/out.npz"), "there is no folder absent"),
    "outputs onto a folder": (("--outputs", "."), "it is a folder"),
    "no such compiler": (("--compiler", "no-such-cc"), "cannot start the compiler no-such-cc"),
    "no memory for the samples": (("--samples", "999999999"), "the system refused"),
}


@pytest.mark.parametrize(("options", "words"), RUNS.values(), ids=RUNS)
def test_runs(options: tuple[str, ...], words: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(folder / "good.npz", image=SAMPLES) if "--layers" in options else None
    line = refusal(capsys, folder, "run", "net.onnx", "--engines", "none", *options, "--json")
    assert words in line, line


USAGE: dict[str, tuple[tuple[str, ...], str]] = {
    "no command": ((), "COMMAND"),
    "unknown command": (("optimise",), "optimise"),
    "no model": (("compile",), "MODEL"),
    "unknown option": (("compile", "net.onnx", "--fast"), "--fast"),
    "option of another command": (("compile", "net.onnx", "--check"), "--check"),
    "unknown value": (("compile", "net.onnx", "--tiler", "best"), "'best'"),
    "module name": (("compile", "net.onnx", "--module-name", "Net-1"), "Net-1 must be lower-case"),
    "solver seconds": (("compile", "net.onnx", "--solver-seconds", "soon"), "soon is not a positive number"),
    "no solver seconds": (("compile", "net.onnx", "--solver-seconds", "0"), "0 is not a positive number"),
    "no samples": (("run", "net.onnx", "--samples", "0"), "0 is not a positive whole number"),
    "newline": (("compile", "net.onnx", "--a\nb"), "--a b"),
    "zoo without a file": (("zoo", "resnet8"), "zoo NAME -o FILE"),
    "zoo without a name": (("zoo", "-o", "x.onnx"), "zoo NAME -o FILE"),
}


@pytest.mark.parametrize(("arguments", "words"), USAGE.values(), ids=USAGE)
def test_usage(arguments: tuple[str, ...], words: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert words in refusal(capsys, folder, *arguments, code=2)


OTHERS: dict[str, tuple[tuple[str, ...], str]] = {
    "target": (("targets", "diane"), "unknown target 'diane'"),
    "zoo network": (("zoo", "resnet9000", "-o", "x.onnx"), "no network named 'resnet9000'"),
    "zoo into no folder": (("zoo", "dae", "-o", "absent/x.onnx"), "cannot write the model"),
    "zoo onto a folder": (("zoo", "dae", "-o", "."), "cannot write the model"),
}


@pytest.mark.parametrize(("arguments", "words"), OTHERS.values(), ids=OTHERS)
def test_other_commands(
    arguments: tuple[str, ...], words: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in refusal(capsys, folder, *arguments)


def foreign_files(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "thesis.txt").write_text("five years of work")


FOLDERS: dict[str, tuple[PREPARE, str, str]] = {
    "is a file": (text("out", "mine"), "out", "out is a file"),
    "below a file": (text("out", "mine"), "out/deep/er", "out is a file"),
    "foreign files": (foreign_files, "out", "files that are not from a compilation"),
    "current folder": (nothing, ".", "files that are not from a compilation"),
    "kernel's folder": (nothing, "/proc/htvm", "cannot write the output"),
    "name too long": (nothing, "x" * 300, "too long"),
    "dangling link": (lambda folder: (folder / "out").symlink_to("absent"), "out", "cannot write the output"),
}


@pytest.mark.parametrize(("prepare", "out", "words"), FOLDERS.values(), ids=FOLDERS)
def test_output_folders(
    prepare: PREPARE, out: str, words: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(folder)
    assert words in refusal(capsys, folder, "compile", "net.onnx", "--engines", "none", "-o", out, "--json")


@pytest.mark.parametrize("engines", ["digital", "none"])
def test_network_that_does_not_fit(engines: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(large_net(512), folder / "large.onnx")
    line = refusal(capsys, folder, "compile", "large.onnx", "--engines", engines, "-o", "out", "--json")
    found = re.search(r"does not fit L2: (\d+) bytes needed \((.*)\), (\d+) there, (\d+) too many; largest: (.*)", line)
    assert found is not None, line
    needed, parts, size, excess, largest = found.groups()
    assert int(size) == 451_584 and int(needed) - int(size) == int(excess)
    assert int(needed) == sum(map(int, re.findall(r"(\d+) of ", parts)))
    assert next(map(int, re.findall(r"\((\d+) bytes\)", largest))) >= 512 * 512


def test_weights_of_a_gigabyte(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A shape that the file claims but does not hold."""

    def claim(graph: onnx.GraphProto) -> None:
        weights = next(t for t in graph.initializer if t.name == "conv1.weight")
        del weights.dims[:]
        weights.dims.extend([2**15, 2**15, 1, 1])

    save(edited(claim), folder / "bad.onnx")
    assert "conv1.weight" in refusal(capsys, folder, "compile", "bad.onnx")


def compiled(folder: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["compile", "net.onnx", "--engines", "none", "-o", "out"]) == 0
    capsys.readouterr()
    return folder / "out"


def without_version(out: Path) -> None:
    report = json.loads((out / "report.json").read_text())
    (out / "report.json").write_text(json.dumps(report | {"schema": 99}))


PACKAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no report": (lambda out: (out / "report.json").unlink(), "No such file"),
    "other schema": (without_version, "schema 99"),
    "report of something else": (lambda out: (out / "report.json").write_text("[]"), "not a package"),
    "no IR": (lambda out: (out / "module.mlir").unlink(), "module.mlir"),
    "truncated IR": (lambda out: (out / "module.mlir").write_text("builtin.module {"), "module.mlir"),
    "no header": (lambda out: next(out.glob("include/tvmgen_*_kernels.h")).unlink(), "not a package"),
    "broken C": (lambda out: (out / "src" / "tvmgen_default.c").write_text("int x"), "cannot build tvmgen_default.c"),
}


@pytest.mark.parametrize(("damage", "words"), PACKAGES.values(), ids=PACKAGES)
def test_package(
    damage: Callable[[Path], object], words: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(compiled(folder, capsys))
    line = refusal(capsys, folder, "run", "out", "--json")
    assert words in line, line


def test_package_is_not_compiled_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compiled(folder, capsys)
    for option, value in (("--engines", "none"), ("--rounding", "tflite")):
        assert f"{option} comes too late" in refusal(capsys, folder, "run", "out", option, value)


def test_failed_check_still_prints_the_report(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(folder / "wrong.npz", input=SAMPLES, output=np.full((2, OUTPUTS), 99, np.int8))
    code = main(["run", "net.onnx", "--engines", "none", "--input", "wrong.npz", "--check", "--json"])
    out, err = capsys.readouterr()
    assert code == 1
    assert err.startswith("htvm: the check failed: sample 0: outputs differ from 'output'") and err.count("\n") == 1
    check = json.loads(out)["check"]
    assert check["mismatches"] > 0 and check["interpreter_mismatches"] == 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["compile", "absent.onnx", "--json"], 1),
        (["run", "net.onnx", "--input", "absent.npz"], 1),
        (["compile"], 2),
    ],
)
def test_as_a_process(arguments: list[str], code: int, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "htvm_ir.tools", *arguments], capture_output=True, text=True, check=False, cwd=folder
    )
    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("htvm")


def test_full_device_and_early_reader(folder: Path) -> None:
    command = [sys.executable, "-m", "htvm_ir.tools", "zoo"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "No space left" in done.stderr
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1
