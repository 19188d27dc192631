"""The 8-bit format of every tensor: a power-of-two scale, shared where the network needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from htvm_ir.quantize import forward
from htvm_ir.quantize.network import Add, Array, Conv, Layer, Linear, Move, Network, Pool

INT8 = (-128, 127)
_ELEMENTS = 1 << 20
"""Elements a tensor's own error is estimated from."""
_WIDTH = 6
"""Exponents below the one that clips nothing that are looked at: the last clips all but 2^-6 of the range."""
_NEIGHBOURS = (1, 0, -1, -2)
"""Exponents whose effect on the outputs is measured, around the one with the least error of the tensor itself."""
_SAMPLES = 64
"""Samples for that measurement."""
_LARGEST = 60
"""Exponents beyond +-60 leave no room for products in float32."""


@dataclass(frozen=True)
class Format:
    """Integers ``q`` of 8 bits for the real numbers ``(q + offset) * 2**exponent``, clipped to ``low`` .. ``high``.

    Only a tensor that is never negative has an offset, 128: then all 256 integers serve it.
    """

    exponent: int
    offset: int = 0
    low: int = INT8[0]
    high: int = INT8[1]

    def integers(self, values: Array) -> Array:
        """Real numbers rounded to nearest."""
        return np.clip(np.rint(values * np.float32(2.0**-self.exponent)) - self.offset, self.low, self.high)

    def real(self, integers: Array) -> Array:
        """What integers stand for."""
        return (integers + np.float32(self.offset)) * np.float32(2.0**self.exponent)


def covering(largest: float, steps: int) -> int:
    """The least exponent whose ``steps`` units reach ``largest``."""
    return int(np.clip(np.ceil(np.log2(max(largest, 2.0**-100) / steps) - 1e-9), -_LARGEST, _LARGEST))


def format_of(layer: Layer | None, exponent: int, offset: int) -> Format:
    """The format of a layer's result (None: of an input), the layer's clip included."""
    if layer is None:
        return Format(exponent, offset)
    low, high = (np.rint(np.clip(bound * 2.0**-exponent, -1e6, 1e6)) - offset for bound in (layer.low, layer.high))
    return Format(exponent, offset, *(int(np.clip(bound, *INT8)) for bound in (low, high)))


def groups(network: Network) -> list[list[str]]:
    """Tensors that must share a format: operands of a sum, and operand and result of what moves or selects numbers."""
    parent = {name: name for name in (*(s.name for s in network.sources), *(x.name for x in network.layers))}

    def root(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    for layer in network.layers:
        if not isinstance(layer, Linear):
            names = layer.inputs if isinstance(layer, Add) else (*layer.inputs, layer.name)
            for name in names[1:]:
                parent[root(name)] = root(names[0])
    found: dict[str, list[str]] = {}
    for name in parent:
        found.setdefault(root(name), []).append(name)
    return list(found.values())


def _offset(network: Network, group: list[str]) -> int:
    """128 if nobody needs 0 of a group's tensors to be the integer 0 and none of them is negative, else 0."""
    for layer in network.layers:
        if layer.name in group and not (
            isinstance(layer, Pool | Move) or (isinstance(layer, Linear) and layer.low >= 0)
        ):
            return 0
        reads = any(name in group for name in layer.inputs)
        if reads and layer.name not in group and (not isinstance(layer, Linear) or _pads(layer)):
            return 0
    ends = {*network.outputs.values(), *(source.name for source in network.sources)}
    return 0 if ends & set(group) else -INT8[0]


def offset_of(network: Network, tensor: str) -> int:
    """The offset a tensor is going to have."""
    return _offset(network, next(group for group in groups(network) if tensor in group))


def _largest(network: Network, group: list[str], offset: int) -> int:
    """The largest exponent with which the integers end at or below a bound that ``with_bounds_at_the_end`` placed."""
    ends = [
        layer.high / (INT8[1] + offset) for layer in network.layers if layer.name in group and np.isfinite(layer.high)
    ]
    exponents = [np.log2(end) for end in ends if end > 0]
    return int(min((e for e in exponents if e == np.rint(e)), default=_LARGEST))


def _pads(layer: Linear) -> bool:
    return isinstance(layer, Conv) and any(layer.window.pads)


def _own_error(values: Array, form: Format) -> float:
    return float(np.mean((form.real(form.integers(values)) - values) ** 2))


def _least_own_error(tensors: list[Array], offset: int) -> int:
    """The exponent with the least squared error, each tensor's relative to its least."""
    parts = [values.reshape(-1)[:: max(1, values.size // _ELEMENTS)] for values in tensors]
    tops = [covering(float(np.abs(part).max(initial=0.0)), INT8[1] + offset) for part in parts]
    candidates = range(max(tops), max(min(tops) - _WIDTH, -_LARGEST) - 1, -1)
    errors = np.array([[_own_error(part, Format(e, offset)) for part in parts] for e in candidates])
    relative = errors / np.where(errors.min(axis=0) > 0, errors.min(axis=0), 1.0)
    return candidates[int(relative.sum(axis=1).argmin())]


def choose(network: Network, tensors: Mapping[str, Array], fixed: Mapping[str, int]) -> dict[str, Format]:
    """The format of every tensor: for each group the exponent with which the outputs change least.

    ``tensors`` are those of the float network on the calibration data; ``fixed`` holds exponents of inputs.
    """
    few = {name: values[:_SAMPLES] for name, values in tensors.items()}
    exponents: dict[str, int] = {}
    offsets: dict[str, int] = {}
    for group in groups(network):
        offset = _offset(network, group)
        given = [fixed[name] for name in group if name in fixed]
        chosen = given[0] if given else _least_own_error([tensors[name] for name in group], offset)
        if not given and abs(chosen) < _LARGEST:
            top = _largest(network, group, offset)
            candidates = sorted({min(chosen + step, top) for step in _NEIGHBOURS}, reverse=True)
            chosen = min(candidates, key=lambda e: output_error(network, few, group, e, offset))
        exponents |= dict.fromkeys(group, chosen)
        offsets |= dict.fromkeys(group, offset)
    _shift_sums_right(network, exponents)
    layers: dict[str, Layer] = {layer.name: layer for layer in network.layers}
    return {name: format_of(layers.get(name), exponents[name], offsets[name]) for name in exponents}


def _shift_sums_right(network: Network, exponents: dict[str, int]) -> None:
    """Raises exponents so that no sum needs a shift to the left."""
    members = {name: group for group in groups(network) for name in group}
    for _ in network.layers:  # what is raised may be the operand of another sum
        for layer in network.layers:
            if isinstance(layer, Add) and exponents[layer.name] < exponents[layer.inputs[0]]:
                exponents |= dict.fromkeys(members[layer.name], exponents[layer.inputs[0]])


def output_error(network: Network, tensors: Mapping[str, Array], group: list[str], exponent: int, offset: int) -> float:
    """What rounding only the tensors of ``group`` does to the outputs; see :func:`forward.difference`."""
    changed: dict[str, Array] = {}
    for source in network.sources:
        if source.name in group:
            form = Format(exponent, offset)
            changed[source.name] = form.real(form.integers(tensors[source.name]))
    for layer in network.layers:
        operands = [changed.get(name, tensors[name]) for name in layer.inputs]
        stale = not any(name in changed for name in layer.inputs)
        if stale and layer.name not in group:
            continue
        result = tensors[layer.name] if stale else forward.compute(layer, operands)
        if layer.name in group:
            form = format_of(layer, exponent, offset)
            result = form.real(form.integers(result))
        changed[layer.name] = result
    return forward.difference(network, tensors, {**tensors, **changed})
