# ruff: noqa: F821
"""Configuration of lit: every .mlir file below this directory is a test with its own RUN lines.

lit runs this file with `config` and `lit_config` defined.
"""

import os
import sys
import tomllib
from pathlib import Path

import lit.formats

config.name = "htvm_ir"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir"]
config.test_source_root = str(Path(__file__).parent)
config.test_exec_root = str(Path(__file__).parent.parent / "build" / "filecheck")

# htvm-opt and filecheck are installed beside the interpreter that runs lit.
tools = str(Path(sys.executable).parent)
config.environment["PATH"] = os.pathsep.join([tools, config.environment["PATH"]])

# The third-party target of tests/third_party as if it were installed: its module and its entry point on the path.
toynpu = Path(__file__).parent.parent / "tests" / "third_party" / "toynpu"
project = tomllib.loads((toynpu / "pyproject.toml").read_text())["project"]
site = Path(config.test_exec_root) / "site"
metadata = site / f"toynpu-{project['version']}.dist-info"
metadata.mkdir(parents=True, exist_ok=True)
(metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: toynpu\nVersion: {project['version']}\n")
entries = project["entry-points"]["htvm_ir.targets"]
lines = ["[htvm_ir.targets]", *(f"{name} = {value}" for name, value in entries.items())]
(metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
# A tree that is not installed is tested with PYTHONPATH=.
inherited = [os.environ["PYTHONPATH"]] if "PYTHONPATH" in os.environ else []
config.environment["PYTHONPATH"] = os.pathsep.join([str(site), str(toynpu), *inherited])
config.environment["PYTHONDONTWRITEBYTECODE"] = "1"
