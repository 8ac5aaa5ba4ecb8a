"""One operation of an association: a running provider, the body that is streamed to it, and what it waits for."""

from __future__ import annotations

from collections import deque
from typing import Any, Final, NamedTuple

from dicomcore.errors import LimitExceeded, LocalProtocolError
from dicomcore.services.base import (
    Answer,
    Invoke,
    Provider,
    Receive,
    Request,
    Response,
    ServiceContext,
    User,
    out_of_resources,
)

__all__ = ["ANSWER", "BODY", "NOTHING", "ROOM", "Operation", "Write", "no_effect"]

# What an operation waits for. An operation that is being advanced, or has a driver at work for it, waits for nothing.
NOTHING: Final = ""
BODY: Final = "body"
ROOM: Final = "room"
ANSWER: Final = "answer"


class Operation:
    """One running provider, the body that is streamed to it, and the user that it runs on its own association."""

    __slots__ = (
        "answered",
        "body_open",
        "channels",
        "context",
        "error",
        "failed",
        "failure",
        "held",
        "invoke",
        "length",
        "over",
        "prompt",
        "provider",
        "receive",
        "replies",
        "request",
        "user",
        "value",
        "waits",
    )

    def __init__(self, request: Request, context: ServiceContext, provider: Provider, prompt: bool) -> None:
        self.request = request
        self.context = context
        self.provider = provider
        self.prompt = prompt  # it waits for nothing, so there is no need to watch meanwhile
        self.body_open = request.has_body  # its last fragment is still to come
        self.receive: Receive | None = None  # the effect that takes the body
        self.held: Response | None = None  # yielded while a body nobody wants is drained
        self.length = 0
        self.error: Exception | None = None
        self.user: User | None = None
        self.invoke: Invoke | None = None  # of the user, to be sent when the window has room
        self.replies: deque[Answer] = deque()  # to the user, not taken yet
        self.channels: list[Any] = []  # what a driver opened for it, and closes when it is over
        self.waits = NOTHING
        self.answered = False
        self.failed = False  # it ended by an exception
        self.over = False
        self.value: Any = None  # with what the provider is resumed
        self.failure: BaseException | None = None

    def take(self, views: list[memoryview]) -> None:
        """Fragments into the sink; what it refuses, and all after that, is dropped and reported with `Received`."""
        length = sum(map(len, views))
        self._count(length)
        if not length or self.receive is None or self.error is not None:
            return
        sink = self.receive.sink
        try:
            if len(views) > 1 and (writev := getattr(sink, "writev", None)) is not None:
                writev(views)
            else:
                for view in views:
                    sink.write(view)
        except Exception as error:
            self.error = error

    @property
    def takes(self) -> bool:
        """It has said what becomes of its body."""
        return self.receive is not None or self.held is not None

    @property
    def pauses(self) -> bool:
        """It waits until what it answered has left."""
        return self.waits == ROOM

    @property
    def file(self) -> int | None:
        """The descriptor that its body may be written to directly, -1 when the rest is dropped; None: it may not."""
        if self.error is not None:
            return -1
        if self.receive is None:
            return None if self.held is None else -1
        sink: Any = self.receive.sink
        if not (hasattr(sink, "fileno") and hasattr(sink, "passed")):
            return None
        try:
            file: int = sink.fileno()
        except (OSError, ValueError):  # closed: its `write` says so
            return None
        return None if file < 0 else file

    def passed(self, length: int, error: OSError | None) -> None:
        """So much of its body went to `file`, until that failed."""
        if error is not None:
            self.error = error
        elif self.error is None and self.receive is not None:
            sink: Any = self.receive.sink  # it gave `file`, so it counts what goes there
            sink.passed(length)
        self._count(length)

    def _count(self, length: int) -> None:
        self.length += length
        bound = self.context.limits.object_length
        if self.length > bound and self.error is None:
            self.refuse(f"a body of more than {bound} bytes, Limits.object_length")

    def refuse(self, why: str) -> None:
        """Take nothing more of its body: there is no room for it."""
        self.error = LimitExceeded(why, answer=out_of_resources(self.request.command.field))

    def resume(self) -> Any:
        """Run the provider to its next effect."""
        value, failure = self.value, self.failure
        self.value = self.failure = None
        return self.provider.send(value) if failure is None else self.provider.throw(failure)


class Write(NamedTuple):
    """Fragments that a driver takes to the sink elsewhere: ``operation.take(views)``, then `Operations.written`."""

    operation: Operation
    views: list[memoryview]
    last: bool


def no_effect(effect: object) -> LocalProtocolError:
    """Why a provider cannot yield this, or not now."""
    if isinstance(effect, Receive):
        return LocalProtocolError("no body is left to receive", hint="the request had none, or it was received already")
    what = f"a provider yields Response, Receive or another effect, not {type(effect).__name__}"
    return LocalProtocolError(what, hint="see dicomcore.services.base")
