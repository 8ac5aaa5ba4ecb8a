"""Overlay planes: packed, over several frames, in unused bits of the pixels, and what transcoding makes of those."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dicomcore import Dataset, LimitExceeded, Limits, PixelError, dcmread, frames, transcode
from dicomcore.pixels import Overlay, overlays
from dicomcore.pixels.overlays import move_overlays
from tests.pixels.objects import EXPLICIT_BE, RLE, encapsulated, image, read

FILES = Path(pydicom.__file__).parent / "data" / "test_files"
LITTLE = "1.2.840.10008.1.2.1"
PLANE = np.array([[1, 0, 1, 1, 0], [0, 1, 1, 0, 0], [1, 1, 0, 0, 1]], bool)


def overlaid(planes: NDArray[np.bool_], group: int = 0x6000, base: Dataset | None = None, **values: Any) -> Dataset:
    """An image of 6 x 8 bytes under these planes. ``values``: by the names of `ELEMENTS`."""
    ds = base or image(Rows=6, Columns=8, PixelData=bytes(48))
    data = np.packbits(planes.reshape(-1), bitorder="little").tobytes()
    given_ = {"rows": planes.shape[-2], "columns": planes.shape[-1], "type": "G", "origin": [1, 1], "bits": 1,
              "position": 0, "data": data + b"\0" * (len(data) % 2)} | values  # fmt: skip
    for name, value in given_.items():
        element, vr = ELEMENTS[name]
        if value is not None:
            ds.add_new(group << 16 | element, vr, value)
    return ds


ELEMENTS = {
    "rows": (0x10, "US"), "columns": (0x11, "US"), "frames": (0x15, "IS"), "description": (0x22, "LO"),
    "type": (0x40, "CS"), "origin": (0x50, "SS"), "first": (0x51, "US"), "bits": (0x100, "US"),
    "position": (0x102, "US"), "label": (0x1500, "LO"), "data": (0x3000, "OW"),
}  # fmt: skip


def test_the_file_of_pydicom() -> None:
    path = FILES / "examples_overlay.dcm"
    found = overlays(dcmread(path))
    assert [one.group for one in found] == [0x6000]
    np.testing.assert_array_equal(found[0].array, pydicom.dcmread(path).overlay_array(0x6000))
    assert (found[0].type, found[0].is_embedded) == ("G", False)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", LITTLE, EXPLICIT_BE])
def test_packed_bits(syntax: str) -> None:
    ds = overlaid(PLANE, 0x6002, label="lesion", description="drawn", type="R", origin=[2, -1])
    ds = read(overlaid(~PLANE, base=ds), syntax)
    first, second = overlays(ds)
    np.testing.assert_array_equal(first.array, ~PLANE)
    np.testing.assert_array_equal(second.array, PLANE)
    assert first.array.dtype == bool
    assert (second.group, second.label, second.description, second.type) == (0x6002, "lesion", "drawn", "R")
    assert (second.origin, first.origin) == ((2, -1), (1, 1))


def test_where_it_lies_on_the_image() -> None:
    one = overlays(overlaid(PLANE, origin=[2, 3]))[0]
    mask = one.over(6, 8)
    np.testing.assert_array_equal(mask[1:4, 2:7], PLANE)
    assert mask.sum() == PLANE.sum()
    np.testing.assert_array_equal(overlays(overlaid(PLANE, origin=[-1, 0]))[0].over(6, 8)[:1, :4], PLANE[2:, 1:])
    np.testing.assert_array_equal(overlays(overlaid(PLANE, origin=[5, 7]))[0].over(6, 8)[4:, 6:], PLANE[:2, :2])


@given(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), st.integers(1, 9), st.integers(1, 9))
def test_any_origin(origin: tuple[int, int], rows: int, columns: int) -> None:
    one = Overlay(0x6000, PLANE[np.newaxis], origin, "G")
    wanted = np.zeros((rows, columns), bool)
    for row, column in np.argwhere(PLANE):
        at = row + origin[0] - 1, column + origin[1] - 1
        if 0 <= at[0] < rows and 0 <= at[1] < columns:
            wanted[at] = True
    np.testing.assert_array_equal(one.over(rows, columns), wanted)


def test_several_frames() -> None:
    planes = np.stack([PLANE, ~PLANE, PLANE])
    one = overlays(overlaid(planes, frames=3, first=2))[0]
    np.testing.assert_array_equal(one.frames, planes)
    assert one.first_frame == 1
    assert one.plane(0) is None
    np.testing.assert_array_equal(one.plane(2), ~PLANE)
    assert one.plane(4) is None
    assert not one.over(6, 8, 0).any()


def test_one_plane_over_all_frames() -> None:
    one = overlays(overlaid(PLANE))[0]
    np.testing.assert_array_equal(one.plane(99), PLANE)
    told = overlays(overlaid(PLANE, frames=1))[0]
    np.testing.assert_array_equal(told.plane(0), PLANE)
    assert told.plane(1) is None


@pytest.mark.parametrize(("values", "message", "path"), [
    ({"rows": 60}, "2 bytes of Overlay Data where 1 x 60 x 5", "(6000,3000)"),
    ({"rows": None}, "no number of an overlay", "(6000,0010)"),
    ({"columns": 0}, "0 of an overlay", "(6000,0011)"),
    ({"frames": 0}, "0 of an overlay", "(6000,0015)"),
    ({"frames": 60000}, "60000 x 3 x 5 bits", "(6000,3000)"),
    ({"first": 0}, "0 of an overlay", "(6000,0051)"),
    ({"origin": [1]}, "Overlay Origin is", "(6000,0050)"),
    ({"origin": [1, 2, 3]}, "Overlay Origin is", "(6000,0050)"),
    ({"data": b""}, "0 bytes of Overlay Data", "(6000,3000)"),
    ({"data": None, "bits": 16, "position": 3}, "an overlay in bit 3 of pixels with 8 bits stored", "(6000,0102)"),
    ({"data": None, "bits": 16, "position": None}, "no number of an overlay", "(6000,0102)"),
])  # fmt: skip
def test_overlays_that_are_none(values: dict[str, Any], message: str, path: str) -> None:
    with pytest.raises(PixelError, match=message) as caught:
        overlays(overlaid(PLANE, **values))
    assert caught.value.path == path
    assert caught.value.clause is not None


def test_without_data_and_without_bits_there_is_none() -> None:
    assert overlays(overlaid(PLANE, data=None)) == []
    assert overlays(image()) == []


def test_limits() -> None:
    with pytest.raises(LimitExceeded, match="15 bytes of overlay planes"):
        overlays(overlaid(PLANE), limits=Limits(inflated_length=10))


# -- in unused bits ----------------------------------------------------------------------------------------------------

RANDOM = np.random.default_rng(5)


def embedded(syntax: str = LITTLE, signed: bool = False, count: int = 2) -> tuple[Dataset, NDArray[Any], NDArray[Any]]:
    """12 of 16 bits, with planes in bits 13 and 15: the data set, its pixels, the planes (2, count, rows, columns)."""
    pixels = RANDOM.integers(-2048 if signed else 0, 2048, (count, 5, 7))
    planes = RANDOM.integers(0, 2, (2, count, 5, 7)).astype(bool)
    words = (pixels & 0xFFF | planes[0].astype(int) << 13 | planes[1].astype(int) << 15).astype("<u2")
    ds = image(Rows=5, Columns=7, BitsAllocated=16, BitsStored=12, HighBit=11, PixelRepresentation=int(signed),
               NumberOfFrames=count, PixelData=words.tobytes())  # fmt: skip
    for group, position in ((0x6000, 13), (0x6002, 15)):
        overlaid(planes[0, 0], group, ds, data=None, bits=16, position=position, label=f"bit {position}")
    return read(ds, syntax), pixels, planes


def moved(planes: NDArray[Any], found: list[Overlay]) -> None:
    assert [(one.label, one.is_embedded) for one in found] == [("bit 13", False), ("bit 15", False)]
    for plane, one in zip(planes, found, strict=True):
        np.testing.assert_array_equal(one.frames, plane)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", LITTLE, EXPLICIT_BE])
@pytest.mark.parametrize("signed", [False, True])
def test_embedded_planes(syntax: str, signed: bool) -> None:
    ds, pixels, planes = embedded(syntax, signed)
    found = overlays(ds)
    assert all(one.is_embedded for one in found)
    for plane, one in zip(planes, found, strict=True):
        np.testing.assert_array_equal(one.frames, plane)
        np.testing.assert_array_equal(one.plane(1), plane[1])
    np.testing.assert_array_equal(ds.pixel_array, pixels)


def test_embedded_planes_in_rle() -> None:
    """The runs hold all the bits that are allocated."""
    ds, pixels, planes = embedded()
    wide = ds.copy()
    wide.BitsStored, wide.HighBit = 16, 15
    for group in (0x6000, 0x6002):
        del wide[group << 16 | 0x100]
    coded = transcode(wide, RLE)
    coded.BitsStored, coded.HighBit = 12, 11
    for group in (0x6000, 0x6002):
        coded.add_new(group << 16 | 0x100, "US", 16)
    coded = read(coded, RLE)
    np.testing.assert_array_equal(coded.pixel_array, pixels)
    for plane, one in zip(planes, overlays(coded), strict=True):
        np.testing.assert_array_equal(one.frames, plane)
    native = transcode(coded, LITTLE)
    moved(planes, overlays(native))
    np.testing.assert_array_equal(native.pixel_array, pixels)


@pytest.mark.parametrize("syntax", [RLE, "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.8.1"])
@pytest.mark.parametrize("source", [LITTLE, EXPLICIT_BE])
@pytest.mark.parametrize("count", [1, 2, 19])
def test_transcoding_loses_none(syntax: str, source: str, count: int) -> None:
    ds, pixels, planes = embedded(source, count=count)
    before = ds.view("PixelData").tobytes()
    made = transcode(ds, syntax)
    moved(planes, overlays(made))
    back = read(made, syntax)
    moved(planes, overlays(back))
    np.testing.assert_array_equal(back.pixel_array, pixels if count > 1 else pixels[0])
    assert ds.view("PixelData").tobytes() == before
    assert all(one.is_embedded for one in overlays(ds))
    assert back[0x60000100].value == 1
    assert back[0x60000102].value == 0


def test_native_to_native_keeps_them_where_they_are() -> None:
    ds, _, planes = embedded(EXPLICIT_BE)
    made = read(transcode(ds, LITTLE), LITTLE)
    assert [one.is_embedded for one in overlays(made)] == [True, True]
    np.testing.assert_array_equal(overlays(made)[1].frames, planes[1])


def test_what_is_no_overlay_stays_as_it_is() -> None:
    """Bits of the image itself are kept anyway, and an overlay in bits that a codec never had is none."""
    ds, _, _ = embedded()
    ds.add_new(0x60000102, "US", 3)
    made = ds.copy()
    assert move_overlays(ds, made) == [0x6002]
    assert made[0x60000102].value == 3
    assert 0x60003000 not in made
    packed = overlaid(PLANE)
    assert move_overlays(packed, packed.copy()) == []
    with pytest.raises(LimitExceeded):
        move_overlays(ds, made, limits=Limits(inflated_length=5))


def test_pictures_show_them() -> None:
    ds, _, planes = embedded()
    plain, drawn = frames(ds).picture(1).array, frames(ds).picture(1, overlays=True).array
    either = planes[0, 1] | planes[1, 1]
    assert (drawn[either] == 255).all()
    np.testing.assert_array_equal(drawn[~either], plain[~either])
    assert not (plain[either] == 255).all()


def test_frames_without_a_codec_have_no_overlays_either() -> None:
    ds = encapsulated([[b"\0" * 6]], BitsAllocated=16)
    overlaid(PLANE, base=ds, data=None, bits=16, position=12)
    with pytest.raises(PixelError, match="cannot be decoded"):
        overlays(ds)
    assert move_overlays(ds, ds.copy()) == []
