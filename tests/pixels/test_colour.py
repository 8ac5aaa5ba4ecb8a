"""Colours: the kernel against exact fractions, pixel by pixel, and what has no conversion."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dicomcore._core import pixels
from dicomcore.errors import PixelError
from dicomcore.pixels.colour import convert, to_rgb, to_ybr
from dicomcore.pixels.image_model import ImageModel
from tests.reference import pixels as twin

BYTES = st.integers(0, 255)
PLAIN = [0, pixels.NARROW, pixels.SINGLY]


def model_of(shape: tuple[int, ...], photometric: str, bits: int = 8) -> ImageModel:
    samples = shape[2] if len(shape) > 2 else 1
    return ImageModel(
        keyword="PixelData", frames=1, rows=shape[0], columns=shape[1], samples=samples, photometric=photometric,
        planar=False, bits_allocated=bits, bits_stored=bits, high_bit=bits - 1, kind="u",
    )  # fmt: skip


def cube(step: int = 1) -> NDArray[np.uint8]:
    """Pixels of many colours: all that have two samples of their own and one of few values."""
    axis = np.arange(256, dtype=np.uint8)
    few = axis[::step]
    return np.stack(np.meshgrid(few, axis, axis, indexing="ij"), -1).reshape(-1, 3)


@given(st.lists(st.tuples(BYTES, BYTES, BYTES), min_size=1, max_size=40), st.sampled_from(PLAIN))
def test_colours_are_those_of_exact_fractions(colours: list[tuple[int, int, int]], plain: int) -> None:
    given_ = np.array(colours, np.uint8).reshape(-1)
    made = given_.copy()
    pixels.ybr_to_rgb(made, plain)
    assert [tuple(pixel) for pixel in made.reshape(-1, 3).tolist()] == [twin.to_rgb(*one) for one in colours]
    made = given_.copy()
    pixels.rgb_to_ybr(made, plain)
    assert [tuple(pixel) for pixel in made.reshape(-1, 3).tolist()] == [twin.to_ybr(*one) for one in colours]


@pytest.mark.parametrize("plain", PLAIN)
def test_every_pair_of_chrominances(plain: int) -> None:
    """In integers: 1000 y, 587 g and so on have no fractions but halves to round."""
    given_ = cube(51).astype(np.int64)
    y, u, v = given_[:, 0], given_[:, 1] - 128, given_[:, 2] - 128
    exact = [
        np.floor_divide(2 * (1000 * y + 1402 * v) + 1000, 2000),
        np.floor_divide(2 * (587000 * y - 202008 * u - 419198 * v) + 587000, 2 * 587000),
        np.floor_divide(2 * (1000 * y + 1772 * u) + 1000, 2000),
    ]
    made = cube(51)
    pixels.ybr_to_rgb(made.reshape(-1), plain)
    np.testing.assert_array_equal(made, np.clip(np.stack(exact, -1), 0, 255))
    r, g, b = given_.T
    luma = 299 * r + 587 * g + 114 * b
    exact = [
        np.floor_divide(2 * luma + 1000, 2000),
        128 + np.floor_divide(2 * (1000 * b - luma) + 1772, 2 * 1772),
        128 + np.floor_divide(2 * (1000 * r - luma) + 1402, 2 * 1402),
    ]
    made = cube(51)
    pixels.rgb_to_ybr(made.reshape(-1), plain)
    np.testing.assert_array_equal(made, np.clip(np.stack(exact, -1), 0, 255))


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 4095, 4096, 4097, 9000])
def test_any_number_of_pixels(count: int) -> None:
    given_ = np.random.default_rng(count).integers(0, 256, 3 * count, np.uint8)
    fast, narrow = given_.copy(), given_.copy()
    pixels.ybr_to_rgb(fast)
    pixels.ybr_to_rgb(narrow, pixels.NARROW)
    np.testing.assert_array_equal(fast, narrow)
    for i in range(0, 3 * count, max(3, count // 20 * 3)):
        assert tuple(fast[i : i + 3].tolist()) == twin.to_rgb(*given_[i : i + 3].tolist())


def test_grey_stays_grey() -> None:
    grey = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(1, 256, 3)
    made = convert(grey, model_of(grey.shape, "RGB"), "YBR_FULL")
    assert (made[..., 1:] == 128).all()
    np.testing.assert_array_equal(convert(made, model_of(grey.shape, "YBR_FULL"), "RGB"), grey)


@pytest.mark.parametrize(("given_", "wanted"), [("YBR_FULL", "YBR_FULL_422"), ("YBR_FULL_422", "YBR_FULL"),
                                                ("PALETTE COLOR", "PALETTE COLOR"), ("RGB", "RGB")])  # fmt: skip
def test_what_is_the_same_is_not_copied(given_: str, wanted: str) -> None:
    frame = np.zeros((1, 2, 3), np.uint8)
    assert convert(frame, model_of(frame.shape, given_), wanted) is frame


def test_a_conversion_leaves_what_it_is_given() -> None:
    frame = np.full((2, 2, 3), [255, 0, 0], np.uint8)
    frame.setflags(write=False)
    made = convert(frame, model_of(frame.shape, "RGB"), "YBR_FULL_422")
    assert made[0, 0].tolist() == [76, 85, 255]
    assert frame[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(("given_", "wanted"), [("RGB", "MONOCHROME2"), ("PALETTE COLOR", "RGB"), ("YBR_ICT", "RGB")])
def test_other_colours_are_refused(given_: str, wanted: str) -> None:
    frame = np.zeros((1, 2, 3), np.uint8)
    with pytest.raises(PixelError, match=f"{given_} cannot become {wanted}"):
        convert(frame, model_of(frame.shape, given_), wanted)


@pytest.mark.parametrize("work", [to_rgb, to_ybr])
def test_only_three_samples_of_a_byte(work: Any) -> None:
    for shape, dtype in itertools.product([(1, 2), (1, 2, 3)], [np.uint8, np.uint16]):
        if (len(shape), dtype) != (3, np.uint8):
            frame = np.zeros(shape, dtype)
            with pytest.raises(PixelError, match="3 samples of 8 bits"):
                work(frame, model_of(shape, "YBR_FULL", frame.itemsize * 8))
    with pytest.raises(ValueError, match="pixels of three"):
        pixels.ybr_to_rgb(np.zeros(4, np.uint8))
