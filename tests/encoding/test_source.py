"""Sources: bytes in memory, files that are not held open, slices to send."""

from __future__ import annotations

import io
import mmap
import os
import pickle
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dicomcore.encoding import source as module
from dicomcore.encoding.source import HEAD_LENGTH, BytesSource, FileSlice, FileSource, OpenFile, open_source
from dicomcore.errors import EncodingError, LimitExceeded, SourceChanged
from dicomcore.limits import Limits

DATA = bytes(range(256)) * 512  # 128 KiB: four heads


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "object.dcm"
    path.parent.mkdir()
    path.write_bytes(DATA)
    return path


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@contextmanager
def descriptor_limit(count: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview, lambda data: memoryview(data).cast("H")])
def test_bytes_of_any_kind(make: Callable[[bytes], bytes]) -> None:
    source = open_source(make(DATA))
    assert source.size == len(DATA)
    assert source.view(10, 5) == DATA[10:15]
    assert source.view(0, len(DATA)).readonly
    assert len(source.view(len(DATA), 0)) == 0
    assert source.head == DATA
    with source.session() as same:
        assert same.view(1, 1) == DATA[1:2]
    source.close()


@pytest.mark.parametrize("origin", ["bytes", "file"])
@pytest.mark.parametrize(("offset", "length"), [(len(DATA), 1), (0, len(DATA) + 1), (-1, 1), (5, -1), (1 << 62, 1)])
def test_a_view_outside_the_source(path: Path, origin: str, offset: int, length: int) -> None:
    source = open_source(DATA if origin == "bytes" else path)
    with pytest.raises(EncodingError) as caught:
        source.view(offset, length)
    assert caught.value.offset == offset
    assert not isinstance(caught.value, SourceChanged)


def test_empty_sources(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    for source in (open_source(b""), open_source(empty)):
        assert source.size == 0
        assert len(source.view(0, 0)) == 0
        assert len(source.head) == 0


def test_a_buffer_with_gaps_is_refused() -> None:
    with pytest.raises(EncodingError, match="contiguous"):
        BytesSource(memoryview(DATA)[::2])


def test_a_file_holds_its_head_and_no_descriptor(path: Path) -> None:
    before = descriptors()
    source = FileSource(path)
    assert descriptors() == before
    assert source.head == DATA[:HEAD_LENGTH]
    assert source.view(len(DATA) - 3, 3) == DATA[-3:]
    assert source.view(HEAD_LENGTH - 1, 2) == DATA[HEAD_LENGTH - 1 : HEAD_LENGTH + 1]
    assert descriptors() == before
    with source.session() as opened:
        assert descriptors() == before + 1
        assert opened.view(70_000, 9) == DATA[70_000:70_009]
        assert (opened.size, opened.name, opened.head) == (source.size, source.name, source.head)
        with opened.session() as again:
            assert again is opened
        opened.close()
    assert descriptors() == before


def test_ten_thousand_idle_files_under_256_descriptors(path: Path) -> None:
    with descriptor_limit(256):
        sources = [FileSource(path, head_length=64) for _ in range(10_000)]
        assert all(source.view(40_000, 2) == DATA[40_000:40_002] for source in sources[::500])


def test_a_trimmed_or_closed_source_reads_again(path: Path) -> None:
    source = FileSource(path)
    source.trim(100)
    assert source.head == DATA[:100]
    source.trim(200)
    assert len(source.head) == 100
    assert source.view(90, 20) == DATA[90:110]
    source.close()
    assert len(source.head) == 0
    assert source.view(0, 4) == DATA[:4]


def truncate(path: Path) -> None:
    os.truncate(path, 1000)


def replace(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(DATA)
    stat = path.stat()
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # alike in all but the inode
    other.replace(path)


def rewrite(path: Path) -> None:
    stat = path.stat()
    path.write_bytes(DATA[::-1])
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))


def become_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def lose_folder(path: Path) -> None:
    path.unlink()
    path.parent.rename(path.parent.with_name("gone"))
    path.parent.write_bytes(b"a file now")


CHANGES = [truncate, replace, rewrite, Path.unlink, become_folder, lose_folder]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_file_is_told_and_never_read(path: Path, change: Callable[[Path], None]) -> None:
    source = FileSource(path)
    before = descriptors()
    change(path)
    for offset in (HEAD_LENGTH, len(DATA) - 4):
        with pytest.raises(SourceChanged, match=r"object\.dcm was truncated"):
            source.view(offset, 4)
    assert source.view(0, 4) == DATA[:4]  # what was read stays
    assert descriptors() == before


def test_a_window_on_a_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = FileSource(path)
    before = descriptors()
    for offset, length in ((0, 10), (5000, 1), (4096, 4096), (70_001, len(DATA) - 70_001)):
        window = source.map(offset, length)
        assert window is not None
        assert window.readonly
        assert window == DATA[offset : offset + length]
        del window
    assert descriptors() == before
    nothing = source.map(0, 0)
    assert nothing is not None
    assert not len(nothing)
    with pytest.raises(EncodingError, match="ends at byte"):
        source.map(10, len(DATA))

    def unmapped(*_: object, **__: object) -> None:
        raise OSError("no such device")

    monkeypatch.setattr(mmap, "mmap", unmapped)
    assert source.map(0, 10) is None


def test_bytes_are_read_into_room(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = memoryview(bytearray(len(DATA)))
    for without in (False, True):
        if without:
            monkeypatch.delattr(os, "preadv")
        with FileSource(path).session() as opened:
            assert isinstance(opened, OpenFile)
            opened.read_into(0, room)
            assert room == DATA
            opened.read_into(7, room[:0])
            with pytest.raises(EncodingError, match="ends at byte"):
                opened.read_into(1, room)
        room[:] = bytes(len(DATA))


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_file_is_not_mapped(path: Path, change: Callable[[Path], None]) -> None:
    source = FileSource(path)
    before = descriptors()
    change(path)
    with pytest.raises(SourceChanged, match=r"object\.dcm was truncated"):
        source.map(HEAD_LENGTH, 4)
    assert descriptors() == before


@pytest.mark.parametrize("change", [truncate, rewrite])
def test_a_change_during_a_session(path: Path, change: Callable[[Path], None]) -> None:
    room = bytearray(4)
    with FileSource(path).session() as opened:
        assert isinstance(opened, OpenFile)
        opened.read_into(HEAD_LENGTH, memoryview(room))
        assert room == DATA[HEAD_LENGTH : HEAD_LENGTH + 4]
        assert opened.view(HEAD_LENGTH, 4) == DATA[HEAD_LENGTH : HEAD_LENGTH + 4]
        change(path)
        with pytest.raises(SourceChanged):
            opened.view(HEAD_LENGTH, 4)
        with pytest.raises(SourceChanged):
            opened.read_into(HEAD_LENGTH, memoryview(room))


def test_a_relative_path_outlives_a_change_of_folder(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    source = FileSource("object.dcm")
    monkeypatch.chdir("/")
    assert source.name == "object.dcm"
    assert source.view(HEAD_LENGTH, 4) == DATA[HEAD_LENGTH : HEAD_LENGTH + 4]


def test_what_is_not_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(EncodingError, match="regular"):
        FileSource(tmp_path / "fifo")
    with pytest.raises(IsADirectoryError):
        FileSource(tmp_path)
    with pytest.raises(FileNotFoundError):
        FileSource(tmp_path / "missing")


def test_short_reads_are_completed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_pread", lambda fd, length, offset: os.pread(fd, min(length, 1000), offset))
    source = FileSource(path)
    assert source.head == DATA[:HEAD_LENGTH]
    assert source.view(33_000, 5000) == DATA[33_000:38_000]


def test_a_file_that_shrinks_while_it_is_opened(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_pread", lambda fd, length, offset: b"")
    with pytest.raises(SourceChanged):
        FileSource(path)


def test_pickles_keep_the_identity(path: Path) -> None:
    for source in (FileSource(path), BytesSource(DATA, "memory")):
        copy = pickle.loads(pickle.dumps(source))
        assert (copy.name, copy.size, copy.head) == (source.name, source.size, source.head)
        assert copy.view(40_000, 4) == DATA[40_000:40_004]
    copy = pickle.loads(pickle.dumps(FileSource(path)))
    rewrite(path)
    with pytest.raises(SourceChanged):
        copy.view(40_000, 4)


def test_open_source_takes_files_and_sources(path: Path) -> None:
    with path.open("rb") as file:
        source = open_source(file)
        assert source.name == str(path)
        assert source.view(5, 5) == DATA[5:10]
    assert open_source(io.BytesIO(DATA)).size == len(DATA)
    assert isinstance(open_source(str(path)), FileSource)
    assert open_source(source) is source


def test_open_source_refuses(path: Path) -> None:
    with pytest.raises(TypeError, match="not int"):
        open_source(5)  # type: ignore[arg-type]
    with path.open(encoding="latin-1") as file, pytest.raises(TypeError, match="'rb'"):
        open_source(file)  # type: ignore[arg-type]
    limits = Limits(inflated_length=len(DATA))
    assert open_source(io.BytesIO(DATA), limits=limits).size == len(DATA)
    with pytest.raises(LimitExceeded):
        open_source(io.BytesIO(DATA + b"x"), limits=limits)


def test_a_slice_is_data_to_send(path: Path) -> None:
    before = descriptors()
    with FileSlice(path, 100, 1000) as piece:
        assert len(piece) == 1000
        assert descriptors() == before
        assert piece.read(0, 10) == DATA[100:110]
        assert descriptors() == before + 1
        assert piece.read(990, 5000) == DATA[1090:1100]
        assert piece.read(10, 5) == b""
        room = memoryview(bytearray(600))
        assert piece.read_into(0, room) == 600
        assert room == DATA[100:700]
        assert piece.read_into(600, room) == 400
        assert room[:400] == DATA[700:1100]
        assert piece.read_into(1000, room) == 0
        assert os.pread(piece.fileno(), 1, piece.offset) == DATA[100:101]
    assert descriptors() == before


def test_a_slice_of_a_descriptor_leaves_it_open(path: Path) -> None:
    with path.open("rb") as file:
        piece = FileSlice(file.fileno(), 0, len(DATA))
        assert piece.read(0, 4) == DATA[:4]
        piece.close()
        assert os.fstat(file.fileno()).st_size == len(DATA)


def test_a_slice_of_a_shorter_file(path: Path) -> None:
    with FileSlice(path, 0, len(DATA)) as piece:
        truncate(path)
        with pytest.raises(SourceChanged):
            piece.read(0, 2000)
        with pytest.raises(SourceChanged):
            piece.read_into(500, memoryview(bytearray(2000)))
    with pytest.raises(ValueError, match="negative"):
        FileSlice(path, -1, 5)


def test_a_slice_without_preadv(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "preadv")
    room = memoryview(bytearray(2000))
    with FileSlice(path, 7, 1000) as piece:
        assert piece.read_into(0, room) == 1000
    assert room[:1000] == DATA[7:1007]
