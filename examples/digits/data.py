"""scikit-learn's bundled handwritten digits: split by writer, quantised, varied.

The 1797 images (8x8 pixels of 0..16) are stored writer by writer. The test set is the last three
writers, who appear nowhere else; cross-validation on the others leaves out one or two at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Labels = NDArray[np.int64]

PIXEL_STEP = 1 / 8  # a model choice: 0..16 becomes 0..127, the positive half of int8
_TEST_START = 1415
# Where some writer's images start, inferred: the labels run twice through 0, 1, ... 9 there.
_FOLDS = (0, 256, 516, 776, 1029, 1287, _TEST_START)


class Digits(NamedTuple):
    """Images (N, 1, 8, 8) with pixels 0..16, and their labels (N,)."""

    images: Array
    labels: Labels


def load() -> tuple[Digits, Digits]:
    """The training set and the test set."""
    from sklearn import datasets

    raw: Any = datasets.load_digits()
    images = np.asarray(raw.data, np.float32).reshape(-1, 1, 8, 8)
    labels = np.asarray(raw.target, np.int64)
    train = Digits(images[:_TEST_START], labels[:_TEST_START])
    return train, Digits(images[_TEST_START:], labels[_TEST_START:])


def folds(train: Digits) -> Iterator[tuple[Digits, Digits]]:
    """The training set without some writers, and those writers; each is left out once."""
    for start, end in pairwise(_FOLDS):
        rest = np.r_[:start, end:_TEST_START]
        left_out = Digits(train.images[start:end], train.labels[start:end])
        yield Digits(train.images[rest], train.labels[rest]), left_out


def quantise(images: Array) -> Array:
    """Pixels as the network's integer input: 0..127."""
    return np.clip(np.floor(images / np.float32(PIXEL_STEP)), -128, 127)


def vary(images: Array, rng: np.random.Generator) -> Array:
    """Each image turned, scaled, sheared and moved a little, resampled bilinearly."""
    count, size = len(images), images.shape[-1]
    matrix = np.eye(2) + rng.normal(0.0, 0.08, (count, 2, 2))
    shift = rng.uniform(-0.5, 0.5, (count, 1, 2))
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
