"""What is to be written, as a list of chunks that each have a ``len()``: bytes, or part of a source to be read then."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from ..encoding.source import Source

__all__ = ["BLOCK_LENGTH", "Chunk", "SourceSlice", "iter_bytes", "iter_deflated", "slice_of"]

BLOCK_LENGTH = 1 << 20


class SourceSlice:
    """``length`` bytes of a source as data to write or send: it has a ``len()`` and is read piece by piece."""

    __slots__ = ("_length", "offset", "source")

    def __init__(self, source: Source, offset: int, length: int) -> None:
        self.source = source
        self.offset = offset
        self._length = length

    def __len__(self) -> int:
        return self._length

    def read(self, start: int, stop: int) -> memoryview:
        """Bytes [start, stop); SourceChanged when the file is no longer the one that was opened."""
        start, stop, _ = slice(start, stop).indices(self._length)
        return self.source.view(self.offset + start, max(stop - start, 0))


Chunk = bytes | memoryview | SourceSlice


def slice_of(source: Source, offset: int, length: int) -> Chunk:
    """What is in memory as a view, what is not as a slice to be read when it is written."""
    if offset + length <= len(source.head):
        return source.view(offset, length)
    return SourceSlice(source, offset, length)


def iter_bytes(chunks: list[Chunk]) -> Iterator[bytes | memoryview]:
    """The chunks in order, none over 1 MiB that comes from a file."""
    for chunk in chunks:
        if isinstance(chunk, SourceSlice):
            with chunk.source.session() as source:
                for start in range(0, len(chunk), BLOCK_LENGTH):
                    yield source.view(chunk.offset + start, min(BLOCK_LENGTH, len(chunk) - start))
        else:
            yield chunk


def iter_deflated(chunks: list[Chunk]) -> Iterator[bytes]:
    """PS3.5 A.5: a raw deflate stream, padded to even length."""
    deflater = zlib.compressobj(wbits=-15)
    length = 0
    for chunk in iter_bytes(chunks):
        if block := deflater.compress(chunk):
            length += len(block)
            yield block
    block = deflater.flush()
    yield block + b"\0" if (length + len(block)) & 1 else block
