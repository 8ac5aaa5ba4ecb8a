"""Where encoded bytes come from: memory, or a file that is not held open.

A `FileSource` reads one block at the head when it is made and closes the descriptor at once; later values re-open the
path, and the file has to be the one that was opened: device, inode, size and modification time are compared *after* the
bytes were read, so bytes of another file never come out. It promises `SourceChanged` for a file that was truncated,
rewritten, replaced or deleted, and no memory mapping but where `FileSource.map` is asked for one. A change that keeps
the size, within the resolution of the file system's time stamps, is not seen.
"""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from dicomcore.errors import EncodingError, LimitExceeded, SourceChanged
from dicomcore.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from _typeshed import ReadableBuffer, SupportsRead

__all__ = ["BytesSource", "FileSlice", "FileSource", "OpenFile", "Source", "open_source"]

HEAD_LENGTH = 32 * 1024  # one pread that covers the head of an ordinary CT, MR or plan
# O_NONBLOCK, since the opener of a FIFO would wait for its writer
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
_GONE = (FileNotFoundError, NotADirectoryError)

_Identity = tuple[int, int, int, int]  # device, inode, size, mtime_ns


class Source(Protocol):
    """Random access to encoded bytes. ``size`` is in bytes; ``name`` is for messages."""

    @property
    def size(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def head(self) -> memoryview:
        """The bytes from offset 0 that are held in memory and cost nothing to view."""

    def view(self, offset: int, length: int) -> memoryview:
        """Exactly ``length`` bytes, read-only. `EncodingError` outside of it, `SourceChanged` if the file changed."""

    def session(self) -> AbstractContextManager[Source]:
        """The same source, for many views in a row: a file is opened once."""

    def close(self) -> None: ...


def _check_range(source: Source, offset: int, length: int) -> None:
    if offset < 0 or length < 0 or offset + length > source.size:
        raise EncodingError(
            f"{length} bytes wanted, but {source.name or 'the source'} ends at byte {source.size}",
            offset=offset,
            clause="PS3.5 7.1.1",
        )


class BytesSource:
    """Bytes in memory. Keeps the buffer alive; does not copy it."""

    __slots__ = ("_data", "name", "size")

    def __init__(self, data: ReadableBuffer, name: str = "") -> None:
        view = memoryview(data)
        if not view.contiguous:
            raise EncodingError("the buffer is not contiguous", hint="hand in bytes, or a contiguous buffer")
        self._data = view.cast("B").toreadonly() if view.nbytes else memoryview(b"")
        self.size = self._data.nbytes
        self.name = name

    @property
    def head(self) -> memoryview:
        return self._data

    def view(self, offset: int, length: int) -> memoryview:
        end = offset + length
        if offset < 0 or length < 0 or end > self.size:
            _check_range(self, offset, length)
        return self._data[offset:end]

    @contextmanager
    def session(self) -> Iterator[BytesSource]:
        yield self

    def close(self) -> None:
        """Nothing to give back: the buffer lives as long as views of it do."""

    def __getstate__(self) -> tuple[bytes, str]:
        return bytes(self._data), self.name

    def __setstate__(self, state: tuple[bytes, str]) -> None:
        BytesSource.__init__(self, *state)


def _identity(descriptor: int) -> _Identity:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


if hasattr(os, "pread"):
    _pread = os.pread
else:  # pragma: no cover - Windows

    def _pread(fd: int, length: int, offset: int, /) -> bytes:
        os.lseek(fd, offset, os.SEEK_SET)
        return os.read(fd, length)


def _read_into(descriptor: int, view: memoryview, offset: int) -> int:
    """Fill ``view`` from its start; answers the number of bytes, which may be less."""
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [view], offset)
    data = _pread(descriptor, len(view), offset)
    view[: len(data)] = data
    return len(data)


def _read_at(descriptor: int, offset: int, length: int) -> bytes | bytearray:
    """Up to ``length`` bytes; fewer only at the end of the file (one pread never gives more than 2 GiB)."""
    data = _pread(descriptor, length, offset)
    if len(data) == length or not data:
        return data
    whole = bytearray(data)
    while len(whole) < length and (data := _pread(descriptor, length - len(whole), offset + len(whole))):
        whole += data
    return whole


class FileSource:
    """A regular file by its path. Holds its first block (``head_length`` bytes), no descriptor and no mapping."""

    __slots__ = ("_head", "_identity", "name", "path", "size")

    def __init__(self, path: str | os.PathLike[str], *, head_length: int = HEAD_LENGTH) -> None:
        os.close(self._open(path, head_length))

    @classmethod
    def kept_open(cls, path: str | os.PathLike[str], *, head_length: int = HEAD_LENGTH) -> tuple[Self, int]:
        """The source, and the descriptor it was made with, which is the caller's to close: to send on what is read."""
        source = cls.__new__(cls)
        return source, source._open(path, head_length)

    def _open(self, path: str | os.PathLike[str], head_length: int) -> int:
        self.name = os.fspath(path)
        self.path = self.name if os.path.isabs(self.name) else os.path.abspath(self.name)  # the folder may change
        descriptor = os.open(self.path, _OPEN_FLAGS)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                if stat.S_ISDIR(status.st_mode):
                    raise IsADirectoryError(f"{self.name} is a folder")
                raise EncodingError(f"{self.name} is not a regular file", hint="read it and hand in the bytes")
            self.size = status.st_size
            self._identity: _Identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            head = _read_at(descriptor, 0, min(head_length, self.size))
            if len(head) != min(head_length, self.size):
                raise self._changed(0)
        except BaseException:
            os.close(descriptor)
            raise
        self._head = memoryview(head).toreadonly()
        return descriptor

    @property
    def head(self) -> memoryview:
        return self._head

    def trim(self, length: int) -> None:
        """Keep only ``length`` bytes of the head (as many as the scan needed): what an idle source costs."""
        if length < len(self._head):
            self._head = memoryview(bytes(self._head[: max(length, 0)]))

    def view(self, offset: int, length: int) -> memoryview:
        end = offset + length
        if 0 <= offset <= end <= len(self._head):
            return self._head[offset:end]
        with self.session() as opened:
            return opened.view(offset, length)

    @contextmanager
    def session(self) -> Iterator[Source]:
        try:
            descriptor = os.open(self.path, _OPEN_FLAGS)
        except _GONE as error:
            raise self._changed(0) from error
        try:
            yield OpenFile(self, descriptor)
        finally:
            os.close(descriptor)

    def map(self, offset: int, length: int) -> memoryview | None:
        """The bytes as a read-only window on the file, which lives as long as views of it; None where none can be had.

        `SourceChanged` as with `view`. A file that is cut short while it is mapped kills the process that touches the
        bytes beyond its end (SIGBUS): whoever shares files with programs that rewrite them in place takes `view`.
        """
        _check_range(self, offset, length)
        if not length:
            return memoryview(b"")  # a mapping of no bytes would be one of the whole file
        start = offset - offset % mmap.ALLOCATIONGRANULARITY
        try:
            descriptor = os.open(self.path, _OPEN_FLAGS)
        except _GONE as error:
            raise self._changed(offset) from error
        try:
            try:
                window = mmap.mmap(descriptor, offset + length - start, access=mmap.ACCESS_READ, offset=start)
            except (OSError, ValueError):  # a file system without mappings, or a file that is shorter now
                window = None
            if _identity(descriptor) != self._identity:
                raise self._changed(offset)
        finally:
            os.close(descriptor)
        return memoryview(window)[offset - start :] if window is not None else None

    def check(self, offset: int = 0) -> None:
        """`SourceChanged`, for bytes at ``offset``, unless the path still leads to the file that was opened."""
        try:
            status = os.stat(self.path)
        except OSError as error:
            raise self._changed(offset) from error
        if (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns) != self._identity:
            raise self._changed(offset)

    def close(self) -> None:
        """Give back the head; later views read the file again."""
        self._head = memoryview(b"")

    def _changed(self, offset: int) -> SourceChanged:
        return SourceChanged(
            f"{self.name} was truncated, rewritten, replaced or deleted after it was opened",
            offset=offset,
            hint="read the file again",
        )

    def __getstate__(self) -> tuple[str, str, int, _Identity, bytes]:
        return self.name, self.path, self.size, self._identity, bytes(self._head)

    def __setstate__(self, state: tuple[str, str, int, _Identity, bytes]) -> None:
        self.name, self.path, self.size, self._identity, head = state
        self._head = memoryview(head)


class OpenFile:
    """A `FileSource` for the length of one session."""

    __slots__ = ("_descriptor", "_file")

    def __init__(self, file: FileSource, descriptor: int) -> None:
        self._file = file
        self._descriptor = descriptor

    @property
    def size(self) -> int:
        return self._file.size

    @property
    def name(self) -> str:
        return self._file.name

    @property
    def head(self) -> memoryview:
        return self._file.head

    def view(self, offset: int, length: int) -> memoryview:
        file = self._file
        end = offset + length
        if 0 <= offset <= end <= len(file._head):
            return file._head[offset:end]
        _check_range(file, offset, length)
        try:
            data = _read_at(self._descriptor, offset, length)
        except IsADirectoryError as error:
            raise file._changed(offset) from error
        if len(data) != length or _identity(self._descriptor) != file._identity:
            raise file._changed(offset)
        return memoryview(data).toreadonly()

    def read_into(self, offset: int, view: memoryview) -> None:
        """Fill ``view`` with the bytes at ``offset``."""
        file = self._file
        length = len(view)
        _check_range(file, offset, length)
        done = 0
        try:
            while done < length and (count := _read_into(self._descriptor, view[done:], offset + done)):
                done += count
        except IsADirectoryError as error:
            raise file._changed(offset) from error
        if done != length or _identity(self._descriptor) != file._identity:
            raise file._changed(offset)

    @contextmanager
    def session(self) -> Iterator[OpenFile]:
        yield self

    def close(self) -> None:
        """The session closes the descriptor."""


@runtime_checkable
class _Readable(Protocol):
    def read(self, length: int, /) -> bytes: ...


def open_source(
    origin: str | os.PathLike[str] | ReadableBuffer | SupportsRead[bytes] | BytesSource | FileSource,
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> BytesSource | FileSource:
    """A path, a buffer, or a file-like object (read to its end, at most ``limits.inflated_length`` bytes)."""
    if isinstance(origin, (str, os.PathLike)):
        return FileSource(origin)
    if isinstance(origin, (BytesSource, FileSource)):
        return origin
    if isinstance(origin, bytes) or not isinstance(origin, _Readable):  # the protocol check is slow
        try:
            return BytesSource(origin)
        except TypeError:
            raise TypeError(f"a path, a bytes-like or a binary file is wanted, not {type(origin).__name__}") from None
    chunks: list[bytes] = []
    left = limits.inflated_length + 1
    while left > 0 and (chunk := origin.read(min(left, 1 << 20))):
        if not isinstance(chunk, (bytes, bytearray, memoryview)):
            raise TypeError("the file is open in text mode; open it with mode 'rb'")
        chunks.append(chunk)
        left -= len(chunk)
    if left <= 0:
        raise LimitExceeded(
            f"the file-like object holds more than {limits.inflated_length} bytes",
            hint="raise Limits.inflated_length, or hand in a path",
        )
    name = getattr(origin, "name", "")
    return BytesSource(b"".join(chunks), name if isinstance(name, str) else "")


class FileSlice:
    """``length`` bytes of a file from ``offset``, as data to send: it has a ``len()`` and is never loaded whole.

    Made from a path it opens the file on first use, unless it is handed the ``descriptor`` too, and `close` closes it;
    a descriptor handed in alone stays its owner's.
    `os.sendfile` takes it by `fileno` and ``offset``. A file that has become shorter raises `SourceChanged`.
    """

    __slots__ = ("_descriptor", "_length", "_path", "offset")

    def __init__(
        self, file: int | str | os.PathLike[str], offset: int, length: int, *, descriptor: int | None = None
    ) -> None:
        self._descriptor: int | None = file if isinstance(file, int) else descriptor
        self._path = None if isinstance(file, int) else os.fspath(file)
        self._length = length
        self.offset = offset
        if offset < 0 or length < 0:
            raise ValueError("offset and length of a FileSlice are not negative")

    def __len__(self) -> int:
        return self._length

    def fileno(self) -> int:
        """The descriptor to read from, opened if need be."""
        if self._descriptor is None:
            if self._path is None:
                raise ValueError("the FileSlice is closed")
            self._descriptor = os.open(self._path, _OPEN_FLAGS)
        return self._descriptor

    def read(self, start: int, stop: int) -> bytes | bytearray:
        """The bytes [start, stop) of the slice."""
        start, stop, _ = slice(start, stop).indices(self._length)
        length = max(stop - start, 0)
        data = _read_at(self.fileno(), self.offset + start, length)
        if len(data) != length:
            raise self._shorter(start + len(data))
        return data

    def read_into(self, start: int, view: memoryview) -> int:
        """Fill ``view`` (or what the slice has left) from ``start`` on; answers the number of bytes."""
        length = min(len(view), self._length - start)
        done = 0
        while done < length:
            count = _read_into(self.fileno(), view[done:length], self.offset + start + done)
            if not count:
                raise self._shorter(start + done)
            done += count
        return max(done, 0)

    def close(self) -> None:
        """Close the file if this slice opened it."""
        if self._path is not None and self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _shorter(self, at: int) -> SourceChanged:
        return SourceChanged(
            f"{self._path or 'the file'} became shorter while it was being sent", offset=self.offset + at
        )
