"""What is made for a first message only, and what stands for it until then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from dicomcore.dimse.command import command
from dicomcore.dimse.exchange import Exchange
from dicomcore.limits import Limits
from dicomcore.net import Server, aio
from dicomcore.net.operations import Operations
from dicomcore.net.provider import ServedConnection
from dicomcore.net.unbegun import UNBEGUN
from dicomcore.services.base import Router
from dicomcore.services.verification import VerificationSCP
from dicomcore.ul import Association
from dicomcore.vocab.sop_classes import VERIFICATION

from .conftest import RawPeer

Serving = Callable[..., Server]


def test_it_says_what_operations_say_that_have_not_begun() -> None:
    fresh: Any = Operations(Exchange(Association(requestor=False)), Limits(), Router([]), flush=lambda: True)
    names = [name for name in dir(UNBEGUN) if not name.startswith("_")]
    assert {"inbox", "idle", "next", "end"} < set(names)
    for name in names:
        if not callable(getattr(UNBEGUN, name)):
            said, value = getattr(UNBEGUN, name), getattr(fresh, name)
            assert said == value or (not list(said) and not list(value))
    assert UNBEGUN.next(room=True) is fresh.next(room=True) is None
    assert UNBEGUN.end() == fresh.end() == []


def test_an_association_without_a_message_makes_no_operations(serving: Serving) -> None:
    server = serving(VerificationSCP())
    with RawPeer(server.port) as peer:
        (connection,) = server._connections.values()
        assert isinstance(connection, ServedConnection)
        assert connection.operations is UNBEGUN
        peer.exchange.request(1, command("C-ECHO-RQ", AffectedSOPClassUID=VERIFICATION))
        peer.flush()
        assert peer.receive()[0].command.Status == 0
        begun = connection.operations
        assert begun is not UNBEGUN
        assert (begun.calling_ae, begun.called_ae, begun.peer) == ("RAW", "SERVER", connection.peer)
        peer.exchange.request(1, command("C-ECHO-RQ", AffectedSOPClassUID=VERIFICATION))
        peer.flush()
        assert peer.receive()[0].command.Status == 0
        assert connection.operations is begun


@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
def test_a_first_message_that_is_none_ends_the_association(
    serving: Serving, caplog: pytest.LogCaptureFixture, level: int
) -> None:
    caplog.set_level(level, "dicomcore")
    server = serving(VerificationSCP())
    with RawPeer(server.port) as peer:
        peer.core.send(1, False, b"no command has a data set here")
        peer.flush()
        (event,) = peer.receive()
        assert (event.source, event.by_peer) == (0, True)


def test_in_an_event_loop_alike() -> None:
    async def talk() -> None:
        async with aio.AE("SERVER").serve(0, host="127.0.0.1", services=[VerificationSCP()]) as server:
            house: Any = server
            async with aio.AE("RAW").associate("127.0.0.1", server.port, called_ae="SERVER") as association:
                (link,) = house._links
                assert link.operations is UNBEGUN
                assert await association.c_echo() == 0
                begun = link.operations
                assert (begun.calling_ae, begun.called_ae, begun.peer) == ("RAW", "SERVER", link.peer)

    asyncio.run(talk())
