"""Associations over TLS with every driver: what is agreed, who is refused in which words, and what is cut."""

from __future__ import annotations

import logging
import re
import socket
import ssl
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from dicomcore.errors import AssociationAborted, NegotiationError, PeerTimeout
from dicomcore.limits import Limits
from dicomcore.net.events import ConnectionClosed, ConnectionOpened, Event, HandshakeFailed
from dicomcore.net.tls import TLS, client_context, server_context
from dicomcore.services.storage import StorageSCP
from dicomcore.services.verification import VerificationSCP
from dicomcore.vocab.sop_classes import VERIFICATION
from tests.net.certificates import House, Identity
from tests.net.conftest import CT, eventually, raw_socket, read_to_end, write_ct

from .drivers import Driver


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    return House.build(tmp_path_factory.mktemp("certificates"))


def serve(driver: Driver, house: House, *services: Any, identity: Identity | None = None, **options: Any) -> Any:
    mine = identity or house.server
    clients = house.authority.file if options.pop("clients", False) else None
    tls = TLS(options.pop("profile", "B.12"), clients, certificate=mine.certificate, key=mine.key)
    return driver.serve(*services or (VerificationSCP(),), tls=tls, **options)


def bodies(folder: Path) -> Iterable[bytes]:
    return sorted(path.read_bytes()[-1000:] for path in folder.iterdir())


@pytest.mark.parametrize("profile", ["B.11", "B.12"])
def test_echo_and_store_with_certificates_on_both_sides(
    driver: Driver, house: House, ram_path: Path, profile: str
) -> None:
    (ram_path / "in").mkdir()
    paths = [ram_path / "in" / f"{number}.dcm" for number in range(12)]
    for number, path in enumerate(paths):
        write_ct(path, 100_000 * number + 1000)
    server = serve(
        driver, house, VerificationSCP(), StorageSCP(ram_path / "out"), clients=True, profile=profile, window=8
    )
    mine = house.client
    tls = TLS(profile, house.authority.file, certificate=mine.certificate, key=mine.key)
    for window in (1, 8):
        with driver.associate(server.port, contexts=[VERIFICATION, CT], window=window, tls=tls) as association:
            assert [association.c_echo() for _ in range(20)] == [0] * 20
            assert [result.status for result in association.c_store_many(paths, window=window)] == [0] * 12
    assert bodies(ram_path / "out") == bodies(ram_path / "in")
    eventually(lambda: server.connection_count == 0)


@pytest.mark.parametrize(
    ("identity", "words"),
    [("elsewhere", "IP address mismatch"), ("expired", "has expired"), ("unknown", "name the CA")],
)
def test_certificates_of_servers_that_are_not_accepted(driver: Driver, house: House, identity: str, words: str) -> None:
    server = serve(driver, house, identity=getattr(house, identity))
    with pytest.raises(NegotiationError, match=f"certificate is not accepted: .*{words}"):
        driver.associate(server.port, tls=TLS(cafile=house.authority.file))
    with driver.associate(server.port, tls=TLS(verify=False)) as association:
        assert association.c_echo() == 0
    eventually(lambda: server.connection_count == 0)


def test_a_server_is_told_why_its_certificate_is_not_accepted(
    driver: Driver, house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "dicomcore.net")
    server = serve(driver, house, identity=house.unknown)
    with pytest.raises(NegotiationError):
        driver.associate(server.port, tls=TLS(cafile=house.authority.file))
    eventually(lambda: server.connection_count == 0)
    told = [record for record in caplog.records if "no TLS connection" in record.getMessage()]
    assert [record.levelname for record in told] == ["INFO"]
    assert "it does not know the CA of this side's certificate" in told[0].getMessage()
    assert told[0].getMessage().startswith("127.0.0.1:")
    assert told[0].__dict__["association"]


def test_openssl_sees_the_alert(driver: Driver, house: House) -> None:
    """Whoever shows no certificate is told so, by an alert, before the connection ends."""
    server = serve(driver, house, clients=True)
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_2"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=240)
    assert "alert handshake failure" in done.stderr
    eventually(lambda: server.connection_count == 0)


def test_a_peer_that_stays_after_a_failed_handshake_is_left(driver: Driver, house: House) -> None:
    context = server_context(certificate=house.server.certificate, key=house.server.key)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    server = driver.serve(VerificationSCP(), tls=context)
    old = client_context("B.11", verify=False)
    leaving = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        old.wrap_bio(ssl.MemoryBIO(), leaving).do_handshake()
    hello = leaving.read()
    with raw_socket(server.port) as sock:
        sock.sendall(hello + b"unread" * 1000)
        assert read_to_end(sock) == bytes.fromhex("15 0303 0002 02 46")  # fatal: protocol_version (RFC 8446 6)
        eventually(lambda: server.connection_count == 0)  # though this end is still open
    with raw_socket(server.port) as sock:
        sock.sendall(hello)
        assert sock.recv(1)
        server.close(0)


@pytest.mark.parametrize("profile", ["B.11", "B.12"])
@pytest.mark.parametrize(("shown", "words"), [(None, "wants? a certificate"), ("unknown", "does not know the CA")])
def test_certificates_of_clients_that_are_not_accepted(
    driver: Driver, house: House, profile: str, shown: str | None, words: str
) -> None:
    server = serve(driver, house, clients=True, profile=profile)
    theirs: Identity | None = getattr(house, shown) if shown else None
    tls = TLS(profile, house.authority.file, certificate=theirs and theirs.certificate, key=theirs and theirs.key)
    with pytest.raises(NegotiationError, match=words):
        driver.associate(server.port, tls=tls)
    eventually(lambda: server.connection_count == 0)


def test_profiles_that_have_nothing_in_common(driver: Driver, house: House) -> None:
    context = server_context(certificate=house.server.certificate, key=house.server.key)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    server = driver.serve(VerificationSCP(), tls=context)
    with pytest.raises(NegotiationError, match="it shares no TLS version"):
        driver.associate(server.port, tls=TLS("B.11", cafile=house.authority.file))


HELLO = b"\x16\x03\x01\x02\x00\x01"  # the beginning of one
TIMES = (0.05, 1.0, 20.0)  # of a time-out: a machine that is busy gets the longer ones


def events_of(server: Any, heard: list[Event]) -> list[type[Event]]:
    eventually(lambda: heard and isinstance(heard[-1], ConnectionClosed))
    assert server.metrics.handshakes_failed == sum(isinstance(event, HandshakeFailed) for event in heard)
    return [type(event) for event in heard]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (None, "wants? a certificate|showed no certificate"),
        (b"GET / HTTP/1.1\r\n\r\n", "does not speak TLS"),
        (HELLO, "closed the connection"),
        (b"", None),
    ],
    ids=["stranger", "garbage", "left amid", "left"],
)
def test_handshakes_that_fail_are_told_and_counted(
    driver: Driver, house: House, said: bytes | None, words: str | None
) -> None:
    """Not those of who never said a word."""
    heard: list[Event] = []
    server = serve(driver, house, clients=True, on_event=heard.append)
    if said is None:
        with pytest.raises(NegotiationError):
            driver.associate(server.port, tls=TLS(cafile=house.authority.file))
    else:
        with raw_socket(server.port) as sock:
            sock.sendall(said)
            sock.shutdown(socket.SHUT_WR)
            read_to_end(sock)
    between = [HandshakeFailed] if words else []
    assert events_of(server, heard) == [ConnectionOpened, *between, ConnectionClosed]
    for event in heard[1:-1]:
        assert isinstance(event, HandshakeFailed)
        assert event.association == heard[0].association
        assert event.peer.startswith("127.0.0.1:")
        assert re.search(words or "", event.why), event


@pytest.mark.parametrize("said", [b"", HELLO], ids=["mute", "stalled"])
def test_a_handshake_that_takes_too_long_is_told_unless_nothing_was_said(
    driver: Driver, house: House, said: bytes
) -> None:
    for seconds in TIMES:
        heard: list[Event] = []
        server = serve(driver, house, limits=Limits(artim=seconds), on_event=heard.append)
        with raw_socket(server.port) as sock:
            sock.sendall(said)
            read_to_end(sock)
        found = events_of(server, heard)
        if not said or len(found) > 2:
            break
    between = [HandshakeFailed] if said else []
    assert found == [ConnectionOpened, *between, ConnectionClosed]
    assert all(f"within Limits.artim ({seconds:g} s)" in event.why for event in heard[1:-1])  # type: ignore[attr-defined]


def test_a_user_is_told_of_a_handshake_that_fails(driver: Driver, house: House) -> None:
    heard: list[Event] = []
    tls, kinds = TLS(cafile=house.authority.file), [ConnectionOpened, HandshakeFailed, ConnectionClosed]
    server = serve(driver, house, identity=house.unknown)
    with pytest.raises(NegotiationError):
        driver.associate(server.port, tls=tls, on_event=heard.append)
    eventually(lambda: [type(event) for event in heard] == kinds)
    assert "certificate is not accepted" in heard[1].why  # type: ignore[attr-defined]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        for seconds in TIMES:
            heard.clear()
            with pytest.raises(PeerTimeout) as late:
                driver.associate(port, tls=tls, limits=Limits().but(association_timeout=seconds), on_event=heard.append)
            if "not answer" in late.value.message or "not finish" in late.value.message:
                break  # it came so far
    eventually(lambda: [type(event) for event in heard] == kinds)
    assert "did not finish the TLS handshake" in heard[1].why  # type: ignore[attr-defined]


def test_tls_on_one_side_only(driver: Driver, house: House) -> None:
    secure, plain = serve(driver, house), driver.serve(VerificationSCP())
    with pytest.raises(AssociationAborted, match="does it want TLS there"):
        driver.associate(secure.port)
    with pytest.raises(NegotiationError, match="does not speak TLS there"):
        driver.associate(plain.port, tls=client_context(cafile=house.authority.file))
    eventually(lambda: not secure.connection_count and not plain.connection_count)


def test_stalled_handshakes_end_with_artim_and_hold_up_nobody(driver: Driver, house: House) -> None:
    server = serve(driver, house, limits=Limits(artim=2.0))
    stalled = [raw_socket(server.port) for _ in range(20)]
    for sock in stalled[::2]:
        sock.sendall(b"\x16\x03\x01\x02\x00\x01")
    with driver.associate(server.port, tls=TLS(cafile=house.authority.file)) as association:
        assert association.c_echo() == 0
    for sock in stalled:
        with sock:
            read_to_end(sock)
    eventually(lambda: server.connection_count == 0)


@pytest.mark.parametrize("secure", [False, True])
def test_health_checks_say_nothing(
    driver: Driver, house: House, caplog: pytest.LogCaptureFixture, secure: bool
) -> None:
    caplog.set_level(logging.INFO, "dicomcore")
    server = serve(driver, house) if secure else driver.serve(VerificationSCP())
    for number in range(20):
        sock = raw_socket(server.port)
        if number % 2:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
    tls = TLS(cafile=house.authority.file) if secure else None
    driver.associate(server.port, tls=tls).release()  # it was behind them all
    eventually(lambda: server.connection_count == 0)
    assert [record for record in caplog.records if not record.getMessage().startswith("association ")] == []


def test_an_abort_amid_an_association(driver: Driver, house: House) -> None:
    server = serve(driver, house)
    association = driver.associate(server.port, tls=TLS(cafile=house.authority.file))
    association.abort()
    assert not association.is_open
    eventually(lambda: server.connection_count == 0)
