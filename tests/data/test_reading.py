"""How much is read of streams, deflated data and files beyond 4 GiB, and how much is held; broken deflated streams."""

from __future__ import annotations

import gc
import io
import os
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import pytest

from dicomcore import Dataset, Policy, dcmread
from dicomcore.encoding import source as source_module
from dicomcore.encoding.stream import StreamSource
from dicomcore.errors import EncodingError, LimitExceeded
from dicomcore.limits import Limits
from tests.data.faults import DEFL, EXPL, IDS_E, JPG, NAME_E, PIXEL_DATA, UNDEFINED, explicit, implicit, item, meta

ROWS = explicit(0x00280010, "US", b"\5\0")
FRAME = b"".join(explicit(0x00111000 + i, "LO", b"") for i in range(9))
PIXELS = explicit(PIXEL_DATA, "OW", bytes(1 << 20))


class Counting(io.RawIOBase):
    """A network stream: no seek, a few bytes at a time, and a count of them."""

    def __init__(self, data: bytes) -> None:
        self.data = io.BytesIO(data)
        self.count = 0

    def read(self, length: int = -1, /) -> bytes:
        block = self.data.read(min(length, 1000) if length >= 0 else 1000)
        self.count += len(block)
        return block

    def seekable(self) -> bool:
        return False


@pytest.mark.parametrize("options", [{"stop_before_pixels": True}, {"specific_tags": ["PatientName", "Rows"]}])
@pytest.mark.parametrize("comment", [0, 300_000])
def test_a_stream_is_read_as_far_as_needed(options: dict[str, Any], comment: int) -> None:
    head = meta(EXPL) + IDS_E + NAME_E + explicit(0x00104000, "UT", b"x" * comment) + ROWS
    stream = Counting(head + PIXELS)
    ds = dcmread(stream, **options)
    assert (ds.PatientName, ds.Rows, "PixelData" in ds) == ("A^B", 5, False)
    assert len(head) <= stream.count <= len(head) + 8 * 1024
    assert ("SOPInstanceUID" in ds) == ("stop_before_pixels" in options)
    assert ds.file_meta.TransferSyntaxUID == EXPL
    again = io.BytesIO()
    ds.save_as(again)
    assert dcmread(again.getvalue()).PatientName == "A^B"


def test_a_stream_without_options_is_read_to_its_end_and_may_end_early() -> None:
    data = meta(EXPL) + IDS_E + NAME_E + ROWS + PIXELS
    stream = Counting(data)
    assert len(dcmread(stream).PixelData) == 1 << 20
    assert stream.count == len(data)
    for stop in range(0, len(data) - len(PIXELS) + 40, 3):
        try:
            whole = dcmread(data[:stop], stop_before_pixels=True)
        except EncodingError:
            with pytest.raises(EncodingError):
                dcmread(Counting(data[:stop]), stop_before_pixels=True)
            continue
        cut = dcmread(Counting(data[:stop]), stop_before_pixels=True)
        assert cut == whole
        assert cut.issues == whole.issues


def test_what_streams_are_refused() -> None:
    with pytest.raises(LimitExceeded, match="holds more"):
        dcmread(Counting(meta(EXPL) + NAME_E + PIXELS), limits=Limits().but(inflated_length=100_000))
    comment = explicit(0x00104000, "UT", b"x" * 300_000)
    stream = Counting(meta(EXPL) + comment + ROWS)
    with pytest.raises(LimitExceeded, match="holds more"):
        dcmread(stream, stop_before_pixels=True, limits=Limits().but(inflated_length=100_000))
    with pytest.raises(TypeError, match="text mode"):
        dcmread(io.StringIO("text"), stop_before_pixels=True)
    source = StreamSource(io.BytesIO(b"abc"))
    assert bytes(source.view(0, 3)) == b"abc"
    assert bytes(source.whole().view(0, 3)) == b"abc"


def deflate(data: bytes, wbits: int = -15) -> bytes:
    work = zlib.compressobj(wbits=wbits)
    return work.compress(data) + work.flush()


def test_deflated_data_is_inflated_as_far_as_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = os.urandom(4 << 20)
    data = meta(DEFL) + deflate(NAME_E + ROWS + explicit(PIXEL_DATA, "OW", noise))
    views: list[int] = []
    plain = source_module.BytesSource.view

    def view(self: Any, offset: int, length: int) -> memoryview:
        views.append(length)
        return plain(self, offset, length)

    monkeypatch.setattr(source_module.BytesSource, "view", view)
    assert dcmread(data, stop_before_pixels=True).Rows == 5
    assert sum(views) < 1 << 20
    views.clear()
    assert dcmread(data).PixelData == noise


@pytest.mark.parametrize("options", [{"stop_before_pixels": True}, {"specific_tags": ["PatientName", "Rows"]}])
@pytest.mark.parametrize("wbits", [-15, 15])
def test_a_deflated_stream_is_read_as_far_as_needed(options: dict[str, Any], wbits: int) -> None:
    data = meta(DEFL) + deflate(IDS_E + NAME_E + ROWS + explicit(PIXEL_DATA, "OW", os.urandom(1 << 20)), wbits)
    stream = Counting(data)
    ds = dcmread(stream, **options)
    assert (ds.PatientName, ds.Rows, "PixelData" in ds) == ("A^B", 5, False)
    assert stream.count <= 48 * 1024
    whole = Counting(data)
    assert len(dcmread(whole).PixelData) == 1 << 20
    assert whole.count == len(data)
    ends = Counting(data[:-4])
    told = dcmread(ends, specific_tags=["ContentTime", "PixelData"]).issues
    assert any(issue.message.endswith("stream has no end") for issue in told) or wbits > 0


@pytest.mark.parametrize("kind", ["path", "bytes", "stream"])
def test_what_was_read_of_a_deflated_file_is_what_is_written(kind: str, tmp_path: Path) -> None:
    data = meta(DEFL) + deflate(IDS_E + NAME_E + ROWS + PIXELS)
    path = tmp_path / "deflated.dcm"
    path.write_bytes(data)
    origin = {"path": path, "bytes": data, "stream": io.BytesIO(data)}[kind]
    out = io.BytesIO()
    ds = dcmread(origin, stop_before_pixels=True)
    ds.save_as(out)
    again = dcmread(out.getvalue())
    assert again == ds
    assert again.transfer_syntax == DEFL
    assert "PixelData" not in again
    assert "PixelData" not in dcmread(meta(DEFL) + ds.to_bytes())


@pytest.mark.parametrize(("wbits", "kind"), [(15, "zlib"), (31, "gzip")])
def test_wrapped_deflated_data(wbits: int, kind: str) -> None:
    whole = deflate(NAME_E + ROWS, wbits)
    for data in (whole, whole[:-4], whole[:-1] + b"?"):  # sound, without and with a wrong trailer
        ds = dcmread(meta(DEFL) + data)
        assert (ds.PatientName, ds.Rows) == ("A^B", 5)
        assert kind in ds.issues[0].message
        with pytest.raises(EncodingError, match=kind):
            dcmread(meta(DEFL) + data, policy=Policy.strict())


def test_what_comes_before_a_fault_in_deflated_data_is_kept() -> None:
    parts = [explicit(0x00090000 + n, "LO", f"{n:08}".encode()) for n in range(0x1010, 0x1810)]
    data = deflate(b"".join(parts))
    broken = data[: len(data) // 2] + b"\xff" * 40 + data[len(data) // 2 + 40 :]
    ds = dcmread(meta(DEFL) + broken)
    assert 500 < len(ds) < 1800
    assert all(element.value == f"{element.tag & 0xFFFF:08}" for element in list(ds)[:500])
    assert any("broken" in issue.message for issue in ds.issues)


def sparse(path: Path, parts: list[tuple[int, bytes]], size: int) -> None:
    with path.open("wb") as file:
        for offset, data in parts:
            file.seek(offset)
            file.write(data)
        file.truncate(size)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    reads: list[int] = []
    plain = source_module._pread

    def pread(descriptor: int, length: int, offset: int, /) -> bytes:
        reads.append(length)
        return plain(descriptor, length, offset)

    monkeypatch.setattr(source_module, "_pread", pread)
    return reads


def test_files_beyond_two_and_four_gib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sparse on disk: one value of 3 GiB, an element behind it; three fragments of 3 GiB, and what follows them."""
    reads = counted(monkeypatch)
    length = 3 << 30
    head = meta(EXPL) + NAME_E + ROWS + explicit(PIXEL_DATA, "OW", b"", length)
    padding = explicit(0xFFFCFFFC, "OB", b"\1\2")
    path = tmp_path / "native.dcm"
    sparse(path, [(0, head), (len(head) + length, padding)], len(head) + length + len(padding))
    ds = dcmread(path)
    assert (ds.Rows, ds.DataSetTrailingPadding, ds.issues) == (5, b"\1\2", [])
    assert sum(reads) < 100_000
    assert "PixelData" not in dcmread(path, stop_before_pixels=True)

    reads.clear()
    head = meta(JPG) + NAME_E + ROWS + explicit(PIXEL_DATA, "OB", item(b""), UNDEFINED)
    parts, at = [(0, head)], len(head)
    for _ in range(3):
        parts.append((at, item(b"", length)))
        at += 8 + length
    tail = implicit(0xFFFEE0DD, b"") + padding
    path = tmp_path / "fragments.dcm"
    sparse(path, [*parts, (at, tail)], at + len(tail))
    ds = dcmread(path)
    assert (ds.Rows, ds.DataSetTrailingPadding, ds.issues) == (5, b"\1\2", [])
    assert sum(reads) < 100_000
    index = ds._origin.index if ds._origin is not None else None
    assert index is not None
    below = index.descend(index.find(PIXEL_DATA))
    assert [below.end_offset_at(i) - below.value_offset_at(i) for i in range(4)] == [0, length, length, length]
    assert below.value_offset_at(3) > 1 << 32

    sparse(path, [*parts, (at, tail)], at - 10)  # cut in the last fragment
    ds = dcmread(path)
    assert ds.Rows == 5
    assert "3221225472" in ds.issues[0].message


def test_headers_of_many_undefined_items_in_one_scan(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    reads = counted(monkeypatch)
    end = implicit(0xFFFEE00D, b"")
    frame = item(explicit(0x00209111, "SQ", item(explicit(0x00185100, "CS", b"HFS ")))[:] + end, UNDEFINED)
    groups = explicit(0x52009230, "SQ", frame * 10_000 + implicit(0xFFFEE0DD, b""), UNDEFINED)
    path = tmp_path / "enhanced.dcm"
    path.write_bytes(meta(EXPL) + NAME_E + groups + explicit(PIXEL_DATA, "OW", struct.pack("<H", 7)))
    ds = dcmread(path)
    assert ds.PixelData == b"\7\0"
    assert sum(reads) < 2 * path.stat().st_size
    assert len(ds.PerFrameFunctionalGroupsSequence) == 10_000
    assert ds[0x52009230].value[9_999][0x00209111].value[0].PatientPosition == "HFS"
    assert isinstance(ds, Dataset)


def held(data: bytes | Path) -> float:
    """Bytes that one more opened, untouched data set takes; tracemalloc sees the tables of the kernels too."""
    dcmread(data)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        opened = [dcmread(data) for _ in range(10)]
        return (tracemalloc.get_traced_memory()[0] - before) / len(opened)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("count", [300, 20_000])
def test_an_untouched_data_set_holds_at_most_32_bytes_an_element_and_its_head(tmp_path: Path, count: int) -> None:
    flat = meta(EXPL) + b"".join(
        explicit(0x00110000 + (i << 8 & ~0xFFFF) * 2 + i % 256, "LO", b"") for i in range(count)
    )
    assert len(dcmread(flat)) == count
    assert 24 * count <= held(flat) <= 32 * count
    path = tmp_path / "flat.dcm"
    path.write_bytes(flat + PIXELS)
    origin = dcmread(path)._origin
    assert origin is not None
    assert held(path) <= 32 * (count + 1) + len(origin.source.head)


def test_items_of_undefined_length_hold_at_most_32_bytes_a_row() -> None:
    frame = item(FRAME, UNDEFINED) + implicit(0xFFFEE00D, b"")
    data = meta(EXPL) + explicit(0x52009230, "SQ", frame * 1000, UNDEFINED) + implicit(0xFFFEE0DD, b"")
    assert len(dcmread(data).PerFrameFunctionalGroupsSequence) == 1000
    assert held(data) <= 32 * 1000 * (1 + FRAME.count(b"LO"))
