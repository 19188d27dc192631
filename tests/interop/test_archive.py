"""``htvm inspect``: archives of ours and of TVM's, and files that are no archives."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from interop_builds import small_net, write_net

from htvm_ir.backend.c.interface import Interface
from htvm_ir.driver.archive import read_archive
from htvm_ir.driver.mlf import export
from htvm_ir.driver.package import package_files
from htvm_ir.errors import HtvmError
from htvm_ir.tools.htvm import main

HEADER = """\
#ifndef TVMGEN_KWS_H_
#define TVMGEN_KWS_H_
#include <stdint.h>
/*!
 * \\brief Input tensor input_1 size (in bytes) for TVM module "kws"
 */
#define TVMGEN_KWS_INPUT_1_SIZE 490
struct tvmgen_kws_inputs {
  void* input_1;
};

struct tvmgen_kws_outputs {
  void* output;
};

struct tvmgen_kws_devices {
  void* ethos_u;
};

struct tvmgen_kws_workspace_pools {
  void* sram;
};

int32_t tvmgen_kws_run(
  struct tvmgen_kws_inputs* inputs,
  struct tvmgen_kws_outputs* outputs,
  struct tvmgen_kws_workspace_pools* workspace_pools,
  struct tvmgen_kws_devices* devices
);
#define TVMGEN_KWS_WORKSPACE_SIZE 16000
#define TVMGEN_KWS_SRAM_WORKSPACE_POOL_SIZE 16000
#endif // TVMGEN_KWS_H_
"""
"""In the form in which TVM 0.11 writes it."""

KWS: dict[str, Any] = {
    "model_name": "kws",
    "export_datetime": "2022-12-01 10:00:00Z",
    "target": ["c -keys=cpu -mcpu=cortex-m55", "ethos-u -accelerator_config=ethos-u55-256"],
    "executors": ["aot"],
    "style": "full-model",
    "external_dependencies": [
        {"short_name": "tvm_standalone_crt", "url": "./runtime", "url_type": "mlf_path", "version_spec": "0.11.0"}
    ],
    "memory": {
        "functions": {
            "main": [
                {
                    "device": 1,
                    "workspace_size_bytes": 16000,
                    "constants_size_bytes": 0,
                    "io_size_bytes": 502,
                    "inputs": {"input_1": {"dtype": "int8", "size": 490}},
                    "outputs": {"output": {"dtype": "int8", "size": 12}},
                }
            ],
            "operator_functions": [
                {"function_name": "tvmgen_kws_fused_add", "workspace": [{"device": 1, "workspace_size_bytes": 64}]}
            ],
        }
    },
}
GRAPH: dict[str, Any] = {
    "model_name": "vww",
    "target": ["llvm -keys=cpu"],
    "executors": ["graph"],
    "style": "full-model",
    "memory": {
        "sids": [],
        "functions": {
            "main": [{"device": 1, "workspace_size_bytes": 8, "constants_size_bytes": 9, "io_size_bytes": 10}]
        },
    },
}
OPERATOR: dict[str, Any] = {
    "version": 7,
    "model_name": "default",
    "target": ["c"],
    "executors": [],
    "style": "operator",
    "memory": {"add": [{"size_bytes": 8, "shape": [2], "dtype": "int32", "input_binding": "A"}]},
}


def tar(folder: Path, members: dict[str, bytes], change: Callable[[tarfile.TarInfo], object] | None = None) -> Path:
    """An archive with these files; ``change`` is made to each member's entry."""
    path = folder / "x.tar"
    with tarfile.open(path, "w") as stream:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            if change is not None:
                change(entry)
            stream.addfile(entry, io.BytesIO(data))
    return path


def archive(folder: Path, metadata: Any, **headers: str) -> Path:
    """An archive with this metadata and the headers of modules."""
    members = {"./metadata.json": json.dumps(metadata).encode()}
    return tar(folder, members | {f"./codegen/host/include/tvmgen_{m}.h": t.encode() for m, t in headers.items()})


def test_our_own(tmp_path: Path) -> None:
    net = small_net(write_net(tmp_path / "net.onnx"), Interface(workspace="pools", device_hooks=True), module="mine")
    path = tmp_path / "mine.tar"
    path.write_bytes(export(package_files(net.compiled, "mine"), net.compiled.report))
    facts = read_archive(path)
    module, room = facts["modules"]["mine"], net.facts["workspace_bytes"]
    assert facts["version"] == 7 and facts["files"]["parameters/mine.params"] == 32
    assert (module["interface"], module["workspace_pools"], module["devices"]) == ("c", {"l2": room}, ["diana_digital"])
    assert module["memory"][0]["inputs"] == {"input": {"size": 144, "dtype": "int8"}}
    assert module["memory"][0]["workspace"] == room
    assert list(module["functions"]) == net.facts["operators"]
    assert module["htvm"]["interface"]["workspace"] == "pools"


def test_packed_without_a_header_and_with_ours(tmp_path: Path) -> None:
    bare = read_archive(archive(tmp_path, {"version": 7, "modules": {"kws": KWS}}))["modules"]["kws"]
    assert (bare["interface"], bare["run"]) == ("packed", None)
    net = small_net(write_net(tmp_path / "net.onnx"), Interface("packed"))
    (tmp_path / "p.tar").write_bytes(export(package_files(net.compiled, "default"), net.compiled.report))
    assert read_archive(tmp_path / "p.tar")["modules"]["default"]["interface"] == "packed"


def test_two_modules_of_tvm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = archive(tmp_path, {"version": 7, "modules": {"kws": KWS, "vww": GRAPH}}, kws=HEADER)
    facts = read_archive(path)
    kws, vww = facts["modules"]["kws"], facts["modules"]["vww"]
    assert kws["workspace_pools"] == {"sram": 16000} and kws["devices"] == ["ethos_u"] and kws["htvm"] is None
    assert kws["functions"] == {"tvmgen_kws_fused_add": [{"device": 1, "workspace": 64}]}
    assert vww["interface"] is None and vww["memory"][0]["constants"] == 9 and vww["memory"][0]["inputs"] == {}
    assert main(["inspect", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == facts
    assert main(["inspect", str(path)]) == 0
    text = capsys.readouterr().out
    for line in (
        "module kws: full-model, aot",
        "interface: c, tvmgen_kws_run(inputs, outputs, workspace_pools, devices)",
        "workspace pool: sram, 16,000 bytes",
        "device hooks: ethos_u",
        "inputs: input_1 int8 490 bytes",
        "memory of the CPU, bytes: workspace 16,000, constants 0, io 502",
        "needs: tvm_standalone_crt 0.11.0 at ./runtime",
        "module vww: full-model, graph",
    ):
        assert f"{line}\n" in text


def test_single_operators(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = archive(tmp_path, OPERATOR)
    assert read_archive(path)["modules"]["default"]["buffers"] == {"add": [{"size": 8, "dtype": "int32"}]}
    assert main(["inspect", str(path)]) == 0
    assert "add: int32 8 bytes\n" in capsys.readouterr().out


def cut(path: Path) -> Path:
    """An archive that ends inside its first file."""
    path.write_bytes(path.read_bytes()[:1024])
    return path


def nothing(path: Path) -> Path:
    """A file of no bytes."""
    path.write_bytes(b"")
    return path


def without_end(path: Path) -> Path:
    """An archive whose last member is whole, and nothing behind it."""
    path.write_bytes(path.read_bytes().rstrip(b"\0") + b"\0" * 3)
    return path


def changed(field: str, value: Any) -> dict[str, Any]:
    return {"version": 7, "modules": {"kws": KWS | {field: value}}}


def link(entry: tarfile.TarInfo) -> None:
    entry.type, entry.linkname, entry.size = tarfile.SYMTYPE, "/etc/passwd", 0


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda f: f / "none.tar", "no such file; give an archive"),
    "a folder": (lambda f: f, "no such file; give an archive"),
    "empty": (lambda f: tar(f, {}), "has no metadata.json"),
    "no bytes": (lambda f: nothing(f / "x.tar"), "not a readable tar"),
    "no metadata": (lambda f: tar(f, {"./a.c": b"int a;"}), "has no metadata.json"),
    "cut": (lambda f: cut(archive(f, {"version": 7, "modules": {"kws": KWS}})), "not a readable tar"),
    "without end": (lambda f: without_end(archive(f, OPERATOR)), "does not end as a tar does"),
    "no JSON": (lambda f: tar(f, {"./metadata.json": b"{"}), "metadata.json is not JSON"),
    "no object": (lambda f: archive(f, [7]), "metadata.json is not an object"),
    "no version": (lambda f: archive(f, {"modules": {}}), "metadata.json has no 'version'"),
    "old": (lambda f: archive(f, {"version": 5}), "Model Library Format 5; htvm reads version 7, of TVM 0.9 to 0.18"),
    "version of a wrong type": (lambda f: archive(f, {"version": "7"}), "'version' is not a whole number"),
    "no modules": (lambda f: archive(f, {"version": 7}), "metadata.json has no 'modules'"),
    "executors of a wrong type": (lambda f: archive(f, changed("executors", "aot")), "'executors' is not a list"),
    "memory of a wrong type": (lambda f: archive(f, changed("memory", [])), "'kws': 'memory' is not an object"),
    "size that is true": (
        lambda f: archive(f, changed("memory", {"functions": {"main": [{"device": True}]}})),
        "'main'[0]: 'device' is not a whole number",
    ),
    "up": (lambda f: tar(f, {"../metadata.json": b"{}"}), "'../metadata.json' lies outside of the archive's folder"),
    "absolute": (lambda f: tar(f, {"/etc/passwd": b"x"}), "'/etc/passwd' lies outside of the archive's folder"),
    "link": (lambda f: tar(f, {"./metadata.json": b""}, link), "is neither a file nor a folder"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_one_line(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, message = BAD[case]
    assert main(["inspect", str(make(tmp_path))]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("htvm: ") and err.count("\n") == 1
    assert message in err


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_damaged_files_are_errors_of_the_user(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.getbasetemp()
    path = archive(folder, {"version": 7, "modules": {"kws": KWS}}, kws=HEADER)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, 6000))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        assert read_archive(path)["version"] == 7
    except HtvmError as error:
        assert "\n" not in str(error).strip()
