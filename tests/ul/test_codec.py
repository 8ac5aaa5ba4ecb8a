"""PDU codec: vectors of the standard, round trips, another library as judge, lengths that lie."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore.errors import DicomError, LimitExceeded, LocalProtocolError, RemoteProtocolError
from dicomcore.limits import Limits
from dicomcore.ul import (
    PDU,
    Abort,
    AssociateAC,
    AssociateRJ,
    AssociateRQ,
    AsyncWindow,
    CommonExtendedNegotiation,
    ExtendedNegotiation,
    PresentationContext,
    PresentationResult,
    ReleaseRP,
    ReleaseRQ,
    RoleSelection,
    UnknownItem,
    UserIdentity,
    UserInformation,
    decode,
    encode,
)
from tests.ul.wire import ANSWER, REQUEST, read_vectors

CT = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT = "1.2.840.10008.1.2"

EXPECTED: dict[str, PDU] = {
    "associate-rq": AssociateRQ(
        "ARCHIVE",
        "RTPLAN",
        (
            PresentationContext(1, "1.2.840.10008.1.1", (IMPLICIT, "1.2.840.10008.1.2.99")),
            PresentationContext(3, CT, (IMPLICIT,)),
        ),
        UserInformation(
            max_length=262144,
            implementation_class_uid="2.25.123",
            implementation_version="CORE1",
            async_window=AsyncWindow(16, 1),
            roles=(RoleSelection(CT, True, True),),
            extended=(ExtendedNegotiation(CT, bytes([2, 0, 3, 0, 0, 0])),),
            common_extended=(CommonExtendedNegotiation(CT, "1.2.840.10008.4.2", ("1.2.3", "1.2.840.10008")),),
            user_identity=UserIdentity(2, b"user", b"passwor", True),
            unknown=(UnknownItem(0x60, b"\xbe\xef"),),
        ),
    ),
    "associate-ac": AssociateAC(
        (PresentationResult(1, 0, IMPLICIT), PresentationResult(3, 3, IMPLICIT)),
        UserInformation(
            implementation_class_uid="2.25.456", async_window=AsyncWindow(1, 1), user_identity_response=b"response"
        ),
        b"ARCHIVE         RTPLAN          " + bytes(31) + b"\xaa",
    ),
    "associate-rj": AssociateRJ(1, 1, 7),
    "release-rq": ReleaseRQ(),
    "release-rp": ReleaseRP(),
    "abort": Abort(2, 6),
}
VECTORS = read_vectors()


def test_every_vector_has_its_value() -> None:
    assert set(VECTORS) == {*EXPECTED, "p-data-tf"}


@pytest.mark.parametrize("name", EXPECTED)
def test_vectors_both_ways(name: str) -> None:
    raw, value = VECTORS[name], EXPECTED[name]
    assert struct.unpack_from(">I", raw, 2)[0] == len(raw) - 6
    assert decode(raw[0], raw[6:]) == value
    assert encode(value) == raw


@pytest.mark.parametrize("name", ["associate-rq", "associate-ac"])
def test_pynetdicom_reads_the_same(name: str) -> None:
    from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ

    plain = EXPECTED[name]
    assert isinstance(plain, AssociateRQ | AssociateAC)
    user = UserInformation(**{field: getattr(plain.user, field) for field in plain.user.__slots__} | {"unknown": ()})
    if isinstance(plain, AssociateRQ):
        raw = encode(AssociateRQ(plain.called_ae, plain.calling_ae, plain.contexts, user))
        judge: Any = A_ASSOCIATE_RQ()
    else:
        raw = encode(AssociateAC(plain.results, user, plain.echo[:32] + bytes(32)))
        judge = A_ASSOCIATE_AC()
    judge.decode(raw)
    again = decode(raw[0], judge.encode()[6:])
    assert again == decode(raw[0], raw[6:])


UIDS = st.lists(st.integers(0, 10**9), min_size=2, max_size=6).map(lambda parts: ".".join(map(str, parts)))
TITLES = (
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters="\\"), max_size=16)
    .map(lambda text: text.strip(" "))
    .filter(bool)
)
NAMES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=16)
BYTES = st.binary(max_size=40)
BYTE = st.integers(0, 255)
USER = st.builds(
    UserInformation,
    max_length=st.integers(0, 0xFFFFFFFF),
    implementation_class_uid=UIDS | st.just(""),
    implementation_version=NAMES,
    async_window=st.none() | st.builds(AsyncWindow, st.integers(0, 65535), st.integers(0, 65535)),
    roles=st.lists(st.builds(RoleSelection, UIDS, st.booleans(), st.booleans()), max_size=3).map(tuple),
    extended=st.lists(st.builds(ExtendedNegotiation, UIDS, BYTES), max_size=3).map(tuple),
    common_extended=st.lists(
        st.builds(CommonExtendedNegotiation, UIDS, UIDS, st.lists(UIDS, max_size=3).map(tuple), BYTE, BYTES), max_size=2
    ).map(tuple),
    user_identity=st.none() | st.builds(UserIdentity, BYTE, BYTES, BYTES, st.booleans()),
    user_identity_response=st.none() | BYTES,
    unknown=st.lists(st.builds(UnknownItem, st.integers(0x5A, 0xFF), BYTES), max_size=2).map(tuple),
)
SHARED: dict[str, Any] = {
    "user": USER,
    "application_context": UIDS | st.just(""),
    "protocol_version": st.integers(0, 65535),
    "unknown": st.lists(st.builds(UnknownItem, st.integers(0x60, 0xFF), BYTES), max_size=2).map(tuple),
}
IDS = st.lists(st.integers(0, 127).map(lambda n: 2 * n + 1), unique=True, max_size=5)
REQUESTS = st.builds(
    AssociateRQ,
    TITLES,
    TITLES,
    IDS.flatmap(
        lambda ids: st.tuples(
            *[st.builds(PresentationContext, st.just(n), UIDS, st.lists(UIDS, max_size=3).map(tuple)) for n in ids]
        )
    ),
    **SHARED,
)
ANSWERS = st.builds(
    AssociateAC,
    IDS.flatmap(
        lambda ids: st.tuples(*[st.builds(PresentationResult, st.just(n), BYTE, UIDS | st.just("")) for n in ids])
    ),
    echo=st.binary(min_size=64, max_size=64),
    **SHARED,
)
PDUS = st.one_of(
    REQUESTS,
    ANSWERS,
    st.builds(AssociateRJ, BYTE, BYTE, BYTE),
    st.builds(Abort, BYTE, BYTE),
    st.builds(ReleaseRQ),
    st.builds(ReleaseRP),
)


def fault_of(kind: int, body: bytes) -> DicomError | None:
    """The documented error, if there is one; any other exception is a bug."""
    try:
        decode(kind, body)
    except (RemoteProtocolError, LimitExceeded) as error:
        return error
    return None


def check(error: DicomError | None, length: int) -> None:
    """An error names the clause and a place within the PDU, and says what to answer."""
    if error is not None:
        assert error.clause is not None
        assert error.offset is None or 0 <= error.offset <= length
        assert error.answer in ([(1, 3, 2)] if isinstance(error, LimitExceeded) else [(2, 5), (2, 6)])


@given(PDUS)
def test_round_trip_is_identity(pdu: PDU) -> None:
    raw = encode(pdu)
    again = decode(raw[0], raw[6:])
    assert again == pdu
    assert encode(again) == raw


@given(REQUESTS | ANSWERS, st.data())
def test_damage_gives_a_value_or_the_documented_error(pdu: AssociateRQ | AssociateAC, data: st.DataObject) -> None:
    body = bytearray(encode(pdu)[6:])
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(BYTE)
    body = body[: data.draw(st.integers(0, len(body)))] if data.draw(st.booleans()) else body
    check(fault_of(1 if isinstance(pdu, AssociateRQ) else 2, bytes(body)), len(body) + 6)


@pytest.mark.parametrize("name", ["associate-rq", "associate-ac"])
def test_cut_anywhere_is_an_error(name: str) -> None:
    """No proper prefix passes, save where whole optional items at the end go: here the last is the user information."""
    raw = VECTORS[name]
    for stop in range(6, len(raw)):
        with pytest.raises(RemoteProtocolError):
            decode(raw[0], raw[6:stop])


@pytest.mark.parametrize("name", ["associate-rq", "associate-ac", "associate-rj", "release-rq", "release-rp", "abort"])
def test_trailing_junk_is_an_error(name: str) -> None:
    raw = VECTORS[name]
    with pytest.raises(RemoteProtocolError) as caught:
        decode(raw[0], raw[6:] + b"\0")
    assert caught.value.answer == (2, 6)


def test_each_length_field_must_fit() -> None:
    """Every 16-bit item length in the request, set to the near and the far: the documented error or a value."""
    raw = VECTORS["associate-rq"][6:]
    for position in range(68, len(raw) - 1):
        for length in (0, 1, 0x7FFF, 0xFFFF):
            body = bytearray(raw)
            struct.pack_into(">H", body, position, length)
            check(fault_of(1, bytes(body)), len(body) + 6)


@pytest.mark.parametrize("kind", [0, 4, 8, 0x47, 255])
def test_unknown_type(kind: int) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode(kind, bytes(4))
    assert caught.value.answer == (2, 1)


def with_item(raw: bytes, item: bytes, *, user: bool = False) -> bytes:
    """The variable field of an associate PDU with one more item at its end (or at the end of the user information)."""
    body = raw[6:]
    if not user:
        return body + item
    at = 68  # after the fixed fields
    while body[at] != 0x50:
        at += 4 + int(struct.unpack_from(">H", body, at + 2)[0])
    length = struct.unpack_from(">H", body, at + 2)[0]
    end = at + 4 + length
    return body[: at + 2] + struct.pack(">H", length + len(item)) + body[at + 4 : end] + item + body[end:]


@pytest.mark.parametrize(
    ("item", "user"),
    [
        (b"\x10\0\0\x03" + b"1.2", False),
        (b"\x50\0\0\0", False),
        (b"\x51\0\0\x04\0\0\0\0", True),
        (b"\x52\0\0\x03" + b"1.2", True),
        (b"\x55\0\0\x01X", True),
    ],
)
def test_an_item_that_may_be_there_once(item: bytes, user: bool) -> None:
    with pytest.raises(RemoteProtocolError, match="second item") as caught:
        decode(1, with_item(encode(REQUEST), item, user=user))
    assert caught.value.answer == (2, 5)


@pytest.mark.parametrize(
    "item",
    [
        b"\x51\0\0\x03\0\0\0",
        b"\x53\0\0\x05\0\0\0\0\0",
        b"\x54\0\0\x04\0\x02\x31\x32",
        b"\x54\0\0\x02\0\x09",
        b"\x56\0\0\x01\0",
        b"\x57\0\0\x08\0\x01\x31\0\x01\x31\0\x05",
        b"\x58\0\0\x05\x01\0\0\0\0",
        b"\x58\0\0\x07\x01\0\0\0\0\0\0",
        b"\x59\0\0\x03\0\0\0",
        b"\x52\0\0\x01\xff",
    ],
)
def test_malformed_user_items(item: bytes) -> None:
    bare = AssociateRQ("A", "B", REQUEST.contexts, UserInformation())
    body = encode(bare)[6:]
    head = body[:-12]  # without its user information, which is one maximum length item
    with pytest.raises(RemoteProtocolError) as caught:
        decode(1, head + b"\x50\0" + struct.pack(">H", len(item)) + item)
    assert caught.value.answer == (2, 6)


@pytest.mark.parametrize(
    "context",
    [
        b"\x20\0\0\x03\x01\0\0",  # no room for the id and its reserved octets
        b"\x20\0\0\x09\x02\0\0\0\x30\0\0\x01\x31",  # even
        b"\x20\0\0\x09\x01\0\0\0\x30\0\0\x01\x31",  # used before
        b"\x20\0\0\x04\x09\0\0\0",  # no abstract syntax
        b"\x20\0\0\x0e\x09\0\0\0\x30\0\0\x01\x31\x30\0\0\x01\x31",  # two of them
    ],
)
def test_malformed_contexts(context: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode(1, encode(REQUEST)[6:] + context)
    assert caught.value.answer == (2, 6)


def test_an_answer_with_two_transfer_syntaxes() -> None:
    with pytest.raises(RemoteProtocolError, match="several transfer syntaxes"):
        decode(2, encode(ANSWER)[6:] + b"\x21\0\0\x0e\x09\0\0\0\x40\0\0\x01\x31\x40\0\0\x01\x32")


def test_no_user_information() -> None:
    with pytest.raises(RemoteProtocolError, match="no user information"):
        decode(1, encode(REQUEST)[6:74] + b"\x10\0\0\x03" + b"1.2")


def test_limits() -> None:
    for limits in (
        Limits().but(context_count=2),
        Limits().but(transfer_syntax_count=0),
        Limits().but(user_item_count=2),
    ):
        with pytest.raises(LimitExceeded) as caught:
            decode(1, encode(REQUEST)[6:], limits)
        assert caught.value.answer == (1, 3, 2)


def test_names_are_read_with_padding_and_titles_without() -> None:
    raw = bytearray(encode(AssociateRQ("ARCHIVE", "RTPLAN", (PresentationContext(1, "1.2", ("1.3  ",)),))))
    raw[10:26] = b"  ARCHIVE\0\0\0\0\0\0\0"
    request = decode(1, raw[6:])
    assert isinstance(request, AssociateRQ)
    assert request.called_ae == "ARCHIVE"
    assert request.contexts[0].transfer_syntaxes == ("1.3",)
    assert request.echo() == bytes(raw[10:74])  # PS3.8 9.3.3: as received, to the byte


def test_what_cannot_be_encoded() -> None:
    user = UserInformation(user_identity=UserIdentity(4, bytes(70000)))
    for pdu in (
        AssociateRQ("", "B", ()),
        AssociateRQ("A" * 17, "B", ()),
        AssociateRQ("A\\B", "B", ()),
        AssociateRQ("A\n", "B", ()),
        AssociateRQ("A", "B", (PresentationContext(257, "1.2", ("1.2",)),)),
        AssociateRQ("A", "B", (PresentationContext(1, "1.\xe9", ("1.2",)),)),
        AssociateRQ("A", "B", (), user),
        AssociateRQ("A", "B", (), UserInformation(max_length=1 << 32)),
        AssociateRQ("A", "B", (), UserInformation(extended=tuple([ExtendedNegotiation("1", bytes(60000))] * 2))),
        AssociateAC((), echo=bytes(63)),
        AssociateRJ(1, 2, 300),
    ):
        with pytest.raises(LocalProtocolError) as caught:
            encode(pdu)
        assert caught.value.clause


def test_secrets_stay_out_of_the_representation() -> None:
    assert "hunter2" not in repr(UserIdentity(2, b"user", b"hunter2"))
