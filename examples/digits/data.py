"""scikit-learn's bundled handwritten digits: split by writer, quantised, varied.

The 1797 images (8x8 pixels of 0..16) are stored writer by writer. The test set is the last three
writers, who appear nowhere else; the validation set is the two before them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Labels = NDArray[np.int64]

PIXEL_STEP = 1 / 8  # a model choice: 0..16 becomes 0..127, the positive half of int8
_VALIDATION_START = 1157
_TEST_START = 1415


class Digits(NamedTuple):
    """Images (N, 1, 8, 8) with pixels 0..16, and their labels (N,)."""

    images: Array
    labels: Labels


def load(*, validate: bool) -> tuple[Digits, Digits]:
    """The training set and the set to measure on.

    With `validate` that is the validation set, and the test set is not looked at; without, it is the
    test set, and the validation set is trained on too.
    """
    from sklearn import datasets

    raw: Any = datasets.load_digits()
    images = np.asarray(raw.data, np.float32).reshape(-1, 1, 8, 8)
    labels = np.asarray(raw.target, np.int64)
    start, end = (_VALIDATION_START, _TEST_START) if validate else (_TEST_START, len(labels))
    return Digits(images[:start], labels[:start]), Digits(images[start:end], labels[start:end])


def quantise(images: Array) -> Array:
    """Pixels as the network's integer input: 0..127."""
    return np.clip(np.floor(images / np.float32(PIXEL_STEP)), -128, 127)


def vary(images: Array, rng: np.random.Generator) -> Array:
    """Each image turned, scaled, sheared and moved a little, resampled bilinearly."""
    count, size = len(images), images.shape[-1]
    matrix = np.eye(2) + rng.normal(0.0, 0.08, (count, 2, 2))
    shift = rng.uniform(-0.8, 0.8, (count, 1, 2))
    centre = (size - 1) / 2
    grid = np.stack(np.meshgrid(*(np.arange(size),) * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    # One pixel of border stands for everything outside the image.
    source = np.clip((grid - centre) @ matrix + shift + centre + 1, 0, size + 0.999)
    padded = np.pad(images[:, 0], ((0, 0), (1, 1), (1, 1)))
    corner = np.floor(source).astype(np.intp)
    row, column = np.moveaxis(corner, -1, 0)
    down, right = np.moveaxis((source - corner).astype(np.float32), -1, 0)
    image = np.arange(count)[:, None]
    top = padded[image, row, column] * (1 - right) + padded[image, row, column + 1] * right
    row = row + 1
    bottom = padded[image, row, column] * (1 - right) + padded[image, row, column + 1] * right
    return (top * (1 - down) + bottom * down).reshape(images.shape)
