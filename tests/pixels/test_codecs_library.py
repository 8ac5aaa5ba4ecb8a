"""Codecs that imagecodecs does the work for: what is lossless is, what loses keeps its bound, faults are named."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore import CODECS
from dicomcore.errors import PixelError
from dicomcore.pixels.code_stream import read_jpeg, read_jpeg2000
from dicomcore.pixels.codec import Array, Codec
from dicomcore.pixels.image_model import ImageModel

pytest.importorskip("imagecodecs")

J = "1.2.840.10008.1.2.4"
LOSSLESS = {uid: (f"{J}.{uid}", deepest) for uid, deepest in {
    57: 16, 70: 16, 80: 16, 90: 22, 110: 16, 201: 32, 202: 32,
}.items()}  # fmt: skip
# What loses, with options under which it does not.
NOTHING_LOST: dict[int, dict[str, Any]] = {
    81: {"near": 0}, 91: {"reversible": True}, 203: {"reversible": True}, 112: {"distance": 0},
}  # fmt: skip


def quiet(message: str, clause: str) -> None:
    raise AssertionError(f"reported: {message} [{clause}]")


def codec(number: int) -> Codec:
    found = CODECS[f"{J}.{number}"].codec
    assert found is not None
    return found


def model_of(
    rows: int = 12, columns: int = 10, stored: int = 8, kind: str = "u", samples: int = 1, **more: Any
) -> ImageModel:
    allocated = next(bits for bits in (8, 16, 32) if bits >= stored)
    facts = {
        "keyword": "PixelData", "frames": 1, "rows": rows, "columns": columns, "samples": samples, "planar": False,
        "photometric": "RGB" if samples == 3 else "MONOCHROME2", "bits_allocated": allocated, "bits_stored": stored,
        "high_bit": stored - 1, "kind": kind,
    }  # fmt: skip
    return ImageModel(**{**facts, **more})


def pixels(model: ImageModel, seed: int = 1) -> Array:
    """Hills with some noise over the whole range of the bits stored."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: model.rows, : model.columns]
    hills = (np.sin(x / 7) + np.cos(y / 5) + 2) / 4
    planes = np.stack([hills * share for share in (1.0, 0.7, 0.4)[: model.samples]], -1)
    top = (1 << model.bits_stored) - 1
    values = np.clip(planes * top + random.normal(0, max(top / 200, 0.7), planes.shape), 0, top).astype(np.int64)
    if model.kind == "i":
        values -= 1 << (model.bits_stored - 1)
    return np.ascontiguousarray(values.reshape(model.frame_shape).astype(model.dtype))


def sent(number: int, model: ImageModel, options: dict[str, Any]) -> tuple[Array, Array, str]:
    """A frame, what came back of it, and its photometric interpretation."""
    way, frame = codec(number), pixels(model)
    assert way.target is not None
    assert way.encode is not None
    assert way.decode is not None
    target = way.target(model, options)
    data = way.encode(frame, model, target, options)
    target = way.inspect(data, target, quiet) if way.inspect is not None else target
    out = np.empty(target.frame_shape, target.dtype)
    photometric = way.decode(memoryview(data + b"\0" * (len(data) % 2)), target, out, quiet)
    if out.dtype.kind == "i":  # the frame source gives bits above those stored the sign
        shift = out.dtype.itemsize * 8 - target.bits_stored
        out = np.asarray(out << shift >> shift)
    return frame, out, photometric


@pytest.mark.parametrize("number", [*LOSSLESS, *NOTHING_LOST])
@given(data=st.data())
def test_lossless_returns_every_bit(number: int, data: st.DataObject) -> None:
    deepest = LOSSLESS[number][1] if number in LOSSLESS else {91: 22, 203: 32}.get(number, 16)
    samples = data.draw(st.sampled_from([1, 3]))
    deepest = 16 if samples == 3 and deepest == 22 else deepest
    model = model_of(
        data.draw(st.integers(1, 20)),
        data.draw(st.integers(1, 20)),
        data.draw(st.integers(1, deepest)),
        data.draw(st.sampled_from("ui")),
        samples,
        photometric=data.draw(
            st.sampled_from(["RGB", "YBR_FULL"] if samples == 3 else ["MONOCHROME2", "PALETTE COLOR"])
        ),
    )
    frame, out, photometric = sent(number, model, NOTHING_LOST.get(number, {}))
    np.testing.assert_array_equal(out, frame)
    assert photometric == model.photometric


@pytest.mark.parametrize(
    ("number", "model", "options", "bound"),
    [
        (50, model_of(64, 48), {}, 12),
        (50, model_of(64, 48, samples=3), {"subsampling": "444"}, 30),
        (51, model_of(64, 48, 12), {"quality": 98}, 60),
        (51, model_of(64, 48, 8), {}, 12),
        (81, model_of(64, 48, 12), {"near": 3}, 3),
        (81, model_of(64, 48, 8, samples=3), {"near": 1}, 1),
        (91, model_of(64, 48, 12), {}, 8),
        (91, model_of(64, 48, 12, "i"), {"error": 2}, 16),
        (91, model_of(64, 48, samples=3), {}, 8),
        (203, model_of(64, 48, 16), {"step": 4}, 40),
        (203, model_of(64, 48, samples=3), {}, 8),
        (112, model_of(64, 48), {}, 14),
        (112, model_of(64, 48, samples=3), {"distance": 0.5}, 30),
    ],
)
def test_what_is_lost_is_little(number: int, model: ImageModel, options: dict[str, Any], bound: int) -> None:
    way = codec(number)
    assert way.loses is not None
    assert way.loses(options)
    frame, out, photometric = sent(number, model, options)
    if photometric == "YBR_FULL":
        from dicomcore.pixels.colour import to_rgb

        to_rgb(out, model)
        photometric = "RGB"
    assert photometric == model.photometric
    assert np.abs(out.astype(np.int64) - frame).max() <= bound


def test_photometric_interpretations_of_what_is_encoded() -> None:
    """PS3.5 tables 8.2.1-1, 8.2.3-1, 8.2.4-1."""
    colour = model_of(samples=3)
    said = {n: way.target(colour, {}).photometric for n in (50, 70, 80, 81, 90, 91, 110, 112, 201, 203)
            if (way := codec(n)).target is not None}  # fmt: skip
    assert said == {
        50: "YBR_FULL_422", 70: "RGB", 80: "RGB", 81: "RGB", 90: "YBR_RCT", 91: "YBR_ICT", 110: "RGB", 112: "XYB",
        201: "YBR_RCT", 203: "YBR_ICT",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("number", "model", "options", "why"),
    [
        (50, model_of(stored=12), {}, "Bits Allocated is 16"),
        (50, model_of(kind="i"), {}, "Pixel Representation is 1"),
        (50, model_of(photometric="PALETTE COLOR"), {}, "PALETTE COLOR"),
        (50, model_of(), {"quality": 0}, "quality is 0"),
        (50, model_of(), {"quality": "high"}, "quality is 'high'"),
        (50, model_of(samples=3), {"subsampling": "411"}, "subsampling"),
        (50, model_of(), {"near": 1}, "no option near"),
        (51, model_of(stored=16), {}, "Bits Stored is 16"),
        (51, model_of(stored=12, samples=3), {}, "RGB"),
        (57, model_of(stored=30), {}, "Bits Allocated is 32"),
        (57, model_of(), {"predictor": 8}, "predictor is 8"),
        (70, model_of(), {"predictor": 2}, "no option predictor"),
        (81, model_of(stored=12, kind="i"), {}, "Pixel Representation is 1"),
        (81, model_of(), {"near": 256}, "near is 256"),
        (90, model_of(stored=25), {}, "Bits Stored is 25"),
        (91, model_of(), {"error": 0}, "error is 0"),
        (112, model_of(stored=12, kind="i"), {}, "Pixel Representation is 1"),
        (110, model_of(), {"effort": 12}, "effort is 12"),
        (201, model_of(bits_allocated=1, bits_stored=1), {}, "Bits Allocated is 1"),
        (90, model_of(keyword="FloatPixelData", kind="f", stored=32), {}, "FloatPixelData"),
    ],
)  # fmt: skip
def test_what_cannot_be_held_is_refused(number: int, model: ImageModel, options: dict[str, Any], why: str) -> None:
    target = codec(number).target
    assert target is not None
    with pytest.raises(PixelError, match=why):
        target(model, options)


def test_a_12_bit_frame_with_more_in_it_is_not_cut() -> None:
    way, model = codec(51), model_of(stored=12)
    assert way.encode is not None
    assert way.target is not None
    frame = np.full(model.frame_shape, 5000, np.uint16)
    with pytest.raises(PixelError, match="5000"):
        way.encode(frame, model, way.target(model, {}), {})


def test_jpeg_in_jpeg_xl_is_the_same_jpeg() -> None:
    model = model_of(40, 30, samples=3)
    baseline, packed = codec(50), codec(111)
    assert baseline.encode is not None
    assert baseline.target is not None
    stream = baseline.encode(pixels(model), model, baseline.target(model, {}), {})
    tight = packed.recode[f"{J}.50"](stream)
    assert baseline.recode[f"{J}.111"](tight) == stream
    outs = []
    for way, data in ((baseline, stream), (packed, tight)):
        outs.append(np.empty(model.frame_shape, np.uint8))
        assert way.decode is not None
        assert way.decode(data, model.but(photometric="YBR_FULL_422"), outs[-1], quiet) == "YBR_FULL"
    np.testing.assert_array_equal(outs[0], outs[1])
    assert packed.decode is not None
    with pytest.raises(PixelError, match="the code stream has 1 x 1"):
        packed.decode(b"\xff\x0a" + bytes(50), model, outs[0], quiet)
    with pytest.raises(PixelError, match="no JPEG stream"):
        packed.decode(tight[: len(tight) // 2], model, outs[0], quiet)


# -- what streams say --------------------------------------------------------------------------------------------------


def encoded(number: int, model: ImageModel, **options: Any) -> bytes:
    way = codec(number)
    assert way.target is not None
    assert way.encode is not None
    return way.encode(pixels(model), model, way.target(model, options), options)


def test_headers() -> None:
    colour = model_of(40, 30, samples=3)
    header = read_jpeg(encoded(50, colour))
    assert (header.rows, header.columns, header.samples, header.bits, header.colour) == (40, 30, 3, 8, "YBR_FULL")
    header = read_jpeg(encoded(70, model_of(9, 8, 13)))
    assert (header.bits, header.is_lossless) == (13, True)
    header = read_jpeg2000(encoded(90, model_of(9, 8, 13, "i")), quiet)
    assert (header.rows, header.columns, header.bits, header.is_signed, header.is_lossless) == (9, 8, 13, True, True)
    assert read_jpeg2000(encoded(91, colour), quiet).colour == "RGB"


@pytest.mark.parametrize(("number", "stored"), [(70, 12), (80, 12), (90, 12), (201, 12)])
def test_the_stream_knows_its_size_better_than_the_attributes(number: int, stored: int) -> None:
    data, told = encoded(number, model_of(12, 10, stored)), list[str]()
    inspect = codec(number).inspect
    assert inspect is not None
    model = inspect(data, model_of(10, 12, 8), lambda message, clause: told.append(message))
    assert (model.rows, model.columns, model.bits_allocated) == (12, 10, 16)
    assert any("12 rows and 10 columns" in message for message in told)


@pytest.mark.parametrize("number", [50, 70, 80, 90, 201])
def test_a_frame_unlike_the_first_is_refused(number: int) -> None:
    model = model_of(12, 10)
    decode = codec(number).decode
    assert decode is not None
    with pytest.raises(PixelError, match="12 x 10"):
        decode(encoded(number, model), model.but(columns=11), np.empty((12, 11), np.uint8), quiet)


@pytest.mark.parametrize("number", [50, 70, 80, 90, 201, 110])
@given(data=st.data())
def test_damage_is_an_error_or_pixels(number: int, data: st.DataObject) -> None:
    """Whatever is done to a stream: no crash, and nothing is written outside of the frame."""
    model = model_of(12, 10)
    stream = bytearray(encoded(number, model))
    for _ in range(data.draw(st.integers(1, 4))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    stream = stream[: data.draw(st.integers(0, len(stream)))]
    room = np.zeros((14, 10), np.uint8)
    decode = codec(number).decode
    assert decode is not None
    with suppress(PixelError, ValueError, RuntimeError):
        decode(bytes(stream), model, room[1:-1], lambda message, clause: None)
    assert not room[0].any()
    assert not room[-1].any()


def test_a_jpeg_ls_stream_without_an_end_ends() -> None:
    """One that CharLS would read for half a minute."""
    model = model_of(12, 10)
    stream = bytearray(encoded(80, model))
    stream[-25], stream[-2] = 193, 166
    told: list[str] = []
    decode = codec(80).decode
    assert decode is not None
    with suppress(Exception):
        decode(bytes(stream), model, np.empty((12, 10), np.uint8), lambda message, clause: told.append(message))
    assert "end marker" in told[0]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no JPEG stream"),
        (b"\xff\xd8", "cut short"),
        (b"\xff\xd8\xff\xe0\x00\x01\x00\x00", "runs behind"),
        (b"\xff\xd8\xff\xe0\x40\x00\x00\x00", "runs behind"),
        (b"\xff\xd8\xff\xda\x00\x02\xff\xd9", "no frame header"),
        (b"\xff\xd8\xff\xc0\x00\x04\x08\x00\x00", "cut short"),
        (b"\xff\xd8\x12\x34\x56\x78", "damaged"),
    ],
)
def test_broken_jpeg_headers(data: bytes, why: str) -> None:
    with pytest.raises(PixelError, match=why):
        read_jpeg(data)


def test_broken_jpeg2000_headers() -> None:
    whole = encoded(90, model_of())
    for data in (b"", whole[:30], whole[:50], b"\0\0\0\x0cjP  " + bytes(40)):
        with pytest.raises(PixelError):
            read_jpeg2000(data, lambda message, clause: None)


def test_a_jp2_file_in_place_of_its_code_stream_is_read_and_reported() -> None:
    import imagecodecs

    told: list[str] = []
    model = model_of(12, 10)
    data = bytes(imagecodecs.jpeg2k_encode(pixels(model), codecformat="jp2", reversible=True))
    out = np.empty(model.frame_shape, np.uint8)
    decode = codec(90).decode
    assert decode is not None
    decode(data, model, out, lambda message, clause: told.append(message))
    np.testing.assert_array_equal(out, pixels(model))
    assert "JP2" in told[0]
