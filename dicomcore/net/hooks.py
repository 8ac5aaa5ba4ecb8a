"""Telling a function of the caller what happens.

A hook hears of events in their order, one at a time, with no lock held: on a worker of a server or of an event loop,
between the calls of a blocking association. What it raises is logged, and that is all. One that is too slow misses
events; `Metrics.events_dropped` counts them.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Final

from dicomcore.errors import LocalProtocolError
from dicomcore.net.events import Event

__all__ = ["Hooks"]

ROOM: Final = 10_000  # events that may wait for a slow hook

log = logging.getLogger("dicomcore.net")


class Hooks:
    """A caller's function, and the events that it has not heard of.

    ``run(work)`` has a thread do it; without one, who drives the association calls `deliver` where that is safe.
    """

    def __init__(self, on_event: Callable[[Event], object], run: Callable[[Callable[[], None]], object] | None = None):
        if iscoroutinefunction(on_event) or not callable(on_event):
            what = "a coroutine function" if callable(on_event) else "no function"
            raise LocalProtocolError(f"{on_event!r} is {what}", hint="a hook is a plain function")
        self.dropped = 0
        self._on_event = on_event
        self._run = run
        self._events: deque[Event] = deque()
        self._lock = threading.Lock()
        self._busy = False  # some thread delivers, or is about to

    def put(self, event: Event) -> None:
        """From any thread, with any lock held."""
        with self._lock:
            if len(self._events) >= ROOM:
                self.dropped += 1
                return
            self._events.append(event)
            if self._run is None or self._busy:
                return
            self._busy = True
        self._run(self._deliver)

    def deliver(self) -> None:
        """Deliver what waits, here and now, unless another thread, or a caller of ours, is at it."""
        with self._lock:
            if self._busy or not self._events:
                return
            self._busy = True
        self._deliver()

    def _deliver(self) -> None:
        while True:
            with self._lock:
                if not self._events:
                    self._busy = False
                    return
                event = self._events.popleft()
            try:
                self._on_event(event)
            except BaseException as error:
                if self._run is None and not isinstance(error, Exception):  # Ctrl-C, in the thread of the caller
                    with self._lock:
                        self._busy = False
                    raise
                name, extra = type(event).__name__, {"association": event.association}
                log.exception("a hook failed for %s", name, extra=extra)
