"""TLS over every driver, and between them."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicomcore.errors import AssociationAborted, NegotiationError
from dicomcore.limits import Limits
from dicomcore.net import AE
from dicomcore.net.tls import TLS
from dicomcore.services.storage import StorageSCP
from dicomcore.services.verification import VerificationSCP
from tests.net.certificates import Authority
from tests.net.conftest import eventually, raw_socket, read_to_end, write_ct

from .drivers import Driver


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server_side(authority: Authority) -> TLS:
    identity = authority.issue("server")
    return TLS(certificate=identity.certificate, key=identity.key)


def test_storing_both_ways(driver: Driver, authority: Authority, server_side: TLS, ram_path: Path) -> None:
    (ram_path / "in").mkdir()
    paths = [ram_path / "in" / str(number) for number in range(12)]
    for number, path in enumerate(paths):
        write_ct(path, 2_000_000 if number < 2 else 5000)
    server = driver.serve(VerificationSCP(), StorageSCP(ram_path / "out"), tls=server_side, window=4)
    with driver.associate(
        server.port, contexts=[VerificationSCP(), *paths], tls=TLS(cafile=authority.file), window=4
    ) as association:
        assert association.c_echo() == 0
        assert association.cipher is not None
        assert all(result.stored for result in association.c_store_many(paths, window=4))
        assert association.c_store(paths[0]) == 0
    assert len(list((ram_path / "out").iterdir())) == 12
    eventually(lambda: server.connection_count == 0)


def test_with_the_blocking_driver_at_the_other_end(driver: Driver, authority: Authority, server_side: TLS) -> None:
    secure = TLS(cafile=authority.file)
    server = driver.serve(VerificationSCP(), tls=server_side)
    with AE("USER").associate("127.0.0.1", server.port, tls=secure) as association:
        assert [association.c_echo() for _ in range(20)] == [0] * 20
    with (
        AE("SERVER").serve(0, host="127.0.0.1", services=[VerificationSCP()], tls=server_side) as other,
        driver.associate(other.port, tls=secure) as association,
    ):
        assert [association.c_echo() for _ in range(20)] == [0] * 20


def test_who_is_not_trusted(driver: Driver, authority: Authority, server_side: TLS) -> None:
    server = driver.serve(VerificationSCP(), tls=server_side)
    with pytest.raises(NegotiationError, match="certificate"):
        driver.associate(server.port, tls=TLS())
    with pytest.raises(NegotiationError, match="TLS"):
        driver.associate(driver.serve(VerificationSCP()).port, tls=TLS(cafile=authority.file))
    eventually(lambda: server.connection_count == 0)


def test_a_client_certificate_is_wanted(driver: Driver, authority: Authority) -> None:
    ours, theirs = authority.issue("server"), authority.issue("client")
    server = driver.serve(VerificationSCP(), tls=TLS(certificate=ours.certificate, key=ours.key, cafile=authority.file))
    shown = TLS(cafile=authority.file, certificate=theirs.certificate, key=theirs.key)
    with driver.associate(server.port, tls=shown) as association:
        assert association.c_echo() == 0
    with pytest.raises((NegotiationError, AssociationAborted)):
        driver.associate(server.port, tls=TLS(cafile=authority.file))
    eventually(lambda: server.connection_count == 0)


def test_health_checks_and_silence(driver: Driver, authority: Authority, server_side: TLS) -> None:
    server = driver.serve(VerificationSCP(), tls=server_side, limits=Limits(artim=0.1))
    for data in (b"", b"\x16\x03", b"GET / HTTP/1.1\r\n\r\n"):
        with raw_socket(server.port) as sock:
            sock.sendall(data)
    with raw_socket(server.port) as sock:
        read_to_end(sock)
    eventually(lambda: server.connection_count == 0)
    with driver.associate(server.port, tls=TLS(cafile=authority.file)) as association:
        assert association.c_echo() == 0


def test_a_block_that_is_left_by_an_exception(driver: Driver, authority: Authority, server_side: TLS) -> None:
    server = driver.serve(VerificationSCP(), tls=server_side)
    with (
        pytest.raises(ZeroDivisionError),
        driver.associate(server.port, tls=TLS(cafile=authority.file)) as association,
    ):
        raise ZeroDivisionError
    assert not association.is_open
    eventually(lambda: server.connection_count == 0)
