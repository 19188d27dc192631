# ruff: noqa: F821
"""Configuration of lit: every .mlir file below this directory is a test with its own RUN lines.

lit runs this file with `config` and `lit_config` defined.
"""

import os
import sys
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
# A tree that is not installed is tested with PYTHONPATH=.
if "PYTHONPATH" in os.environ:
    config.environment["PYTHONPATH"] = os.environ["PYTHONPATH"]
