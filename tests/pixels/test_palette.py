"""Palettes beside pydicom's, segments by hand, and whatever bytes there may be instead of them."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from struct import pack
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.pixels import processing

from dicomcore import Dataset, PixelError, dcmread, frames
from dicomcore.pixels import palette, palette_rgb
from dicomcore.pixels.palette import as_bytes, expand_segments, supplemental_rgb
from tests.pixels.objects import EXPLICIT_BE, image, read

DATA = Path(pydicom.__file__).parent / "data"
LITTLE = "1.2.840.10008.1.2.1"
CHANNELS = ("Red", "Green", "Blue")


def coloured(tables: list[bytes], first: int = 0, bits: int = 8, count: int | None = None, segmented: bool = False,
             **changes: Any) -> Dataset:  # fmt: skip
    size = (bits + 7) // 8
    ds = image(**{"PhotometricInterpretation": "PALETTE COLOR", "PixelData": bytes([0, 1, 2, 3, 4, 255])} | changes)
    for name, data in zip(CHANNELS, tables, strict=True):
        entries = len(data) // size if count is None else count
        setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [entries % 65536, first, bits])
        setattr(ds, f"{'Segmented' if segmented else ''}{name}PaletteColorLookupTableData", data)
    return ds


def theirs(ds: Dataset) -> pydicom.Dataset:
    file = io.BytesIO()
    ds.save_as(file, transfer_syntax=LITTLE)
    file.seek(0)
    return pydicom.dcmread(file)


def test_the_file_of_pydicom() -> None:
    path = DATA / "test_files" / "examples_palette.dcm"
    ds = dcmread(path)
    indices = frames(ds)[0]
    assert frames(ds).photometric == "PALETTE COLOR"
    peer = pydicom.dcmread(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = processing.apply_color_lut(peer.pixel_array, peer)
    made = palette_rgb(ds, indices)
    np.testing.assert_array_equal(made, wanted)
    np.testing.assert_array_equal(frames(ds).picture(0).array, as_bytes(palette(ds)).apply(indices))


@pytest.mark.parametrize("name", ["hotiron", "pet", "hotmetalblue", "pet20step", "spring", "summer", "fall", "winter"])
def test_the_well_known_palettes(name: str) -> None:
    path = DATA / "palettes" / f"{name}.dcm"
    array = np.arange(256, dtype=np.uint8)
    made = palette_rgb(dcmread(path), array)
    np.testing.assert_array_equal(made, processing.apply_color_lut(array, pydicom.dcmread(path)))


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", LITTLE, EXPLICIT_BE])
@pytest.mark.parametrize(
    ("bits", "first", "representation"), [(8, 0, 0), (8, 2, 0), (16, 0, 0), (16, -3, 1), (16, 300, 0)]
)
def test_tables(syntax: str, bits: int, first: int, representation: int) -> None:
    """pydicom compares against the entries' own type, so its 8 bits are for first values of 0 to 255."""
    random = np.random.default_rng(bits)
    tables = [
        random.integers(0, 1 << bits, 600 if bits > 8 else 256, np.uint16).astype(f"<u{bits // 8}") for _ in CHANNELS
    ]
    array = np.arange(-500 * representation, 700, dtype=np.int16)
    given_ = coloured([one.tobytes() for one in tables], first, bits, PixelRepresentation=representation)
    made = palette_rgb(read(given_, syntax), array)
    assert made.dtype == f"u{bits // 8}"
    places = np.clip(array.astype(int) - first, 0, len(tables[0]) - 1)
    np.testing.assert_array_equal(made, np.stack([one[places] for one in tables], -1))
    if bits == 16:
        np.testing.assert_array_equal(made, processing.apply_color_lut(array, theirs(given_)))


def test_65536_entries() -> None:
    tables = [np.arange(65536, dtype="<u2").tobytes()] * 3
    ds = coloured(tables, bits=16)
    assert ds.RedPaletteColorLookupTableDescriptor[0] == 0
    assert palette_rgb(ds, np.array([0, 40000, 65535], np.uint16))[:, 1].tolist() == [0, 40000, 65535]


def test_opacity() -> None:
    ds = coloured([bytes([1, 2, 3, 4])] * 3, AlphaPaletteColorLookupTableData=bytes([9, 8, 7, 6]))
    array = np.array([0, 3, 9], np.uint8)
    made = np.concatenate([palette_rgb(ds, array), palette(ds, alpha=True).apply(array)], -1)
    np.testing.assert_array_equal(made, processing.apply_color_lut(array, theirs(ds)))


def words(*values: int) -> bytes:
    return pack(f"<{len(values)}H", *values)


SEGMENTED = {
    "discrete": (bytes([0, 3, 5, 6, 7]), [5, 6, 7]),
    "two, and padding": (bytes([0, 1, 5, 0, 2, 9, 10, 0]), [5, 9, 10]),
    "a line": (bytes([0, 1, 10, 1, 5, 20]), [10, 12, 14, 16, 18, 20]),
    "a line down": (bytes([0, 1, 200, 1, 4, 0]), [200, 150, 100, 50, 0]),
    "a level line": (bytes([0, 1, 8, 1, 3, 8]), [8, 8, 8, 8]),
    "a copy of both": (bytes([0, 1, 10, 1, 2, 20, 2, 2, 0, 0, 0, 0]), [10, 15, 20, 10, 15, 20]),
    "a copied line, from another start": (
        bytes([0, 1, 10, 1, 2, 20, 0, 1, 100, 2, 1, 3, 0, 0, 0]),
        [10, 15, 20, 100, 60, 20],
    ),
}


@pytest.mark.parametrize("name", SEGMENTED)
def test_segments_of_bytes(name: str) -> None:
    data, entries = SEGMENTED[name]
    assert expand_segments(data, 1).tolist() == entries
    assert processing._expand_segmented_lut(tuple(data), f"<{len(data)}B") == entries


def test_segments_of_words() -> None:
    """The offset of a copy is in bytes. pydicom takes it for a number of entries, which is the same for 0 only."""
    data = words(0, 1, 1000, 1, 2, 2000, 0, 2, 7, 8)
    assert expand_segments(data, 2).tolist() == [1000, 1500, 2000, 7, 8]
    assert expand_segments(data + words(2, 2, 0, 0), 2).tolist() == [1000, 1500, 2000, 7, 8, 1000, 1500, 2000]
    assert expand_segments(data + words(2, 1, 12, 0), 2).tolist() == [1000, 1500, 2000, 7, 8, 7, 8]
    long = words(0, 40000, *range(40000)) + words(0, 2, 5, 6) + words(2, 1, 80004 & 0xFFFF, 1)
    assert expand_segments(long, 2)[-4:].tolist() == [5, 6, 5, 6]


@pytest.mark.parametrize("syntax", [LITTLE, EXPLICIT_BE])
def test_a_segmented_palette(syntax: str) -> None:
    data = words(0, 1, 1000, 1, 3, 4000, 2, 2, 0, 0)
    ds = coloured([data] * 3, 1, 16, count=8, segmented=True)
    array = np.arange(10, dtype=np.uint8)
    made = palette_rgb(read(ds, syntax), array)
    assert made[:, 0].tolist() == [1000, 1000, 2000, 3000, 4000, 1000, 2000, 3000, 4000, 4000]
    np.testing.assert_array_equal(made, processing.apply_color_lut(array, theirs(ds)))


@pytest.mark.parametrize(("data", "message"), [
    (bytes([0, 4, 1, 2, 3, 4, 0, 9, 1]), "a segment ends behind the data, at 17 of 9"),
    (bytes([0, 1, 1, 1, 4]), "a segment ends behind the data"),
    (bytes([0, 1, 1, 2, 1, 0, 0]), "a segment ends behind the data"),
    (bytes([1, 4, 9]), "a line from nowhere"),
    (bytes([2, 1, 0, 0, 0, 0]), "a copy of 1 segments from byte 0"),
    (bytes([0, 1, 1, 2, 2, 0, 0, 0, 0]), "a copy of 2 segments"),
    (bytes([0, 1, 1, 2, 1, 3, 0, 0, 0]), "from byte 3 on"),
    (bytes([0, 1, 1, 2, 1, 255, 255, 255, 255]), "from byte 4294967295 on"),
    (bytes([7, 1, 1, 1]), "no segment of type 7"),
    (b"", "segments of 0 entries where 4"),
    (bytes([0, 3, 1, 2, 3]), "segments of 3 entries where 4"),
])  # fmt: skip
def test_malformed_segments(data: bytes, message: str) -> None:
    ds = coloured([data] * 3, count=4, segmented=True)
    with pytest.raises(PixelError, match=message) as caught:
        palette(ds)
    assert caught.value.clause == "PS3.3 C.7.9.2"
    assert caught.value.path == "(0028,1221)"


def test_copies_do_not_multiply() -> None:
    twice = words(0, 1, 9) + words(1, 40000, 3)
    with pytest.raises(PixelError, match="more than 65536 entries"):
        expand_segments(twice + words(2, 2, 0, 0), 2)
    empty = words(0, 0) * 3000
    with pytest.raises(PixelError, match="more than 65536 entries"):
        expand_segments(empty + words(2, 3000, 0, 0) * 3000, 2)


@given(st.binary(max_size=60), st.sampled_from([1, 2]))
def test_segments_of_any_bytes(data: bytes, size: int) -> None:
    try:
        made = expand_segments(data, size)
    except PixelError:
        return
    assert len(made) <= 65536


@given(st.lists(st.one_of(
    st.tuples(st.just(0), st.lists(st.integers(0, 255), min_size=1, max_size=5)),
    st.tuples(st.just(1), st.tuples(st.integers(1, 9), st.integers(0, 255))),
    st.tuples(st.just(2), st.just(None)),
), min_size=1, max_size=12))  # fmt: skip
def test_sound_segments_are_those_of_pydicom(segments: list[tuple[int, Any]]) -> None:
    """A copy of the first one or two, in which pydicom goes on from a zero as if there were nothing before it."""
    data = bytes([0, 1, 7])
    for kind, what in segments:
        if kind == 0:
            data += bytes([0, len(what), *what])
        elif kind == 1:
            data += bytes([1, *what])
        else:
            data += bytes([2, 1, 0, 0, 0, 0])
    assert expand_segments(data, 1).tolist() == processing._expand_segmented_lut(tuple(data), f"<{len(data)}B")


@pytest.mark.parametrize(("ds", "message", "path"), [
    (image(), "RedPaletteColorLookupTableDescriptor is missing", "(0028,1101)"),
    (coloured([b"\1\2", b"\1\2", b"\1\2\3\4"]), "differ in length", "(0028,1101)"),
    (coloured([b"\1\2"] * 3, count=3), "2 bytes of RedPaletteColorLookupTableData where 3", "(0028,1201)"),
    (coloured([b""] * 3), "0 bytes of RedPalette", "(0028,1201)"),
])  # fmt: skip
def test_palettes_that_are_none(ds: Dataset, message: str, path: str) -> None:
    with pytest.raises(PixelError, match=message) as caught:
        palette(ds)
    assert caught.value.path == path


@pytest.mark.parametrize(("bits", "values", "shown"), [
    (8, [0, 200], [0, 200]), (16, [0x1234, 0xFFFF], [0x12, 0xFF]), (16, [3, 255], [3, 255]),
    (12, [0xABC, 4095], [0xAB, 255]),
])  # fmt: skip
def test_on_a_screen(bits: int, values: list[int], shown: list[int]) -> None:
    data = np.array(values, f"<u{(bits + 7) // 8}").tobytes()
    assert as_bytes(palette(coloured([data] * 3, bits=bits))).values[:, 0].tolist() == shown


def test_a_supplemental_palette() -> None:
    """Grey below the first value that is mapped, colours from there on (PS3.3 C.7.6.19); pydicom refuses these."""
    ds = coloured([b"\1\2", b"\3\4", b"\5\6"], first=4, PhotometricInterpretation="MONOCHROME2",
                  PixelPresentation="COLOR")  # fmt: skip
    made = frames(ds).picture(0).array
    assert made.tolist() == [[[0] * 3, [1] * 3, [2] * 3], [[3] * 3, [1, 3, 5], [2, 4, 6]]]
    stored = np.array([3, 4], np.uint8)
    assert supplemental_rgb(ds, stored, stored).tolist() == [[3, 3, 3], [1, 3, 5]]
