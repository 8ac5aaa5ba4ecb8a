"""What providers ask for on their own association: their requests, the answers, and the users that wait for these.

A request waits while the window is full; an answer goes to the operation whose user asked, one that no operation asked
for to whoever drives the association. The data set of a response is held in memory, `Limits.memory_object` at most.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from dicomcore.dimse.exchange import Exchange, ResponseReceived
from dicomcore.errors import LimitExceeded, LocalProtocolError
from dicomcore.limits import Limits
from dicomcore.net.operation import ANSWER, NOTHING, Operation
from dicomcore.services.base import Answer, More

__all__ = ["Asking"]


class Asking:
    """The requests of one association's providers: the part of `Operations` that acts as their user (PS3.7 7.1)."""

    def __init__(
        self,
        exchange: Exchange,
        limits: Limits,
        flush: Callable[[], bool],
        guard: AbstractContextManager[Any] | None,
    ) -> None:
        self.exchange = exchange
        self.answers: dict[int, list[Answer]] = {}  # to requests that no operation made, by their message id
        self.over = False
        self.roomless: deque[Operation] = deque()  # they wait until what was sent has left
        self._limits = limits
        self._flush = flush
        self._guard = guard if guard is not None else nullcontext()
        self._asked: dict[int, Operation] = {}  # by the message id of our request
        self._windowless: deque[Operation] = deque()  # their users wait until one more request may be open
        self._gathering: tuple[ResponseReceived, bytearray] | None = None

    @property
    def asking(self) -> bool:
        """The peer owes us a response."""
        return bool(self._asked)

    def _response(self, message: ResponseReceived) -> Operation | None:
        if message.has_body:
            self._gathering = (message, bytearray())
            return None
        return self._answered(message, None)

    def _gather(self, views: list[memoryview], last: bool) -> Operation | None:
        assert self._gathering is not None
        message, body = self._gathering
        for view in views:
            if len(body) + len(view) > self._limits.memory_object:
                raise LimitExceeded(f"the data set of a response is longer than {self._limits.memory_object} bytes")
            body += view
        if not last:
            return None
        self._gathering = None
        return self._answered(message, bytes(body))

    def _answered(self, message: ResponseReceived, body: bytes | None) -> Operation | None:
        answer = Answer(message.command.elements["Status"], message.command, body)
        with self._guard:
            operation = self._asked.get(message.message_id)
            if operation is None:
                self.answers.setdefault(message.message_id, []).append(answer)
            else:
                if message.final:
                    del self._asked[message.message_id]
                operation.replies.append(answer)
            if self._windowless and self.exchange.can_request:
                waiting = self._windowless.popleft()
                try:
                    self._ask(waiting)
                except LocalProtocolError as error:  # as above, or it cannot be encoded: its provider is to know
                    waiting.user, waiting.failure = None, error
                    self.roomless.append(waiting)
            if operation is None or operation.waits != ANSWER:
                return None
            operation.waits = NOTHING
            return operation

    def _ask(self, operation: Operation) -> None:
        """Send the request of an operation's user; with the guard held."""
        invoke = operation.invoke
        assert invoke is not None
        if not self.exchange.can_request:
            self._windowless.append(operation)
            return
        operation.invoke = None
        message_id = self.exchange.request(invoke.context_id, invoke.command, invoke.body)
        self._asked[message_id] = operation
        self._flush()

    def _advance_user(self, operation: Operation) -> bool:
        """Run the provider's user on this association; False while it waits for the peer."""
        user = operation.user
        assert user is not None
        answer: Any = None
        try:
            while True:
                if operation.replies:
                    answer = operation.replies.popleft()
                step = user.send(answer)
                with self._guard:
                    if self.over:
                        return True
                    if not isinstance(step, More):
                        operation.invoke = step
                        self._ask(operation)
                    if not operation.replies:
                        operation.waits = ANSWER
                        return False
        except StopIteration as stop:
            operation.value = stop.value
        except Exception as error:
            operation.failure = error
        operation.user = None
        return True
