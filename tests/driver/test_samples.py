"""Samples: where the arrays come from, which edge they are at, what is compared."""

from __future__ import annotations

from math import floor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from htvm_ir.driver.edges import Edge
from htvm_ir.driver.samples import load_samples
from htvm_ir.errors import HtvmError

INT8 = np.dtype(np.int8)
IMAGE = Edge(("image", "image.int8"), (1, 2, 3), INT8, (-128, 127), scale=1 / 8)
RAW = Edge(("raw",), (1, 2), INT8, (0, 100))
FLOATS = st.floats(allow_nan=False, allow_subnormal=False, width=32)
LOGITS = Edge(("logits",), (1, 4), INT8, (-128, 127), scale=0.5, zero_point=3)


def array(*shape: int, dtype: str = "int8", low: int = 0) -> NDArray[Any]:
    return (np.arange(np.prod(shape)).reshape(shape) + low).astype(dtype)


def saved(path: Path, **arrays: NDArray[Any]) -> str:
    np.savez(path / "x.npz", **arrays)  # pyright: ignore[reportArgumentType]
    return str(path / "x.npz")


@pytest.mark.parametrize("name", ["image", "image.int8", "input"])
def test_a_single_input_has_three_names(name: str, tmp_path: Path) -> None:
    found = load_samples(saved(tmp_path, **{name: array(5, 2, 3)}), [IMAGE], [LOGITS], None)
    np.testing.assert_array_equal(found.inputs[0], array(5, 2, 3))
    assert (len(found), found.edge, found.reference, found.labels) == (5, "integer", None, None)


def test_several_inputs_go_by_name_and_count(tmp_path: Path) -> None:
    both = {"raw": array(3, 2), "image": array(3, 2, 3)}
    found = load_samples(saved(tmp_path, **both), [IMAGE, RAW], [LOGITS], 2)
    assert [values.shape for values in found.inputs] == [(2, 2, 3), (2, 2)]
    with pytest.raises(HtvmError, match=r"different numbers of samples: \[3, 4\]"):
        load_samples(saved(tmp_path, **both | {"raw": array(4, 2)}), [IMAGE, RAW], [], None)
    with pytest.raises(HtvmError, match="no array 'raw'"):
        load_samples(saved(tmp_path, image=both["image"], input=both["raw"]), [IMAGE, RAW], [], None)


def test_first_reference_and_labels(tmp_path: Path) -> None:
    arrays = {"image": array(2, 2, 3), "output": array(2, 4), "logits": array(2, 4, low=9), "label": array(2)}
    found = load_samples(saved(tmp_path, **arrays), [IMAGE], [LOGITS], 1)
    assert found.reference is not None and found.labels is not None
    assert found.reference_name == "logits"
    np.testing.assert_array_equal(found.reference[0], arrays["logits"][:1])
    np.testing.assert_array_equal(found.labels, [0])


def test_references_of_several_outputs_go_by_their_names(tmp_path: Path) -> None:
    arrays = {"image": array(2, 2, 3), "output": array(2, 4), "alias": array(2, 4, low=1), "logits": array(2, 4, low=2)}
    other = Edge(("other", "alias"), (1, 4), INT8, (-128, 127))
    found = load_samples(saved(tmp_path, **arrays), [IMAGE], [other, LOGITS], None)
    assert found.reference is not None
    assert found.reference_name == "alias, logits"
    np.testing.assert_array_equal(found.reference[0], arrays["alias"])
    np.testing.assert_array_equal(found.reference[1], arrays["logits"])
    del arrays["alias"]
    assert load_samples(saved(tmp_path, **arrays), [IMAGE], [other, LOGITS], None).reference is None
    assert load_samples(saved(tmp_path, **arrays), [IMAGE], [RAW, RAW], None).reference is None


def test_float_reference_is_compared_as_integers(tmp_path: Path) -> None:
    real = (array(2, 4) - 3.0) * 0.5
    source = saved(tmp_path, image=array(2, 2, 3), output=real.astype(np.float32))
    found = load_samples(source, [IMAGE], [LOGITS], None)
    assert found.reference is not None
    np.testing.assert_array_equal(found.reference[0], array(2, 4))
    with pytest.raises(HtvmError, match="expected integers"):
        load_samples(source, [IMAGE], [Edge(("logits",), (1, 4), INT8, (-128, 127))], None)


def test_floats_need_a_scale(tmp_path: Path) -> None:
    source = saved(tmp_path, image=array(1, 2, 3, dtype="float32"))
    assert load_samples(source, [IMAGE], [], None).edge == "float"
    with pytest.raises(HtvmError, match="the network does not quantise it; give int8"):
        load_samples(source, [Edge(("image",), (1, 2, 3), INT8, (-128, 127))], [], None)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.floats(allow_nan=False, allow_subnormal=False, width=32), min_size=1),
    st.integers(-5, 5),
    st.sampled_from([0, 5, 15]),
)
def test_quantisation_is_floor_then_clip(values: list[float], exponent: int, zero_point: int) -> None:
    edge = Edge(("x",), (1, 1), INT8, (-100, 90), scale=2.0**exponent, zero_point=zero_point)
    found = edge.quantize(np.array(values, np.float32))
    assert found.dtype == np.int8
    scaled = [max(-1e9, min(1e9, value / 2.0**exponent)) for value in values]
    expected = [max(-100, min(90, floor(value) + zero_point)) for value in scaled]
    np.testing.assert_array_equal(found, expected)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32), st.integers(1, 40))
def test_random_samples_stay_in_the_stated_range(seed: int, count: int) -> None:
    found = load_samples(f"random:{seed}", [IMAGE, RAW], [LOGITS], count)
    assert [values.shape for values in found.inputs] == [(count, 2, 3), (count, 2)]
    assert found.inputs[1].min() >= 0 and found.inputs[1].max() <= 100
    again = load_samples(f"random:{seed}", [IMAGE, RAW], [LOGITS], count)
    assert all((a == b).all() for a, b in zip(found.inputs, again.inputs, strict=True))


def test_edges_round_as_they_say() -> None:
    values = np.array([-0.8, -0.75, -0.25, 0.0, 0.25, 0.5, 99.0], np.float32)
    floor = Edge(("x",), (1,), INT8, (-128, 127), scale=0.5)
    half_up = Edge(("x",), (1,), INT8, (-128, 127), scale=0.5, rounding="half_up")
    assert floor.quantize(values).tolist() == [-2, -2, -1, 0, 0, 1, 127]
    assert half_up.quantize(values).tolist() == [-2, -1, 0, 0, 1, 1, 127]
