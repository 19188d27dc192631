"""Samples of a network's inputs as real numbers, from arrays of a file."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from htvm_ir.errors import HtvmError
from htvm_ir.quantize.network import Array, Network, Source

SCALE, ZERO_POINT = "input_scale", "input_zp"
"""Keys under which a file may say what its integer inputs mean."""


def real_samples(where: str, arrays: Mapping[str, Array], network: Network) -> dict[str, Array]:
    """float32 samples [N, ...] of every input, under its name.

    An input is under its own name, or under ``input`` if it is the only one. Integers are in the convention of the
    model's own integer input, or of ``input_scale`` and ``input_zp`` in the file. ``where`` names the file in errors.

    Raises:
        HtvmError: a missing input, or one of another shape, of another type, without samples, or not finite.
    """
    found: dict[str, Array] = {}
    for source in network.sources:
        keys = (source.name, "input") if len(network.sources) == 1 else (source.name,)
        key = next((key for key in keys if key in arrays), None)
        if key is None:
            held = ", ".join(arrays) or "nothing"
            raise HtvmError(f"{where}: no array '{source.name}' for the network's input (it holds {held})")
        found[source.name] = _real(f"{where}: '{key}'", arrays, arrays[key], source)
    if len({len(values) for values in found.values()}) != 1:
        raise HtvmError(f"{where}: the inputs hold different numbers of samples")
    return found


def _real(what: str, arrays: Mapping[str, Array], values: Array, source: Source) -> Array:
    if values.shape[1:] != source.shape[1:] or values.ndim != len(source.shape):
        wanted = ", ".join(["N", *map(str, source.shape[1:])])
        raise HtvmError(f"{what} has shape {list(values.shape)}, expected [{wanted}]")
    if not len(values):
        raise HtvmError(f"{what} holds no samples")
    if values.dtype.kind in "iu" and values.dtype.itemsize == 1:
        scale, zero_point = _convention(what, arrays, source)
        return (values.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)
    if values.dtype.kind != "f":
        raise HtvmError(f"{what} is {values.dtype}, expected float32, or int8 or uint8 in the model's own convention")
    if not np.isfinite(values).all():
        raise HtvmError(f"{what} holds values that are not finite (NaN or infinite)")
    return values.astype(np.float32)


def _convention(what: str, arrays: Mapping[str, Array], source: Source) -> tuple[float, float]:
    """Scale and zero point of integer samples."""
    if source.scale is not None:
        return source.scale, source.zero_point
    if SCALE not in arrays:
        raise HtvmError(f"{what} holds integers, but the model's input is float; add {SCALE} and {ZERO_POINT}")
    scale, zero_point = arrays[SCALE], arrays.get(ZERO_POINT, np.zeros(()))
    numbers = [
        value.size == 1 and value.dtype.kind in "iuf" and np.isfinite(value).all() for value in (scale, zero_point)
    ]
    if not all(numbers) or scale.item() <= 0:
        raise HtvmError(f"{what}: {SCALE} must be one positive number and {ZERO_POINT} one number")
    return float(scale.item()), float(zero_point.item())
