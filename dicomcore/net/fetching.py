"""How long a C-GET may take: its peer owes a response, and meanwhile stores here what was asked for (PS3.4 C.4.3).

Responses between sub-operations are optional, and one object may take longer than an answer may. So what is stored
counts as being heard of, from `Limits.message_rate` bytes a second on. Nothing else that a peer sends does.
"""

from __future__ import annotations

from dicomcore.net.operations import Operations

__all__ = ["Fetching"]


class Fetching:
    """What is stored on one association. ``rate``: bytes a second below which a peer dawdles."""

    __slots__ = ("_began", "_heard", "_length", "_operations", "_rate", "_turn")

    def __init__(self, operations: Operations, rate: float) -> None:
        self._operations = operations
        self._rate = rate
        self._turn = self._length = 0
        self._began = self._heard = 0.0

    def heard(self, now: float) -> float:
        """When a C-GET was heard of last by what it stores here; 0.0 when none is open, or has brought nothing yet."""
        operations = self._operations
        if not operations.exchange.fetching:
            return 0.0
        turn, length = operations.stores, operations.stored_length
        if turn != self._turn:
            self._turn, self._length, self._began = turn, length, now
            self._heard = now
        elif length != self._length:
            self._length = length
            self._heard = max(self._heard, min(now, self._began + length / self._rate))
        return self._heard
