"""The generic calls of a blocking association: C-FIND, C-GET, C-MOVE and the six N-services (PS3.7 9.1, 10.1).

A failure status is returned, not raised, unless ``check=True``. What C-FIND, C-GET and C-MOVE return is an iterator
over all responses, the final one included; nothing is sent before it is iterated. Leaving it early sends C-CANCEL and
takes in what still comes, up to the final response, within `Limits.dimse_timeout`; else the association is aborted.
While it is not over, no other operation begins: other threads wait, the same thread gets a LocalProtocolError.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from dicomcore.errors import DicomError, LocalProtocolError
from dicomcore.limits import Limits
from dicomcore.net.connection import UserConnection
from dicomcore.net.watch import Log
from dicomcore.services import normalized
from dicomcore.services import query as queries
from dicomcore.services.base import Answer, Invoke, User
from dicomcore.services.messages import Ask, Elements, failure
from dicomcore.services.normalized import Outcome
from dicomcore.services.query import Found, Progress
from dicomcore.ul import Negotiated
from dicomcore.vocab.status import StatusCategory, category

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["Calls", "Conversation", "GenericCalls", "Responses", "Turn", "first"]

T = TypeVar("T")
Finding = TypeVar("Finding")
Moving = TypeVar("Moving")
Once = TypeVar("Once")

log = Log("net")


class Conversation(Generic[T]):
    """A request with many responses, as its association knows it while more of them are to come."""

    def __init__(self, association: Calls, ask: Ask[T], check: bool) -> None:
        self.association = association
        self.ask = ask
        self.check = check
        self.message_id = 0  # until it has begun
        self.over = False
        self.owner = 0  # the thread that began it

    def next(self) -> T:
        with self.association._lock:  # of several threads each gets answers of its own
            return self._next()

    def _next(self) -> T:
        if self.over:
            raise StopIteration
        association = self.association
        answers = association._answers.get(self.message_id)
        if answers:  # they come many at a time
            answer = answers.pop(0)
            if not answers:
                del association._answers[self.message_id]
        else:
            answer = self._wait()
        if category(answer.status) is not StatusCategory.PENDING:
            self._end()
            if self.check and (error := failure(answer.command, self.ask.service, association.peer)) is not None:
                raise error
        return self.ask.read(answer)

    def _wait(self) -> Answer:
        association = self.association
        try:
            with Turn(association, self):
                if not self.message_id:
                    association._take_in()
                    self.message_id = association._send(self.ask.invoke)
                    self.owner = threading.get_ident()
                    association._conversation = self
                return association._answer((self.message_id,))[1]
        except BaseException:
            if self.message_id:  # what broke the wait has ended the association; before that nothing had begun
                self._end()
            raise

    def _end(self) -> None:
        self.over = True
        self.association._answers.pop(self.message_id, None)
        self.association._conversation_over(self)

    def close(self) -> None:
        if self.over or not self.message_id:
            self.over = True
            return
        with self.association._lock:
            if not self.over:
                self._close()

    def _close(self) -> None:
        association = self.association
        try:
            with Turn(association, self):
                association._cancel(self.ask.invoke.context_id, self.message_id)
                deadline = monotonic() + association._limits.dimse_timeout
                while category(association._answer((self.message_id,), deadline)[1].status) is StatusCategory.PENDING:
                    pass
        except DicomError as error:
            log.info(
                "%s: %s was broken off: %s",
                association.peer,
                self.ask.service,
                error,
                extra=association._connection.watcher.extra,
            )
        finally:
            self._end()


class Responses(Generic[T]):
    """What the peer answers to one request, to be iterated over once; close it, or drop it, to want no more."""

    __slots__ = ("_conversation",)

    def __init__(self, conversation: Conversation[T]) -> None:
        self._conversation = conversation

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        return self._conversation.next()

    def close(self) -> None:
        """Want no more: cancel, and take in what still comes."""
        self._conversation.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self._conversation.close()


class Turn:
    """``with`` this, one operation at a time. A class, since a generator of contextlib would be a tenth of a C-ECHO."""

    __slots__ = ("_association", "_conversation")

    def __init__(self, association: Calls, conversation: Conversation[Any] | None = None) -> None:
        self._association = association
        self._conversation = conversation

    def __enter__(self) -> None:
        association = self._association
        association._lock.acquire()
        if association._inside or association._conversation is not self._conversation:
            association._queue_up(self._conversation)
        association._inside = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        association = self._association
        try:
            if error is not None:
                association._break_off()
        finally:
            association._inside = False
            association._lock.release()
        association._connection.watcher.deliver()


class GenericCalls(Generic[Once, Finding, Moving]):
    """The generic calls of an association, whatever drives it: what to ask, and with what arguments.

    ``Finding`` and ``Moving`` are iterators over `Found` and `Progress`, ``Once`` is or becomes an `Outcome`.
    """

    negotiated: Negotiated
    peer: str
    _connection: UserConnection
    _limits: Limits

    if TYPE_CHECKING:

        def _finding(self, ask: Ask[Found], check: bool) -> Finding: ...
        def _moving(self, ask: Ask[Progress], check: bool) -> Moving: ...
        def _once(self, ask: Ask[Outcome], check: bool) -> Once: ...

    def c_find(self, query: Elements, model: str, *, priority: int = 0, check: bool = False) -> Finding:
        """Which entities match: iterates over (status, identifier), the last one with None for it (PS3.4 C.4.1).

        ``query``: a Dataset, or values by keyword. ``model``: UID, keyword or short name ("study-root",
        "patient-root", "worklist"). NegotiationError without a context for it; ServiceError for a failure if ``check``.
        """
        ask = queries.c_find(self.negotiated, query, model, priority=priority, limits=self._limits)
        return self._finding(ask, check)

    def c_get(self, query: Elements, model: str, *, priority: int = 0, check: bool = False) -> Moving:
        """Have the instances sent over this association, to the services given to `AE.associate` (PS3.4 C.4.3).

        Iterates over `Progress`; ``query`` and ``model`` as in `c_find`.
        """
        ask = queries.c_get(self.negotiated, query, model, priority=priority, limits=self._limits)
        return self._moving(ask, check)

    def c_move(
        self, query: Elements, destination: str, model: str, *, priority: int = 0, check: bool = False
    ) -> Moving:
        """Have the instances sent to the AE called ``destination``, which the peer has to know (PS3.4 C.4.2).

        Iterates over `Progress`; ``query`` and ``model`` as in `c_find`.
        """
        ask = queries.c_move(self.negotiated, query, destination, model, priority=priority, limits=self._limits)
        return self._moving(ask, check)

    def n_get(
        self,
        sop_class: str,
        sop_instance: str,
        attributes: Iterable[Any] = (),
        *,
        context: str = "",
        check: bool = False,
    ) -> Once:
        """Attributes of an instance, by keyword or tag; none asks for all: (status, dataset, elements).

        ``context`` as in `services.normalized`: the abstract syntax to ask under, if that is not the SOP class.
        """
        make = normalized.n_get
        return self._once(
            make(self.negotiated, sop_class, sop_instance, attributes, context=context, limits=self._limits), check
        )

    def n_set(
        self, sop_class: str, sop_instance: str, dataset: Elements, *, context: str = "", check: bool = False
    ) -> Once:
        """Change attributes of an instance."""
        make = normalized.n_set
        return self._once(
            make(self.negotiated, sop_class, sop_instance, dataset, context=context, limits=self._limits), check
        )

    def n_action(
        self,
        sop_class: str,
        sop_instance: str,
        action_type: int,
        dataset: Elements | None = None,
        *,
        context: str = "",
        check: bool = False,
    ) -> Once:
        """Have an action done on an instance."""
        make = normalized.n_action
        limits = self._limits
        return self._once(
            make(self.negotiated, sop_class, sop_instance, action_type, dataset, context=context, limits=limits), check
        )

    def n_create(
        self,
        sop_class: str,
        sop_instance: str | None = None,
        dataset: Elements | None = None,
        *,
        context: str = "",
        check: bool = False,
    ) -> Once:
        """Have an instance made; the UID that a peer chose is ``elements["AffectedSOPInstanceUID"]``."""
        make = normalized.n_create
        return self._once(
            make(self.negotiated, sop_class, sop_instance, dataset, context=context, limits=self._limits), check
        )

    def n_delete(self, sop_class: str, sop_instance: str, *, context: str = "", check: bool = False) -> Once:
        """Have an instance deleted."""
        make = normalized.n_delete
        return self._once(make(self.negotiated, sop_class, sop_instance, context=context, limits=self._limits), check)

    def n_event_report(
        self,
        sop_class: str,
        sop_instance: str,
        event_type: int,
        dataset: Elements | None = None,
        *,
        context: str = "",
        check: bool = False,
    ) -> Once:
        """Report an event of an instance; needs the role of an SCP (``roles=`` of `AE.associate`)."""
        make = normalized.n_event_report
        limits = self._limits
        return self._once(
            make(self.negotiated, sop_class, sop_instance, event_type, dataset, context=context, limits=limits), check
        )


class Calls(GenericCalls[Outcome, Responses[Found], Responses[Progress]]):
    """The generic calls, blocking; `Association` brings what they stand on."""

    peer: str
    _answers: dict[int, list[Answer]]
    _conversation: Conversation[Any] | None = None  # of which more are to come
    _inside = False  # a thread is in the middle of an operation
    _lock: threading.RLock
    _settled: threading.Condition  # over the lock: no more responses are to come

    if TYPE_CHECKING:

        def perform(self, user: User) -> Any: ...
        def _break_off(self) -> None: ...
        def _take_in(self) -> None: ...
        def _send(self, invoke: Invoke) -> int: ...
        def _answer(self, message_ids: Any, final: float | None = None) -> tuple[int, Answer]: ...

    def _queue_up(self, conversation: Conversation[Any] | None) -> None:
        """With the lock, wait until another's conversation is over; it is released where that cannot be."""
        if self._inside:
            self._lock.release()
            raise LocalProtocolError("an operation of this thread is under way on this association")
        if self._conversation is not None and self._conversation is not conversation:
            if self._conversation.owner == threading.get_ident():
                self._lock.release()
                raise LocalProtocolError(
                    "more responses to an operation of this thread are to come on this association",
                    hint="iterate to the end, or close the iterator",
                )
            try:
                self._settled.wait_for(lambda: self._conversation is None)
            except BaseException:
                self._lock.release()
                raise

    def _conversation_over(self, conversation: Conversation[Any]) -> None:
        with self._settled:
            if self._conversation is conversation:
                self._conversation = None
                self._settled.notify_all()

    def _cancel(self, context_id: int, message_id: int) -> None:
        """Ask for the end of an operation, unless that is already on its way."""
        if message_id in self._connection.exchange.invoked:
            self._connection.exchange.cancel(context_id, message_id)

    def _finding(self, ask: Ask[Found], check: bool) -> Responses[Found]:
        return Responses(Conversation(self, ask, check))

    def _moving(self, ask: Ask[Progress], check: bool) -> Responses[Progress]:
        return Responses(Conversation(self, ask, check))

    def _once(self, ask: Ask[Outcome], check: bool) -> Outcome:
        answer: Answer = self.perform(first(ask.invoke))
        if check and (error := failure(answer.command, ask.service, self.peer)) is not None:
            raise error
        return ask.read(answer)


def first(invoke: Invoke) -> Any:
    return (yield invoke)
