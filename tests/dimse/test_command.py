"""The command codec against vectors of every message, against damage, and against itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore.dimse import command as module
from dicomcore.dimse.command import (
    ABORT,
    MESSAGES,
    NO_DATA_SET,
    Command,
    CommandField,
    command,
    decode_command,
    encode_answer,
    encode_command,
    response,
)
from dicomcore.errors import LocalProtocolError, RemoteProtocolError
from dicomcore.limits import Limits
from dicomcore.vocab.uids import UID
from tests.reference import command as reference

BY_NAME = {row.name: row for row in MESSAGES.values()}


class Vector(NamedTuple):
    name: str
    clause: str
    body: str
    elements: tuple[tuple[str, str, bytes], ...]  # use, keyword, encoded

    @property
    def encoded(self) -> bytes:
        return b"".join(raw for _, _, raw in self.elements)

    def without(self, *keywords: str) -> bytes:
        kept = [raw for _, keyword, raw in self.elements[1:] if keyword not in keywords]
        length = sum(map(len, kept))
        return b"".join([b"\0\0\0\0\4\0\0\0", length.to_bytes(4, "little"), *kept])


def read_vectors() -> list[Vector]:
    text = (Path(__file__).parent / "messages.txt").read_text()
    vectors = []
    for block in text.split("\n\n")[1:]:
        title, *lines = block.strip().splitlines()
        name, clause, body = title.split()
        elements = []
        for line in lines:
            use, group, element, *raw, keyword = line.split()
            elements.append((use, keyword, bytes.fromhex(group + element + "".join(raw))))
        vectors.append(Vector(name, clause, body, tuple(elements)))
    return vectors


VECTORS = read_vectors()


def attempt(raw: bytes | bytearray) -> Command | RemoteProtocolError:
    """Decoding has these two outcomes and no third."""
    try:
        return decode_command(raw)
    except RemoteProtocolError as error:
        return error


def pytest_ids(vector: Vector) -> str:
    return vector.name


def test_every_message_has_a_vector() -> None:
    assert {vector.name for vector in VECTORS} == set(BY_NAME)
    assert len(VECTORS) == 23 == len(CommandField)


@pytest.mark.parametrize("vector", VECTORS, ids=pytest_ids)
def test_vector(vector: Vector) -> None:
    decoded = decode_command(memoryview(vector.encoded))
    assert decoded.name == vector.name
    assert decoded.message.clause.startswith(f"PS3.7 {vector.clause.rsplit('.', 1)[0]}")
    assert decoded.message.body == vector.body
    assert not decoded.unknown
    keywords = {keyword for _, keyword, _ in vector.elements} - {"CommandGroupLength", "CommandField"}
    assert set(decoded.elements) == keywords
    assert encode_command(decoded) == vector.encoded


@pytest.mark.parametrize("vector", VECTORS, ids=pytest_ids)
def test_mandatory_elements_are_demanded_and_others_are_not(vector: Vector) -> None:
    for use, keyword, _ in vector.elements:
        if use != "M":
            assert decode_command(vector.without(keyword)).elements.get(keyword) is None
            continue
        raw = vector.without(keyword) if keyword != "CommandGroupLength" else vector.encoded[12:]
        with pytest.raises(RemoteProtocolError) as caught:
            decode_command(raw)
        assert caught.value.answer == ABORT


@pytest.mark.parametrize("vector", VECTORS, ids=pytest_ids)
def test_mandatory_elements_are_not_left_out_by_us(vector: Vector) -> None:
    whole = decode_command(vector.encoded)
    for use, keyword, _ in vector.elements[1:]:
        if use == "M" and keyword != "CommandField":
            rest = {key: value for key, value in whole.elements.items() if key != keyword}
            with pytest.raises(LocalProtocolError):
                encode_command(Command(whole.field, rest))


@pytest.mark.parametrize("vector", VECTORS, ids=pytest_ids)
def test_cut_anywhere(vector: Vector) -> None:
    encoded = vector.encoded
    for stop in range(len(encoded)):
        outcome = attempt(encoded[:stop])
        if isinstance(outcome, Command):  # only what is optional was lost
            assert outcome.message.required <= outcome.elements.keys()
        else:
            assert outcome.answer == ABORT


@pytest.mark.parametrize("vector", VECTORS, ids=pytest_ids)
def test_data_set_only_where_the_message_has_one(vector: Vector) -> None:
    whole = decode_command(vector.encoded)
    other = whole.but(CommandDataSetType=0x0102 if vector.body == "never" else NO_DATA_SET)
    if vector.body == "either":
        assert decode_command(encode_command(other)).has_body is False
        assert decode_command(encode_command(other.but(CommandDataSetType=0))).has_body is True
        return
    with pytest.raises(LocalProtocolError):
        encode_command(other)
    flag = (0x0800).to_bytes(2, "little") + b"\2\0\0\0"
    start = vector.encoded.index(flag) + len(flag)
    value = other.CommandDataSetType.to_bytes(2, "little")
    with pytest.raises(RemoteProtocolError):
        decode_command(vector.encoded[:start] + value + vector.encoded[start + 2 :])


def test_attributes() -> None:
    echo = command("C-ECHO-RQ", AffectedSOPClassUID="1.2.840.10008.1.1", MessageID=7)
    assert (echo.MessageID, echo.AffectedSOPInstanceUID, echo.has_body, echo.is_response) == (7, None, False, False)
    assert (echo.sop_class_uid, echo.sop_instance_uid) == ("1.2.840.10008.1.1", None)
    with pytest.raises(AttributeError, match="no element of a command set"):
        _ = echo.PatientName


def test_builder_refuses_what_the_message_does_not_know() -> None:
    with pytest.raises(LocalProtocolError, match="no DIMSE message"):
        command("C-ECHO")
    with pytest.raises(LocalProtocolError, match="no element MoveDestination"):
        command("C-ECHO-RQ", MoveDestination="X")
    assert command("C-ECHO-RQ", AffectedSOPClassUID=None).elements == {"CommandDataSetType": NO_DATA_SET}
    assert command("C-FIND-RQ").Priority == 0


@pytest.mark.parametrize("name", [name for name in BY_NAME if name.endswith("-RQ") and name != "C-CANCEL-RQ"])
def test_response_repeats_what_it_answers(name: str) -> None:
    vector = next(vector for vector in VECTORS if vector.name == name)
    request = decode_command(vector.encoded)
    answer = response(request, 0x0110, ErrorComment="disk é full" * 9, ErrorID=3, OffendingElement=0x00080018)
    assert answer.name == name[:-1] + "SP"
    assert answer.MessageIDBeingRespondedTo == request.MessageID
    assert (answer.AffectedSOPClassUID, answer.AffectedSOPInstanceUID) == (
        request.sop_class_uid,
        request.sop_instance_uid,
    )
    decoded = decode_command(encode_command(answer))
    assert decoded.OffendingElement == (0x00080018,)
    assert len(decoded.ErrorComment) <= 64
    with pytest.raises(LocalProtocolError):
        response(answer, 0)
    with pytest.raises(LocalProtocolError):
        response(request, 0, MoveDestination="X")


def element(tag: int, raw: bytes, group: int = 0) -> bytes:
    return group.to_bytes(2, "little") + tag.to_bytes(2, "little") + len(raw).to_bytes(4, "little") + raw


ECHO = VECTORS[[vector.name for vector in VECTORS].index("C-ECHO-RQ")].encoded


@pytest.mark.parametrize(
    ("tail", "what"),
    [
        (element(0x0010, b"\0\0", group=8), "group 0008"),
        (element(0x0110, b"\1\0"), "twice"),
        (element(0x0000, b"\1\0\0\0"), "twice"),
        (element(0x0100, b"\x30\0"), "twice"),
        (element(0x0900, b"\1\0\0\0"), "of 4 bytes"),
        (element(0x0901, b"\1\0"), "of 2 bytes"),
        (element(0x1000, b"1.2\xff"), "not ASCII"),
        (element(0x1000, b"1.2")[:-1], "beyond its end"),
        (b"\0\0\0\1\xff\xff\xff\xff", "beyond its end"),
        (b"\0\0\0", "inside an element header"),
    ],
)
def test_damage_is_named_and_answered(tail: bytes, what: str) -> None:
    with pytest.raises(RemoteProtocolError, match=what) as caught:
        decode_command(ECHO + tail)
    assert caught.value.answer == ABORT
    assert caught.value.offset == len(ECHO)


@pytest.mark.parametrize("field", [0, 0x0031, 0x0FFE, 0x8FFF, 0xFFFF])
def test_unknown_command_field(field: int) -> None:
    raw = ECHO.replace(element(0x0100, b"\x30\0"), element(0x0100, field.to_bytes(2, "little")))
    with pytest.raises(RemoteProtocolError, match=f"command field {field:04X}"):
        decode_command(raw)


def test_what_does_no_harm_is_accepted() -> None:
    plain = decode_command(ECHO)
    odd = element(0x1000, b"1.2.3") + element(0x0902, b"")  # odd, empty, out of order
    assert decode_command(ECHO + odd) == plain.but(AffectedSOPInstanceUID="1.2.3")
    wrong_length = ECHO[:8] + b"\7\0\0\0" + ECHO[12:]
    assert decode_command(wrong_length) == plain
    padded = ECHO.replace(element(0x0002, b"1.2.840.10008.1.1\0"), element(0x0002, b"1.2.840.10008.1.1 \0 "))
    assert decode_command(padded) == plain


def test_unknown_elements_are_kept_in_order() -> None:
    with_unknown = decode_command(ECHO + element(0x5110, b"DISPLAY ") + element(0x0010, b"RECO"))
    assert with_unknown.unknown == ((0x5110, b"DISPLAY "), (0x0010, b"RECO"))
    encoded = encode_command(with_unknown)
    elements = decode_command(encoded)
    assert elements.elements == with_unknown.elements
    assert elements.unknown == ((0x0010, b"RECO"), (0x5110, b"DISPLAY "))


def test_length_is_bounded_before_anything_is_read() -> None:
    tail = element(0x5110, bytes(400))
    decode_command(ECHO + tail, Limits(command_length=len(ECHO + tail)))
    with pytest.raises(RemoteProtocolError, match="command_length"):
        decode_command(ECHO + tail, Limits(command_length=len(ECHO + tail) - 1))


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("MessageID", 0x10000),
        ("MessageID", -1),
        ("MessageID", "7"),
        ("AffectedSOPClassUID", "1." * 33),
        ("AffectedSOPClassUID", "1.é"),
        ("AffectedSOPClassUID", 7),
        ("MoveOriginatorApplicationEntityTitle", "A" * 17),
    ],
)
def test_values_that_do_not_fit(keyword: str, value: object) -> None:
    vector = VECTORS[[vector.name for vector in VECTORS].index("C-STORE-RQ")]
    with pytest.raises(LocalProtocolError, match=keyword):
        encode_command(decode_command(vector.encoded).but(**{keyword: value}))


uids = st.from_regex(r"[0-9]{1,9}(\.[0-9]{1,9}){0,4}", fullmatch=True)
words = st.integers(0, 0xFFFF)
tags = st.lists(st.integers(0, 0xFFFFFFFF), min_size=1, max_size=4).map(tuple)
titles = st.from_regex(r"[!-\[\]-~]{1,16}", fullmatch=True)
VALUES = {"UI": uids, "US": words, "AT": tags, "AE": titles, "LO": titles}


@st.composite
def commands(draw: st.DrawFn) -> Command:
    row = draw(st.sampled_from(sorted(MESSAGES.values())))
    optional = draw(st.sets(st.sampled_from(sorted(row.allowed)), max_size=5))
    elements = {
        keyword: draw(VALUES[module._ELEMENTS[keyword][1]])
        for keyword in module._ELEMENTS
        if keyword in row.required or keyword in optional
    }
    if row.body != "either":
        kinds = st.just(NO_DATA_SET) if row.body == "never" else words.filter(lambda value: value != NO_DATA_SET)
        elements["CommandDataSetType"] = draw(kinds)
    known = {0, 0x0100, *(tag for tag, _ in module._ELEMENTS.values())}
    unknown = draw(st.dictionaries(words.filter(lambda tag: tag not in known), st.binary(max_size=9), max_size=3))
    return Command(row.field, elements, tuple(sorted(unknown.items())))


@given(commands())
def test_round_trip(original: Command) -> None:
    encoded = encode_command(original)
    assert decode_command(encoded) == original
    assert int.from_bytes(encoded[8:12], "little") == len(encoded) - 12


@given(commands(), st.data())
def test_damaged_bytes_give_a_command_or_the_documented_error(original: Command, data: st.DataObject) -> None:
    raw = bytearray(encode_command(original))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    outcome = attempt(raw)
    if isinstance(outcome, Command):
        assert outcome.message.required <= outcome.elements.keys()
    else:
        assert outcome.answer == ABORT


@pytest.mark.parametrize("name", sorted(name for name in BY_NAME if name.endswith("-RQ") and name != "C-CANCEL-RQ"))
def test_a_request_whose_uids_are_too_long_can_be_answered(name: str) -> None:
    row = BY_NAME[name]
    uids = {keyword: "1" * 65 for keyword in row.allowed if keyword.endswith("UID")}
    answer = response(Command(row.field, {"MessageID": 7, **uids}), 0x0110)
    assert decode_command(encode_command(answer)).MessageIDBeingRespondedTo == 7
    assert not any(keyword.endswith("UID") for keyword in answer.elements)


ROWS = [(tag, vr, keyword) for keyword, (tag, vr) in module._ELEMENTS.items()]


@given(commands(), st.data())
def test_kernel_and_twin_agree(original: Command, data: st.DataObject) -> None:
    encoded = encode_command(original)
    assert encoded == reference.encode(ROWS, original.field, original.elements, original.unknown)
    raw = bytearray(encoded)
    for _ in range(data.draw(st.integers(0, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.sampled_from([0, 1, 2, 4, 8, 0x20, 0x31, 0xFF]))
    fault, _, field, elements, unknown = module._CODEC.decode(raw)
    try:
        expected = reference.decode(ROWS, bytes(raw))
    except (ValueError, UnicodeDecodeError):
        assert fault
        return
    assert elements == expected[1]
    if not fault:
        assert (field, unknown) == (expected[0], expected[2])
    else:  # the twin does not know which messages there are
        assert attempt(raw).args


def answers(request: Command, status: Any) -> tuple[bytes | str, bytes | str]:
    """In one step, and in two; or why not."""
    found: list[bytes | str] = []
    for make in (encode_answer, lambda *asked: encode_command(response(*asked))):
        try:
            found.append(make(request, status))
        except LocalProtocolError as error:
            found.append(str(error))
    return found[0], found[1]


@given(commands(), words)
def test_an_answer_is_the_encoded_response(request: Command, status: int) -> None:
    at_once, ordinary = answers(request, status)
    assert at_once == ordinary
    assert isinstance(at_once, bytes) == (request.field < 0x8000 and not request.name.startswith("C-CANCEL"))


@pytest.mark.parametrize("status", [0, -1, 0xFFFF, 0x10000, 1 << 70, -(1 << 70), None, "0", True])
def test_answers_that_cannot_be(status: Any) -> None:
    echo = command("C-ECHO-RQ", AffectedSOPClassUID="1.2.840.10008.1.1", MessageID=7)
    at_once, ordinary = answers(echo, status)
    assert at_once == ordinary
    assert isinstance(at_once, bytes) == (status in (0, 1, 0xFFFF))


@pytest.mark.parametrize("message_id", [None, -1, 0x10000, 1 << 70, "7", True, 0])
@pytest.mark.parametrize("uid", [None, "", "1", "1" * 64, "1" * 65, "1.é", "\ud800", UID("1.2.3"), 7, b"1.2"])
def test_answers_to_what_no_peer_sends(message_id: Any, uid: Any) -> None:
    for keyword in ("AffectedSOPClassUID", "AffectedSOPInstanceUID", "RequestedSOPClassUID", "RequestedSOPInstanceUID"):
        elements = {"MessageID": message_id, "AffectedSOPClassUID": "1.2", keyword: uid}
        asked = Command(CommandField.C_STORE_RQ, {key: value for key, value in elements.items() if value is not None})
        try:
            ordinary = answers(asked, 0)
        except TypeError:  # len() of something else
            with pytest.raises(TypeError):
                encode_answer(asked, 0)
            continue
        assert ordinary[0] == ordinary[1]


def test_changes_go_before_elements() -> None:
    echo = command("C-ECHO-RQ", AffectedSOPClassUID="1.2.840.10008.1.1", MessageID=7)
    assert encode_command(echo, {"MessageID": 8}) == encode_command(echo.but(MessageID=8))
    with pytest.raises(LocalProtocolError, match="lacks MessageID"):
        encode_command(echo, {"MessageID": None})
    with pytest.raises(LocalProtocolError, match="MessageID of C-ECHO-RQ cannot be 65536"):
        encode_command(echo, {"MessageID": 65536})


@pytest.mark.parametrize("count", [1, 100, 3000])
def test_long_lists_of_tags(count: int) -> None:
    tags = tuple(range(0x00100010, 0x00100010 + count))
    get = command(
        "N-GET-RQ", RequestedSOPClassUID="1.2", RequestedSOPInstanceUID="1.3", AttributeIdentifierList=tags, MessageID=1
    )
    assert decode_command(encode_command(get)).AttributeIdentifierList == tags
    assert encode_command(get.but(AttributeIdentifierList=list(tags))) == encode_command(get)
    for wrong in ((*tags, -1), (*tags, 1 << 32), (*tags, "x"), "tags", 1.5):
        with pytest.raises(LocalProtocolError, match="AttributeIdentifierList"):
            encode_command(get.but(AttributeIdentifierList=wrong))
