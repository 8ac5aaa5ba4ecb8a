"""Quirks: off unless asked for, each forgives just what it names."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dicomcore.errors import LocalProtocolError
from dicomcore.ul import (
    NO_QUIRKS,
    Accept,
    Acceptance,
    Accepted,
    Associate,
    AssociateAC,
    AssociateRQ,
    Association,
    AssociationRequested,
    AsyncWindow,
    CommonExtendedNegotiation,
    ExtendedNegotiation,
    PresentationContext,
    PresentationResult,
    Quirks,
    RoleSelection,
    UserInformation,
    conclude,
    contexts_for,
    encode,
    explain,
    negotiate,
    propose,
)
from dicomcore.ul.quirks import mend
from tests.ul.wire import ACCEPTANCE, IMPLICIT, REQUEST, VERIFICATION, bodies, established, feed, p_data, pdv

CT = "1.2.840.10008.5.1.4.1.1.2"


def test_names_and_joining() -> None:
    assert Quirks() == NO_QUIRKS == Quirks.named()
    assert Quirks.named("no-async") == Quirks(no_async=True)
    both = Quirks.named("no-async", "odd-padding")
    assert both == Quirks(no_async=True, odd_padding=True) == Quirks.named("no-async") | Quirks.named("odd-padding")
    assert [name for name in Quirks.names() if Quirks.named(name) == NO_QUIRKS] == ["one-pdu"]
    with pytest.raises(LocalProtocolError, match=r"no quirk profile 'nosuch'.*no-async"):
        Quirks.named("nosuch")


@pytest.mark.parametrize("window", [AsyncWindow(0, 0), AsyncWindow(8, 1), None])
def test_no_window_item_for_peers_that_drop_on_it(window: AsyncWindow | None) -> None:
    quirks = Quirks.named("no-async")
    request = propose([(CT, [IMPLICIT])], calling_ae="A", called_ae="B", window=window, quirks=quirks)
    assert request.user.async_window is None
    asked = replace(request, user=replace(request.user, async_window=AsyncWindow(0, 0)))
    acceptance = Acceptance(supported={CT: (IMPLICIT,)}, window=AsyncWindow(4, 4))
    for accepting, answered in ((acceptance, AsyncWindow(4, 4)), (replace(acceptance, quirks=quirks), None)):
        proposal = negotiate(asked, accepting)
        assert proposal.accept is not None
        assert proposal.accept.user.async_window == answered


def test_roles_that_are_not_answered() -> None:
    roles = [RoleSelection(CT, False, True)]
    request = propose([(CT, [IMPLICIT])], calling_ae="A", called_ae="B", roles=roles)
    answer = AssociateAC((PresentationResult(1, 0, IMPLICIT),), echo=request.echo())
    plain = conclude(request, answer)
    assert contexts_for(CT, None, plain, "scp") == ()
    assert "did not answer that, so the default roles hold" in explain(request, answer)
    forgiven = conclude(request, answer, Quirks.named("no-role-answer"))
    assert [context.id for context in contexts_for(CT, None, forgiven, "scp")] == [1]
    assert contexts_for(CT, None, forgiven, "scu") == ()
    assert "taken as agreed" in explain(request, answer, forgiven.quirks)
    said = replace(answer, user=UserInformation(roles=(RoleSelection(CT, True, False),)))
    assert contexts_for(CT, None, conclude(request, said, Quirks(no_role_answer=True)), "scp") == ()  # an answer holds


def test_roles_are_not_taken_as_agreed_by_an_acceptor() -> None:
    request = propose([(CT, [IMPLICIT])], calling_ae="A", called_ae="B", roles=[RoleSelection(CT, False, True)])
    proposal = negotiate(request, Acceptance(supported={CT: (IMPLICIT,)}, quirks=Quirks(no_role_answer=True)))
    assert proposal.negotiated is not None
    assert not proposal.negotiated.contexts[1].requestor_scp


PADDED = AssociateRQ(
    "ARCHIVE",
    "RTPLAN",
    (PresentationContext(1, VERIFICATION + ".", (IMPLICIT + " .",)),),
    UserInformation(
        max_length=16384,
        implementation_class_uid="2.25.7\0garbage",
        implementation_version="V1\0\0x",
        roles=(RoleSelection(VERIFICATION + ".", True, False),),
        extended=(ExtendedNegotiation(" " + CT, b"\1 "),),
        common_extended=(CommonExtendedNegotiation(CT + ".", " 1.2.840.10008.4.2", ("1.2.3.",)),),
    ),
    "1.2.840.10008.3.1.1.1.",
)


def padded_request() -> bytes:
    raw = bytearray(encode(PADDED))
    raw[10:26] = b"ARCHIVE\0old junk"
    raw[26:42] = b" RTPLAN\0\0\0\0\0\0\0\0\xfe"
    return bytes(raw)


@pytest.mark.parametrize("quirks", [None, Quirks.named("odd-padding")])
def test_odd_padding_of_a_request(quirks: Quirks | None) -> None:
    acceptance = replace(ACCEPTANCE, require_called_ae=True, allowed_calling=("RTPLAN",))
    core = Association(requestor=False, acceptance=acceptance, quirks=quirks)
    core.connected()
    (event,) = feed(core, padded_request())
    assert isinstance(event, AssociationRequested)
    if quirks is None:
        assert event.proposal.reject is not None
        return
    assert event.proposal.reject is None
    assert (event.request.called_ae, event.request.calling_ae) == ("ARCHIVE", "RTPLAN")
    user = event.request.user
    assert (user.implementation_class_uid, user.implementation_version) == ("2.25.7", "V1")
    assert user.roles == (RoleSelection(VERIFICATION, True, False),)
    assert user.extended == (ExtendedNegotiation(CT, b"\1 "),)  # the bytes of an option are not text
    assert user.common_extended == (CommonExtendedNegotiation(CT, "1.2.840.10008.4.2", ("1.2.3",)),)
    core.request(Accept())
    assert core.negotiated is not None
    assert core.negotiated.contexts[1].transfer_syntax == IMPLICIT
    assert core.negotiated.answer.echo == padded_request()[10:74]  # PS3.8 9.3.3: as received


def test_odd_padding_of_an_answer() -> None:
    answer = AssociateAC((PresentationResult(1, 0, IMPLICIT + "."),), echo=REQUEST.echo())
    for quirks, contexts in ((NO_QUIRKS, set()), (Quirks.named("odd-padding"), {1})):
        core = Association(requestor=True, quirks=quirks)
        core.request(Associate(REQUEST))
        core.connected()
        (event,) = feed(core, encode(answer))
        assert isinstance(event, Accepted)
        assert set(event.negotiated.contexts) == contexts


def test_what_is_not_odd_stays_as_it_is() -> None:
    assert mend(REQUEST, Quirks(odd_padding=True)) == REQUEST
    assert mend(PADDED, NO_QUIRKS) is PADDED


def test_a_command_and_its_data_set_in_one_pdu_need_no_quirk() -> None:
    core = established(requestor_side=False)
    data = p_data(pdv(1, 3, b"command"), pdv(1, 0, b"data "), pdv(1, 2, b"set!"))
    assert bodies(feed(core, data)) == [(1, True, b"command", True), (1, False, b"data set!", True)]
