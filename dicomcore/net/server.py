"""The blocking server: one selector thread and a bounded pool of workers, however many associations there are.

The selector thread owns the listening sockets, the associations that are being agreed and the idle ones; these cost a
descriptor and a timer. An association with work is lent to a worker, which serves it until nothing more comes,
lingers a little, and gives it back; no worker ever waits for a slow peer for longer than that. Bounds: handshakes end
within ARTIM (PS3.8 9.1.5), associations beyond `Limits.association_count`, or `peer_association_count` from one
address, are refused with "local limit exceeded" (PS3.8 Table 9-21); `door` bounds the connections. Of long requests,
which cost what they are long, only a few are taken in at a time.

``authorize(event)``, of the caller, is asked on a worker about each request that negotiation would accept, while the
core waits in Sta3 under its deadline; see `ul.decision` for what it may answer. An exception of it rejects.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from inspect import iscoroutinefunction
from time import monotonic
from typing import TYPE_CHECKING, Any

from dicomcore.errors import AssociationAborted, LimitExceeded, LocalProtocolError
from dicomcore.limits import Limits
from dicomcore.net.budget import Budget
from dicomcore.net.deciding import has_room, reply, undecided
from dicomcore.net.door import Door
from dicomcore.net.effects import BlockingChannel, Effects
from dicomcore.net.events import Event as WatchEvent
from dicomcore.net.handshakes import Handshakes, tell_failure, took_too_long
from dicomcore.net.metrics import Metrics
from dicomcore.net.poller import Facilities, open_poller
from dicomcore.net.provider import ServedConnection
from dicomcore.net.timers import NEVER, Timers
from dicomcore.net.tls import SecuritySettings
from dicomcore.net.tls_socket import TLSSocket, Wire
from dicomcore.net.transport import tune
from dicomcore.net.watch import Log, ServerWatch
from dicomcore.net.workers import Worker, WorkerPool
from dicomcore.services.base import Router, ServiceProvider
from dicomcore.ul import (
    Accept,
    Acceptance,
    Answers,
    Association,
    AssociationRequested,
    Decision,
    Reject,
    State,
    decision,
)

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["Server"]

log = Log("net")

LINGER = 0.005  # seconds a worker waits for the next message of the association it has just served
SLICE = 0.050  # seconds an association may keep its worker while others wait for one
LONG_REQUESTS = 32  # connections whose A-ASSOCIATE-RQ may at a time need more than `Limits.handshake_length`
ACCEPT = Accept()


class Server:
    """Serves from construction on, in its own threads, until `close`. Leaving its ``with`` block closes it."""

    def __init__(
        self,
        services: Iterable[ServiceProvider],
        acceptance: Acceptance,
        *,
        port: int,
        host: str,
        workers: int,
        limits: Limits,
        facilities: Facilities,
        associate: Callable[..., BlockingChannel],
        authorize: Callable[[AssociationRequested], Any] | None = None,
        on_event: Callable[[WatchEvent], object] | None = None,
        security: SecuritySettings | None = None,
    ) -> None:
        if iscoroutinefunction(authorize):
            raise LocalProtocolError(f"{authorize!r} is a coroutine function", hint="these are for dicomcore.aio")
        if authorize is not None and not callable(authorize):
            raise LocalProtocolError(f"authorize={authorize!r} is no function")
        self._router = Router(services)
        self._effects = Effects(associate, self._later)
        self._authorize = authorize
        self._answers = Answers(acceptance, limits)
        self._security = security
        self._limits = limits
        self._facilities = facilities
        self._connections: dict[int, ServedConnection] = {}
        self._budget = Budget(limits.memory_budget, limits.memory_object)
        self._long: set[int] = set()  # descriptors of those whose requests are long
        self._timers = Timers()
        self._mailbox: deque[Callable[[], None]] = deque()
        self._closing = NEVER  # when everything that is left is aborted
        self._closed = threading.Event()
        with ExitStack() as undo:  # what was opened, if something is refused
            self._door = Door(host, port, limits, lambda peer: self._watch.refuse(peer))
            undo.callback(self._door.close)
            self._admission = self._door.admission
            self._pool = WorkerPool(self._labour, workers, "dicomcore-worker", facilities)
            undo.callback(self._pool.close, 1.0)
            self._handshakes = None if security is None else Handshakes(facilities, self._return)
            if self._handshakes is not None:
                undo.callback(self._handshakes.close, 1.0)
            memory = self._budget
            self._watch = ServerWatch(on_event, self._pool.submit, memory=lambda: (memory.used, memory.peak))
            self._poller = open_poller(facilities)
            undo.callback(self._poller.close)
            self._pollers = [self._poller]  # empty once it is closed; `close` may be called twice, and at once
            self._door.watch(self._poller)
            self.host, self.port = self._door.address
            self._thread = threading.Thread(target=self._run, name="dicomcore-selector", daemon=True)
            self._thread.start()
            undo.pop_all()

    @property
    def association_count(self) -> int:
        """Associations that stand now."""
        return self._admission.association_count

    @property
    def connection_count(self) -> int:
        """Connections that are open now, those that are no associations yet included."""
        return len(self._connections)

    @property
    def metrics(self) -> Metrics:
        """What it has done so far."""
        return self._watch.metrics()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the server is closed (True) or `timeout` seconds have passed (False)."""
        return self._closed.wait(timeout)

    def close(self, grace: float = 5.0) -> None:
        """Stop accepting, let operations under way finish for `grace` seconds, abort the rest. Idempotent.

        A worker whose provider never returns is left behind as a daemon thread; its association is aborted anyway.
        """
        if not self._closed.is_set():
            until = monotonic() + grace
            self._post(lambda: self._begin_closing(until))
        if threading.current_thread() is self._thread or self._pool.is_mine():
            return  # called by a provider: it is one of those that are waited for
        if self._closed.wait(grace + 2.0):
            self._thread.join(1.0)  # it reads its last mail, and may give a worker something to close
        ended = (self._handshakes is None or self._handshakes.close(1.0)) and not self._thread.is_alive()
        if self._pool.close(1.0) and ended and self._pollers:
            self._pollers.pop().close()
        self._watch.finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(5.0 if kind is None else 0.0)

    # the selector thread

    def _post(self, action: Callable[[], None]) -> None:
        """Have the selector thread do something. From any thread."""
        self._mailbox.append(action)
        self._poller.wake()

    def _run(self) -> None:
        poller = self._poller
        connections = self._connections
        try:
            while self._closing == NEVER or connections:
                for fd in poller.wait(self._patience()):
                    connection = connections.get(fd)
                    if connection is not None:
                        self._guarded(self._attend, connection)
                    elif fd in self._door:
                        for sock, peer in self._door.knocks(fd, self._connections.__len__):
                            self._welcome(sock, peer)
                while self._mailbox:
                    self._mailbox.popleft()()
                self._expire(monotonic())
                if monotonic() >= self._closing:
                    break
        except Exception:
            log.exception("the server stops: its selector thread failed")
        finally:
            for connection in list(connections.values()):
                self._kill(connection)
            self._door.close()
            self._closed.set()
            while self._mailbox:  # of workers that did not see that in time
                self._mailbox.popleft()()

    def _guarded(self, action: Callable[[ServedConnection], None], connection: ServedConnection) -> None:
        """What goes wrong with one connection ends that one only."""
        try:
            action(connection)
        except Exception:
            log.exception("the association with %r fails", connection.peer, extra=connection.watcher.extra)
            self._kill(connection)

    def _patience(self) -> float | None:
        """Seconds until the next timer."""
        due = min(self._door.reopens, self._closing, self._timers.next)
        return None if due == NEVER else max(0.0, due - monotonic())

    def _welcome(self, sock: socket.socket, peer: tuple[Any, ...]) -> None:
        wire: Wire = sock
        try:
            tune(sock, accepted=True)
            if self._security is not None:
                wire = TLSSocket(sock, self._security, server_side=True)
        except OSError:
            sock.close()
            self._admission.leave(peer[0], associated=False)
            return
        core = Association(requestor=False, limits=self._limits, answers=self._answers)
        connection = ServedConnection(
            wire,
            core,
            self._limits,
            self._facilities,
            peer=peer,
            router=self._router,
            poller=self._poller,
            effects=self._effects,
            submit=self._pool.submit,
            decide=self._decide,
            watch=self._watch.open(peer),
            budget=self._budget,
            ring=self._fed,
        )
        self._connections[connection.fd] = connection
        core.tick(monotonic())
        core.connected()
        if self._handshakes is not None and connection.securing:
            self._settle(connection)
        else:
            self._guarded(self._attend, connection)  # the request is often here already

    def _decide(self, connection: ServedConnection, event: AssociationRequested) -> None:
        """An A-ASSOCIATE-RQ: answered as negotiation proposes, unless the caller is to be asked."""
        refusal = event.proposal.reject
        if refusal is not None:
            self._answer(connection, Reject(refusal.result, refusal.source, refusal.reason))
        elif self._authorize is None:
            self._answer(connection, ACCEPT)
        else:
            self._pool.submit(partial(self._judge, connection, event, self._authorize))

    def _judge(
        self, connection: ServedConnection, event: AssociationRequested, authorize: Callable[[Any], Any]
    ) -> None:
        """Ask the caller; on a worker."""
        if connection.core.state is not State.Sta3:
            return  # the peer has left, or its time is over
        try:
            answer = decision(authorize(replace(event, peer=connection.peer)))
        except BaseException as error:  # also SystemExit: the peer is not to wait for its time-out
            answer = undecided(connection, error)
        self._post(lambda: self._guarded(partial(self._judged, answer=answer), connection))

    def _judged(self, connection: ServedConnection, answer: Decision) -> None:
        if self._connections.get(connection.fd) is connection:
            self._answer(connection, answer)
            self._settle(connection)

    def _answer(self, connection: ServedConnection, answer: Decision) -> None:
        """Accept or reject, unless the house is full or closing."""
        if reply(connection, answer, self._has_room):
            self._long.discard(connection.fd)

    def _has_room(self, connection: ServedConnection) -> bool:
        connection.established = has_room(connection, self._admission, connection.peer, self._closing < NEVER)
        return connection.established

    def _attend(self, connection: ServedConnection) -> None:
        """A socket is ready: read one block, and find out who is to go on."""
        with connection.lock:
            if connection.lent:
                return  # a report that was under way when a worker took the reading
            if connection.parting:
                connection.drain()
                self._settle(connection)
                return
            if self._handshakes is not None and connection.securing:
                self._handshakes.go_on(connection)
                return
            now = monotonic()
            if connection.waiting_since is not None:
                connection.waited(now)
            connection.core.tick(now)
            connection.read()
            if connection.performers:
                self._attend_performing(connection)
                return
        if not connection.established and connection.core.held_length > self._limits.handshake_length:
            self._long.add(connection.fd)
            if len(self._long) > LONG_REQUESTS:
                what, extra = "the request of %s is long, as are those of %s others", connection.watcher.extra
                log.warning(what, connection.peer, LONG_REQUESTS, extra=extra)
                self._kill(connection)
                return
        self._settle(connection)

    def _attend_performing(self, connection: ServedConnection) -> None:
        """Workers run providers, which now know if the peer is gone or cancels. With its lock held."""
        connection.flush()
        if connection.runnable:
            self._lend(connection)
        elif connection.over is None:
            connection.watch()

    def _settle(self, connection: ServedConnection) -> None:
        """Write, then lend, close or watch. Only for connections that no worker has."""
        if connection.performers:
            with connection.lock:
                if not connection.lent:
                    self._attend_performing(connection)
            return
        if not connection.outbox.empty:
            connection.flush()
        if connection.runnable:
            self._lend(connection)
            return
        if not (connection.parting or connection.ended) and connection.finished:
            connection.part()
        if connection.ended:
            self._drop(connection)
            return
        self._rest(connection)
        self._timers.schedule(connection)
        connection.watch()

    def _lend(self, connection: ServedConnection) -> None:
        connection.lent = True
        self._pool.submit(connection)

    def _rest(self, connection: ServedConnection) -> None:
        """Nothing goes on: it is to cost little, and not for ever."""
        if connection.inbox:
            connection.outbox.release_memory()
        else:
            connection.release_memory()
        connection.plan_deadline(monotonic())

    def _drop(self, connection: ServedConnection) -> None:
        """Close a connection that no worker has."""
        if self._connections.pop(connection.fd, None) is None:
            return
        self._long.discard(connection.fd)
        self._admission.leave(connection.peer[0], associated=connection.established)
        self._poller.forget(connection.fd)
        self._timers.forget(connection)
        connection.close()
        self._door.has_room()

    # timers

    def _expire(self, now: float) -> None:
        if now >= self._door.reopens:
            self._door.reopen()
        for work in self._timers.works(now):
            self._pool.submit(partial(self._effects.run, work))
        for connection in self._timers.due(now):
            with connection.lock:
                if connection.lent or connection.performers:
                    continue  # it gets a new timer when it is given back
            if connection.deadline > now:
                self._timers.schedule(connection)
            else:
                self._guarded(self._overdue, connection)

    def _overdue(self, connection: ServedConnection) -> None:
        if connection.parting:
            self._drop(connection)
            return
        if connection.over is not None or connection.core.close_transport:
            self._drop(connection)  # it does not even take our last word
            return
        if connection.securing:
            tell_failure(took_too_long(self._limits), connection.watcher, heard=connection.sock.heard)
        connection.waited(monotonic())
        connection.tick()
        if connection.operations.starved:
            connection.operations.give_up()
            self._settle(connection)
            return
        if not connection.core.close_transport:
            connection.abort(connection.too_late(dawdling=connection.dawdles(0.0)))
        self._settle(connection)

    def _later(self, delay: float, work: Callable[[], Any]) -> None:
        """Have a work of `At` done in a while. From a worker."""
        if self._timers.work_count >= self._limits.deferred_count:
            raise LimitExceeded("too much work is put off already, Limits.deferred_count", answer=0xA700)
        moment = monotonic() + delay
        self._post(lambda: None if self._closing < NEVER else self._timers.put_off(moment, work))

    # closing

    def _begin_closing(self, until: float) -> None:
        self._closing = min(self._closing, until)
        self._door.close()
        self._timers.drop_works()
        for connection in list(self._connections.values()):
            if not connection.lent and not connection.busy:
                self._kill(connection)

    def _kill(self, connection: ServedConnection) -> None:
        """Abort at once, as far as the socket takes it; one at work only if its worker is inside a provider."""
        with connection.lock:
            if not connection.lent:
                if connection.over is None:
                    connection.abort(AssociationAborted("the server closes", answer=(0, 0)))
                connection.flush()
                connection.ended = True
            with suppress(OSError):  # the peer was faster
                connection.sock.shutdown(socket.SHUT_RDWR)  # a worker that has it sees the end of the connection
            running = list(connection.operations.running.values())
            channels = [channel for operation in running for channel in operation.channels]
            if not (connection.lent or connection.performers) and connection.orphans:
                self._lend(connection)  # their providers are to be closed
        if not (connection.lent or connection.performers):
            self._drop(connection)
        for channel in channels:
            channel.abort()

    # a worker

    def _labour(self, item: ServedConnection | Callable[[], Any], worker: Worker[Any]) -> None:
        if isinstance(item, ServedConnection):
            self._serve(item, worker)
            return
        try:
            item()
        except BaseException:  # also SystemExit: it ends that work, not the worker
            log.exception("a work of the server failed")

    def _serve(self, connection: ServedConnection, worker: Worker[Any]) -> None:
        """Serve one association until it has nothing more to do. Nothing here waits longer than LINGER for the peer."""
        pool = self._pool
        began = monotonic()
        try:
            while True:
                if not connection.work():
                    return
                written = connection.outbox.empty or connection.flush()
                if connection.over is not None or self._closing < NEVER:
                    break
                if connection.runnable:
                    continue
                if connection.performers:
                    break  # what they write has to be waited for too, by the selector
                if pool.crowded and monotonic() - began > SLICE:
                    pool.submit(connection)
                    return
                midway = connection.exchange.receiving
                if (midway or not connection.short) and connection.pull(through=True):
                    continue
                # Between messages nothing is there yet: to wait first saves a read in vain.
                asked = monotonic() if midway else 0.0
                ready = connection.wait(worker.linger, written=written, timeout=LINGER)
                if midway and connection.dawdles(monotonic() - asked):
                    connection.abort(connection.too_late(dawdling=True))
                    break
                if not ready:
                    break
                connection.pull(through=True)
        except BaseException as error:  # also SystemExit of a provider: the association is to be given back
            log.exception("serving %r failed", connection.operations.calling_ae, extra=connection.watcher.extra)
            connection.abort(AssociationAborted(f"serving failed: {error}", answer=(0, 0)))
        self._give_back(connection)

    def _give_back(self, connection: ServedConnection) -> None:
        """To the selector; it is woken only if the connection ended or its timer has to be moved forward."""
        with connection.lock:
            if not connection.try_rest():
                self._pool.submit(connection)
                return
            if connection.over is None and connection.performers:
                connection.watch()
                return
            if connection.over is None and self._closing == NEVER:
                self._rest(connection)
                if connection.deadline >= connection.timer_at:
                    connection.watch()
                    return
        self._return(connection)

    def _return(self, connection: ServedConnection) -> None:
        with connection.lock:
            connection.lent = False
        self._post(lambda: self._guarded(self._returned, connection))
        if self._closed.is_set():
            self._drop(connection)  # the selector, which would have done it, has ended
            connection.work()  # what still waited for the peer is closed too

    def _fed(self, connection: ServedConnection) -> None:
        """There may be memory for what waits. From any thread."""
        self._post(lambda: self._guarded(self._resume, connection))

    def _resume(self, connection: ServedConnection) -> None:
        if self._connections.get(connection.fd) is connection and not connection.lent:
            self._settle(connection)

    def _returned(self, connection: ServedConnection) -> None:
        if connection.lent or connection.performers or self._connections.get(connection.fd) is not connection:
            return
        if self._closing < NEVER and (not connection.busy or self._closed.is_set()):
            self._kill(connection)  # also what is half done, once nobody is left to see it through
        else:
            self._settle(connection)
