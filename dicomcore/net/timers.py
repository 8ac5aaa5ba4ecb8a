"""When connections are to be looked after, and work that was put off. For one thread; time is an argument.

A connection has one entry, moved lazily: traffic, which moves deadlines on, never touches the heap.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, Protocol

__all__ = ["NEVER", "Timers"]

NEVER = float("inf")


class Timed(Protocol):
    """A connection: when it is to be looked after, and when its entry is due."""

    deadline: float
    timer_at: float


class Timers:
    """Two heaps. ``alive(connection)``: whether it is still open; ``count()``: how many are."""

    def __init__(self, alive: Callable[[Any], bool], open_count: Callable[[], int]) -> None:
        self._alive = alive
        self._open_count = open_count
        self._serial = count()
        self._connections: list[tuple[float, int, Any]] = []
        self._works: list[tuple[float, int, Callable[[], Any]]] = []

    @property
    def next(self) -> float:
        """When the first is due."""
        return min((heap[0][0] for heap in (self._connections, self._works) if heap), default=NEVER)

    @property
    def work_count(self) -> int:
        return len(self._works)

    def __len__(self) -> int:
        return len(self._connections)

    def schedule(self, connection: Timed) -> None:
        """See that it is looked after at its deadline at the latest."""
        if connection.deadline < connection.timer_at:
            connection.timer_at = connection.deadline
            heapq.heappush(self._connections, (connection.deadline, next(self._serial), connection))

    def due(self, now: float) -> Iterator[Any]:
        """Connections whose entry is due; each has none then."""
        heap = self._connections
        while heap and heap[0][0] <= now:
            moment, _, connection = heapq.heappop(heap)
            if moment == connection.timer_at and self._alive(connection):
                connection.timer_at = NEVER
                yield connection
        if len(heap) > 2 * self._open_count() + 64:  # what the entries of ended connections keep alive
            heap[:] = [row for row in heap if row[0] == row[2].timer_at and self._alive(row[2])]
            heapq.heapify(heap)

    def put_off(self, moment: float, work: Callable[[], Any]) -> None:
        heapq.heappush(self._works, (moment, next(self._serial), work))

    def works(self, now: float) -> Iterator[Callable[[], Any]]:
        """Work that was put off until now."""
        while self._works and self._works[0][0] <= now:
            yield heapq.heappop(self._works)[2]

    def drop_works(self) -> None:
        self._works.clear()
