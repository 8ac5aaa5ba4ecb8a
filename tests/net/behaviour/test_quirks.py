"""Odd peers, with every driver: each does what its quirk names; borne with it, and without it as the standard says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from dicomcore.data.part10 import read_header
from dicomcore.dimse.command import command, encode_command
from dicomcore.errors import AssociationAborted
from dicomcore.services.base import Call, Request, Response, ServiceContext
from dicomcore.services.storage import StorageSCP
from dicomcore.services.verification import VerificationSCP
from dicomcore.ul import (
    Accept,
    Acceptance,
    Association,
    AssociationRequested,
    Quirks,
    Release,
    Released,
    ReleaseRequested,
    ReleaseResponse,
    RoleSelection,
    contexts_for,
    encode,
    propose,
)
from dicomcore.vocab.sop_classes import VERIFICATION
from dicomcore.vocab.syntaxes import EXPLICIT_LE, IMPLICIT_LE
from tests.net.conftest import CT, PATIENCE, RawPeer, Scripted, eventually, raw_socket, write_ct
from tests.ul.wire import p_data, pdv

from .drivers import Driver


@contextmanager
def listening(answer: Callable[[AssociationRequested], Accept | None]) -> Iterator[int]:
    """A peer that takes one association after another, and answers each by a function: None hangs up."""
    acceptance = Acceptance(
        "ODD", supported={VERIFICATION: (EXPLICIT_LE.uid, IMPLICIT_LE.uid), CT: (EXPLICIT_LE.uid, IMPLICIT_LE.uid)}
    )

    def talk(sock: socket.socket) -> None:
        core = Association(requestor=False, acceptance=acceptance)
        core.connected()
        with sock:
            while not core.close_transport:
                count = sock.recv_into(core.buffer())
                if not count:
                    return
                core.received(count)
                for event in core.events():
                    if isinstance(event, AssociationRequested):
                        accept = answer(event)
                        if accept is None:
                            return
                        core.request(accept)
                    elif isinstance(event, ReleaseRequested):
                        core.request(ReleaseResponse())
                for part in core.segments() if core.wants_write else ():
                    sock.sendall(bytes(part))  # type: ignore[arg-type]

    def run(listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.settimeout(PATIENCE)
            with suppress(OSError):
                talk(sock)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run, args=(listener,), daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)
            assert not thread.is_alive()


def test_a_peer_that_hangs_up_on_the_window_item(driver: Driver) -> None:
    def answer(event: AssociationRequested) -> Accept | None:
        return None if event.request.user.async_window else Accept()

    with listening(answer) as port:
        with pytest.raises(AssociationAborted, match="try without it") as caught:
            driver.associate(port, window=0)
        assert "no-async" in str(caught.value)
        with driver.associate(port, window=0, quirks=Quirks.named("no-async")) as association:
            assert association.negotiated.window == (1, 1)


def test_a_peer_that_does_not_answer_role_selection(driver: Driver) -> None:
    roles = [RoleSelection(CT, False, True)]
    with listening(lambda event: Accept()) as port:
        for quirks, usable in ((Quirks(), 0), (Quirks.named("no-role-answer"), 1)):
            with driver.associate(port, contexts=[CT], roles=roles, quirks=quirks) as association:
                assert len(contexts_for(CT, None, association.negotiated, "scp")) == usable
                assert ("taken as agreed" in association.explain()) == bool(usable)


def padded_request() -> bytes:
    """Titles with what a C string left behind, UIDs with a dot too many."""
    request = propose([(VERIFICATION + ".", [IMPLICIT_LE.uid + "."])], calling_ae="RAW", called_ae="SERVER")
    raw = bytearray(encode(request))
    raw[10:26] = b"SERVER\0\xccbehind  "
    return bytes(raw)


@pytest.mark.parametrize(("quirks", "kind"), [(Quirks(), 3), (Quirks.named("odd-padding"), 2)])
def test_a_peer_that_pads_oddly(driver: Driver, quirks: Quirks, kind: int) -> None:
    server = driver.serve(VerificationSCP(), require_called_ae=True, quirks=quirks)
    with raw_socket(server.port) as sock:
        sock.sendall(padded_request())
        answer = sock.recv(1 << 16)
        assert answer[0] == kind
        if kind == 3:
            assert answer[6:] == b"\0\1\1\7"  # called AE title not recognized
            return
        body = encode_command(command("C-ECHO-RQ", AffectedSOPClassUID=VERIFICATION, MessageID=1), {})
        sock.sendall(p_data(pdv(1, 3, body)))
        assert sock.recv(1 << 16)[0] == 4


def test_a_command_and_its_data_set_in_one_pdu(driver: Driver, tmp_path: Path) -> None:
    uid = write_ct(tmp_path / "ct.dcm", 1000)
    header = read_header(tmp_path / "ct.dcm")
    data = (tmp_path / "ct.dcm").read_bytes()[header.dataset_offset :]
    server = driver.serve(StorageSCP(tmp_path / "out"))
    request = command("C-STORE-RQ", MessageID=1, AffectedSOPClassUID=CT, AffectedSOPInstanceUID=uid, Priority=0)
    with RawPeer(server.port, CT) as peer:
        peer.exchange.request(1, request, data)  # for the exchange to know; what it frames is not sent
        framed = b"".join(bytes(part) for part in peer.core.segments())  # type: ignore[arg-type]
        fragments = []
        while framed:
            stop = 6 + int.from_bytes(framed[2:6], "big")
            fragments.append(framed[12:stop])
            framed = framed[stop:]
        assert len(fragments) == 2
        peer.sock.sendall(p_data(pdv(1, 3, fragments[0]), pdv(1, 2, fragments[1])))
        (response,) = peer.receive()
        assert response.command.Status == 0
    (stored,) = (tmp_path / "out").iterdir()
    assert stored.read_bytes().endswith(data)


@pytest.mark.parametrize("quirks", [Quirks(), Quirks.named("release-pending")])
def test_a_peer_that_releases_while_a_response_is_pending(driver: Driver, quirks: Quirks) -> None:
    started, go, gone = threading.Event(), threading.Event(), threading.Event()

    def provider(request: Request, context: ServiceContext) -> Any:
        started.set()
        try:
            yield Call(go.wait, PATIENCE)
            yield Response(0x0000)
        finally:
            gone.set()

    server = driver.serve(Scripted(provider), quirks=quirks)
    with RawPeer(server.port) as peer:
        peer.exchange.request(1, command("C-ECHO-RQ", AffectedSOPClassUID=VERIFICATION))
        peer.flush()
        assert started.wait(PATIENCE)
        peer.core.request(Release())
        peer.flush()
        if quirks.drop_pending:
            assert list(peer.receive()) == [Released()]  # at once, though the provider is still at work
            go.set()
        else:
            go.set()
            heard: list[Any] = []
            while len(heard) < 2:
                heard += peer.receive()
            assert heard[0].command.Status == 0
            assert heard[1] == Released()
        assert gone.wait(PATIENCE)
    eventually(lambda: server.connection_count == 0)
