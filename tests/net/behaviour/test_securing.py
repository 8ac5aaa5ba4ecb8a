"""TLS over every driver and between them: windows, mixed ends, blocks that are left."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicomcore.net import AE
from dicomcore.net.tls import TLS
from dicomcore.services.storage import StorageSCP
from dicomcore.services.verification import VerificationSCP
from tests.net.certificates import Authority
from tests.net.conftest import eventually, write_ct

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
        assert association.cipher is not None
        assert association.cipher[0] == "TLSv1.3"
        assert association.cipher[1].startswith("TLS_")
        assert association.c_echo() == 0
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


def test_a_block_that_is_left_by_an_exception(driver: Driver, authority: Authority, server_side: TLS) -> None:
    server = driver.serve(VerificationSCP(), tls=server_side)
    with (
        pytest.raises(ZeroDivisionError),
        driver.associate(server.port, tls=TLS(cafile=authority.file)) as association,
    ):
        raise ZeroDivisionError
    assert not association.is_open
    eventually(lambda: server.connection_count == 0)
