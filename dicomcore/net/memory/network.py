"""Servers and associations in one simulated time: what the package promises."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Mapping
from itertools import count
from types import MappingProxyType
from typing import Any

from dicomcore.errors import AssociationAborted, LocalProtocolError, NegotiationError, PeerTimeout
from dicomcore.limits import DEFAULT_LIMITS, Limits
from dicomcore.net.memory.links import Done, Link, Requestor, Served, Workers
from dicomcore.net.memory.wire import DUTIFUL, Conduct, Plug, Schedule, join
from dicomcore.services.base import Associate, At, Call, Perform, Router, ServiceProvider, User
from dicomcore.ul import Acceptance, Answers, Association, AsyncWindow, Release, RoleSelection, propose
from dicomcore.ul import Associate as Request

__all__ = ["MemoryAssociation", "MemoryServer", "Network"]

log = logging.getLogger("dicomcore.net")


class MemoryServer:
    """Serves on a `Network` until `kill`; ``connections`` are those that are open, in the order they came."""

    def __init__(
        self,
        network: Network,
        host: str,
        services: Iterable[ServiceProvider],
        acceptance: Acceptance,
        workers: int,
        limits: Limits,
        conduct: Conduct,
    ) -> None:
        self.network = network
        self.host = host
        self.limits = limits
        self.conduct = conduct
        self.connections: dict[int, Served] = {}
        self.router = Router(services)
        self.answers = Answers(acceptance, limits)
        self._workers = Workers(network, workers, network.latency)

    @property
    def association_count(self) -> int:
        """Associations that stand now."""
        return sum(connection.established for connection in self.connections.values())

    def welcome(self, plug: Plug, peer: str) -> Served:
        """Serve what comes out of this plug."""
        core = Association(requestor=False, limits=self.limits, answers=self.answers)
        served = Served(self, self.network, plug, core, self.limits, self.router, self._workers)
        served.operations.peer = peer
        self.connections[served.fd] = served
        core.connected()
        served.wake()
        return served

    def kill(self, *, power: bool = False) -> None:
        """End as a killed process does: nothing more is done or said, and the system closes its connections.

        ``power``: as a machine does, whose peers hear nothing.
        """
        self._workers.stopped = True
        self.network.servers.pop(self.host, None)
        for served in list(self.connections.values()):
            served.vanish(silently=power)
        self.connections.clear()


class MemoryAssociation:
    """An association as its user holds it; ``link`` has the core and the wire."""

    def __init__(self, network: Network, link: Link) -> None:
        self.link = link
        self._network = network

    @property
    def negotiated(self) -> Any:
        return self.link.core.negotiated

    @property
    def is_open(self) -> bool:
        return self.link.over is None

    def start(self, user: User, done: Done) -> None:
        """Begin to run a user; ``done(result, failure)`` hears of its end. At most the window's number runs at once."""
        self.link.start(user, done)

    def perform(self, user: User) -> Any:
        """Run a user to its end: its result."""
        outcome: list[tuple[Any, BaseException | None]] = []
        self.start(user, lambda value, failure: outcome.append((value, failure)))
        self._network.run(lambda: bool(outcome))
        if not outcome:
            raise PeerTimeout("nothing more happens on this network")
        value, failure = outcome[0]
        if failure is not None:
            raise failure
        return value

    def leave(self, *, aborting: bool = False) -> None:
        """Begin to release, or to abort."""
        link = self.link
        if aborting:
            link.break_off(AssociationAborted("this side aborted the association", answer=(0, 0)))
        elif link.over is None and link.core.established:
            link.core.request(Release())
        link.wake()

    def release(self) -> None:
        """End the association in good order, as far as the peer lets it come to that."""
        self.leave()
        self._network.run(lambda: self.link.closed)

    def abort(self) -> None:
        """End the association at once."""
        self.leave(aborting=True)
        self._network.run(lambda: self.link.closed)


class Network(Schedule):
    """Servers and associations in one simulated time.

    ``latency``: seconds that a provider's `Call` takes, twice; ``reaction``: until an association notices what
    happened; ``slow_writes``: how likely it is that a sink is written to by a worker, which takes ``latency``.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        conduct: Conduct = DUTIFUL,
        latency: tuple[float, float] = (0.0, 0.001),
        reaction: tuple[float, float] = (0.0, 0.0),
        slow_writes: float = 0.0,
    ) -> None:
        super().__init__(seed)
        self.conduct = conduct
        self.latency = latency
        self.reaction = reaction
        self.slow_writes = slow_writes
        self.servers: dict[str, MemoryServer] = {}
        self._numbers = count(1, 2)

    def serve(
        self,
        services: Iterable[ServiceProvider],
        *,
        host: str = "server",
        ae_title: str = "ANY-SCP",
        workers: int = 8,
        window: int = 1,
        roles: Mapping[str, tuple[bool, bool]] = MappingProxyType({}),
        limits: Limits = DEFAULT_LIMITS,
        conduct: Conduct | None = None,
    ) -> MemoryServer:
        """A server called ``host``; it takes the place of one that was killed."""
        if host in self.servers:
            raise LocalProtocolError(f"{host} serves already")
        services = tuple(services)
        acceptance = Acceptance(
            ae_title=ae_title,
            supported=Router(services).supported,
            max_pdu_length=limits.pdu_length,
            window=AsyncWindow(window, window),
            roles=roles,
        )
        server = MemoryServer(self, host, services, acceptance, workers, limits, conduct or self.conduct)
        self.servers[host] = server
        return server

    def connect(self, server: MemoryServer, conduct: Conduct | None = None) -> Plug:
        """A bare connection to a server: the plug at its near end."""
        near, far = join(self, conduct or self.conduct, server.conduct, next(self._numbers))
        if self.servers.get(server.host) is server:
            server.welcome(far, f"client {near.fileno()}")
        else:
            far.close()
        return near

    def open(
        self,
        server: MemoryServer,
        done: Done,
        *,
        contexts: Iterable[tuple[str, Iterable[str]]],
        calling_ae: str = "ANY-SCU",
        called_ae: str = "ANY-SCP",
        window: int = 1,
        services: Iterable[ServiceProvider] = (),
        roles: Iterable[RoleSelection] = (),
        limits: Limits = DEFAULT_LIMITS,
        conduct: Conduct | None = None,
    ) -> MemoryAssociation:
        """Begin to associate; ``done(association, failure)``. The association is returned before it stands."""
        request = propose(
            contexts,
            calling_ae=calling_ae,
            called_ae=called_ae,
            max_pdu_length=limits.pdu_length,
            roles=roles,
            window=None if window == 1 else AsyncWindow(window, window),
        )
        core = Association(requestor=True, limits=limits)
        core.request(Request(request))
        plug = self.connect(server, conduct)
        workers = Workers(self, 1, self.latency)
        link = Requestor(self, plug, core, limits, Router(services), workers)
        association = MemoryAssociation(self, link)
        link.told = lambda failure: done(association if failure is None else None, failure)
        core.connected()
        link.wake()
        return association

    def associate(self, server: MemoryServer, **options: Any) -> MemoryAssociation:
        """The same, and let time pass until it stands. NegotiationError, AssociationRejected, AssociationAborted or
        PeerTimeout say why it does not."""
        outcome: list[tuple[MemoryAssociation, BaseException | None]] = []
        self.open(server, lambda value, failure: outcome.append((value, failure)), **options)
        self.run(lambda: bool(outcome))
        association, failure = outcome[0]
        if failure is not None:
            raise failure
        return association

    def perform(self, effect: Any, channels: list[Any], workers: Workers, done: Done) -> None:
        """Do what a provider wants; ``done`` is called later, never at once."""
        kind = type(effect)
        if kind is Call:
            workers.submit(lambda: effect.fn(*effect.args), done)
        elif kind is Perform and effect.channel is not None:
            self.later(0.0, lambda: effect.channel.start(effect.user, done))
        elif kind is Associate and (server := self.servers.get(effect.host)) is not None:

            def opened(association: Any, failure: BaseException | None) -> None:
                if failure is None:
                    channels.append(association)
                done(association, failure)

            self.later(0.0, lambda: self.open(server, opened, **effect.options))
        elif kind is At:
            self.later(effect.delay, lambda: self._begin(effect.work, workers))
            self.later(0.0, lambda: done(None, None))
        else:
            what = NegotiationError(f"no connection to {effect.host}") if kind is Associate else None
            error = what or LocalProtocolError(f"{kind.__name__} cannot be performed here", hint="see dicomcore.aio")
            self.later(0.0, lambda: done(None, error))

    def _begin(self, work: Callable[[], Generator[Any, Any, None]], workers: Workers) -> None:
        """Run the work of an `At` to its end."""
        if workers.stopped:
            return
        generator = work()
        channels: list[Any] = []

        def go_on(value: Any, failure: BaseException | None) -> None:
            try:
                effect = generator.send(value) if failure is None else generator.throw(failure)
            except StopIteration:
                pass
            except Exception as error:
                log.warning("work that was put off failed: %s", error, exc_info=error)
            else:
                self.perform(effect, channels, workers, go_on)
                return
            for channel in channels:
                channel.leave()

        go_on(None, None)
