"""C-ECHO on both sides."""

from __future__ import annotations

import pytest

from dicomcore.dimse.command import command
from dicomcore.errors import NegotiationError
from dicomcore.services.base import Request
from dicomcore.services.verification import VerificationSCP, c_echo
from dicomcore.ul import Acceptance, AgreedContext, Negotiated, negotiate, propose
from tests.services.driver import IMPLICIT, ask, begin

VERIFICATION = "1.2.840.10008.1.1"


def agreed(abstract_syntax: str) -> Negotiated:
    request = propose([(abstract_syntax, [IMPLICIT])], calling_ae="A", called_ae="B")
    negotiated = negotiate(request, Acceptance(supported=VerificationSCP.supported)).negotiated
    assert negotiated is not None
    return negotiated


def test_provider_says_yes() -> None:
    asked = command("C-ECHO-RQ", AffectedSOPClassUID=VERIFICATION).but(MessageID=3)
    run = begin(VerificationSCP(), Request(1, asked, False, AgreedContext(1, VERIFICATION, IMPLICIT)))
    assert [response.status for response in run.responses] == [0]


def test_user_asks_once() -> None:
    invoke, answer = ask(c_echo(agreed(VERIFICATION)), 0x0122)
    assert invoke.context_id == 1
    assert invoke.command == command("C-ECHO-RQ", AffectedSOPClassUID=VERIFICATION)
    assert answer.status == 0x0122


def test_user_without_a_context() -> None:
    with pytest.raises(NegotiationError, match="Verification"):
        next(c_echo(agreed("1.2.3")))
