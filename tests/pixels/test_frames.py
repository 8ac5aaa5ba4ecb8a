"""Frames by number: views, copies, slices, threads; what is missing, cut short or wrong (PS3.3 C.7.6.3, PS3.5 A.4)."""

from __future__ import annotations

import gc
import io
import mmap
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore import CODECS, Dataset, Limits, Policy, dcmread, frames
from dicomcore.errors import Issue, LimitExceeded, PixelError, SourceChanged
from dicomcore.pixels.codec import Buffer, Report
from dicomcore.pixels.frames import FrameSource
from dicomcore.pixels.image_model import ImageModel
from tests.pixels.objects import COPY, EXPLICIT_BE, JPEG, PRIVATE, RLE, TABLE, encapsulated, image, items, read

EXPLICIT_LE = "1.2.840.10008.1.2.1"
UNCOMPRESSED = "1.2.840.10008.1.2.1.98"
MPEG2 = "1.2.840.10008.1.2.4.100"


def numbers(count: int, dtype: str = "<u2") -> np.ndarray[Any, Any]:
    """``count`` frames of 2 x 3."""
    return np.arange(count * 6, dtype=dtype).reshape(count, 2, 3)


def wide(count: int, **changes: Any) -> Dataset:
    values = numbers(count)
    return read(image(**{"BitsAllocated": 16, "BitsStored": 16, "HighBit": 15, "NumberOfFrames": count,
                         "PixelData": values.tobytes()} | changes))  # fmt: skip


def copies(count: int, **changes: Any) -> Dataset:
    """Encapsulated, one fragment a frame, for the codec that copies."""
    return encapsulated([[bytes(range(6 * i, 6 * i + 6))] for i in range(count)], **changes)


# -- a sequence of arrays --------------------------------------------------------------------------------------------


def test_it_is_a_sequence() -> None:
    source = frames(wide(5))
    assert (len(source), source.model.frames, source.model.frame_shape) == (5, 5, (2, 3))
    np.testing.assert_array_equal(np.stack(list(source)), numbers(5))
    np.testing.assert_array_equal(source[-1], numbers(5)[4])
    for wrong in (5, -6):
        with pytest.raises(IndexError, match=f"frame {wrong} of 5"):
            source[wrong]
    assert repr(source) == "<FrameSource of 5 x 2 x 3 uint16, Explicit VR Little Endian>"


def test_a_slice_is_a_window() -> None:
    source = frames(wide(10))
    part = source[2:9:3]
    assert isinstance(part, FrameSource)
    assert (len(part), part.model.frames) == (3, 3)
    np.testing.assert_array_equal(np.stack(list(part)), numbers(10)[2:9:3])
    np.testing.assert_array_equal(part[::-1][0], numbers(10)[8])
    np.testing.assert_array_equal(part.decode_many([2, 0]), numbers(10)[[8, 2]])
    assert len(source[20:]) == 0
    assert source[20:].decode_many().shape == (0, 2, 3)
    assert part.dataset is source.dataset


def test_what_comes_out_may_be_written_to_or_not() -> None:
    for source in (frames(wide(3)), frames(copies(3), codecs=TABLE)):
        assert not source[0].flags.writeable
        for own in (source.copy(0), source.decode_many()):
            assert own.flags.writeable
            assert own.flags.owndata
            assert own.flags.c_contiguous


def test_a_plain_frame_is_a_view_that_keeps_its_source() -> None:
    ds = wide(3)
    view = frames(ds)[1]
    data = ds.view("PixelData")
    assert np.shares_memory(view, np.frombuffer(data, np.uint8))
    del ds, data
    gc.collect()
    np.testing.assert_array_equal(view, numbers(3)[1])


@pytest.mark.parametrize("changes", [
    {"BitsStored": 12, "HighBit": 11},
    {"BitsStored": 12, "HighBit": 11, "PixelRepresentation": 1},
])  # fmt: skip
def test_unused_bits_decide_whether_a_frame_is_a_view(changes: dict[str, int]) -> None:
    """Clean ones need no copy; dirty ones, as of overlays, are cleared in one."""
    values = numbers(2)
    values[1] |= 0x8000
    ds = wide(2, PixelData=values.tobytes(), **changes)
    data = np.frombuffer(ds.view("PixelData"), np.uint8)
    source = frames(ds)
    assert np.shares_memory(source[0], data)
    assert not np.shares_memory(source[1], data)
    for i in range(2):
        np.testing.assert_array_equal(source[i], numbers(2)[i].astype(source.model.dtype))
    negative = np.full((1, 2, 3), -5, "<i2")
    ds = wide(1, PixelData=negative.tobytes(), BitsStored=12, HighBit=11, PixelRepresentation=1)
    np.testing.assert_array_equal(frames(ds)[0], negative[0])


def test_out_is_filled() -> None:
    source = frames(wide(3))
    out = np.empty((2, 3), np.uint16)
    assert source.copy(1, out) is out
    np.testing.assert_array_equal(out, numbers(3)[1])
    many = np.empty((3, 2, 3), np.uint16)
    assert source.decode_many(out=many) is many
    np.testing.assert_array_equal(many, numbers(3))
    fixed = np.empty((2, 3), np.uint16)
    fixed.flags.writeable = False
    for wrong in (np.empty((3, 2), np.uint16), np.empty((2, 3), np.int16), np.empty((2, 6), np.uint16)[:, ::2], fixed):
        with pytest.raises(ValueError, match="out has to be"):
            source.copy(0, wrong)
    with pytest.raises(ValueError, match="out has to be"):
        source.decode_many(out=many[:2])


@pytest.mark.parametrize("workers", [None, 1, 2, 3])
def test_many_frames_on_several_threads(workers: int | None) -> None:
    ds = encapsulated([[bytes([i % 256]) * 6] for i in range(600)])
    array = frames(ds, codecs=TABLE).decode_many(workers=workers)
    np.testing.assert_array_equal(array, np.broadcast_to((np.arange(600) % 256)[:, None, None], (600, 2, 3)))
    np.testing.assert_array_equal(
        frames(ds, codecs=TABLE).decode_many(range(7, 300, 5), workers=workers), array[7:300:5]
    )


def test_few_small_frames_are_shared_too() -> None:
    """Two frames of 32 KiB, which take a slow codec long: their decoders meet at a barrier."""
    barrier = threading.Barrier(2, timeout=240)

    def decode(data: Buffer, model: ImageModel, out: np.ndarray[Any, Any], report: Report) -> str:
        barrier.wait()
        out[...] = data[0]
        return model.photometric

    ds = encapsulated([[b"a "], [b"b "]], Rows=128, Columns=256)
    source = frames(ds, codecs=CODECS.with_codec(PRIVATE, replace(COPY, decode=decode)))
    assert source.decode_many(workers=2)[:, 0, 0].tobytes() == b"ab"


def test_one_source_serves_many_threads(tmp_path: Path) -> None:
    path = tmp_path / "x.dcm"
    large = np.arange(40 * 300 * 100, dtype="<u2").reshape(40, 300, 100)
    image(Rows=300, Columns=100, BitsAllocated=16, BitsStored=16, HighBit=15, NumberOfFrames=40,
          PixelData=large.tobytes()).save_as(path)  # fmt: skip
    source = frames(dcmread(path))
    with ThreadPoolExecutor(4) as pool:
        for i, frame in zip([*range(40)] * 5, pool.map(source.__getitem__, [*range(40)] * 5), strict=True):
            np.testing.assert_array_equal(frame, large[i])


# -- kinds of pixels -------------------------------------------------------------------------------------------------


@given(
    data=st.data(),
    count=st.integers(1, 4),
    rows=st.integers(1, 4),
    columns=st.integers(1, 5),
    samples=st.sampled_from([1, 3]),
    planar=st.booleans(),
    bits=st.sampled_from([1, 8, 16, 32, 64]),
    signed=st.integers(0, 1),
    syntax=st.sampled_from([EXPLICIT_LE, EXPLICIT_BE, "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99"]),
)
def test_each_frame_is_that_of_the_whole_array(
    data: st.DataObject,
    count: int,
    rows: int,
    columns: int,
    samples: int,
    planar: bool,
    bits: int,
    signed: int,
    syntax: str,
) -> None:
    """Odd lengths, frames that begin within a byte, words that trade places: one frame alone is as among all."""
    stored = data.draw(st.integers(1, bits))
    length = (rows * columns * samples * bits * count + 7) // 8
    raw = data.draw(st.binary(min_size=length, max_size=length))
    ds = image(
        Rows=rows, Columns=columns, SamplesPerPixel=samples, NumberOfFrames=count, BitsAllocated=bits,
        BitsStored=stored, HighBit=stored - 1, PixelRepresentation=signed, PlanarConfiguration=int(planar),
        PhotometricInterpretation="RGB" if samples == 3 else "MONOCHROME2", PixelData=raw + b"\0" * (length % 2),
    )  # fmt: skip
    ds = read(ds, syntax)
    source = frames(ds)
    whole = ds.pixel_array.reshape(count, *source.model.frame_shape)
    assert len(source) == count
    for i in range(count):
        np.testing.assert_array_equal(source[i], whole[i])
        np.testing.assert_array_equal(source.copy(i), whole[i])
    np.testing.assert_array_equal(source.decode_many(workers=2), whole)
    if syntax != EXPLICIT_BE and bits >= 8:
        assert b"".join(bytes(source.encoded(i)) for i in range(count)) == raw
    if bits == 1:
        packed = np.unpackbits(np.frombuffer(source.encoded(count - 1), np.uint8), bitorder="little")
        assert packed[: whole[0].size].tolist() == whole[-1].ravel().tolist()


@pytest.mark.parametrize(("keyword", "dtype"), [("FloatPixelData", "f4"), ("DoubleFloatPixelData", "f8")])
@pytest.mark.parametrize("syntax", [EXPLICIT_LE, EXPLICIT_BE])
def test_floating_point_frames(keyword: str, dtype: str, syntax: str) -> None:
    values = np.arange(12, dtype=dtype).reshape(2, 2, 3) / 7
    ds = image(**{keyword: values.astype(f"<{dtype}").tobytes(), "BitsAllocated": None, "BitsStored": None,
                  "PixelRepresentation": None, "HighBit": None, "NumberOfFrames": 2})  # fmt: skip
    source = frames(read(ds, syntax))
    np.testing.assert_array_equal(source[1], values[1])
    assert source[1].dtype == values.dtype
    assert source.is_swapped is (syntax == EXPLICIT_BE)


def test_colours_come_as_rgb_or_as_they_are_stored() -> None:
    ybr = bytes([76, 85, 255, 150, 44, 21])
    for photometric, value in (("YBR_FULL", ybr), ("YBR_FULL_422", bytes([76, 150, 85, 255]))):
        ds = read(image(Rows=1, Columns=2, SamplesPerPixel=3, PlanarConfiguration=0, PixelData=value,
                        PhotometricInterpretation=photometric))  # fmt: skip
        rgb, stored = frames(ds), frames(ds, colour="stored")
        assert rgb[0][0, 0].tolist() == [254, 0, 0]
        assert stored[0][0, 0].tolist() == [76, 85, 255]
        assert (rgb.photometric, stored.photometric) == ("RGB", "YBR_FULL")
    with pytest.raises(ValueError, match="neither 'rgb' nor 'stored'"):
        frames(ds, colour="grey")  # type: ignore[arg-type]


def test_encapsulated_colours_are_converted_too() -> None:
    ds = encapsulated([[bytes([76, 85, 255] * 6)]], SamplesPerPixel=3, PlanarConfiguration=0,
                      PhotometricInterpretation="YBR_FULL")  # fmt: skip
    assert frames(ds, codecs=TABLE)[0][1, 2].tolist() == [254, 0, 0]
    assert frames(ds, codecs=TABLE, colour="stored")[0][1, 2].tolist() == [76, 85, 255]


def test_unused_bits_of_what_a_codec_answers_are_cleared() -> None:
    ds = encapsulated([[b"\xff" * 12]], BitsAllocated=16, BitsStored=12, HighBit=11)
    assert frames(ds, codecs=TABLE)[0].max() == 4095


# -- encapsulated ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["basic", "extended", "none"])
def test_encapsulated_frames_by_any_table(table: str) -> None:
    ds = copies(4, table=table)
    source = frames(ds, codecs=TABLE)
    np.testing.assert_array_equal(source.decode_many(), np.arange(24).reshape(4, 2, 3))
    assert not source.issues
    assert source.table is not None
    assert [bytes(source.encoded(i))[0] for i in range(4)] == [0, 6, 12, 18]
    assert b"".join(source.stream()) == bytes(range(24))


def test_many_fragments_a_frame() -> None:
    ds = encapsulated([[b"ab", b"", b"cdef"], [b"ghijkl"]])
    source = frames(ds, codecs=TABLE)
    assert [frame.tobytes() for frame in source] == [b"abcdef", b"ghijkl"]
    assert not source.issues


def test_an_extended_table_leaves_out_padding() -> None:
    changes: dict[str, Any] = {"Rows": 1, "Columns": 5, "ExtendedOffsetTableLengths": np.array([5, 5], "<u8").tobytes()}
    ds = encapsulated([[b"abcde\0"], [b"fghij\0"]], table="extended", **changes)
    assert [bytes(one) for one in map(frames(ds, codecs=TABLE).encoded, range(2))] == [b"abcde", b"fghij"]


def test_a_wrong_table_is_an_issue_or_under_a_strict_policy_an_error() -> None:
    ds = copies(2, PixelData=items([b"abcdef", b"ghijkl"], np.array([0, 3], "<u4").tobytes()))
    source = frames(ds, codecs=TABLE)
    assert source[1].tobytes() == b"ghijkl"
    assert ["Basic Offset Table" in issue.message for issue in source.issues] == [True]
    with pytest.raises(PixelError, match="Basic Offset Table"):
        frames(ds, codecs=TABLE, policy=Policy.strict())


@pytest.mark.parametrize(("stated", "expected", "issues"), [(None, 3, 1), (0, 3, 1), (2, 3, 1), (3, 3, 0), (5, 5, 1)])
def test_another_number_of_frames_than_the_table_has(stated: int | None, expected: int, issues: int) -> None:
    ds = encapsulated([[b"abcdef"], [b"ghij", b"kl"], [b"mnopqr"]], NumberOfFrames=stated)
    source = frames(ds, codecs=TABLE)
    assert (len(source), len(source.issues)) == (expected, issues)
    assert source[2].tobytes() == b"mnopqr"
    if expected > 3:
        with pytest.raises(PixelError, match="frame 3 is missing: 4 fragments have 3 of 5 frames"):
            source[3]


def test_a_frame_without_a_byte() -> None:
    source = frames(encapsulated([[b"abcdef"], [b""]], table="none"), codecs=TABLE)
    assert source[0].tobytes() == b"abcdef"
    with pytest.raises(PixelError, match="frame 1: it has no bytes"):
        source[1]


def test_an_error_names_the_frame_and_its_offset() -> None:
    ds = encapsulated([[b"abcdef"], [b"bad..."], [b"ghijkl"]])
    source = frames(ds, codecs=TABLE)
    with pytest.raises(PixelError, match="frame 1: copy: bad bytes") as caught:
        source[1]
    assert source.table is not None
    assert (caught.value.offset, caught.value.path) == (source.table.offset(1), "(7FE0,0010)")
    with pytest.raises(PixelError, match="frame 1"):
        source.decode_many(workers=2)
    with pytest.raises(PixelError, match="frame 1"):
        source[1:].copy(0)
    assert source[2].tobytes() == b"ghijkl"


def test_what_the_code_stream_says_goes_before_the_attributes() -> None:
    """PS3.5 8.2: the description is that of the first frame's stream; nonsense in it leaves the attributes."""

    def inspect(data: Buffer, model: ImageModel, report: Report) -> ImageModel:
        if data[0] == 0:
            raise StopIteration
        return model.but(rows=data[0])

    table = CODECS.with_codec(PRIVATE, replace(COPY, inspect=inspect))
    source = frames(encapsulated([[b"\3bcdefghi"], [b"ihgfedcba"]]), codecs=table)
    assert (source.model.frame_shape, source[1].shape, source.decode_many().shape) == ((3, 3), (3, 3), (2, 3, 3))
    for start in (b"\0", b"\xff"):
        source = frames(encapsulated([[start + b"bcdef"]]), codecs=table, limits=Limits(inflated_length=1000))
        assert source.model.rows == (2 if start == b"\0" else 255)
    with pytest.raises(LimitExceeded):
        _ = frames(encapsulated([[b"\xffbcdef"]]), codecs=table, limits=Limits(inflated_length=700)).model
    table = CODECS.with_codec(PRIVATE, replace(COPY, inspect=lambda data, model, report: model.but(columns=0)))
    assert frames(encapsulated([[b"abcdef"]]), codecs=table)[0].tobytes() == b"abcdef"
    with pytest.raises(PixelError, match="Columns is 0"):
        _ = frames(encapsulated([[b"abcdef"]]), codecs=table, policy=Policy.strict()).model


def test_what_a_codec_reports_is_an_issue_of_its_frame() -> None:
    ds = encapsulated([[b"abcdef"], [b"odd..."]])
    source = frames(ds, codecs=TABLE)
    for _ in range(2):
        list(source)
    assert source.table is not None
    assert source.issues == [Issue("frame 1: odd bytes", source.table.offset(1), "(7FE0,0010)", "PS3.5 8.2")]
    with pytest.raises(PixelError, match="frame 1: odd bytes"):
        list(frames(ds, codecs=TABLE, policy=Policy.strict()))
    with pytest.raises(PixelError, match="frame 1: odd bytes"):
        list(frames(dcmread(file_of(ds), policy=Policy.strict()), codecs=TABLE))


def file_of(ds: Dataset) -> bytes:
    file = io.BytesIO()
    ds.save_as(file)
    return file.getvalue()


def test_a_video_is_a_stream() -> None:
    parts = [b"\0\0\1\xb3" + bytes(100), b"more of it", b"end."]
    ds = encapsulated([parts], syntax=MPEG2, NumberOfFrames=250)
    source = frames(ds)
    assert len(source) == 250
    assert b"".join(source.stream()) == b"".join(parts)
    assert not source.issues
    for ask in (source.encoded, source.copy, source.__getitem__):
        with pytest.raises(PixelError, match=r"MPEG2.*a video stream.*frames\(ds\)\.stream\(\)"):
            ask(7)
    with pytest.raises(PixelError, match="a video stream"):
        source.decode_many()


def test_fragments_that_were_assigned() -> None:
    """No scan has walked what Python set; it is read in one hop over the headers."""
    ds = image(PixelData=items([b"abcdef", b"ghijkl"]), NumberOfFrames=2)
    ds.file_meta.TransferSyntaxUID = PRIVATE
    assert frames(ds, codecs=TABLE)[1].tobytes() == b"ghijkl"
    ds.PixelData = items([b"abcdef", b"ghijkl"])[:-12]
    source = frames(ds, codecs=TABLE)
    assert source[0].tobytes() == b"abcdef"
    assert ["claims 6 bytes of 2" in issue.message for issue in source.issues] == [True]
    ds.PixelData = items([b"abcdef"])[:-8] + b"no item at all"
    assert ["no item" in issue.message for issue in frames(ds, codecs=TABLE).issues] == [True, False]


def test_pixels_and_syntax_that_do_not_fit() -> None:
    ds = image(PixelData=bytes(40))
    ds.file_meta.TransferSyntaxUID = JPEG
    with pytest.raises(PixelError, match="not in fragments"):
        frames(ds)
    ds.PixelData = bytes(range(6))  # but in native it would fit
    source = frames(ds)
    assert source[0].tobytes() == bytes(range(6))
    assert ["read as native" in issue.message for issue in source.issues] == [True]


def test_a_syntax_in_the_meta_that_does_not_fit_what_was_read() -> None:
    ds = copies(2)
    ds.file_meta.TransferSyntaxUID = EXPLICIT_LE
    assert frames(ds, codecs=TABLE)[1].tobytes() == bytes(range(6, 12))
    native = wide(2)
    native.file_meta.TransferSyntaxUID = JPEG
    np.testing.assert_array_equal(frames(native)[1], numbers(2)[1])


# -- what is missing, absurd, or changed -----------------------------------------------------------------------------


def test_frames_before_a_missing_one_stay_readable() -> None:
    ds = wide(4)
    ds.PixelData = numbers(4).tobytes()[:-14]
    source = frames(ds)
    assert len(source) == 4
    np.testing.assert_array_equal(source[1], numbers(4)[1])
    np.testing.assert_array_equal(source[:2].decode_many(), numbers(4)[:2])
    asks: list[Callable[[], object]] = [
        lambda: source[2], lambda: source.copy(2), source.decode_many, lambda: source.encoded(2)
    ]  # fmt: skip
    for ask in asks:
        with pytest.raises(PixelError, match="frame 2 is missing: 34 bytes of pixel data where 4 frames need 48"):
            ask()
    with pytest.raises(PixelError, match="frame 2 is missing"):
        source.decode_many(out=np.empty((4, 2, 3), np.uint16))


def test_more_pixels_than_frames() -> None:
    ds = wide(2, NumberOfFrames=1)
    source = frames(ds)
    assert (len(source), len(source.issues)) == (2, 1)
    ds = wide(2, PixelData=numbers(2).tobytes() + bytes(4))
    assert (len(frames(ds)), ["4 bytes beyond" in one.message for one in frames(ds).issues]) == (2, [True])


@pytest.mark.parametrize("changes", [{"NumberOfFrames": 2**31 - 1}, {"Rows": 65535, "Columns": 65535}])
def test_absurd_sizes_allocate_nothing(changes: dict[str, int]) -> None:
    source = frames(wide(1, **changes))
    asks: list[Callable[[], object]] = [source.decode_many, lambda: source[len(source) - 1]]
    for ask in asks:
        with pytest.raises(PixelError, match="is missing"):
            ask()
    with pytest.raises((PixelError, LimitExceeded)):
        frames(copies(1, **changes), codecs=TABLE).decode_many()


def test_limits_bound_what_is_decoded() -> None:
    ds = copies(3)
    limits = Limits(inflated_length=12)
    source = frames(ds, codecs=TABLE, limits=limits)
    assert len(list(source)) == 3
    assert source[:2].decode_many().nbytes == 12
    with pytest.raises(LimitExceeded, match="18 bytes of decoded pixels"):
        source.decode_many()
    with pytest.raises(LimitExceeded):
        frames(ds, codecs=TABLE, limits=Limits(inflated_length=5))
    assert source.decode_many(out=np.empty((3, 2, 3), np.uint8)).shape == (3, 2, 3)


def test_nothing_but_an_image() -> None:
    with pytest.raises(PixelError, match="no Pixel Data"):
        frames(Dataset())


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Sixty frames of 512 KiB, beyond any window and any head."""
    path = tmp_path / "large.dcm"
    values = np.arange(60, dtype="<u2").repeat(512 * 512)
    image(Rows=512, Columns=512, BitsAllocated=16, BitsStored=16, HighBit=15, NumberOfFrames=60,
          PixelData=values.tobytes()).save_as(path)  # fmt: skip
    return path


@pytest.mark.parametrize("mapped", [True, False])
def test_a_file_that_changed_is_told(large: Path, mapped: bool) -> None:
    source = frames(dcmread(large), mapped=mapped)
    assert int(source[3][0, 0]) == 3
    kept = source[4]
    other = large.with_name("other")
    other.write_bytes(large.read_bytes()[::-1])
    other.replace(large)
    for i in (5, 50):
        with pytest.raises(SourceChanged):
            source[i]
    assert int(kept[0, 0]) == 4


@pytest.mark.parametrize("mapped", [True, False])
def test_frames_of_a_file_hold_no_descriptor_once_they_are_gone(large: Path, mapped: bool) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = descriptors()
    source = frames(dcmread(large), mapped=mapped)
    assert [int(frame[511, 511]) for frame in source] == list(range(60))
    assert [int(source[i][0, 0]) for i in (59, 0, 30)] == [59, 0, 30]
    del source
    gc.collect()
    assert descriptors() <= before


_FLAT = """
import resource, sys
import numpy as np
from dicomcore import dcmread, frames
def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
source = frames(dcmread(sys.argv[1]))
total = sum(int(frame[0, 0]) for frame in source[:50]) + int(source.copy(3)[0, 0])
out = np.zeros((10, *source.model.frame_shape), source.model.dtype)
source[:10].decode_many(out=out)
before = peak()
assert sum(int(frame[0, 0]) for frame in source) == sum(i % 1000 for i in range(len(source)))
for first in range(0, len(source), 10):
    source[first : first + 10].decode_many(out=out)
print(peak() - before)
"""


@pytest.mark.footprint
@pytest.mark.parametrize(("stored", "syntax"), [(16, EXPLICIT_LE), (12, EXPLICIT_LE), (16, UNCOMPRESSED)])
def test_ten_thousand_frames_take_the_memory_of_one(ram_path: Path, stored: int, syntax: str) -> None:
    """100 MB iterated and decoded into ``out``: the peak, mappings included, stays where a few frames have put it."""
    path = ram_path / "x.dcm"
    ds = image(Rows=64, Columns=80, BitsAllocated=16, BitsStored=stored, HighBit=stored - 1, NumberOfFrames=10_000)
    values = (np.arange(10_000, dtype="<u2") % 1000).repeat(64 * 80).tobytes()
    size = 2 * 64 * 80
    ds.PixelData = (
        values if syntax == EXPLICIT_LE else items([values[i : i + size] for i in range(0, len(values), size)])
    )
    ds.save_as(path, transfer_syntax=syntax)
    del ds, values
    done = subprocess.run([sys.executable, "-c", _FLAT, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 12 * 1024  # KiB: less than two windows


def test_a_process_that_cannot_map_reads(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unmapped(*_: object, **__: object) -> None:
        raise OSError("no such device")

    monkeypatch.setattr(mmap, "mmap", unmapped)
    source = frames(dcmread(large))
    assert [int(source[i][0, 0]) for i in (59, 0, 30)] == [59, 0, 30]


@given(
    changes=st.dictionaries(
        st.sampled_from(["Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "NumberOfFrames",
                         "PixelRepresentation", "PlanarConfiguration"]),
        st.integers(0, 65535),
    ),
    fragments=st.lists(st.binary(max_size=12), max_size=5),
    basic=st.lists(st.integers(0, 60), max_size=4),
    cut=st.integers(0, 40),
    syntax=st.sampled_from([PRIVATE, RLE, JPEG]),
)  # fmt: skip
def test_absurd_objects_give_frames_or_errors(
    changes: dict[str, int], fragments: list[bytes], basic: list[int], cut: int, syntax: str
) -> None:
    value = items(fragments, np.array(basic, "<u4").tobytes())
    ds = image(**{"PixelData": value[: max(len(value) - cut, 0)]} | changes)
    ds.file_meta.TransferSyntaxUID = syntax
    try:
        source = frames(ds, codecs=TABLE, limits=Limits(inflated_length=1 << 20))
    except (PixelError, LimitExceeded):
        return
    for i in range(min(len(source), 8)):
        with suppress(PixelError):
            assert source[i].shape == source.model.frame_shape


def test_frames_that_are_there_are_counted_without_looking_at_billions() -> None:
    source = frames(encapsulated([[b"abcdef"]] * 4, NumberOfFrames=2**31 - 1, table="none"), codecs=TABLE)
    assert len(source) == 2**31 - 1
    parts = (source, source[::-1], source[1::2], source[:3], source[3::-2], source[7:4:-1], source[5:2])
    assert [part.complete for part in parts] == [4, 4, 2, 3, 2, 0, 0]
    assert repr(source).startswith("<FrameSource of 2147483647 x 2 x 3 uint8")
