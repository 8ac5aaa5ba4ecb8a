"""The receive block and the incremental framing of P-DATA-TF (PS3.8 9.3.5, annex E.2).

Bytes lie where the driver put them: fragments come out as views of the block, as soon as they are there, also in the
middle of a PDV; what stays behind is less than 12 bytes of headers, or the part of one other PDU that has arrived. The
block grows only when it was filled: up to the checked length of the PDU that is gathered, or, while data flows, to 256
KiB.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection
from typing import Any, Final, NamedTuple, TypeAlias

from ..errors import LocalProtocolError, RemoteProtocolError
from .codec import INVALID, fault
from .primitives import Body

__all__ = ["Inbound", "Path", "Reader"]

SMALL: Final = 8 * 1024
LARGE: Final = 256 * 1024

_PDU: Final = struct.Struct(">BxI")
_PDV: Final = struct.Struct(">IBB")
_BOTH: Final = struct.Struct(">BxIIBB")
_NO_BLOCK: Final = bytearray()
_NO_VIEW: Final = memoryview(_NO_BLOCK)  # which also keeps it from growing


Reader: TypeAlias = Callable[[memoryview, int, int], int]


class Path(NamedTuple):
    """Where the fragments of a data set are when somebody else moves them on: see ``_core.pump.receive``."""

    block: bytearray
    held: int
    state: tuple[int, int, int, bool]
    longest: tuple[int, int]


class Inbound:
    """Bytes received and not yet understood."""

    __slots__ = (
        "_block",
        "_context_id",
        "_flags",
        "_largest",
        "_need",
        "_run",
        "_size",
        "_skip",
        "_small",
        "_view",
        "longest_pdv",
        "offset",
        "pdu_rest",
        "pdv_rest",
        "start",
        "stop",
    )

    def __init__(self, small: int = SMALL) -> None:
        self._small = small
        self._block = _NO_BLOCK
        self._view = _NO_VIEW
        self._size = small  # of the next block
        self._largest = small
        self._need = 0  # bytes of the PDU being gathered, header included
        self._skip = 0  # bytes of a PDU that is passed over
        self._run: int | None = None  # context id and command bit of the command or data set that is not complete
        self._context_id = 0
        self._flags = 0
        self.longest_pdv = 0xFFFFFFFF
        self.start = 0  # first byte not understood
        self.stop = 0  # end of what was received
        self.offset = 0  # of the block's first byte in the stream
        self.pdu_rest = 0  # bytes of the current P-DATA-TF that are not indicated yet
        self.pdv_rest = 0  # bytes of the current fragment that are not indicated yet

    @property
    def held_length(self) -> int:
        """Bytes of the block."""
        return len(self._block)

    @property
    def midway(self) -> bool:
        """A PDU, or a command or data set, has arrived in part."""
        return self._run is not None or self.pdu_rest > 0 or self._skip > 0 or self.start < self.stop

    def allow(self, largest: int) -> None:
        """From now on the block may grow to this size when it is filled; 0 = it stays small."""
        self._largest = max(largest, self._small)
        self._size = min(self._size, self._largest)

    def shrink(self) -> None:
        """Give the block back, but for bytes not understood yet."""
        self._size = self._small
        if self.start != self.stop:
            kept = bytes(self._view[self.start : self.stop])
            self._replace(len(kept), kept)
        else:
            self.offset += self.start
            self._block, self._view = _NO_BLOCK, _NO_VIEW
            self.start = self.stop = 0

    def _replace(self, size: int, kept: bytes | memoryview) -> None:
        block = bytearray(size)
        if kept:
            block[: len(kept)] = kept
        self.offset += self.start
        self._block, self._view = block, memoryview(block)
        self.start, self.stop = 0, len(kept)

    def lend(self) -> memoryview:
        """Room for the driver to receive into; never empty. Earlier views of this block are overwritten."""
        size = self._size
        if self.start == self.stop and size == len(self._block):  # as mostly
            self.offset += self.stop
            self.start = self.stop = 0
            return self._view
        residue = self.stop - self.start
        if self._need > size and residue >= size:  # gathering, and all that there is room for has arrived
            self._size = size = min(2 * residue, self._need)
        if size != len(self._block) and residue <= size:
            self._replace(size, self._view[self.start : self.stop] if residue else _NO_VIEW)
        elif self.start:
            if residue:
                self._view[:residue] = bytes(self._view[self.start : self.stop])
            self.offset += self.start
            self.start, self.stop = 0, residue
        return self._view[self.stop :] if self.stop else self._view

    def received(self, count: int) -> None:
        """The driver put this many bytes into what was lent."""
        if not 0 <= count <= len(self._block) - self.stop:
            room = len(self._block) - self.stop
            raise LocalProtocolError(f"{count} bytes received where {room} were lent")
        self.stop += count
        if self.stop == len(self._block) and not self._need:
            self._size = max(self._size, min(8 * self._size, self._largest))

    def last(self, count: int) -> memoryview:
        """What `received` was told of last."""
        return self._view[self.stop - count : self.stop]

    def try_path(self, limit: int) -> Path | None:
        """What moves the rest of a data set past this object; None when something else is under way.

        Bytes not understood lie at the front of the block, which has its full size.
        """
        held = self.stop - self.start
        if self.pdv_rest:
            context_id, command = self._context_id, self._flags & 1
        elif self._run is not None:
            context_id, command = self._run >> 1, self._run & 1
        else:
            return None
        if command or self._need or self._skip or held >= 12 or (held and self.pdv_rest):
            return None
        self._size = self._largest
        if len(self._block) != self._largest:
            self._replace(self._largest, self._view[self.start : self.stop])
        elif self.start:
            self.lend()
        state = context_id, self.pdu_rest, self.pdv_rest, bool(self._flags & 2)
        return Path(self._block, held, state, (limit, self.longest_pdv))

    def passed(self, received: int, held: int, state: tuple[int, int, int, bool], over: bool) -> None:
        """Fragments went by: so many bytes were received, those at the front of the block are left; ``over``: the last
        fragment is through."""
        self.offset += self.stop + received - held
        self.start, self.stop = 0, held
        self._context_id, self.pdu_rest, self.pdv_rest, last = state
        self._flags = 2 if last else 0
        self._run = None if over or (last and self.pdv_rest) else self._context_id << 1

    def discard(self) -> None:
        self.start = self.stop
        self._need = 0

    def at_pdu(self) -> bool:
        """Whether a PDU begins here; first lets one go by that is passed over."""
        passed = min(self._skip, self.stop - self.start)
        self._skip -= passed
        self.start += passed
        return self.start < self.stop

    def header(self) -> tuple[int, int | None]:
        """Type of the PDU that begins here, and its length as soon as that is known."""
        if self.stop - self.start < 6:
            return self._block[self.start], None
        kind, length = _PDU.unpack_from(self._block, self.start)
        return int(kind), int(length)

    def pass_over(self, length: int) -> None:
        """Do not read the PDU whose header is next."""
        self.start += 6
        self._skip = length

    def gather(self, length: int) -> bytes | None:
        """The variable field of the PDU whose header is next, once it is there."""
        end = self.start + 6 + length
        if end > self.stop:
            self._need = 6 + length
            return None
        body = bytes(self._view[self.start + 6 : end])
        self._need = 0
        self._size = min(self._size, self._largest)
        self.start = end
        return body

    def offer(self, reader: Reader) -> bool:
        """Let somebody take what begins here, unless a PDU, command or data set is half here; whether all is taken."""
        if self.pdu_rest or self.pdv_rest or self._skip or self._need or self._run is not None:
            return False
        self.start = reader(self._view, self.start, self.stop)
        return self.start == self.stop

    def data(self, contexts: Collection[int], limit: int, events: list[Any]) -> bool:
        """Turn P-DATA-TF into `Body` events until bytes run out (False) or a PDU of another type begins (True).

        Raises `RemoteProtocolError` for a length that does not fit, a context id not agreed, or fragments interleaved.
        """
        block, view = self._block, self._view
        start, stop = self.start, self.stop
        pdu_rest, pdv_rest = self.pdu_rest, self.pdv_rest
        context_id, flags, run = self._context_id, self._flags, self._run
        append, new, longest = events.append, tuple.__new__, self.longest_pdv
        try:
            while True:
                if pdv_rest:
                    end = start + pdv_rest
                    if end > stop:
                        if start < stop:
                            append(new(Body, (context_id, flags & 1 == 1, False, view[start:stop])))
                            pdv_rest -= stop - start
                            pdu_rest -= stop - start
                            start = stop
                        return False
                    append(new(Body, (context_id, flags & 1 == 1, flags & 2 == 2, view[start:end])))
                    pdu_rest -= pdv_rest
                    pdv_rest = 0
                    start = end
                if pdu_rest:
                    if stop - start < 6:
                        if pdu_rest < 6:
                            raise self._bad("a PDV without its header", start)
                        return False
                    length, context_id, flags = _PDV.unpack_from(block, start)
                    start += 6
                else:
                    if stop - start < 12:  # nothing is lost: a P-DATA-TF is never shorter
                        if stop == start or block[start] != 4:
                            return stop > start
                        if stop - start >= 6 and not 6 <= _PDU.unpack_from(block, start)[1] <= limit:
                            raise self._bad("a P-DATA-TF of impossible length", start)
                        return False
                    kind, pdu_rest, length, context_id, flags = _BOTH.unpack_from(block, start)
                    if kind != 4:
                        pdu_rest = 0
                        return True
                    if not 6 <= pdu_rest <= limit:
                        over = f", over Limits.received_pdu_length ({limit})" if pdu_rest > limit else ""
                        raise self._bad(f"a P-DATA-TF of length {pdu_rest}{over}", start)
                    start += 12
                pdu_rest -= 6
                pdv_rest = length - 2
                if not 0 <= pdv_rest <= pdu_rest:
                    raise self._bad(f"a PDV of length {length} where {pdu_rest + 2} bytes are left", start - 6)
                if pdv_rest > longest:
                    raise self._bad(
                        f"a PDV of {pdv_rest} bytes, over Limits.received_pdv_length ({longest})", start - 6
                    )
                if context_id not in contexts:
                    raise self._bad(f"presentation context {context_id} was not agreed", start - 2)
                key = context_id << 1 | flags & 1
                if run is not None and run != key:
                    raise self._bad("fragments of two messages are interleaved", start - 2)
                run = None if flags & 2 else key
                if not pdv_rest and flags & 2:
                    append(new(Body, (context_id, flags & 1 == 1, True, view[start:start])))
        finally:
            self.start = start
            self.pdu_rest, self.pdv_rest = pdu_rest, pdv_rest
            self._context_id, self._flags, self._run = context_id, flags, run

    def _bad(self, what: str, position: int) -> RemoteProtocolError:
        return fault(what, INVALID, "PS3.8 9.3.5", self.offset + position)
