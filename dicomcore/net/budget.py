"""One bound for the memory of all associations of a server: bytes that are held, not bytes that stream by.

An object that is received into memory asks before each piece. A part of the bound is a pool for all; room for two more
objects is kept apart. When the pool is used up, the two oldest objects that have bytes waiting go on in that room, so
that somebody always finishes, also when one of the two has a peer that stalls. Everybody else is told to wait, and
woken, the oldest first, when an object is done with.

A block to receive into is large only while the pool has room for it. What waits to be sent is there already when it is
counted, so it may go beyond the bound: while the bound is reached, no association that still has something to send
produces more. One whose peer has taken everything may always answer once, so nobody waits for a peer of another's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any

__all__ = ["Budget", "Share"]

_FAVOURED = 2  # objects that may always go on


class Budget:
    """``length`` bytes for all objects, each of which holds at most ``largest``. Thread-safe.

    At least one object may always go on, so that the bound is ``largest`` if ``length`` is less. ``wake(holder)`` is
    called without the lock held, from whichever thread gave memory back; by default it is the share's.
    """

    def __init__(
        self, length: int, largest: int, wake: Callable[[Any], None] = lambda claim: claim.share.wake()
    ) -> None:
        self.peak = 0
        self._length = length
        self._slots = _FAVOURED if length >= _FAVOURED * largest else 1
        self._pool = max(0, length - self._slots * largest)
        self._wake = wake
        self._lock = threading.Lock()
        self._held: dict[Hashable, int] = {}  # in the order in which they came
        self._waiting: dict[Hashable, int] = {}  # what they asked for
        self._favoured: set[Hashable] = set()
        self._pooled = 0  # bytes of those that are not favoured
        self._used = 0

    @property
    def used(self) -> int:
        """Bytes held now."""
        return self._used

    @property
    def full(self) -> bool:
        """All of it is used."""
        return self._used >= self._length

    @property
    def waiting(self) -> int:
        """Objects that wait now."""
        return len(self._waiting)

    def try_hold(self, holder: Hashable, length: int) -> bool:
        """Whether `holder` may hold so many bytes more. If not, it is woken when it is worth asking again."""
        with self._lock:
            self._held.setdefault(holder, 0)
            if holder not in self._favoured and self._pooled + length > self._pool:
                self._waiting[holder] = length
                self._favour()
                if holder not in self._favoured:
                    return False
            self._waiting.pop(holder, None)
            self._held[holder] += length
            self._used += length
            if holder not in self._favoured:
                self._pooled += length
            self.peak = max(self.peak, self._used)
            return True

    def hold(self, holder: Hashable, length: int, *, forced: bool) -> bool:
        """Whether `holder`, which asks for nothing else, holds just so many bytes from now on; ``forced``: it does."""
        with self._lock:
            more = length - self._held.get(holder, 0)
            if more > 0 and not forced and self._pooled + more > self._pool:
                return False
            self._held[holder] = length
            self._used += more
            self._pooled += more
            self.peak = max(self.peak, self._used)
            woken = self._served() if more < 0 else ()
        for other in woken:
            self._wake(other)
        return True

    def release(self, holder: Hashable) -> None:
        """The object is done with, or given up: everything that it held is free."""
        if holder not in self._held:
            return
        with self._lock:
            self._waiting.pop(holder, None)
            length = self._held.pop(holder, 0)
            self._used -= length
            if holder in self._favoured:
                self._favoured.discard(holder)
            else:
                self._pooled -= length
            woken = self._served()
        for other in woken:
            self._wake(other)

    def _served(self) -> list[Hashable]:
        """Those that need not wait any longer."""
        if not self._waiting:
            return []
        woken = self._favour()
        free = self._pool - self._pooled
        for other in self._held:
            if other in self._waiting and other not in self._favoured and self._waiting[other] <= free:
                free -= self._waiting[other]
                woken.append(other)
        return woken

    def _favour(self) -> list[Hashable]:
        """Fill the free slots with the oldest that wait; those."""
        chosen: list[Hashable] = []
        for other in self._held:
            if len(self._favoured) >= self._slots:
                break
            if other in self._waiting and other not in self._favoured:
                self._favoured.add(other)
                self._pooled -= self._held[other]
                chosen.append(other)
        return chosen


class Share:
    """What one association holds of a budget: objects, one of which is received at a time, its block, what it sends.

    ``ring()`` is called, from any thread, when an object that had to wait may ask again.
    """

    def __init__(self, budget: Budget, ring: Callable[[], None]) -> None:
        self._budget = budget
        self._ring = ring
        self._claims: dict[Hashable, _Claim] = {}
        self._block, self._queue = object(), object()  # holders that never wait
        self._gone = False
        self.waits = False  # an object waits for memory

    def try_write(self, holder: Hashable, sink: object, length: int) -> bool:
        """Whether `holder` may write so many bytes to its sink; one in memory says how many by ``needs_memory``."""
        needs = getattr(sink, "needs_memory", None)
        needed = needs(length) if needs is not None else 0
        if not needed:
            self.release(holder)  # it has moved to a file
            return True
        claim = self._claims.get(holder) or self._claims.setdefault(holder, _Claim(self))
        self.waits = True
        if self._budget.try_hold(claim, needed):
            self.waits = False
            return True
        return False

    def release(self, holder: Hashable) -> None:
        """The object is done with, or given up."""
        if (claim := self._claims.pop(holder, None)) is not None:
            self.waits = False
            self._budget.release(claim)

    @property
    def full(self) -> bool:
        """Everything is used, by whomever."""
        return self._budget.full

    def lend(self, length: int) -> bool:
        """Whether it may receive into a block of so many bytes; 0 gives it back."""
        return self._put(self._block, length, forced=False)

    def queue(self, length: int) -> None:
        """So many bytes wait to be sent now."""
        self._put(self._queue, length, forced=True)

    def _put(self, holder: object, length: int, *, forced: bool) -> bool:
        if length and not self._gone:
            return self._budget.hold(holder, length, forced=forced)
        self._budget.release(holder)
        return True

    def wake(self) -> None:
        self.waits = False
        self._ring()

    def detach(self) -> None:
        """The connection is closed: nobody is to be called any more, and nothing is sent or received."""
        self._gone = True
        self._ring = _nobody
        self._budget.release(self._block)
        self._budget.release(self._queue)


def _nobody() -> None:
    """The association is over."""


class _Claim:
    """One object of a share, as the budget knows it."""

    __slots__ = ("share",)

    def __init__(self, share: Share) -> None:
        self.share = share
