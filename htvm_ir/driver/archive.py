"""What is in an archive in TVM's Model Library Format, version 7, whoever wrote it. Nothing is unpacked."""

from __future__ import annotations

import re
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from htvm_ir.driver.json_fields import Fields
from htvm_ir.driver.mlf import VERSION
from htvm_ir.errors import HtvmError

METADATA = "metadata.json"
LARGEST = 1 << 24
"""Bytes of a file that is read into memory: metadata and headers have thousands."""

BLOCK = 512
"""Of a tar; it ends with two blocks of zeros."""


def read_archive(path: Path) -> dict[str, Any]:
    """The JSON object of ``htvm inspect``; sizes in bytes, and ``null`` where the archive does not say.

    Raises:
        HtvmError: not a whole archive of this version, or one that would write outside of its folder.
    """
    files, texts = _read(path)
    if METADATA not in texts:
        raise HtvmError(f"{path}: has no {METADATA}; a Model Library Format archive needs one")
    metadata = Fields.parse(texts[METADATA], f"{path}: {METADATA}")
    version = metadata.get("version", int)
    if version != VERSION:
        raise HtvmError(f"{path}: Model Library Format {version}; htvm reads version {VERSION}, of TVM 0.9 to 0.18")
    if metadata.get("style", str, "") == "operator":
        modules = {metadata.get("model_name", str): _operators(metadata)}
    else:
        named = metadata.inside("modules")
        modules = {name: _module(name, named.inside(name), texts) for name in metadata.get("modules", dict)}
    return {"archive": str(path), "version": version, "modules": modules, "files": files}


def _read(path: Path) -> tuple[dict[str, int], dict[str, bytes]]:
    """Bytes of each file, and what is in metadata and headers.

    Raises:
        HtvmError: not a whole tar, or one with members that do not belong into an archive.
    """
    if not path.is_file():
        raise HtvmError(f"{path}: no such file; give an archive, X.tar")
    try:
        _check_end(path)
        with tarfile.open(path, "r:") as tar:
            members = {_name(path, member): member for member in tar.getmembers()}
            files = {name: member for name, member in members.items() if member.isreg()}
            texts = {n: _content(tar, m) for n, m in files.items() if n == METADATA or n.endswith(".h")}
    except (tarfile.TarError, OSError, ValueError, OverflowError) as error:
        raise HtvmError(f"{path}: not a readable tar ({error}); is it compressed, or cut off?") from error
    return {name: member.size for name, member in sorted(files.items())}, texts


def _check_end(path: Path) -> None:
    """Python's reader takes an archive without its last members for a whole one."""
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - 2 * BLOCK))
        if size % BLOCK or size < 2 * BLOCK or any(stream.read()):
            raise tarfile.ReadError("it does not end as a tar does")


def _name(path: Path, member: tarfile.TarInfo) -> str:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise HtvmError(f"{path}: member '{member.name}' lies outside of the archive's folder; do not unpack this file")
    if not (member.isreg() or member.isdir()):
        raise HtvmError(f"{path}: member '{member.name}' is neither a file nor a folder; do not unpack this file")
    return str(name)


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = tar.extractfile(member)
    if stream is None or member.size > LARGEST:
        raise tarfile.ReadError(f"{member.name} of {member.size} bytes")
    return stream.read()


def _module(name: str, fields: Fields, texts: dict[str, bytes]) -> dict[str, Any]:
    functions = fields.inside("memory").inside("functions")
    return {
        **_common(fields),
        **_interface(name, fields.texts("executors"), texts),
        "memory": [_memory(entry) for entry in functions.each("main")],
        "functions": {
            entry.get("function_name", str): [
                {"device": w.get("device", int), "workspace": w.get("workspace_size_bytes", int)}
                for w in entry.each("workspace")
            ]
            for entry in functions.each("operator_functions")
        },
        "external_dependencies": [
            {key: entry.get(key, str, "") for key in ("short_name", "url", "url_type", "version_spec")}
            for entry in fields.each("external_dependencies")
        ],
        "htvm": fields.get("htvm", dict, {}) or None,
    }


def _common(fields: Fields) -> dict[str, Any]:
    return {
        "model_name": fields.get("model_name", str),
        "exported": fields.get("export_datetime", str, ""),
        "style": fields.get("style", str),
        "target": fields.texts("target"),
        "executors": fields.texts("executors"),
    }


def _memory(entry: Fields) -> dict[str, Any]:
    """What the network takes of a device's memory, and its tensors, which not every archive of version 7 has."""
    return {
        "device": entry.get("device", int),
        "workspace": entry.get("workspace_size_bytes", int),
        "constants": entry.get("constants_size_bytes", int),
        "io": entry.get("io_size_bytes", int),
        **{kind: _tensors(entry.inside(kind)) for kind in ("inputs", "outputs")},
    }


def _tensors(fields: Fields) -> dict[str, Any]:
    tensors = {name: fields.inside(name) for name in fields.values}
    return {name: {"size": t.get("size", int), "dtype": t.get("dtype", str, "")} for name, t in tensors.items()}


def _operators(fields: Fields) -> dict[str, Any]:
    """An archive of single operators: their buffers, without telling inputs from outputs."""
    memory = fields.inside("memory")
    buffers = {
        name: [{"size": b.get("size_bytes", int), "dtype": b.get("dtype", str, "")} for b in memory.each(name)]
        for name in memory.values
    }
    return {**_common(fields), "buffers": buffers}


@dataclass(frozen=True)
class _Header:
    """A header of TVM's or ours, as far as C without preprocessing tells."""

    module: str
    text: str

    def struct(self, what: str) -> list[str]:
        """Members of a struct of pointers."""
        body = re.search(rf"struct\s+tvmgen_{self.module}_{what}\s*\{{([^}}]*)\}}", self.text)
        return [] if body is None else re.findall(r"void\s*\*\s*(\w+)\s*;", body[1])

    def size(self, what: str) -> int | None:
        """The value of a macro."""
        macro = rf"^#define\s+TVMGEN_{self.module}_{what}\s+(\d+)\s*$"
        found = re.search(macro, self.text, re.MULTILINE | re.IGNORECASE)
        return None if found is None else int(found[1])

    @property
    def run(self) -> str | None:
        """The declaration of the function that runs the network."""
        found = re.search(rf"int32_t\s+tvmgen_{self.module}_run\s*\([^)]*\)", self.text)
        return None if found is None else re.sub(r"\s+", " ", found[0]).replace("( ", "(").replace(" )", ")")


def _interface(name: str, executors: list[str], texts: dict[str, bytes]) -> dict[str, Any]:
    """How C calls the network: from the header, which TVM writes for the C interface only."""
    text = texts.get(f"codegen/host/include/tvmgen_{name}.h")
    header = _Header(re.escape(name), "" if text is None else text.decode(errors="replace"))
    aot = "packed" if text is None or "TVMValue" in (header.run or "") else "c"
    pools = header.struct("workspace_pools")
    return {
        "interface": aot if "aot" in executors else None,
        "run": header.run,
        "workspace_pools": {pool: header.size(f"{pool}_WORKSPACE_POOL_SIZE") for pool in pools},
        "devices": header.struct("devices"),
    }
