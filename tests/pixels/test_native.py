"""Native pixel data: against pydicom over its own files, and against a plain reading of PS3.5 8.1.1, value by value."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dicomcore._core import pixels as kernel
from dicomcore.data.dataset import Dataset
from dicomcore.data.files import dcmread
from dicomcore.errors import PixelError
from dicomcore.pixels import ImageModel, decode_native, pixel_array
from dicomcore.pixels.native import clear_unused_bits, decode_frame, encode_frame, to_rgb
from tests.reference import pixels as twin

WORD_ORDER = ("rtdose_expb.dcm", "rtdose_expb_1frame.dcm")  # 32 bits in big-endian OW
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


@pytest.fixture(scope="module")
def pydicom_data() -> list[Path]:
    """Every file that comes with the installed pydicom, those without a suffix too."""
    folder = Path(pydicom.__file__).parent / "data"
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in ("", ".dcm"))


def model_of(**changes: Any) -> ImageModel:
    values: dict[str, Any] = {
        "keyword": "PixelData",
        "frames": 1,
        "rows": 1,
        "columns": 1,
        "samples": 1,
        "photometric": "MONOCHROME2",
        "planar": False,
        "bits_allocated": 8,
        "bits_stored": 8,
        "high_bit": 7,
        "kind": "u",
    }
    return ImageModel(**(values | changes))


def check_owned(array: NDArray[Any]) -> None:
    assert array.flags.writeable
    assert array.flags.owndata
    assert array.flags.c_contiguous


def theirs(path: Path) -> NDArray[Any] | Exception | None:
    """pydicom's array; what it raises instead; None for a file without native pixels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ds = pydicom.dcmread(path)
        except Exception:
            return None
        syntax = getattr(ds, "file_meta", {}).get("TransferSyntaxUID")
        if syntax is None or syntax.is_encapsulated or not any(keyword in ds for keyword in PIXELS):
            return None
        try:
            return np.asarray(ds.pixel_array)
        except Exception as error:
            return error


def test_every_native_image_of_pydicom_reads_as_pydicom_reads_it(pydicom_data: list[Path]) -> None:
    compared = 0
    for path in pydicom_data:
        expected = theirs(path)
        if expected is None or path.name in WORD_ORDER:
            continue
        if isinstance(expected, Exception):
            with pytest.raises(PixelError):
                _ = dcmread(path).pixel_array
            continue
        array = dcmread(path).pixel_array
        assert (array.shape, array.dtype) == (expected.shape, expected.dtype), path.name
        np.testing.assert_array_equal(array, expected, err_msg=path.name)
        check_owned(array)
        compared += 1
    assert compared >= 60


@pytest.mark.parametrize("name", WORD_ORDER)
def test_wide_pixels_in_big_endian_words_read_as_dcmtk_reads_them(
    name: str, pydicom_data: list[Path], peer: Callable[[str], str], tmp_path: Path
) -> None:
    """PS3.5 annex D: OW is a row of 16-bit words, least significant first. pydicom reads 32-bit words instead."""
    path = next(path for path in pydicom_data if path.name == name)
    run = subprocess.run([peer("dcmconv"), "+te", str(path), str(tmp_path / "x.dcm")], capture_output=True, check=False)
    assert run.returncode == 0, run.stderr
    expected = pydicom.dcmread(tmp_path / "x.dcm").pixel_array
    np.testing.assert_array_equal(dcmread(path).pixel_array, expected)


def oracle(data: bytes, model: ImageModel, big_endian: bool) -> list[int]:
    """Stored integers in the order frame, row, column, sample, one at a time."""
    size = model.bits_allocated // 8
    order: Any = "big" if big_endian else "little"
    values = []
    for frame in range(model.frames):
        for pixel in range(model.rows * model.columns):
            for sample in range(model.samples):
                plane = model.rows * model.columns
                place = sample * plane + pixel if model.planar else pixel * model.samples + sample
                at = (frame * model.frame_values + place) * size
                value = int.from_bytes(data[at : at + size], order) & ((1 << model.bits_stored) - 1)
                if model.kind == "i" and value >> (model.bits_stored - 1):
                    value -= 1 << model.bits_stored
                values.append(value)
    return values


@given(
    data=st.data(),
    frames=st.integers(1, 3),
    rows=st.integers(1, 4),
    columns=st.integers(1, 5),
    samples=st.sampled_from([1, 3]),
    planar=st.booleans(),
    bits=st.sampled_from([8, 16, 32, 64]),
    kind=st.sampled_from("ui"),
    big_endian=st.booleans(),
)
def test_integers_of_any_width_order_and_sign(
    data: st.DataObject,
    frames: int,
    rows: int,
    columns: int,
    samples: int,
    planar: bool,
    bits: int,
    kind: str,
    big_endian: bool,
) -> None:
    stored = data.draw(st.integers(1, bits))
    model = model_of(
        frames=frames, rows=rows, columns=columns, samples=samples, planar=planar and samples > 1,
        photometric="RGB" if samples == 3 else "MONOCHROME2", bits_allocated=bits, bits_stored=stored, kind=kind,
    )  # fmt: skip
    raw = data.draw(st.binary(min_size=model.stored_length, max_size=model.stored_length))
    array = decode_native(raw, model, big_endian=big_endian)
    assert array.shape == model.shape
    assert array.dtype == model.dtype.newbyteorder(">" if big_endian else "<")
    assert array.ravel().tolist() == oracle(raw, model, big_endian)
    check_owned(array)


@given(frames=st.integers(1, 5), rows=st.integers(1, 5), columns=st.integers(1, 5), data=st.data())
def test_single_bits_follow_each_other_across_frames(frames: int, rows: int, columns: int, data: st.DataObject) -> None:
    model = model_of(frames=frames, rows=rows, columns=columns, bits_allocated=1, bits_stored=1, high_bit=0)
    raw = data.draw(st.binary(min_size=model.stored_length, max_size=model.stored_length + 1))
    array = decode_native(raw, model)
    expected = [raw[bit // 8] >> (bit % 8) & 1 for bit in range(frames * rows * columns)]
    assert array.ravel().tolist() == expected
    assert array.dtype == np.uint8
    check_owned(array)


@pytest.mark.parametrize("count", [4, 5])
def test_bytes_sent_as_big_endian_words_trade_places(count: int) -> None:
    model = model_of(columns=count)
    swapped = bytes([2, 1, 4, 3, 0, 5])[: count + count % 2]
    np.testing.assert_array_equal(decode_native(swapped, model, big_endian=True, words=True)[0], range(1, count + 1))
    plain = bytes(range(1, count + 1))
    np.testing.assert_array_equal(decode_native(plain, model, big_endian=True)[0], range(1, count + 1))


def test_wide_pixels_in_big_endian_words_begin_with_the_low_word() -> None:
    model = model_of(bits_allocated=32, bits_stored=32, high_bit=31)
    array = decode_native(b"\3\4\1\2", model, big_endian=True, words=True)
    assert array.tolist() == [[0x01020304]]
    assert array.dtype == np.dtype("<u4")
    check_owned(array)


def test_half_a_word_is_refused() -> None:
    with pytest.raises(PixelError, match="16-bit words"):
        decode_native(b"\2\1\3", model_of(columns=3), big_endian=True, words=True)


def test_subsampled_colour_is_spread_and_converted() -> None:
    model = model_of(columns=4, samples=3, photometric="YBR_FULL_422")
    grey = bytes([10, 20, 128, 128, 30, 40, 128, 128])
    expected = np.repeat([[[10], [20], [30], [40]]], 3, axis=2)
    np.testing.assert_array_equal(decode_native(grey, model), expected)


@pytest.mark.parametrize(("ybr", "rgb"), [
    ((76, 85, 255), (254, 0, 0)),
    ((150, 44, 21), (0, 255, 1)),
    ((29, 255, 107), (0, 0, 254)),
    ((255, 128, 128), (255, 255, 255)),
])  # fmt: skip
def test_full_range_colour_becomes_rgb(ybr: tuple[int, ...], rgb: tuple[int, ...]) -> None:
    model = model_of(samples=3, photometric="YBR_FULL")
    assert decode_native(bytes(ybr), model)[0, 0].tolist() == list(rgb)


def test_wide_colour_is_not_converted_by_guess() -> None:
    with pytest.raises(PixelError, match="8 bits"):
        decode_native(bytes(6), model_of(samples=3, photometric="YBR_FULL", bits_allocated=16, bits_stored=16))


@pytest.mark.parametrize(("keyword", "dtype"), [("FloatPixelData", "<f4"), ("DoubleFloatPixelData", "<f8")])
def test_floating_point_pixels(keyword: str, dtype: str) -> None:
    values = np.array([[0.5, -1.25, np.inf]], dtype)
    ds = Dataset()
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = values.shape
    setattr(ds, keyword, values.tobytes())
    array = pixel_array(ds)
    assert array.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(array, values)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2",
                                    "1.2.840.10008.1.2.1.99"])  # fmt: skip
@pytest.mark.parametrize("bits", [8, 16, 32])
def test_pixels_survive_every_native_transfer_syntax(syntax: str, bits: int, tmp_path: Path) -> None:
    values = np.arange(15, dtype=f"<u{bits // 8}").reshape(3, 5) * (1 + 2 ** (bits - 6))
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "2.25.1"
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = values.shape
    ds.BitsAllocated = ds.BitsStored = bits
    ds.HighBit = bits - 1
    ds.PixelRepresentation = 0
    ds.PixelData = values.tobytes() + b"\0" * (values.nbytes % 2)
    ds.save_as(tmp_path / "x.dcm", transfer_syntax=syntax)
    np.testing.assert_array_equal(dcmread(tmp_path / "x.dcm").pixel_array, values)
    if (syntax, bits) != ("1.2.840.10008.1.2.2", 32):
        np.testing.assert_array_equal(pydicom.dcmread(tmp_path / "x.dcm").pixel_array, values)


def test_a_new_transfer_syntax_in_the_meta_leaves_the_pixels_alone(pydicom_data: list[Path], tmp_path: Path) -> None:
    """Bytes have the order of the file that was read, edited or not, until they are saved."""
    ds = dcmread(next(path for path in pydicom_data if path.name == "MR_small_expb.dcm"))
    values = ds.pixel_array
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    np.testing.assert_array_equal(ds.pixel_array, values)
    ds.PixelData = (values + 1).astype(values.dtype).tobytes()
    np.testing.assert_array_equal(ds.pixel_array, values + 1)
    ds.save_as(tmp_path / "x.dcm")
    np.testing.assert_array_equal(dcmread(tmp_path / "x.dcm").pixel_array, values + 1)


@given(
    changes=st.dictionaries(
        st.sampled_from(["Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "PixelRepresentation",
                         "PlanarConfiguration"]),
        st.integers(0, 65535),
    ),
    frames=st.integers(-(2**31), 2**31 - 1) | st.none(),
    photometric=st.sampled_from(["MONOCHROME2", "RGB", "YBR_FULL", "YBR_FULL_422", "PALETTE COLOR", "?"]),
    data=st.binary(max_size=64),
)  # fmt: skip
def test_absurd_descriptions_give_an_array_or_a_pixel_error(
    changes: dict[str, int], frames: int | None, photometric: str, data: bytes
) -> None:
    ds = Dataset()
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.BitsAllocated, ds.BitsStored = 2, 2, 1, 8, 8
    ds.PixelRepresentation = 0
    ds.PhotometricInterpretation = photometric
    ds.NumberOfFrames = frames
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    ds.PixelData = data
    try:
        array = pixel_array(ds)
    except PixelError:
        return
    assert array.nbytes <= 8 * len(data) + 8


ORDERS: dict[str, int] = {"little": kernel.LITTLE, "big": kernel.BIG, "words": kernel.WORDS}


@st.composite
def described(draw: st.DrawFn) -> dict[str, Any]:
    """What the kernel is told of a frame, all that PS3.5 8.1.1 and PS3.3 C.7.6.3.1 allow of it."""
    size = draw(st.sampled_from([0, 1, 2, 4, 8]))
    samples = draw(st.sampled_from([1, 3, 4]))
    halved = size > 0 and samples == 3 and draw(st.booleans())
    pixels = draw(st.integers(1, 40) | st.sampled_from([4095, 4096, 4097])) * (2 if halved else 1)
    return {
        "pixels": pixels,
        "samples": samples,
        "size": size,
        "stored": draw(st.integers(1, 8 * size)) if size else 1,
        "order": draw(st.sampled_from(["little", "big", "words"])),
        "planar": size > 0 and not halved and draw(st.booleans()),
        "halved": halved,
    }


def stored_bytes(shape: dict[str, Any], bit: int) -> int:
    values = shape["pixels"] * shape["samples"]
    if shape["size"] == 0:
        length = (bit + values + 7) // 8
    else:
        length = bit // 8 + (values * 2 // 3 if shape["halved"] else values) * shape["size"]
    return int(length + length % 2 if shape["order"] == "words" else length)


@given(shape=described(), bit=st.integers(0, 15), is_signed=st.booleans(), seed=st.integers(0, 2**32), data=st.data())
def test_the_kernel_decodes_as_its_twin(
    shape: dict[str, Any], bit: int, is_signed: bool, seed: int, data: st.DataObject
) -> None:
    bit = bit if shape["size"] == 0 else bit // 8 * 8 if shape["size"] == 1 else 0
    raw = np.random.default_rng(seed).bytes(stored_bytes(shape, bit))
    expected = twin.decode(raw, is_signed=is_signed, bit=bit, **shape)
    out = np.empty(len(expected), f"{'i' if is_signed else 'u'}{max(shape['size'], 1)}")
    order, plain = ORDERS[shape["order"]], data.draw(st.sampled_from([0, kernel.NARROW, kernel.SINGLY]))
    kernel.decode(
        raw, out.view(np.uint8), shape["samples"], shape["size"], shape["stored"], is_signed, order,
        shape["planar"], shape["halved"], bit, plain,
    )  # fmt: skip
    assert out.tolist() == expected
    with pytest.raises(ValueError, match="no frame of"):
        kernel.decode(
            raw[:-1], out.view(np.uint8), shape["samples"], shape["size"], shape["stored"], is_signed, order,
            shape["planar"], shape["halved"], bit, plain,
        )  # fmt: skip


@given(shape=described(), is_signed=st.booleans(), seed=st.integers(0, 2**32), data=st.data())
def test_the_kernel_encodes_as_its_twin(shape: dict[str, Any], is_signed: bool, seed: int, data: st.DataObject) -> None:
    if shape["size"] != 1:
        shape["halved"] = False
    chance = np.random.default_rng(seed)
    count = shape["pixels"] * shape["samples"]
    frame = np.frombuffer(chance.bytes(count * max(shape["size"], 1)), f"u{max(shape['size'], 1)}")
    if shape["size"] == 0:
        frame = frame * (chance.random(count) < 0.5)
    expected = twin.encode(frame.tolist(), is_signed=is_signed, **shape)
    plain = data.draw(st.sampled_from([0, kernel.NARROW, kernel.SINGLY]))
    order, planar, halved = ORDERS[shape["order"]], shape["planar"], shape["halved"]
    what = (shape["samples"], shape["size"], shape["stored"], is_signed, order, planar, halved)
    assert kernel.encode(frame.view(np.uint8), None, *what, 0, plain) == expected
    out = np.full(len(expected) + 3, 0xA5, np.uint8)
    assert kernel.encode(frame.view(np.uint8), out, *what, 0, plain) is None
    assert out.tobytes() == expected + b"\xa5" * 3
    with pytest.raises(ValueError, match="no room"):
        kernel.encode(frame.view(np.uint8), out[: len(expected) - 1], *what, 0, plain)


@given(counts=st.lists(st.integers(1, 30), min_size=1, max_size=6), words=st.booleans(), seed=st.integers(0, 2**32))
def test_frames_of_single_bits_are_packed_one_behind_the_other(counts: list[int], words: bool, seed: int) -> None:
    bits = [np.random.default_rng(seed + i).integers(0, 2, count, np.uint8) for i, count in enumerate(counts)]
    total = sum(counts)
    out, done = np.full((total + 15) // 16 * 2, 0xFF, np.uint8), 0
    order = kernel.WORDS if words else kernel.LITTLE
    for frame in bits:
        kernel.encode(frame, out[done // 16 * 2 :], 1, 0, 1, False, order, bit=done % 16)
        done += len(frame)
    expected = np.packbits(np.concatenate(bits), bitorder="little").tobytes()
    if words:
        assert out.tobytes() == twin.turned(expected + b"\0" * (len(expected) % 2))
    else:
        assert out.tobytes()[: len(expected)] == expected


@pytest.mark.parametrize("options", [
    (5, 1, 8), (0, 1, 8), (1, 3, 8), (1, -1, 8), (1, 1, 9), (1, 1, 0), (1, 2, 8, False, 3), (1, 2, 8, False, -1),
    (1, 1, 8, False, 0, False, False, 16), (1, 1, 8, False, 0, False, False, -1), (1, 1, 8, False, 0, False, False, 3),
    (1, 1, 8, False, 0, False, True), (3, 1, 8, False, 0, True, True), (3, 0, 1, False, 0, False, True), (3, 2, 8),
])  # fmt: skip
def test_what_no_frame_is_like_is_refused(options: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=r"."):
        kernel.decode(bytes(64), np.empty(16, np.uint8), *options)


def test_no_pixels_are_no_work() -> None:
    kernel.decode(b"", np.empty(0, np.uint8), 1, 2, 16)
    assert kernel.encode(b"", None, 1, 2, 16) == b""
    with pytest.raises(ValueError, match="begin with"):
        kernel.encode(bytes(2), None, 1, 0, 1, bit=1)


@given(data=st.data(), bits=st.sampled_from([1, 8, 16, 32, 64]), samples=st.sampled_from([1, 3]), planar=st.booleans(),
       kind=st.sampled_from("ui"), big_endian=st.booleans(), words=st.booleans())  # fmt: skip
def test_a_frame_encoded_is_decoded_as_it_was(
    data: st.DataObject, bits: int, samples: int, planar: bool, kind: str, big_endian: bool, words: bool
) -> None:
    stored = data.draw(st.integers(1, bits))
    model = model_of(
        rows=data.draw(st.integers(1, 5)), columns=data.draw(st.integers(1, 9)), samples=samples,
        planar=planar and samples > 1, photometric="RGB" if samples == 3 else "MONOCHROME2", bits_allocated=bits,
        bits_stored=stored, high_bit=stored - 1, kind=kind if bits > 1 else "u",
    )  # fmt: skip
    low, high = (-(1 << (stored - 1)), (1 << (stored - 1)) - 1) if model.kind == "i" else (0, (1 << stored) - 1)
    values = st.lists(st.integers(low, high), min_size=model.frame_values, max_size=model.frame_values)
    frame = np.array(data.draw(values), model.dtype).reshape(model.frame_shape)
    done = encode_frame(frame, model, big_endian=big_endian, words=words)
    assert len(done) - model.frame_length in ((0, 1) if words and big_endian else (0,))
    out = np.empty_like(frame)
    assert decode_frame(done, model, out, big_endian=big_endian, words=words) == model.photometric
    np.testing.assert_array_equal(out, frame)


def test_unused_bits_are_cleared_in_place() -> None:
    array = np.array([[0x7FFF, -0x8000, 0x0800, 0x07FF]], np.int16)
    clear_unused_bits(array, model_of(columns=4, bits_allocated=16, bits_stored=12, high_bit=11, kind="i"))
    assert array.tolist() == [[-1, 0, -2048, 2047]]
    whole = array.astype(np.uint16)
    clear_unused_bits(whole, model_of(columns=4, bits_allocated=16, bits_stored=12, high_bit=11))
    assert whole.tolist() == [[4095, 0, 2048, 2047]]


def test_half_a_frame_is_refused() -> None:
    model = model_of(rows=2, columns=2)
    with pytest.raises(PixelError, match="3 bytes where a frame has 4"):
        decode_frame(bytes(3), model, np.empty((2, 2), np.uint8))
    with pytest.raises(PixelError, match="shape"):
        encode_frame(np.empty((2, 3), np.uint8), model)
    with pytest.raises(PixelError, match="8 bits"):
        encode_frame(
            np.empty((2, 2, 3), np.uint16),
            model.but(samples=3, photometric="YBR_FULL_422", bits_allocated=16, bits_stored=16, columns=2),
        )


def test_subsampled_colour_both_ways() -> None:
    model = model_of(columns=4, samples=3, photometric="YBR_FULL_422")
    stored = bytes([10, 20, 128, 127, 30, 40, 1, 2])
    out = np.empty((1, 4, 3), np.uint8)
    assert decode_frame(stored, model, out) == "YBR_FULL"
    assert out.tolist() == [[[10, 128, 127], [20, 128, 127], [30, 1, 2], [40, 1, 2]]]
    assert encode_frame(out, model) == stored


def test_only_arrays_without_gaps_are_filled() -> None:
    """A copy of them would be, which nobody sees."""
    gaps: NDArray[Any] = np.zeros((2, 4), np.uint8)[:, ::2]
    for work in (
        lambda: decode_frame(bytes(4), model_of(rows=2, columns=2), gaps),
        lambda: clear_unused_bits(gaps, model_of(rows=2, columns=2, bits_stored=3)),
        lambda: to_rgb(np.zeros((2, 4, 3), np.uint8)[:, ::2], model_of(samples=3, photometric="YBR_FULL")),
    ):
        with pytest.raises(TypeError, match="contiguous"):
            work()
