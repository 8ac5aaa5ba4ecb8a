"""Bytes of encoded frames: windows on a file that move, a buffer that is used again, and where native frames lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dicomcore import CODECS, Limits
from dicomcore.encoding.source import BytesSource, FileSource
from dicomcore.errors import PixelError
from dicomcore.pixels import encoded
from dicomcore.pixels.encoded import EncodedFrames, Reader, Scratch
from tests.pixels.objects import EXPLICIT_BE, TABLE, encapsulated, image, read

DATA = bytes(np.arange(60_000, dtype="<u4").tobytes())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "x"
    path.write_bytes(DATA)
    return path


@pytest.mark.parametrize("mapped", [True, False])
def test_a_reader_answers_any_bytes(path: Path, mapped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoded, "WINDOW", 10_000)
    for source in (FileSource(path), FileSource(path, head_length=100), BytesSource(DATA)):
        reader = Reader(source, mapped)
        kept = reader.view(120_000, 50)
        for offset, length in (
            (0, 50),
            (99, 2),
            (50_000, 30),
            (50_030, 9_000),
            (59_999, 2),
            (1, 200_000),
            (239_990, 10),
            (7, 0),
        ):
            assert reader.view(offset, length) == DATA[offset : offset + length]
        assert kept == DATA[120_000:120_050]
        assert kept.readonly
        assert reader.join([(5, 3), (70_000, 2), (100, 0)]) == DATA[5:8] + DATA[70_000:70_002]
        assert reader.join([(5, 3)]) == DATA[5:8]
        assert not reader.join([])


def test_scratch_uses_its_room_again(path: Path) -> None:
    with FileSource(path, head_length=100).session() as opened:
        scratch = Scratch(opened)
        first = scratch.view(1000, 80)
        assert first == DATA[1000:1080]
        assert first.readonly
        assert scratch.join([(2000, 40), (3000, 0), (5000, 30)]) == DATA[2000:2040] + DATA[5000:5030]
        assert first[:40] == DATA[2000:2040]
        assert scratch.view(0, 5000) == DATA[:5000]
    scratch = Scratch(BytesSource(DATA))
    assert scratch.view(1000, 80) == DATA[1000:1080]
    assert scratch.join([(2000, 40), (5000, 30)]) == DATA[2000:2040] + DATA[5000:5030]


def test_native_frames_lie_where_arithmetic_says() -> None:
    ds = read(image(NumberOfFrames=3, BitsAllocated=1, BitsStored=1, HighBit=0, PixelData=b"\xff\x0f\xaa\0"))
    frames = EncodedFrames(ds, CODECS, Limits(), None, True)
    start = frames.located.offset
    assert [frames.offset(i) for i in range(3)] == [start, start, start + 1]
    reader = frames.new_reader()
    assert [(bytes(view), bit) for view, bit in (frames.native_frame(i, reader) for i in range(3))] == [
        (b"\xff", 0), (b"\xff\x0f", 6), (b"\x0f\xaa", 4),
    ]  # fmt: skip
    assert [bytes(frames.encoded(i, reader)) for i in range(3)] == [b"\x3f", b"\x3f", b"\x20"]


def test_frames_that_share_a_word() -> None:
    ds = read(image(NumberOfFrames=2, Rows=1, PixelData=bytes(range(1, 7))), EXPLICIT_BE)
    frames = EncodedFrames(ds, CODECS, Limits(), None, True)
    frames.words = True
    reader = frames.new_reader()
    assert [(len(view), bit) for view, bit in (frames.native_frame(i, reader) for i in range(2))] == [(4, 0), (4, 8)]


def test_a_word_without_its_padding() -> None:
    ds = read(image(NumberOfFrames=1, Rows=1, PixelData=bytes(4)), EXPLICIT_BE)
    ds.PixelData = b"abc"
    frames = EncodedFrames(ds, CODECS, Limits(), None, True)
    frames.words = True
    with pytest.raises(PixelError, match="no whole number of 16-bit words"):
        frames.native_frame(0, frames.new_reader())
    frames.words = False
    assert bytes(frames.native_frame(0, frames.new_reader())[0]) == b"abc"


def test_encapsulated_frames_lie_where_the_table_says() -> None:
    ds = encapsulated([[b"abcdef"], [b"gh", b"ijkl"]], NumberOfFrames=4)
    frames = EncodedFrames(ds, TABLE, Limits(), None, True)
    assert frames.complete == 2
    reader = frames.new_reader()
    assert [bytes(frames.encoded(i, reader)) for i in range(2)] == [b"abcdef", b"ghijkl"]
    assert (frames.offset(0), frames.offset(3)) == (frames.located.offset + 16 + 8, None)
    with pytest.raises(PixelError, match="frame 2 is missing: 3 fragments have 2 of 4 frames") as caught:
        frames.encoded(2, reader)
    assert caught.value.offset == frames.located.offset + frames.located.length
