"""What HTVM's tiler decides for one layer on DIANA: the baseline, with its rules and numbers as they are.

HTVM plans with DORY, target Diana_TVM: ``Tiler/tiler_conv2d.py`` and ``Tiler/tiler_add.py``, ``HW_Parser.py`` for the
padded widths, at the commit that HTVM's last version pins. DORY searches with OR-Tools' older constraint solver, values
ascending, and keeps the first best tile; the height is determined here by the rest (a taller tile is always better), so
that trying channels and widths is the whole search.

DORY leaves padding out of its geometry: a tile "of the whole height" ends some rows before the map does, and only if
its input is the whole one it is completed. With stride 2 the input never is, and a sliver remains. Here a tile that
was meant to be whole is whole; and a layer that fits, which DORY wants to cut but cannot, stays whole. Nothing else is
mended.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["conv", "depthwise", "dense", "add", "analog"]

WIDTH_UNIT = 16
"""Digital maps are planned with widths rounded up to this."""
DENSE_OUTPUTS = 16
"""Outputs of a job on a vector; more than that are tiled whatever the memories hold."""
BIAS_BYTES = 4
DEPTHWISE_LANES = 16
"""A depthwise tile's weights and biases are counted for all lanes of the array."""
ADD_BUFFERS = 2
"""A tiled sum is planned with room for two tiles of each operand."""
ANALOG_INPUTS, ANALOG_OUTPUTS, ANALOG_ROWS = 128, 512, 1152
"""Channels up to which an analog layer may stay untiled; outputs of a job; inputs of a kernel."""
ANALOG_WEIGHTS_PER_BYTE = 4


@dataclass(frozen=True)
class Objective:
    """What is maximised besides the bytes of the tile, each of which counts 1.

    width_fill * ((w - 1) % 16) + channel_fill * ((n - 1) % channel_unit) + enough_pixels * [w * h >= 16] + width * w +
    channels * n, of the output tile. (DORY adds 1e8 * ((n_in - 1) % 128) for the analog array, where n_in is fixed.)
    """

    width_fill: int = 0
    channel_fill: int = 0
    channel_unit: int = 16
    enough_pixels: int = 0
    width: int = 0
    channels: int = 0

    def score(self, n: int, h: int, w: int) -> int:
        """The sum for an output tile."""
        fill = self.width_fill * ((w - 1) % 16) + self.channel_fill * ((n - 1) % self.channel_unit)
        return fill + self.enough_pixels * (w * h >= 16) + self.width * w + self.channels * n


DIGITAL = Objective(width_fill=10**6, channel_fill=10**6, enough_pixels=10**6, width=10**6, channels=10**5)
DEPTHWISE = Objective(width_fill=10**6, enough_pixels=10**6, width=10**6, channels=10**5)
ANALOG = Objective(channel_fill=10**8, channel_unit=512)
BYTES_ONLY = Objective()
"""The curve without heuristics of HTVM's paper."""

OBJECTIVES: dict[Kind, Objective] = {"conv": DIGITAL, "dense": DIGITAL, "depthwise": DEPTHWISE, "analog": ANALOG}

ATTEMPTS = ((True, True), (False, True), (False, False))
"""Whole height and width, whole width, neither: the first that has a tile decides. For analog layers only the last."""


@dataclass(frozen=True)
class Budget:
    """Bytes for the input and the output tile, and for the weights and biases of a job."""

    activations: int
    weights: int

    @staticmethod
    def of(activations: int, weights: int) -> Budget:
        """The budget on memories of these sizes: to DORY a kilobyte of 1024 bytes is one of 1000.

        256,000 of DIANA's 262,144 bytes of L1 and 64,000 of the 65,536 of its weight memory are DORY's numbers.
        """
        return Budget(activations * 1000 // 1024, weights * 1000 // 1024)


@dataclass(frozen=True)
class Layer:
    """One layer: channels, height and width of input and output (1 x 1 for vectors), kernel height and width."""

    kind: Kind
    input: tuple[int, int, int]
    output: tuple[int, int, int]
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1

    def planned(self) -> Layer:
        """The layer with the widths that are planned with."""
        if self.kind in ("dense", "analog"):
            return self
        c, h, w = self.input
        k, oh, ow = self.output
        return Layer(self.kind, (c, h, _padded(w)), (k, oh, _padded(ow)), self.kernel, self.stride)


@dataclass(frozen=True)
class Tile:
    """Channels, height and width of the output tile; height and width of the input tile."""

    n_out: int
    h_out: int
    w_out: int
    h_in: int
    w_in: int


def tile(layer: Layer, budget: Budget, heuristics: bool = True) -> Tile | None:
    """Return DORY's tile, widths padded as it plans them; None where it finds none and gives up.

    heuristics: False leaves the bytes of the tile as the only objective.
    """
    layer = layer.planned()
    (_, h, w), (k, oh, ow) = layer.input, layer.output
    if layer.kind == "add":
        return _add(layer, budget)
    whole = Tile(k, oh, ow, h, w)
    if _fits(layer, budget) and not _is_always_cut(layer):
        return whole
    objective = OBJECTIVES[layer.kind] if heuristics else BYTES_ONLY
    for whole_height, whole_width in ATTEMPTS[-1:] if layer.kind == "analog" else ATTEMPTS:
        search = _Search(layer, budget, whole_height, whole_width)
        found = max(search.tiles(), key=lambda t: (search.score(objective, *t), *(-size for size in t)), default=None)
        if found is not None:
            return search.completed(*found)
    return whole if _fits(layer, budget) else None


def weight_bytes(layer: Layer, n: int) -> int:
    """Bytes of weights and biases that DORY counts for a tile of ``n`` output channels."""
    c, taps = layer.input[0], layer.kernel[0] * layer.kernel[1]
    if layer.kind == "analog":
        return c * n * taps // ANALOG_WEIGHTS_PER_BYTE
    if layer.kind == "depthwise":
        return (n * n * taps // c + n * BIAS_BYTES) * DEPTHWISE_LANES
    return c * n * taps + n * BIAS_BYTES


def _padded(width: int) -> int:
    return -(-width // WIDTH_UNIT) * WIDTH_UNIT


def _add(layer: Layer, budget: Budget) -> Tile | None:
    """Two inputs and an output; tiles over rows only, the more bytes the better."""
    k, oh, ow = layer.output
    row = 3 * k * ow
    if row * oh <= budget.activations:
        return Tile(k, oh, ow, oh, ow)
    rows = budget.activations // (ADD_BUFFERS * row)
    return Tile(k, rows, ow, rows, ow) if rows else None


def _fits(layer: Layer, budget: Budget) -> bool:
    """Whether the whole layer fits; its depthwise weights are not counted for all lanes."""
    (c, h, w), (k, oh, ow) = layer.input, layer.output
    taps = layer.kernel[0] * layer.kernel[1]
    weights = k * (taps + BIAS_BYTES) if layer.kind == "depthwise" else weight_bytes(layer, k)
    return c * h * w + k * oh * ow <= budget.activations and weights <= budget.weights


def _is_always_cut(layer: Layer) -> bool:
    """Whether a layer is tiled whatever the memories hold."""
    (c, h, w), k = layer.input, layer.output[0]
    if layer.kind == "analog" and (c > ANALOG_INPUTS or k > ANALOG_OUTPUTS):
        return True
    return (h == 1 or w == 1) and k > DENSE_OUTPUTS


@dataclass(frozen=True)
class _Search:
    """One attempt at a layer that has to be tiled."""

    layer: Layer
    budget: Budget
    whole_height: bool
    whole_width: bool

    def tiles(self) -> Iterator[tuple[int, int, int]]:
        """Channels, height and width of output tiles: for each channels and width the greatest height."""
        for n in range(1, self._most_channels() + 1):
            for w in self._widths():
                h = self._tallest(n, w)
                if self.whole_height:
                    wanted = self._unpadded(0)
                    h = wanted if 1 <= wanted <= h else 0
                if h >= 1:
                    yield n, h, w

    def score(self, objective: Objective, n: int, h: int, w: int) -> int:
        """What is maximised."""
        source = self._channels_in(n) * self._in(h, 0) * self._in(w, 1)
        return objective.score(n, h, w) + source + n * h * w + weight_bytes(self.layer, n)

    def completed(self, n: int, h: int, w: int) -> Tile:
        """The tile with the borders that the geometry leaves out."""
        (_, height, width), (_, oh, ow) = self.layer.input, self.layer.output
        h_in, w_in = self._in(h, 0), self._in(w, 1)
        if self.whole_height or h_in >= height:
            h, h_in = oh, height
        if self.whole_width or w_in >= width:
            w, w_in = ow, width
        return Tile(n, h, w, h_in, w_in)

    def _channels_in(self, n: int) -> int:
        return n if self.layer.kind == "depthwise" else self.layer.input[0]

    def _in(self, size: int, axis: int) -> int:
        """Input rows or columns of an output tile, padding left out."""
        return self.layer.stride * size + self.layer.kernel[axis] - self.layer.stride

    def _unpadded(self, axis: int) -> int:
        """What DORY takes for the whole output."""
        return self.layer.output[1 + axis] - (self.layer.kernel[axis] - 1) + (self.layer.stride - 1)

    def _widths(self) -> range:
        widest = self._widest(1)
        if not self.whole_width:
            return range(1, widest + 1)
        wanted = self._unpadded(1)
        return range(wanted, wanted + 1) if 1 <= wanted <= widest else range(0)

    def _widest(self, axis: int) -> int:
        """The largest output tile whose input lies inside the map."""
        inside = (self.layer.input[1 + axis] - self.layer.kernel[axis]) // self.layer.stride + 1
        return min(self.layer.output[1 + axis], inside)

    def _most_channels(self) -> int:
        most = self.layer.output[0]
        if self.layer.kind == "analog":
            taps = self.layer.kernel[0] * self.layer.kernel[1]
            most = min(most, ANALOG_OUTPUTS) if self.layer.input[0] * taps <= ANALOG_ROWS else 0
        if self.layer.input[1:] == (1, 1):
            most = min(most, DENSE_OUTPUTS)
        while most and weight_bytes(self.layer, most) > self.budget.weights:
            most -= 1
        return most

    def _tallest(self, n: int, w: int) -> int:
        """The greatest height of a tile of these channels and width; 0 or less if none fits."""
        (c, height, width), stride = self.layer.input, self.layer.stride
        row_in, row_out = self._channels_in(n) * self._in(w, 1), n * w
        fixed = row_in * (self.layer.kernel[0] - stride)
        h = min(self._widest(0), (self.budget.activations - fixed) // (row_in * stride + row_out))
        whole = c * self.layer.output[0] * height * width
        return h - 1 if row_in * n * self._in(h, 0) >= whole else h
