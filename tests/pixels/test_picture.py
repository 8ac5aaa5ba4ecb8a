"""Pictures of frames: brightness by hand, colours, padding, sheets, files; and of the demo's files and pydicom's."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms
from pydicom.pixels import processing

from dicomcore import Codec, Dataset, DicomError, LimitExceeded, PixelError, dcmread, frames
from dicomcore.pixels import Picture, apply_icc, icc_profile, modality, voi
from dicomcore.pixels.codec import CODECS
from dicomcore.pixels.picture import labelled, scaled
from tests.interop.test_pixels import quiet
from tests.pixels.objects import COPY, PRIVATE, encapsulated, image

FILES = Path(pydicom.__file__).parent / "data" / "test_files"


def grey(array: NDArray[Any], bits: Any = None, **values: Any) -> Dataset:
    """An image of the array, (rows, columns) or (frames, rows, columns)."""
    size = 8 * array.itemsize
    pixels = {"f": {4: "FloatPixelData", 8: "DoubleFloatPixelData"}}.get(array.dtype.kind, {})
    given_ = {
        "Rows": array.shape[-2],
        "Columns": array.shape[-1],
        "NumberOfFrames": len(array) if array.ndim == 3 else None,
        "BitsAllocated": size,
        "BitsStored": bits or size,
        "HighBit": (bits or size) - 1,
        "PixelRepresentation": int(array.dtype.kind == "i"),
        pixels.get(array.itemsize, "PixelData"): array.astype(array.dtype.newbyteorder("<")).tobytes(),
    }
    return image(**given_ | values)


def shown(ds: Dataset, i: int = 0, **options: Any) -> list[Any]:
    made = frames(ds).picture(i, **options)
    assert made.array.dtype == np.uint8
    values: list[Any] = made.array.tolist()
    return values


def colour(array: NDArray[Any], **values: Any) -> Dataset:
    given_ = {
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": "RGB",
        "PlanarConfiguration": 0,
        "Columns": 2,
        "Rows": 1,
    }
    return grey(array.reshape(1, -1), **given_ | values)


# -- brightness --------------------------------------------------------------------------------------------------------


def test_by_the_window_of_the_object() -> None:
    array = np.array([[0, 10, 20], [30, 40, 50]], np.uint16)
    ds = grey(array, 12, RescaleSlope=2, RescaleIntercept=-10, WindowCenter=[40, 0], WindowWidth=[41, 2])
    values = array * 2.0 - 10
    assert shown(ds) == np.clip(np.floor((values - 19.5) / 40 * 255 + 0.5), 0, 255).tolist()
    assert shown(ds, voi=1) == [[0, 255, 255], [255, 255, 255]]
    assert shown(ds, window=(30, 3)) == [[0, 0, 191], [255, 255, 255]]
    assert shown(ds, window=(30, 0.5)) == [[0, 0, 128], [255, 255, 255]]
    assert shown(ds, window="full") == [[0, 51, 102], [153, 204, 255]]


def test_without_a_window() -> None:
    """Few shades are what they are; many are spread from the least to the greatest."""
    assert shown(grey(np.array([[7, 200]], np.uint8))) == [[7, 200]]
    assert shown(grey(np.array([[0, 15]], np.uint8), 4)) == [[0, 255]]
    assert shown(grey(np.array([[7, 200]], np.uint8)), window="full") == [[0, 255]]
    assert shown(grey(np.array([[7, 200]], np.uint8), RescaleSlope=1, RescaleIntercept=0)) == [[0, 255]]
    assert shown(grey(np.array([[-1000, 0, 3000]], np.int16), 13)) == [[0, 64, 255]]
    assert shown(grey(np.array([[5, 5]], np.uint16))) == [[0, 0]]
    assert shown(grey(np.array([[0, 1 << 31, (1 << 32) - 1]], np.uint32))) == [[0, 128, 255]]
    with pytest.raises(PixelError, match="neither window nor VOI LUT"):
        shown(grey(np.array([[5, 5]], np.uint16)), voi=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats(dtype: Any) -> None:
    array = np.array([[np.nan, -1, 0, 1, np.inf]], dtype)
    assert shown(grey(array)) == [[0, 0, 128, 255, 255]]
    assert shown(grey(array, FloatPixelPaddingValue=1.0)) == [[0, 0, 255, 0, 255]]
    assert shown(grey(np.full((1, 2), np.nan, dtype))) == [[0, 0]]
    far = np.finfo(dtype).max
    assert len(shown(grey(np.array([[-far, 0, far]], dtype)))) == 1
    assert shown(grey(np.array([[-far, 0, far]], dtype)), window=(0, 2)) == [[0, 255, 255]]


def test_single_bits() -> None:
    ds = image(BitsAllocated=1, BitsStored=1, HighBit=0, PixelData=b"\x15\0")
    assert shown(ds) == [[255, 0, 255], [0, 255, 0]]


def test_least_is_white() -> None:
    array = np.array([[0, 100, 255]], np.uint8)
    assert shown(grey(array, PhotometricInterpretation="MONOCHROME1")) == [[255, 155, 0]]
    assert shown(grey(array, PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE")) == [
        [255, 155, 0]
    ]


def test_padding_is_black() -> None:
    array = np.array([[-2000, -1900, 0, 100]], np.int16)
    values = {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1900}
    assert shown(grey(array, **values)) == [[0, 0, 0, 255]]
    assert shown(grey(array, PhotometricInterpretation="MONOCHROME1", **values)) == [[0, 0, 255, 0]]
    assert shown(grey(array[:, :2], **values)) == [[0, 0]]


def test_tables() -> None:
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [3, 0, 8], [255, 51, 0]
    array = np.array([[0, 1, 2, 9]], np.uint16)
    assert shown(grey(array, VOILUTSequence=[table])) == [[255, 51, 0, 0]]
    assert shown(grey(array, ModalityLUTSequence=[table])) == [[255, 51, 0, 0]]
    assert shown(grey(array[:, :3], PresentationLUTSequence=[table], PhotometricInterpretation="MONOCHROME1")) == [
        [255, 51, 0]
    ]


def test_every_value_is_converted_as_it_would_be_alone() -> None:
    """Small types go through a table of the values there are; what it gives is what the functions give."""
    random = np.random.default_rng(1)
    for array in (random.integers(0, 500, (60, 60), np.uint16), random.integers(-300, 300, (60, 60), np.int16)):
        ds = grey(array, RescaleSlope="1.5", RescaleIntercept=-99, WindowCenter=50, WindowWidth=300)
        wanted = voi(ds, modality(ds, array), output=(0, 255))
        np.testing.assert_array_equal(frames(ds).picture().array, (wanted + 0.5).astype(np.uint8))
        few = grey(array[:2, :3], RescaleSlope="1.5", RescaleIntercept=-99, WindowCenter=50, WindowWidth=300)
        np.testing.assert_array_equal(frames(few).picture().array, frames(ds).picture().array[:2, :3])


def test_frames_of_their_own() -> None:
    array = np.array([[[0, 100]], [[0, 100]]], np.uint16)
    ds = grey(array)
    groups = []
    for width in (101, 201):
        group, level = Dataset(), Dataset()
        level.WindowCenter, level.WindowWidth = width / 2, width
        group.FrameVOILUTSequence = [level]
        groups.append(group)
    ds.PerFrameFunctionalGroupsSequence = groups
    assert shown(ds, 0) == [[0, 255]]
    assert shown(ds, 1) == [[0, 128]]
    assert frames(ds)[1:].picture(0).array.tolist() == [[0, 128]]
    with pytest.raises(IndexError):
        frames(ds).picture(2)


# -- colours -----------------------------------------------------------------------------------------------------------


def test_rgb() -> None:
    array = np.array([1, 2, 3, 250, 251, 252], np.uint8)
    assert shown(colour(array)) == [[[1, 2, 3], [250, 251, 252]]]
    assert shown(colour(array.astype(np.uint16) * 257)) == [[[1, 2, 3], [250, 251, 252]]]
    assert shown(colour(np.array([0, 15, 7, 15, 0, 8], np.uint8), BitsStored=4, HighBit=3)) == [
        [[0, 255, 119], [255, 0, 136]]
    ]


def test_ybr_that_is_kept_is_converted_for_the_picture() -> None:
    ds = colour(np.array([76, 85, 255, 128, 128, 128], np.uint8), PhotometricInterpretation="YBR_FULL")
    assert frames(ds, colour="stored").picture().array.tolist() == [[[254, 0, 0], [128, 128, 128]]]
    assert frames(ds).picture().array.tolist() == [[[254, 0, 0], [128, 128, 128]]]


def test_argb() -> None:
    array = np.array([9, 1, 2, 3, 9, 4, 5, 6], np.uint8)
    assert shown(colour(array, SamplesPerPixel=4, PhotometricInterpretation="ARGB")) == [[[1, 2, 3], [4, 5, 6]]]


@pytest.mark.parametrize("photometric", ["HSV", "CMYK", "YBR_PARTIAL_420", "NONSENSE"])
def test_other_colours_are_refused(photometric: str) -> None:
    array = np.zeros(8 if photometric == "CMYK" else 6, np.uint8)
    ds = colour(array, SamplesPerPixel=len(array) // 2, PhotometricInterpretation=photometric)
    with pytest.raises(PixelError, match=f"no picture of {photometric}"):
        frames(ds).picture()
    assert frames(ds)._repr_png_() is None


def test_colours_that_are_none() -> None:
    for photometric in ("MONOCHROME2", "PALETTE COLOR"):
        with pytest.raises(PixelError, match=f"{photometric} with 3 samples"):
            frames(colour(np.zeros(6, np.uint8), PhotometricInterpretation=photometric)).picture()
    with pytest.raises(PixelError, match="is no colour"):
        frames(image(PhotometricInterpretation="RGB", PixelData=bytes(6))).picture()


# -- profiles ----------------------------------------------------------------------------------------------------------


def profiled() -> Dataset:
    array = np.random.default_rng(2).integers(0, 256, 6, np.uint8)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return colour(array, ICCProfile=profile + b"\0" * (len(profile) % 2))


def test_a_profile_is_passed_along_and_applied_on_request() -> None:
    ds = profiled()
    assert icc_profile(ds) == ds.ICCProfile
    assert icc_profile(image()) is None
    path = Dataset()
    path.ICCProfile = b"abcd"
    assert icc_profile(image(OpticalPathSequence=[path])) == b"abcd"
    array = frames(ds)[0]
    peer = pydicom.Dataset()
    peer.ICCProfile = ds.ICCProfile
    for intent in (None, 1):
        made = apply_icc(ds, array, intent=intent)
        np.testing.assert_array_equal(made, processing.apply_icc_profile(array.copy(), peer, intent=intent))
    np.testing.assert_array_equal(apply_icc(ds, np.stack([array, array]))[1], apply_icc(ds, array))
    np.testing.assert_array_equal(frames(ds).picture(icc=True).array, apply_icc(ds, array))
    np.testing.assert_array_equal(frames(ds).picture().array, array)


def test_profiles_that_cannot_be_applied() -> None:
    array = np.zeros((1, 2, 3), np.uint8)
    with pytest.raises(PixelError, match="there is no ICC profile"):
        apply_icc(image(), array)
    with pytest.raises(PixelError, match=r"cannot be applied.*0028,2000"):
        apply_icc(image(ICCProfile=b"none such"), array)
    with pytest.raises(PixelError, match="RGB of 8 bits"):
        apply_icc(profiled(), array[..., 0])
    with pytest.raises(PixelError, match="cannot be applied"):
        apply_icc(profiled(), array, intent=9)


# -- nonsense ----------------------------------------------------------------------------------------------------------

NUMBERS = st.one_of(
    st.integers(1, 5000),
    st.integers(-70000, 70000),
    st.floats(allow_nan=False, width=32),
    st.sampled_from([0, -1, 1e308, 1e-308]),
)
SHORTS = st.lists(st.integers(0, 65535), max_size=5)
TEXTS = st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID", "?"])


@st.composite
def nonsense(draw: st.DrawFn) -> Dataset:
    """An image whose attributes of presentation are as they may be."""
    kind = draw(st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"]))
    size = np.dtype(kind).itemsize * 6
    array = np.frombuffer(draw(st.binary(min_size=size, max_size=size)), kind).reshape(2, 3)
    ds = grey(array, draw(st.integers(1, 8 * array.itemsize)))

    def put(level: Dataset, tag: int, vr: str, values: st.SearchStrategy[Any]) -> None:
        if draw(st.booleans()):
            level.add_new(tag, vr, draw(values))

    def put_lut(level: Dataset, tag: int) -> None:
        if draw(st.booleans()):
            item = Dataset()
            sound = st.tuples(st.integers(1, 10), st.integers(0, 65535), st.integers(1, 16)).map(list)
            item.add_new(0x00283002, "US", draw(st.one_of(sound, sound, sound, SHORTS)))
            item.add_new(0x00283006, "OW", draw(st.binary(min_size=20, max_size=20)))
            level.add_new(tag, "SQ", [item])

    group = Dataset()
    for level in (ds, group):
        put(level, 0x00281050, "DS", st.lists(NUMBERS, max_size=3))
        put(level, 0x00281051, "DS", st.lists(NUMBERS, max_size=3))
        put(level, 0x00281056, "CS", TEXTS)
        put_lut(level, 0x00283010)
    put(ds, 0x00281052, "DS", NUMBERS)
    put(ds, 0x00281053, "DS", NUMBERS)
    for tag, terms in ((0x20500020, ["INVERSE", "IDENTITY", "?"]), (0x00089205, ["COLOR", "MIXED", "MONOCHROME"]),
                       (0x00280004, ["MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB"])):  # fmt: skip
        put(ds, tag, "CS", st.sampled_from(terms))
    put(ds, 0x00280120, "US", st.integers(0, 65535))
    put_lut(ds, 0x00283000)
    put_lut(ds, 0x20500010)
    for channel in range(3 * draw(st.booleans())):
        ds.add_new(0x00281101 + channel, "US", [4, 0, draw(st.sampled_from([8, 8, 8, 16]))])
        put(ds, 0x00281201 + channel, "OW", st.binary(min_size=4, max_size=4))
        put(ds, 0x00281221 + channel, "OW", st.sampled_from([bytes([0, 2, 7, 9, 1, 2, 5, 0]), bytes(8)]))
    if draw(st.integers(0, 3)) == 3:
        for element in (0x10, 0x11):
            ds.add_new(0x60000000 | element, "US", draw(st.integers(0, 6)))
        for element in (0x51, 0x100, 0x102):
            put(ds, 0x60000000 | element, "US", st.integers(0, 20))
        put(ds, 0x60000050, "SS", st.lists(st.integers(-32768, 32767), min_size=2, max_size=2))
        put(ds, 0x60003000, "OW", st.binary(min_size=2, max_size=2))
    if draw(st.booleans()):
        holder = Dataset()
        holder.FrameVOILUTSequence = [group]
        ds.PerFrameFunctionalGroupsSequence = [holder]
    return ds


@given(nonsense(), st.booleans(), st.sampled_from([None, 0, 1]))
def test_nonsense_is_shown_or_refused(ds: Dataset, drawn: bool, which: int | None) -> None:
    source = frames(ds)
    works: list[Callable[[], Picture]] = [
        lambda: source.picture(overlays=drawn, voi=which),
        lambda: source.picture(window="full", overlays=drawn),
        lambda: source.sheet(1, 2, size=5),
    ]
    refused: list[PixelError] = []
    for work in works:
        try:
            assert work().array.dtype == np.uint8
        except PixelError as error:
            refused.append(error)
    assert all(error.clause for error in refused)


# -- files, sizes, sheets ----------------------------------------------------------------------------------------------


def test_files(tmp_path: Path) -> None:
    made = frames(grey(np.arange(200, dtype=np.uint8).reshape(10, 20))).picture()
    made.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as found:
        np.testing.assert_array_equal(np.asarray(found), made.array)
    made.save(str(tmp_path / "a.jpg"), quality=95)
    with Image.open(tmp_path / "a.jpg") as found:
        assert found.size == (20, 10)
    with Image.open(io.BytesIO(made._repr_png_() or b"")) as found:
        np.testing.assert_array_equal(np.asarray(found), made.array)
    assert repr(made) == "<Picture of 10 x 20 grey>"
    assert repr(Picture(made.rgb)) == "<Picture of 10 x 20 RGB>"


def test_without_pillow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = frames(profiled())
    made = source.picture()
    monkeypatch.setitem(sys.modules, "PIL", None)
    for work in (lambda: made.save(tmp_path / "a.png"), made.png, lambda: source.picture(icc=True)):
        with pytest.raises(PixelError, match=r"pictures need Pillow; pip install 'dicomcore\[plot\]'"):
            work()
    assert made._repr_png_() is None
    assert source._repr_png_() is None


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 12), st.integers(1, 12))
def test_scaling(rows: int, columns: int, to_rows: int, to_columns: int) -> None:
    array = np.random.default_rng(rows).integers(0, 256, (rows, columns), np.uint8)
    made = scaled(array, to_rows, to_columns)
    assert made.shape == (to_rows, to_columns)
    assert array.min() <= made.min() <= made.max() <= array.max()
    assert (
        scaled(np.full((rows, columns, 3), 77, np.uint8), to_rows, to_columns).tolist()
        == np.full((to_rows, to_columns, 3), 77).tolist()
    )


def test_fewer_pixels_are_means() -> None:
    array = np.array([[0, 100, 200, 200], [100, 200, 0, 0]], np.uint8)
    assert scaled(array, 1, 2).tolist() == [[100, 100]]
    assert Picture(array).fitted(2).array.tolist() == [[100, 100]]
    assert Picture(array).fitted(8).array.shape == (4, 8)
    assert Picture(np.zeros((1, 1000), np.uint8)).fitted(10).array.shape == (1, 10)
    assert scaled(np.full((5000, 5000), 255, np.uint8), 1, 1).tolist() == [[255]]


def test_a_sheet() -> None:
    array = np.stack([np.full((10, 20), 25 * i, np.uint8) for i in range(7)])
    source = frames(grey(array))
    made = source.sheet(2, 3, size=20, labels=False).array
    assert made.shape == (42, 64)
    middles = [int(made[10 + 22 * (i // 3), 10 + 22 * (i % 3)]) for i in range(6)]
    assert middles == [0, 25, 50, 100, 125, 150]
    assert source.sheet(9, 9, size=20, labels=False).array.shape == (20, 7 * 22 - 2)
    assert source.sheet(1, 1, size=20, labels=False).array[10, 10] == 0
    one = source[3:4].sheet(5, 5, size=20).array
    assert one.shape == (20, 20)
    assert one[10, 10] == 75
    np.testing.assert_array_equal(one[5:12, :5], labelled(np.zeros((10, 20), np.uint8), 4)[:7, :5])


def test_frames_of_a_sheet_share_their_range() -> None:
    array = np.stack([np.full((4, 4), 1000 * i, np.uint16) for i in range(3)])
    ds = grey(array)
    made = frames(ds).sheet(1, 3, size=4, labels=False).array
    assert made[0, [0, 6, 12]].tolist() == [0, 128, 255]
    ds.PixelPaddingValue = 0
    assert frames(ds).sheet(1, 3, size=4, labels=False).array[0, [0, 6, 12]].tolist() == [0, 0, 255]


def test_labels_are_cut_where_there_is_no_room() -> None:
    for shape in ((1, 1), (3, 2), (7, 5), (200, 100), (9, 9, 3)):
        image_ = np.full(shape, 99, np.uint8)
        assert labelled(image_, 1234567890).shape == shape
    dots = labelled(np.full((9, 9), 99, np.uint8), 1) // 255
    assert ["".join(" #"[dot] for dot in row) for row in dots[1:6, 1:4]] == [" # ", "## ", " # ", " # ", "###"]


def test_sheets_that_are_none() -> None:
    source = frames(grey(np.zeros((2, 2), np.uint8)))
    for arguments in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match="a sheet of"):
            source.sheet(*arguments)
    with pytest.raises(ValueError, match="of 0 frames"):
        source[:0].sheet(1, 1)
    with pytest.raises(LimitExceeded, match="a sheet of"):
        source.sheet(10_000, 10_000)
    assert source[:0]._repr_png_() is None


def test_notebooks() -> None:
    array = np.zeros((30, 4, 4), np.uint8)
    for source, size in ((frames(grey(array[0])), (4, 4)), (frames(grey(array)), (6 * 130 - 2, 4 * 130 - 2))):
        with Image.open(io.BytesIO(source._repr_png_() or b"")) as found:
            assert found.size == size


def test_a_sheet_in_colour_and_of_a_codec_that_fails() -> None:
    ds = colour(np.arange(6, dtype=np.uint8))
    assert frames(ds).sheet(1, 1, size=8).array.shape == (8, 8, 3)
    table = CODECS.with_codec(PRIVATE, COPY)
    source = frames(encapsulated([[bytes(6)], [b"bad" * 2]]), codecs=table)
    with pytest.raises(PixelError, match="frame 1: copy: bad bytes"):
        source.sheet(1, 2)
    assert source._repr_png_() is None
    assert isinstance(COPY, Codec)


def test_every_file_of_pydicom_that_decodes_has_a_picture() -> None:
    count = 0
    for path in sorted(FILES.glob("*.dcm")):
        try:
            source = frames(dcmread(path))
            with quiet():
                array = source[0]
        except DicomError:
            continue
        made = source.picture(size=32)
        assert max(made.array.shape[:2]) == 32
        assert source.picture().array.shape[:2] == array.shape[:2]
        count += 1
    assert count > 40
