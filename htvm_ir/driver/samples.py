"""Inputs and references of a run: npz files and random samples, matched to the network's edges."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from htvm_ir.driver.edges import Array, Edge
from htvm_ir.errors import HtvmError

Preparation = Callable[[Path, Mapping[str, Array]], dict[str, Array]]
"""(file, its arrays) -> the arrays to use."""

REFERENCES = ("logits", "output")
"""Keys that hold the reference of a single output, the first that is there counts; then the outputs' own names."""


@dataclass(frozen=True)
class Samples:
    """inputs: for each network input [samples, ...]. reference (for each output) and labels where the file has them."""

    inputs: tuple[Array, ...]
    edge: str
    reference: tuple[Array, ...] | None = None
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
        raise HtvmError(f"{path}: no such file; give an .npz")
    try:
        with path.open("rb") as file:
            data = np.load(file, allow_pickle=False)
            if isinstance(data, np.ndarray):
                raise HtvmError("it is a single array; save it with numpy.savez")
            arrays = {name: data[name] for name in data}
    except Exception as error:  # numpy, zipfile and zlib raise whatever damaged bytes provoke
        raise HtvmError(f"{path}: not a readable .npz file ({error})") from error
    return {name: values for name, values in arrays.items() if isinstance(values, np.ndarray)}


def load_samples(
    source: str, edges: Sequence[Edge], outputs: Sequence[Edge], count: int | None, prepare: Preparation | None = None
) -> Samples:
    """Samples from a file or from ``random[:SEED]``; ``prepare`` brings a file's arrays into the network's convention.

    Raises:
        HtvmError: a missing name, or an array of the wrong type or shape.
    """
    if source == "random" or source.startswith("random:"):
        return _random(source, edges, 1 if count is None else count)
    path = Path(source)
    arrays = read_npz(path)
    if prepare is not None:
        arrays = prepare(path, arrays)
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
    name, reference = _references(path, arrays, outputs, available)
    labels = _labels(path, arrays, available)
    return Samples(
        tuple(values[:wanted] for values in inputs),
        kind,
        None if reference is None else tuple(values[:wanted] for values in reference),
        name,
        None if labels is None else labels[:wanted],
    )


def _random(source: str, edges: Sequence[Edge], count: int) -> Samples:
    _, _, seed = source.partition(":")
    if source != "random" and not (seed.isdecimal() and len(seed) < 20):
        raise HtvmError(f"--input {source}: the seed must be a number, as in random:7")
    generator = np.random.default_rng(int(seed or 0))
    inputs: list[Array] = []
    for edge in edges:
        if edge.is_float:
            inputs.append(generator.standard_normal((count, *edge.shape[1:]), np.float32))
            continue
        inputs.append(generator.integers(*edge.limits, (count, *edge.shape[1:]), edge.dtype, endpoint=True))
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
    if values.dtype == edge.dtype and not edge.is_float:
        low, high = edge.limits
        if values.size and (values.min() < low or values.max() > high):
            raise HtvmError(f"{path}: '{found}' holds {values.min()}..{values.max()}, the network takes {low}..{high}")
        return values
    if values.dtype == np.float32:
        if edge.scale is None and not edge.is_float:
            raise HtvmError(f"{path}: '{found}' is float32, but the network does not quantise it; give {edge.dtype}")
        if np.isnan(values).any():
            raise HtvmError(f"{path}: '{found}' holds values that are not numbers (NaN)")
        return values
    raise HtvmError(f"{path}: '{found}' is {values.dtype}, expected {edge.dtype} (or float32 at the float edge)")


def _references(
    path: Path, arrays: Mapping[str, Array], outputs: Sequence[Edge], samples: int
) -> tuple[str, tuple[Array, ...] | None]:
    """The references of all outputs and their names in the file; none if one is missing."""
    keys = REFERENCES if len(outputs) == 1 else ()
    names = [next((key for key in (*keys, *edge.names) if key in arrays), None) for edge in outputs]
    known = [name for name in names if name is not None]
    if not known or len(known) < len(names):
        return "", None
    pairs = zip(known, outputs, strict=True)
    return ", ".join(known), tuple(_reference(path, name, arrays[name], edge, samples) for name, edge in pairs)


def _reference(path: Path, name: str, reference: Array, edge: Edge, samples: int) -> Array:
    """The integers that output ``edge`` should hold."""
    if reference.shape != (samples, *edge.shape[1:]):
        raise HtvmError(
            f"{path}: reference '{name}' has shape {list(reference.shape)}, expected {[samples, *edge.shape[1:]]}"
        )
    if edge.is_float and reference.dtype.kind == "f":
        return reference
    if reference.dtype.kind == "f" and edge.scale is not None:
        return np.rint(reference / np.float32(edge.scale)) + edge.zero_point
    if reference.dtype.kind not in "iu":
        raise HtvmError(f"{path}: reference '{name}' is {reference.dtype}, expected integers")
    return reference


def _labels(path: Path, arrays: Mapping[str, Array], samples: int) -> Array | None:
    labels = arrays.get("label")
    if labels is not None and (labels.shape != (samples,) or labels.dtype.kind not in "iu"):
        raise HtvmError(
            f"{path}: 'label' is {labels.dtype} of shape {list(labels.shape)}, expected one integer for each of the "
            f"{samples} samples"
        )
    return labels
