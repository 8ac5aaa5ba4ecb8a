"""Many C-STOREs on one association: files prepared ahead by a worker, as many requests under way as are wanted."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from dicomcore.encoding.source import FileSlice
from dicomcore.errors import AssociationAborted, DicomError
from dicomcore.net.aio.link import Asked, UserLink
from dicomcore.net.association import Storable, StoreResult
from dicomcore.services.base import Invoke
from dicomcore.services.sending import Several, StorageSCU, let_go

if TYPE_CHECKING:
    from typing import Self

__all__ = ["StoreMany"]

AHEAD = 8  # files that are open or in memory and not sent yet
HELD = 4 << 20  # bytes of bodies in memory after which no more are prepared


class _Prepared(NamedTuple):
    """An instance with its request, or with the error for which there is none."""

    source: Storable
    invoke: Invoke | None
    error: Exception | None

    @property
    def body(self) -> Any:
        """What it may hold open."""
        return None if self.invoke is None else self.invoke.body


class StoreMany:
    """Results in the order in which they are known; to be iterated over once, by one task."""

    def __init__(self, link: UserLink, storage: StorageSCU, sources: Iterable[Storable], window: int) -> None:
        self._link = link
        self._storage = storage
        self._sources = sources
        self._waiting: Several | None = None
        self._window = max(1, min(window, link.exchange.window))
        self._ready: deque[_Prepared] = deque()
        self._under_way: dict[Asked, _Prepared] = {}
        self._answered: deque[Asked] = deque()
        self._ahead = 1
        self._exhausted = False
        self._closed = False
        self._preparing: asyncio.Future[bool] | None = None
        self._future: asyncio.Future[None] | None = None  # of who waits for the next result

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StoreResult:
        link = self._link
        try:
            while True:
                if link.over is not None and not self._answered:
                    raise link.why_over()
                self._collect()
                failed = self._send()
                if failed is not None:
                    return StoreResult(failed.source, None, failed.error)
                if self._answered:
                    return self._result(self._answered.popleft())
                if self._exhausted and not (self._ready or self._under_way or self._preparing):
                    if self._waiting is not None:
                        self._waiting.finish()
                    raise StopAsyncIteration
                if self._ready and not self._under_way:
                    await link.turn()  # others have the window
                    continue
                self._future = link.loop.create_future()
                try:
                    await self._future
                finally:
                    self._future = None
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and self._under_way:
                link.break_off(AssociationAborted("an operation was broken off", answer=(0, 0)))
                link.work()
            self.close()
            raise

    def _on_prepared(self, prepared: asyncio.Future[bool]) -> None:
        if self._closed:  # nobody waits for it any more
            prepared.exception()
            self.close()
        self._notify()

    def _notify(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def _send(self) -> _Prepared | None:
        """Send what may be sent; an instance that cannot be."""
        link, ready = self._link, self._ready
        failed = None
        while ready and failed is None and link.over is None:
            if ready[0].invoke is None:
                failed = ready.popleft()
            elif len(self._under_way) < self._window and link.free > 0:
                prepared = ready.popleft()
                assert prepared.invoke is not None
                body = prepared.invoke.body
                asked = link.ask(prepared.invoke, body if isinstance(body, FileSlice) else None)
                self._under_way[asked] = prepared
                asked.notify = lambda asked=asked: self._on_answer(asked)
            else:
                break
        if len(ready) < self._ahead and not self._exhausted and self._preparing is None:
            self._preparing = link.workers.run(self._prepare, self._ahead)
            self._preparing.add_done_callback(self._on_prepared)
            self._ahead = min(2 * self._ahead, AHEAD)
        return failed

    def _on_answer(self, asked: Asked) -> None:
        if asked.done:
            self._answered.append(asked)
            asked.notify = None
        self._notify()

    def _result(self, asked: Asked) -> StoreResult:
        prepared = self._under_way.pop(asked)
        self._link.let_go(asked.user)
        return StoreResult(prepared.source, asked.answers.popleft().status)

    def _collect(self) -> None:
        """What a worker has prepared; its exception says that there is nothing to iterate over."""
        if self._preparing is not None and self._preparing.done():
            done, self._preparing = self._preparing, None
            self._exhausted = True  # unless that went well
            self._exhausted = done.result()

    def _prepare(self, count: int) -> bool:
        """Open or encode the next instances; True when there are no more. In a worker."""
        if self._waiting is None:
            self._waiting = Several(self._sources)
        held = 0
        for _ in range(count):
            if self._closed:
                break
            try:
                source = next(self._waiting)
            except StopIteration:
                return True
            try:
                invoke = self._storage.prepare(source)
                if not isinstance(invoke.body, FileSlice):
                    held += sum(map(len, invoke.body)) if isinstance(invoke.body, list) else len(invoke.body)
                self._ready.append(_Prepared(source, invoke, None))
            except (DicomError, OSError) as error:
                self._ready.append(_Prepared(source, None, error))
            if held > HELD:
                break
        return False

    def close(self) -> None:
        """Send no more; what is under way is finished, and its results are dropped."""
        self._exhausted = self._closed = True
        for asked, prepared in self._under_way.items():
            asked.notify = None
            if asked.done:
                let_go(prepared.body)
            self._link.abandon(asked)
        self._under_way.clear()
        self._answered.clear()
        while self._ready:
            let_go(self._ready.popleft().body)

    async def aclose(self) -> None:
        """Send no more, and wait until what is under way has been answered."""
        under_way = list(self._under_way)
        self.close()
        await self._link.until(lambda: all(asked.done for asked in under_way))

    def __del__(self) -> None:
        if self._under_way and not self._link.loop.is_closed():
            self._link.workers.post(_abandon, self._link, list(self._under_way))


def _abandon(link: UserLink, under_way: list[Asked]) -> None:
    for asked in under_way:
        link.abandon(asked)
