"""Associations over TLS: profiles, certificates, who is told what, and a connection that is cut or stalls anywhere."""

from __future__ import annotations

import ipaddress
import logging
import random
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from dicomcore import AE, Limits, StorageSCP, VerificationSCP, store
from dicomcore.dimse.command import command
from dicomcore.dimse.exchange import Exchange
from dicomcore.errors import AssociationAborted, DicomError, LocalProtocolError, NegotiationError, PeerTimeout
from dicomcore.net import Server
from dicomcore.net import tls as module
from dicomcore.net.poller import Facilities
from dicomcore.net.tls import TLS, SecuritySettings, client_context, openssl_name, server_context, unavailable
from dicomcore.net.tls_socket import TLSSocket
from dicomcore.net.transport import connect, join_address, split_address
from dicomcore.ul import (
    Accept,
    Acceptance,
    Accepted,
    Associate,
    Association,
    AssociationRequested,
    AsyncWindow,
    Release,
    propose,
)
from dicomcore.vocab.sop_classes import VERIFICATION
from dicomcore.vocab.syntaxes import EXPLICIT_LE
from dicomcore.vocab.tls import TLSProfile, tls_profile, tls_profiles

from .certificates import House, Identity
from .conftest import CT, PATIENCE, RawPeer, eventually, raw_socket, read_to_end, write_ct

PROFILES = ["B.9", "B.10", "B.11", "B.12", "B.13"]
Serving = Callable[..., Server]


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    return House.build(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def securely(serving: Serving, house: House) -> Serving:
    """``securely(service, ..., certificate=..., client_ca=...)`` serves over TLS."""

    def start(*services: Any, identity: Identity = house.server, cafile: Path | None = None, **options: Any) -> Server:
        profile = options.pop("profile", "B.12")
        options.setdefault("tls", TLS(profile, certificate=identity.certificate, key=identity.key, cafile=cafile))
        return serving(*services or (VerificationSCP(),), **options)

    return start


@pytest.fixture
def trusting(house: House) -> TLS:
    return TLS(cafile=house.authority.file)


class SecretPeer(RawPeer):
    """A requestor that is under TLS, by the standard library alone."""

    def __init__(self, port: int, house: House, *abstract_syntaxes: str, window: Any = None) -> None:
        self.sock = secret_socket(port, house)
        self.core = Association(requestor=True)
        rows = [(uid, (EXPLICIT_LE.uid,)) for uid in abstract_syntaxes or (VERIFICATION,)]
        self.core.request(Associate(propose(rows, calling_ae="RAW", called_ae="SERVER", window=window)))
        self.core.connected()
        self.flush()
        self.first, *self._more = self.receive()
        assert isinstance(self.first, Accepted)
        self.exchange = Exchange(self.core, Limits(operations_window=1000))


def secret_socket(port: int, house: House) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(house.authority.file))
    return context.wrap_socket(raw_socket(port), server_hostname="localhost", suppress_ragged_eofs=False)


# profiles and contexts


def test_the_five_profiles() -> None:
    profiles = tls_profiles()
    assert [row.clause for row in profiles.values()] == [f"PS3.15 {clause}" for clause in PROFILES]
    assert [row.oldest for row in profiles.values()] == [(1, 0), (1, 2), (1, 2), (1, 2), (1, 2)]
    assert not profiles["bcp195-extended"].tls13


@pytest.mark.parametrize("name", PROFILES)
def test_a_context_offers_what_the_profile_lists_and_nothing_else(name: str, house: House) -> None:
    profile = tls_profile(name)
    assert profile is not None
    wanted = {openssl_name(suite) for suite in profile.suites}
    for context in (
        client_context(name),
        server_context(name, certificate=house.server.certificate, key=house.server.key),
    ):
        offered = {row["name"] for row in context.get_ciphers() if row["protocol"] != "TLSv1.3"}
        assert offered == wanted - {openssl_name(suite) for suite in unavailable(name)}
        assert offered
        assert context.options & ssl.OP_NO_RENEGOTIATION
        assert (context.maximum_version is ssl.TLSVersion.TLSv1_2) == (name == "B.11")
        assert (context.minimum_version is ssl.TLSVersion.TLSv1_2) == (name != "B.9")
    assert client_context(name).check_hostname
    assert client_context(name).verify_mode is ssl.CERT_REQUIRED


def test_names_of_openssl() -> None:
    assert openssl_name("TLS_RSA_WITH_AES_128_CBC_SHA") == "AES128-SHA"
    assert openssl_name("TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8") == "ECDHE-ECDSA-AES256-CCM8"
    assert openssl_name("TLS_ECDHE_RSA_WITH_CAMELLIA_128_GCM_SHA256") == "ECDHE-RSA-CAMELLIA128-GCM-SHA256"
    assert openssl_name("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256") == "ECDHE-RSA-CHACHA20-POLY1305"


def test_what_openssl_lacks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "TLS_ECDHE_RSA_WITH_CAMELLIA_128_GCM_SHA256" in unavailable("B.13")
    assert TLS("bcp195-rfc9325").unavailable == ()
    odd = TLSProfile(
        "odd", "PS3.15 B.0", False, "TLSv1.2", "", True, 0, 0, ("TLS_RSA_WITH_CAMELLIA_128_GCM_SHA256",), ()
    )
    monkeypatch.setattr(module, "tls_profile", lambda name: odd)
    with pytest.raises(LocalProtocolError, match=r"OpenSSL .* has nothing of TLS profile odd"):
        client_context("odd")


def test_files_and_arguments_that_do_not_fit_are_named(house: House, tmp_path: Path) -> None:
    locked = house.authority.issue("locked", password=b"open")
    text = tmp_path / "text"
    text.write_text("no PEM")
    server = house.server
    wrong: list[tuple[Callable[[], object], str]] = [
        (lambda: client_context("B.1"), "no TLS profile.*B.12"),
        (lambda: client_context(cafile=tmp_path / "none.pem"), "none.pem: No such file"),
        (lambda: client_context(cafile=text), "no CA certificates in .*text"),
        (lambda: client_context(capath=tmp_path / "none"), "no folder"),
        (lambda: client_context(cadata="nothing"), "cadata"),
        (lambda: client_context(key=server.key), "a key without"),
        (lambda: server_context(certificate=tmp_path / "none.pem"), "none.pem: No such file"),
        (lambda: server_context(certificate=server.certificate, key=house.client.key), "that of another certificate"),
        (lambda: server_context(certificate=text, key=text), "no certificate to show in .*text"),
        (lambda: server_context(certificate=locked.certificate, key=locked.key), "is encrypted; give its password"),
        (lambda: server_context(certificate=locked.certificate, key=locked.key, password="shut"), "locked"),
        (
            lambda: AE().associate("localhost", 1, tls=server_context(certificate=server.certificate, key=server.key)),
            "for servers",
        ),
        (lambda: AE().associate("localhost", 1, tls="yes"), "tls='yes'"),  # type: ignore[arg-type]
        (lambda: AE().serve(0, services=[], tls=client_context()), "for clients"),
        (lambda: AE().serve(0, services=[], tls=TLS()), "needs a certificate"),
        (lambda: AE().serve(0, services=[], tls=True), "needs a certificate"),  # type: ignore[arg-type]
    ]
    for call, words in wrong:
        with pytest.raises(LocalProtocolError, match=words):
            call()
    assert server_context(certificate=locked.certificate, key=locked.key, password="open")
    assert "open" not in repr(TLS(password="open"))


# agreement


@pytest.mark.parametrize(
    ("profile", "kind"),  # TLS 1.2 in B.9 and B.10 takes certificates of RSA keys only
    [*((profile, "rsa_server") for profile in PROFILES), *((profile, "server") for profile in PROFILES[2:])],
)
def test_every_profile_with_itself(
    securely: Serving, user: AE, house: House, tmp_path: Path, profile: str, kind: str
) -> None:
    path = tmp_path / "ct.dcm"
    write_ct(path, 300_000)
    server = securely(VerificationSCP(), StorageSCP(tmp_path / "out"), identity=getattr(house, kind), profile=profile)
    tls = TLS(profile, cafile=house.authority.file)
    with user.associate("localhost", server.port, contexts=[VERIFICATION, path], tls=tls) as association:
        assert association.c_echo() == 0
        assert association.c_store(path) == 0
        wire = association._connection.sock
        assert isinstance(wire, TLSSocket)
        assert wire.version() == ("TLSv1.2" if profile == "B.11" else "TLSv1.3")
    (stored,) = (tmp_path / "out").rglob("*.dcm")
    assert stored.read_bytes()[-200_000:] == path.read_bytes()[-200_000:]


def test_tls_1_2_with_diffie_hellman_over_integers(securely: Serving, user: AE, house: House) -> None:
    server = securely(identity=house.rsa_server, profile="B.11")
    context = client_context("B.11", cafile=house.authority.file)
    context.set_ciphers("DHE-RSA-AES256-GCM-SHA384")
    with user.associate("localhost", server.port, tls=context) as association:
        assert association.c_echo() == 0


def test_tls_1_0_where_the_profile_allows_it(securely: Serving, user: AE, house: House) -> None:
    server = securely(identity=house.rsa_server, profile="B.9")
    context = client_context("B.9", cafile=house.authority.file)
    with pytest.deprecated_call():
        context.maximum_version = ssl.TLSVersion.TLSv1
    with user.associate("localhost", server.port, tls=context) as association:
        assert association.c_echo() == 0
        assert association._connection.sock.version() == "TLSv1"
    server = securely(identity=house.rsa_server, profile="B.10")
    with pytest.raises(NegotiationError, match="shares no TLS version"):
        user.associate("localhost", server.port, tls=context)


def test_a_name_of_the_server_is_sent_and_checked(serving: Serving, user: AE, house: House) -> None:
    context = server_context(certificate=house.elsewhere.certificate, key=house.elsewhere.key)
    asked: list[str | None] = []
    context.sni_callback = lambda sock, name, ctx: asked.append(name)
    server = serving(VerificationSCP(), tls=context)
    tls = TLS(cafile=house.authority.file, server_name="elsewhere.invalid")
    with user.associate("127.0.0.1", server.port, tls=tls) as association:
        assert association.c_echo() == 0
    assert asked == ["elsewhere.invalid"]


def test_both_show_certificates(securely: Serving, user: AE, house: House) -> None:
    server = securely(cafile=house.authority.file)
    tls = TLS(cafile=house.authority.file, certificate=house.client.certificate, key=house.client.key)
    for given in (tls, client_context(cafile=tls.cafile, certificate=tls.certificate, key=tls.key)):
        with user.associate("localhost", server.port, tls=given) as association:
            assert association.c_echo() == 0


@pytest.mark.parametrize(
    ("identity", "words"),
    [
        ("elsewhere", "Hostname mismatch.*a name of its certificate"),
        ("expired", "certificate has expired"),
        ("unknown", "unable to get local issuer certificate.*; name the CA"),
    ],
)
def test_certificates_of_servers_that_are_not_accepted(
    securely: Serving, user: AE, house: House, trusting: TLS, identity: str, words: str
) -> None:
    server = securely(identity=getattr(house, identity))
    with pytest.raises(NegotiationError, match=f"ANY-SCP at localhost:{server.port}.*not accepted: .*{words}"):
        user.associate("localhost", server.port, tls=trusting)
    with user.associate("localhost", server.port, tls=TLS(verify=False)) as association:
        assert association.c_echo() == 0
    eventually(lambda: server.connection_count == 0)


def test_any_name_of_a_trusted_server_if_asked_for(securely: Serving, user: AE, house: House) -> None:
    server = securely(identity=house.elsewhere)
    tls = TLS(cafile=house.authority.file, check_hostname=False)
    with user.associate("localhost", server.port, tls=tls) as association:
        assert association.c_echo() == 0


@pytest.mark.parametrize("profile", ["B.11", "B.12"])  # TLS 1.2 and 1.3: in the latter the client is done first
@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (None, "wants? a certificate"),
        ("unknown", "does not know the CA of this side's certificate"),
        ("expired", "finds this side's certificate expired"),
    ],
)
def test_certificates_of_clients_that_are_not_accepted(
    securely: Serving, user: AE, house: House, profile: str, shown: str | None, words: str
) -> None:
    server = securely(cafile=house.authority.file, profile=profile)
    identity: Identity | None = getattr(house, shown) if shown else None
    tls = TLS(
        profile,
        cafile=house.authority.file,
        certificate=identity and identity.certificate,
        key=identity and identity.key,
    )
    for _ in range(5):  # the alert never gets lost behind a reset
        with pytest.raises(NegotiationError, match=words):
            user.associate("localhost", server.port, tls=tls)
    eventually(lambda: server.connection_count == 0)
    assert server.association_count == 0


def test_profiles_that_have_nothing_in_common(serving: Serving, user: AE, house: House) -> None:
    context = server_context(certificate=house.server.certificate, key=house.server.key)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    server = serving(VerificationSCP(), tls=context)
    with pytest.raises(NegotiationError, match="shares no TLS version or cipher suite"):
        user.associate("localhost", server.port, tls=TLS("B.11", cafile=house.authority.file))


# TLS on one side only


def test_a_plain_user_at_a_secure_port_is_told_at_once(securely: Serving, user: AE) -> None:
    server = securely()
    with pytest.raises(AssociationAborted, match="does it want TLS there"):
        user.associate("localhost", server.port)
    eventually(lambda: server.connection_count == 0)


def test_a_secure_user_at_a_plain_port_is_told_at_once(serving: Serving, user: AE, trusting: TLS) -> None:
    server = serving(VerificationSCP())
    with pytest.raises(NegotiationError, match=r"does not speak TLS there.*; is this the port for TLS"):
        user.associate("localhost", server.port, tls=trusting)
    eventually(lambda: server.connection_count == 0)


def test_a_mute_server_is_waited_for_no_longer_than_for_an_association(facilities: Facilities) -> None:
    user = AE("USER", limits=Limits(association_timeout=0.3), facilities=facilities)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PeerTimeout, match="did not finish the TLS handshake"):
            user.associate("127.0.0.1", port, tls=TLS(verify=False))


def test_a_server_that_leaves_amid_the_handshake(user: AE) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def leave() -> None:
            sock, _ = listener.accept()
            sock.recv(100)
            sock.close()

        thread = threading.Thread(target=leave)
        thread.start()
        with pytest.raises(NegotiationError, match="closed the connection without an answer"):
            user.associate("127.0.0.1", port, tls=TLS(verify=False))
        thread.join(PATIENCE)


# the server under peers that stall, cut and leave


def test_stalled_handshakes_cost_nobody_else_and_end_with_artim(
    securely: Serving, house: House, trusting: TLS, facilities: Facilities
) -> None:
    server = securely(workers=1, limits=Limits(artim=3.0))
    hello = client_hello()
    with ExitStack() as stack:
        stalled = [stack.enter_context(raw_socket(server.port)) for _ in range(40)]
        for number, sock in enumerate(stalled):
            sock.sendall(hello[: number * len(hello) // 39])
        user = AE("USER", facilities=facilities)
        for _ in range(3):
            with user.associate("localhost", server.port, tls=trusting) as association:
                assert association.c_echo() == 0
        for sock in stalled:
            read_to_end(sock)
    eventually(lambda: server.connection_count == 0)


def test_a_handshake_that_computes_for_long_delays_nobody_else(
    securely: Serving, house: House, user: AE, trusting: TLS
) -> None:
    """Here it is the choice of a certificate by the name that is asked for; with large keys it is arithmetic."""
    begun, go_on = threading.Event(), threading.Event()

    def choose(tls: ssl.SSLObject, name: str, context: ssl.SSLContext) -> None:
        if name == "slow.example":
            begun.set()
            assert go_on.wait(PATIENCE)

    context = server_context(certificate=house.server.certificate, key=house.server.key)
    context.sni_callback = choose
    server = securely(tls=context, workers=1)
    with user.associate("localhost", server.port, tls=trusting) as association, raw_socket(server.port) as sock:
        sock.sendall(client_hello("slow.example"))
        assert begun.wait(PATIENCE)
        try:
            assert association.c_echo() == 0
            with user.associate("localhost", server.port, tls=trusting) as other:
                assert other.c_echo() == 0
        finally:
            go_on.set()
        assert sock.recv(1)  # it goes on as if nothing had been
    eventually(lambda: server.connection_count == 0)


def test_a_server_closes_while_a_handshake_computes(securely: Serving, house: House) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def choose(tls: ssl.SSLObject, name: str, context: ssl.SSLContext) -> None:
        begun.set()
        assert go_on.wait(PATIENCE)

    context = server_context(certificate=house.server.certificate, key=house.server.key)
    context.sni_callback = choose
    server = securely(tls=context)
    with raw_socket(server.port) as sock:
        sock.sendall(client_hello())
        assert begun.wait(PATIENCE)
        closing = threading.Thread(target=server.close, args=(0.0,))
        closing.start()
        assert read_to_end(sock) == b""
        go_on.set()
        closing.join(PATIENCE)
        assert not closing.is_alive()
    assert server.wait(0)
    eventually(lambda: not any(thread.name.startswith("dicomcore-handshake") for thread in threading.enumerate()))


def client_hello(name: str = "localhost") -> bytes:
    arrived, leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        client_context().wrap_bio(arrived, leaving, server_hostname=name).do_handshake()
    return leaving.read()


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("manner", ["close", "reset", "handshake"])
def test_health_checks_cost_nothing_and_say_nothing(
    securely: Serving, house: House, caplog: pytest.LogCaptureFixture, secure: bool, manner: str
) -> None:
    caplog.set_level(logging.INFO, "dicomcore")
    server = securely() if secure else securely(tls=None)
    for _ in range(50):
        sock = secret_socket(server.port, house) if secure and manner == "handshake" else raw_socket(server.port)
        if manner == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
    eventually(lambda: server.connection_count == 0)
    assert caplog.text == ""


def test_faults_of_the_handshake_are_told_once(securely: Serving, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "dicomcore")
    server = securely()
    with raw_socket(server.port) as sock:
        port = sock.getsockname()[1]
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        read_to_end(sock)
    eventually(lambda: server.connection_count == 0)
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert f"127.0.0.1:{port}: no TLS connection: it does not speak TLS there" in caplog.text
    assert caplog.records[0].__dict__["association"]


@pytest.mark.parametrize("count", [1, 60, 120, 250])
def test_what_lies_in_one_record_is_answered(securely: Serving, house: House, count: int) -> None:
    """The system does not know of what TLS has decrypted and nobody has read yet."""
    server = securely(limits=Limits(operations_window=1000), window=0)
    with SecretPeer(server.port, house, window=AsyncWindow(0, 0)) as peer:
        data = b""
        for _ in range(count):
            peer.exchange.request(1, command("C-ECHO-RQ", AffectedSOPClassUID=VERIFICATION))
        while peer.core.wants_write:
            data += b"".join(map(bytes, peer.core.segments()))  # type: ignore[arg-type]
        for start in range(0, len(data), 16384):
            peer.sock.sendall(data[start : start + 16384])
        answered = 0
        while answered < count:
            answered += len(peer.receive())


def test_records_that_arrive_byte_by_byte(securely: Serving, house: House, user: AE, trusting: TLS) -> None:
    server = securely()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=relay, args=(listener, server.port, 1))
        thread.start()
        with user.associate("localhost", listener.getsockname()[1], tls=trusting) as association:
            assert association.c_echo() == 0
        thread.join(PATIENCE)


def relay(listener: socket.socket, port: int, size: int) -> None:
    """Pass on what one client sends, a few bytes at a time; what the server sends goes back likewise."""
    near, _ = listener.accept()
    far = raw_socket(port)
    near.settimeout(PATIENCE)
    for sock in (near, far):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def pump(one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(size):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    back = threading.Thread(target=pump, args=(far, near))
    back.start()
    pump(near, far)
    back.join(PATIENCE)
    near.close()
    far.close()


class Meddler:
    """Passes everything on between one client and a server, but for one place in one direction."""

    def __init__(self, port: int, place: int, *, upwards: bool, change: bool) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, args=(port, place, upwards, change))
        self._thread.start()

    def _run(self, port: int, place: int, upwards: bool, change: bool) -> None:
        near, _ = self._listener.accept()
        far = raw_socket(port)
        near.settimeout(PATIENCE)
        with near, far:
            back = threading.Thread(target=self._pass, args=(far, near, -1 if upwards else place, change))
            back.start()
            self._pass(near, far, place if upwards else -1, change)
            back.join(PATIENCE)

    @staticmethod
    def _pass(one: socket.socket, other: socket.socket, place: int, change: bool) -> None:
        passed = 0
        with suppress(OSError):
            while data := bytearray(one.recv(1 << 16)):
                if 0 <= place - passed < len(data):
                    if not change:
                        other.sendall(data[: place - passed])
                        break
                    data[place - passed] ^= 0x10
                other.sendall(data)
                passed += len(data)
        for sock in (one, other):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Meddler:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(PATIENCE)
        self._listener.close()


@pytest.mark.parametrize("profile", ["B.11", "B.12"])
@pytest.mark.parametrize("upwards", [False, True])
@pytest.mark.parametrize("change", [False, True])
def test_cut_or_changed_anywhere(
    securely: Serving, facilities: Facilities, house: House, profile: str, upwards: bool, change: bool
) -> None:
    """Whatever is done to the bytes, both sides end, the client in words, and nothing wrong is ever taken for right."""
    # A length that was changed is waited for.
    limits = Limits(artim=0.2, association_timeout=0.2, dimse_timeout=0.2)
    server = securely(profile=profile, limits=limits)
    user = AE("USER", limits=limits, facilities=facilities)
    tls = client_context(profile, cafile=house.authority.file)
    told = []
    for place in (*range(8), *range(8, 2000, 131)):
        with Meddler(server.port, place, upwards=upwards, change=change) as meddler:
            try:
                with user.associate("localhost", meddler.port, tls=tls) as association:
                    assert association.c_echo() == 0
            except DicomError as error:
                told.append(str(error))
    assert len(told) > 10
    assert [words for words in told if "localhost" not in words] == []
    eventually(lambda: server.connection_count == 0)


def test_a_body_that_is_cut_is_never_visible(securely: Serving, house: House, tmp_path: Path) -> None:
    server = securely(StorageSCP(tmp_path / "out"))
    path = tmp_path / "ct.dcm"
    uid = write_ct(path, 200_000)
    body = path.read_bytes()[-200_000:]
    request = command(
        "C-STORE-RQ", AffectedSOPClassUID=CT, AffectedSOPInstanceUID=uid, Priority=0, CommandDataSetType=1
    )
    for manner in ("cut", "notify", "abort"):
        with SecretPeer(server.port, house, CT) as peer:
            peer.exchange.request(1, request, body)
            data = b""
            while peer.core.wants_write:
                data += b"".join(map(bytes, peer.core.segments()))  # type: ignore[arg-type]
            peer.sock.sendall(data[:150_000])
            if manner == "abort":
                peer.sock.sendall(bytes.fromhex("07 00 00000004 00 00 00 00"))
            if manner == "notify":
                peer.sock.unwrap()  # type: ignore[attr-defined]
            elif manner == "cut":
                socket.socket.shutdown(peer.sock, socket.SHUT_WR)
            assert server.connection_count == 1 or manner != "abort"
        eventually(lambda: server.connection_count == 0)
    assert [found for found in (tmp_path / "out").rglob("*") if found.is_file()] == []


def test_a_truncation_is_a_lost_connection(house: House, user: AE, trusting: TLS) -> None:
    """A server that accepts, and leaves without close_notify."""
    context = server_context(certificate=house.server.certificate, key=house.server.key)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            plain, _ = listener.accept()
            sock = context.wrap_socket(plain, server_side=True)
            core = Association(
                requestor=False, acceptance=Acceptance("S", {VERIFICATION: (EXPLICIT_LE.uid,)}, max_pdu_length=16384)
            )
            core.connected()
            while not any(isinstance(event, AssociationRequested) for event in core.events()):
                core.received(sock.recv_into(core.buffer()))
            core.request(Accept())
            sock.sendall(b"".join(map(bytes, core.segments())))  # type: ignore[arg-type]
            sock.recv(1)
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
            sock.close()

        thread = threading.Thread(target=serve)
        thread.start()
        association = user.associate("localhost", listener.getsockname()[1], tls=trusting)
        with pytest.raises(AssociationAborted, match="the connection was lost"):
            association.c_echo()
        thread.join(PATIENCE)


def test_both_sides_say_goodbye(securely: Serving, house: House) -> None:
    """close_notify after the last PDU: with ``suppress_ragged_eofs=False`` an end without it would raise."""
    server = securely()
    with SecretPeer(server.port, house) as peer:
        peer.core.request(Release())
        peer.flush()
        peer.receive()
        peer.sock.unwrap()  # type: ignore[attr-defined]  # raises when nothing comes back
    with secret_socket(server.port, house) as sock:
        sock.sendall(b"no PDU at all")
        assert sock.recv(100)[0] == 7
        assert sock.recv(100) == b""


def test_an_abort_from_another_thread_ends_a_wait(securely: Serving, user: AE, trusting: TLS) -> None:
    server = securely()
    association = user.associate("localhost", server.port, tls=trusting)
    thread = threading.Thread(target=lambda: association.wait(PATIENCE))
    thread.start()
    eventually(lambda: association._inside)
    association.abort()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert not association.is_open
    association.abort()


def test_closing_the_server_aborts_idle_associations(securely: Serving, user: AE, trusting: TLS) -> None:
    server = securely()
    association = user.associate("localhost", server.port, tls=trusting)
    server.close()
    with pytest.raises(AssociationAborted):
        association.c_echo()


def test_small_buffers_and_a_window_in_both_directions(
    securely: Serving, user: AE, trusting: TLS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writes that stop in the middle of a record, again and again."""
    from dicomcore.net import association as user_side
    from dicomcore.net import server as server_side

    def narrow(sock: socket.socket, *, accepted: bool = False) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)

    def connect_narrowly(host: str, port: int, timeout: float) -> socket.socket:
        sock = connect(host, port, timeout)
        narrow(sock)
        return sock

    monkeypatch.setattr(server_side, "tune", narrow)
    monkeypatch.setattr(user_side, "connect", connect_narrowly)
    server = securely(StorageSCP(tmp_path / "out"), window=0)
    paths = [tmp_path / f"{number}.dcm" for number in range(8)]
    for path in paths:
        write_ct(path, 12_000)
    with user.associate("localhost", server.port, contexts=[CT], window=16, tls=trusting) as association:
        assert [result.status for result in association.c_store_many(paths, window=16)] == [0] * 8
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 8


@pytest.mark.parametrize("room", [1, 1000, 1025, 20_000, 300_000])
def test_rooms_of_all_sizes_and_sockets_that_take_little(house: House, room: int) -> None:
    """What was sent arrives, in whatever portions, while both sides stop and go on."""
    ends = socket.socketpair()
    for sock in ends:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    served = server_context(certificate=house.server.certificate, key=house.server.key)
    mine = TLSSocket(ends[0], SecuritySettings(client_context(verify=False), "localhost"), server_side=False)
    other = TLSSocket(ends[1], SecuritySettings(served, None), server_side=True)
    sent = random.Random(room).randbytes(4000 if room == 1 else 400_000)
    received = bytearray()
    view, at = memoryview(bytearray(room)), 0
    for _ in range(20_000):
        if at < len(sent):
            with suppress(BlockingIOError):
                at += mine.send(memoryview(sent)[at:])
        with suppress(BlockingIOError):
            received += view[: other.recv_into(view)]
        if len(received) == len(sent) == at:
            break
    assert received == sent
    assert not other.pending
    assert mine.needs(True, False) == other.needs(True, False) == (True, False)
    mine.close()
    assert other.recv_into(view) == 0
    other.close()


def test_many_associations_at_once(securely: Serving, user: AE, trusting: TLS, tmp_path: Path) -> None:
    server = securely(VerificationSCP(), StorageSCP(tmp_path / "out"), workers=2)
    path = tmp_path / "ct.dcm"
    write_ct(path, 100_000)
    context = client_context(cafile=trusting.cafile)
    with ExitStack() as stack:
        associations = [
            stack.enter_context(user.associate("localhost", server.port, contexts=[VERIFICATION, path], tls=context))
            for _ in range(50)
        ]
        assert server.association_count == 50
        assert [association.c_echo() for association in associations] == [0] * 50
        assert [association.c_store(path) for association in associations] == [0] * 50
    eventually(lambda: server.connection_count == 0)


def test_files_in_one_call(securely: Serving, trusting: TLS, tmp_path: Path) -> None:
    server = securely(StorageSCP(tmp_path / "out"))
    write_ct(tmp_path / "ct.dcm")
    report = store(tmp_path / "ct.dcm", f"localhost:{server.port}", tls=trusting)
    assert len(report.stored) == 1


# IPv6 and addresses


@pytest.fixture
def six() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")


@pytest.mark.usefixtures("six")
@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_ipv6(user: AE, house: House, trusting: TLS, host: str) -> None:
    tls = TLS(certificate=house.server.certificate, key=house.server.key)
    with (
        AE("SERVER").serve(0, host=host.strip("[]"), services=[VerificationSCP()], tls=tls) as server,
        user.associate(host, server.port, tls=trusting) as association,
    ):
        assert association.peer == f"ANY-SCP at [::1]:{server.port}"
        assert association.c_echo() == 0


def link_local() -> str | None:
    """An address of this machine that means nothing without its scope."""
    table = Path("/proc/net/if_inet6")
    rows = [row.split() for row in table.read_text().splitlines()] if table.exists() else []
    found = next((row for row in rows if row[0].startswith("fe80")), None)
    return None if found is None else f"{ipaddress.IPv6Address(bytes.fromhex(found[0]))}%{found[5]}"


def test_the_scope_of_an_address_leads_there_and_is_in_no_certificate(user: AE, house: House, trusting: TLS) -> None:
    host = link_local()
    if host is None:
        pytest.skip("no address with a scope here")
    here = house.authority.issue("here", (host.partition("%")[0],))
    tls = TLS(certificate=here.certificate, key=here.key)
    with AE("SERVER").serve(0, host=host, services=[VerificationSCP()], tls=tls) as server:
        for written in (host, f"[{host}]"):
            with user.associate(written, server.port, tls=trusting) as association:
                assert association.c_echo() == 0


@pytest.mark.usefixtures("six")
def test_both_families_at_once(user: AE, house: House, trusting: TLS) -> None:
    tls = TLS(certificate=house.server.certificate, key=house.server.key)
    with AE("SERVER").serve(0, host="", services=[VerificationSCP()], tls=tls) as server:
        for host in ("127.0.0.1", "::1"):
            with user.associate(host, server.port, tls=trusting) as association:
                assert association.c_echo() == 0


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("pacs:104", "pacs", 104),
        ("10.0.0.1:2762", "10.0.0.1", 2762),
        ("[::1]:11112", "::1", 11112),
        ("[fe80::1%eth0]:104", "fe80::1%eth0", 104),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    assert split_address(text) == (host, port)
    assert join_address(host, port) == text


@pytest.mark.parametrize("text", ["pacs", "pacs:", ":104", "::1:104", "[::1]", "[::1:104", "[pacs]:104", "pacs:x", ""])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(LocalProtocolError, match="is no address"):
        split_address(text)
