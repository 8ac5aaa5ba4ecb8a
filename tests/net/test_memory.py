"""The driver in memory: what its user sees of associations, time, wires and servers that die."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from dicomcore.dimse.command import CommandField, command
from dicomcore.errors import AssociationAborted, AssociationRejected, LocalProtocolError, NegotiationError, PeerTimeout
from dicomcore.limits import Limits
from dicomcore.net.memory import Conduct, MemoryAssociation, MemoryServer, Network
from dicomcore.net.memory.links import Link
from dicomcore.services.base import Associate, At, Await, Call, Invoke, Perform, Request, Response, ServiceContext
from dicomcore.services.sending import StorageSCU
from dicomcore.services.storage import StorageSCP
from dicomcore.services.verification import VerificationSCP, c_echo
from dicomcore.ul import RoleSelection, State
from dicomcore.vocab.sop_classes import VERIFICATION
from tests.services.driver import CT, IMPLICIT, file_bytes, plan

CONTEXTS = [(VERIFICATION, (IMPLICIT,))]
COUNT = 70_000
USERS = 56
ECHO = command("C-ECHO-RQ", AffectedSOPClassUID=VERIFICATION)


class Scripted:
    """A service whose provider is a function of the test."""

    supported: Mapping[str, tuple[str, ...]] = MappingProxyType({VERIFICATION: (IMPLICIT,)})
    commands = frozenset({CommandField.C_ECHO_RQ})

    def __init__(self, *effects: Any) -> None:
        self._effects = effects
        self.outcomes: list[Any] = []

    def handle(self, request: Request, context: ServiceContext, /) -> Generator[Any, Any, None]:
        for effect in self._effects:
            made = effect(self.outcomes) if callable(effect) else effect
            try:
                self.outcomes.append((yield made))
            except Exception as error:
                self.outcomes.append(error)
        yield Response(0)


def echo(association: MemoryAssociation) -> int:
    return int(association.perform(c_echo(association.negotiated)).status)


@pytest.fixture
def network() -> Network:
    return Network(1)


@pytest.fixture
def server(network: Network) -> MemoryServer:
    return network.serve([VerificationSCP()])


def test_an_association_from_begin_to_end(network: Network, server: MemoryServer) -> None:
    association = network.associate(server, contexts=CONTEXTS)
    assert echo(association) == 0
    assert server.association_count == 1
    association.release()
    network.run()
    assert not server.connections
    assert association.link.core.state is State.Sta1
    assert 0 < network.now < 1
    with pytest.raises(AssociationAborted, match="released"):
        echo(association)


def test_objects_are_stored(network: Network, tmp_path: Path) -> None:
    store = network.serve([StorageSCP(tmp_path)], host="store")
    association = network.associate(store, contexts=[(plan().SOPClassUID, (IMPLICIT,))])
    path = tmp_path / "sent"
    path.write_bytes(file_bytes(plan("2.25.7"), IMPLICIT))
    assert association.perform(StorageSCU(association.negotiated).c_store(path)).status == 0
    association.release()
    assert (tmp_path / "2.25.7.dcm").read_bytes()[-20:] == path.read_bytes()[-20:]


def test_why_there_is_no_association(network: Network, server: MemoryServer) -> None:
    with pytest.raises(NegotiationError, match="CT Image Storage"):
        network.associate(server, contexts=[(CT, (IMPLICIT,))])
    small = network.serve([VerificationSCP()], host="small", limits=Limits(association_count=0))
    with pytest.raises(AssociationRejected):
        network.associate(small, contexts=CONTEXTS)
    server.kill()
    with pytest.raises(AssociationAborted):
        network.associate(server, contexts=CONTEXTS)
    network.run()
    assert not small.connections


def test_time_passes_without_waiting(network: Network) -> None:
    server = network.serve([Scripted(Call(lambda: None))], limits=Limits(idle_timeout=3600.0))
    network.latency = (50.0, 50.0)
    slow = network.serve([Scripted(Call(lambda: None))], host="slow")
    association = network.associate(slow, contexts=CONTEXTS)
    assert echo(association) == 0
    assert 100 < network.now < 101
    idle = network.associate(server, contexts=CONTEXTS)
    network.run(lambda: not idle.is_open)
    assert 3700 < network.now < 3701


def test_a_peer_that_never_answers_is_left(network: Network) -> None:
    network.latency = (1000.0, 1000.0)
    server = network.serve([Scripted(Call(lambda: None))])
    association = network.associate(server, contexts=CONTEXTS, limits=Limits(dimse_timeout=20.0))
    with pytest.raises(PeerTimeout):
        echo(association)
    assert 20 < network.now < 21


@pytest.mark.parametrize(
    ("bound", "sent"), [("idle_timeout", 0), ("network_timeout", 3), ("network_timeout", 40), ("dimse_timeout", -1)]
)
def test_a_peer_that_takes_too_long_is_told_over_what(network: Network, bound: str, sent: int) -> None:
    """A server's: idle, amid a PDU, amid a message, and a user's, in the words of the other drivers."""
    limits = Limits().but(**{bound: 7.0})
    network.latency = (1000.0, 1000.0)
    server = network.serve([Scripted(Call(lambda: None))], limits=limits)
    association = network.associate(server, contexts=CONTEXTS, limits=limits)
    link: Link = association.link if sent < 0 else next(iter(server.connections.values()))
    if sent < 0:
        association.start(c_echo(association.negotiated), lambda value, failure: None)
    else:
        association.link.exchange.request(1, ECHO)
        begun = b"".join(bytes(part) for part in association.link.core.segments())  # type: ignore[arg-type]
        association.link.plug.send(begun[:sent])
    since = network.now
    network.run(lambda: link.over is not None)
    assert f"longer than Limits.{bound} (7 s)" in str(link.over)
    assert 6.9 < network.now - since < 8


def test_a_provider_that_asks_waits_for_the_answer(network: Network) -> None:
    limits = Limits().but(dimse_timeout=90.0, network_timeout=5.0)

    def asks(outcomes: list[Any]) -> Perform:
        return Perform(wait_long())

    def wait_long() -> Generator[Any, Any, None]:
        yield Invoke(1, ECHO)

    server = network.serve([Scripted(asks)], limits=limits, roles={VERIFICATION: (True, True)})
    network.latency = (1000.0, 1000.0)
    association = network.associate(
        server,
        contexts=CONTEXTS,
        services=[Scripted(Call(lambda: None))],
        roles=[RoleSelection(VERIFICATION, True, True)],
    )
    (link,) = server.connections.values()
    since = network.now
    association.start(c_echo(association.negotiated), lambda value, failure: None)
    network.run(lambda: link.over is not None)
    assert "Limits.dimse_timeout (90 s)" in str(link.over)
    assert 89.9 < network.now - since < 91


@pytest.mark.parametrize("how", ["reset", "end", "silence"])
def test_a_wire_that_is_cut(network: Network, server: MemoryServer, how: Any) -> None:
    association = network.associate(server, contexts=CONTEXTS)
    association.link.plug.cut(association.link.plug.sent + 10, how)
    with pytest.raises((AssociationAborted, PeerTimeout)):
        echo(association)
    network.run()
    assert not server.connections


def test_slow_narrow_wires_carry_the_same(network: Network) -> None:
    conduct = Conduct(delay=(0.0, 0.1), read=(1, 3), write=(1, 5), capacity=7)
    server = network.serve([VerificationSCP()], conduct=conduct)
    association = network.associate(server, contexts=CONTEXTS, conduct=conduct)
    assert echo(association) == 0
    association.release()
    assert network.now > 1


def test_effects_of_providers(network: Network, server: MemoryServer) -> None:
    late: list[float] = []

    def work() -> Generator[Any, Any, None]:
        late.append(network.now)
        channel = yield Associate("server", 104, contexts=CONTEXTS)
        late.append((yield Perform(c_echo(channel.negotiated), channel)).status)

    scripted = Scripted(
        Associate("server", 104, contexts=CONTEXTS),
        lambda outcomes: Perform(c_echo(outcomes[0].negotiated), outcomes[0]),
        At(60.0, work),
        Associate("nowhere", 104, contexts=CONTEXTS),
        Await(lambda: None),  # type: ignore[arg-type, return-value]
        Call(divmod, 1, 0),
    )
    front = network.serve([scripted], host="front")
    association = network.associate(front, contexts=CONTEXTS)
    assert echo(association) == 0
    channel, answer, nothing, nowhere, awaited, divided = scripted.outcomes
    assert answer.status == 0
    assert nothing is None
    assert isinstance(nowhere, NegotiationError)
    assert isinstance(awaited, LocalProtocolError)
    assert isinstance(divided, ZeroDivisionError)
    network.run(lambda: channel.link.closed)  # left open, it is released
    network.run(lambda: len(late) == 2)
    assert late[0] > 60
    assert late[1] == 0


def test_users_beyond_the_window_wait(network: Network) -> None:
    server = network.serve([VerificationSCP()], window=2)
    association = network.associate(server, contexts=CONTEXTS, window=2)
    answers: list[Any] = []

    def user() -> Generator[Any, Any, Any]:
        return (yield Invoke(1, ECHO)).status

    for _ in range(10):
        association.start(user(), lambda value, failure: answers.append((value, failure)))
    network.run(lambda: len(answers) == 10)
    assert answers == [(0, None)] * 10
    association.abort()
    association.start(user(), lambda value, failure: answers.append(failure))
    network.run()
    assert isinstance(answers[-1], AssociationAborted)


@pytest.mark.parametrize("power", [False, True])
def test_a_server_that_is_killed(network: Network, server: MemoryServer, power: bool) -> None:
    association = network.associate(server, contexts=CONTEXTS)
    server.kill(power=power)
    with pytest.raises(PeerTimeout if power else AssociationAborted):
        echo(association)
    again = network.serve([VerificationSCP()])
    assert echo(network.associate(again, contexts=CONTEXTS)) == 0
    with pytest.raises(LocalProtocolError, match="serves already"):
        network.serve([VerificationSCP()])


def test_message_ids_go_round_past_one_that_is_in_flight(network: Network) -> None:
    """70,000 echoes on one association, 56 at a time (PS3.7 9.1.1.1: an id is not used again while its operation is
    under way)."""
    network.latency = (1000.0, 1000.0)
    slow = Scripted(Call(lambda: None))
    slow.supported = {CT: (IMPLICIT,)}
    server = network.serve([VerificationSCP(), slow], window=USERS + 1)
    association = network.associate(server, contexts=[*CONTEXTS, (CT, (IMPLICIT,))], window=USERS + 1)
    exchange = association.link.exchange

    def wait_long() -> Generator[Any, Any, None]:
        yield Invoke(3, command("C-ECHO-RQ", AffectedSOPClassUID=CT))

    def echoes() -> Generator[Any, Any, int]:
        count = 0
        for _ in range(COUNT // USERS):
            answer = yield Invoke(1, ECHO)
            used.append(answer.command.MessageIDBeingRespondedTo)
            count += answer.status == 0
        return count

    used: list[int] = []
    counts: list[int] = []
    association.start(wait_long(), lambda value, failure: None)
    for _ in range(USERS - 1):
        association.start(echoes(), lambda value, failure: counts.append(value))
    counts.append(association.perform(echoes()))
    assert counts == [COUNT // USERS] * USERS
    assert [*exchange.invoked] == [1]
    assert used == [*range(2, 0x10000), *range(2, COUNT - 0xFFFE + 2)]
    association.abort()


def test_who_asks_for_much_and_reads_nothing(network: Network) -> None:
    """Few answers are produced for it, all of them for another, and it is left when its time is over."""
    made: list[int] = []

    class Lengthy:
        supported = MappingProxyType({CT: (IMPLICIT,)})
        commands = frozenset({CommandField.N_GET_RQ})

        def handle(self, request: Request, context: ServiceContext, /) -> Generator[Any, Any, None]:
            yield Call(lambda: None)
            made.append(1)
            yield Response(0, bytes(1_000_000))

    def user() -> Generator[Any, Any, Any]:
        return (yield Invoke(1, wanted)).status

    wanted = command("N-GET-RQ", RequestedSOPClassUID=CT, RequestedSOPInstanceUID="1.2.3")
    server = network.serve([Lengthy()], window=16, limits=Limits(network_timeout=5.0))
    mute, other = (network.associate(server, contexts=[(CT, (IMPLICIT,))], window=16) for _ in range(2))
    link, _ = server.connections.values()
    answers: list[Any] = []
    mute.link._read = lambda: False  # type: ignore[method-assign]
    for _ in range(16):
        mute.start(user(), lambda value, failure: None)
    network.run(lambda: link.over is not None, within=4.0)
    assert link.over is None
    assert len(made) == 1
    assert 700_000 < link.outbox.held_length < 1_100_000
    for _ in range(16):
        other.start(user(), lambda value, failure: answers.append(value))
    network.run(lambda: len(answers) == 16)
    assert answers == [0] * 16
    assert len(made) == 17
    network.run(lambda: link.over is not None)
    assert "took no more data for longer than Limits.network_timeout" in str(link.over)
