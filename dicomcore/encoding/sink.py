"""Where encoded bytes go: a file that appears whole or not at all, or memory.

`FileSink` writes under a unique temporary name in the folder of the final one and renames on `commit`, so nobody ever
sees part of an object, two writers of one instance never mix, and what a killed process leaves behind is recognised by
its prefix (the process id follows it) and by the lock that it no longer holds (`try_remove_leftover`).
``durability="process"``: after `commit` the file is complete, closed and under its final name (safe against kill -9);
``"power"``: file and folder are fsynced too, the file before the rename and the folder after it. `deposit_file` makes
a file whose bytes are all at hand, in one step of compiled code where the platform has that.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, Literal, Protocol

from dicomcore.errors import LimitExceeded
from dicomcore.limits import DEFAULT_LIMITS

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from _typeshed import ReadableBuffer

LOCKS: Any = None  # where a file cannot be locked, as on Windows
with suppress(ImportError):
    import fcntl

    LOCKS = fcntl

DEPOSIT: Any = None  # where a file cannot be made in one step, as on Windows
with suppress(ImportError):
    from dicomcore._core.deposit import deposit

    DEPOSIT = deposit

__all__ = [
    "TEMPORARY_PREFIX",
    "FileSink",
    "MemorySink",
    "Sink",
    "SpillSink",
    "TemporaryPaths",
    "deposit_file",
    "try_remove_leftover",
]

TEMPORARY_PREFIX = ".dicomcore-"
_CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_VECTOR_COUNT = 1024  # IOV_MAX of every system that has writev
_PIECE_COUNT = 64  # that a deposit takes
_ATTEMPTS = 4  # somebody may take a file for a leftover as it is made, but not again and again


class Sink(Protocol):
    """Takes bytes in order; what was written becomes visible on `commit` and vanishes on `discard`."""

    def write(self, view: ReadableBuffer, /) -> None: ...
    def commit(self) -> None: ...
    def discard(self) -> None: ...


class TemporaryPaths:
    """Names of unfinished files in ``folder``, no two alike: process id, 64 random bits, a number. For any thread."""

    __slots__ = ("_mark", "_numbers", "_start")

    def __init__(self, folder: str, prefix: str = TEMPORARY_PREFIX) -> None:
        self._start = os.path.join(folder, prefix)
        self._mark = os.urandom(8).hex()
        self._numbers = count()

    def __call__(self) -> str:
        return f"{self._start}{os.getpid()}-{self._mark}-{next(self._numbers)}"


class FileSink:
    """A new file at ``path``, complete or absent.

    ``replace=False`` raises `FileExistsError` from `commit` when the final name is taken (by hard link, so without a
    race, where the file system has links). What fails in commit leaves no file; OSErrors come out as they are.
    ``temporary_paths`` is for who makes many files in one folder.
    """

    __slots__ = ("_descriptor", "_power", "_replace", "length", "path", "temporary_path")

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Literal["process", "power"] = "process",
        replace: bool = True,
        temporary_prefix: str = TEMPORARY_PREFIX,
        temporary_paths: TemporaryPaths | None = None,
    ) -> None:
        if durability not in ("process", "power"):
            raise ValueError(f'durability is "process" or "power", not {durability!r}')
        self._descriptor = -1
        self._power = durability == "power"
        self._replace = replace
        self.length = 0
        self.path = os.fspath(path)
        if temporary_paths is None:
            temporary_paths = TemporaryPaths(os.path.dirname(self.path), temporary_prefix)
        while True:
            self.temporary_path = temporary_paths()
            try:
                self._descriptor = os.open(self.temporary_path, _CREATE_FLAGS, 0o666)
            except FileExistsError:  # a leftover, or a process that was forked from this one
                continue
            if _claim(self._descriptor):
                return
            self._abandon()

    @property
    def done(self) -> bool:
        """Committed or discarded: nothing more can be written."""
        return self._descriptor < 0

    def fileno(self) -> int:
        """The descriptor of the unfinished file. Who writes to it directly tells by `passed`."""
        if self._descriptor < 0:
            raise ValueError("the sink is committed or discarded")
        return self._descriptor

    def passed(self, count: int) -> None:
        """So many bytes were written to `fileno` directly."""
        self.length += count

    def write(self, view: ReadableBuffer, /) -> None:
        """All of ``view``, in as many writes as the system wants."""
        descriptor = self._descriptor if self._descriptor >= 0 else self.fileno()
        count = os.write(descriptor, view)
        length = len(view) if type(view) is bytes else memoryview(view).nbytes
        if count != length:
            rest = memoryview(view).cast("B")
            while count < length:
                count += os.write(descriptor, rest[count:])
        self.length += length

    def writev(self, views: Sequence[ReadableBuffer], /) -> None:
        """Every view in order, in one system call where that is possible."""
        if not hasattr(os, "writev"):
            for view in views:
                self.write(view)
            return
        descriptor = self.fileno()
        left = [memoryview(view).cast("B") for view in views if memoryview(view).nbytes]
        while left:
            batch = left[:_VECTOR_COUNT]
            count = os.writev(descriptor, batch)
            self.length += count
            whole = 0
            while whole < len(batch) and count >= batch[whole].nbytes:
                count -= batch[whole].nbytes
                whole += 1
            del left[:whole]
            if count:
                left[0] = left[0][count:]

    def commit(self) -> None:
        """Give the file its final name; see the module for what holds afterwards."""
        descriptor = self.fileno()
        claim = -1
        try:
            if self._power:
                os.fsync(descriptor)
            claim = _duplicate(descriptor)  # it stays ours until it has its name
            self._descriptor = -1
            os.close(descriptor)  # a network file system may report a full disk only here
            if self._replace:
                os.replace(self.temporary_path, self.path)
            else:
                self._rename_exclusive()
        except BaseException:
            self._abandon()
            raise
        finally:
            if claim >= 0:
                with suppress(OSError):
                    os.close(claim)
        if self._power:
            _fsync_folder(os.path.dirname(self.path))

    def discard(self) -> None:
        """Remove what was written. Nothing happens after `commit` or a second time."""
        if self._descriptor >= 0:
            self._abandon()

    def _abandon(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with suppress(OSError):
                os.close(descriptor)
        with suppress(OSError):
            os.unlink(self.temporary_path)

    def _rename_exclusive(self) -> None:
        try:
            os.link(self.temporary_path, self.path)
        except FileExistsError:
            raise
        except (AttributeError, OSError):  # no hard links here: look, then rename
            if os.path.lexists(self.path):
                raise FileExistsError(f"{self.path} exists") from None
            os.rename(self.temporary_path, self.path)
        else:
            os.unlink(self.temporary_path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """A normal end commits, an exception discards, unless that was done inside."""
        if kind is not None:
            self.discard()
        elif not self.done:
            self.commit()

    def __del__(self) -> None:
        if getattr(self, "_descriptor", -1) >= 0:
            self._abandon()


def deposit_file(path: str, pieces: list[bytes | memoryview], temporary_paths: TemporaryPaths) -> None:
    """A file at ``path`` of these pieces, as a `FileSink` of durability "process" makes it; one that is there goes."""
    if DEPOSIT is not None:
        together = pieces if len(pieces) <= _PIECE_COUNT else [b"".join(pieces)]
        for _ in range(_ATTEMPTS):
            error = DEPOSIT(temporary_paths(), path, together)
            if not error:
                return
            if error > 0:
                raise OSError(error, os.strerror(error), path)
    with FileSink(path, temporary_paths=temporary_paths) as sink:
        sink.writev(pieces)


def _claim(descriptor: int) -> bool:
    """Lock a new file as being written; False when somebody took it for a leftover in the same moment."""
    if LOCKS is None:
        return True
    try:
        LOCKS.flock(descriptor, LOCKS.LOCK_EX | LOCKS.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return os.fstat(descriptor).st_nlink > 0


def _duplicate(descriptor: int) -> int:
    """Another descriptor with the same lock, -1 where there are no locks or no descriptors left."""
    try:
        return os.dup(descriptor) if LOCKS is not None else -1
    except OSError:
        return -1


def try_remove_leftover(path: str) -> bool | None:
    """Remove an unfinished file that nobody is writing: True. False when somebody is; None where locks do not tell.

    The lock goes with the process that held it, whatever its number, on this machine or another. OSError as `open`.
    """
    if LOCKS is None:
        return None
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        LOCKS.flock(descriptor, LOCKS.LOCK_EX | LOCKS.LOCK_NB)
        os.unlink(path)
    except BlockingIOError:
        return False
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return True


def _fsync_folder(folder: str) -> None:
    if not hasattr(os, "O_DIRECTORY"):  # Windows journals renames and cannot open folders
        return
    descriptor = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class MemorySink:
    """Bytes in memory, at most ``limit`` of them; `value` after `commit`, valid as long as anybody has it."""

    __slots__ = ("_data", "_value", "done", "length", "limit")

    def __init__(self, limit: int = DEFAULT_LIMITS.memory_object) -> None:
        self.limit = limit
        self.done = False
        self.length = 0
        self._data = bytearray()
        self._value: memoryview | None = None

    @property
    def value(self) -> memoryview:
        """What was committed, read-only."""
        if self._value is None:
            raise ValueError("nothing was committed")
        return self._value

    def needs_memory(self, length: int) -> int:
        """How many more bytes of memory it takes to write `length` bytes more."""
        return length

    def write(self, view: ReadableBuffer, /) -> None:
        if self.done:
            raise ValueError("the sink is committed or discarded")
        length = self.length + memoryview(view).nbytes
        if length > self.limit:
            raise LimitExceeded(f"more than {self.limit} bytes for an object in memory", hint="store it in a file")
        self._data += view
        self.length = length

    def writev(self, views: Sequence[ReadableBuffer], /) -> None:
        for view in views:
            self.write(view)

    def commit(self) -> None:
        if self.done:
            raise ValueError("the sink is committed or discarded")
        self.done = True
        self._value = memoryview(self._data).toreadonly()
        self._data = bytearray()

    def discard(self) -> None:
        self.done = True
        self._data = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.discard()
        elif not self.done:
            self.commit()


class SpillSink(MemorySink):
    """Bytes in memory up to ``memory`` of them; all of them in a temporary file as soon as there are more.

    ``path`` tells the file, None while there is none; `value` is for what stayed in memory. `discard`, also after
    `commit`, removes the file.
    """

    __slots__ = ("_descriptor", "memory", "path")

    def __init__(self, memory: int, limit: int = DEFAULT_LIMITS.value_length) -> None:
        super().__init__(limit)
        self.memory = memory
        self.path: str | None = None
        self._descriptor = -1

    def needs_memory(self, length: int) -> int:
        return length if self.path is None and self.length + length <= self.memory else 0

    def fileno(self) -> int:
        """The descriptor of the file, to be written to directly and told with `passed`; -1 while there is none."""
        return self._descriptor

    def passed(self, length: int) -> None:
        """So much was written to the file directly."""
        self.length += length

    def write(self, view: ReadableBuffer, /) -> None:
        length = self.length + memoryview(view).nbytes
        if (self.path is None and length <= self.memory) or self.done or length > self.limit:
            super().write(view)
            return
        if self.path is None:
            self._descriptor, self.path = tempfile.mkstemp(prefix=TEMPORARY_PREFIX)
            _write_all(self._descriptor, self._data)
            self._data = bytearray()
        _write_all(self._descriptor, view)
        self.length = length

    def commit(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
        super().commit()

    def discard(self) -> None:
        super().discard()
        descriptor, self._descriptor = self._descriptor, -1
        path, self.path = self.path, None
        if descriptor >= 0:
            with suppress(OSError):
                os.close(descriptor)
        if path is not None:
            with suppress(OSError):
                os.unlink(path)

    def __del__(self) -> None:
        if getattr(self, "path", None) is not None:
            self.discard()


def _write_all(descriptor: int, view: ReadableBuffer) -> None:
    rest = memoryview(view).cast("B")
    while rest:
        rest = rest[os.write(descriptor, rest) :]
