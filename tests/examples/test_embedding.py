"""The examples of embedding run, and what they write means what they were given."""

from __future__ import annotations

import subprocess
import sys
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects import arith, builtin, func, memref, scf
from xdsl.interpreter import Interpreter
from xdsl.parser import Parser
from xdsl.printer import Printer

from htvm_ir.interpreters.machine import Machine
from htvm_ir.interpreters.run import register, run

FOLDER = Path(__file__).parents[2] / "examples" / "embedding"


def example(name: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, str(FOLDER / name), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_compiler_of_its_own_writes_c(tmp_path: Path):
    printed = example("pipeline.py", "-o", str(tmp_path))
    assert printed.startswith("3 on digital")
    assert "tvmgen_residual_run" in (tmp_path / "include" / "tvmgen_residual.h").read_text()
    assert "diana_digital_add" in (tmp_path / "src" / "tvmgen_residual_kernels.c").read_text()


def test_its_pipeline_is_exact(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import pipeline  # pyright: ignore[reportMissingImports]

    module = pipeline.network()
    x = np.random.default_rng(1).integers(-128, 128, (1, 3, 16, 16)).astype("int8")
    (want,) = run(module.clone(), [x])
    pipeline.pipeline("diana").apply(Context(), module)
    (got,) = run(module, [x])
    np.testing.assert_array_equal(got, want)
    assert np.unique(want).size > 20


def read_upstream(text: str) -> builtin.ModuleOp:
    """The module, if it needs none of our dialects."""
    context = Context()
    for dialect in (builtin.Builtin, func.Func, memref.MemRef, scf.Scf, arith.Arith):
        context.load_dialect(dialect)
    module = Parser(context, text).parse_module()
    module.verify()
    return module


def test_upstream_text_needs_none_of_our_dialects(tmp_path: Path):
    path = tmp_path / "digits.mlir"
    example("upstream.py", str(FOLDER.parent / "digits" / "digits.onnx"), "-o", str(path))
    module = read_upstream(path.read_text())
    assert {op.name.partition(".")[0] for op in module.walk()} == {"builtin", "func", "memref", "scf", "arith"}
    assert not [name for op in module.walk() for name in op.attributes if "." in name]
    assert '"L2"' not in path.read_text()


def test_upstream_text_means_the_same(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import pipeline  # pyright: ignore[reportMissingImports]
    import upstream  # pyright: ignore[reportMissingImports]

    network = pipeline.network(channels=2, size=4)
    x = np.random.default_rng(2).integers(-128, 128, (1, 3, 4, 4)).astype("int8")
    (want,) = run(network.clone(), [x])
    text = StringIO()
    Printer(text, print_generic_format=True).print_op(upstream.only_upstream(upstream.lowered(network)))
    module = read_upstream(text.getvalue())
    interpreter = Interpreter(module)
    register(interpreter, Machine(module))
    interpreter.call_op("main", (x, got := np.zeros_like(want)))
    np.testing.assert_array_equal(got, want)
    assert np.unique(want).size > 5
