"""The kernel of dose grids against its plain twin, and what it promises of rounding."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dicomcore._core import dose as kernel
from tests.reference import dose as twin

CODINGS = st.sampled_from([16, 32]).flatmap(
    lambda allocated: st.tuples(
        st.just(allocated),
        st.integers(1, allocated),
        st.booleans(),
        st.sampled_from([twin.LITTLE, twin.BIG, twin.WORDS]),
    )
)
SCALINGS = st.sampled_from([1.0, 1e-6, 2.3456789e-8, 0.25, 1e-300, 3e5])


def stored_bytes(draw: Any, allocated: int) -> bytes:
    """Up to 70 voxels, so that every loop has a remainder; often the ends of what can be stored."""
    one = st.one_of(
        st.integers(0, (1 << allocated) - 1),
        st.sampled_from([0, 1, (1 << allocated) - 1, 1 << (allocated - 1), (1 << (allocated - 1)) - 1]),
    )
    values = draw(st.lists(one, min_size=1, max_size=70))
    return b"".join(value.to_bytes(allocated // 8, "little") for value in values)


@given(st.data(), CODINGS, SCALINGS)
def test_scaling_and_measuring(data: st.DataObject, coding: tuple[int, int, bool, int], scaling: float) -> None:
    stored = stored_bytes(data.draw, coding[0])
    expected = twin.numbers(stored, *coding)
    described = kernel.Coding(*coding)
    assert described.lowest <= min(expected)
    assert max(expected) <= described.highest
    doubles, singles = np.full(len(expected), np.nan), np.full(len(expected), np.nan, np.float32)
    assert kernel.scale(stored, described, scaling, doubles) is None
    assert doubles.tolist() == twin.scale(expected, scaling)
    extent = kernel.scale(stored, described, scaling, singles, True)
    with np.errstate(under="ignore", over="ignore"):
        np.testing.assert_array_equal(singles, np.array(twin.scale(expected, scaling)).astype(np.float32))
    assert extent == kernel.measure(stored, described) == twin.measure(expected)


def test_single_precision_is_the_product_rounded_once_more() -> None:
    """The nearest float to the double product, for every 9,973rd number of 32 bits."""
    stored = np.arange(0, 1 << 32, 9973, dtype=np.uint32)
    scaling = 2.7182818284e-8
    single, exact = np.empty(stored.size, np.float32), np.empty(stored.size)
    coding = kernel.Coding(32, 32, False, kernel.LITTLE)
    view = stored.astype("<u4").view(np.uint8)
    kernel.scale(view, coding, scaling, single)
    kernel.scale(view, coding, scaling, exact)
    np.testing.assert_array_equal(exact, stored * scaling)
    np.testing.assert_array_equal(single, exact.astype(np.float32))
    assert np.all(np.abs(single.astype(np.float64) - exact) <= np.spacing(single) / 2)


def test_sums_do_not_overflow() -> None:
    stored = np.full(100_003, 0xFFFFFFFF, "<u4").view(np.uint8)
    assert kernel.measure(stored, kernel.Coding(32, 32, False, kernel.LITTLE)) == (
        0xFFFFFFFF,
        0xFFFFFFFF,
        100_003 * 0xFFFFFFFF,
    )
    assert kernel.measure(stored, kernel.Coding(32, 32, True, kernel.LITTLE)) == (-1, -1, -100_003)


@given(st.data(), CODINGS, st.booleans())
def test_counting(data: st.DataObject, coding: tuple[int, int, bool, int], masked: bool) -> None:
    stored = stored_bytes(data.draw, coding[0]) * data.draw(st.sampled_from([1, 1, 600]))
    values = twin.numbers(stored, *coding)
    near = st.sampled_from(values).flatmap(lambda value: st.integers(value - 2, value + 2))
    far = st.integers(-(1 << 40), 1 << 40)
    starts = sorted(data.draw(st.lists(st.one_of(near, far), min_size=2, max_size=30)))
    check_counts(stored, coding, values, starts, data.draw(st.integers(0, 1 << 30)) if masked else None)


@pytest.mark.parametrize("bins", [1, 3, 1000])
@pytest.mark.parametrize("coding", [(32, 32, False, 0), (32, 32, True, 0), (16, 16, False, 1), (32, 24, False, 2)])
def test_counting_in_equal_bins(coding: tuple[int, int, bool, int], bins: int) -> None:
    random = np.random.default_rng(5)
    stored = random.bytes(1499 * coding[0] // 8)
    values = twin.numbers(stored, *coding)
    low, high = np.quantile(values, [0.1, 0.9])
    check_counts(stored, coding, values, np.linspace(low, high, bins + 1).astype(int).tolist(), None)


def check_counts(
    stored: bytes, coding: tuple[int, int, bool, int], values: list[int], starts: list[int], seed: int | None
) -> None:
    mask = None if seed is None else np.random.default_rng(seed).random(len(values)) < 0.6
    counts = np.zeros((4, len(starts) + 1), np.uint32)
    flags = None if mask is None else mask.view(np.uint8)
    kernel.count(stored, kernel.Coding(*coding), np.array(starts, np.int64), counts, flags)
    expected = np.zeros(len(starts) + 1, int)
    places = np.searchsorted(starts, values, side="right")
    np.add.at(expected, places if mask is None else places[mask], 1)
    assert counts.sum(axis=0).tolist() == expected.tolist()
    if len(values) < 100:
        assert expected.tolist() == twin.count(values, starts, None if mask is None else mask.tolist())


@given(
    st.lists(st.floats(-2, 12, width=32) | st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 10.0]), max_size=60),
    st.integers(1, 40),
    st.sampled_from([np.float32, np.float64]),
)
def test_counting_of_floating_values(values: list[float], bins: int, kind: type) -> None:
    edges = np.linspace(0.0, 10.0, bins + 1)
    array: NDArray[Any] = np.array(values, kind)
    counts = np.zeros((4, bins + 2), np.uint32)
    kernel.count_values(array, edges, counts)
    assert counts.sum(axis=0).tolist() == twin.count_values(array.tolist(), edges.tolist())
    mask = np.arange(len(values)) % 3 == 0
    counts[...] = 0
    kernel.count_values(array, edges, counts, mask.view(np.uint8))
    assert counts.sum(axis=0).tolist() == twin.count_values(array.tolist(), edges.tolist(), mask.tolist())


@given(
    st.lists(st.floats(-100, 100, width=32), max_size=30),
    st.sampled_from([0.001, 0.5, 1.0, 3e-8]),
    st.sampled_from([(16, True), (16, False), (32, True), (32, False)]),
    st.sampled_from([np.float32, np.float64]),
)
def test_storing(values: list[float], scaling: float, kind: tuple[int, bool], dtype: type) -> None:
    bits, signed = kind
    coding = kernel.Coding(bits, bits, signed, kernel.LITTLE)
    array: NDArray[Any] = np.array(values, dtype)
    out = np.empty(len(values), f"{'i' if signed else 'u'}{bits // 8}")
    error = kernel.store(array, scaling, coding.lowest, coding.highest, out.view(np.uint8), bits)
    expected, worst = twin.store(array.tolist(), scaling, coding.lowest, coding.highest)
    assert out.tolist() == expected
    assert error == worst
    assert kernel.store(array, scaling, coding.lowest, coding.highest) == worst


@given(st.data(), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
def test_sampling(data: st.DataObject, frames: int, rows: int, columns: int) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 1 << 20)))
    grid = random.random((frames, rows, columns))
    offsets = np.cumsum(random.uniform(0.5, 4.0, frames))
    offsets -= offsets[0]
    inside = st.tuples(st.floats(-0.5, offsets[-1] + 0.5), st.floats(-0.5, rows - 0.5), st.floats(-0.5, columns - 0.5))
    corner = st.tuples(st.sampled_from(offsets.tolist()), st.integers(0, rows - 1), st.integers(0, columns - 1))
    points = np.array(data.draw(st.lists(st.one_of(inside, corner), min_size=1, max_size=20)), np.float64)
    out = np.empty(len(points))
    kernel.sample(grid, offsets, points, np.zeros(3), np.eye(3), 0.0, math.nan, out)
    expected = [twin.sample(grid.tolist(), offsets.tolist(), tuple(point)) for point in points.tolist()]
    np.testing.assert_allclose(out, expected, rtol=1e-12)


def test_sampling_at_a_voxel_is_that_voxel() -> None:
    grid = np.random.default_rng(1).random((3, 4, 5), np.float32)
    index = np.stack(np.meshgrid(range(3), range(4), range(5), indexing="ij"), -1).reshape(-1, 3).astype(float)
    offsets = np.array([0.0, 1.0, 2.5])
    points = np.column_stack([offsets[index[:, 0].astype(int)], index[:, 1:]])
    out = np.empty(60)
    kernel.sample(grid, offsets, points, np.zeros(3), np.eye(3), 0.0, math.nan, out)
    assert out.tolist() == grid.reshape(-1).tolist()


def test_points_that_are_no_numbers_are_outside() -> None:
    points = np.array([[math.nan, 0, 0], [0, math.nan, 0], [0, 0, math.inf], [-math.inf, 0, 0], [1e300, 1e300, 1e300]])
    out = np.empty(len(points))
    kernel.sample(np.zeros((2, 2, 2)), np.array([0.0, 1.0]), points, np.zeros(3), np.eye(3), 1e-3, -1.0, out)
    assert out.tolist() == [-1.0] * len(points)


def test_nothing_is_nothing() -> None:
    coding = kernel.Coding(16, 12, False, kernel.LITTLE)
    empty: NDArray[np.float64] = np.empty(0)
    assert kernel.scale(b"", coding, 1.0, empty, True) is None
    assert kernel.measure(b"", coding) is None
    counts = np.zeros((4, 3), np.uint32)
    kernel.count(b"", coding, np.array([0, 1]), counts)
    assert not counts.any()
    assert kernel.store(empty, 1.0, 0, 1) == 0.0


def test_sizes_are_checked() -> None:
    coding = kernel.Coding(32, 32, False, kernel.LITTLE)
    counts, values = np.zeros((4, 3), np.uint32), np.zeros(2)
    wrong: list[Any] = [
        lambda: kernel.Coding(8, 8, False, 0),
        lambda: kernel.Coding(16, 17, False, 0),
        lambda: kernel.Coding(16, 0, False, 0),
        lambda: kernel.Coding(16, 16, False, 3),
        lambda: kernel.scale(bytes(7), coding, 1.0, values),
        lambda: kernel.scale(bytes(12), coding, 1.0, values),
        lambda: kernel.measure(bytes(3), coding),
        lambda: kernel.count(bytes(4), coding, np.array([0, 1, 2]), counts),
        lambda: kernel.count(bytes(4), coding, np.array([0]), counts),
        lambda: kernel.count(bytes(4), coding, np.array([1, 0]), counts),
        lambda: kernel.count(bytes(4), coding, np.array([0, 1]), counts, np.zeros(2, np.uint8)),
        lambda: kernel.count_values(values, np.array([1.0, 1.0]), counts),
        lambda: kernel.count_values(values, np.array([0.0, 1.0]), counts, np.zeros(3, np.uint8)),
        lambda: kernel.store(values, 1.0, 0, 1, np.zeros(3, np.uint8), 16),
        lambda: kernel.store(values, 1.0, 0, 1, np.zeros(2, np.uint8), 8),
        lambda: kernel.store(values, 1.0, 0, 1, None, 16),
    ]
    for call in wrong:
        with pytest.raises(ValueError):  # noqa: PT011 - the messages are for whoever calls kernels
            call()
    eye, origin = np.eye(3), np.zeros(3)
    for grid, offsets, points, out in (
        (np.zeros((2, 2, 2)), np.zeros(1), np.zeros((1, 3)), np.zeros(1)),
        (np.zeros((2, 2, 2)), np.zeros(2), np.zeros((1, 2)), np.zeros(1)),
        (np.zeros((2, 2, 2)), np.zeros(2), np.zeros((1, 3)), np.zeros(2)),
        (np.zeros((0, 2, 2)), np.zeros(0), np.zeros((1, 3)), np.zeros(1)),
    ):
        with pytest.raises(ValueError, match=r"fit|n x 3"):
            kernel.sample(grid, offsets, points, origin, eye, 0.0, 0.0, out)
