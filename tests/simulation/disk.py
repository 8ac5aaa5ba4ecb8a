"""A disk in memory, with what real ones lose: pages not synced, names not synced, and the n-th operation.

`Disk` has one flat folder and stands in for the module ``os`` where files are written (`installed`). Two things are
kept of everything: what a running system sees (the page cache), and what a power cut leaves. A file's bytes are safe
after ``fsync`` of the file, a name after ``fsync`` of the folder; of anything else a power cut keeps whatever chance
lets it, names in any combination, pages in any combination, lengths in between. An ``fsync`` that fails loses what it
should have saved and forgets that it was dirty, as Linux does.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any

import dicomcore.encoding.sink as sink_module
import dicomcore.services.stores as stores_module
from tests.reference.deposit import deposit

ROOT = "/simulated"
PAGE = 512


class ProcessKilled(BaseException):
    """The process ends here, in the middle of an operation."""


class File:
    """An inode: what is seen of it, and what is safe."""

    __slots__ = ("data", "links", "lock", "safe")

    def __init__(self) -> None:
        self.data = bytearray()
        self.safe = b""
        self.links = 1
        self.lock: object | None = None  # the open file description that holds it


class Opened:
    """An open file description; descriptors that were duplicated share it."""

    __slots__ = ("count", "file")

    def __init__(self, file: File | None) -> None:
        self.file = file
        self.count = 1


class Disk:
    """``fault(name, number)``, asked before each operation, answers an errno to fail with, raises, or answers 0."""

    def __init__(self, random: Random, *, short_writes: float = 0.0) -> None:
        self.random = random
        self.short_writes = short_writes
        self.names: dict[str, File] = {}
        self.safe_names: dict[str, File] = {}
        self.operations = 0
        self.unlinks_failed = 0
        self.dead = False  # the process is: nothing it still tries has an effect
        self.process = 1000
        self.fault: Callable[[str, int], int] | None = None
        self.opened: dict[int, Opened] = {}
        self._next = 100
        self.log: Callable[[str], None] | None = None

    # the end of a process, or of the power

    def restart(self, *, power: bool) -> None:
        """The next process begins on what is left."""
        self.dead = False
        self.process += 1
        for file in self.names.values():
            file.lock = None
        self.opened.clear()
        if power:
            self._lose()

    def _lose(self) -> None:
        chance = self.random
        names = dict(self.safe_names)
        for name in sorted({*names, *self.names}):
            if names.get(name) is not self.names.get(name) and chance.random() < 0.5:
                if name in self.names:
                    names[name] = self.names[name]
                else:
                    del names[name]
        # An entry that a rename took away is gone if the other one came: renaming is one step of a journal.
        for name in [name for name in names if name not in self.names]:
            if any(other is names[name] for key, other in names.items() if key != name):
                del names[name]
        for file in {id(file): file for file in names.values()}.values():
            file.data = self._survived(file)
            file.safe = bytes(file.data)
        self.names = names
        self.safe_names = dict(names)

    def _survived(self, file: File) -> bytearray:
        """A mixture of what was safe and what was seen."""
        if bytes(file.data) == file.safe:
            return file.data
        chance = self.random
        shorter, longer = sorted((len(file.safe), len(file.data)))
        length = chance.choice((shorter, longer, chance.randint(shorter, longer)))
        result = bytearray(length)
        for start in range(0, length, PAGE):
            stop = min(start + PAGE, length)
            if chance.random() < 0.5 and start < len(file.safe):
                piece = file.safe[start:stop]
            elif chance.random() < 0.5:
                piece = bytes(file.data[start:stop])
            else:
                piece = file.safe[start:stop]
            result[start : start + len(piece)] = piece
        return result

    # what `os` does

    def _begin(self, name: str, path: str = "") -> None:
        if self.dead:
            raise OSError(errno.EIO, "the process is dead")
        self.operations += 1
        if self.log is not None:
            self.log(f"{name} {path}")
        if self.fault is not None and (number := self.fault(name, self.operations)):
            if name == "unlink":
                self.unlinks_failed += 1
            raise OSError(number, os.strerror(number), path)

    def _file(self, descriptor: int) -> File:
        opened = self.opened.get(descriptor)
        if opened is None or opened.file is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return opened.file

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        self._begin("open", path)
        if flags & os.O_DIRECTORY:
            opened = Opened(None)
        elif flags & os.O_CREAT:
            if path in self.names:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
            self.names[path] = File()
            opened = Opened(self.names[path])
        else:
            opened = Opened(self._named(path))
        self._next += 1
        self.opened[self._next] = opened
        return self._next

    def _named(self, path: str) -> File:
        if path not in self.names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return self.names[path]

    def write(self, descriptor: int, data: Any) -> int:
        self._begin("write")
        view = memoryview(data).cast("B")
        length = len(view)
        if length > 1 and self.short_writes and self.random.random() < self.short_writes:
            length = self.random.randint(1, length)
        self._file(descriptor).data += view[:length]
        return length

    def writev(self, descriptor: int, views: Sequence[Any]) -> int:
        return self.write(descriptor, b"".join(views))

    def fsync(self, descriptor: int) -> None:
        opened = self.opened[descriptor]
        try:
            self._begin("fsync")
        except OSError:
            if opened.file is not None:
                opened.file.data = self._survived(opened.file)
                opened.file.safe = bytes(opened.file.data)  # clean, whatever it is now
            raise
        if opened.file is None:
            self.safe_names = dict(self.names)
        else:
            opened.file.safe = bytes(opened.file.data)

    def close(self, descriptor: int) -> None:
        opened = self.opened.pop(descriptor, None)
        if opened is not None:
            opened.count -= 1
            if not opened.count and opened.file is not None and opened.file.lock is opened:
                opened.file.lock = None
        self._begin("close")  # an error of close does not keep the descriptor open
        if opened is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    def dup(self, descriptor: int) -> int:
        self._begin("dup")
        opened = self.opened[descriptor]
        opened.count += 1
        self._next += 1
        self.opened[self._next] = opened
        return self._next

    def flock(self, descriptor: int, operation: int) -> None:
        self._begin("flock")
        opened = self.opened[descriptor]
        file = self._file(descriptor)
        if file.lock not in (None, opened):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        file.lock = opened

    def fstat(self, descriptor: int) -> Any:
        file = self._file(descriptor)
        return SimpleNamespace(st_nlink=file.links, st_size=len(file.data), st_mode=stat.S_IFREG | 0o644)

    def stat(self, path: str) -> Any:
        file = self._named(path)
        return SimpleNamespace(st_mtime=0.0, st_nlink=file.links, st_size=len(file.data))

    def replace(self, source: str, target: str) -> None:
        self._begin("rename", target)
        file = self._named(source)
        if target in self.names:
            self.names[target].links -= 1
        del self.names[source]
        self.names[target] = file

    rename = replace

    def link(self, source: str, target: str) -> None:
        self._begin("link", target)
        file = self._named(source)
        if target in self.names:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
        file.links += 1
        self.names[target] = file

    def unlink(self, path: str) -> None:
        self._begin("unlink", path)
        self._named(path).links -= 1
        del self.names[path]

    def listdir(self, path: str) -> list[str]:
        return [os.path.basename(name) for name in self.names]

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        pass

    def getpid(self) -> int:
        return self.process

    def kill(self, process: int, signal: int) -> None:
        if process != self.process:
            raise ProcessLookupError

    def urandom(self, count: int) -> bytes:
        return self.random.randbytes(count)

    # what tests ask

    def temporary(self) -> list[str]:
        return [name for name in self.names if os.path.basename(name).startswith(sink_module.TEMPORARY_PREFIX)]

    def final(self) -> dict[str, bytes]:
        return {
            name: bytes(file.data)
            for name, file in self.names.items()
            if not os.path.basename(name).startswith(sink_module.TEMPORARY_PREFIX)
        }


class _Os:
    """The module ``os``, on a disk."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.path = SimpleNamespace(
            join=os.path.join,
            dirname=os.path.dirname,
            basename=os.path.basename,
            abspath=lambda path: str(path),
            lexists=lambda path: path in disk.names,
            exists=lambda path: path in disk.names,
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._disk if hasattr(Disk, name) else os, name)


@contextmanager
def installed(disk: Disk) -> Iterator[None]:
    """`FileSink` and `FolderStore` write to this disk."""
    places: list[tuple[Any, str, Any]] = [
        (sink_module, "os", _Os(disk)),
        (stores_module, "os", _Os(disk)),
        (sink_module, "LOCKS", SimpleNamespace(flock=disk.flock, LOCK_EX=2, LOCK_NB=4)),
        (sink_module, "DEPOSIT", partial(deposit, system=disk, flock=disk.flock)),
    ]
    kept = [getattr(module, name) for module, name, _ in places]
    for module, name, value in places:
        setattr(module, name, value)
    try:
        yield
    finally:
        for (module, name, _), value in zip(places, kept, strict=True):
            setattr(module, name, value)
