"""Builds an application around an archive in Model Library Format. Knows the format, and nothing of who wrote it.

usage: mlf_build.py ARCHIVE FOLDER APPLICATION.c OUT [--flag FLAG ...] -- COMPILER...
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

MODULE_FIELDS = ("model_name", "export_datetime", "target", "executors", "style", "memory")
MAIN_FIELDS = ("device", "workspace_size_bytes", "constants_size_bytes", "io_size_bytes", "inputs", "outputs")


def unpack(archive: Path, folder: Path) -> tuple[str, dict[str, Any]]:
    """The one module's name and metadata, as tvmc and the project generators want them."""
    with tarfile.open(archive, "r:") as tar:
        assert tar.getnames()[0] == "."
        # Without "data" the latest Pythons warn, and those before 3.11.4 do not know it.
        if hasattr(tarfile, "data_filter"):
            tar.extractall(folder, filter="data")
        else:
            tar.extractall(folder)
    metadata = json.loads((folder / "metadata.json").read_text())
    assert metadata["version"] == 7
    ((name, module),) = metadata["modules"].items()
    assert all(field in module for field in MODULE_FIELDS)
    assert module["executors"] == ["aot"] and module["style"] == "full-model"
    for field in MAIN_FIELDS:
        assert field in module["memory"]["functions"]["main"][0]
    for operator in module["memory"]["functions"]["operator_functions"]:
        assert operator["function_name"].startswith(f"tvmgen_{name}_") and operator["workspace"]
    assert (folder / "src" / f"{name}.relay").is_file()
    parameters = (folder / "parameters" / f"{name}.params").read_bytes()
    assert struct.unpack("<4Q", parameters) == (0xF7E58D4F05049CB7, 0, 0, 0)
    return name, module


def sources(folder: Path, name: str, module: dict[str, Any]) -> tuple[list[Path], list[str]]:
    """C of the model and of what it depends on inside the archive, and where headers lie."""
    host = folder / "codegen" / "host"
    found = sorted(host.glob("src/*.c"))
    assert found and all(path.name.startswith(f"{name}_lib") for path in found)
    includes = [host / "include"]
    for dependency in module.get("external_dependencies", []):
        assert dependency["url_type"] == "mlf_path" and dependency["short_name"] and dependency["version_spec"]
        inside = folder / dependency["url"]
        found += sorted([*inside.rglob("*.c"), *inside.rglob("*.S")])
        includes += sorted({path.parent for path in inside.rglob("*.h")})
    return found, [f"-I{path}" for path in includes]


def main(arguments: list[str]) -> None:
    """See the module's docstring; writes OUT, and the metadata of the module to standard output."""
    split = arguments.index("--")
    archive, folder, application, out, *flags = arguments[:split]
    name, module = unpack(Path(archive), Path(folder))
    files, includes = sources(Path(folder), name, module)
    command = [*arguments[split + 1 :], *(flag.removeprefix("--flag=") for flag in flags), *includes]
    subprocess.run([*command, application, *map(str, files), "-o", out], check=True)
    assert "htvm_ir" not in sys.modules
    json.dump(module, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
