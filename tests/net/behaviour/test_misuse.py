"""Arguments of the wrong kind are refused at once and in words, not met by a peer or by each association."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dicomcore.data.dataset import Dataset
from dicomcore.errors import DicomError, EncodingError, LocalProtocolError, NegotiationError
from dicomcore.net import AE, Server
from dicomcore.services.storage import StorageSCP
from dicomcore.services.stores import FolderStore
from dicomcore.services.verification import VerificationSCP
from dicomcore.vocab.sop_classes import VERIFICATION
from dicomcore.vocab.syntaxes import IMPLICIT_LE
from tests.net.conftest import CT, write_ct

from .drivers import Driver

Serving = Callable[..., Server]


@pytest.mark.parametrize("title", [None, 5, b"X", ["x"]])
def test_titles(title: Any) -> None:
    with pytest.raises(LocalProtocolError, match="no AE title"):
        AE(title)


@pytest.mark.parametrize(
    "options",
    [
        {"services": [VerificationSCP]},
        {"services": [5]},
        {"window": -1},
        {"window": None},
        {"window": 1.5},
        {"roles": {CT: True}},
        {"extended": {CT: b"\1\1"}},
        {"authorize": 5},
        {"on_event": 5},
    ],
)
def test_serving(driver: Driver, options: dict[str, Any]) -> None:
    given = {"services": [VerificationSCP()], **options}
    with pytest.raises(LocalProtocolError):
        driver.serve(*given.pop("services"), **given)


@pytest.mark.parametrize("port", ["11112", None, -1, 70_000])
def test_listening(port: Any) -> None:
    with pytest.raises(LocalProtocolError):
        AE("SERVER").serve(port, host="127.0.0.1", services=[])


@pytest.mark.parametrize(
    "options",
    [
        {"port": "11112"},
        {"port": None},
        {"host": None},
        {"host": b"localhost"},
        {"called_ae": None},
        {"window": None},
        {"extended": {CT: b"\1"}},
    ],
)
def test_associating(serving: Serving, user: AE, options: dict[str, Any]) -> None:
    server = serving(VerificationSCP())
    given = {"host": "127.0.0.1", "port": server.port, **options}
    with pytest.raises(DicomError):
        user.associate(**given)


def test_one_text_where_a_list_is_expected(serving: Serving, user: AE) -> None:
    server = serving(VerificationSCP(), allowed_calling="USER")
    with user.associate("127.0.0.1", server.port, contexts=[(VERIFICATION, IMPLICIT_LE.uid)]) as association:
        assert association.c_echo() == 0


def test_what_cannot_be_sent_is_told_and_stops_nothing(driver: Driver, tmp_path: Path) -> None:
    file = tmp_path / "file"
    write_ct(file)
    server = driver.serve(StorageSCP(FolderStore(tmp_path / "in")))
    with driver.associate(server.port, contexts=[CT]) as association:
        wrong: list[Any] = [None, 5, b"x", {}]
        for source in wrong:
            with pytest.raises(EncodingError, match="Dataset"):
                association.c_store(source)
        results = list(association.c_store_many([file, wrong[0], file]))
        assert sorted(result.stored for result in results) == [False, True, True]
        wrong = [str(file), file, Dataset()]
        for source in wrong:
            with pytest.raises(LocalProtocolError, match="a list"):
                list(association.c_store_many(source))
        assert association.c_store(file) == 0


def test_no_such_model(serving: Serving, user: AE) -> None:
    server = serving(VerificationSCP())
    with user.associate("127.0.0.1", server.port) as association, pytest.raises(NegotiationError, match="model"):
        association.c_find({}, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("grace", [None, "long"])
def test_a_server_does_not_fall_over_a_wrong_grace(serving: Serving, user: AE, grace: Any) -> None:
    server = serving(VerificationSCP())
    with pytest.raises(TypeError):
        server.close(grace)
    with user.associate("127.0.0.1", server.port) as association:
        assert association.c_echo() == 0
