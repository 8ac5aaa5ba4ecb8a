"""The asyncio server: every association in one event loop, what may take time on a bounded number of workers.

The bounds are those of the blocking server: handshakes end within ARTIM (PS3.8 9.1.5), associations beyond
`Limits.association_count` are refused with "local limit exceeded" (PS3.8 Table 9-21), and when connections that are no
associations yet pile up, no more are accepted until some have ended.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final

from dicomcore.errors import (
    LimitExceeded,
    LocalProtocolError,
)
from dicomcore.limits import Limits
from dicomcore.net.admission import Admission
from dicomcore.net.aio.effects import close_channels, outcome
from dicomcore.net.aio.provider import ServedLink
from dicomcore.net.aio.securing import Securing, is_late, secured
from dicomcore.net.aio.workers import Workers
from dicomcore.net.budget import Budget
from dicomcore.net.deciding import has_room, reply, undecided
from dicomcore.net.door import HANDSHAKES, REST
from dicomcore.net.events import Event as WatchEvent
from dicomcore.net.handshakes import tell_failure, took_too_long
from dicomcore.net.metrics import Metrics
from dicomcore.net.poller import Facilities
from dicomcore.net.server import LONG_REQUESTS
from dicomcore.net.tls import SecuritySettings
from dicomcore.net.transport import listen, tune
from dicomcore.net.watch import Log, ServerWatch
from dicomcore.services.base import Call, Router, ServiceProvider, is_coroutine_function
from dicomcore.ul import (
    Accept,
    Acceptance,
    Answers,
    Association,
    AssociationRequested,
    Decision,
    Reject,
    decision,
)

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["Server"]

log = Log("net")

AT_ONCE: Final = 8  # connections taken in before others get a turn
ACCEPT: Final = Accept()


class Server:
    """Serves in the running loop from `start` on, until `close`. Leaving its ``async with`` block closes it."""

    host: str
    port: int

    def __init__(
        self,
        services: Iterable[ServiceProvider],
        acceptance: Acceptance,
        *,
        workers: int,
        limits: Limits,
        facilities: Facilities,
        associate: Callable[..., Any],
        authorize: Callable[[AssociationRequested], Any] | None = None,
        security: SecuritySettings | None = None,
        on_event: Callable[[WatchEvent], object] | None = None,
    ) -> None:
        if authorize is not None and not callable(authorize):
            raise LocalProtocolError(f"authorize={authorize!r} is no function")
        self._watch = ServerWatch(on_event, lambda work: self._workers.submit(work))
        self._budget = budget = Budget(limits.memory_budget, limits.memory_object)
        self._watch.memory = lambda: (budget.used, budget.peak)
        self._router = Router(services)
        self._answers = Answers(acceptance, limits)
        self._limits = limits
        self._facilities = facilities
        self._associate = associate
        self._authorize = authorize
        self._security = security
        self._count = workers
        self._links: set[ServedLink] = set()
        self._long: set[ServedLink] = set()  # those whose requests are long
        self._flooded = False  # the last connection came too fast
        self._closing = False
        self._tasks: set[asyncio.Task[None]] = set()  # acceptors, connections being opened, work that was put off
        self._timers: set[asyncio.TimerHandle] = set()

    async def start(self, port: int, host: str) -> Self:
        """Listen, and accept from now on. OSError when the port cannot be had."""
        self._loop = asyncio.get_running_loop()
        self._admission = Admission(self._limits, self._loop.time())
        self._fewer = asyncio.Event()  # connections than before
        self._closed = asyncio.Event()
        listeners = listen(host, port)
        try:
            self._workers = Workers(self._loop, self._count, self._facilities)
        except BaseException:
            for sock in listeners:
                sock.close()
            raise
        self.host, self.port = listeners[0].getsockname()[:2]
        for sock in listeners:
            self._start(self._accept(sock)).add_done_callback(partial(_close, sock))
        return self

    def _start(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @property
    def association_count(self) -> int:
        """Associations that stand now."""
        return self._admission.association_count

    @property
    def connection_count(self) -> int:
        """Connections that are open now, those that are no associations yet included."""
        return len(self._links)

    @property
    def metrics(self) -> Metrics:
        """What it has done so far."""
        return self._watch.metrics()

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait until the server is closed (True) or `timeout` seconds have passed (False)."""
        try:
            async with asyncio.timeout(timeout):
                await self._closed.wait()
        except TimeoutError:
            return False
        return True

    async def close(self, grace: float = 5.0) -> None:
        """Stop accepting, let operations under way finish for `grace` seconds, abort the rest. Idempotent."""
        self._closing = True
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        mine = asyncio.current_task()
        for task in list(self._tasks):
            if task is not mine:
                task.cancel()
        try:
            for link in list(self._links):
                link.work()
            await self._ended(grace)
        finally:
            for link in list(self._links):
                link.close()
                link.work()
            await self._ended(2.0)
            for link in list(self._links):
                if link.transport is not None:
                    link.transport.abort()
                else:
                    link.sock.close()
            self._workers.close()
            self._watch.finish()
            self._closed.set()

    async def _ended(self, timeout: float) -> None:
        """Wait until no connection and no task is left that does not call this itself."""
        mine = asyncio.current_task()
        try:
            async with asyncio.timeout(timeout):
                while self._links and not all(mine in link._tasks for link in self._links):
                    self._fewer.clear()
                    await self._fewer.wait()
                if others := [task for task in self._tasks if task is not mine]:
                    await asyncio.wait(others)
        except TimeoutError:
            pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close(5.0 if kind is None else 0.0)

    # connections

    async def _accept(self, listener: socket.socket) -> None:
        full = self._limits.association_count + HANDSHAKES
        refused = False
        taken = 0
        while True:
            while len(self._links) >= full:
                self._fewer.clear()
                await self._fewer.wait()
            try:
                sock, peer = await self._next(listener)
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                continue
            except OSError as error:
                if not refused:
                    log.warning("no connection can be accepted now: %s", error)
                refused = True
                await asyncio.sleep(REST)
                continue
            refused = False
            self._welcome(sock, peer)
            taken += 1
            if not taken % AT_ONCE:
                await asyncio.sleep(0)  # others have their turn

    async def _next(self, listener: socket.socket) -> tuple[socket.socket, Any]:
        """The next connection. OSError as from ``accept``; BlockingIOError when there was none after all.

        Accepting itself is done here at once, so that no connection is lost with a task that is cancelled.
        """
        with suppress(BlockingIOError):
            return listener.accept()
        ready = self._loop.create_future()
        try:
            self._loop.add_reader(listener, lambda: None if ready.done() else ready.set_result(None))
        except NotImplementedError:  # a loop over completions
            return await self._loop.sock_accept(listener)
        try:
            await ready
        finally:
            self._loop.remove_reader(listener)
        return listener.accept()

    def _welcome(self, sock: socket.socket, peer: tuple[Any, ...]) -> None:
        if not self._admission.connect(peer[0], self._loop.time()):
            if not self._flooded:
                log.warning("too many connections at a time or a second, the last from %s: they are closed", peer[0])
            self._flooded = True
            sock.close()
            self._watch.refuse(peer)
            return
        self._flooded = False
        try:
            tune(sock, accepted=True)
        except OSError:
            sock.close()
            self._admission.leave(peer[0], associated=False)
            return
        core = Association(requestor=False, limits=self._limits, answers=self._answers)
        link = ServedLink(
            self,
            sock,
            core,
            self._limits,
            self._facilities,
            None,
            workers=self._workers,
            direct=self._security is None,
            associate=self._associate,
            later=self._later,
            watch=self._watch.open(peer),
        )
        link.peer = peer
        self._links.add(link)
        self._start(self._open(link)).add_done_callback(partial(_look_after, link))

    async def _open(self, link: ServedLink) -> None:
        securing: Securing | None = None
        options: dict[str, Any] = {}
        if self._security is not None:
            securing, options = secured(self._security, link.sock, self._limits.artim)
        try:
            await self._loop.connect_accepted_socket(lambda: link, link.sock, **options)
        except (OSError, asyncio.CancelledError) as error:  # a handshake that fails, or has no time any more
            try:
                if securing is not None and isinstance(error, OSError):
                    why = took_too_long(self._limits) if is_late(error) else error
                    tell_failure(why, link.watcher, heard=securing.heard)
                    await securing.part()
            finally:
                if securing is not None:
                    securing.close()
                await link.lose()
            if isinstance(error, asyncio.CancelledError):
                raise

    def _is_long(self, link: ServedLink) -> None:
        """A request that needs more memory than others; only a few are taken in at a time."""
        self._long.add(link)
        if len(self._long) > LONG_REQUESTS and link.transport is not None:
            extra = link.watcher.extra
            log.warning(
                "the request of %s is long, as are those of %s others", link.watcher.peer, LONG_REQUESTS, extra=extra
            )
            link.transport.abort()

    def _forget(self, link: ServedLink) -> None:
        """It is gone, and nothing is at work for it."""
        if link not in self._links:
            return
        self._links.discard(link)
        self._long.discard(link)
        self._admission.leave(link.peer[0], associated=link.established)
        self._fewer.set()

    def _decide(self, link: ServedLink, event: AssociationRequested) -> None:
        """An A-ASSOCIATE-RQ: answered as negotiation proposes, unless the caller is to be asked."""
        if (refusal := event.proposal.reject) is not None:
            self._answer(link, Reject(refusal.result, refusal.source, refusal.reason))
        elif self._authorize is None:
            self._answer(link, ACCEPT)
        else:
            link._start(self._judge(link, event, self._authorize))

    async def _judge(
        self, link: ServedLink, event: AssociationRequested, authorize: Callable[[AssociationRequested], Any]
    ) -> None:
        """Ask the caller; the core waits for that as long as `Limits.association_timeout`."""
        event = replace(event, peer=link.peer)
        try:
            if is_coroutine_function(authorize):
                outcome = await authorize(event)
            else:
                outcome = await self._workers.run(authorize, event)
                if isawaitable(outcome):
                    outcome = await outcome
            answer = decision(outcome)
        except (Exception, SystemExit) as error:
            answer = undecided(link, error)
        with link.lock:
            self._answer(link, answer)
            link._digest()
        link.work()

    def _answer(self, link: ServedLink, answer: Decision) -> None:
        """Accept or reject, unless the house is full or closing."""
        if reply(link, answer, self._has_room):
            self._long.discard(link)

    def _has_room(self, link: ServedLink) -> bool:
        link.established = has_room(link, self._admission, link.peer, self._closing)
        return link.established

    # work that was put off

    def _later(self, delay: float, work: Callable[[], Generator[Any, Any, None]]) -> None:
        """Do it after a while, unless the server closes first. LimitExceeded when too much is put off already."""
        if len(self._timers) >= self._limits.deferred_count:
            raise LimitExceeded("too much work is put off already, Limits.deferred_count", answer=0xA700)

        def begin() -> None:
            self._timers.discard(timer)
            self._start(self._run(work))

        timer = self._loop.call_later(delay, begin)
        self._timers.add(timer)

    async def _run(self, work: Callable[[], Generator[Any, Any, None]]) -> None:
        channels: list[Any] = []
        whole = False
        try:
            generator = await self._workers.run(work)
            value: Any = None
            failure: BaseException | None = None
            while True:
                over, effect = await self._workers.run(_step, generator, value, failure)
                if over:
                    whole = True
                    return
                value = failure = None
                try:
                    if type(effect) is Call and not is_coroutine_function(effect.fn):
                        value = await self._workers.run(effect.fn, *effect.args)
                    else:
                        value = await outcome(effect, channels, self._associate, self._later)
                except Exception as error:
                    failure = error
        except Exception as error:
            log.warning("work that was put off failed: %s", error, exc_info=error)
        finally:
            await close_channels(channels, abort=not whole)


def _close(listener: socket.socket, accepting: asyncio.Task[None]) -> None:
    """Not by the task itself: one that is cancelled before its first step does nothing at all."""
    listener.close()


def _look_after(link: ServedLink, opening: asyncio.Task[None]) -> None:
    """The same for a connection, which a task that has begun lets go of itself."""
    if opening.cancelled() and not link.lost.done():
        link.connection_lost(None)
        link.sock.close()


def _step(generator: Generator[Any, Any, None], value: Any, failure: BaseException | None) -> tuple[bool, Any]:
    """Whether it has ended, and the next effect."""
    try:
        return False, generator.send(value) if failure is None else generator.throw(failure)
    except StopIteration:
        return True, None
