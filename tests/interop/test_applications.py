"""Applications written for TVM's generated code, in each of its forms, with ours."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import numpy as np
import pytest
from interop_builds import APPLICATIONS, board, compiled_net, native, natively, on_board, small_net, write_net

from htvm_ir.backend.c.interface import Interface
from htvm_ir.driver.compile import Options
from htvm_ir.errors import HtvmError
from htvm_ir.tools.htvm import main

MODELS = Path(os.environ.get("HTVM_MODELS", Path(__file__).parents[3] / "shared" / "models")) / "diana"
FORMS = {
    "structs": Interface(),
    "backend": Interface(workspace="backend"),
    "pools": Interface(workspace="pools"),
    "devices": Interface(device_hooks=True),
    "packed": Interface("packed"),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_net(tmp_path_factory.mktemp("net") / "net.onnx")


@pytest.mark.parametrize("form", FORMS)
def test_on_the_virtual_soc(form: str, model: Path, tmp_path: Path) -> None:
    net = small_net(model, FORMS[form])
    assert {layer["engine"] for layer in net.compiled.report["layers"]} == {"cpu", "digital"}
    machine = board(APPLICATIONS / f"{form}.c", [net.write(tmp_path)], tmp_path)
    assert on_board(machine, {"input_data": net.sample}, {"output_data": net.expected}) == 0
    assert on_board(machine, {"input_data": net.sample}, {"output_data": net.expected}) == 0


@pytest.mark.parametrize("form", [form for form in FORMS if form != "devices"])
def test_on_this_machine(form: str, model: Path, tmp_path: Path) -> None:
    net = small_net(model, FORMS[form], engines=False)
    library = native(APPLICATIONS / f"{form}.c", [net.write(tmp_path)], tmp_path)
    assert natively(library, {"input_data": net.sample}, {"output_data": net.expected}) == 0


@pytest.mark.skipif(not MODELS.is_dir(), reason=f"no trained models at {MODELS}")
def test_resnet8_gives_the_golden_outputs(tmp_path: Path) -> None:
    path, stored = str(MODELS / "resnet8" / "resnet8.onnx"), np.load(MODELS / "resnet8" / "golden16.npz")
    soc = board(APPLICATIONS / "structs.c", [compiled_net(path, Options()).write(tmp_path / "soc")], tmp_path)
    for sample, golden in zip(stored["input"][:3], stored["output"][:3], strict=True):
        assert on_board(soc, {"input_data": sample}, {"output_data": golden}) == 0
    package = compiled_net(path, Options(engines=())).write(tmp_path / "host")
    library = native(APPLICATIONS / "structs.c", [package], tmp_path)
    assert natively(library, {"input_data": stored["input"][0]}, {"output_data": stored["output"][0]}) == 0


def test_entry_without_the_header(model: Path, tmp_path: Path) -> None:
    net = small_net(model, Interface(workspace="backend"))
    (sizes,) = [net.facts["workspace_bytes"]]
    flags = [f"-DINPUT_SIZE={net.sample.size}", f"-DOUTPUT_SIZE={net.expected.size}", f"-DWORKSPACE_SIZE={sizes}"]
    machine = board(APPLICATIONS / "entry.c", [net.write(tmp_path)], tmp_path, flags)
    assert on_board(machine, {"input_data": net.sample}, {"output_data": net.expected}) == 0


def test_a_workspace_that_is_not_there_is_an_error(model: Path, tmp_path: Path) -> None:
    net = small_net(model, Interface(workspace="backend"), engines=False)
    library = native(APPLICATIONS / "backend.c", [net.write(tmp_path)], tmp_path)
    limit = ctypes.c_uint64.in_dll(library, "stack_limit")
    assert limit.value == net.facts["workspace_bytes"]
    limit.value -= 1
    assert library.application() == -1


def test_a_pool_or_a_tensor_that_is_not_there_is_an_error(model: Path, tmp_path: Path) -> None:
    net = small_net(model, Interface(workspace="pools"), engines=False)
    library = native(APPLICATIONS / "pools.c", [net.write(tmp_path / "pools")], tmp_path)
    one, none = ctypes.create_string_buffer(1000), None
    assert library.tvmgen_default___tvm_main__(one, one, none) == -1
    net = small_net(model, Interface("packed"), engines=False)
    library = native(APPLICATIONS / "packed.c", [net.write(tmp_path / "packed")], tmp_path)
    empty = (ctypes.c_void_p * 2)()
    assert library.tvmgen_default_run(empty, None, 0, None, None, None) == -1


@pytest.mark.parametrize("failing", [1, 2, 3, 4])
def test_a_device_that_fails_ends_the_run_and_is_left_off(failing: int, model: Path, tmp_path: Path) -> None:
    net = small_net(model, Interface(device_hooks=True))
    machine = board(APPLICATIONS / "devices.c", [net.write(tmp_path)], tmp_path)
    machine.reset()
    machine.write_symbol("input_data", net.sample.tobytes())
    machine.write_symbol("failing", failing.to_bytes(4, "little"))
    assert machine.run().exit_code == 1
    uses = int.from_bytes(machine.read_symbol("uses"), "little")
    assert uses == {1: 0, 2: 1, 3: 1}.get(failing, uses) and uses >= (failing > 1)


def test_devices_are_open_for_each_kernel_and_no_longer(model: Path, tmp_path: Path) -> None:
    net = small_net(model, Interface(device_hooks=True))
    machine = board(APPLICATIONS / "devices.c", [net.write(tmp_path)], tmp_path)
    assert on_board(machine, {"input_data": net.sample}, {"output_data": net.expected}) == 0
    kernels = sum(layer["engine"] == "digital" for layer in net.compiled.report["layers"])
    uses = int.from_bytes(machine.read_symbol("uses"), "little")
    assert 1 <= uses <= kernels
    source = net.compiled.files["src/tvmgen_default.c"]
    assert source.count("TVMDeviceDianaDigitalOpen(diana_digital)") == uses


def test_without_engines_there_are_no_devices(model: Path) -> None:
    net = small_net(model, Interface(device_hooks=True), engines=False)
    assert net.facts["devices"] == {}
    assert "Device" not in net.compiled.files["src/tvmgen_default.c"]


@pytest.mark.parametrize(
    ("interface", "message"),
    [
        (Interface("packed", "pools"), "--workspace=pools adds a parameter, which --interface=packed cannot have"),
        (Interface("packed", device_hooks=True), "--device-hooks adds a parameter"),
        (Interface(pool_names=(("L2", "sram"),)), "add --workspace=pools"),
        (
            Interface(workspace="pools", pool_names=(("L9", "sram"),)),
            "--pool-name L9=sram: no pool is in memory 'L9'; pools are in L2",
        ),
    ],
)
def test_what_tvm_has_no_form_for(interface: Interface, message: str, model: Path) -> None:
    with pytest.raises(HtvmError, match=message):
        compiled_net(str(model), Options(interface=interface))


@pytest.mark.parametrize("name", ["sram", "status"])
def test_pools_are_called_as_the_application_calls_them(name: str, model: Path, tmp_path: Path) -> None:
    net = small_net(model, Interface(workspace="pools", pool_names=(("L2", name),)), engines=False)
    text = (APPLICATIONS / "pools.c").read_text().replace("_L2_", f"_{name.upper()}_").replace(".l2", f".{name}")
    (tmp_path / f"{name}.c").write_text(text)
    library = native(tmp_path / f"{name}.c", [net.write(tmp_path)], tmp_path)
    assert natively(library, {"input_data": net.sample}, {"output_data": net.expected}) == 0


def test_pool_names_must_be_names(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", str(model), "--workspace=pools", "--pool-name", "L2=int"]) == 1
    assert "--pool-name L2=int: expected MEMORY=NAME" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options", [["--workspace=backend", "--interface=packed"], ["--workspace=pools", "--device-hooks"]]
)
def test_htvm_run_calls_every_form(options: list[str], model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(model), *options, "--check", "--check-layers", "--no-cache"]) == 0
    assert "0 values differ" in capsys.readouterr().out
