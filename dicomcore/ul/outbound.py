"""P-DATA-TF framing on the way out (PS3.8 9.3.5, annex E.2): lazy, and a body of more than 32 KiB is never copied.

Each PDU carries one PDV: a header of 12 bytes, then a slice of the payload. A payload is anything with ``len()`` in
bytes: of one with the buffer protocol the slice is a memoryview, of any other a `Slice(payload, start, stop)` that the
driver knows how to send. Fragments are even; the last of an odd payload is odd, since padding is the encoder's.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Sized
from typing import Any, Final, NamedTuple, TypeAlias

from ..errors import LocalProtocolError

__all__ = ["Outbound", "Payload", "Segment", "Slice", "Stretch"]

_HEADER: Final = struct.Struct(">BxIIBB")  # type, PDU length, PDV length, context id, message control header
_COMMAND: Final = 1
_LAST: Final = 2
_JOINED: Final = 512  # bytes up to which a payload is copied behind its header: less work than a PDU in two pieces
_WHOLE: Final = 32 * 1024  # bytes up to which a data set is copied behind its command: less work than a gathered write

Payload: TypeAlias = bytes | bytearray | memoryview | Sized


class Slice:
    """Bytes `start` to `stop` of a payload that only its owner can read."""

    __slots__ = ("payload", "start", "stop")

    def __init__(self, payload: Sized, start: int, stop: int) -> None:
        self.payload = payload
        self.start = start
        self.stop = stop

    def __len__(self) -> int:
        return self.stop - self.start

    def __repr__(self) -> str:
        return f"Slice({self.payload!r}, {self.start}, {self.stop})"


Segment: TypeAlias = bytes | memoryview | Slice


class _Run:
    """One payload on its way: what of it is framed already."""

    __slots__ = ("context_id", "flags", "last", "payload", "position", "stop", "view")

    def __init__(self, context_id: int, command: bool, payload: Payload, last: bool) -> None:
        self.context_id = context_id
        self.flags = _COMMAND if command else 0
        self.last = last
        self.payload = payload
        self.view: memoryview | None = None
        buffer: Any = payload
        try:
            view = memoryview(buffer)
        except TypeError:
            pass
        else:
            if not view.c_contiguous:
                raise LocalProtocolError("a payload must be contiguous")
            self.view = view if view.format == "B" and view.ndim == 1 else view.cast("B")
        self.position = 0
        self.stop = len(payload) if self.view is None else len(self.view)


class Stretch(NamedTuple):
    """What is left of a payload that only its owner can read, for a driver that frames it itself: whole PDUs of
    ``size`` bytes and the rest, ``last`` flagged as such, if it is."""

    payload: Sized
    position: int
    stop: int
    size: int
    context_id: int
    flags: int
    last: bool


class Outbound:
    """The queue of one association: whole PDUs and payloads, in order, payloads framed when they are asked for."""

    __slots__ = ("_open", "fragment_length", "length", "queue", "sent_length", "streamed_length")

    def __init__(self) -> None:
        self.queue: deque[bytes | _Run] = deque()  # what waits to be framed and handed out
        self._open: tuple[int, bool] | None = None  # a payload was given with last=False: its continuation is due
        self.fragment_length = 0
        self.length = 0  # bytes not handed out yet, headers of P-DATA-TF not counted
        self.streamed_length = 0  # of these, bytes that only the owner of their payload can read
        self.sent_length = 0  # bytes handed out, in all

    @property
    def is_open(self) -> bool:
        """A command or data set was begun and its last fragment has not been given."""
        return self._open is not None

    def clear(self) -> None:
        self.queue.clear()
        self._open = None
        self.length = self.streamed_length = 0

    def put(self, pdu: bytes) -> None:
        """Queue a whole PDU."""
        self.queue.append(pdu)
        self.length += len(pdu)

    def send(self, context_id: int, command: bool, payload: Payload, last: bool) -> None:
        """Queue a command set or data set, or (``last`` False) a part of one."""
        if self._open is not None and self._open != (context_id, command):
            raise LocalProtocolError(
                f"a {'command' if self._open[1] else 'data'} set on context {self._open[0]} is not complete",
                clause="PS3.8 E.2",
                hint="give its last fragment before another message",
            )
        if type(payload) is bytes and last and len(payload) <= _JOINED and len(payload) <= self.fragment_length:
            flags = _LAST | _COMMAND if command else _LAST
            self.put(_HEADER.pack(4, len(payload) + 6, len(payload) + 2, context_id, flags) + payload)
            self._open = None
            return
        run = _Run(context_id, command, payload, last)
        if run.stop or last:
            self._put_run(run)
        self._open = None if last else (context_id, command)

    def message(self, context_id: int, command: bytes, body: Payload | None) -> None:
        """Queue a command set, and its data set if there is one: a small one in one piece with it."""
        size, length = self.fragment_length, len(command)
        if self._open is not None or length > size:
            self.send(context_id, True, command, True)
            if body is not None:
                self.send(context_id, False, body, True)
            return
        first = _HEADER.pack(4, length + 6, length + 2, context_id, _LAST | _COMMAND)
        run: _Run | None = None
        if type(body) is bytes and len(body) <= _WHOLE and len(body) <= size:
            length = len(body)
            whole = b"".join((first, command, _HEADER.pack(4, length + 6, length + 2, context_id, _LAST), body))
        else:
            if body is not None:
                run = _Run(context_id, False, body, True)
            whole = first + command
        self.queue.append(whole)
        self.length += len(whole)
        if run is not None:
            self._put_run(run)

    def _put_run(self, run: _Run) -> None:
        self.queue.append(run)
        self.length += run.stop
        if run.view is None:
            self.streamed_length += run.stop

    def stretch(self) -> Stretch | None:
        """The payload that is next, if it is one of which `segments` would make slices."""
        entry = self.queue[0] if self.queue else None
        if not isinstance(entry, _Run) or entry.view is not None or entry.position == entry.stop:
            return None
        return Stretch(
            entry.payload, entry.position, entry.stop, self.fragment_length, entry.context_id, entry.flags, entry.last
        )

    def framed(self, position: int, total: int) -> None:
        """The driver has framed that stretch up to here: so many bytes with their headers."""
        entry = self.queue[0]
        assert isinstance(entry, _Run)
        self.length -= position - entry.position
        self.streamed_length -= position - entry.position
        self.sent_length += total
        entry.position = position
        if position == entry.stop:
            self.queue.popleft()

    def segments(self, max_bytes: int, max_count: int, slices: bool = True) -> list[Segment]:
        """Whole PDUs, at least one when something waits, until ``max_bytes`` or ``max_count`` segments are reached.

        Without ``slices``, those before the next payload that would become one: perhaps none.
        """
        queue = self.queue
        segments: list[Segment] = []
        if len(queue) == 1 and isinstance(entry := queue[0], bytes):  # a small message: mostly there is nothing else
            queue.clear()
            segments.append(entry)
            self.length -= len(entry)
            self.sent_length += len(entry)
            return segments
        append = segments.append
        size = self.fragment_length
        total = 0
        while queue and total < max_bytes and len(segments) < max_count - 1:
            entry = queue[0]
            if isinstance(entry, bytes):
                append(entry)
                total += len(entry)
                self.length -= len(entry)
                queue.popleft()
                continue
            context_id, flags, view, payload = entry.context_id, entry.flags, entry.view, entry.payload
            if view is None and not slices and entry.position != entry.stop:
                break
            position, stop = entry.position, entry.stop
            start = position
            if stop - position > size:
                header = _HEADER.pack(4, size + 6, size + 2, context_id, flags)
                while stop - position > size and total < max_bytes and len(segments) < max_count - 1:
                    end = position + size
                    append(header)
                    append(Slice(payload, position, end) if view is None else view[position:end])
                    total += size + 12
                    position = end
            if stop - position <= size and total < max_bytes and len(segments) < max_count - 1:
                length = stop - position
                flags = flags | _LAST if entry.last else flags
                append(_HEADER.pack(4, length + 6, length + 2, context_id, flags))
                if length:
                    append(Slice(payload, position, stop) if view is None else view[position:] if position else view)
                total += length + 12
                position = stop
                queue.popleft()
            entry.position = position
            self.length -= position - start
            if view is None:
                self.streamed_length -= position - start
        self.sent_length += total
        return segments
