"""What is encoded and waits to be written, because what goes before it is known last: an offset table, a ratio.

It is a `Source` in memory up to ``limits.memory_object`` and then in a file without a name, in the folder given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from tempfile import SpooledTemporaryFile

from dicomcore.errors import EncodingError
from dicomcore.limits import Limits

__all__ = ["Spool", "spool"]


class Spool:
    """A `Source` that is written first, then finished, then read; by one thread."""

    def __init__(self, file: SpooledTemporaryFile[bytes]) -> None:
        self._file = file
        self._start = b""
        self.size = 0
        self.name = "the encoded frames"
        self.head = memoryview(b"")

    def write(self, parts: Iterable[bytes | memoryview]) -> None:
        for part in parts:
            self._file.write(part)
            self.size += len(part)

    def finish(self, start: bytes, end: bytes) -> None:
        """What goes before, and behind, what was written."""
        self.write((end,))
        self._start = start
        self.size += len(start)

    def view(self, offset: int, length: int) -> memoryview:
        made = self._start[offset : offset + length]
        if len(made) < length:
            self._file.seek(max(offset - len(self._start), 0))
            made += self._file.read(length - len(made))
        if len(made) != length:
            raise EncodingError(f"{length} bytes wanted of {self.name}", offset=offset)
        return memoryview(made)

    @contextmanager
    def session(self) -> Iterator[Spool]:
        yield self

    def close(self) -> None:
        self._file.close()


@contextmanager
def spool(folder: str, limits: Limits) -> Iterator[Spool]:
    """A `Spool` whose file lies in ``folder`` and is gone after the block, whatever happens."""
    with SpooledTemporaryFile(max_size=limits.memory_object, dir=folder) as file:
        yield Spool(file)
