"""Lossless chains return every bit and every other attribute; lossy steps are told; failures leave what was there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore import CODECS, Codec, Dataset, Policy, dcmread, diff, frames, transcode, transcode_file
from dicomcore.errors import EncodingError, LimitExceeded, PixelError
from dicomcore.limits import Limits
from dicomcore.pixels import encapsulation
from dicomcore.pixels import transcode as module
from dicomcore.pixels.codec import Array
from dicomcore.pixels.encapsulation import OffsetTable
from dicomcore.vocab.syntaxes import SYNTAXES
from tests.pixels.objects import PRIVATE, TABLE, encapsulated, image, items, read

pytest.importorskip("imagecodecs")

J = "1.2.840.10008.1.2.4"
IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
DEFLATED, UNCOMPRESSED, DEFLATED_FRAME = f"{EXPLICIT}.99", f"{EXPLICIT}.98", "1.2.840.10008.1.2.8.1"
RLE, BASELINE, RECOMPRESSED = "1.2.840.10008.1.2.5", f"{J}.50", f"{J}.111"
NATIVE = (IMPLICIT, EXPLICIT, BIG, DEFLATED)
# Each syntax that may lose nothing, with the options under which it does not.
LOSSLESS: dict[str, dict[str, Any]] = {
    **{uid: {} for uid in (*NATIVE, UNCOMPRESSED, DEFLATED_FRAME, RLE)},
    **{f"{J}.{number}": {} for number in (57, 70, 80, 90, 110, 201, 202)},
    **{uid: dict(options) for uid, options in module.FAITHFUL.items()},
}


TABLES: st.SearchStrategy[OffsetTable | None] = st.sampled_from([None, "basic", "extended", "none"])


@st.composite
def images(draw: st.DrawFn) -> tuple[Dataset, Array]:
    """A data set in Explicit VR Little Endian, read from memory, and its pixels, (frames, rows, columns[, samples])."""
    allocated = draw(st.sampled_from([1, 8, 16, 32]))
    stored = draw(st.integers(1, allocated))
    colours = draw(st.sampled_from(["MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL"]))
    samples = 3 if colours in ("RGB", "YBR_FULL") and allocated > 1 else 1
    photometric = colours if samples == 3 or colours not in ("RGB", "YBR_FULL") else "MONOCHROME2"
    is_signed = draw(st.booleans()) and allocated > 1 and photometric != "PALETTE COLOR"
    count, rows, columns = draw(st.integers(1, 9)), draw(st.integers(1, 17)), draw(st.integers(1, 17))
    random = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    shape = (count, rows, columns, samples) if samples > 1 else (count, rows, columns)
    low, high = (-(1 << (stored - 1)), 1 << (stored - 1)) if is_signed else (0, 1 << stored)
    array = random.integers(low, high, shape).astype(f"<{'i' if is_signed else 'u'}{max(allocated // 8, 1)}")
    data = np.packbits(array.reshape(-1), bitorder="little").tobytes() if allocated == 1 else array.tobytes()
    ds = image(
        SamplesPerPixel=samples, PhotometricInterpretation=photometric, Rows=rows, Columns=columns,
        PlanarConfiguration=0 if samples > 1 else None,
        NumberOfFrames=count if count > 1 or draw(st.booleans()) else None,
        BitsAllocated=allocated, BitsStored=stored, HighBit=stored - 1, PixelRepresentation=int(is_signed),
        PatientName="Doe^Jane", PixelData=data + b"\0" * (len(data) % 2),
    )  # fmt: skip
    return read(ds, EXPLICIT), array


def stored(ds: Dataset) -> Array:
    source = frames(ds, colour="stored")
    array = source.decode_many()
    assert not source.issues
    return array


def attempt(call: Callable[[], Dataset]) -> tuple[Dataset | None, str]:
    """What it gives, or why it refuses."""
    try:
        return call(), ""
    except PixelError as error:
        return None, str(error)


@given(images(), st.lists(st.sampled_from(sorted(LOSSLESS)), min_size=1, max_size=5), st.data())
def test_lossless_chains_return_every_bit_and_every_attribute(
    given_image: tuple[Dataset, Array], walk: list[str], data: st.DataObject
) -> None:
    original, expected = given_image
    ds = original
    for uid in walk:
        table = data.draw(TABLES)
        options = LOSSLESS[uid] if uid != ds.transfer_syntax else {}
        made, refusal = attempt(partial(transcode, ds, uid, offset_table=table, workers=1, **options))
        if made is None:
            assert "cannot hold these pixels" in refusal or "more RLE segments" in refusal
            continue
        assert made.transfer_syntax == uid
        np.testing.assert_array_equal(stored(made), expected)
        ds = read(made, uid) if data.draw(st.booleans()) else made
        np.testing.assert_array_equal(stored(ds), expected)
        assert ds.SOPInstanceUID == "2.25.2"
        assert "LossyImageCompression" not in ds
        if table is not None:
            assert ("ExtendedOffsetTable" in ds) == (table == "extended" and uid not in NATIVE)
    back = read(transcode(ds, EXPLICIT), EXPLICIT)
    # Implicit VR has bytes in OW, too (PS3.5 A.1).
    assert not [one for one in diff(original, back) if (one.path, one.kind) != ("(7FE0,0010)", "vr")]
    assert back.PixelData == original.PixelData


@given(images(), st.sampled_from(sorted(LOSSLESS)))
def test_files_are_what_data_sets_are(given_image: tuple[Dataset, Array], uid: str) -> None:
    original, _ = given_image
    folder = _scratch()
    original.save_as(folder / "given.dcm")
    options = LOSSLESS[uid] if uid != EXPLICIT else {}
    made, refusal = attempt(lambda: transcode(original, uid, **options))
    if made is None:
        with pytest.raises(PixelError) as caught:
            transcode_file(folder / "given.dcm", folder / "made.dcm", uid, **options)
        assert str(caught.value) == refusal
        return
    told = transcode_file(folder / "given.dcm", folder / "made.dcm", uid, limits=Limits(memory_object=64), **options)
    file = BytesIO()
    made.save_as(file)
    assert (folder / "made.dcm").read_bytes() == file.getvalue()
    source = frames(made)
    assert told.frame_count == len(source)
    assert told.sop_instance_uid == "2.25.2"
    assert told.length_before == frames(original).model.stored_length
    assert (told.length_after == told.length_before) or source.table is not None


@cache
def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="dicomcore-test-")


def _scratch() -> Path:
    """One folder for all examples, gone with the process."""
    return Path(_folder().name)


def hills(count: int = 1, rows: int = 48, columns: int = 64, bits: int = 8, samples: int = 1) -> Array:
    """Smooth frames over the whole range, each a bit brighter than the one before."""
    y, x = np.mgrid[:rows, :columns]
    plane = (np.sin(x / 9) + np.cos(y / 7) + 2) / 4
    stack = np.stack(
        [plane * share * (0.6 + 0.4 * i / count) for i in range(count) for share in (1.0, 0.8, 0.5)[:samples]]
    )
    values = (stack * ((1 << bits) - 1)).astype(np.uint8 if bits <= 8 else "<u2")
    frames_of = np.moveaxis(values.reshape(count, samples, rows, columns), 1, -1)
    return np.ascontiguousarray(frames_of[..., 0] if samples == 1 else frames_of)


def image_of(array: Array, stored_bits: int = 0, **changes: Any) -> Dataset:
    """An image of frames, read from memory."""
    samples = array.shape[3] if array.ndim == 4 else 1
    allocated = array.itemsize * 8
    bits = stored_bits or allocated
    facts = {
        "SamplesPerPixel": samples, "PhotometricInterpretation": "RGB" if samples == 3 else "MONOCHROME2",
        "PlanarConfiguration": 0 if samples == 3 else None, "NumberOfFrames": len(array), "Rows": array.shape[1],
        "Columns": array.shape[2], "BitsAllocated": allocated, "BitsStored": bits, "HighBit": bits - 1,
        "PixelRepresentation": 0, "PixelData": array.tobytes(),
    }  # fmt: skip
    return read(image(**facts | changes), EXPLICIT)


@pytest.mark.parametrize(("bits", "samples"), [(1, 3), (2, 3), (8, 1), (8, 3), (12, 1), (16, 1), (16, 3), (32, 1)])
def test_noise_that_no_coding_makes_smaller(bits: int, samples: int) -> None:
    shape = (1, 160, 120, samples) if samples > 1 else (1, 160, 120)
    kind = "<u1" if bits <= 8 else "<u2" if bits <= 16 else "<u4"
    array = np.random.default_rng(5).integers(0, 1 << bits, shape).astype(kind)
    ds = image_of(array, bits)
    for uid, options in LOSSLESS.items():
        made, refusal = attempt(partial(transcode, ds, uid, **(options if uid != EXPLICIT else {})))
        assert "cannot hold" in refusal or (made is not None and np.array_equal(stored(made), array)), refusal


@pytest.mark.parametrize(("rows", "columns"), [(28, 42), (19, 61), (128, 128)])
@pytest.mark.parametrize(("bits", "samples"), [(8, 3), (12, 3), (16, 3), (16, 1), (22, 1)])
def test_the_sharpest_edges_come_back(rows: int, columns: int, bits: int, samples: int) -> None:
    y, x = np.mgrid[:rows, :columns]
    for pattern in ((x // 2 + y // 3) % 2, (x + y) % 2, x % 2):
        planes = [pattern, 1 - pattern, pattern][:samples]
        values = (np.stack(planes, -1) if samples == 3 else pattern) * ((1 << bits) - 1)
        array = values.astype("<u1" if bits <= 8 else "<u2" if bits <= 16 else "<u4")[None]
        ds = image_of(array, bits)
        for uid, options in LOSSLESS.items():
            made, refusal = attempt(partial(transcode, ds, uid, **(options if uid != EXPLICIT else {})))
            assert "cannot hold" in refusal or (made is not None and np.array_equal(stored(made), array)), uid


# -- lossy coding ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "bits", "samples", "options", "bound", "photometric", "method"),
    [
        (50, 8, 1, {"quality": 95}, 6, "MONOCHROME2", "ISO_10918_1"),
        (50, 8, 3, {}, 24, "YBR_FULL_422", "ISO_10918_1"),
        (51, 12, 1, {}, 80, "MONOCHROME2", "ISO_10918_1"),
        (81, 8, 3, {"near": 3}, 3, "RGB", "ISO_14495_1"),
        (81, 12, 1, {"near": 1}, 1, "MONOCHROME2", "ISO_14495_1"),
        (91, 8, 3, {}, 10, "YBR_ICT", "ISO_15444_1"),
        (91, 16, 1, {"error": 4}, 60, "MONOCHROME2", "ISO_15444_1"),
        (203, 12, 1, {}, 20, "MONOCHROME2", "ISO_15444_15"),
        (112, 8, 3, {"distance": 0.5}, 30, "XYB", "ISO_18181_1"),
    ],
)
def test_what_loses_makes_a_derived_instance(
    number: int, bits: int, samples: int, options: dict[str, Any], bound: int, photometric: str, method: str
) -> None:
    array = hills(3, bits=bits, samples=samples)
    ds = image_of(array, bits, ImageType=["ORIGINAL", "PRIMARY", "AXIAL"], SmallestImagePixelValue=0)
    ds.LargestImagePixelValue, ds.PixelPaddingValue, ds.ICCProfile = 250, 7, b"profile!"
    before = deepcopy(ds)
    made = transcode(ds, f"{J}.{number}", **options)
    assert ds == before
    found = stored(made)
    assert found.shape == array.shape
    rgb = frames(made).decode_many()
    assert np.abs(rgb.astype(int) - array.astype(int)).max() <= bound
    assert made.PhotometricInterpretation == photometric
    assert made.ImageType == ["DERIVED", "PRIMARY", "AXIAL"]
    assert (made.LossyImageCompression, made.LossyImageCompressionMethod) == ("01", method)
    length = sum(len(frames(made).encoded(i)) for i in range(3))
    assert float(made.LossyImageCompressionRatio) == pytest.approx(array.nbytes / length, rel=0.02)
    assert made.SOPInstanceUID not in ("2.25.2", "")
    assert made.file_meta.MediaStorageSOPInstanceUID == made.SOPInstanceUID
    (source,) = made.SourceImageSequence
    assert (source.ReferencedSOPInstanceUID, source.ReferencedSOPClassUID) == ("2.25.2", ds.SOPClassUID)
    assert made.DerivationCodeSequence[0].CodeValue == "113040"
    assert made.DerivationDescription.startswith("Lossy compression with ")
    assert "SmallestImagePixelValue" not in made
    assert "LargestImagePixelValue" not in made
    assert (made.PixelPaddingValue, made.ICCProfile, made.HighBit) == (7, b"profile!", made.BitsStored - 1)
    # Decoding later tells it still, and loses nothing more.
    native = read(transcode(made, EXPLICIT), EXPLICIT)
    assert native.SOPInstanceUID == made.SOPInstanceUID
    assert native.LossyImageCompressionMethod == method
    np.testing.assert_array_equal(stored(native), rgb)


@pytest.mark.parametrize(
    ("number", "options"), [(81, {"near": 1}), (91, {"error": 2}), (203, {"step": 4}), (112, {"distance": 1})]
)
@pytest.mark.parametrize("bits", [5, 12])
def test_values_that_a_loss_makes_larger_than_bits_stored_do_not_wrap(
    number: int, options: dict[str, Any], bits: int
) -> None:
    checks = np.kron(np.indices((6, 8)).sum(0) % 2, np.ones((8, 8), int)) * ((1 << bits) - 1)
    array = checks.astype("<u2")[None]
    made = transcode(image_of(array, bits), f"{J}.{number}", **options)
    assert np.abs(stored(made).astype(int) - array).max() < (1 << bits) // 2
    assert made.HighBit == made.BitsStored - 1


def test_nothing_is_lost_unless_it_is_wanted() -> None:
    ds = image_of(hills(bits=12), 12)
    for uid in LOSSLESS:
        made = module.transcode_losslessly(ds, uid)
        assert made.SOPInstanceUID == ds.SOPInstanceUID
        np.testing.assert_array_equal(stored(made), hills(bits=12))
    for number in (50, 51):
        with pytest.raises(PixelError, match="loses something"):
            module.transcode_losslessly(ds, f"{J}.{number}")


def test_each_lossy_step_is_told() -> None:
    ds = image_of(hills(samples=3))
    once = transcode(ds, BASELINE)
    twice = transcode(once, f"{J}.91")
    assert twice.LossyImageCompressionMethod == ["ISO_10918_1", "ISO_15444_1"]
    assert len(twice.LossyImageCompressionRatio) == 2
    assert twice.DerivationDescription.count("Lossy compression with") == 2
    assert [item.ReferencedSOPInstanceUID for item in twice.SourceImageSequence] == ["2.25.2", once.SOPInstanceUID]
    assert len(once.SourceImageSequence) == 1


@pytest.mark.parametrize(
    ("number", "options"), [(50, {}), (81, {"near": 2}), (91, {}), (203, {"step": 3}), (112, {"distance": 2})]
)
def test_a_loss_that_the_attributes_forgot_is_told_when_it_is_decoded(number: int, options: dict[str, Any]) -> None:
    made = transcode(image_of(hills(samples=3)), f"{J}.{number}", **options)
    for keyword in ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        delattr(made, keyword)
    native = transcode(read(made, f"{J}.{number}"), EXPLICIT)
    assert native.LossyImageCompression == "01"
    assert float(native.LossyImageCompressionRatio) > 1
    assert native.SOPInstanceUID == made.SOPInstanceUID


@pytest.mark.parametrize("number", [81, 91, 203, 112])
def test_no_loss_is_told_where_there_is_none(number: int) -> None:
    made = transcode(image_of(hills()), f"{J}.{number}", **LOSSLESS[f"{J}.{number}"])
    native = transcode(read(made, f"{J}.{number}"), EXPLICIT)
    assert "LossyImageCompression" not in native
    assert native.SOPInstanceUID == "2.25.2"


def test_what_an_instance_says_of_itself_in_items_follows() -> None:
    ds = image_of(hills())
    kind = Dataset()
    kind.FrameType = ["ORIGINAL", "PRIMARY"]
    group = Dataset()
    group.CTImageFrameTypeSequence = [kind]
    group.ReferencedImageSequence = [Dataset({"ReferencedSOPInstanceUID": uid}) for uid in ("2.25.2", "2.25.3")]
    ds.SharedFunctionalGroupsSequence = [group]
    ds = read(ds)
    made = transcode(ds, BASELINE)
    (shared,) = made.SharedFunctionalGroupsSequence
    assert shared.CTImageFrameTypeSequence[0].FrameType == ["DERIVED", "PRIMARY"]
    told = [item.ReferencedSOPInstanceUID for item in shared.ReferencedImageSequence]
    assert told == [made.SOPInstanceUID, "2.25.3"]
    (shared,) = ds.SharedFunctionalGroupsSequence
    assert shared.CTImageFrameTypeSequence[0].FrameType == ["ORIGINAL", "PRIMARY"]
    assert shared.ReferencedImageSequence[0].ReferencedSOPInstanceUID == "2.25.2"


def test_data_sets_without_uids_become_instances_when_they_lose() -> None:
    ds = Dataset({element.keyword: element.value for element in image_of(hills()) if element.tag >> 16 > 8})
    assert "SOPInstanceUID" not in transcode(ds, RLE)
    made = transcode(ds, BASELINE)
    assert made.SOPInstanceUID
    assert "SourceImageSequence" not in made


# -- without decoding --------------------------------------------------------------------------------------------------


def test_jpeg_and_jpeg_xl_of_it_become_each_other_byte_for_byte(tmp_path: Path) -> None:
    ds = transcode(image_of(hills(4, samples=3)), BASELINE)
    packed = read(transcode(ds, RECOMPRESSED), RECOMPRESSED)
    assert (packed.SOPInstanceUID, packed.PhotometricInterpretation) == (ds.SOPInstanceUID, "YBR_FULL_422")
    assert frames(packed).encoded(0) != frames(ds).encoded(0)
    np.testing.assert_array_equal(stored(packed), stored(ds))
    packed.save_as(tmp_path / "packed.dcm")
    transcode_file(tmp_path / "packed.dcm", tmp_path / "jpeg.dcm", BASELINE)
    back = dcmread(tmp_path / "jpeg.dcm")
    assert [bytes(frames(back).encoded(i)) for i in range(4)] == [bytes(frames(ds).encoded(i)) for i in range(4)]
    assert not list(diff(ds, back))
    with pytest.raises(PixelError, match="has no option quality"):
        transcode(packed, BASELINE, quality=50)
    with pytest.raises(PixelError, match="made from a stream of JPEG Baseline"):
        transcode(image_of(hills()), RECOMPRESSED)


def test_offset_tables_change_without_decoding() -> None:
    ds = encapsulated([[b"one!"], [b"tw", b"o!"]], syntax=PRIVATE)
    made = transcode(ds, PRIVATE, offset_table="extended", codecs=TABLE)
    assert made.PixelData[:8] == b"\xfe\xff\x00\xe0\0\0\0\0"
    assert [bytes(frames(made, codecs=TABLE).encoded(i)) for i in (0, 1)] == [b"one!", b"two!"]
    assert frames(made, codecs=TABLE).table is not None
    assert transcode(ds, PRIVATE).PixelData == ds.PixelData


def test_offsets_that_need_it_get_an_extended_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    array = hills(3)
    image_of(array).save_as(tmp_path / "x.dcm")
    monkeypatch.setattr(encapsulation, "FARTHEST", 1000)
    transcode_file(tmp_path / "x.dcm", tmp_path / "y.dcm", RLE)
    ds = dcmread(tmp_path / "y.dcm")
    offsets = np.frombuffer(ds.ExtendedOffsetTable, "<u8")
    assert offsets[0] == 0
    assert offsets[2] > 1000
    np.testing.assert_array_equal(stored(ds), array)
    np.testing.assert_array_equal(pydicom.dcmread(tmp_path / "y.dcm").pixel_array, array)
    with pytest.raises(PixelError, match="need an Extended Offset Table"):
        transcode_file(tmp_path / "x.dcm", tmp_path / "z.dcm", RLE, offset_table="basic")
    assert not (tmp_path / "z.dcm").exists()


@pytest.mark.parametrize("keyword", ["FloatPixelData", "DoubleFloatPixelData"])
def test_floating_point_pixels_are_native_only(keyword: str) -> None:
    size = 4 if keyword == "FloatPixelData" else 8
    values = np.array([1.5, -2, np.inf, 0, 5, 6], f"<f{size}")
    ds = image(
        BitsAllocated=8 * size, BitsStored=None, HighBit=None, PixelRepresentation=None, **{keyword: values.tobytes()}
    )
    ds = read(ds, EXPLICIT)
    for uid in NATIVE:
        np.testing.assert_array_equal(frames(read(transcode(ds, uid), uid))[0].ravel(), values)
    for uid in sorted(LOSSLESS.keys() - set(NATIVE)):
        with pytest.raises(PixelError, match=f"{keyword} is never encapsulated"):
            transcode(ds, uid, **LOSSLESS[uid])


def test_icons_of_what_becomes_native_become_native(tmp_path: Path) -> None:
    icon, broken = (transcode(image_of(hills(rows=8, columns=8)), RLE) for _ in range(2))
    ds = transcode(image_of(hills(2)), RLE)
    whole = [Dataset({e.keyword: e.value for e in one if e.tag >> 16 == 0x28}) for one in (icon, broken)]
    whole[0].add_new("PixelData", "OB", icon.PixelData)
    whole[1].add_new("PixelData", "OB", items([b"\xff" * 8]))
    ds.IconImageSequence = whole
    path = tmp_path / "x.dcm"
    ds.save_as(path)
    told = transcode_file(path, path, EXPLICIT)
    assert [issue.path for issue in told.issues] == ["(0088,0200)"]
    made = dcmread(path)
    (one,) = made.IconImageSequence
    np.testing.assert_array_equal(frames(one)[0], hills(rows=8, columns=8)[0])
    assert pydicom.dcmread(path).IconImageSequence[0].PixelData == hills(rows=8, columns=8).tobytes()


def test_group_lengths_that_would_be_wrong_go() -> None:
    ds = image_of(hills())
    ds.add_new(0x00280000, "UL", 99)
    ds.add_new(0x7FE00000, "UL", 999)
    made = read(transcode(read(ds), RLE), RLE)
    assert not [element for element in made if not element.tag & 0xFFFF]


def test_colours_on_demand() -> None:
    ybr = image_of(hills(samples=3), PhotometricInterpretation="YBR_FULL")
    kept = transcode(ybr, RLE)
    np.testing.assert_array_equal(stored(kept), hills(samples=3))
    assert kept.PhotometricInterpretation == "YBR_FULL"
    for uid in (RLE, IMPLICIT, EXPLICIT):
        made = transcode(ybr, uid, colour="rgb")
        assert made.PhotometricInterpretation == "RGB"
        np.testing.assert_array_equal(stored(made), frames(ybr).decode_many())
    jpeg = transcode(ybr, BASELINE)
    assert transcode(jpeg, RLE).PhotometricInterpretation == "RGB"
    assert transcode(jpeg, RLE, colour="stored").PhotometricInterpretation == "YBR_FULL"


# -- what is refused, and what a failure leaves ------------------------------------------------------------------------


def test_syntaxes_without_a_codec_are_refused_by_name() -> None:
    ds = image_of(hills())
    for uid, row in CODECS.items():
        if not row.can_encode:
            with pytest.raises(PixelError, match=r"cannot be encoded") as caught:
                transcode(ds, uid)
            assert row.syntax.name in str(caught.value)
            assert row.reason in str(caught.value)


def test_videos_are_passed_on_but_not_changed(tmp_path: Path) -> None:
    uid = f"{J}.102"
    video = encapsulated([[b"stream"]], syntax=uid, NumberOfFrames=30)
    assert transcode(video, uid).PixelData == video.PixelData
    video.save_as(tmp_path / "video.dcm")
    told = transcode_file(tmp_path / "video.dcm", tmp_path / "same.dcm", uid)
    assert (told.frame_count, told.length_before, told.length_after) == (30, 6, 6)
    with pytest.raises(PixelError, match=r"MPEG-4.*cannot be decoded.*video stream"):
        transcode(video, EXPLICIT)


def test_objects_without_pixels_change_between_native_syntaxes_only(tmp_path: Path) -> None:
    ds = read(Dataset({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.5", "SOPInstanceUID": "2.25.9", "RTPlanLabel": "A"}))
    ds.save_as(tmp_path / "plan.dcm")
    for uid in NATIVE:
        told = transcode_file(tmp_path / "plan.dcm", tmp_path / "made.dcm", uid)
        assert (told.frame_count, told.length_after, told.sop_instance_uid) == (0, 0, "2.25.9")
        assert dcmread(tmp_path / "made.dcm").RTPlanLabel == "A"
    for uid, message in ((RLE, "no pixels"), (f"{J}.94", "JPIP server"), (f"{J}.100", "video")):
        with pytest.raises(PixelError, match=message):
            transcode(ds, uid)
    ds.file_meta.TransferSyntaxUID = f"{J}.94"
    with pytest.raises(PixelError, match="JPIP server"):
        transcode(ds, EXPLICIT)


@pytest.mark.parametrize("uid", [EXPLICIT, RLE, UNCOMPRESSED])
def test_native_to_native_counts_its_frames(tmp_path: Path, uid: str) -> None:
    image_of(hills(5)).save_as(tmp_path / "x.dcm")
    told = transcode_file(tmp_path / "x.dcm", tmp_path / "y.dcm", uid)
    assert (told.frame_count, told.length_before) == (5, 5 * 48 * 64)
    assert told.transfer_syntax == SYNTAXES[uid]


@pytest.mark.parametrize("is_same_file", [False, True])
def test_a_failure_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_same_file: bool) -> None:
    given_path = tmp_path / "x.dcm"
    encapsulated([[b"abcdef"]], syntax=UNCOMPRESSED, NumberOfFrames=2).save_as(given_path)
    bytes_before = given_path.read_bytes()
    target = given_path if is_same_file else tmp_path / "y.dcm"
    with pytest.raises(PixelError, match=r"frame 1 is missing"):
        transcode_file(given_path, target, RLE)
    monkeypatch.setattr(module, "_BATCH", 1)
    encapsulated([[b"abcdef"], [b"abc"]], syntax=UNCOMPRESSED).save_as(given_path)
    bytes_before = given_path.read_bytes()
    with pytest.raises(PixelError, match=r"frame 1: "):
        transcode_file(given_path, target, RLE, workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["x.dcm"]
    assert given_path.read_bytes() == bytes_before


def test_a_file_becomes_another_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "x.dcm"
    array = hills(3, bits=12)
    image_of(array, 12).save_as(path)
    for uid in (RLE, f"{J}.80", f"{J}.90", BIG, DEFLATED, EXPLICIT):
        transcode_file(path, path, uid)
        ds = dcmread(path)
        assert ds.transfer_syntax == uid
        np.testing.assert_array_equal(stored(ds), array)
    assert [one.name for one in tmp_path.iterdir()] == ["x.dcm"]
    with pytest.raises(FileExistsError):
        transcode_file(path, path, RLE, replace=False)


def test_faults_are_told_or_refused(tmp_path: Path) -> None:
    odd = encapsulated([[b"abcdef"], [b"abcdef??????"]], syntax=UNCOMPRESSED)
    odd.save_as(tmp_path / "x.dcm")
    told = transcode_file(tmp_path / "x.dcm", tmp_path / "y.dcm", RLE)
    assert any("where a frame has 6" in issue.message for issue in told.issues)
    with pytest.raises((PixelError, EncodingError), match="where a frame has 6"):
        transcode_file(tmp_path / "x.dcm", tmp_path / "z.dcm", RLE, policy=Policy.strict())
    assert not (tmp_path / "z.dcm").exists()


def test_errors_over_half_of_the_range_are_refused() -> None:
    assert transcode(image_of(hills()), f"{J}.81", near=127).LossyImageCompression == "01"
    assert transcode(image_of(hills(bits=12), 12), f"{J}.81", near=255).LossyImageCompression == "01"
    with pytest.raises(PixelError, match="near is 128, not a number from 0 to 127"):
        transcode(image_of(hills()), f"{J}.81", near=128)


def test_options_that_a_syntax_has_not_are_refused() -> None:
    ds = image_of(hills())
    for uid in (EXPLICIT, RLE, BASELINE, f"{J}.80", f"{J}.110"):
        with pytest.raises(PixelError, match="has no option colours"):
            transcode(ds, uid, colours=5)


def test_native_pixels_longer_than_an_element_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ds = transcode(image_of(hills(2)), RLE)
    monkeypatch.setattr(module, "LONGEST", 2 * 48 * 64 - 1)
    with pytest.raises(PixelError, match="6144 bytes of pixels are more"):
        transcode(ds, EXPLICIT)


def test_memory_for_all_native_pixels_is_bounded(tmp_path: Path) -> None:
    ds = transcode(image_of(hills(4)), RLE)
    small = Limits(inflated_length=4 * 48 * 64 - 1)
    with pytest.raises(LimitExceeded, match=r"12288 bytes of native pixels.*transcode_file"):
        transcode(ds, EXPLICIT, limits=small)
    ds.save_as(tmp_path / "x.dcm")
    assert transcode_file(tmp_path / "x.dcm", tmp_path / "y.dcm", EXPLICIT, limits=small).frame_count == 4


def test_whatever_a_codec_raises_names_the_frame() -> None:
    def broken(frame: Array, source: Any, target: Any, options: Any) -> bytes:
        if frame[0, 0] != first:
            raise RuntimeError("out of order")
        return b"ok"

    array = hills(2)
    array[1] += 1
    first = array[0, 0, 0]
    codecs = TABLE.with_codec(PRIVATE, Codec("broken", encode=broken, target=lambda source, options: source))
    with pytest.raises(PixelError, match=r"frame 1 cannot be encoded in .*: out of order"):
        transcode(image_of(array), PRIVATE, codecs=codecs)


# -- memory ------------------------------------------------------------------------------------------------------------

_FLAT = """
import sys
from dicomcore import transcode_file
from dicomcore.limits import Limits
def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
small, large, target, uid = sys.argv[1:]
transcode_file(small, target, uid, limits=Limits(memory_object=1 << 20))
before = peak()
assert transcode_file(large, target, uid, limits=Limits(memory_object=1 << 20)).frame_count == 8000
print(peak() - before)
"""


@pytest.mark.footprint
@pytest.mark.parametrize(("given_syntax", "uid"), [(EXPLICIT, UNCOMPRESSED), (UNCOMPRESSED, EXPLICIT), (EXPLICIT, RLE)])
def test_thousands_of_frames_take_the_memory_of_a_few(ram_path: Path, given_syntax: str, uid: str) -> None:
    """160 MB from file to file: the peak stays where 40 MB, more than a batch, have put it."""
    for name, count in (("small", 2000), ("large", 8000)):
        ds = image(Rows=100, Columns=100, BitsAllocated=16, BitsStored=16, HighBit=15, NumberOfFrames=count)
        ds.PixelData = np.random.default_rng(1).integers(0, 99, 10_000, np.uint16).tobytes() * count
        ds.save_as(ram_path / name)
        del ds
        transcode_file(ram_path / name, ram_path / name, given_syntax)
    arguments = [sys.executable, "-c", _FLAT, *(str(ram_path / name) for name in ("small", "large", "made")), uid]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 16 * 1024  # KiB


@pytest.mark.parametrize("name", ["rle", "RLELossless", "RLE Lossless"])
def test_syntaxes_have_names(name: str) -> None:
    made = transcode(read(image(PixelData=bytes(6)), EXPLICIT), name)
    assert made.transfer_syntax == RLE
    assert made.file_meta.TransferSyntaxUID == RLE
