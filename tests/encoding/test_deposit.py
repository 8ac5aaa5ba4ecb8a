"""Files made in one step: the kernel beside its twin, whatever is in the way, and what stands for it elsewhere."""

from __future__ import annotations

import errno
import os
import resource
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore.encoding import sink
from dicomcore.encoding.sink import LOCKS, TEMPORARY_PREFIX, TemporaryPaths, deposit_file
from tests.reference import deposit as twin

kernel = pytest.importorskip("dicomcore._core.deposit", reason="this platform has no deposit")

Deposit = Callable[[str, str, list[Any]], int]
PIECES: list[Any] = [b"preamble", b"", bytearray(b"meta"), memoryview(bytes(range(256)) * 300)]
WHOLE = b"".join(PIECES)


@pytest.fixture(params=["kernel", "twin"])
def deposit(request: pytest.FixtureRequest) -> Deposit:
    made: Deposit = kernel.deposit if request.param == "kernel" else twin.deposit
    return made


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_the_twin_numbers_alike() -> None:
    assert (kernel.ANOTHER, kernel.MOST) == (twin.ANOTHER, twin.MOST)
    assert sink._PIECE_COUNT == kernel.MOST


@pytest.mark.parametrize("old", [None, b"old"])
def test_a_file_gets_its_name(tmp_path: Path, deposit: Deposit, old: bytes | None) -> None:
    final = tmp_path / "1.2.dcm"
    if old is not None:
        final.write_bytes(old)
    before = descriptors()
    mask = os.umask(0o027)
    try:
        assert deposit(os.fspath(tmp_path / "x"), os.fspath(final), PIECES) == 0
    finally:
        os.umask(mask)
    assert final.read_bytes() == WHOLE
    assert stat.S_IMODE(final.stat().st_mode) == 0o640
    assert names(tmp_path) == ["1.2.dcm"]
    assert descriptors() == before


@given(st.lists(st.binary(max_size=40), max_size=64))
def test_any_pieces(tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]) -> None:
    folder = tmp_path_factory.mktemp("pieces")
    assert kernel.deposit(os.fspath(folder / "x"), os.fspath(folder / "y"), pieces) == 0
    assert (folder / "y").read_bytes() == b"".join(pieces)
    assert names(folder) == ["y"]


def test_a_taken_temporary_name(tmp_path: Path, deposit: Deposit) -> None:
    (tmp_path / "x").write_bytes(b"of somebody")
    assert deposit(os.fspath(tmp_path / "x"), os.fspath(tmp_path / "y"), PIECES) == twin.ANOTHER
    assert (tmp_path / "x").read_bytes() == b"of somebody"
    assert names(tmp_path) == ["x"]


def test_a_folder_that_is_not_there(tmp_path: Path, deposit: Deposit) -> None:
    gone = tmp_path / "gone"
    assert deposit(os.fspath(gone / "x"), os.fspath(gone / "y"), PIECES) == errno.ENOENT
    assert deposit(os.fspath(tmp_path / ("x" * 300)), os.fspath(tmp_path / "y"), PIECES) == errno.ENAMETOOLONG
    assert names(tmp_path) == []


def test_a_final_name_that_cannot_be_had(tmp_path: Path, deposit: Deposit) -> None:
    (tmp_path / "y").mkdir()
    before = descriptors()
    assert deposit(os.fspath(tmp_path / "x"), os.fspath(tmp_path / "y"), PIECES) == errno.EISDIR
    assert deposit(os.fspath(tmp_path / "x"), os.fspath(tmp_path / ("y" * 300)), PIECES) == errno.ENAMETOOLONG
    assert deposit(os.fspath(tmp_path / "x"), os.fspath(tmp_path / "no" / "y"), PIECES) == errno.ENOENT
    assert names(tmp_path / "y") == []
    assert descriptors() == before
    assert names(tmp_path) == ["y"]


def test_a_file_that_may_not_be_so_long(tmp_path: Path, deposit: Deposit) -> None:
    before = descriptors()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        error = deposit(os.fspath(tmp_path / "x"), os.fspath(tmp_path / "y"), PIECES)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert error == errno.EFBIG
    assert names(tmp_path) == []
    assert descriptors() == before


def test_no_descriptor_is_left(tmp_path: Path, deposit: Deposit) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        error = deposit(os.fspath(tmp_path / "x"), os.fspath(tmp_path / "y"), PIECES)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert error == errno.EMFILE
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("x\0", "y", []), ValueError),
        (("x", "y\0z", []), ValueError),
        (("x", "y", [b"a"] * 65), ValueError),
        (("x", "y", [b"a", 7]), TypeError),
        (("x", "y", [b"a", "text"]), TypeError),
        (("x", "y", [memoryview(bytes(8))[::2]]), BufferError),
        (("x", "y", (b"a",)), TypeError),
        ((b"x", "y", []), TypeError),
        ((None, "y", []), TypeError),
        (("\ud800", "y", []), UnicodeEncodeError),
    ],
)
def test_what_is_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[Any, ...], error: type[Exception]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error):
        kernel.deposit(*arguments)
    assert names(tmp_path) == []


def test_buffers_are_given_back(tmp_path: Path) -> None:
    block = bytearray(b"block")
    assert kernel.deposit(os.fspath(tmp_path / "x"), os.fspath(tmp_path / "y"), [block]) == 0
    with pytest.raises(TypeError):
        kernel.deposit(os.fspath(tmp_path / "x"), os.fspath(tmp_path / "y"), [block, 7])
    block += b"grows"


# --- deposit_file -----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["one step", "many steps"])
def manner(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "many steps":
        monkeypatch.setattr(sink, "DEPOSIT", None)


@pytest.mark.usefixtures("manner")
@pytest.mark.parametrize("count", [1, 3, 64, 65, 1000])
def test_one_file(tmp_path: Path, count: int) -> None:
    pieces: list[Any] = [bytes([number % 256]) * number for number in range(count)]
    for _ in range(2):
        deposit_file(os.path.join(tmp_path, "äy"), pieces, TemporaryPaths(str(tmp_path)))
        assert (tmp_path / "äy").read_bytes() == b"".join(pieces)
    assert names(tmp_path) == ["äy"]


@pytest.mark.usefixtures("manner")
def test_errors_are_those_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "y").mkdir()
    with pytest.raises(IsADirectoryError):
        deposit_file(os.path.join(tmp_path, "y"), PIECES, TemporaryPaths(str(tmp_path)))
    with pytest.raises(FileNotFoundError):
        deposit_file(os.path.join(tmp_path, "no", "y"), PIECES, TemporaryPaths(os.path.join(tmp_path, "no")))
    with pytest.raises(FileNotFoundError):
        deposit_file(os.path.join(tmp_path, "no", "y"), PIECES, TemporaryPaths(str(tmp_path)))
    assert names(tmp_path / "y") == []
    assert names(tmp_path) == ["y"]


def test_another_name_when_one_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def taken(temporary: str, final: str, pieces: list[Any]) -> int:
        asked.append(temporary)
        return kernel.deposit(temporary, final, pieces) if len(asked) == most else twin.ANOTHER

    monkeypatch.setattr(sink, "DEPOSIT", taken)
    for most in (1, 3, 100):
        asked.clear()
        deposit_file(os.path.join(tmp_path, f"{most}"), PIECES, TemporaryPaths(str(tmp_path)))
        assert (tmp_path / f"{most}").read_bytes() == WHOLE
        assert len(asked) == len(set(asked)) <= 4
        assert all(os.path.basename(name).startswith(TEMPORARY_PREFIX) for name in asked)
    assert names(tmp_path) == ["1", "100", "3"]


@pytest.mark.skipif(LOCKS is None, reason="no locks here")
@pytest.mark.parametrize("call", ["flock", "write", "close"])
def test_a_file_taken_for_a_leftover_before_it_has_its_name(tmp_path: Path, call: str) -> None:
    """Where that can be brought about: in the twin, whose steps are those of the kernel."""
    removed: list[bool | None] = []

    def sweep() -> None:
        (name,) = names(tmp_path)
        removed.append(sink.try_remove_leftover(os.path.join(tmp_path, name)))

    class System:
        """`os`, and somebody at work in the same folder before, or after, one step."""

        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

        def write(self, file: int, data: Any) -> int:
            if call == "write":
                sweep()
            return os.write(file, data)

        def close(self, file: int) -> None:
            os.close(file)
            if call == "close":
                sweep()

    def flock(file: int, operation: int) -> None:
        if call == "flock":
            sweep()
        LOCKS.flock(file, operation)

    error = twin.deposit(os.fspath(tmp_path / "x"), os.fspath(tmp_path / "y"), [b"whole"], system=System(), flock=flock)
    if call == "write":  # it is locked
        assert removed == [False]
        assert error == 0
        assert names(tmp_path) == ["y"]
    else:
        assert removed == [True]
        assert error == twin.ANOTHER
        assert names(tmp_path) == []
