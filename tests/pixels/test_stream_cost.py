"""Streams that cost more than they hold are refused; those that encoders make are not."""

from __future__ import annotations

import random
from struct import pack
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomcore.errors import PixelError
from dicomcore.pixels.codec import CODECS
from dicomcore.pixels.codecs.jpeg2000 import JPEG2000, JPEG2000_LOSSLESS
from dicomcore.pixels.image_model import ImageModel
from dicomcore.pixels.jpegxl_header import read_jpegxl
from dicomcore.pixels.stream_cost import check_jpeg, check_jpeg2000, check_openjph
from tests.fuzz.pixel_targets import unraised, wounded

imagecodecs = pytest.importorskip("imagecodecs")
BLOCK_4, BLOCK_64 = 0, 4
ANY = 0xFF  # precincts that cover all


def jpeg2000(
    size: int,
    precinct: int = ANY,
    *,
    block: int = BLOCK_64,
    levels: int = 5,
    layers: int = 1,
    tile: int = 0,
    late: bytes = b"",
) -> bytes:
    """A code stream of next to nothing; ``late``: marker segments of the tile-part."""
    tile = tile or size
    precincts = bytes([precinct] * (levels + 1))
    body = b"\0" * 8
    return b"".join([
        b"\xff\x4f\xff\x51" + pack(">HHIIIIIIIIH3B", 41, 0, size, size, 0, 0, tile, tile, 0, 0, 1, 7, 1, 1),
        b"\xff\x52" + pack(">HBBHBBBBBB", 12 + len(precincts), 1, 0, layers, 0, levels, block, block, 0, 1) + precincts,
        b"\xff\x5c" + pack(">HB", 4 + 3 * levels, 0x40) + b"\x48" * (3 * levels + 1),
        b"\xff\x90" + pack(">HHIBB", 10, 0, 14 + len(late) + len(body), 0, 1),
        late + b"\xff\x93" + body + b"\xff\xd9",
    ])  # fmt: skip


@pytest.mark.parametrize(
    "data",
    [
        jpeg2000(4096, 0x11, levels=1),
        jpeg2000(2048, 0x22, levels=1),
        jpeg2000(2048, 0x77, layers=0xFFFF),
        jpeg2000(4096, block=BLOCK_4),
        jpeg2000(8192, tile=33),
        jpeg2000(4096, late=b"\xff\x52" + pack(">HBBHBBBBBB", 14, 1, 0, 1, 0, 1, 4, 4, 0, 1) + b"\x11\x11"),
        jpeg2000(4096, late=b"\xff\x53" + pack(">HBBBBBBB", 11, 0, 1, 1, 4, 4, 0, 1) + b"\x11\x11"),
    ],
    ids=["precincts", "blocks", "layers", "bits", "tiles", "tile-part", "component"],
)
def test_pieces_of_which_there_are_more_than_bytes(data: bytes) -> None:
    with pytest.raises(PixelError, match="code blocks in"):
        check_jpeg2000(data)
    size = int.from_bytes(data[8:12], "big")
    model = ImageModel("PixelData", 1, size, size, 1, "MONOCHROME2", False, 8, 8, 7, "u")
    out = np.empty(model.frame_shape, model.dtype)
    assert JPEG2000_LOSSLESS.decode is not None
    with pytest.raises(PixelError, match="code blocks in"):
        JPEG2000_LOSSLESS.decode(data, model, out, lambda message, clause: None)


@pytest.mark.parametrize("precinct", [0x44, 0x66, ANY])
@pytest.mark.parametrize("block", [BLOCK_4, BLOCK_64])
def test_the_smallest_code_blocks_are_let_through(precinct: int, block: int) -> None:
    check_jpeg2000(jpeg2000(640, precinct, block=block))
    check_jpeg2000(jpeg2000(4096, ANY) if block == BLOCK_64 else jpeg2000(4096, ANY, block=block) + bytes(200_000))


def test_what_is_encoded_here_is_let_through() -> None:
    ramp = np.add.outer(np.arange(500), np.arange(300)).astype(np.uint16)
    model = ImageModel("PixelData", 1, 500, 300, 1, "MONOCHROME2", False, 16, 12, 11, "u")
    for codec in (JPEG2000, JPEG2000_LOSSLESS):
        assert codec.encode is not None
        check_jpeg2000(codec.encode(ramp, model, model, {}))
    check_jpeg2000(b"")
    check_jpeg(imagecodecs.jpeg8_encode(ramp.astype(np.uint8)))


def test_a_jpeg_stream_of_a_thousand_scans() -> None:
    frame = b"\xff\xc2\0\x0b\x08\0\x10\0\x10\x01\1\x11\0"
    scan = b"\xff\xda\0\x08\x01\x01\x00\x01\x3f\x10\x55\x55"
    check_jpeg(b"\xff\xd8" + frame + scan * 50 + b"\xff\xd9")
    with pytest.raises(PixelError, match="more than 100 scans"):
        check_jpeg(b"\xff\xd8" + frame + scan * 1000 + b"\xff\xd9")
    check_jpeg(b"\xff\xd8" + frame.replace(b"\xc2", b"\xc0") + scan * 1000 + b"\xff\xd9")  # the first one is all


@pytest.mark.parametrize("lossless", [False, True])
def test_a_jpeg_stream_of_next_to_nothing(lossless: bool) -> None:
    stream = bytearray(imagecodecs.jpeg8_encode(np.zeros((64, 64), np.uint8), lossless=lossless))
    check_jpeg(stream)
    at = stream.index(b"\xff\xc3" if lossless else b"\xff\xc0")
    stream[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    with pytest.raises(PixelError, match="no frame of 65535 x 65535 pixels"):
        check_jpeg(stream)
    check_jpeg(imagecodecs.jpeg8_encode(np.zeros((3000, 3000), np.uint8), lossless=lossless))


@pytest.mark.parametrize("shape", [(9, 13), (64, 64, 3), (8, 300), (2000, 17), (257, 256), (16, 24, 3), (128, 72)])
@pytest.mark.parametrize("bits", [1, 8, 10, 12, 13, 16])
def test_headers_of_jpeg_xl(shape: tuple[int, ...], bits: int) -> None:
    frame = np.zeros(shape, np.uint8 if bits <= 8 else np.uint16)
    for lossless in (True, False):
        stream = imagecodecs.jpegxl_encode(frame, lossless=lossless, bitspersample=bits, effort=3, numthreads=1)
        header = read_jpegxl(stream)
        assert (header.rows, header.columns, header.samples) == (*shape, 1)[:3]
        assert header.bits == bits


def test_headers_of_jpeg_in_jpeg_xl() -> None:
    stream = imagecodecs.jpegxl_encode_jpeg(imagecodecs.jpeg8_encode(np.zeros((30, 40, 3), np.uint8)))
    header = read_jpegxl(stream)
    assert (header.rows, header.columns, header.samples, header.bits) == (30, 40, 3, 8)
    for end in range(40):
        with pytest.raises(PixelError, match="JPEG XL"):
            read_jpegxl(stream[:end])


@pytest.mark.parametrize(
    "frame", [np.zeros((4, 8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8), np.float32)]
)
def test_jpeg_xl_that_is_no_frame(frame: NDArray[Any]) -> None:
    with pytest.raises(PixelError, match="which no frame has"):
        read_jpegxl(imagecodecs.jpegxl_encode(frame, lossless=True))


def test_a_larger_jpeg_xl_picture_is_never_decoded() -> None:
    stream = imagecodecs.jpegxl_encode(np.zeros((300, 200), np.uint8), lossless=True)
    model = ImageModel("PixelData", 1, 3, 2, 1, "MONOCHROME2", False, 8, 8, 7, "u")
    codec = CODECS.row("1.2.840.10008.1.2.4.110").decoder()
    assert codec.decode is not None
    with pytest.raises(PixelError, match="the code stream has 300 x 200 x 1"):
        codec.decode(stream, model, np.empty((3, 2), np.uint8), lambda message, clause: None)


def test_the_least_effort_stays_within_its_buffers() -> None:
    """libjxl's own way of the least effort does not, with samples of 16 bits: the sanitizers see it."""
    model = ImageModel("PixelData", 1, 256, 90, 1, "MONOCHROME2", False, 16, 16, 15, "u")
    codec = CODECS.row("1.2.840.10008.1.2.4.110").decoder()
    frame, out = np.random.default_rng(1).integers(0, 1 << 16, (256, 90)).astype(np.uint16), np.empty((256, 90), "u2")
    assert codec.encode is not None
    assert codec.decode is not None
    codec.decode(codec.encode(frame, model, model, {"effort": 1}), model, out, lambda message, clause: None)
    assert np.array_equal(out, frame)


def deep() -> tuple[ImageModel, bytes]:
    """HTJ2K of 30 bits, which OpenJPH decodes."""
    model = ImageModel("PixelData", 1, 64, 64, 1, "MONOCHROME2", False, 32, 30, 29, "u")
    codec = CODECS.row("1.2.840.10008.1.2.4.201").decoder()
    assert codec.encode is not None
    frame = np.random.default_rng(2).integers(0, 1 << 30, (64, 64)).astype(np.uint32)
    return model, codec.encode(frame, model, model, {})


@pytest.mark.parametrize(("at", "value"), [(39, 1), (39, 16), (27, 0), (43, 0), (44, 3), (68, 0), (64, 33), (67, 0)])
def test_headers_that_openjph_would_not_survive(at: int, value: int) -> None:
    model, data = deep()
    check_openjph(data)
    out = np.empty(model.frame_shape, model.dtype)
    codec = CODECS.row("1.2.840.10008.1.2.4.201").decoder()
    assert codec.decode is not None
    with pytest.raises(PixelError, match="HTJ2K headers are damaged"):
        codec.decode(data[:at] + bytes([value]) + data[at + 1 :], model, out, lambda message, clause: None)


def test_what_openjph_does_not_tell_is_told() -> None:
    """Its errors are lost on their way; pixels that it never wrote would be whatever the memory held."""
    model, data = deep()
    out = np.empty(model.frame_shape, model.dtype)
    codec = CODECS.row("1.2.840.10008.1.2.4.201").decoder()
    assert codec.decode is not None
    told = 0
    with unraised():
        for seed in range(40):
            try:
                codec.decode(wounded(data, random.Random(seed)), model, out, lambda message, clause: None)
            except PixelError:
                told += 1
            except (ValueError, RuntimeError):
                pass
    assert told
