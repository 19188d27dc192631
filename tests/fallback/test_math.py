"""The library of functions in single precision, against double precision, on this machine."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from htvm_ir.fallback.kernels import MATH

Floats = NDArray[np.float32]

FUNCTIONS: dict[str, tuple[Callable[[NDArray[np.float64]], Any], float, tuple[float, float]]] = {
    "expf": (np.exp, 2, (-87.0, 88.7)),
    "exp2f": (np.exp2, 2, (-125.0, 127.9)),
    "logf": (np.log, 2, (1e-37, 1e37)),
    "log2f": (np.log2, 3, (1e-37, 1e37)),
    "log10f": (np.log10, 3, (1e-37, 1e37)),
    "tanhf": (np.tanh, 3, (-12.0, 12.0)),
    "erff": (np.vectorize(math.erf), 3, (-5.0, 5.0)),
    "sqrtf": (np.sqrt, 0.5, (0.0, 3e38)),
    "floorf": (np.floor, 0, (-1e7, 1e7)),
    "ceilf": (np.ceil, 0, (-1e7, 1e7)),
    "truncf": (np.trunc, 0, (-1e7, 1e7)),
    "nearbyintf": (np.rint, 0, (-1e7, 1e7)),
    "rintf": (np.rint, 0, (-1e7, 1e7)),
    "fabsf": (np.abs, 0, (-1e30, 1e30)),
}
"""The exact function, the error in units of the last place of the result that is allowed, and where."""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """All functions, each with an entry that applies it to arrays; warnings are errors."""
    from htvm_ir.interpreters.external import compile_library

    names = [*FUNCTIONS, "roundf"]
    entries = [
        f"void on_{n}(const float *x, float *y, int n) {{ for (int i = 0; i < n; i++) y[i] = htvm_{n}(x[i]); }}"
        for n in names
    ]
    pairs = [
        f"void on_{n}(const float *x, const float *y, float *z, int n) "
        f"{{ for (int i = 0; i < n; i++) z[i] = htvm_{n}(x[i], y[i]); }}"
        for n in ("powf", "fmaxf", "fminf")
    ]
    return compile_library("\n".join(["#include <stdint.h>", MATH.read_text(), *entries, *pairs]))


def apply(library: ctypes.CDLL, name: str, *operands: Floats) -> Floats:
    """A function of the library on arrays."""
    result = np.empty_like(operands[0])
    addresses = [ctypes.c_void_p(array.ctypes.data) for array in (*operands, result)]
    library[f"on_{name}"](*addresses, ctypes.c_int(result.size))
    return result


def spread(low: float, high: float) -> Floats:
    """Numbers of a range: evenly, by magnitude, and around its ends."""
    generator = np.random.default_rng(0)
    even = generator.uniform(low, high, 200_000)
    small = np.exp(generator.uniform(np.log(1e-30), np.log(max(abs(low), abs(high))), 200_000))
    signs = generator.choice([-1.0, 1.0], small.size) if low < 0 else 1.0
    every = np.concatenate([even, small * signs, [low, high, 0.5, 1.0, 1.5, 2.5]]).astype(np.float32)
    return every[(every >= np.float32(low)) & (every <= np.float32(high))]


@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_functions_are_exact_to_a_few_units_in_the_last_place(library: ctypes.CDLL, name: str) -> None:
    exact, allowed, (low, high) = FUNCTIONS[name]
    x = spread(low, high)
    expected = np.asarray(exact(x.astype(np.float64)), np.float64)
    error = np.abs(apply(library, name, x).astype(np.float64) - expected)
    unit = np.spacing(np.abs(expected).astype(np.float32)).astype(np.float64)
    if name.startswith("log"):  # next to 1 the result is small, and so are the errors, but not beside it
        unit = np.maximum(unit, 2**-24)
    worst = int(np.argmax(error / unit))
    assert (error <= allowed * unit).all(), f"{name}({x[worst]!r}) is {(error / unit)[worst]:.1f} units off"


def test_round_goes_away_from_zero(library: ctypes.CDLL) -> None:
    x = np.asarray([-2.5, -1.5, -0.5, -0.49999997, 0.49999997, 0.5, 1.5, 2.5, 8388609.0], np.float32)
    assert apply(library, "roundf", x).tolist() == [-3, -2, -1, 0, 0, 1, 2, 3, 8388609]


def test_power(library: ctypes.CDLL) -> None:
    generator = np.random.default_rng(1)
    x = np.exp(generator.uniform(-5, 5, 50_000)).astype(np.float32)
    y = generator.uniform(-10, 10, x.size).astype(np.float32)
    exact = np.power(x.astype(np.float64), y.astype(np.float64))
    assert (np.abs(apply(library, "powf", x, y) / exact - 1) < 1e-5).all()
    cases: Sequence[tuple[float, float, float]] = [
        (-2, 3, -8),
        (-2, 2, 4),
        (2, -2, 0.25),
        (0, 0, 1),
        (0, 2.5, 0),
        (4, 0.5, 2),
        (1.5, 2, 2.25),
    ]
    a, b, c = (np.asarray(column, np.float32) for column in zip(*cases, strict=True))
    assert apply(library, "powf", a, b) == pytest.approx(c, rel=1e-6)


@pytest.mark.parametrize("name", ["expf", "logf", "tanhf", "erff", "sqrtf", "floorf", "nearbyintf"])
def test_what_is_no_number(library: ctypes.CDLL, name: str) -> None:
    x = np.asarray([np.nan, np.inf], np.float32)
    got = apply(library, name, x)
    assert np.isnan(got[0])
    assert got[1] == (1 if name in ("tanhf", "erff") else np.inf)


def test_no_number_where_there_is_none(library: ctypes.CDLL) -> None:
    assert np.isnan(apply(library, "sqrtf", np.asarray([-1.0], np.float32)))
    assert np.isnan(apply(library, "logf", np.asarray([-1.0], np.float32)))
    assert apply(library, "logf", np.asarray([0.0], np.float32)) == -np.inf
    assert apply(library, "expf", np.asarray([-200.0, 200.0], np.float32)).tolist() == [0, np.inf]


def test_every_part_names_what_it_needs(tmp_path: Path) -> None:
    """Each function compiles with nothing but the ones it names."""
    from htvm_ir.fallback.kernels import closure, library
    from htvm_ir.interpreters.external import compile_library

    parts = library()
    for name in parts:
        needed = closure({name}, parts)
        text = "\n".join(["#include <stdint.h>", *(parts[other][1] for other in parts if other in needed)])
        compile_library(f"{text}\nvoid *entry(void) {{ return (void *)htvm_{name}; }}")
