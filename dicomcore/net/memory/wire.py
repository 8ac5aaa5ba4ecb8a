"""Simulated time, and wires on it: what a driver in memory has in place of a clock and of sockets.

A `Schedule` holds what is to happen, and jumps from one moment to the next; nothing waits. Whatever is left to chance
comes from its one seeded generator, so a seed is a run: the same events in the same order, every time.

A wire joins two `Plug`s, each with those methods of a non-blocking socket that the drivers use. It behaves as TCP does:
bytes arrive in order, after a while, in pieces that nobody chose; a peer that does not read stops its writer; who
closes with bytes unread resets the connection. How unkindly it does all this is said by its `Conduct`, and a test may
cut it at any byte.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from random import Random
from socket import SHUT_RD
from typing import Literal

from dicomcore.errors import LocalProtocolError

__all__ = ["DUTIFUL", "Conduct", "Plug", "Schedule", "Timer", "join"]

NEVER = float("inf")


class Timer:
    """Something that is to happen; `cancel` takes it back."""

    __slots__ = ("moment", "work")

    def __init__(self, moment: float, work: Callable[[], object]) -> None:
        self.moment = moment
        self.work: Callable[[], object] | None = work

    def cancel(self) -> None:
        self.work = None


class Schedule:
    """Simulated time in seconds, from 0. What is due at the same moment happens in an order left to chance."""

    def __init__(self, seed: int = 0) -> None:
        self.now = 0.0
        self.steps = 0  # events that have happened
        self.random = Random(seed)
        self._heap: list[tuple[float, float, int, Timer]] = []
        self._serial = count()

    def later(self, delay: float, work: Callable[[], object]) -> Timer:
        """Have ``work()`` done after so many seconds."""
        timer = Timer(self.now + delay, work)
        heapq.heappush(self._heap, (timer.moment, self.random.random(), next(self._serial), timer))
        return timer

    def between(self, limits: tuple[float, float]) -> float:
        """A time from this range, left to chance."""
        low, high = limits
        return low if low == high else low + (high - low) * self.random.random()

    def step(self) -> bool:
        """The next event; False when nothing more is to happen."""
        while self._heap:
            moment, _, _, timer = heapq.heappop(self._heap)
            work = timer.work
            if work is not None:
                self.now = moment
                self.steps += 1
                timer.work = None
                work()
                return True
        return False

    def run(self, until: Callable[[], bool] | None = None, *, within: float = NEVER) -> bool:
        """Let things happen until ``until()`` or, without it, until nothing is left: True; False when ``within``
        seconds of simulated time were not enough, or nothing was left before it was so."""
        end = self.now + within
        while until is None or not until():
            while self._heap and self._heap[0][3].work is None:
                heapq.heappop(self._heap)
            if not self._heap:
                return until is None
            if self._heap[0][0] > end:
                return False
            self.step()
        return True


@dataclass(frozen=True, slots=True)
class Conduct:
    """How a wire behaves; ranges are left to chance, times are seconds, lengths are bytes."""

    delay: tuple[float, float] = (0.0002, 0.0002)  # of what is sent
    read: tuple[int, int] = (1 << 30, 1 << 30)  # how much one read takes at most
    write: tuple[int, int] = (1 << 30, 1 << 30)  # how much one write takes at most
    capacity: int = 1 << 18  # what may be under way or unread in one direction
    stall: tuple[float, float] = (0.0, 0.0)
    stalls: float = 0.0  # how likely it is that a piece is held up by ``stall``


DUTIFUL = Conduct()


class Plug:
    """One end of a wire. ``wake()`` is called when reading, writing or the end of the connection is worth a look."""

    def __init__(self, schedule: Schedule, conduct: Conduct, number: int) -> None:
        self.wake: Callable[[], None] = _nothing
        self.tap: Callable[[bytes], None] | None = None  # is shown all that is sent
        self.sent = 0
        self.closed = False
        self.peer: Plug = self
        self._schedule = schedule
        self._conduct = conduct
        self._number = number
        self._arrived = bytearray()
        self._flying: deque[bytes] = deque()  # to the peer; an empty piece is the end
        self._flying_length = 0
        self._ended = False  # the peer's end has arrived
        self._reset = False
        self._shut = False  # our end is on its way
        self._lost = False  # nothing comes through any more
        self.was_cut = False
        self._cut_at: int | None = None
        self._cut_how: Literal["reset", "end", "silence"] = "reset"

    def fileno(self) -> int:
        return -1 if self.closed else self._number

    @property
    def readable(self) -> bool:
        """A read would not block."""
        return self._reset or self._ended or bool(self._arrived)

    @property
    def writable(self) -> bool:
        """A write would not block."""
        return self._reset or self._shut or self._conduct.capacity > self._flying_length + len(self.peer._arrived)

    @property
    def broken(self) -> bool:
        """There is nothing more to it in either direction."""
        return self._reset or (self._ended and self._shut)

    def cut(self, position: int, how: Literal["reset", "end", "silence"] = "reset") -> None:
        """Break the connection when this many bytes have been sent from here: by a reset for both, by the end of this
        direction only, or by losing everything from then on, in both directions, without a word."""
        self._cut_at, self._cut_how = position, how
        if self.sent >= position:
            self._break()

    # what drivers use

    def recv_into(self, view: memoryview) -> int:
        data = self.recv(len(view))
        view[: len(data)] = data
        return len(data)

    def recv(self, size: int) -> bytes:
        """BlockingIOError when nothing is there, b"" at the end, ConnectionResetError when it broke."""
        self._check()
        if self._reset:
            raise ConnectionResetError("the wire is broken")
        if not self._arrived:
            if self._ended:
                return b""
            raise BlockingIOError
        low, high = self._conduct.read
        length = min(size, len(self._arrived), self._schedule.random.randint(low, high))
        data = bytes(memoryview(self._arrived)[:length])
        del self._arrived[:length]
        self.peer.wake()
        return data

    def send(self, data: bytes | memoryview) -> int:
        return self.sendmsg((data,))

    def sendmsg(self, views: Sequence[bytes | memoryview]) -> int:
        """How much of these was taken; BlockingIOError when nothing can be now."""
        self._check()
        if self._reset or self._shut:
            raise BrokenPipeError("the wire is broken")
        room = self._conduct.capacity - self._flying_length - len(self.peer._arrived)
        if room <= 0:
            raise BlockingIOError
        low, high = self._conduct.write
        room = min(room, self._schedule.random.randint(low, high))
        pieces = []
        for view in views:
            if room <= 0:
                break
            pieces.append(bytes(view[:room]))
            room -= len(pieces[-1])
        data = b"".join(pieces)
        if self._cut_at is not None and self.sent + len(data) >= self._cut_at:
            kept = data[: max(0, self._cut_at - self.sent)]
            self._fly(kept)
            self._break()
            return len(data)  # the system took it, and lost it
        self._fly(data)
        return len(data)

    def setsockopt(self, *option: int) -> None:
        """A wire has no options: nothing on it is held back."""

    def shutdown(self, how: int) -> None:
        """Say the end in this direction; what was sent before arrives first."""
        self._check()
        if self._reset:
            raise OSError("not connected")
        if how != SHUT_RD and not self._shut:
            self._shut = True
            self._fly(b"")

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self.wake = _nothing
        if self._arrived and not self._lost:
            self._break_with_reset()
        elif not self._shut and not self._reset:
            self._shut = True
            self._fly(b"")

    # motion

    def _check(self) -> None:
        if self.closed:
            raise OSError("the plug is closed")

    def _fly(self, data: bytes) -> None:
        if data:
            self.sent += len(data)
            if self.tap is not None:
                self.tap(data)
        if self._lost or not (data or self._shut):
            return
        self._flying.append(data)
        self._flying_length += len(data)
        schedule, conduct = self._schedule, self._conduct
        delay = schedule.between(conduct.delay)
        if conduct.stalls and schedule.random.random() < conduct.stalls:
            delay += schedule.between(conduct.stall)
        schedule.later(delay, self._deliver)

    def _deliver(self) -> None:
        if not self._flying:
            return
        data = self._flying.popleft()
        self._flying_length -= len(data)
        peer = self.peer
        if not data:
            peer._ended = True
        elif peer.closed:
            self._break_with_reset()
        else:
            peer._arrived += data
        peer.wake()
        self.wake()

    def _break(self) -> None:
        self._cut_at = None
        self.was_cut = True
        how = self._cut_how
        if how == "reset":
            self._break_with_reset()
        elif how == "end":
            self._shut = True
            self._fly(b"")
        else:
            for plug in (self, self.peer):
                plug._lost = True
                plug._flying.clear()
                plug._flying_length = plug._conduct.capacity  # what is written only fills the system's buffer

    def _break_with_reset(self) -> None:
        for plug in (self, self.peer):
            plug._reset = True
            plug._flying.clear()
            plug._arrived.clear()
            plug._schedule.later(0.0, plug._rouse)

    def _rouse(self) -> None:
        self.wake()


def join(schedule: Schedule, one: Conduct, other: Conduct, number: int = 1) -> tuple[Plug, Plug]:
    """Two plugs of one wire, each with its own conduct for what it reads and writes; ``number`` is the first's."""
    if one.capacity < 1 or other.capacity < 1:
        raise LocalProtocolError("a wire without capacity carries nothing")
    first, second = Plug(schedule, one, number), Plug(schedule, other, number + 1)
    first.peer, second.peer = second, first
    return first, second


def _nothing() -> None:
    pass
