"""A package as an archive in TVM's Model Library Format, version 7 (TVM 0.9 to 0.18).

What is compiled lies in ``codegen/host/src`` and includes nothing but the standard headers, because some project
generators copy only these files; the target's run-time library is a dependency inside the archive, ``runtime``.
"""

from __future__ import annotations

import io
import json
import os
import re
import struct
import tarfile
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import PurePosixPath
from typing import Any

from htvm_ir.driver.package import SOURCE
from htvm_ir.errors import HtvmError

VERSION = 7
"""Of the format, in ``metadata.json``."""

CPU = 1
"""kDLCPU of DLPack: the device that all memory is reported for, since it is the caller's to give."""

EMPTY_PARAMETERS = struct.pack("<4Q", 0xF7E58D4F05049CB7, 0, 0, 0)
"""A saved dictionary of no arrays: TVM's magic number, a reserved word, and the numbers of names and of arrays."""

DATE = "%Y-%m-%d %H:%M:%SZ"
DEPENDENCIES = "./runtime"

Report = Mapping[str, Any]
Files = Mapping[str, str]


def export(files: Files, report: Report) -> bytes:
    """The archive of a package, from its files and its report.

    Two archives of one package differ in ``export_datetime`` only, and not in that if SOURCE_DATE_EPOCH is set.

    Raises:
        HtvmError: SOURCE_DATE_EPOCH is not a number of seconds.
    """
    module = report["interface"]["module"]
    members = {
        "metadata.json": json.dumps(_metadata(files, report), indent=2) + "\n",
        **_codegen(files, module),
        **{f"runtime/{name}": text for name, text in _runtime(files).items()},
        f"src/{module}.relay": files[SOURCE],
    }
    data = {name: text.encode() for name, text in members.items()}
    return _tar(data | {f"parameters/{module}.params": EMPTY_PARAMETERS})


def _is_own(name: str) -> bool:
    """Whether a file of the package belongs to the network and not to the target."""
    return PurePosixPath(name).name.startswith(("tvmgen_", "htvm_"))


def _codegen(files: Files, module: str) -> dict[str, str]:
    """The network: sources with their headers inside, the entry first, and the headers an application includes."""
    main = f"src/tvmgen_{module}.c"
    others = sorted(n for n in files if n.startswith("src/") and n.endswith(".c") and _is_own(n) and n != main)
    found = {
        f"codegen/host/src/{module}_lib{index}.c": _inlined(files[name], files)
        for index, name in enumerate([main, *others])
    }
    public = [name for name in (f"include/tvmgen_{module}.h", "include/htvm_packed.h") if name in files]
    return found | {f"codegen/host/{name}": files[name] for name in public}


def _runtime(files: Files) -> dict[str, str]:
    """The target's run-time library: start-up code, drivers, linker script."""
    return {name: text for name, text in files.items() if name.startswith(("src/", "include/")) and not _is_own(name)}


def _inlined(text: str, files: Files) -> str:
    """A C file with the text of the package's headers in place of the lines that include them."""

    def header(line: re.Match[str]) -> str:
        name = f"include/{line[1]}"
        return _inlined(files[name], files).rstrip("\n") if name in files else line[0]

    return re.sub(r'^#include "([^"]+)"$', header, text, flags=re.MULTILINE)


def _metadata(files: Files, report: Report) -> dict[str, Any]:
    facts = report["interface"]
    release = version("htvm-ir")
    dependency = {
        "short_name": f"htvm_{report['target'].split(',')[0]}_runtime",
        "url": DEPENDENCIES,
        "url_type": "mlf_path",
        "version_spec": release,
    }
    module = {
        "model_name": facts["module"],
        "export_datetime": _now(),
        "target": _targets(report),
        "executors": ["aot"],
        "style": "full-model",
        "external_dependencies": [dependency] if _runtime(files) else [],
        "memory": {"functions": _functions(facts)},
        "htvm": {
            "version": release,
            "model": PurePosixPath(report["model"]).name,
            "interface": {name: facts[name] for name in ("calls", "workspace", "device_hooks", "devices", "pools")},
            "memory": report["memory"],
        },
    }
    return {"version": VERSION, "modules": {facts["module"]: module}}


def _targets(report: Report) -> list[str]:
    """The host, and the target with its engines if any is used."""
    accelerated = any(layer["engine"] != "cpu" for layer in report["layers"])
    return ["c", *([f"htvm -device={report['target']}"] if accelerated else [])]


def _functions(facts: Report) -> dict[str, Any]:
    """Memory of the network and of its operators, which have none of their own: their buffers are the network's."""
    tensors = [*facts["inputs"].values(), *facts["outputs"].values()]
    main = {
        "device": CPU,
        "workspace_size_bytes": facts["workspace_bytes"],
        "constants_size_bytes": facts["constants_bytes"],
        "io_size_bytes": sum(tensor["size"] for tensor in tensors),
        "inputs": facts["inputs"],
        "outputs": facts["outputs"],
    }
    none = {"device": CPU, "workspace_size_bytes": 0}
    operators = [{"function_name": name, "workspace": [none]} for name in facts["operators"]]
    return {"main": [main], "operator_functions": operators}


def _now() -> str:
    """The time of the export in UTC, or what reproducible builds call it."""
    stated = os.environ.get("SOURCE_DATE_EPOCH")
    if stated is None:
        return datetime.now(UTC).strftime(DATE)
    if not re.fullmatch(r"\d{1,11}", stated):
        raise HtvmError(f"SOURCE_DATE_EPOCH={stated} is not a number of seconds since 1970")
    return datetime.fromtimestamp(int(stated), UTC).strftime(DATE)


def _tar(data: Mapping[str, bytes]) -> bytes:
    """An uncompressed archive of ``.`` without times and owners."""
    folders = {str(folder) for name in data for folder in PurePosixPath(name).parents}
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name in sorted({*folders, *data}):
            entry = tarfile.TarInfo(name if name == "." else f"./{name}")
            entry.uname = entry.gname = "root"
            if name in data:
                entry.size = len(data[name])
                tar.addfile(entry, io.BytesIO(data[name]))
            else:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(entry)
    return stream.getvalue()
