"""Sinks: a file whole or not at all, whatever fails on the way."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore.encoding.sink import LOCKS, TEMPORARY_PREFIX, FileSink, MemorySink, SpillSink
from dicomcore.errors import LimitExceeded

PARTS: list[bytes | bytearray | memoryview] = [
    b"preamble",
    b"",
    bytearray(b"meta"),
    memoryview(bytes(range(256)) * 300),
]
WHOLE = b"".join(PARTS)
Durability = Literal["process", "power"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "object.dcm"


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def write(path: Path, **arguments: Any) -> None:
    with FileSink(path, **arguments) as sink:
        sink.write(PARTS[0])
        sink.writev(PARTS[1:])


@pytest.mark.parametrize("durability", ["process", "power"])
@pytest.mark.parametrize("replace", [True, False])
def test_visible_on_commit_only(path: Path, durability: Durability, replace: bool) -> None:
    sink = FileSink(path, durability=durability, replace=replace)
    for part in PARTS:
        sink.write(part)
    assert sink.length == len(WHOLE)
    assert os.listdir(path.parent) == [os.path.basename(sink.temporary_path)]
    assert os.path.basename(sink.temporary_path).startswith(f"{TEMPORARY_PREFIX}{os.getpid()}-")
    sink.commit()
    assert sink.done
    assert os.listdir(path.parent) == [path.name]
    assert path.read_bytes() == WHOLE
    sink.discard()
    assert path.exists()
    for act in (sink.commit, sink.fileno, lambda: sink.write(b"x"), lambda: sink.writev([b"x"])):
        with pytest.raises(ValueError, match="committed"):
            act()


def test_discard_leaves_nothing(path: Path) -> None:
    before = descriptors()
    sink = FileSink(path)
    sink.write(WHOLE)
    sink.discard()
    sink.discard()
    with pytest.raises(TypeError), FileSink(path) as sink:
        sink.writev([WHOLE, "text"])  # type: ignore[list-item]
    forgotten = FileSink(path)
    forgotten.write(WHOLE)
    del forgotten
    assert os.listdir(path.parent) == []
    assert descriptors() == before


def test_a_with_block_may_decide_itself(path: Path) -> None:
    with FileSink(path) as sink:
        sink.discard()
    assert not path.exists()
    with FileSink(path) as sink:
        sink.write(b"x")
        sink.commit()
    assert path.read_bytes() == b"x"


def test_an_existing_file_is_replaced_or_kept(path: Path) -> None:
    path.write_bytes(b"old")
    with pytest.raises(FileExistsError):
        write(path, replace=False)
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]
    write(path)
    assert path.read_bytes() == WHOLE


def test_an_exclusive_name_without_hard_links(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", no_links)
    write(path, replace=False)
    assert path.read_bytes() == WHOLE
    with pytest.raises(FileExistsError):
        write(path, replace=False)
    assert os.listdir(path.parent) == [path.name]


def test_two_writers_of_one_name_never_mix(path: Path) -> None:
    first, second = FileSink(path), FileSink(path)
    first.write(b"1" * 1000)
    second.write(b"2" * 2000)
    first.write(b"1" * 1000)
    second.commit()
    assert path.read_bytes() == b"2" * 2000
    first.commit()
    assert path.read_bytes() == b"1" * 2000


def test_a_taken_temporary_name_is_not_reused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = iter([bytes(8), bytes(8), bytes([1] * 8)])
    monkeypatch.setattr(os, "urandom", lambda _: next(names))
    first, second = FileSink(path), FileSink(path)
    assert first.temporary_path != second.temporary_path
    first.discard()
    second.discard()


def test_the_mode_is_the_callers_umask(path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_many_views_at_once(path: Path) -> None:
    views = [bytes([i % 256]) * (i % 5) for i in range(5000)]
    with FileSink(path) as sink:
        sink.writev(views)
    assert path.read_bytes() == b"".join(views)


@pytest.mark.parametrize("most", [1, 7, 4096])
def test_short_writes_are_completed(path: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    write_some = os.write
    monkeypatch.setattr(os, "write", lambda fd, view: write_some(fd, memoryview(view).cast("B")[:most]))
    monkeypatch.setattr(os, "writev", lambda fd, views: write_some(fd, b"".join(views)[:most]))
    parts: list[bytes | memoryview] = [b"12345678", memoryview(b"abcdefgh" * 100).cast("H"), b"", b"xyz" * 100]
    with FileSink(path) as sink:
        sink.write(parts[0])
        sink.writev(parts[1:])
        sink.write(parts[1])
        assert sink.length == len(parts[0]) + 2 * 800 + 300
    assert path.read_bytes() == b"12345678" + b"abcdefgh" * 100 + b"xyz" * 100 + b"abcdefgh" * 100


def test_without_writev(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "writev")
    write(path)
    assert path.read_bytes() == WHOLE


CALLS = ("open", "write", "writev", "fsync", "close", "link", "replace", "unlink")


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, n: int) -> Iterator[list[str]]:
    """The n-th system call fails with a full disk (a failed close has closed); yields the names of the calls made."""
    made: list[str] = []

    def wrap(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any) -> Any:
            made.append(name)
            if len(made) != n:
                return call(*arguments)
            if name == "close":
                call(*arguments)
            raise OSError(errno.ENOSPC, "No space left on device")

        return wrapped

    with monkeypatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, wrap(name, getattr(os, name)))
        yield made


@pytest.mark.parametrize("durability", ["process", "power"])
@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("old", [None, b"old"])
def test_the_nth_failure(
    path: Path, monkeypatch: pytest.MonkeyPatch, durability: Durability, replace: bool, old: bytes | None
) -> None:
    if old is not None and not replace:
        return
    before = descriptors()
    for n in range(1, 20):
        path.unlink(missing_ok=True)
        if old is not None:
            path.write_bytes(old)
        with failing(monkeypatch, n) as made:
            problem = None
            try:
                write(path, durability=durability, replace=replace)
            except OSError as error:
                problem = error.errno
        now = path.read_bytes() if path.exists() else None
        assert problem in (None, errno.ENOSPC)
        assert now in (old, WHOLE)
        assert descriptors() == before
        left = [name for name in os.listdir(path.parent) if name != path.name]
        assert left == [] or made[n - 1] == "unlink"
        for name in left:
            (path.parent / name).unlink()
        if len(made) < n:
            assert problem is None
            assert now == WHOLE
            return
    pytest.fail("something fails for ever")


def test_power_syncs_the_file_then_the_folder(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with failing(monkeypatch, 0) as made:
        write(path, durability="power")
    unlocked = ["close"] if LOCKS is not None else []  # not before the file has its name
    begun = ["open", "write", "writev", "fsync", "close", "replace"]
    assert made == [*begun, *unlocked, "open", "fsync", "close"]
    with failing(monkeypatch, 0) as made:
        write(path, durability="process")
    assert made == ["open", "write", "writev", "close", "replace", *unlocked]


def test_a_file_size_limit_of_the_system(path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            write(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(path.parent) == []


def test_a_killed_process_leaves_only_a_recognisable_name(path: Path) -> None:
    code = (
        "import os, signal, sys; from dicomcore.encoding.sink import FileSink\n"
        "sink = FileSink(sys.argv[1]); sink.write(b'x' * 5000); os.kill(os.getpid(), signal.SIGKILL)"
    )
    child = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert child.returncode == -signal.SIGKILL
    (left,) = os.listdir(path.parent)
    assert left.startswith(TEMPORARY_PREFIX)


def test_a_missing_folder_and_a_wrong_word(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FileSink(tmp_path / "no" / "where")
    with pytest.raises(ValueError, match="durability"):
        FileSink(tmp_path / "x", durability="maybe")  # type: ignore[arg-type]


def test_a_name_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with FileSink("x.dcm", durability="power") as sink:
        sink.write(b"x")
    assert (tmp_path / "x.dcm").read_bytes() == b"x"


def test_memory(path: Path) -> None:
    with MemorySink(limit=12) as sink:
        sink.writev([b"preamble", b"meta"])
        with pytest.raises(ValueError, match="nothing"):
            _ = sink.value
        with pytest.raises(LimitExceeded):
            sink.write(b"x")
    assert (bytes(sink.value), sink.length) == (b"preamblemeta", 12)
    with pytest.raises(ValueError, match="committed"):
        sink.write(b"x")
    with pytest.raises(ValueError, match="committed"):
        sink.commit()
    with pytest.raises(KeyError), MemorySink() as sink:
        raise KeyError
    assert sink.done


# memory that spills into a file


@given(st.lists(st.binary(max_size=40), max_size=20), st.integers(0, 100))
def test_a_spill_sink_holds_what_was_written_wherever(pieces: list[bytes], memory: int) -> None:
    with SpillSink(memory) as sink:
        for piece in pieces:
            held = 0 if sink.path else sink.length
            assert sink.needs_memory(len(piece)) in (0, len(piece))
            assert held + sink.needs_memory(len(piece)) <= memory
            sink.write(piece)
    whole = b"".join(pieces)
    assert sink.length == len(whole)
    assert (sink.path is not None) == (len(whole) > memory)
    if sink.path is None:
        assert sink.value == whole
    else:
        assert Path(sink.path).read_bytes() == whole
        path = sink.path
        sink.discard()
        assert not Path(path).exists()


def test_a_spill_sink_is_written_to_directly_once_it_has_a_file() -> None:
    sink = SpillSink(4)
    sink.write(b"abcd")
    assert sink.fileno() == -1
    sink.write(b"e")
    sink.passed(os.write(sink.fileno(), b"fg"))
    sink.commit()
    assert sink.path is not None
    assert Path(sink.path).read_bytes() == b"abcdefg"
    assert sink.length == 7
    path = sink.path
    del sink
    assert not Path(path).exists()


def test_a_spill_sink_refuses_beyond_its_limit_and_leaves_nothing() -> None:
    sink = SpillSink(4, limit=10)
    sink.write(bytes(8))
    path = Path(sink.path or "")
    with pytest.raises(LimitExceeded):
        sink.write(bytes(3))
    sink.discard()
    sink.discard()
    assert not path.exists()
