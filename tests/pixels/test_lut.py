"""Modality, VOI and presentation beside pydicom's, on its files and on made ones; where they differ, it is said why."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.pixels import processing

from dicomcore import Dataset, PixelError, dcmread
from dicomcore.pixels import (
    Lookup,
    Rescale,
    Window,
    modality,
    padding_mask,
    presentation,
    value_range,
    voi,
    voi_luts,
    windows,
)
from dicomcore.pixels.lut import inverts
from tests.pixels.objects import EXPLICIT_BE, image, read

FILES = Path(pydicom.__file__).parent / "data" / "test_files"
NAMES = [
    *("CT_small.dcm", "MR_small.dcm", "MR_small_bigendian.dcm", "693_J2KI.dcm", "J2K_pixelrep_mismatch.dcm"),
    *("examples_overlay.dcm", "dicomdirtests/98892001/CT2N/6293", "dicomdirtests/77654033/CR1/6154"),
]


def theirs(ds: Dataset) -> pydicom.Dataset:
    file = io.BytesIO()
    ds.save_as(file, transfer_syntax="1.2.840.10008.1.2.1")
    file.seek(0)
    return pydicom.dcmread(file)


def item(**values: Any) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def lut(first: int, entries: list[int], bits: int = 16, count: int | None = None) -> Dataset:
    described = [len(entries) % 65536 if count is None else count, first, bits]
    return item(LUTDescriptor=described, LUTData=entries)


def stored(dtype: str = "<u2", high: int = 4095) -> NDArray[Any]:
    low = 0 if "u" in dtype else -high
    return np.linspace(low, high, 60).astype(dtype).reshape(6, 10)


def grey(array: NDArray[Any], /, bits: int = 12, **values: Any) -> Dataset:
    return image(Rows=6, Columns=10, BitsAllocated=8 * array.itemsize, BitsStored=bits, HighBit=bits - 1,
                 PixelRepresentation=int(array.dtype.kind == "i"), PixelData=array.tobytes(), **values)  # fmt: skip


# -- modality and windows ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_files_of_pydicom(name: str) -> None:
    path = FILES / name
    if not path.is_file():
        pytest.skip(f"pydicom has no {name}")
    ours = dcmread(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = pydicom.dcmread(path)
        array = ds.pixel_array
        meant = processing.apply_modality_lut(array, ds)
    np.testing.assert_array_equal(modality(ours, ours.pixel_array), meant)
    for index in range(max(len(windows(ours)), 1)):
        shown, wanted = voi(ours, meant, index), processing.apply_voi_lut(meant, ds, index)
        assert shown.dtype == wanted.dtype
        np.testing.assert_allclose(shown, wanted, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID", None])
@pytest.mark.parametrize("dtype", ["<u2", "<i2"])
def test_every_window_function(function: str | None, dtype: str) -> None:
    array = stored(dtype)
    ds = grey(array, bits=13, RescaleSlope=2, RescaleIntercept=-1024, WindowCenter=[40, 300.5], WindowWidth=[400, 1.5],
              VOILUTFunction=function)  # fmt: skip
    peer = theirs(ds)
    meant = modality(ds, array)
    assert meant.dtype == np.float64
    np.testing.assert_array_equal(meant, processing.apply_modality_lut(array, peer))
    for index in range(2):
        with np.errstate(over="ignore"):  # pydicom's sigmoid, far from the window
            wanted = processing.apply_windowing(meant, peer, index)
        np.testing.assert_allclose(voi(ds, meant, index), wanted, atol=1e-9)


def test_a_linear_window_of_one_is_a_step() -> None:
    ds = grey(stored(), WindowCenter=100, WindowWidth=1)
    values = np.array([98.0, 99.5, 99.6, 100.0])
    np.testing.assert_array_equal(voi(ds, values), processing.apply_windowing(values, theirs(ds)))
    assert voi(ds, values, output=(0, 1)).tolist() == [0, 0, 1, 1]


def test_a_negative_slope_keeps_the_range_upright() -> None:
    """pydicom takes the converted ends of the stored range in their order, so that the window comes out inverted."""
    ds = grey(stored(), RescaleSlope=-1, RescaleIntercept=0, WindowCenter=-2000, WindowWidth=2000)
    assert value_range(ds) == (-4095, 0)
    values = np.array([-4000.0, -2500, -10])
    shown = voi(ds, values)
    assert (np.diff(shown) > 0).all()
    np.testing.assert_allclose(shown, (-4095 - processing.apply_windowing(values, theirs(ds))))


def test_half_a_rescale_is_none() -> None:
    array = stored()
    assert modality(grey(array, RescaleSlope=3), array) is array
    assert modality(grey(array, RescaleIntercept=3), array) is array
    assert modality(grey(array), array) is array
    assert voi(grey(array), array) is array


def test_another_type_takes_less_memory() -> None:
    array = stored()
    ds = grey(array, RescaleSlope="0.1", RescaleIntercept=-1024)
    made = modality(ds, array, dtype=np.float32)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, modality(ds, array), rtol=1e-5)


def test_windows_are_told() -> None:
    ds = image(WindowCenter=[40, 300], WindowWidth=[400, 1500, 7], VOILUTFunction="SIGMOID",
               WindowCenterWidthExplanation=["SOFT", "BONE"])  # fmt: skip
    assert windows(ds) == [Window(40, 400, "SIGMOID", "SOFT"), Window(300, 1500, "SIGMOID", "BONE")]
    assert windows(image()) == windows(image(WindowCenter=3)) == []


@pytest.mark.parametrize(("values", "message"), [
    ({"WindowWidth": 0}, "Window Width is 0, and LINEAR needs 1 in .0028,1051."),
    ({"WindowWidth": 0, "VOILUTFunction": "LINEAR_EXACT"}, "Window Width is 0 in"),
    ({"WindowWidth": -4, "VOILUTFunction": "SIGMOID"}, "Window Width is -4 in"),
    ({"WindowWidth": 4, "VOILUTFunction": "CUBIC"}, "VOI LUT Function is 'CUBIC'"),
    ({"WindowWidth": 1e300}, "WindowWidth is 1e.300"),
    ({"WindowWidth": 4, "RescaleSlope": 1e99, "RescaleIntercept": 0}, "RescaleSlope is 1e.99"),
])  # fmt: skip
def test_absurd_windows_are_refused(values: dict[str, Any], message: str) -> None:
    ds = grey(stored(), WindowCenter=40, **values)
    with pytest.raises(PixelError, match=message) as caught:
        voi(ds, stored())
    assert caught.value.clause in ("PS3.3 C.11.1", "PS3.3 C.11.2")
    with pytest.raises(PixelError, match="the image has 1 window, and not"):
        voi(grey(stored(), WindowCenter=40, WindowWidth=400), stored(), 1)


@given(st.floats(1e-40, 1e60), st.floats(-1e60, 1e60), st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]))
def test_any_window_gives_a_brightness(width: float, center: float, function: str) -> None:
    shown = Window(center, max(width, 1.0) if function == "LINEAR" else width, function).apply(stored("<i2"))
    assert np.isfinite(shown).all()
    assert 0 <= shown.min() <= shown.max() <= 1


# -- tables ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", EXPLICIT_BE])
@pytest.mark.parametrize("vr", ["US", "OW"])
@pytest.mark.parametrize("dtype", ["<u2", "<i2"])
def test_a_modality_table(syntax: str, vr: str, dtype: str) -> None:
    array, entries = stored(dtype), [(7 * i + 300) % 65536 for i in range(1000)]
    table = lut(-100 if "i" in dtype else 100, entries)
    table.add_new("LUTData", vr, entries if vr == "US" else np.array(entries, "<u2").tobytes())
    ds = read(grey(array, ModalityLUTSequence=[table]), syntax)
    made = modality(ds, array)
    assert made.dtype == np.uint16
    np.testing.assert_array_equal(made, processing.apply_modality_lut(array, theirs(ds)))
    assert value_range(ds) == (0, 65535)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_a_voi_table(bits: int) -> None:
    array, entries = stored(), [(i * 5) % (1 << bits) for i in range(4096)]
    ds = grey(array, VOILUTSequence=[lut(200, entries, bits), lut(0, entries[::-1], bits)], WindowCenter=9,
              WindowWidth=3)  # fmt: skip
    for index in range(2):
        made = voi(ds, array, index)
        assert made.dtype == (np.uint8 if bits == 8 else np.uint16)
        wanted = np.array(entries[:: 1 - 2 * index])[np.clip(array.astype(int) - 200 * (1 - index), 0, 4095)]
        np.testing.assert_array_equal(made, wanted)
        if bits > 8:  # pydicom keeps the numbers of entries in the type of the entries, where 8 bits are too few
            np.testing.assert_array_equal(made, processing.apply_voi_lut(array, theirs(ds), index))
    np.testing.assert_allclose(voi(ds, array, output=(0, 1)), voi(ds, array) / (2**bits - 1))
    np.testing.assert_array_equal(
        voi(ds, array, prefer_lut=False), processing.apply_voi_lut(array, theirs(ds), prefer_lut=False)
    )


def test_entries_of_8_bits_in_bytes_or_in_words() -> None:
    """PS3.3 C.11.1.1 lets the length of the data tell; pydicom reads the first of these only."""
    array = stored(high=300)
    words, packed = np.arange(256, dtype="<u2")[::-1].tobytes(), bytes(range(256))[::-1]
    for syntax in ("1.2.840.10008.1.2.1", EXPLICIT_BE):
        for data in (words, packed):
            table = lut(0, [0], 8, count=256)
            table.add_new("LUTData", "OW", data)
            made = voi(read(grey(array, VOILUTSequence=[table]), syntax), array)
            np.testing.assert_array_equal(made, 255 - np.clip(array, 0, 255))


def test_65536_entries_are_said_to_be_none() -> None:
    array, entries = stored(high=65535), list(range(65535, -1, -1))
    ds = grey(array, bits=16, VOILUTSequence=[lut(0, entries)])
    assert ds.VOILUTSequence[0].LUTDescriptor[0] == 0
    np.testing.assert_array_equal(voi(ds, array), 65535 - array)


def test_a_first_value_below_zero_of_unsigned_pixels() -> None:
    """With a rescale the inputs of a VOI LUT may be negative, whatever VR the pixels' sign gives the descriptor.

    pydicom takes 64512, as the VR says, and maps all to the first entry.
    """
    array = stored()
    table = lut(64512, list(range(4096)), 12)
    ds = grey(array, RescaleSlope=1, RescaleIntercept=-1024, VOILUTSequence=[table])
    made = voi(ds, modality(ds, array))
    np.testing.assert_array_equal(made, array)
    assert voi_luts(ds)[0].first == -1024


@pytest.mark.parametrize("bits", [8, 12])
def test_a_descriptor_that_says_too_few_bits(bits: int) -> None:
    ds = grey(stored(), VOILUTSequence=[lut(0, [0, 40000], bits)])
    assert voi_luts(ds)[0].bits == 16
    assert voi(ds, np.array([0, 1, 2])).tolist() == [0, 40000, 40000]


def test_fractions_take_the_nearest_entry() -> None:
    """pydicom cuts them off, and warns of it."""
    table = Lookup(np.arange(10, 20, dtype=np.uint16), 5, 12)
    assert table.apply(np.array([5.4, 5.6, 99.0, -99.0, np.nan, np.inf, -np.inf])).tolist() == [
        10,
        11,
        19,
        10,
        10,
        19,
        10,
    ]


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"])
def test_inputs_of_every_type(dtype: str) -> None:
    ends = np.iinfo(dtype)
    table = Lookup(np.array([1, 2, 3], np.uint8), 100, 8)
    given_ = np.array([ends.min, 99, 100, 101, 102, 103, ends.max], dtype)
    assert table.apply(given_).tolist() == [1, 1, 1, 2, 3, 3, 3]


@pytest.mark.parametrize(("table", "message"), [
    (item(LUTDescriptor=[4, 0, 16]), "LUTData is missing"),
    (item(LUTData=[1, 2]), "LUTDescriptor is missing"),
    (lut(0, [1, 2, 3], count=4), "6 bytes of LUTData where 4 entries of 16 bits"),
    (lut(0, [1, 2, 3], count=0), "where 65536 entries"),
    (lut(0, [1, 2, 3], bits=0), "entries of 0 bits"),
    (lut(0, [1, 2, 3], bits=17), "entries of 17 bits"),
    (item(LUTDescriptor=[4, 0], LUTData=[1, 2]), "has 2 values, not 3"),
    (item(LUTDescriptor=[], LUTData=[1, 2]), "has 0 values, not 3"),
    (item(LUTDescriptor=[1, 0, 8], LUTData=b""), "0 bytes of LUTData"),
])  # fmt: skip
def test_tables_that_are_none(table: Dataset, message: str) -> None:
    for ds, work in ((image(ModalityLUTSequence=[table]), modality), (image(VOILUTSequence=[table]), voi)):
        with pytest.raises(PixelError, match=message) as caught:
            work(ds, stored())
        assert str(caught.value.clause).startswith("PS3.3 C.11.")


@given(st.tuples(*[st.integers(0, 65535)] * 3), st.binary(max_size=64), st.sampled_from(["<u2", "<i2"]))
def test_tables_of_any_bytes(described: tuple[int, int, int], data: bytes, dtype: str) -> None:
    table = item(LUTData=data + b"\0" * (len(data) % 2))
    table.add_new("LUTDescriptor", "US", list(described))
    try:
        made = modality(grey(stored(dtype), ModalityLUTSequence=[table]), stored(dtype))
    except PixelError:
        return
    assert made.shape == (6, 10)


# -- enhanced objects --------------------------------------------------------------------------------------------------


def enhanced(count: int = 3, shared: bool = False) -> Dataset:
    def groups(i: int) -> Dataset:
        return item(
            PixelValueTransformationSequence=[item(RescaleSlope=i + 1, RescaleIntercept=-i, RescaleType="US")],
            FrameVOILUTSequence=[item(WindowCenter=10 * (i + 1), WindowWidth=20)],
        )

    ds = grey(np.concatenate([stored()] * count), NumberOfFrames=count, RescaleSlope=99, RescaleIntercept=99)
    ds.SharedFunctionalGroupsSequence = [groups(7)] if shared else [Dataset()]
    ds.PerFrameFunctionalGroupsSequence = [Dataset() if shared else groups(i) for i in range(count)]
    return ds


def test_each_frame_has_its_own() -> None:
    ds = enhanced()
    every = ds.pixel_array
    made = modality(ds, every)
    for i in range(3):
        np.testing.assert_array_equal(made[i], every[i] * (i + 1.0) - i)
        np.testing.assert_array_equal(modality(ds, every[i], frame=i), made[i])
        assert windows(ds, i) == [Window(10 * (i + 1), 20)]
        np.testing.assert_array_equal(voi(ds, made[i], frame=i), voi(ds, made)[i])
        assert value_range(ds, i) == (-i, 4095 * (i + 1) - i)


def test_frames_that_differ_have_to_be_named() -> None:
    ds = enhanced()
    with pytest.raises(ValueError, match="which of the 3"):
        modality(ds, ds.pixel_array[1])
    with pytest.raises(ValueError, match="which of the 3"):
        voi(ds, ds.pixel_array[1])


def test_shared_groups_and_the_data_set_itself() -> None:
    ds = enhanced(shared=True)
    assert modality(ds, np.array([10])).tolist() == [10 * 8 - 7]
    ds.SharedFunctionalGroupsSequence = []
    assert modality(ds, np.array([10])).tolist() == [10 * 99 + 99]
    assert modality(ds, np.array([10]), frame=99).tolist() == [10 * 99 + 99]
    del ds.PerFrameFunctionalGroupsSequence
    assert modality(ds, np.array([10])).tolist() == [10 * 99 + 99]
    assert Rescale(2, 1).apply(np.array([3])).tolist() == [7]


# -- presentation and padding ------------------------------------------------------------------------------------------


def test_presentation_shapes() -> None:
    """pydicom turns the values around the greatest one there is; here it is the ends of the range, as for all frames.

    With both ends there, they are the same.
    """
    array = stored()
    for shape in ("IDENTITY", "INVERSE"):
        ds = grey(array, PresentationLUTShape=shape)
        np.testing.assert_array_equal(presentation(ds, array), processing.apply_presentation_lut(array, theirs(ds)))
    assert presentation(ds, np.array([5, 100], np.uint16)).tolist() == [4090, 3995]
    assert presentation(ds, np.array([0.25]), scale=(0, 1)).tolist() == [0.75]
    assert presentation(grey(array), array) is array
    with pytest.raises(PixelError, match="Presentation LUT Shape is 'LIN OD'"):
        presentation(grey(array, PresentationLUTShape="LIN OD"), array)


def test_a_presentation_table() -> None:
    """pydicom cuts off where this rounds, and spreads what values there are: so an entry may be the next one."""
    array, entries = stored(), [3 * i for i in range(256)]
    ds = grey(array, PresentationLUTSequence=[lut(0, entries, 10)])
    made = presentation(ds, array)
    wanted = processing.apply_presentation_lut(array, theirs(ds)).astype(int)
    assert set(np.unique(made - wanted)) <= {0, 3}
    np.testing.assert_array_equal(made, 3 * np.rint(array / 4095 * 255))


def test_a_presentation_table_behind_a_voi_table() -> None:
    ds = grey(stored(), VOILUTSequence=[lut(0, [0, 128, 255], 8)], PresentationLUTSequence=[lut(0, [9, 8, 7], 8)])
    assert presentation(ds, voi(ds, np.array([0, 1, 2]))).tolist() == [9, 8, 7]


@pytest.mark.parametrize(("photometric", "shape", "answer"), [
    ("MONOCHROME2", None, False), ("MONOCHROME1", None, True), ("MONOCHROME1", "INVERSE", True),
    ("MONOCHROME2", "IDENTITY", False), ("MONOCHROME2", "INVERSE", True),
])  # fmt: skip
def test_what_is_shown_inverted(photometric: str, shape: str | None, answer: bool) -> None:
    assert inverts(image(PhotometricInterpretation=photometric, PresentationLUTShape=shape)) is answer


@pytest.mark.parametrize(("dtype", "values", "padded"), [
    ("<i2", {}, []),
    ("<i2", {"PixelPaddingValue": -2000}, [-2000]),
    ("<i2", {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1000}, [-2000, -1500, -1000]),
    ("<i2", {"PixelPaddingValue": -1000, "PixelPaddingRangeLimit": -2000}, [-2000, -1500, -1000]),
    ("<u2", {"PixelPaddingValue": 65535}, [65535]),
    ("<f4", {"FloatPixelPaddingValue": -1500.0}, [-1500]),
])  # fmt: skip
def test_padding(dtype: str, values: dict[str, Any], padded: list[int]) -> None:
    given_ = [-2000, -1500, -1000, 0, 100] if dtype != "<u2" else [0, 100, 65535]
    array = np.array(given_, dtype)
    ds = image(PixelRepresentation=int(dtype == "<i2"), **values)
    assert array[padding_mask(ds, array)].tolist() == padded


def test_padding_under_the_vr_of_the_other_sign() -> None:
    ds = image(PixelRepresentation=1)
    ds.add_new("PixelPaddingValue", "US", 63536)
    assert padding_mask(ds, np.array([-2000, 0], np.int16)).tolist() == [True, False]
    ds.add_new("PixelPaddingValue", "SS", -2000)
    assert padding_mask(ds, np.array([63536, 0], np.uint16)).tolist() == [True, False]
