"""The contract of the driver: exit codes, diagnostics that point, nothing half-written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from htvm_ir.tools.htvm_opt import main

GOOD = "func.func @f(%a: i32) -> i32 {\n  %b = arith.addi %a, %a : i32\n  func.return %b : i32\n}\n"
UNPARSABLE = GOOD.replace("%a, %a", "%a,")
UNVERIFIABLE = GOOD.replace("-> i32", "-> i64")


def opt(tmp_path: Path, text: str | bytes, *options: str) -> int:
    source = tmp_path / "in.mlir"
    source.write_bytes(text.encode() if isinstance(text, str) else text)
    return main([str(source), *options])


def test_good_input_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert opt(tmp_path, GOOD, "-p", "canonicalize") == 0
    out, err = capsys.readouterr()
    assert "arith.addi %a, %a : i32" in out
    assert not err


def test_parse_error_points_at_the_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert opt(tmp_path, UNPARSABLE) == 1
    err = capsys.readouterr().err
    assert "in.mlir:2:23\n  %b = arith.addi %a, : i32\n                      ^\n" in err


def test_verify_error_points_at_the_op(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert opt(tmp_path, UNVERIFIABLE) == 1
    out, err = capsys.readouterr()
    assert not out
    lines = err.splitlines()
    assert "expected [i64], got [i32]" in lines[0]
    marker = next(i for i, line in enumerate(lines) if line.lstrip().startswith("^^^"))
    assert lines[marker - 1].lstrip().startswith('"func.return"')


def test_diagnostic_does_not_print_a_weight_constant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = f'  %w = arith.constant dense<"0x{"01" * 50_000}"> : tensor<50000xi8>\n  func.return'
    assert opt(tmp_path, UNVERIFIABLE.replace("  func.return", weights)) == 1
    assert len(capsys.readouterr().err) < 2000


@pytest.mark.parametrize(
    "text",
    [b"\xff\xfe\x00", b"not mlir", b'"builtin.module"() ({', b'"a.b"() ({' * 800, b"%0 = foo.bar : i32"],
    ids=["bytes", "words", "truncated", "deep", "unknown op"],
)
def test_malformed_input_is_one_diagnostic(text: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert opt(tmp_path, text, "--allow-unregistered-dialect") == 1
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("htvm-opt: error: ")
    assert "in.mlir" in err
    assert "Traceback" not in err


def test_unreadable_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx = tmp_path / "net.onnx"
    onnx.write_bytes(b"")
    for path, message in [
        (tmp_path / "absent.mlir", "No such file"),
        (tmp_path, "Is a directory"),
        (onnx, "htvm compile"),
    ]:
        assert main([str(path)]) == 1
        err = capsys.readouterr().err
        assert message in err
        assert str(path) in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-p", "no-such-pass"], "no-such-pass"),
        (["-p", "canonicalize{no-such-option=1}"], "no_such_option"),
        (["-p", "canonicalize{"], "Expected argument name"),
        (["-t", "mlir{no-such-option=1}"], "no_such_option"),
        (["-t", "mlir{"], "Expected argument name"),
    ],
)
def test_wrong_usage(options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert opt(tmp_path, UNPARSABLE, *options) == 2
    assert message in capsys.readouterr().err


def test_unknown_target_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        opt(tmp_path, GOOD, "-t", "no-such-target")
    assert stopped.value.code == 2
    assert "no-such-target" in capsys.readouterr().err


def test_output_file_is_written_only_on_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out.mlir"
    output.write_text("before")
    assert opt(tmp_path, UNVERIFIABLE, "-o", str(output)) == 1
    assert output.read_text() == "before"
    assert opt(tmp_path, GOOD, "-o", str(output)) == 0
    assert "arith.addi" in output.read_text()
    assert opt(tmp_path, GOOD, "-o", str(tmp_path / "absent" / "out.mlir")) == 1
    assert "cannot write" in capsys.readouterr().err


def test_reader_that_leaves_early_is_no_error_message(tmp_path: Path) -> None:
    source = tmp_path / "in.mlir"
    source.write_text(GOOD)
    command = [sys.executable, "-m", "htvm_ir.tools.htvm_opt", str(source)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


def test_help_imports_no_dialect_and_no_solver() -> None:
    code = (
        "import sys; from htvm_ir.tools.htvm_opt import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print('LOADED', *sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = out.rpartition("LOADED ")[2].split()
    assert "htvm_ir.universe" in loaded
    assert not {"htvm_ir.dialects.graph", "numpy", "onnx", "ortools", "unicorn", "ziglang"} & set(loaded)
