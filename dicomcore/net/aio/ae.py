"""The application entity of an event loop: the names of `dicomcore.AE`, awaitable."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from dicomcore.limits import Limits
from dicomcore.net.ae import Context, Entity
from dicomcore.net.aio.association import Association
from dicomcore.net.aio.server import Server
from dicomcore.net.events import Event
from dicomcore.net.tls import TLS, TLSOption, client_settings, server_settings
from dicomcore.services.base import ServiceProvider
from dicomcore.ul import (
    NO_QUIRKS,
    AssociateRQ,
    AssociationRequested,
    CommonExtendedNegotiation,
    ExtendedNegotiation,
    Options,
    Quirks,
    RoleSelection,
    UserIdentity,
)

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["AE", "Opening"]

Opened = TypeVar("Opened", bound=Association | Server)


class Opening(Generic[Opened]):
    """``await`` it, or ``async with`` it; nothing happens before."""

    def __init__(self, begin: Callable[[], Coroutine[Any, Any, Opened]]) -> None:
        self._begin = begin
        self._opened: Opened | None = None

    def __await__(self) -> Generator[Any, Any, Opened]:
        return self._begin().__await__()

    async def __aenter__(self) -> Opened:
        self._opened = await self._begin()
        return self._opened

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._opened is not None
        await self._opened.__aexit__(kind, error, trace)


class AE(Entity):
    """An application entity called `title` (at most 16 characters, no backslash), for use in one event loop at a time.

    ``transcoder(dataset, transfer_syntax_uid)`` makes what a peer accepts out of pixel data that needs a codec, on a
    worker; unless one is given that is `dicomcore.transcode`, as far as it loses nothing. None: they are refused.
    """

    def associate(
        self,
        host: str,
        port: int,
        *,
        called_ae: str = "ANY-SCP",
        contexts: Iterable[Context] | Context | None = None,
        window: int = 1,
        services: Iterable[ServiceProvider] = (),
        roles: Iterable[RoleSelection] = (),
        extended: Iterable[ExtendedNegotiation] | Mapping[str, Options] = (),
        common_extended: Iterable[CommonExtendedNegotiation] = (),
        identity: UserIdentity | None = None,
        quirks: Quirks = NO_QUIRKS,
        tls: TLSOption = None,
        on_event: Callable[[Event], object] | None = None,
        limits: Limits | None = None,
    ) -> Opening[Association]:
        """Connect and agree on an association: ``await`` this, or use it in an ``async with`` block.

        The arguments, and what is raised, are those of `dicomcore.AE.associate`; ``services`` may use coroutines;
        ``on_event`` is called by a thread of the loop's executor.
        """
        limits = limits or self.limits
        served = tuple(services)

        def request() -> AssociateRQ:
            return self._request(
                limits,
                contexts,
                services=served,
                called_ae=called_ae,
                window=window,
                roles=roles,
                extended=extended,
                common_extended=common_extended,
                identity=identity,
                quirks=quirks,
            )

        async def begin() -> Association:
            # Contexts may be made of files, which a worker reads.
            asked = request() if contexts is None else await asyncio.to_thread(request)
            return await Association.open(
                host,
                port,
                asked,
                limits,
                self._facilities,
                self._transcoder,
                services=served,
                associate=self.associate,
                quirks=quirks,
                security=await asyncio.to_thread(client_settings, tls, host) if tls else None,
                on_event=on_event,
            )

        return Opening(begin)

    def serve(
        self,
        port: int = 11112,
        *,
        services: Iterable[ServiceProvider],
        host: str = "",
        workers: int = 8,
        window: int = 1,
        roles: Mapping[str, tuple[bool, bool]] = MappingProxyType({}),
        extended: Mapping[str, Options] = MappingProxyType({}),
        quirks: Quirks = NO_QUIRKS,
        require_called_ae: bool = False,
        allowed_calling: Sequence[str] = (),
        authorize: Callable[[AssociationRequested], Any] | None = None,
        tls: ssl.SSLContext | TLS | None = None,
        on_event: Callable[[Event], object] | None = None,
        limits: Limits | None = None,
    ) -> Opening[Server]:
        """Serve these services in this loop: ``await`` this for the `Server`, or use it in an ``async with`` block.

        The arguments are those of `dicomcore.AE.serve`. ``workers`` bounds the threads for all that may block;
        ``authorize`` and the callbacks of services may be coroutine functions. OSError when the port cannot be had.
        """
        limits = limits or self.limits
        services = tuple(services)
        acceptance = self._acceptance(
            limits,
            services,
            window=window,
            roles=roles,
            extended=extended,
            quirks=quirks,
            require_called_ae=require_called_ae,
            allowed_calling=allowed_calling,
        )
        server = Server(
            services,
            acceptance,
            workers=workers,
            limits=limits,
            facilities=self._facilities,
            associate=self.associate,
            authorize=authorize,
            security=server_settings(tls),
            on_event=on_event,
        )
        return Opening(lambda: server.start(port, host))
