"""The codecs that this package brings itself: native, encapsulated, deflated, RLE; both ways, and damaged."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dicomcore import frames
from dicomcore.data.files import dcmread
from dicomcore.errors import PixelError
from dicomcore.pixels.codec import CODECS, Codec
from dicomcore.pixels.image_model import ImageModel
from tests.pixels.objects import RLE, encapsulated

NATIVE = "1.2.840.10008.1.2.1"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
ENCAPSULATED = "1.2.840.10008.1.2.1.98"
DEFLATED = "1.2.840.10008.1.2.8.1"
ALL = [NATIVE, BIG_ENDIAN, ENCAPSULATED, DEFLATED, RLE]


class Reports(list[tuple[str, str]]):
    def __call__(self, message: str, clause: str) -> None:
        self.append((message, clause))


def codec(uid: str) -> Codec:
    found = CODECS[uid].codec
    assert found is not None
    return found


def model_of(**changes: Any) -> ImageModel:
    values: dict[str, Any] = {
        "keyword": "PixelData", "frames": 1, "rows": 2, "columns": 3, "samples": 1, "photometric": "MONOCHROME2",
        "planar": False, "bits_allocated": 8, "bits_stored": 8, "high_bit": 7, "kind": "u",
    }  # fmt: skip
    return ImageModel(**(values | changes))


def encode(uid: str, frame: NDArray[Any], source: ImageModel, **options: Any) -> tuple[bytes, ImageModel]:
    one = codec(uid)
    assert one.target is not None
    assert one.encode is not None
    target = one.target(source, options)
    return one.encode(frame, source, target, options), target


def decode(uid: str, data: bytes, model: ImageModel, reports: Reports | None = None) -> tuple[NDArray[Any], str]:
    one = codec(uid)
    assert one.decode is not None
    out = np.full(model.frame_shape, 77, model.dtype)
    unexpected = Reports()
    photometric = one.decode(data, model, out, unexpected if reports is None else reports)
    assert not unexpected
    return out, photometric


@pytest.mark.parametrize("uid", ALL)
@given(data=st.data(), rows=st.integers(1, 6), columns=st.integers(1, 9), bits=st.sampled_from([1, 8, 16, 32, 64]),
       colour=st.sampled_from(["MONOCHROME1", "PALETTE COLOR", "RGB", "YBR_FULL"]), kind=st.sampled_from("ui"),
       planar=st.booleans())  # fmt: skip
def test_both_ways(
    uid: str, data: st.DataObject, rows: int, columns: int, bits: int, colour: str, kind: str, planar: bool
) -> None:
    samples = 3 if colour in ("RGB", "YBR_FULL") else 1
    stored = data.draw(st.integers(1, bits))
    source = model_of(
        rows=rows, columns=columns, samples=samples, photometric=colour, planar=planar and samples > 1,
        bits_allocated=bits, bits_stored=stored, high_bit=stored - 1, kind=kind if bits > 1 else "u",
    )  # fmt: skip
    low, high = (-(1 << (stored - 1)), (1 << (stored - 1)) - 1) if source.kind == "i" else (0, (1 << stored) - 1)
    numbers = st.integers(low, high) | st.just(high)
    values = data.draw(st.lists(numbers, min_size=source.frame_values, max_size=source.frame_values))
    frame = np.array(values, source.dtype).reshape(source.frame_shape)
    if uid == RLE and bits == 64 and samples == 3:
        with pytest.raises(PixelError, match="more RLE segments than 15"):
            encode(uid, frame, source)
        return
    done, target = encode(uid, frame, source)
    assert target == source.but(planar=False)
    assert uid not in (RLE, DEFLATED) or len(done) % 2 == 0
    array, photometric = decode(uid, done, target)
    np.testing.assert_array_equal(array, frame)
    assert photometric == colour


@pytest.mark.parametrize("uid", ALL)
def test_halved_chrominance_becomes_whole(uid: str) -> None:
    source = model_of(columns=2, samples=3, photometric="YBR_FULL_422")
    frame = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    done, target = encode(uid, frame, source)
    assert target.photometric == "YBR_FULL"
    array, photometric = decode(uid, done, target)
    np.testing.assert_array_equal(array, frame)
    assert photometric == "YBR_FULL"


@pytest.mark.parametrize("uid", ALL)
def test_options_are_checked(uid: str) -> None:
    with pytest.raises(PixelError, match="has no option quality"):
        encode(uid, np.zeros((2, 3), np.uint8), model_of(), quality=90)


@pytest.mark.parametrize("uid", [ENCAPSULATED, DEFLATED, RLE])
def test_floating_point_pixels_are_never_encapsulated(uid: str) -> None:
    source = model_of(keyword="FloatPixelData", bits_allocated=32, bits_stored=32, high_bit=31, kind="f")
    with pytest.raises(PixelError, match="never encapsulated"):
        encode(uid, np.zeros((2, 3), np.float32), source)


@pytest.mark.parametrize("uid", ALL)
def test_numbers_are_never_made_to_fit(uid: str) -> None:
    source = model_of(bits_allocated=16, bits_stored=16, high_bit=15)
    values = np.arange(6).reshape(2, 3)
    for wrong in (values.astype(np.int16), values.astype(np.float32), values.astype(np.uint32), values.T.astype("u2")):
        with pytest.raises(PixelError, match="is described"):
            encode(uid, wrong, source)
    expected = encode(uid, values.astype(np.uint16), source)[0]
    assert encode(uid, values.astype(">u2"), source)[0] == expected
    assert encode(uid, np.asfortranarray(values.astype("<u2")), source)[0] == expected
    bits = model_of(bits_allocated=1, bits_stored=1, high_bit=0)
    assert encode(uid, values % 2 == 1, bits)[0] == encode(uid, (values % 2).astype(np.uint8), bits)[0]


def test_colours_are_converted_when_the_target_says_so() -> None:
    source = model_of(samples=3, photometric="RGB")
    frame = np.full((2, 3, 3), [255, 0, 0], np.uint8)
    one = codec(RLE)
    assert one.encode is not None
    target = source.but(photometric="YBR_FULL")
    array, _ = decode(RLE, one.encode(frame, source, target, {}), target)
    assert array[0, 0].tolist() == [76, 85, 255]


# -- RLE --------------------------------------------------------------------------------------------------------------


def test_rle_of_single_bits_is_a_byte_each_and_packed_ones_are_read() -> None:
    model = model_of(rows=3, columns=5, bits_allocated=1, bits_stored=1, high_bit=0)
    bits = np.arange(15, dtype=np.uint8).reshape(3, 5) % 2
    done, _ = encode(RLE, bits, model)
    np.testing.assert_array_equal(decode(RLE, done, model)[0], bits)
    packed = np.packbits(bits, bitorder="little")
    done, _ = encode(RLE, packed.reshape(1, 2), model_of(rows=1, columns=2))
    reports = Reports()
    np.testing.assert_array_equal(decode(RLE, done, model, reports)[0], bits)
    assert [message for message, _ in reports] == ["single bits packed before the runs were made"]


def test_rle_that_goes_on_is_reported() -> None:
    done, target = encode(RLE, np.arange(6, dtype=np.uint8).reshape(2, 3), model_of())
    reports = Reports()
    array, _ = decode(RLE, done + b"\x00\x07", target, reports)
    assert array.ravel().tolist() == list(range(6))
    assert reports == [("RLE segment 1 holds more than 6 bytes", "PS3.5 G.3.2")]


@pytest.mark.parametrize(("damage", "message", "offset"), [
    (lambda data: data[:-2], "segment 2 of 2 ends before its 6 bytes", 76),
    (lambda data: data[:63], "63 bytes have no RLE header", 0),
    (lambda data: b"\3" + data[1:], "3 RLE segments where 1 samples of 2 bytes need 2", 0),
    (lambda data: data[:4] + b"\x3f" + data[5:], "segment 1 cannot begin", 4),
    (lambda data: data[:8] + b"\xff\xff\xff\xff" + data[12:], "segment 2 cannot begin", 8),
    (lambda data: data[:8] + b"\0\0\0\0" + data[12:], "segment 2 cannot begin", 8),
])  # fmt: skip
def test_damaged_rle_is_located(damage: Callable[[bytes], bytes], message: str, offset: int) -> None:
    model = model_of(bits_allocated=16, bits_stored=16, high_bit=15)
    done, target = encode(RLE, np.arange(6, dtype=np.uint16).reshape(2, 3) * 257, model)
    with pytest.raises(PixelError, match=message) as caught:
        decode(RLE, damage(done), target)
    assert caught.value.offset == offset


# -- deflated ---------------------------------------------------------------------------------------------------------


def test_deflated_frames_are_raw_and_have_a_level() -> None:
    frame = np.zeros((2, 3), np.uint8)
    done, _ = encode(DEFLATED, frame, model_of(), level=9)
    assert zlib.decompress(done, -15) == bytes(6)
    for level in (-1, 10, "9"):
        with pytest.raises(PixelError, match="not 0 to 9"):
            encode(DEFLATED, frame, model_of(), level=level)


def test_a_bomb_is_not_inflated() -> None:
    done, _ = encode(DEFLATED, np.zeros((4000, 4000), np.uint8), model_of(rows=4000, columns=4000))
    reports = Reports()
    array, _ = decode(DEFLATED, done, model_of(), reports)
    assert array.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert [message for message, _ in reports] == ["more than the 6 bytes of a frame were deflated"]


@pytest.mark.parametrize(("data", "message"), [
    (b"\xff\xff\xff", "damaged"),
    (b"", "is cut short: 0 bytes where a frame has 6"),
    (zlib.compress(b"abc", wbits=-15), "is too short: 3 bytes"),
    (zlib.compress(b"abcdef", wbits=-15)[:-4], "is cut short"),
])  # fmt: skip
def test_damaged_deflated_frames(data: bytes, message: str) -> None:
    with pytest.raises(PixelError, match=message):
        decode(DEFLATED, data, model_of())


def test_what_is_behind_the_frame_is_reported() -> None:
    for uid in (ENCAPSULATED, DEFLATED):
        done, target = encode(uid, np.arange(6, dtype=np.uint8).reshape(2, 3), model_of())
        reports = Reports()
        array, _ = decode(uid, done + bytes(4), target, reports)
        assert array.ravel().tolist() == list(range(6))
        assert len(reports) == 1
    with pytest.raises(PixelError, match="5 bytes where a frame has 6"):
        decode(ENCAPSULATED, bytes(5), model_of())


# -- as frames of an object -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("uid", [ENCAPSULATED, DEFLATED, RLE])
def test_frames_of_an_object(uid: str) -> None:
    source = model_of()
    all_frames = np.arange(18, dtype=np.uint8).reshape(3, 2, 3)
    done = [[encode(uid, frame, source)[0]] for frame in all_frames]
    ds = encapsulated([[one + b"\0" * (len(one) % 2)] for (one,) in done], syntax=uid)
    np.testing.assert_array_equal(frames(ds).decode_many(), all_frames)
    np.testing.assert_array_equal(ds.pixel_array, all_frames)
    assert not frames(ds).issues


def test_a_damaged_frame_is_named_with_its_place() -> None:
    done, _ = encode(RLE, np.arange(6, dtype=np.uint8).reshape(2, 3), model_of())
    ds = encapsulated([[done], [done[:-4]]], syntax=RLE)
    with pytest.raises(PixelError, match="frame 1: RLE segment 1 of 1 ends before") as caught:
        frames(ds)[1]
    assert caught.value.path == "(7FE0,0010)"
    assert caught.value.offset is not None


def test_every_rle_image_of_pydicom_reads_as_pydicom_reads_it(pydicom_files: list[Path]) -> None:
    compared = 0
    for path in pydicom_files:
        try:
            theirs = pydicom.dcmread(path)
            if theirs.file_meta.TransferSyntaxUID != RLE:
                continue
        except Exception:
            continue
        expected = theirs.pixel_array
        array = dcmread(path).pixel_array
        assert (array.shape, array.dtype) == (expected.shape, expected.dtype), path.name
        np.testing.assert_array_equal(array, expected, err_msg=path.name)
        compared += 1
    assert compared >= 5
