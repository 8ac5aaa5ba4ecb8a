"""Negotiation as users and providers meet it: classes taken as general ones, options that a provider reads, words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dicomcore.dimse.command import CommandField
from dicomcore.errors import NegotiationError
from dicomcore.net import AE
from dicomcore.net.server import Server
from dicomcore.services.base import Request, Response, ServiceContext
from dicomcore.services.storage import StorageSCP
from dicomcore.services.verification import VerificationSCP
from dicomcore.ul import FindOptions, Options, common_extended, options_for
from dicomcore.vocab.sop_classes import VERIFICATION
from dicomcore.vocab.syntaxes import EXPLICIT_LE
from tests.net.conftest import CT, Scripted, write_ct

Serving = Callable[..., Server]
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STORAGE = "1.2.840.10008.4.2"
PRIVATE = "1.2.3.4.5.6"


@pytest.mark.parametrize("supported", [CT, STORAGE])
def test_a_private_class_is_stored_as_what_it_specialises(
    serving: Serving, user: AE, tmp_path: Path, supported: str
) -> None:
    path = tmp_path / "private.dcm"
    uid = write_ct(path, 100, PRIVATE)
    server = serving(StorageSCP(tmp_path / "out", supported={supported: (EXPLICIT_LE.uid,)}))
    with user.associate(
        "127.0.0.1", server.port, contexts=[path], common_extended=[common_extended(PRIVATE, [CT])]
    ) as association:
        assert association.c_store(path) == 0
    assert [stored.name for stored in (tmp_path / "out").iterdir()] == [f"{uid}.dcm"]
    with pytest.raises(NegotiationError, match="does not offer this SOP class"):
        user.associate("127.0.0.1", server.port, contexts=[path])


def test_a_provider_reads_the_options_agreed(serving: Serving, user: AE) -> None:
    seen: list[Options | None] = []

    def provider(request: Request, context: ServiceContext) -> Any:
        assert context.negotiated is not None
        seen.append(options_for(request.context.abstract_syntax, context.negotiated))
        yield Response(0x0000)

    service = Scripted(provider, FIND, CommandField.C_FIND_RQ)
    server = serving(service, extended={FIND: FindOptions(relational=True, fuzzy=True)})
    asked: list[dict[str, Options]] = [{FIND: FindOptions(relational=True, timezone=True)}, {}]
    for extended in asked:
        with user.associate("127.0.0.1", server.port, contexts=[FIND], extended=extended) as association:
            assert [status for status, _ in association.c_find({}, FIND)] == [0]
            expected = FindOptions(relational=True) if extended else None
            assert options_for(FIND, association.negotiated) == expected
            assert seen.pop() == expected


def test_an_operation_without_a_context_says_who_lacks_what(serving: Serving, user: AE, tmp_path: Path) -> None:
    path = tmp_path / "ct.dcm"
    write_ct(path)
    server = serving(VerificationSCP(), StorageSCP(tmp_path / "out", supported={CT: ("1.2.840.10008.1.2.4.50",)}))
    with user.associate("127.0.0.1", server.port, contexts=[VERIFICATION]) as association:
        with pytest.raises(NegotiationError, match="was not proposed by USER"):
            association.c_store(path)
        assert association.c_echo() == 0
    with (
        user.associate("127.0.0.1", server.port, contexts=[VERIFICATION, path]) as association,
        pytest.raises(NegotiationError, match="ANY-SCP takes none of Explicit VR Little Endian"),
    ):
        association.c_store(path)
