"""The requestor's end of an association in an event loop: what was asked, who waits for answers or for a turn."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from dicomcore.dimse.command import CommandField
from dicomcore.errors import AssociationAborted, DicomError, LimitExceeded, PeerTimeout
from dicomcore.net.aio.connection import NEVER, Link
from dicomcore.net.connection import UserConnection
from dicomcore.net.fetching import Fetching
from dicomcore.services.base import Answer, Invoke, User
from dicomcore.vocab.status import StatusCategory, category

__all__ = ["Asked", "UserLink", "let_go", "step"]

LAGGING = 256  # answers not fetched yet after which no more are read
ANSWER_COST = 1024  # bytes that an answer costs beyond its body, about
_MANY_ANSWERS = frozenset({CommandField.C_FIND_RSP, CommandField.C_GET_RSP, CommandField.C_MOVE_RSP})


class Asked:
    """A request on its way, and the answers to it that nobody has fetched."""

    __slots__ = ("abandoned", "answers", "context_id", "done", "field", "held", "message_id", "notify", "since", "user")

    def __init__(self, message_id: int, invoke: Invoke) -> None:
        self.message_id = message_id
        self.context_id = invoke.context_id
        self.field = invoke.command.field
        self.answers: deque[Answer] = deque()
        self.done = False  # the last answer is here
        self.abandoned = False  # nobody wants the answers
        self.since = NEVER  # when the peer was last heard of it, or when it had left
        self.held = 0  # bytes that the answers cost
        self.notify: Callable[[], None] | None = None
        self.user: Any = None  # holds open what is being sent


class UserLink(Link, UserConnection):
    """The requestor's end."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.asked: dict[int, Asked] = {}
        self.changed: list[Callable[[], None]] = []  # called whenever something has happened
        self._sent: list[Asked] = []  # whose bytes have not all left
        self._queue: deque[asyncio.Future[None]] = deque()  # who waits for a turn
        self._left: list[Any] = []  # users to be closed
        self._waiting = 0  # who waits for an answer
        self._fetching = Fetching(self.operations, self.limits.message_rate)
        self.cipher: tuple[str, str] | None = None  # of TLS: its version, and the suite

    def connected(self) -> None:
        if (secure := cast(asyncio.Transport, self.transport).get_extra_info("ssl_object")) is not None:
            self.cipher = secure.version() or "", (secure.cipher() or ("",))[0]
        super().connected()

    # what happens

    def settle(self) -> None:
        if self.asked and self.exchange.fetching:
            heard = self._fetching.heard(self.loop.time())
            for one in self.asked.values():
                if one.field == CommandField.C_GET_RQ and not one.abandoned and one.since < heard:
                    one.since = heard
        answers = self.operations.answers
        while answers:
            message_id, received = answers.popitem()
            asked = self.asked.get(message_id)
            if asked is None:
                continue
            asked.since = self.received_at
            for answer in received:
                asked.done = asked.field | 0x8000 not in _MANY_ANSWERS or not _is_pending(answer.status)
                if not asked.abandoned:
                    asked.answers.append(answer)
                    asked.held += ANSWER_COST + len(answer.body or b"")
            if asked.done:
                del self.asked[message_id]
                if asked.abandoned:
                    self.let_go(asked.user)
            elif asked.held > self.limits.memory_object and self.over is None:
                self.break_off(LimitExceeded("answers are not fetched", answer=(0, 0)))
            if asked.notify is not None:
                asked.notify()
        if self.over is not None:
            for asked in list(self.asked.values()):
                if asked.notify is not None:
                    asked.notify()
                self.let_go(asked.user)
            self.asked.clear()
        if self._left and not self.outbox.reading:
            for user in self._left:
                let_go(user)
            self._left.clear()
        self._admit()
        for action in self.changed:
            action()

    def flush(self) -> bool:
        written = super().flush()
        if self._sent and self.outbox.empty:
            now = self.loop.time()
            for asked in self._sent:
                asked.since = now
            self._sent.clear()
        return written

    @property
    def lagging(self) -> bool:
        return not (self._waiting or self._queue) and any(
            len(asked.answers) >= LAGGING for asked in self.asked.values()
        )

    def patience(self) -> float:
        if not self.outbox.empty:
            return self.sent_at + self.limits.network_timeout
        if not self._hears or not self.asked or (self.performers and self.exchange.fetching):
            return NEVER  # the peer waits for us
        return min(asked.since for asked in self.asked.values()) + self.limits.dimse_timeout

    def impatient(self) -> None:
        what = "did not answer" if self.outbox.empty else "took no more data"
        self.break_off(PeerTimeout(f"the peer {what} in time", answer=(0, 0)))

    def let_go(self, user: Any) -> None:
        """Close a user; once nothing is read any more from what it holds open."""
        if user is None:
            return
        if self.outbox.reading:
            self._left.append(user)
        else:
            let_go(user)

    # asking

    @property
    def free(self) -> int:
        """How many requests may be sent now."""
        return self.exchange.window - len(self.exchange.invoked)

    async def turn(self) -> None:
        """Wait until a request may be sent."""
        again = False
        while self.over is None and (self.free <= 0 or (self._queue and not again)):
            future = self.loop.create_future()
            if again:
                self._queue.appendleft(future)
            else:
                self._queue.append(future)
            self._listen()
            try:
                await future
            except BaseException:
                if future in self._queue:
                    self._queue.remove(future)
                else:
                    self._admit()  # it was our turn: the next one's now
                raise
            again = True

    def _admit(self) -> None:
        free = len(self._queue) if self.over is not None else self.free
        while free > 0 and self._queue:
            future = self._queue.popleft()
            if not future.done():
                future.set_result(None)
                free -= 1

    def ask(self, invoke: Invoke, user: Any = None) -> Asked:
        """Send a request; the window has room."""
        if self.outbox.empty:
            self.sent_at = self.loop.time()
        with self.lock:
            message_id = self.exchange.request(invoke.context_id, invoke.command, invoke.body)
        asked = Asked(message_id, invoke)
        asked.user = user
        self.asked[message_id] = asked
        self._sent.append(asked)
        self.work()
        return asked

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that happened has made it true, or all is over."""
        future: asyncio.Future[None] | None = None

        def look() -> None:
            if future is not None and not future.done() and (condition() or self.over is not None):
                future.set_result(None)

        self.changed.append(look)
        self._waiting += 1
        try:
            while not (condition() or self.over is not None):
                future = self.loop.create_future()
                self._listen()
                await future
        finally:
            self._waiting -= 1
            self.changed.remove(look)

    async def answer(self, asked: Asked) -> Answer:
        """The next answer to a request."""
        if not asked.answers and self.over is None:
            future = self.loop.create_future()

            def notify() -> None:
                if not future.done():
                    future.set_result(None)

            asked.notify = notify
            self._waiting += 1
            self._listen()
            try:
                await future
            finally:
                asked.notify = None
                self._waiting -= 1
        if not asked.answers:
            raise self.why_over()
        answer = asked.answers.popleft()
        asked.held -= ANSWER_COST + len(answer.body or b"")
        if not self._hears:
            self._listen()
        return answer

    def abandon(self, asked: Asked) -> None:
        """Nobody fetches its answers any more; a C-FIND, C-GET or C-MOVE is cancelled."""
        if asked.done or asked.abandoned:
            return
        asked.abandoned = True
        asked.answers.clear()
        if self.over is None:
            if asked.field | 0x8000 in _MANY_ANSWERS:
                with self.lock:
                    self.exchange.cancel(asked.context_id, asked.message_id)
            asked.since = self.loop.time()
            self.work()

    def why_over(self) -> DicomError:
        over = self.over
        assert over is not None
        if isinstance(over, AssociationAborted):
            return type(over)(f"{self.peer}: {over.message}", clause=over.clause, answer=over.answer)
        return over

    peer = ""

    async def gone(self) -> None:
        """Wait until the transport is gone; when that is cancelled it goes at once."""
        try:
            await asyncio.shield(self.lost)
        except BaseException:
            if self.transport is not None:
                self.transport.abort()
            raise


def step(user: User, answer: Answer | None) -> tuple[bool, Any]:
    """Whether a user has ended, and what it yielded or returned."""
    try:
        return False, next(user) if answer is None else user.send(answer)
    except StopIteration as stop:
        return True, stop.value


def _is_pending(status: int) -> bool:
    return category(status) is StatusCategory.PENDING


def let_go(user: Any) -> None:
    with suppress(ValueError):  # a worker is still in it; it lets go when that is done
        if user is not None:
            user.close()
