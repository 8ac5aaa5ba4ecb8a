"""What must hold on a wire, seen by a reader that knows nothing of the package: PS3.8 9.3 and Annex E."""

from __future__ import annotations

import struct
from collections.abc import Callable

__all__ = ["Auditor"]


class Auditor:
    """Watches one direction of an association: whole PDUs, messages never interleaved, nothing after the last word."""

    def __init__(self, name: str, broken: Callable[[str], Exception]) -> None:
        self.name = name
        self._broken = broken
        self.longest = 0  # what the other side allows; 0 = no bound
        self.messages = 0
        self.last_word = ""
        self._data = bytearray()
        self._open: tuple[int, int] | None = None  # context and command bit of what is not complete
        self._body_due: int | None = None  # a data set must follow on this context

    def __call__(self, data: bytes) -> None:
        held = self._data
        held += data
        while len(held) >= 6:
            kind, length = struct.unpack_from(">BxI", held)
            if not 1 <= kind <= 7:
                raise self._broken(f"{self.name}: PDU type {kind}")
            if len(held) < 6 + length:
                return
            body = bytes(held[6 : 6 + length])
            del held[: 6 + length]
            if self.last_word == "abort" or (self.last_word and kind != 7 and not (kind == 6 or kind == 5)):
                raise self._broken(f"{self.name}: PDU type {kind} after {self.last_word}")
            if kind == 4:
                self._data_arrived(body)
            elif kind in (5, 6):
                if self._open is not None or self._body_due is not None:
                    raise self._broken(f"{self.name}: a release in the middle of a message")
                self.last_word = "release"
            elif kind == 7:
                self.last_word = "abort"

    def _data_arrived(self, body: bytes) -> None:
        if self.longest and len(body) > self.longest:
            raise self._broken(f"{self.name}: a P-DATA-TF of {len(body)} bytes where {self.longest} are allowed")
        at = 0
        while at < len(body):
            length, context, flags = struct.unpack_from(">IBB", body, at)
            fragment = body[at + 6 : at + 4 + length]
            at += 4 + length
            key = context, flags & 1
            if self._open not in (None, key):
                raise self._broken(f"{self.name}: fragments of {key} within {self._open}")
            if self._open is None:
                if flags & 1 and self._body_due is not None:
                    raise self._broken(f"{self.name}: a command where a data set is due")
                if not flags & 1 and self._body_due != context:
                    raise self._broken(f"{self.name}: a data set on {context} where {self._body_due} is due")
                self._command = b""
            self._open = None if flags & 2 else key
            if flags & 1:
                self._command += fragment
                if flags & 2:
                    self.messages += 1
                    mark = self._command.index(b"\0\0\0\x08\x02\0\0\0")  # (0000,0800) in implicit little endian
                    (kind,) = struct.unpack_from("<H", self._command, mark + 8)
                    self._body_due = None if kind == 0x0101 else context
            elif flags & 2:
                self._body_due = None

    _command = b""
