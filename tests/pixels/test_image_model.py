"""The description of pixels: what it needs, what it refuses, and the lengths that follow from it (PS3.3 C.7.6.3)."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from dicomcore.data.dataset import Dataset
from dicomcore.errors import LimitExceeded, PixelError
from dicomcore.limits import Limits
from dicomcore.pixels import ImageModel


def image(**changes: Any) -> Dataset:
    values: dict[str, Any] = {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": 4,
        "Columns": 6,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "PixelData": bytes(48),
    }
    ds = Dataset()
    for keyword, value in (values | changes).items():
        if value is not None:
            setattr(ds, keyword, value)
    return ds


def test_lengths_shape_and_type() -> None:
    model = ImageModel.from_dataset(image())
    assert (model.shape, model.dtype.str.strip("<>|="), model.stored_length, model.path) == (
        (4, 6), "u2", 48, "(7FE0,0010)",
    )  # fmt: skip
    many = ImageModel.from_dataset(image(NumberOfFrames=3, SamplesPerPixel=3, PlanarConfiguration=1, BitsAllocated=8,
                                         BitsStored=8, PixelRepresentation=1))  # fmt: skip
    assert (many.shape, many.dtype.name, many.stored_length, many.planar) == ((3, 4, 6, 3), "int8", 216, True)
    bits = ImageModel.from_dataset(image(BitsAllocated=1, BitsStored=1, HighBit=0, NumberOfFrames=3))
    assert (bits.stored_length, bits.dtype.name) == (9, "uint8")
    colour = image(SamplesPerPixel=3, PhotometricInterpretation="YBR_FULL_422", PlanarConfiguration=0, BitsAllocated=8,
                   BitsStored=8)  # fmt: skip
    assert ImageModel.from_dataset(colour).stored_length == 48
    with pytest.raises(FrozenInstanceError):
        model.rows = 7  # type: ignore[misc]


@pytest.mark.parametrize("keyword", ["Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation",
                                     "BitsAllocated", "BitsStored", "PixelRepresentation"])  # fmt: skip
def test_what_is_missing_is_named(keyword: str) -> None:
    with pytest.raises(PixelError, match=keyword) as caught:
        ImageModel.from_dataset(image(**{keyword: None}))
    assert caught.value.path == "(7FE0,0010)"


@pytest.mark.parametrize("frames", [None, 0, 1])
def test_no_number_of_frames_is_one(frames: int | None) -> None:
    assert ImageModel.from_dataset(image(NumberOfFrames=frames)).frames == 1


@pytest.mark.parametrize(("changes", "word"), [
    ({"Rows": 0}, "Rows"),
    ({"Columns": 0}, "Columns"),
    ({"SamplesPerPixel": 2, "PlanarConfiguration": 0}, "Samples per Pixel"),
    ({"BitsAllocated": 12}, "Bits Allocated"),
    ({"BitsStored": 17}, "Bits Stored"),
    ({"BitsStored": 0}, "Bits Stored"),
    ({"NumberOfFrames": -1}, "Number of Frames"),
    ({"SamplesPerPixel": 3}, "PlanarConfiguration"),
    ({"Rows": [1, 2]}, "Rows"),
    ({"PixelData": None}, "no Pixel Data"),
    ({"FloatPixelData": bytes(96)}, "PixelData and FloatPixelData"),
    ({"PhotometricInterpretation": "YBR_FULL_422"}, "YBR_FULL_422"),
])  # fmt: skip
def test_what_no_array_can_hold_is_refused(changes: dict[str, Any], word: str) -> None:
    with pytest.raises(PixelError, match=word):
        ImageModel.from_dataset(image(**changes))


def test_too_little_is_refused_and_more_means_more_frames() -> None:
    model = ImageModel.from_dataset(image())
    assert model.check_length(48) is model
    assert model.check_length(95) is model
    assert model.check_length(96).frames == 2
    with pytest.raises(PixelError, match="47 bytes of pixel data") as caught:
        model.check_length(47)
    assert caught.value.hint


def test_a_padding_byte_is_no_frame() -> None:
    tiny = image(Rows=1, Columns=1, BitsAllocated=8, BitsStored=8)
    assert ImageModel.from_dataset(tiny).check_length(2).frames == 1


def test_subsampled_data_that_is_not_subsampled_is_refused() -> None:
    model = ImageModel.from_dataset(image(SamplesPerPixel=3, PhotometricInterpretation="YBR_FULL_422",
                                          PlanarConfiguration=0, BitsAllocated=8, BitsStored=8))  # fmt: skip
    assert model.check_length(48) is model
    with pytest.raises(PixelError, match="too many"):
        model.check_length(72)


def test_the_decoded_array_is_bounded_before_it_is_made() -> None:
    model = ImageModel.from_dataset(image(Rows=65535, Columns=65535, NumberOfFrames=2**31 - 1))
    with pytest.raises(LimitExceeded, match="over the limit"):
        model.check_limits()
    ImageModel.from_dataset(image()).check_limits(Limits(inflated_length=48))
    with pytest.raises(LimitExceeded):
        ImageModel.from_dataset(image()).check_limits(Limits(inflated_length=47))


def test_a_code_stream_needs_less() -> None:
    """Of what is encapsulated, chrominance may be halved for an odd number of columns, and planes are no matter."""
    ds = image(SamplesPerPixel=3, PhotometricInterpretation="YBR_FULL_422", BitsAllocated=8, BitsStored=8, Columns=5)
    with pytest.raises(PixelError, match="PlanarConfiguration"):
        ImageModel.from_dataset(ds)
    model = ImageModel.from_dataset(ds, native=False)
    assert (model.frame_shape, model.planar) == ((4, 5, 3), False)
    with pytest.raises(PixelError, match="even number of Columns"):
        model.check()
    with pytest.raises(PixelError, match="Rows is 0"):
        model.but(rows=0).check(native=False)
