"""RLE Lossless: the kernel against its plain twin, byte for byte, and what it says of damaged frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dicomcore._core import rle
from tests.reference import rle as twin

STATUS = {
    rle.DONE: twin.DONE,
    rle.SHORT: twin.SHORT,
    rle.HEADER: twin.HEADER,
    rle.OFFSET: twin.OFFSET,
    rle.LONGER: twin.LONGER,
}
little_endian = pytest.mark.skipif(np.dtype("<u2") != np.dtype("=u2"), reason="the twin is little endian")
# Bytes as images have them: noise, flat parts, pairs, and runs about as long as a packet.
LENGTHS = st.sampled_from([1, 2, 3, 4, 63, 64, 65, 127, 128, 129, 130, 131, 257])
PIECES = st.one_of(
    st.binary(max_size=140),
    st.tuples(st.binary(min_size=1, max_size=1), LENGTHS).map(lambda pair: pair[0] * pair[1]),
    st.lists(st.sampled_from([b"\0", b"\1", b"\1\1", b"\2\2\2"]), max_size=70).map(b"".join),
)
PACKETS = st.lists(st.binary(max_size=20) | st.sampled_from([b"\x80", b"\x81\7", b"\x7f" + bytes(128), b"\xff\1"]))
ROWS = st.lists(PIECES, min_size=1, max_size=6).map(b"".join).filter(bool)
SHAPES = st.sampled_from([(1, 1), (1, 2), (1, 4), (1, 8), (3, 1), (3, 2), (3, 4), (4, 1), (4, 2), (5, 3), (15, 1)])


def encoded(frame: bytes, rows: int, samples: int, size: int, plain: int = 0) -> bytes:
    done = rle.encode(frame, rows, samples, size, plain)
    assert done is not None
    return done


def decoded(data: bytes, pixels: int, samples: int, size: int, plain: int = 0) -> tuple[str, bytes]:
    out = np.full(pixels * samples * size, 0xA5, np.uint8)
    status, segment, offset = rle.decode(data, out, samples, size, plain)
    assert 0 <= segment < samples * size
    assert 0 <= offset <= len(data)
    return STATUS[status], out.tobytes() if status in (rle.DONE, rle.LONGER) else b""


@little_endian
@given(data=st.data(), row=ROWS, rows=st.integers(1, 3), shape=SHAPES, plain=st.integers(0, 2))
def test_both_ways_as_the_twin_does(
    data: st.DataObject, row: bytes, rows: int, shape: tuple[int, int], plain: int
) -> None:
    samples, size = shape
    columns = data.draw(st.integers(1, min(len(row), 300)))
    length = rows * columns * samples * size
    planes = (row * (length // len(row) + 1))[:length]
    frame = (
        np.frombuffer(planes, np.uint8).reshape(samples * size, -1).T.tobytes() if data.draw(st.booleans()) else planes
    )
    done = encoded(frame, rows, samples, size, plain)
    assert done == twin.encode(frame, rows, samples, size)
    assert len(done) % 2 == 0
    assert decoded(done, rows * columns, samples, size, plain) == (twin.DONE, frame)
    assert twin.decode(done, rows * columns, samples, size) == (twin.DONE, frame)


@given(row=ROWS)
def test_a_row_is_packed_as_the_twin_packs_it(row: bytes) -> None:
    done = encoded(row, 1, 1, 1)
    packed = twin.pack(row)
    assert done[64:] == packed + b"\0" * (len(packed) % 2)
    assert len(packed) <= len(row) + (len(row) + 127) // 128


@little_endian
@given(
    shape=SHAPES,
    pixels=st.integers(1, 600),
    body=PACKETS.map(b"".join),
    data=st.data(),
)
def test_any_bytes_decode_as_the_twin_decodes_them(
    shape: tuple[int, int], pixels: int, body: bytes, data: st.DataObject
) -> None:
    samples, size = shape
    count = samples * size
    places = st.integers(60, 66 + len(body)) | st.integers(0, 2**32 - 1)
    offsets = data.draw(st.lists(places, min_size=count, max_size=count).map(sorted) | st.just([64] * count))
    head = b"".join(
        value.to_bytes(4, "little") for value in [data.draw(st.sampled_from([count, count, 0, 16])), *offsets]
    )
    frame = (head.ljust(64, b"\0") + body)[: data.draw(st.integers(60, 64 + len(body)) | st.just(None))]
    assert decoded(frame, pixels, samples, size) == twin.decode(frame, pixels, samples, size)


@little_endian
@pytest.mark.parametrize(("samples", "size"), [(1, 2), (3, 1), (4, 1), (1, 4), (3, 2), (1, 1)])
@pytest.mark.parametrize("pixels", [8191, 8192, 8193, 24576, 24577, 70000])
def test_packets_across_blocks(samples: int, size: int, pixels: int) -> None:
    """Planes are decoded by blocks; encoders of others let packets cross rows, and so blocks."""
    chance = np.random.default_rng(pixels)
    planes: list[bytes] = []
    packets: list[bytes] = []
    for _ in range(samples * size):
        filled, packed = bytearray(), bytearray()
        while len(filled) < pixels:
            count = min(int(chance.integers(2, 129)), pixels - len(filled))
            piece = chance.bytes(count) if chance.random() < 0.5 or count == 1 else chance.bytes(1) * count
            same = count > 1 and piece == piece[:1] * count
            packed += bytes([257 - count]) + piece[:1] if same else bytes([count - 1]) + piece
            filled += piece
        planes.append(bytes(filled))
        packets.append(bytes(packed))
    offsets = np.cumsum([64, *map(len, packets)])[:-1].astype("<u4").tobytes()
    data = ((samples * size).to_bytes(4, "little") + offsets).ljust(64, b"\0") + b"".join(packets)
    expected = bytearray(pixels * samples * size)
    for segment, plane in enumerate(planes):
        sample, place = divmod(segment, size)
        expected[sample * size + size - 1 - place :: samples * size] = plane
    assert decoded(data, pixels, samples, size) == (twin.DONE, bytes(expected))
    for plain in (1, 2):
        assert decoded(data, pixels, samples, size, plain) == (twin.DONE, bytes(expected))


@given(cut=st.integers(0, 400))
def test_a_frame_cut_anywhere_is_short(cut: int) -> None:
    frame = np.random.default_rng(3).bytes(300)
    done = encoded(frame, 10, 3, 1)[:-1]
    cut = min(cut, len(done) - 1)
    assert decoded(done[:cut], 100, 3, 1)[0] in (twin.HEADER, twin.OFFSET, twin.SHORT)


def test_what_is_wrong_is_located() -> None:
    out = np.empty(200, np.uint8)
    good = encoded(bytes(range(200)), 1, 1, 2)
    second = int.from_bytes(good[8:12], "little")
    assert rle.decode(good, out, 1, 2) == (rle.DONE, 0, 0)
    assert rle.decode(good, out, 2, 2) == (rle.HEADER, 0, 0)
    assert rle.decode(good[:second], out, 1, 2) == (rle.SHORT, 1, second)
    assert rle.decode(good[: second - 1], out, 1, 2) == (rle.OFFSET, 1, 8)
    assert rle.decode(good + b"\xff\1", out, 1, 2)[:2] == (rle.LONGER, 1)
    assert rle.decode(b"", out, 1, 2)[0] == rle.HEADER


@pytest.mark.parametrize(("samples", "size"), [(0, 1), (1, 0), (4, 4), (16, 1), (2**62, 4), (-1, -1)])
def test_more_segments_than_a_header_names_are_refused(samples: int, size: int) -> None:
    with pytest.raises(ValueError, match="segments"):
        rle.decode(bytes(64), np.empty(64, np.uint8), samples, size)
    with pytest.raises(ValueError, match="segments"):
        rle.encode(bytes(64), 1, samples, size)


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="whole number of pixels"):
        rle.decode(bytes(64), np.empty(5, np.uint8), 1, 2)
    for rows in (0, -1, 3):
        with pytest.raises(ValueError, match="rows"):
            rle.encode(bytes(4), rows, 1, 1)
    frame: NDArray[Any] = np.empty((2, 2), np.uint8)
    frame.setflags(write=False)
    with pytest.raises(ValueError, match="read-only"):
        rle.decode(bytes(64), frame.reshape(-1), 1, 1)
