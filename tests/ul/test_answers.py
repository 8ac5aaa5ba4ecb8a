"""Answers that are found again are those that negotiation gives, and nothing that must not be is kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dicomcore.errors import LocalProtocolError
from dicomcore.limits import DEFAULT_LIMITS
from dicomcore.ul import (
    Accept,
    Acceptance,
    Answers,
    Association,
    AssociationRequested,
    UserIdentity,
    encode,
    negotiate,
    propose,
)
from dicomcore.ul.answers import COUNT, LENGTH

VERIFICATION, IMPLICIT = "1.2.840.10008.1.1", "1.2.840.10008.1.2"
ACCEPTANCE = Acceptance(supported={VERIFICATION: (IMPLICIT,)})
REQUEST = propose([(VERIFICATION, [IMPLICIT])], calling_ae="USER", called_ae="SERVER")


def ask(answers: Answers, pdu: bytes, accept: Accept | None = None) -> tuple[Association, AssociationRequested, bytes]:
    """A new acceptor that gets this PDU and accepts: what it was told and what it sends."""
    core = Association(requestor=False, answers=answers)
    core.connected()
    core.events()
    while pdu:
        view = core.buffer()
        count = min(len(view), len(pdu))
        view[:count], pdu = pdu[:count], pdu[count:]
        core.received(count)
    (event,) = core.events()
    assert isinstance(event, AssociationRequested)
    core.request(accept or Accept())
    return core, event, b"".join(map(bytes, core.segments()))  # type: ignore[arg-type]


def test_the_second_time_is_like_the_first_and_like_one_without_memory() -> None:
    answers, pdu = Answers(ACCEPTANCE), encode(REQUEST)
    first, second, plain = ask(answers, pdu), ask(answers, pdu), ask(Answers(ACCEPTANCE), pdu)
    assert len(answers) == 1
    assert first[1] == second[1] == plain[1]
    assert first[2] == second[2] == plain[2]
    assert second[0].negotiated == plain[0].negotiated == negotiate(plain[1].request, ACCEPTANCE).negotiated
    assert second[0].asked == plain[0].asked


def test_what_a_user_makes_of_a_known_proposal_is_encoded_anew() -> None:
    answers, pdu = Answers(ACCEPTANCE), encode(REQUEST)
    whole = ask(answers, pdu)[2]
    core, _, narrowed = ask(answers, pdu, Accept(contexts=()))
    assert narrowed != whole
    assert core.negotiated is not None
    assert not core.negotiated.contexts
    assert ask(answers, pdu)[2] == whole


def test_one_octet_makes_another_request() -> None:
    answers = Answers(ACCEPTANCE)
    ask(answers, encode(REQUEST))
    other = ask(answers, encode(replace(REQUEST, calling_ae="OTHER")))
    assert other[1].request.calling_ae == "OTHER"
    assert len(answers) == 2


def test_so_many_are_kept_and_no_more() -> None:
    answers = Answers(ACCEPTANCE)
    for number in range(COUNT + 3):
        ask(answers, encode(replace(REQUEST, calling_ae=f"USER{number}")))
    assert len(answers) == COUNT


@pytest.mark.parametrize(
    ("acceptance", "request_"),
    [
        (ACCEPTANCE, replace(REQUEST, user=replace(REQUEST.user, user_identity=UserIdentity.passcode("me", "secret")))),
        (Acceptance(supported=lambda _: (IMPLICIT,)), REQUEST),
        (replace(ACCEPTANCE, extended=lambda _: None), REQUEST),
        (
            ACCEPTANCE,
            propose(
                [(VERIFICATION, [f"1.2.{n}.{'9' * 50}" for n in range(LENGTH // 50)] + [IMPLICIT])],
                calling_ae="USER",
                called_ae="SERVER",
            ),
        ),
    ],
    ids=["an identity", "a function of the caller", "a function for options", "a long request"],
)
def test_what_is_not_kept(acceptance: Acceptance, request_: object) -> None:
    answers = Answers(acceptance, replace(DEFAULT_LIMITS, transfer_syntax_count=100))
    ask(answers, encode(request_))  # type: ignore[arg-type]
    assert not len(answers)


def test_an_answer_that_fits_no_pdu_is_heard_of_by_who_accepts() -> None:
    answers = Answers(replace(ACCEPTANCE, implementation_version="Ä"))
    with pytest.raises(LocalProtocolError, match="ASCII"):
        ask(answers, encode(REQUEST))
    assert not len(answers)
