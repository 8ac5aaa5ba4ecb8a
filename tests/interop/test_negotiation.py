"""pynetdicom at the other end: what is negotiated beyond contexts, both ways."""

from __future__ import annotations

from typing import Any

import pytest

from dicomcore.dimse.command import CommandField
from dicomcore.errors import AssociationRejected, NegotiationError
from dicomcore.net import AE
from dicomcore.services.base import Provider, Request, Response, ServiceContext
from dicomcore.services.verification import VerificationSCP
from dicomcore.ul import (
    FindOptions,
    RoleSelection,
    StorageOptions,
    UserIdentity,
    common_extended,
    contexts_for,
    options_for,
)
from dicomcore.vocab.sop_classes import VERIFICATION
from dicomcore.vocab.syntaxes import EXPLICIT_LE, IMPLICIT_LE

CT = "1.2.840.10008.5.1.4.1.1.2"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
GET = "1.2.840.10008.5.1.4.1.2.2.3"
PRIVATE = "1.2.3.4.5"
TIMEOUT = 10


class Taker:
    """A service that takes whatever C-STORE brings, drops it, and says yes; it knows a few classes."""

    commands = frozenset({CommandField.C_STORE_RQ})

    def __init__(self, *classes: str) -> None:
        self.supported = dict.fromkeys(classes, (EXPLICIT_LE.uid, IMPLICIT_LE.uid))
        self.seen: list[tuple[str, str]] = []

    def handle(self, request: Request, context: ServiceContext, /) -> Provider:
        self.seen.append((request.context.abstract_syntax, request.context.general))
        yield Response(0x0000)


def serve(pynetdicom: Any, *handlers: Any) -> tuple[Any, int]:
    ae = pynetdicom.AE("THEIRS")
    for uid in (VERIFICATION, FIND):
        ae.add_supported_context(uid)
    ae.add_supported_context(CT, scu_role=True, scp_role=True)
    ae.network_timeout = ae.acse_timeout = ae.dimse_timeout = TIMEOUT
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=list(handlers))
    return server, server.server_address[1]


@pytest.mark.parametrize(
    ("identity", "kind"),
    [
        (UserIdentity.username("jo", response=True), 1),
        (UserIdentity.passcode("jo", "secret", response=True), 2),
        (UserIdentity.kerberos(b"ticket", response=True), 3),
        (UserIdentity.saml(b"<Assertion/>", response=True), 4),
        (UserIdentity.jwt(b"a.b.c", response=True), 5),
    ],
)
def test_our_identity_is_confirmed(pynetdicom: Any, identity: UserIdentity, kind: int) -> None:
    seen: list[tuple[int, bytes, bytes]] = []

    def judge(event: Any) -> tuple[bool, bytes | None]:
        seen.append((event.user_id_type, event.primary_field, event.secondary_field or b""))
        return True, b"token" if kind > 2 else None

    server, port = serve(pynetdicom, (pynetdicom.evt.EVT_USER_ID, judge))
    try:
        with AE("OURS").associate("127.0.0.1", port, identity=identity) as association:
            negotiated = association.negotiated
            assert association.c_echo() == 0
            words = association.explain()
    finally:
        server.shutdown()
    assert seen == [(kind, identity.primary, identity.secondary)]
    if kind > 2:
        assert negotiated.identity_confirmed
        assert negotiated.identity_response == b"token"
        assert ", confirmed" in words
    else:  # they answer only the types whose response has content
        assert negotiated.identity_response in (None, b"")


def test_our_identity_is_refused(pynetdicom: Any) -> None:
    server, port = serve(pynetdicom, (pynetdicom.evt.EVT_USER_ID, lambda event: (False, None)))
    try:
        with pytest.raises(AssociationRejected) as caught:
            AE("OURS").associate("127.0.0.1", port, identity=UserIdentity.username("jo"))
    finally:
        server.shutdown()
    assert len(caught.value.answer or ()) == 3  # type: ignore[arg-type]


def test_our_options_and_roles(pynetdicom: Any) -> None:
    seen: list[dict[str, bytes]] = []

    def answer(event: Any) -> dict[str, bytes]:
        seen.append(dict(event.app_info))
        return {FIND: b"\1\0\0"}

    server, port = serve(pynetdicom, (pynetdicom.evt.EVT_SOP_EXTENDED, answer))
    try:
        with AE("OURS").associate(
            "127.0.0.1",
            port,
            contexts=[VERIFICATION, FIND, CT],
            extended={FIND: FindOptions(relational=True, fuzzy=True), CT: StorageOptions(level=2)},
            common_extended=[common_extended(CT)],
            roles=[RoleSelection(CT, True, True)],
        ) as association:
            negotiated = association.negotiated
    finally:
        server.shutdown()
    assert seen == [{FIND: b"\1\0\1\0\0", CT: b"\2\0\0\0\2\0"}]
    assert options_for(FIND, negotiated) == FindOptions(relational=True)
    assert options_for(CT, negotiated) is None
    assert contexts_for(CT, None, negotiated, "scp")
    assert contexts_for(CT, None, negotiated, "scu")
    assert not contexts_for(FIND, None, negotiated, "scp")


def test_our_window_of_any_size_is_borne(pynetdicom: Any) -> None:
    server, port = serve(pynetdicom)
    try:
        for window in (0, 16):
            with AE("OURS").associate("127.0.0.1", port, window=window) as association:
                assert association.negotiated.window == (1, 1)  # they have none
                assert association.c_echo() == 0
    finally:
        server.shutdown()


def test_our_contexts_are_refused(pynetdicom: Any) -> None:
    server, port = serve(pynetdicom)
    try:
        with pytest.raises(NegotiationError, match="does not offer this SOP class"):
            AE("OURS").associate("127.0.0.1", port, contexts=[GET])
    finally:
        server.shutdown()


def test_their_items(pynetdicom: Any) -> None:
    """Window, roles, options and a private class that specialises CT, all asked by them of us."""
    from pynetdicom import pdu_primitives as items

    taker = Taker(CT)
    find = Taker(FIND)
    find.commands = frozenset({CommandField.C_FIND_RQ})
    ae = pynetdicom.AE("THEIRS")
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = TIMEOUT
    for uid in (VERIFICATION, FIND, PRIVATE):
        ae.add_requested_context(uid)
    window = items.AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked = 5
    window.maximum_number_operations_performed = 3
    options = items.SOPClassExtendedNegotiation()
    options.sop_class_uid = FIND
    options.service_class_application_information = b"\1\1\1"
    common = items.SOPClassCommonExtendedNegotiation()
    common.sop_class_uid = PRIVATE
    common.service_class_uid = "1.2.840.10008.4.2"
    common.related_general_sop_class_identification = [CT]
    role = pynetdicom.build_role(FIND, scu_role=True, scp_role=True)
    with AE("OURS").serve(
        0,
        host="127.0.0.1",
        services=[VerificationSCP(), taker, find],
        window=4,
        roles={FIND: (True, True)},
        extended={FIND: FindOptions(relational=True, fuzzy=True)},
    ) as server:
        association = ae.associate("127.0.0.1", server.port, ext_neg=[window, options, common, role])
        assert association.is_established
        acceptor = association.acceptor
        assert acceptor.asynchronous_operations == (4, 3)
        assert acceptor.sop_class_extended == {FIND: b"\1\0\1"}
        assert {str(uid): (item.scu_role, item.scp_role) for uid, item in acceptor.role_selection.items()} == {
            FIND: (True, True)
        }
        assert {str(context.abstract_syntax) for context in association.accepted_contexts} == {
            VERIFICATION,
            FIND,
            PRIVATE,
        }
        assert association.send_c_store(private_instance()).Status == 0
        association.release()
    assert taker.seen == [(PRIVATE, CT)]


def private_instance() -> Any:
    from pydicom.dataset import Dataset, FileMetaDataset

    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID, ds.PatientID = PRIVATE, "1.2.3.4.5.6", "X"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = IMPLICIT_LE.uid
    return ds
