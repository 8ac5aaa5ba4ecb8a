"""Watching an association: what it tells an observer, and a trace of its PDUs (PS3.8 9.3) for a log at debug.

A `Tracer` reads headers only, apart from the receive block, so that an association without one does nothing for it. A
line tells direction, type and length of a PDU and the fragments of a P-DATA-TF: context, kind, length. Never a value.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from .negotiation import Negotiated

__all__ = ["Observer", "Tracer"]

NAMES: Final = (
    "PDU 00H",
    "A-ASSOCIATE-RQ",
    "A-ASSOCIATE-AC",
    "A-ASSOCIATE-RJ",
    "P-DATA-TF",
    "A-RELEASE-RQ",
    "A-RELEASE-RP",
    "A-ABORT",
)
P_DATA: Final = 4
MANY: Final = 8  # fragments of one PDU that are told one by one

log = logging.getLogger("dicomcore.ul")


class Observer(Protocol):
    """Who wants to know what becomes of an association. Called while its state changes: it must not act on it."""

    def agreed(self, negotiated: Negotiated, /) -> None:
        """It stands."""

    def over(self, how: str, cause: Any, /) -> None:
        """``rejected`` (by either side), ``released``, ``aborted``, ``aborted by peer`` or ``lost``; may be told more
        than once, the first one counts. ``cause``: the A-ASSOCIATE-RJ, A-ABORT or error behind it, if any."""


class Tracer:
    """Both directions of one association."""

    def __init__(self, extra: Mapping[str, object], logger: logging.Logger = log) -> None:
        def tell(arrow: str) -> Callable[[str], None]:
            return lambda line: logger.debug("%s %s", arrow, line, extra=extra)

        self._in = _Headers(tell("<-"))
        self._out = _Headers(tell("->"))

    def received(self, view: memoryview) -> None:
        """Bytes have arrived."""
        self._in.read(view)

    def sent(self, segments: Iterable[Any]) -> None:
        """These leave now: bytes, views, and things of which only the length is known."""
        for segment in segments:
            if isinstance(segment, bytes | memoryview):
                self._out.read(memoryview(segment))
            else:
                self._out.skip(len(segment))


class _Headers:
    """The headers in a stream of PDUs."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._head = bytearray()
        self._kind = 0
        self._length = 0
        self._rest = 0  # bytes of the PDU that are still to come
        self._pass = 0  # of them: to be passed over before the next header
        self._fragments: list[str] = []
        self._count = 0

    def read(self, view: memoryview) -> None:
        start = 0
        while start < len(view):
            if self._pass:
                step = min(self._pass, len(view) - start)
                self.skip(step)
                start += step
                continue
            step = min(6 - len(self._head), len(view) - start)
            self._head += view[start : start + step]
            start += step
            if len(self._head) == 6:
                self._header(bytes(self._head))
                self._head.clear()

    def skip(self, count: int) -> None:
        """So many bytes that are no header."""
        self._pass -= count
        self._rest -= count
        self._end()

    def _header(self, head: bytes) -> None:
        if self._rest:  # inside a P-DATA-TF: of a fragment
            length = int.from_bytes(head[:4], "big")
            self._rest -= 6
            self._pass = min(max(length - 2, 0), max(self._rest, 0))
            self._count += 1
            if self._count <= MANY:
                kind = "command" if head[5] & 1 else "data"
                last = ", last" if head[5] & 2 else ""
                self._fragments.append(f"{kind} of {length - 2} on context {head[4]}{last}")
        else:
            self._kind = head[0]
            self._length = self._rest = int.from_bytes(head[2:], "big")
            self._pass = 0 if head[0] == P_DATA and self._rest >= 6 else self._rest
        self._end()

    def _end(self) -> None:
        if self._rest > 0:
            if not self._pass and self._rest < 6:
                self._pass = self._rest  # no fragment fits in: the core says so
            return
        name = NAMES[self._kind] if self._kind < len(NAMES) else f"PDU {self._kind:02X}H"
        more = [f"and {self._count - MANY} more"] if self._count > MANY else []
        self._tell("; ".join([f"{name} of {self._length} bytes", *self._fragments, *more]))
        self._fragments.clear()
        self._count = self._rest = self._pass = 0
