"""Two upper-layer cores, each with its exchange, joined by a wire in memory that splits what it carries."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Any, NamedTuple

from dicomcore.dimse.exchange import Exchange, Fragment
from dicomcore.limits import DEFAULT_LIMITS, Limits
from dicomcore.ul import (
    Accept,
    Acceptance,
    Associate,
    Association,
    AssociationRequested,
    AsyncWindow,
    Body,
    Slice,
    propose,
)

VERIFICATION = "1.2.840.10008.1.1"
RT_PLAN = "1.2.840.10008.5.1.4.1.1.481.5"
STUDY_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
IMPLICIT = "1.2.840.10008.1.2"


class Held(NamedTuple):
    """A fragment whose bytes were copied, so that it can be compared later."""

    context_id: int
    data: bytes
    last: bool


class Side:
    def __init__(self, core: Association, limits: Limits) -> None:
        self.core = core
        self.exchange = Exchange(core, limits)
        self.messages: list[Any] = []

    def digest(self) -> None:
        for event in self.core.events():
            if isinstance(event, AssociationRequested):
                self.core.request(Accept())
            elif isinstance(event, Body):
                for message in self.exchange.receive(event):
                    if isinstance(message, Fragment):
                        self.messages.append(Held(message.context_id, bytes(message.view), message.last))
                    else:
                        self.messages.append(message)

    def take(self) -> list[Any]:
        messages, self.messages = self.messages, []
        return messages


class Wire:
    """``splits``: after how many bytes the wire cuts, over and over; ``pdu_length`` bounds both directions."""

    def __init__(
        self,
        *,
        splits: tuple[int, ...] = (1 << 20,),
        pdu_length: int = 16384,
        window: tuple[int, int] | None = None,
        limits: Limits = DEFAULT_LIMITS,
        contexts: tuple[str, ...] = (VERIFICATION, RT_PLAN, STUDY_FIND),
    ) -> None:
        agreed = AsyncWindow(*window) if window else AsyncWindow()
        acceptance = Acceptance(
            supported=dict.fromkeys(contexts, (IMPLICIT,)), max_pdu_length=pdu_length, window=agreed
        )
        self.splits: Iterator[int] = cycle(splits)
        self.user = Side(Association(requestor=True, limits=limits), limits)
        self.provider = Side(Association(requestor=False, acceptance=acceptance, limits=limits), limits)
        request = propose(
            [(uid, (IMPLICIT,)) for uid in contexts],
            calling_ae="USER",
            called_ae="PROVIDER",
            max_pdu_length=pdu_length,
            window=AsyncWindow(*window) if window else None,
        )
        self.user.core.request(Associate(request))
        self.user.core.connected()
        self.provider.core.connected()
        self.run()
        assert self.user.core.established
        assert self.provider.core.established

    def run(self) -> None:
        """Carry everything both ways until nothing moves."""
        moved = True
        while moved:
            moved = False
            for source, target in ((self.user, self.provider), (self.provider, self.user)):
                source.digest()
                while source.core.wants_write:
                    moved = True
                    self._carry(b"".join(map(_bytes, source.core.segments())), target)
                target.digest()

    def _carry(self, data: bytes, target: Side) -> None:
        position = 0
        while position < len(data):
            view = target.core.buffer()
            count = min(next(self.splits), len(view), len(data) - position)
            view[:count] = data[position : position + count]
            target.core.received(count)
            target.digest()
            position += count


def _bytes(segment: Any) -> bytes:
    if isinstance(segment, Slice):
        payload: Any = segment.payload
        return bytes(payload.read(segment.start, segment.stop))
    return bytes(segment)
