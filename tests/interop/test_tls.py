"""TLS with DCMTK and pynetdicom at the other end, both ways; what they lack, with the programs of OpenSSL."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dicomcore.data.part10 import read_header
from dicomcore.errors import DicomError, NegotiationError
from dicomcore.net import AE, store
from dicomcore.net.tls import TLS, openssl_name, unavailable
from dicomcore.services.storage import StorageSCP
from dicomcore.services.verification import VerificationSCP
from dicomcore.ul import (
    Accept,
    Acceptance,
    Associate,
    Association,
    AssociationRequested,
    Released,
    ReleaseRequested,
    ReleaseResponse,
    propose,
)
from dicomcore.vocab.sop_classes import VERIFICATION
from dicomcore.vocab.syntaxes import EXPLICIT_LE
from dicomcore.vocab.tls import tls_profile
from tests.net.certificates import House, Identity
from tests.net.conftest import CT, PATIENCE, eventually, free_port

Peer = Callable[[str], str]
ENVIRONMENT = {**os.environ, "TCP_NODELAY": "1"}
DCMTK_PROFILES = [("B.9", "+px"), ("B.10", "+py"), ("B.11", "+pz")]  # those of 3.6.7
SUITES = [
    (clause, suite)
    for clause in ("B.9", "B.10", "B.11", "B.12", "B.13")
    if (profile := tls_profile(clause)) is not None
    for suite in profile.suites
    if suite not in unavailable(clause)
]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    return House.build(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def their_rsa(house: House) -> Identity:
    return house.authority.issue("theirs", rsa_bits=2048)


def body(path: Path) -> bytes:
    return path.read_bytes()[read_header(path).dataset_offset :]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [str(part) for part in arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240, env=ENVIRONMENT)


def ours(house: House, profile: str = "B.12", *, clients: bool = True) -> TLS:
    """Our server's, with a certificate of an RSA key, which every suite but those of ECDSA can use."""
    mine = house.rsa_server
    cafile = house.authority.file if clients else None
    return TLS(profile, cafile, certificate=mine.certificate, key=mine.key)


def user(house: House, profile: str = "B.12") -> TLS:
    mine = house.client
    return TLS(profile, house.authority.file, certificate=mine.certificate, key=mine.key)


# DCMTK


@pytest.mark.parametrize(("profile", "option"), [*DCMTK_PROFILES, ("B.12", "+py"), ("B.13", "+py")])
def test_their_users(
    peer: Peer, house: House, their_rsa: Identity, files: list[Path], tmp_path: Path, profile: str, option: str
) -> None:
    secure: list[str | Path] = ["+tls", their_rsa.key, their_rsa.certificate, "+cf", house.authority.file, option]
    services = [VerificationSCP(), StorageSCP(tmp_path / "out")]
    with AE("SERVER").serve(0, host="127.0.0.1", services=services, tls=ours(house, profile)) as server:  # type: ignore[arg-type]
        port = str(server.port)
        done = run(peer("echoscu"), *secure, "--repeat", "5", "localhost", port)
        assert done.returncode == 0, done.stderr
        done = run(peer("storescu"), *secure, "localhost", port, *files)
        assert done.returncode == 0, done.stderr
        done = run(peer("echoscu"), "localhost", port)
        assert done.returncode != 0
        done = run(peer("echoscu"), "+tla", "+cf", house.authority.file, "localhost", port)  # shows no certificate
        assert done.returncode != 0
        eventually(lambda: server.connection_count == 0)
    for path in files:
        assert body(tmp_path / "out" / f"{read_header(path).sop_instance_uid}.dcm") == body(path)


@contextmanager
def storescp(program: str, folder: Path, house: House, theirs: Identity, *options: str) -> Iterator[int]:
    folder.mkdir()
    port = free_port()
    secure = ["+tls", theirs.key, theirs.certificate, "+cf", house.authority.file]
    command = [program, "-od", folder, *secure, *options, port]
    process = subprocess.Popen(
        [str(part) for part in command], env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(process, port)
        yield port
    finally:
        process.kill()
        process.wait()


def wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    """Until somebody listens there."""

    def listens() -> bool:
        assert process.poll() is None
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    eventually(listens)


@pytest.mark.parametrize(("profile", "option"), [*DCMTK_PROFILES, ("B.12", "+py"), ("B.13", "+py")])
def test_their_server(
    peer: Peer, house: House, their_rsa: Identity, files: list[Path], tmp_path: Path, profile: str, option: str
) -> None:
    out = tmp_path / "out"
    with storescp(peer("storescp"), out, house, their_rsa, option, "+B") as port:
        report = store(files, ("localhost", port), tls=user(house, profile))
        assert len(report.stored) == len(files), report
        with AE("USER").associate("localhost", port, tls=user(house, profile)) as association:
            assert association.c_echo() == 0
        with pytest.raises(NegotiationError, match=r"wants? (a|no) certificate"):
            AE("USER").associate("localhost", port, tls=TLS(profile, house.authority.file))
        with pytest.raises(DicomError):
            AE("USER").associate("localhost", port)
        with pytest.raises(NegotiationError, match="certificate is not accepted"):
            AE("USER").associate("localhost", port, tls=TLS(profile, house.stranger.file))
    kept = {read_header(path).sop_instance_uid: path for path in out.iterdir()}
    for path in files:
        assert body(kept[read_header(path).sop_instance_uid]) == body(path)


# pynetdicom


def test_the_user_of_pynetdicom(pynetdicom: Any, house: House, files: list[Path], tmp_path: Path) -> None:
    context = ssl.create_default_context(cafile=str(house.authority.file))
    context.load_cert_chain(house.client.certificate, house.client.key)
    ae = pynetdicom.AE("THEIRS")
    ae.add_requested_context(VERIFICATION)
    ae.add_requested_context(CT, "1.2.840.10008.1.2.1")
    services = [VerificationSCP(), StorageSCP(tmp_path / "out")]
    with AE("SERVER").serve(0, host="127.0.0.1", services=services, tls=ours(house)) as server:  # type: ignore[arg-type]
        association = ae.associate("127.0.0.1", server.port, tls_args=(context, "localhost"))
        assert association.is_established
        assert association.send_c_echo().Status == 0
        assert [association.send_c_store(str(path)).Status for path in files] == [0] * 3
        association.release()
    for path in files:
        assert body(tmp_path / "out" / f"{read_header(path).sop_instance_uid}.dcm") == body(path)


def test_the_server_of_pynetdicom(pynetdicom: Any, house: House, files: list[Path]) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(house.authority.file))
    context.load_cert_chain(house.rsa_server.certificate, house.rsa_server.key)
    context.verify_mode = ssl.CERT_REQUIRED
    received: dict[str, bytes] = {}

    def handle(event: Any) -> int:
        received[event.request.AffectedSOPInstanceUID] = event.request.DataSet.getvalue()
        return 0

    ae = pynetdicom.AE("THEIRS")
    ae.add_supported_context(VERIFICATION)
    ae.add_supported_context(CT, "1.2.840.10008.1.2.1")
    server = ae.start_server(
        ("127.0.0.1", 0), block=False, ssl_context=context, evt_handlers=[(pynetdicom.evt.EVT_C_STORE, handle)]
    )
    try:
        port = server.server_address[1]
        report = store(files, ("localhost", port), tls=user(house))
        assert len(report.stored) == 3
        with AE("USER").associate("localhost", port, tls=user(house)) as association:
            assert association.c_echo() == 0
    finally:
        server.shutdown()
    for path in files:
        assert received[read_header(path).sop_instance_uid] == body(path)


# OpenSSL: every suite of every profile


class Piped:
    """A program of OpenSSL that passes on what it is told: the bytes below TLS."""

    def __init__(self, *arguments: object, quiet: bool = True) -> None:
        options = ["-quiet"] if quiet else []
        self.process = subprocess.Popen(
            ["openssl", *map(str, arguments), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else subprocess.STDOUT,
            bufsize=0,
        )
        self._watch = threading.Timer(PATIENCE, self.process.kill)
        self._watch.start()

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)

    def read(self) -> bytes:
        """Some bytes; none when it has ended."""
        assert self.process.stdout is not None
        return self.process.stdout.read(65536) or b""

    def read_until(self, mark: bytes) -> None:
        seen = b""
        while mark not in seen:
            more = self.read()
            assert more, seen
            seen += more

    def read_into(self, core: Association) -> None:
        data = self.read()
        while data:
            view = core.buffer()
            count = min(len(view), len(data))
            view[:count] = data[:count]
            core.received(count)
            data = data[count:]

    def send(self, core: Association) -> None:
        while core.wants_write:
            self.write(b"".join(map(bytes, core.segments())))  # type: ignore[arg-type]

    def __enter__(self) -> Piped:
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.cancel()
        self.process.kill()
        self.process.communicate()


def request() -> bytes:
    core = Association(requestor=True)
    core.request(Associate(propose([(VERIFICATION, (EXPLICIT_LE.uid,))], calling_ae="OPENSSL", called_ae="SERVER")))
    core.connected()
    return b"".join(map(bytes, core.segments()))  # type: ignore[arg-type]


def versions(suite: str) -> list[str]:
    """How OpenSSL is held to it; one suite of the oldest profile is older than TLS 1.2."""
    cipher = openssl_name(suite)
    return ["-tls1_2", "-cipher", f"{cipher}@SECLEVEL=0"]


def identity_for(house: House, suite: str) -> Identity:
    return house.server if "_ECDSA_" in suite else house.rsa_server


@pytest.mark.parametrize(("profile", "suite"), SUITES)
def test_their_client_with_each_suite(house: House, profile: str, suite: str) -> None:
    mine = identity_for(house, suite)
    tls = TLS(profile, certificate=mine.certificate, key=mine.key)
    with AE("SERVER").serve(0, host="127.0.0.1", services=[VerificationSCP()], tls=tls) as server:
        arguments = ["s_client", "-connect", f"127.0.0.1:{server.port}", "-CAfile", house.authority.file]
        with Piped(*arguments, "-verify_return_error", *versions(suite)) as client:
            client.write(request())
            assert client.read()[:1] == b"\x02"


@pytest.mark.parametrize(("profile", "suite"), SUITES)
def test_their_server_with_each_suite(house: House, profile: str, suite: str) -> None:
    theirs = identity_for(house, suite)
    port = free_port()
    arguments = ["s_server", "-accept", f"127.0.0.1:{port}", "-cert", theirs.certificate, "-key", theirs.key]
    with Piped(*arguments, *versions(suite), "-naccept", "2") as server:
        wait_for(server.process, port)
        thread = threading.Thread(target=accept, args=(server,))
        thread.start()
        with AE("USER").associate("localhost", port, tls=TLS(profile, house.authority.file)) as association:
            wire = association._connection.sock
            assert wire.cipher() == openssl_name(suite)
            assert wire.version() == "TLSv1.2"
        thread.join(PATIENCE)


def accept(server: Piped) -> None:
    """Accept one association through a server of OpenSSL, and its release."""
    acceptance = Acceptance("SERVER", {VERIFICATION: (EXPLICIT_LE.uid,)}, max_pdu_length=16384)
    core = Association(requestor=False, acceptance=acceptance)
    core.connected()
    answers = {AssociationRequested: Accept, ReleaseRequested: ReleaseResponse}
    while not core.close_transport and server.process.poll() is None:
        server.read_into(core)
        for event in core.events():
            if type(event) in answers:
                core.request(answers[type(event)]())
                server.send(core)
            if isinstance(event, ReleaseRequested | Released):
                return


@pytest.mark.parametrize("suite", ["TLS_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256"])
@pytest.mark.parametrize("profile", ["B.10", "B.11", "B.12", "B.13"])
def test_what_a_profile_does_not_list_is_not_agreed(house: House, profile: str, suite: str) -> None:
    with AE("SERVER").serve(0, host="127.0.0.1", services=[VerificationSCP()], tls=ours(house, profile)) as server:
        cipher = {"TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256"}.get(suite, "ECDHE-RSA-AES128-SHA256")
        arguments = ["s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_2", "-cipher", cipher]
        with Piped(*arguments) as client:
            assert client.read() == b""
        eventually(lambda: server.connection_count == 0)


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_versions_are_for_the_oldest_profile_only(house: House, version: str) -> None:
    for profile in ("B.9", "B.10", "B.11", "B.12", "B.13"):
        tls = ours(house, profile, clients=False)
        with AE("SERVER").serve(0, host="127.0.0.1", services=[VerificationSCP()], tls=tls) as server:
            arguments = ["s_client", "-connect", f"127.0.0.1:{server.port}", version, "-cipher", "ALL:@SECLEVEL=0"]
            with Piped(*arguments) as client:
                if profile == "B.9":
                    client.write(request())
                assert client.read()[:1] == (b"\x02" if profile == "B.9" else b"")


def test_keys_are_renewed_amid_an_association(house: House) -> None:
    """TLS 1.3, RFC 8446 4.6.3: a read that has to write."""
    tls = ours(house, clients=False)
    with AE("SERVER").serve(0, host="127.0.0.1", services=[VerificationSCP()], tls=tls) as server:
        arguments = ["s_client", "-connect", f"127.0.0.1:{server.port}", "-CAfile", house.authority.file]
        with Piped(*arguments, quiet=False) as client:
            client.read_until(b"Verify return code")
            for _ in range(3):
                client.write(b"K\n")
                client.read_until(b"KEYUPDATE")
            client.write(request())
            client.read_until(b"\x02\x00\x00\x00")


def test_renegotiation_is_refused(house: House) -> None:
    tls = ours(house, clients=False)
    with AE("SERVER").serve(0, host="127.0.0.1", services=[VerificationSCP()], tls=tls) as server:
        arguments = ["s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_2"]
        with Piped(*arguments, quiet=False) as client:
            client.read_until(b"Verify return code")
            client.write(b"R\n")
            while client.read():
                pass
            assert client.process.wait(PATIENCE) != 0
        eventually(lambda: server.connection_count == 0)
        with AE("USER").associate("localhost", server.port, tls=TLS(cafile=house.authority.file)) as association:
            assert association.c_echo() == 0
