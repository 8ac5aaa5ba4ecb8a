"""An association as a coroutine holds it: the calls of the blocking one, awaitable, as many at a time as were agreed.

The peer is listened to all the while, so what it asks is served, and its end noticed, between calls too. Calls beyond
the window wait for their turn. Cancelling a task that waits for a response aborts the association, since what is still
on its way cannot be called back; one that waits for its turn has sent nothing and ends nothing.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from dicomcore.errors import (
    AssociationAborted,
    DicomError,
    LocalProtocolError,
    NegotiationError,
    PeerTimeout,
    ServiceError,
)
from dicomcore.limits import Limits
from dicomcore.net.aio.link import Asked, UserLink, step
from dicomcore.net.aio.securing import secured
from dicomcore.net.aio.storing import StoreMany
from dicomcore.net.aio.workers import Workers
from dicomcore.net.association import Storable
from dicomcore.net.calls import GenericCalls, first
from dicomcore.net.events import Event as WatchEvent
from dicomcore.net.hooks import Hooks
from dicomcore.net.metrics import Metrics
from dicomcore.net.poller import Facilities
from dicomcore.net.tls import SecuritySettings, why_no_tls
from dicomcore.net.transport import bare_host, join_address, no_address, no_connection, tune
from dicomcore.net.verdict import agreed
from dicomcore.net.watch import Log, Watch
from dicomcore.services.base import Answer, Invoke, More, Router, ServiceProvider, User
from dicomcore.services.messages import Ask, failure
from dicomcore.services.normalized import Outcome
from dicomcore.services.query import Found, Progress
from dicomcore.services.sending import StorageSCU, Transcoder
from dicomcore.services.verification import c_echo
from dicomcore.ul import NO_QUIRKS, Associate, AssociateRQ, Negotiated, Quirks, Release, explain
from dicomcore.ul import Association as Core
from dicomcore.vocab.status import StatusCategory, category, describe

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["Association", "Responses"]

T = TypeVar("T")

log = Log("net")


class Association(GenericCalls[Awaitable[Outcome], "Responses[Found]", "Responses[Progress]"]):
    """An open association; made by `AE.associate`. ``async with`` releases it at the end, aborts it on an exception."""

    def __init__(self, link: UserLink, transcoder: Transcoder | None) -> None:
        assert link.negotiated is not None
        self.negotiated: Negotiated = link.negotiated
        self.peer = link.peer
        self._link = link
        self._limits = link.limits
        self._storage = StorageSCU(self.negotiated, transcoder=transcoder, limits=link.limits)

    # life

    @classmethod
    async def open(
        cls,
        host: str,
        port: int,
        request: AssociateRQ,
        limits: Limits,
        facilities: Facilities,
        transcoder: Transcoder | None = None,
        *,
        services: Iterable[ServiceProvider] = (),
        associate: Callable[..., Any],
        quirks: Quirks = NO_QUIRKS,
        security: SecuritySettings | None = None,
        on_event: Callable[[WatchEvent], object] | None = None,
    ) -> Association:
        """Connect and agree. NegotiationError, AssociationRejected, AssociationAborted or PeerTimeout say why not."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limits.association_timeout
        peer = f"{request.called_ae} at {join_address(host, port)}"
        router = Router(services)
        sock = await _connect(host, port, min(limits.connect_timeout, limits.association_timeout))
        try:
            core = Core(requestor=True, limits=limits, quirks=quirks)
            workers = Workers(loop, 0, facilities)
            hooks = None if on_event is None else Hooks(on_event, partial(workers.post, workers.submit))
            link = UserLink(
                sock,
                core,
                limits,
                facilities,
                router,
                workers=workers,
                direct=security is None,
                associate=associate,
                watch=Watch(peer, hooks),
            )
            link.peer = peer
            core.request(Associate(request))
        except BaseException:
            sock.close()
            raise
        await _agree(link, deadline, security)
        negotiated = agreed(link, request, peer, link.broken, secure=security is not None)
        association = cls(link, transcoder)
        if not negotiated.contexts:
            await association.release()
            raise NegotiationError(explain(request, negotiated.answer, quirks))
        return association

    @property
    def is_open(self) -> bool:
        """Whether operations are possible, as far as is known without asking the network."""
        return self._link.over is None

    @property
    def cipher(self) -> tuple[str, str] | None:
        """Version of TLS and cipher suite, such as ("TLSv1.3", "TLS_AES_256_GCM_SHA384"); None without TLS."""
        return self._link.cipher

    @property
    def metrics(self) -> Metrics:
        """What it has done so far."""
        return self._link.watcher.metrics()

    def explain(self) -> str:
        """What was proposed, what the peer made of it, and which side lacks what."""
        return explain(self.negotiated.request, self.negotiated.answer, self.negotiated.quirks)

    async def release(self) -> None:
        """End the association in good order; a peer that does not answer in time (`Limits`) is aborted."""
        link = self._link
        try:
            if link.over is None:
                await link.until(lambda: not link.asked and link.operations.idle)
            if link.over is None:
                with link.lock:
                    link.core.request(Release())
                link.work()
            await link.gone()
        except BaseException:
            link.break_off(AssociationAborted("the release was broken off", answer=(0, 0)))
            link.work()
            raise
        if not link.released:
            log.info("release of %s: %s", self.peer, link.over, extra=link.watcher.extra)

    async def abort(self) -> None:
        """End the association at once."""
        self._break_off("this side aborted the association")
        await self._link.gone()

    def _break_off(self, why: str) -> None:
        self._link.break_off(AssociationAborted(why, answer=(0, 0)))
        self._link.work()

    async def wait(self, timeout: float) -> bool:
        """Serve what the peer sends unasked for `timeout` seconds; True while the association stands."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._link.until(lambda: False)
        return self._link.over is None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            await self.release()
        else:
            await self.abort()

    # operations

    async def c_echo(self, *, check: bool = False) -> int:
        """Ask whether the peer is there (PS3.4 A); the status. ServiceError for a failure if ``check``."""
        answer: Answer = await self._perform(c_echo(self.negotiated))
        return self._checked(answer.status, "C-ECHO", check)

    async def c_store(self, source: Storable, *, check: bool = False) -> int:
        """Send one instance, by path or as a Dataset (PS3.4 B); the status.

        NegotiationError when no accepted context fits it; EncodingError or OSError when it cannot be read: the
        association stands after these. ServiceError for a failure status if ``check``.
        """
        answer: Answer = await self._perform(self._storage.c_store(source), elsewhere=True)
        return self._checked(answer.status, "C-STORE", check)

    def _checked(self, status: int, service: str, check: bool) -> int:
        if check and category(status) is StatusCategory.FAILURE:
            raise ServiceError(f"{self.peer} answered {service} with {describe(status, service)}", answer=status)
        return status

    def c_store_many(self, sources: Iterable[Storable], *, window: int = 1) -> StoreMany:
        """Send instances one after the other: ``async for result in association.c_store_many(...)``.

        Up to ``window`` requests are under way at a time, if the peer agreed to that. Files are opened, and encoded if
        need be, by a worker, some ahead. Nothing is sent before it is iterated.
        """
        return StoreMany(self._link, self._storage, sources, window)

    def responses(self, invoke: Invoke) -> Responses[Answer]:
        """The answers to one request, as they come: ``async for answer in association.responses(invoke)``.

        Leaving it early cancels a C-FIND, C-GET or C-MOVE; what still comes is dropped.
        """
        return Responses(self._link, Ask(invoke, _itself, invoke.command.name), False)

    def _finding(self, ask: Ask[Found], check: bool) -> Responses[Found]:
        return Responses(self._link, ask, check)

    def _moving(self, ask: Ask[Progress], check: bool) -> Responses[Progress]:
        return Responses(self._link, ask, check)

    async def _once(self, ask: Ask[Outcome], check: bool) -> Outcome:
        answer: Answer = await self._perform(first(ask.invoke))
        if check and (error := failure(answer.command, ask.service, self.peer)) is not None:
            raise error
        return ask.read(answer)

    async def perform(self, user: User) -> Any:
        """Run the generator of a service's user side, on a worker: send what it yields, hand it the responses.

        Its return value is the result.
        """
        return await self._perform(user, elsewhere=True)

    async def _perform(self, user: User, *, elsewhere: bool = False) -> Any:
        link = self._link
        asked: Asked | None = None
        answer: Answer | None = None
        try:
            if link.over is not None:
                raise link.why_over()
            while True:
                if elsewhere:
                    over, effect = await link.workers.run(step, user, answer)
                else:
                    over, effect = step(user, answer)
                if over:
                    return effect
                if not isinstance(effect, More):
                    await link.turn()
                    if link.over is not None:
                        raise link.why_over()
                    asked = link.ask(effect)
                if asked is None:
                    raise LocalProtocolError("a user asked for more before it asked for anything")
                answer = await link.answer(asked)
        except BaseException:
            if asked is not None and not asked.done:
                self._break_off("an operation was broken off")
            raise
        finally:
            if asked is not None:
                link.abandon(asked)
            link.let_go(user)


class Responses(Generic[T]):
    """What the peer answers to one request, to be iterated over once; close it, or drop it, to want no more.

    Nothing is sent before it is iterated.
    """

    def __init__(self, link: UserLink, ask: Ask[T], check: bool) -> None:
        self._link = link
        self._ask = ask
        self._check = check
        self._begun = False
        self._asked: Asked | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        link = self._link
        if not self._begun:
            self._begun = True
            await link.turn()
            if link.over is not None:
                raise link.why_over()
            self._asked = link.ask(self._ask.invoke)
        asked = self._asked
        if asked is None or (asked.done and not asked.answers):
            raise StopAsyncIteration
        try:
            answer = await link.answer(asked)
        except asyncio.CancelledError:
            link.break_off(AssociationAborted("an operation was broken off", answer=(0, 0)))
            link.work()
            raise
        if self._check and (error := failure(answer.command, self._ask.service, link.peer)) is not None:
            raise error
        return self._ask.read(answer)

    def close(self) -> None:
        """Want no more."""
        asked, self._asked, self._begun = self._asked, None, True
        if asked is not None:
            self._link.abandon(asked)

    async def aclose(self) -> None:
        """Want no more, and wait until the peer has heard of it and answered the last time."""
        asked = self._asked
        self.close()
        if asked is not None:
            await self._link.until(lambda: asked.done)

    def __del__(self) -> None:
        if self._asked is not None and not self._link.loop.is_closed():
            self._link.workers.post(self.close)  # a collector may call from any thread


async def _agree(link: UserLink, deadline: float, security: SecuritySettings | None) -> None:
    """Open the transport and wait for the peer's answer, or until it is known why none will come."""
    seconds = link.limits.association_timeout
    try:
        async with asyncio.timeout_at(deadline) as timeout:
            await _open_transport(link, timeout, security)
            await link.until(lambda: link.negotiated is not None or link.refusal is not None)
    except TimeoutError:
        late = PeerTimeout(f"{link.peer} did not answer within {seconds:g} s", answer=(0, 0))
        await _leave(link, late)
        raise late from None
    except BaseException as error:
        await _leave(link, AssociationAborted(f"not associated: {error}", answer=(0, 0)))
        raise
    if link.negotiated is None:
        await link.gone()  # then it is known why


async def _open_transport(link: UserLink, timeout: asyncio.Timeout, security: SecuritySettings | None) -> None:
    """Give a link its transport, under TLS if that is wanted; ``timeout`` is the caller's."""
    peer, securing = link.peer, None
    options: dict[str, Any] = {}
    if security is not None:
        securing, options = secured(security, link.sock, link.limits.association_timeout)
        options["server_hostname"] = security.server_name or ""
    try:
        await link.loop.create_connection(lambda: link, sock=link.sock, **options)
    except BaseException as error:
        failure: DicomError | None = None
        if isinstance(error, OSError) and not isinstance(error, TimeoutError):
            failure = AssociationAborted(f"{peer}: {error}") if security is None else why_no_tls(error, peer)
        if securing is not None:
            securing.close()
            if failure is not None:
                link.watcher.unsecured(failure)
            elif timeout.expired():
                link.watcher.unsecured(PeerTimeout(f"{peer} did not finish the TLS handshake in time"))
        await link.lose()
        if failure is not None:
            raise failure from error
        raise


async def _leave(link: UserLink, reason: DicomError) -> None:
    """Abort what is not associated yet."""
    link.break_off(reason)
    if link.transport is None:
        await link.lose()
        return
    link.work()
    await link.gone()


def _itself(answer: Answer) -> Answer:
    return answer


async def _connect(host: str, port: int, timeout: float) -> socket.socket:
    """Connect within `timeout` seconds over all addresses of `host`. NegotiationError or PeerTimeout says why not."""
    loop = asyncio.get_running_loop()
    host = bare_host(host, port)
    where = join_address(host, port)
    failure: OSError | None = None
    try:
        async with asyncio.timeout(timeout):
            for family, kind, protocol, _, address in await _addresses(host, port, where):
                sock = socket.socket(family, kind, protocol)
                try:
                    tune(sock)
                    await loop.sock_connect(sock, address)
                except OSError as error:
                    sock.close()
                    failure = error
                except BaseException:
                    sock.close()
                    raise
                else:
                    return sock
    except TimeoutError as error:
        failure = error
    raise no_connection(where, timeout, failure) from failure


async def _addresses(host: str, port: int, where: str) -> Any:
    try:
        with suppress(socket.gaierror):  # not a number: somebody has to be asked
            flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
        return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise no_address(where, error) from error
