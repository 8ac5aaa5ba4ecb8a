"""Who may have an association, over every driver: the caller decides while the core waits in Sta3, not for ever."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from dicomcore.errors import AssociationRejected
from dicomcore.limits import Limits
from dicomcore.services.verification import VerificationSCP
from dicomcore.ul import Accept, Accepted, AssociationRequested, Reject, UserIdentity, propose
from dicomcore.ul.codec import encode
from dicomcore.vocab.sop_classes import VERIFICATION
from dicomcore.vocab.syntaxes import EXPLICIT_LE
from tests.net.conftest import CT, PATIENCE, RawPeer, eventually, raw_socket

from .drivers import DRIVERS, Driver, LoopDriver


@pytest.mark.parametrize(
    "identity",
    [
        UserIdentity.username("me", response=True),
        UserIdentity.passcode("me", "secret", response=True),
        UserIdentity.kerberos(b"ticket", response=True),
        UserIdentity.saml("<Assertion/>", response=True),
        UserIdentity.jwt("a.b.c", response=True),
    ],
)
def test_who_asks_is_judged_and_told(driver: Driver, identity: UserIdentity) -> None:
    asked: list[tuple[Any, str]] = []

    def authorize(event: AssociationRequested) -> Any:
        asked.append((event.identity, event.peer[0]))
        return b"" if identity.type < 3 else b"welcome"

    server = driver.serve(VerificationSCP(), authorize=authorize)
    with driver.associate(server.port, identity=identity) as association:
        assert association.c_echo() == 0
        assert association.negotiated.identity_response == (b"" if identity.type < 3 else b"welcome")
    assert asked == [(identity, "127.0.0.1")]


@pytest.mark.parametrize(
    ("outcome", "answer"),
    [
        (False, (1, 1, 1)),
        (Reject(2, 1, 3), (2, 1, 3)),
        (Reject(1, 1, 7), (1, 1, 7)),
        (RuntimeError("on purpose"), (2, 2, 1)),
        ("yes", (1, 1, 1)),
    ],
)
def test_decisions_that_reject(driver: Driver, outcome: Any, answer: tuple[int, int, int]) -> None:
    def authorize(event: AssociationRequested) -> Any:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    server = driver.serve(VerificationSCP(), authorize=authorize)
    with pytest.raises(AssociationRejected) as caught:
        driver.associate(server.port)
    assert caught.value.answer == answer
    eventually(lambda: server.connection_count == 0)


def test_a_decision_may_keep_some_contexts(driver: Driver) -> None:
    server = driver.serve(VerificationSCP(), authorize=lambda event: Accept(contexts=[3]))
    with driver.associate(server.port, contexts=[CT, VERIFICATION]) as association:
        assert list(association.negotiated.contexts) == [3]
        assert association.c_echo() == 0


def test_a_decision_has_its_deadline(driver: Driver) -> None:
    over = threading.Event()

    def authorize(event: AssociationRequested) -> bool:
        return over.wait(PATIENCE)

    server = driver.serve(VerificationSCP(), authorize=authorize, limits=Limits(association_timeout=0.1))
    with pytest.raises(AssociationRejected) as caught:
        driver.associate(server.port)
    assert caught.value.answer == (2, 3, 1)
    over.set()
    eventually(lambda: server.connection_count == 0)


def test_a_peer_that_leaves_takes_its_request_back(driver: Driver) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def authorize(event: AssociationRequested) -> bool:
        asked.set()
        return go_on.wait(PATIENCE)

    server = driver.serve(VerificationSCP(), authorize=authorize)
    with raw_socket(server.port) as sock:
        rows = [(VERIFICATION, (EXPLICIT_LE.uid,))]
        sock.sendall(encode(propose(rows, calling_ae="RAW", called_ae="SERVER")))
        assert asked.wait(PATIENCE)
        assert server.connection_count == 1
    go_on.set()
    eventually(lambda: server.connection_count == 0)
    with driver.associate(server.port) as association:
        assert association.c_echo() == 0


@pytest.mark.parametrize("kind", DRIVERS[1:])
def test_a_coroutine_that_decides_ends_with_its_deadline(kind: str) -> None:
    """It is cancelled; the loop is free meanwhile."""
    happened: list[str] = []

    async def authorize(event: AssociationRequested) -> bool:
        if event.request.calling_ae == "USER":
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                happened.append("ended")
        return True

    driver = LoopDriver(kind)
    try:
        server = driver.serve(VerificationSCP(), authorize=authorize, limits=Limits(association_timeout=1.0))
        with pytest.raises(AssociationRejected) as caught:
            driver.associate(server.port)
        assert caught.value.answer == (2, 3, 1)
        eventually(lambda: happened == ["ended"])
        with RawPeer(server.port) as peer:
            assert isinstance(peer.first, Accepted)
    finally:
        driver.close()


def test_a_decision_that_exits_refuses(driver: Driver, caplog: pytest.LogCaptureFixture) -> None:
    def authorize(event: AssociationRequested) -> Any:
        raise SystemExit(1)

    server = driver.serve(VerificationSCP(), authorize=authorize, workers=1)
    for _ in range(3):
        with pytest.raises(AssociationRejected) as caught:
            driver.associate(server.port)
        assert caught.value.answer == (2, 2, 1)
    assert "SystemExit" in caplog.text
