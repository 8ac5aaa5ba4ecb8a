"""Who asks: user identities that DCMTK and pynetdicom state, judged by the caller of our server."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dicomcore.net import AE
from dicomcore.services.base import ServiceProvider
from dicomcore.services.storage import StorageSCP
from dicomcore.services.verification import VerificationSCP
from dicomcore.ul import Accept, AssociationRequested, Reject
from tests.net.conftest import write_ct

Peer = Callable[[str], str]
CT = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION = "1.2.840.10008.1.1"


def judge(event: AssociationRequested) -> Any:
    """Lets in who knows a secret; says something to those whose type has an answer with content."""
    identity = event.identity
    if identity is None or identity.primary == b"stranger" or (identity.type == 2 and identity.secondary != b"secret"):
        return False
    return b"our " + identity.primary if identity.type > 2 else True


def token(folder: Path, content: str) -> str:
    path = folder / "token"
    path.write_text(content)
    return str(path)


@pytest.mark.parametrize(
    ("options", "accepted"),
    [
        (["-usr", "jo"], True),
        (["-usr", "jo", "-rsp"], True),
        (["-usr", "jo", "-pwd", "secret", "-rsp"], True),
        (["-usr", "jo", "-pwd", "wrong"], False),
        (["-usr", "stranger", "-rsp"], False),
        (["-kt", "TOKEN", "-rsp"], True),
        (["--saml", "TOKEN"], True),
        (["--jwt", "TOKEN", "-rsp"], True),
        ([], False),
    ],
)
def test_dcmtk_states_who_it_is(peer: Peer, tmp_path: Path, options: list[str], accepted: bool) -> None:
    write_ct(tmp_path / "ct.dcm", 5000)
    options = [token(tmp_path, "ticket or assertion") if option == "TOKEN" else option for option in options]
    seen: list[AssociationRequested] = []

    def authorize(event: AssociationRequested) -> Any:
        seen.append(event)
        return judge(event)

    services = [StorageSCP(tmp_path / "out")]
    with AE("SERVER").serve(0, host="127.0.0.1", services=services, authorize=authorize) as server:
        done = subprocess.run(
            [peer("storescu"), *options, "127.0.0.1", str(server.port), str(tmp_path / "ct.dcm")],
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
    assert (done.returncode == 0) == accepted, done.stderr
    assert len(list((tmp_path / "out").iterdir())) == accepted
    identity = seen[0].identity
    assert (identity is None) == (not options)
    if identity is not None:
        assert identity.response_requested == ("-rsp" in options)
        assert identity.name in ("jo", "stranger", "")


@pytest.mark.parametrize(
    ("kind", "primary", "response"), [(1, b"jo", b""), (3, b"ticket", b"our ticket"), (5, b"a.b", b"our a.b")]
)
def test_pynetdicom_hears_the_response(pynetdicom: Any, kind: int, primary: bytes, response: bytes) -> None:
    item = pynetdicom.pdu_primitives.UserIdentityNegotiation()
    item.user_identity_type = kind
    item.primary_field = primary
    item.positive_response_requested = True
    ae = pynetdicom.AE("THEIRS")
    ae.acse_timeout = ae.network_timeout = 10
    ae.add_requested_context(VERIFICATION)
    with AE("SERVER").serve(0, host="127.0.0.1", services=[VerificationSCP()], authorize=judge) as server:
        association = ae.associate("127.0.0.1", server.port, ext_neg=[item])
        assert association.is_established
        assert (association.acceptor.user_identity.server_response or b"") == response
        association.release()


def test_narrower_contexts_and_rejects(pynetdicom: Any, tmp_path: Path) -> None:
    def authorize(event: AssociationRequested) -> Any:
        return Reject(1, 1, 3) if event.request.calling_ae == "NOBODY" else Accept(contexts=[VERIFICATION])

    services: list[ServiceProvider] = [VerificationSCP(), StorageSCP(tmp_path)]
    with AE("SERVER").serve(0, host="127.0.0.1", services=services, authorize=authorize) as server:
        ae = pynetdicom.AE("NOBODY")
        ae.acse_timeout = ae.network_timeout = 10
        ae.add_requested_context(VERIFICATION)
        ae.add_requested_context(CT)
        assert ae.associate("127.0.0.1", server.port).is_rejected
        ae.ae_title = "SOMEBODY"
        association = ae.associate("127.0.0.1", server.port)
        assert association.is_established
        assert [context.abstract_syntax for context in association.accepted_contexts] == [VERIFICATION]
        assert [context.result for context in association.rejected_contexts] == [1]
        assert association.send_c_echo().Status == 0
        association.release()


def test_the_caller_learns_where_the_peer_is(pynetdicom: Any) -> None:
    seen: list[AssociationRequested] = []

    def authorize(event: AssociationRequested) -> bool:
        seen.append(event)
        return True

    with AE("SERVER").serve(0, host="127.0.0.1", services=[VerificationSCP()], authorize=authorize) as server:
        ae = pynetdicom.AE("THEIRS")
        ae.acse_timeout = ae.network_timeout = 10
        ae.add_requested_context(VERIFICATION)
        association = ae.associate("127.0.0.1", server.port)
        assert association.is_established
        association.release()
    assert seen[0].peer[0] == "127.0.0.1"
    assert seen[0].request.calling_ae == "THEIRS"
