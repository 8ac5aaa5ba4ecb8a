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
    timer: list[Any] | None


class Timers:
    """Two heaps, of rows [moment, serial number, connection or work]; a row without one is ignored."""

    def __init__(self) -> None:
        self._serial = count()
        self._connections: list[list[Any]] = []
        self._gone = 0  # rows whose connection has ended or has another row
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
            self.forget(connection)
            connection.timer_at = connection.deadline
            connection.timer = row = [connection.deadline, next(self._serial), connection]
            heapq.heappush(self._connections, row)

    def forget(self, connection: Timed) -> None:
        """It has ended: its row keeps it no longer."""
        if connection.timer is not None:
            row, connection.timer = connection.timer, None
            row[2] = None
            connection.timer_at = NEVER
            self._gone += 1

    def due(self, now: float) -> Iterator[Any]:
        """Connections whose entry is due; each has none then."""
        heap = self._connections
        while heap and heap[0][0] <= now:
            connection = heapq.heappop(heap)[2]
            if connection is None:
                self._gone -= 1
            else:
                connection.timer, connection.timer_at = None, NEVER
                yield connection
        if self._gone > len(heap) // 2 + 64:
            heap[:] = [row for row in heap if row[2] is not None]
            heapq.heapify(heap)
            self._gone = 0

    def put_off(self, moment: float, work: Callable[[], Any]) -> None:
        heapq.heappush(self._works, (moment, next(self._serial), work))

    def works(self, now: float) -> Iterator[Callable[[], Any]]:
        """Work that was put off until now."""
        while self._works and self._works[0][0] <= now:
            yield heapq.heappop(self._works)[2]

    def drop_works(self) -> None:
        self._works.clear()
