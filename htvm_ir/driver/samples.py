"""Inputs and references of a run: npz files and random samples, matched to the network's edges."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htvm_ir.errors import HtvmError

Array = NDArray[Any]

REFERENCES = ("logits", "output")
"""Keys that hold a reference, the first that is there counts."""


@dataclass(frozen=True)
class Edge:
    """An input or output of the network: its names, logical shape, and how the caller quantises it."""

    names: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float | None = None
    zero_point: int = 0

    @property
    def name(self) -> str:
        """The ONNX name."""
        return self.names[0]

    def quantize(self, values: Array) -> Array:
        """Float values at the network's edge as the integers it computes with: floor, then clip."""
        limits = np.iinfo(self.dtype)
        scaled = np.floor(values / np.float32(self.scale or 1.0)) + self.zero_point
        return np.clip(scaled, limits.min, limits.max).astype(self.dtype)


@dataclass(frozen=True)
class Samples:
    """inputs: for each network input [samples, ...]. reference and labels where the file has them."""

    inputs: tuple[Array, ...]
    edge: str
    reference: Array | None = None
    reference_name: str = ""
    labels: Array | None = None

    def __len__(self) -> int:
        return len(self.inputs[0])


def read_npz(path: Path) -> dict[str, Array]:
    """All arrays of a file.

    Raises:
        HtvmError: missing, not an npz, or it holds pickled objects.
    """
    if not path.is_file():
        raise HtvmError(f"{path}: no such file; give an .npz with the network's inputs")
    try:
        with np.load(path, allow_pickle=False) as data:
            if not isinstance(data, Mapping):
                raise HtvmError(f"{path}: is a single array, not an .npz; save it with numpy.savez")
            return {name: data[name] for name in data}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise HtvmError(f"{path}: not a readable .npz file ({error})") from error


def load_samples(source: str, edges: Sequence[Edge], outputs: Sequence[Edge], count: int | None) -> Samples:
    """Samples from a file or from ``random[:SEED]``.

    Raises:
        HtvmError: a missing name, or an array of the wrong type or shape.
    """
    if source == "random" or source.startswith("random:"):
        return _random(source, edges, 1 if count is None else count)
    path = Path(source)
    arrays = read_npz(path)
    taken = [_take(path, arrays, edge, len(edges) == 1) for edge in edges]
    total = {len(values) for values in taken}
    if len(total) != 1:
        raise HtvmError(f"{path}: the inputs hold different numbers of samples: {sorted(total)}")
    kind = "float" if any(values.dtype.kind == "f" for values in taken) else "integer"
    inputs = tuple(
        edge.quantize(values) if values.dtype.kind == "f" else values for edge, values in zip(edges, taken, strict=True)
    )
    available = total.pop()
    if count is not None and count > available:
        raise HtvmError(f"{path}: holds {available} samples, {count} asked for")
    if available == 0:
        raise HtvmError(f"{path}: holds no samples")
    wanted = available if count is None else count
    name, reference = _reference(path, arrays, outputs, available)
    labels = arrays.get("label")
    return Samples(
        tuple(values[:wanted] for values in inputs),
        kind,
        None if reference is None else reference[:wanted],
        name,
        None if labels is None else labels[:wanted],
    )


def _random(source: str, edges: Sequence[Edge], count: int) -> Samples:
    _, _, seed = source.partition(":")
    if seed and not seed.isdecimal():
        raise HtvmError(f"--input {source}: the seed must be a number, as in random:7")
    if count < 1:
        raise HtvmError(f"--samples {count}: at least one sample is needed")
    generator = np.random.default_rng(int(seed or 0))
    inputs: list[Array] = []
    for edge in edges:
        limits = np.iinfo(edge.dtype)
        inputs.append(generator.integers(limits.min, limits.max, (count, *edge.shape[1:]), edge.dtype, endpoint=True))
    return Samples(tuple(inputs), "integer")


def _take(path: Path, arrays: Mapping[str, Array], edge: Edge, alone: bool) -> Array:
    names = (*edge.names, "input") if alone else edge.names
    found = next((name for name in names if name in arrays), None)
    if found is None:
        held = ", ".join(arrays) or "nothing"
        raise HtvmError(f"{path}: no array '{edge.name}' for the network's input (it holds {held})")
    values = arrays[found]
    if tuple(values.shape[1:]) != edge.shape[1:] or values.ndim != len(edge.shape):
        wanted = ["samples", *edge.shape[1:]]
        raise HtvmError(
            f"{path}: '{found}' has shape {list(values.shape)}, expected {wanted}".replace("'samples'", "N")
        )
    if values.dtype == edge.dtype:
        return values
    if values.dtype == np.float32:
        if edge.scale is None:
            raise HtvmError(f"{path}: '{found}' is float32, but the network does not quantise it; give {edge.dtype}")
        return values
    raise HtvmError(f"{path}: '{found}' is {values.dtype}, expected {edge.dtype} (or float32 at the float edge)")


def _reference(
    path: Path, arrays: Mapping[str, Array], outputs: Sequence[Edge], samples: int
) -> tuple[str, Array | None]:
    name = next((key for key in REFERENCES if key in arrays), None)
    if name is None or len(outputs) != 1:
        return "", None
    reference, edge = arrays[name], outputs[0]
    if reference.shape != (samples, *edge.shape[1:]):
        raise HtvmError(
            f"{path}: reference '{name}' has shape {list(reference.shape)}, expected {[samples, *edge.shape[1:]]}"
        )
    if reference.dtype.kind == "f":
        raise HtvmError(f"{path}: reference '{name}' is {reference.dtype}, expected integers")
    return name, reference
