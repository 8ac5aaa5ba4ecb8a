"""The two ends of an association in memory: everything happens in turns, which the schedule gives."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from socket import SHUT_WR
from typing import Any, Final, Protocol, cast

from dicomcore.errors import (
    AssociationAborted,
    AssociationRejected,
    DicomError,
    NegotiationError,
    PeerTimeout,
    RemoteProtocolError,
)
from dicomcore.limits import Limits
from dicomcore.net.connection import UserConnection
from dicomcore.net.memory.wire import Plug, Schedule, Timer
from dicomcore.net.operation import Operation
from dicomcore.net.poller import Facilities
from dicomcore.services.base import Answer, Invoke, More, Router, User
from dicomcore.ul import (
    Accept,
    Association,
    AssociationRequested,
    Event,
    Reject,
    Release,
    ReleaseRequested,
    State,
    explain,
)

__all__ = ["Done", "Link", "Requestor", "Served", "Workers"]

NEVER: Final = float("inf")
PARTING: Final = 2.0  # seconds that a peer is given to close after our last PDU
READS: Final = 4  # blocks that one association may read before others have their turn
LOCAL_LIMIT: Final = Reject(result=2, source=3, reason=2)

Done = Callable[[Any, BaseException | None], None]

log = logging.getLogger("dicomcore.net")


class Workers:
    """At most ``workers`` jobs at a time; each takes a while before it is done, and one until that is known."""

    def __init__(self, schedule: Schedule, workers: int, latency: tuple[float, float]) -> None:
        self._schedule = schedule
        self._free = workers
        self._latency = latency
        self._jobs: deque[tuple[Callable[[], Any], Done]] = deque()
        self.stopped = False

    def submit(self, job: Callable[[], Any], done: Done) -> None:
        self._jobs.append((job, done))
        self._next()

    def _next(self) -> None:
        while self._free and self._jobs:
            self._free -= 1
            job, done = self._jobs.popleft()
            self._schedule.later(self._schedule.between(self._latency), partial(self._do, job, done))

    def _do(self, job: Callable[[], Any], done: Done) -> None:
        if self.stopped:
            return
        value: Any = None
        failure: Exception | None = None
        try:
            value = job()
        except Exception as error:
            failure = error
        self._schedule.later(self._schedule.between(self._latency), lambda: self._did(done, value, failure))

    def _did(self, done: Done, value: Any, failure: Exception | None) -> None:
        if not self.stopped:
            self._free += 1
            done(value, failure)
            self._next()


class Surroundings(Protocol):
    """What an end needs of its network."""

    now: float
    random: Any
    reaction: tuple[float, float]
    slow_writes: float

    def later(self, delay: float, work: Callable[[], object], /) -> Timer: ...
    def between(self, limits: tuple[float, float], /) -> float: ...
    def perform(self, effect: Any, channels: list[Any], workers: Workers, done: Done, /) -> None: ...


class House(Protocol):
    """What a server's end needs of its server."""

    connections: dict[int, Any]

    @property
    def association_count(self) -> int: ...


class _Task:
    """A user on its way."""

    __slots__ = ("done", "invoke", "user")

    def __init__(self, user: User, done: Done) -> None:
        self.user = user
        self.done = done
        self.invoke: Invoke | None = None  # to be sent as soon as the window allows


class Link(UserConnection):
    """One end of an association on a wire. Everything happens in `turn`."""

    def __init__(
        self,
        network: Surroundings,
        plug: Plug,
        core: Association,
        limits: Limits,
        router: Router,
        workers: Workers,
    ) -> None:
        facilities = Facilities(epoll=False, poll=False, eventfd=False, sendmsg=True, pump=False)
        super().__init__(cast(Any, plug), core, limits, facilities, router, defer=self._defers)
        self.plug = plug
        self.network = network
        self.closed = False
        self.turns = 0
        self.performing = 0  # effects under way
        self.moved_at = network.now  # when bytes last came or went
        self.parting_until = NEVER
        self.tasks: dict[int, _Task] = {}  # by the message id of the request that is open
        self.waiting: deque[_Task] = deque()
        self._workers = workers
        self._writing = False
        self._woken = False
        self._timer: Timer | None = None
        plug.wake = self.wake

    def wake(self) -> None:
        """Have a turn soon."""
        if not (self._woken or self.closed):
            self._woken = True
            self.network.later(self.network.between(self.network.reaction), self.turn)

    def turn(self) -> None:
        """Do all that can be done now: read, run operations and users, write, close."""
        self._woken = False
        if self.closed:
            return
        self.turns += 1
        for _ in range(READS):
            self._work()
            if not self._read():
                break
        else:
            self.wake()
        self._work()
        self._look_at_time()
        self._write()
        self._close_when_done()
        if not self.closed:
            self._plan()

    def tick(self) -> None:
        self.core.tick(self.network.now)
        self._digest()

    def _read(self) -> bool:
        if self.parting_until < NEVER or self.over is not None:
            return self._drain()
        if self.inbox or self._writing or not self.pull():
            return False
        self.moved_at = self.network.now
        return not self.ended

    def _drain(self) -> bool:
        """Read and forget what a peer sends that has not noticed yet."""
        if self.ended:
            return False
        try:
            self.ended = not self.plug.recv(1 << 16)
        except BlockingIOError:
            return False
        except OSError:
            self.ended = True
        return not self.ended

    def _write(self) -> None:
        before = self.plug.sent
        self.flush()
        if self.plug.sent != before:
            self.moved_at = self.network.now

    def _close_when_done(self) -> None:
        if not (self.core.close_transport or self.over is not None):
            return
        if self.performing or self._writing or self.orphans:
            return  # the last word of what is under way closes it
        if self._deaf or self.ended:
            self.close()
        elif self.outbox.empty and self.parting_until == NEVER:
            if self.released and self.core.requestor:
                self.close()
                return
            self.parting_until = self.network.now + PARTING
            try:
                self.plug.shutdown(SHUT_WR)
            except OSError:
                self.close()

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self.core.closed()
        self._digest()
        self.end(AssociationAborted("the connection was closed by this side"))
        if self._timer is not None:
            self._timer.cancel()
        self._work()
        self.plug.close()

    def vanish(self, *, silently: bool) -> None:
        """Be gone as the process was, or the whole machine: nothing more is done here."""
        self.closed = True
        if silently:
            self.plug.cut(0, "silence")
        self.plug.close()
        if self._timer is not None:
            self._timer.cancel()
        operations = self.operations
        operations.end()
        for operation in list(operations.running.values()):
            if operation.user is not None:
                operation.user.close()
            operation.provider.close()
        for task in [*self.tasks.values(), *self.waiting]:
            task.user.close()

    def break_off(self, reason: DicomError) -> None:
        """Abort because of this, unless it is over."""
        if self.over is None:
            self.abort(reason)
        self.wake()

    # time

    def patience(self) -> float:
        """When the peer has been silent for too long."""
        if not self.outbox.empty:
            return self.moved_at + self.limits.network_timeout
        return self.moved_at + self.limits.dimse_timeout if self.tasks else NEVER

    def too_late(self, *, dawdling: bool) -> PeerTimeout:
        if self.tasks and self.outbox.empty:  # whatever else it sends, it owes a user an answer
            seconds = self.limits.dimse_timeout
            why = f"the peer did not answer for longer than Limits.dimse_timeout ({seconds:g} s)"
            return PeerTimeout(why, answer=(0, 0))
        return super().too_late(dawdling=dawdling)

    def _due(self) -> float:
        if self.over is not None and (self.performing or self._writing):
            return NEVER  # it closes when that is done
        if self.parting_until < NEVER:
            return self.parting_until
        if self.over is not None:
            return self.moved_at + self.limits.network_timeout  # for what is left to be written
        if self.core.deadline == 0.0:
            self.core.tick(self.network.now)
        return self.patience() if self.core.deadline is None else self.core.deadline

    def _plan(self) -> None:
        due = self._due()
        timer = self._timer
        if timer is not None and timer.work is not None:
            if timer.moment <= due:
                return  # it is moved when it fires
            timer.cancel()
        self._timer = None if due == NEVER else self.network.later(max(0.0, due - self.network.now), self.turn)

    def _look_at_time(self) -> None:
        now = self.network.now
        if now < self._due():
            return
        if self.parting_until <= now:
            self.close()
        elif self.over is not None:
            self._deaf = True  # it does not even take our abort
        elif self.core.deadline is not None:
            self.tick()
        else:
            self.abort(self.too_late(dawdling=False))
        self._work()

    # operations

    def _defers(self, prompt: bool, length: int) -> bool:
        return bool(self.network.random.random() < self.network.slow_writes)

    def _work(self) -> None:
        operations = self.operations
        try:
            while self.orphans:
                self._advance(self.orphans.pop())
            while self.over is None:
                operation = operations.next(room=self.outbox.empty)
                if operation is None:
                    break
                self._advance(operation)
        except DicomError as error:
            self.break_off(error)
        write = operations.write
        if write is not None and not self._writing:
            self._writing = True
            self._workers.submit(lambda: write.operation.take(write.views), self._written)
        self.settle()

    def _written(self, value: Any, failure: BaseException | None) -> None:
        self._writing = False
        operation = self.operations.written()
        if operation is not None:
            self._advance(operation)
        self.wake()

    def _advance(self, operation: Operation) -> None:
        try:
            effect = self.operations.advance(operation)
        except SystemExit as error:  # of a provider: it ends this association, not the network
            log.exception("serving %r failed", self.operations.calling_ae)
            self.break_off(AssociationAborted(f"serving failed: {error}", answer=(0, 0)))
            self.operations.advance(operation)  # closes it
            effect = None
        if effect is not None:
            self.performing += 1

            def done(value: Any, failure: BaseException | None) -> None:
                self.performing -= 1
                operation.value, operation.failure = value, failure
                self._advance(operation)
                self.wake()

            self.network.perform(effect, operation.channels, self._workers, done)
        elif operation.over:
            while operation.channels:
                channel = operation.channels.pop()
                channel.leave(aborting=self.over is not None)

    # users

    def start(self, user: User, done: Done) -> None:
        """Run a user on this association; ``done(result, failure)``."""
        if self.over is not None:
            user.close()
            self.network.later(0.0, partial(done, None, self.over))
            return
        self._go_on(_Task(user, done), None)
        self.wake()

    def settle(self) -> None:
        """Hand answers to the users that wait for them."""
        answers = self.operations.answers
        for message_id in [message_id for message_id in answers if message_id in self.tasks]:
            task = self.tasks[message_id]
            received = answers.pop(message_id)
            while received:
                answer = received.pop(0)
                self.moved_at = self.network.now
                if message_id not in self.exchange.invoked and not received:
                    self.tasks.pop(message_id, None)
                if not self._go_on(task, answer, message_id):
                    break
        if self.over is not None:
            while self.tasks or self.waiting:
                _, task = self.tasks.popitem() if self.tasks else (0, self.waiting.popleft())
                self._finish(task, None, self.over)
        while self.waiting and self.exchange.can_request and self.over is None:
            self._ask(self.waiting.popleft())

    def _go_on(self, task: _Task, answer: Answer | None, message_id: int = 0) -> bool:
        """Give a user its answer; False when it does not wait for another to the same request."""
        try:
            step = next(task.user) if answer is None else task.user.send(answer)
        except StopIteration as stop:
            self._finish(task, stop.value, None)
            return False
        except Exception as error:
            self._finish(task, None, error)
            if message_id in self.exchange.invoked:  # what is still on its way could not be told from what follows
                self.break_off(AssociationAborted("an operation was broken off", answer=(0, 0)))
            return False
        if isinstance(step, More):
            return True
        task.invoke = step
        if self.over is None and self.negotiated is not None and self.exchange.can_request:
            self._ask(task)
        else:
            self.waiting.append(task)
        return False

    def _ask(self, task: _Task) -> None:
        invoke, task.invoke = task.invoke, None
        assert invoke is not None
        try:
            message_id = self.exchange.request(invoke.context_id, invoke.command, invoke.body)
        except DicomError as error:
            self._finish(task, None, error)
            return
        self.tasks[message_id] = task
        self.moved_at = self.network.now

    def _finish(self, task: _Task, value: Any, failure: BaseException | None) -> None:
        task.user.close()
        task.done(value, failure)


class Served(Link):
    """The server's end."""

    def __init__(self, server: House, *rest: Any) -> None:
        super().__init__(*rest)
        self._server = server
        self._release_due = False
        self.established = False

    def upper(self, event: Event) -> None:
        match event:
            case AssociationRequested():
                self._decide(event)
            case ReleaseRequested():
                if self.exchange.receiving:  # its rest can no longer come (PS3.8 7.2.1.4)
                    self.abort(RemoteProtocolError("a release in the middle of a message", answer=(0, 0)))
                else:
                    self._release_due = True
            case _:
                super().upper(event)

    def _decide(self, event: AssociationRequested) -> None:
        if self.core.state is not State.Sta3:
            return  # what came right behind the request has ended it
        operations, request, refusal = self.operations, event.request, event.proposal.reject
        operations.calling_ae, operations.called_ae = request.calling_ae, request.called_ae
        if self._server.association_count >= self.limits.association_count:
            self.core.request(LOCAL_LIMIT)
        elif refusal is not None:
            self.core.request(Reject(refusal.result, refusal.source, refusal.reason))
        else:
            self.core.request(Accept())
            self.established = True

    def settle(self) -> None:
        super().settle()
        if self._release_due and self.over is None and self.operations.idle:
            self._release_due = False
            self.answer_release()
            self._digest()

    def patience(self) -> float:
        if not self.outbox.empty:
            return self.moved_at + self.limits.network_timeout
        if self.performing or self._writing:
            return NEVER  # the peer waits for us
        limits, operations = self.limits, self.operations
        if self.core.receiving or self.exchange.receiving:
            return self.moved_at + limits.network_timeout
        if operations.asking:
            return self.moved_at + limits.dimse_timeout
        return self.moved_at + (limits.idle_timeout if operations.idle else limits.network_timeout)

    def close(self) -> None:
        super().close()
        self._server.connections.pop(self.fd, None)


class Requestor(Link):
    """The requestor's end: tells when the association stands, or why it does not."""

    told: Callable[[BaseException | None], None] | None = None

    def settle(self) -> None:
        super().settle()
        if self.told is None or (self.negotiated is None and self.refusal is None and self.over is None):
            return
        told, self.told = self.told, None
        request = self.core.asked
        failure: BaseException | None = None
        assert request is not None
        if self.refusal is not None:
            refusal = self.refusal
            answer = refusal.result, refusal.source, refusal.reason
            failure = AssociationRejected(explain(request, refusal), answer=answer)
        elif self.negotiated is None:
            failure = self.over
        elif not self.negotiated.contexts:
            failure = NegotiationError(explain(request, self.negotiated.answer))
            self.core.request(Release())
        told(failure)
