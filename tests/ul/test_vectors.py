"""Every item, sub-item, reject, abort and message control header, byte by byte: read, written, and there and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from dicomcore.ul import (
    Abort,
    AssociateAC,
    AssociateRJ,
    AssociateRQ,
    AsyncWindow,
    CommonExtendedNegotiation,
    FindOptions,
    PresentationContext,
    PresentationResult,
    RetrieveOptions,
    RoleSelection,
    StorageOptions,
    UserIdentity,
    UserInformation,
    WorklistOptions,
    decode,
    encode,
)
from dicomcore.ul.pdu import ABORT_REASONS, REJECT_REASONS
from tests.ul.wire import IMPLICIT, VECTORS, VERIFICATION, bodies, established, feed, flush, read_vectors

CT = "1.2.840.10008.5.1.4.1.1.2"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STORAGE = "1.2.840.10008.4.2"
ITEMS = read_vectors("pdu_items.txt")

CONTEXTS: Mapping[str, PresentationContext | PresentationResult] = {
    "context-rq one syntax": PresentationContext(1, VERIFICATION, (IMPLICIT,)),
    "context-rq highest id": PresentationContext(255, VERIFICATION, (IMPLICIT + ".1", IMPLICIT + ".2")),
    "context-ac accepted": PresentationResult(1, 0, IMPLICIT),
    "context-ac refused by the user": PresentationResult(3, 1, IMPLICIT),
    "context-ac refused without a reason": PresentationResult(5, 2, IMPLICIT),
    "context-ac abstract syntax not supported": PresentationResult(7, 3, IMPLICIT),
    "context-ac transfer syntaxes not supported": PresentationResult(9, 4, ""),
}

USER_ITEMS: Mapping[str, tuple[str, Any]] = {
    "max-length": ("max_length", 16384),
    "max-length unlimited": ("max_length", 0),
    "max-length odd": ("max_length", 16383),
    "max-length highest": ("max_length", 0xFFFFFFFF),
    "implementation-class": ("implementation_class_uid", "1.2.3.4.5.6.7"),
    "implementation-version": ("implementation_version", "SIXTEEN_LETTERS_"),
    "window unlimited": ("async_window", AsyncWindow(0, 0)),
    "window default": ("async_window", AsyncWindow(1, 1)),
    "window uneven": ("async_window", AsyncWindow(16, 65535)),
    "role scu only": ("roles", (RoleSelection(CT, True, False),)),
    "role scp only": ("roles", (RoleSelection(CT, False, True),)),
    "role both": ("roles", (RoleSelection(CT, True, True),)),
    "extended storage": ("extended", (StorageOptions(2, 1, 1).item(CT),)),
    "extended find": ("extended", (FindOptions(True, True, enhanced_conversion=True).item(FIND),)),
    "extended move": ("extended", (RetrieveOptions(True).item(FIND[:-1] + "2"),)),
    "extended worklist": ("extended", (WorklistOptions(True).item("1.2.840.10008.5.1.4.31"),)),
    "common none": ("common_extended", (CommonExtendedNegotiation(CT, STORAGE),)),
    "common two": ("common_extended", (CommonExtendedNegotiation("1.2.3.9", STORAGE, (CT, CT + ".1")),)),
    "identity username": ("user_identity", UserIdentity.username("jö")),
    "identity passcode": ("user_identity", UserIdentity.passcode("user", "secret", response=True)),
    "identity kerberos": ("user_identity", UserIdentity.kerberos(b"\x6e\x82\x01\xa0", response=True)),
    "identity saml": ("user_identity", UserIdentity.saml(b"<Assertion/>")),
    "identity jwt": ("user_identity", UserIdentity.jwt(b"aa.bb.c", response=True)),
    "identity-response empty": ("user_identity_response", b""),
    "identity-response ticket": ("user_identity_response", b"\x6f\x81\x9c\x30"),
}

NUMBERS = {name: tuple(map(int, name.split()[1:])) for name in ITEMS if name.startswith(("rj ", "abort "))}
DATA = {
    "data 1 command more": (1, True, b"comm", False),
    "data 1 command last": (1, True, b"and.", True),
    "data 1 data more": (1, False, b"data", False),
    "data 1 data last": (1, False, b"set", True),
    "data 1 data empty": (1, False, b"", True),
}


def test_every_vector_is_tried() -> None:
    assert set(ITEMS) == {"application-context", *CONTEXTS, *USER_ITEMS, *NUMBERS, *DATA}


def test_every_vector_names_its_clause() -> None:
    for name in ("pdu.txt", "pdu_items.txt"):
        heads = [line for line in (VECTORS / name).read_text("ascii").splitlines() if line.startswith("==")]
        assert heads
        assert all("| PS3." in line for line in heads)


def test_every_type_of_item_and_every_reason_has_a_vector() -> None:
    types = {ITEMS[name][0] for name in ITEMS if name not in NUMBERS and name not in DATA}
    assert types == {0x10, 0x20, 0x21, *range(0x51, 0x5A)}  # 30H and 40H lie in 20H and 21H, 50H holds the 5xH
    assert {numbers[1:] for numbers in NUMBERS.values() if len(numbers) == 3} == set(REJECT_REASONS)
    assert {numbers[1] for numbers in NUMBERS.values() if len(numbers) == 2} == set(ABORT_REASONS)
    assert {ITEMS[name][11] for name in DATA} == {0, 1, 2, 3}
    assert {value.type for name, (_, value) in USER_ITEMS.items() if name.startswith("identity ")} == {1, 2, 3, 4, 5}


def around(item: bytes, pdu: AssociateRQ | AssociateAC) -> tuple[bytes, bytes]:
    """What the encoder puts before and after an item."""
    before, found, after = encode(pdu).partition(item)
    assert found == item
    return before, after


@pytest.mark.parametrize("name", CONTEXTS)
def test_presentation_contexts(name: str) -> None:
    raw, value = ITEMS[name], CONTEXTS[name]
    assert int.from_bytes(raw[2:4], "big") == len(raw) - 4
    pdu: AssociateRQ | AssociateAC
    pdu = AssociateRQ("A", "B", (value,)) if isinstance(value, PresentationContext) else AssociateAC((value,))
    around(raw, pdu)
    assert decode(1 if isinstance(pdu, AssociateRQ) else 2, encode(pdu)[6:]) == pdu


def test_the_application_context() -> None:
    raw = ITEMS["application-context"]
    before, _ = around(raw, AssociateRQ("A", "B", ()))
    assert len(before) == 74
    around(raw, AssociateAC(()))


@pytest.mark.parametrize("name", USER_ITEMS)
def test_user_items(name: str) -> None:
    raw, (field, value) = ITEMS[name], USER_ITEMS[name]
    assert int.from_bytes(raw[2:4], "big") == len(raw) - 4
    user = UserInformation(**{field: value})
    for pdu in (AssociateRQ("A", "B", (), user), AssociateAC((), user)):
        _, after = around(raw, pdu)
        assert after == b""  # the maximum length item comes first, any other is the last
        heard = decode(1 if isinstance(pdu, AssociateRQ) else 2, encode(pdu)[6:])
        assert heard == pdu
        assert getattr(heard.user, field) == value


@pytest.mark.parametrize("name", NUMBERS)
def test_rejects_and_aborts(name: str) -> None:
    raw, numbers = ITEMS[name], NUMBERS[name]
    pdu = AssociateRJ(*numbers) if name.startswith("rj") else Abort(*numbers)
    assert encode(pdu) == raw
    assert decode(raw[0], raw[6:]) == pdu
    assert "reason " not in str(pdu) or "not specified" in str(pdu) or "given" in str(pdu)  # each has words


@pytest.mark.parametrize("name", DATA)
def test_data(name: str) -> None:
    raw, (context, command, data, last) = ITEMS[name], DATA[name]
    core = established(requestor_side=False)
    assert bodies(feed(core, raw)) == [DATA[name]]
    sender = established(requestor_side=True)
    sender.send(context, command, data + (b"" if last else b"...."), last)
    sender._outbound.fragment_length = 4
    assert flush(sender)[: len(raw)] == raw
