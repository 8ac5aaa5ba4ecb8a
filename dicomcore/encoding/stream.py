"""What can only be read forwards: a file-like object, a network stream, the inside of a deflated data set (PS3.5 A.5).

`StreamSource` reads as far as it is asked and keeps what it read; `Inflater` is a stream over deflated bytes, bounded
by ``Limits.inflated_length``. A deflated stream that is broken, unended, wrapped as zlib or gzip do, or not deflated
at all gives what can be had of it and an Issue.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from .._core.scan import OFFSET_LIMIT
from ..errors import EncodingError, Issue, LimitExceeded
from ..limits import DEFAULT_LIMITS, Limits
from .policy import LENIENT, Policy
from .source import BytesSource, Source

__all__ = ["Inflater", "StreamEnded", "StreamSource"]

BLOCK_LENGTH = 4096  # what is read beyond need is less than this
_PIECE_LENGTH = 256 * 1024
_OUTPUT_LENGTH = 1 << 20
_CLAUSE = "PS3.5 A.5"


class Readable(Protocol):
    def read(self, length: int, /) -> bytes: ...


class StreamEnded(EncodingError):
    """The stream ends before the bytes that were asked for; `StreamSource.whole` has all there are."""


class StreamSource:
    """A stream as a `Source`. ``size`` is beyond any; the true one is known when `StreamEnded` says so."""

    __slots__ = ("_buffer", "_limit", "_stream", "head", "name", "size")

    def __init__(self, stream: Readable, *, limits: Limits = DEFAULT_LIMITS) -> None:
        name = getattr(stream, "name", "")
        self.name = name if isinstance(name, str) else ""
        self.size = OFFSET_LIMIT - 1
        self._limit = limits.inflated_length
        self._stream = stream
        self._buffer = bytearray()
        self._fill(BLOCK_LENGTH)
        self.head = memoryview(bytes(self._buffer))

    def _fill(self, stop: int) -> bool:
        """Read up to ``stop`` or the end."""
        buffer = self._buffer
        stop = min(stop, self._limit + 1)
        while len(buffer) < stop:
            chunk = self._stream.read(min(stop - len(buffer), _OUTPUT_LENGTH))
            if chunk is None:
                raise BlockingIOError("the stream has nothing to read yet; hand in a blocking one")
            if not isinstance(chunk, (bytes, bytearray, memoryview)):
                raise TypeError("the file is open in text mode; open it with mode 'rb'")
            if not chunk:
                return False
            buffer += chunk
        if len(buffer) > self._limit:
            raise LimitExceeded(
                f"the file-like object holds more than {self._limit} bytes",
                hint="raise Limits.inflated_length, or hand in a path",
            )
        return True

    def view(self, offset: int, length: int) -> memoryview:
        stop = offset + length
        if not self._fill(stop):
            raise StreamEnded("the stream ends here", offset=len(self._buffer), clause="PS3.5 7.1.1")
        return memoryview(bytes(self._buffer[offset:stop]))

    def some(self, offset: int, length: int) -> memoryview:
        """Up to ``length`` bytes: as many as there are."""
        self._fill(offset + length)
        return memoryview(bytes(self._buffer[offset : offset + length]))

    @contextmanager
    def session(self) -> Iterator[StreamSource]:
        yield self

    def close(self) -> None:
        """The stream is its owner's to close."""

    def whole(self, *, to_end: bool = False) -> BytesSource:
        """What has been read so far, or all there is, as bytes in memory."""
        if to_end:
            self._fill(self.size)
        return BytesSource(bytes(self._buffer), self.name)


def _some(source: Source, offset: int, length: int) -> memoryview:
    if isinstance(source, StreamSource):
        return source.some(offset, length)
    return source.view(offset, min(length, max(source.size - offset, 0)))


class Inflater:
    """Reads what a deflated data set holds, from ``start`` of ``source`` on, and a stream no further than it must."""

    def __init__(
        self,
        source: Source,
        start: int,
        *,
        limits: Limits = DEFAULT_LIMITS,
        policy: Policy = LENIENT,
        issues: list[Issue],
    ) -> None:
        self.name = source.name
        self._limit = limits.inflated_length
        self._piece = BLOCK_LENGTH if isinstance(source, StreamSource) else _PIECE_LENGTH
        self._start = start
        self._policy = policy
        self._issues = issues
        self._blocks = self._inflate(source, start)
        self._rest = b""

    def read(self, length: int) -> bytes:
        """Up to ``length`` bytes; none at the end."""
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return b""
            self._rest = block
        out, self._rest = self._rest[:length], self._rest[length:]
        return out

    def _tell(self, message: str, offset: int, *, is_broken: bool = False) -> None:
        self._policy.accept(Issue(message, offset, None, _CLAUSE, is_broken), self._issues)

    def _inflate(self, source: Source, start: int) -> Iterator[bytes]:
        inflater, left = self._begin(source, start), self._limit
        position = start
        if inflater is None:
            while piece := _some(source, position, self._piece):
                yield bytes(piece)
                position += len(piece)
            return
        while not inflater.eof:
            pending: bytes | memoryview = _some(source, position, self._piece)
            if not pending:
                self._tell("the deflated stream has no end", position, is_broken=True)
                return
            position += len(pending)
            while len(pending) and not inflater.eof:
                saved = inflater.copy()
                try:
                    block = inflater.decompress(pending, min(left + 1, _OUTPUT_LENGTH))
                except zlib.error as error:
                    block = _salvage(saved, bytes(pending))[:left]
                    message = f"the deflated stream is broken ({error}); read up to there"
                    self._tell(message, position - len(pending), is_broken=True)
                    yield block
                    return
                left -= len(block)
                if left < 0:
                    raise LimitExceeded(
                        f"the deflated data set holds more than {self._limit} bytes",
                        offset=self._start,
                        hint="raise Limits.inflated_length if this is meant",
                    )
                pending = inflater.unconsumed_tail
                yield block
        behind = position - len(inflater.unused_data)
        if isinstance(source, StreamSource):
            source = source.whole(to_end=True)
        if source.size - behind > 1 or (source.size > behind and source.view(behind, 1)[0]):
            self._tell(f"{source.size - behind} bytes behind the deflated stream; left out", behind)

    def _begin(self, source: Source, start: int) -> zlib._Decompress | None:
        """The inflater that these bytes want; None when they are not deflated."""
        head = bytes(_some(source, start, self._piece))
        try:
            zlib.decompressobj(wbits=-15).decompress(head, 64)
        except zlib.error:
            for wbits, kind in ((15, "zlib"), (31, "gzip")):
                try:
                    zlib.decompressobj(wbits=wbits).decompress(head, 1)
                except zlib.error:
                    continue
                self._tell(f"the deflated stream is wrapped as {kind} does", start)
                return zlib.decompressobj(wbits=wbits)
            if head[1:2] == b"\0" and head[4:6].isalpha() and head[4:6].isupper():  # a group and a VR
                self._tell("deflated is declared, but the data set is not", start)
                return None
        return zlib.decompressobj(wbits=-15)


def _salvage(inflater: zlib._Decompress, data: bytes) -> bytes:
    """What comes out before the fault in ``data``, to the last byte."""
    out: list[bytes] = []
    for step in (4096, 64, 1):
        at = 0
        while at < len(data):
            saved = inflater.copy()
            try:
                out.append(inflater.decompress(data[at : at + step]))
            except zlib.error:
                inflater = saved
                break
            at += step
        data = data[at : at + step]
    return b"".join(out)
