"""``pixel_array``: new, writable, owned, of all frames, in the shape and type that pydicom gives (PS3.3 C.7.6.3)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dicomcore import frames
from dicomcore.errors import LimitExceeded, PixelError
from dicomcore.pixels.array import pixel_array
from tests.pixels.objects import EXPLICIT_BE, encapsulated, image, items, read


@pytest.mark.parametrize("changes", [
    {},
    {"NumberOfFrames": 2},
    {"SamplesPerPixel": 3, "PlanarConfiguration": 0, "PhotometricInterpretation": "RGB"},
    {"SamplesPerPixel": 3, "PlanarConfiguration": 1, "PhotometricInterpretation": "RGB", "NumberOfFrames": 2},
    {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11, "NumberOfFrames": 2},
    {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0, "NumberOfFrames": 2},
])  # fmt: skip
@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", EXPLICIT_BE])
def test_it_is_new_writable_and_owned(changes: dict[str, Any], syntax: str) -> None:
    samples, count = changes.get("SamplesPerPixel", 1), changes.get("NumberOfFrames", 1)
    length = -(-6 * samples * count * changes.get("BitsAllocated", 8) // 8)
    ds = read(image(**{"PixelData": bytes(range(1, length + 1))} | changes), syntax)
    array = pixel_array(ds)
    assert array.flags.writeable
    assert array.flags.owndata
    assert array.flags.c_contiguous
    assert array.shape == (count,) * (count > 1) + (2, 3) + (samples,) * (samples > 1)
    np.testing.assert_array_equal(array.ravel(), frames(ds).decode_many().ravel())
    array[:] = 0
    assert pixel_array(ds).any()


def test_pixels_of_a_big_endian_file_keep_its_order_in_their_type() -> None:
    values = np.arange(6, dtype="<u2").reshape(2, 3)
    ds = read(image(BitsAllocated=16, BitsStored=16, HighBit=15, PixelData=values.tobytes()), EXPLICIT_BE)
    array = ds.pixel_array
    assert array.dtype.str == ">u2"
    assert array.flags.owndata
    np.testing.assert_array_equal(array, values)
    assert frames(ds)[0].dtype.isnative


def test_what_was_wrong_is_in_the_issues_of_the_data_set() -> None:
    ds = read(image(Rows=4, PixelData=bytes(24)))
    for _ in range(2):
        assert ds.pixel_array.shape == (2, 4, 3)  # more whole frames than Number of Frames says
    assert ["2 frames" in issue.message for issue in ds.issues] == [True]
    assert image(Rows=4, PixelData=bytes(24)).pixel_array.shape == (2, 4, 3)


@pytest.mark.parametrize("changes", [{}, {"NumberOfFrames": 2}, {"NumberOfFrames": 2**31 - 1}, {"Rows": 65535}])
def test_what_is_cut_short_is_refused(changes: dict[str, int]) -> None:
    ds = read(image(**{"PixelData": bytes(range(4))} | changes))
    with pytest.raises(PixelError, match=r"frame 0 is missing: 4 bytes of pixel data") as caught:
        _ = ds.pixel_array
    assert caught.value.hint


def test_an_absurd_size_is_refused_before_it_is_allocated() -> None:
    ds = encapsulated([[b"abcdef"]], syntax="1.2.840.10008.1.2.5", Rows=65535, Columns=65535, NumberOfFrames=1)
    ds.Rows = 65535
    ds.BitsAllocated = ds.BitsStored = 64
    ds.HighBit = 63
    with pytest.raises(LimitExceeded, match="over the limit"):
        _ = ds.pixel_array


def test_an_icon_in_an_encapsulated_object_may_be_native() -> None:
    """PS3.5 A.4 encapsulates the pixel data of the image; those of an icon within it may be as they are."""
    icon = image(PixelData=bytes(range(6)), SOPClassUID=None, SOPInstanceUID=None)
    ds = encapsulated([[b"\0" * 6]], IconImageSequence=[icon])
    np.testing.assert_array_equal(ds.IconImageSequence[0].pixel_array, np.arange(6).reshape(2, 3))
    ds.IconImageSequence[0].PixelData = items([b"abcdef"])
    with pytest.raises(PixelError, match=r"2\.25\.1"):
        _ = ds.IconImageSequence[0].pixel_array
