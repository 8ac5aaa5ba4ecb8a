"""SOP class extended negotiation: bytes of the clauses as options and back, answers, what both sides conclude."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore.errors import LocalProtocolError
from dicomcore.ul import (
    Acceptance,
    ExtendedNegotiation,
    FindOptions,
    Options,
    RetrieveOptions,
    StorageOptions,
    WorklistOptions,
    common_extended,
    conclude,
    negotiate,
    options_for,
    propose,
    read_options,
)
from dicomcore.vocab.sop_classes import sop_classes
from tests.ul.wire import IMPLICIT

CT = "1.2.840.10008.5.1.4.1.1.2"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
GET = "1.2.840.10008.5.1.4.1.2.2.3"
RETRIEVE_ROOT_GET = "1.2.840.10008.5.1.4.1.2.4.3"
WORKLIST = "1.2.840.10008.5.1.4.31"


@pytest.mark.parametrize(
    ("sop_class", "information", "options"),
    [
        # PS3.4 B.3.1: level, reserved, digital signature level, reserved, element coercion, reserved
        (CT, "020003000000", StorageOptions(level=2, signature_level=3, coercion=0)),
        (CT, "030000000200", StorageOptions()),
        # PS3.4 C.5.1.1: relational, date-time, fuzzy, timezone, enhanced multi-frame conversion
        (FIND, "0101010101", FindOptions(True, True, True, True, True)),
        (FIND, "0100010000", FindOptions(relational=True, fuzzy=True)),
        # PS3.4 C.5.2.1 and C.5.3.1: relational, enhanced multi-frame conversion
        (MOVE, "0100", RetrieveOptions(relational=True)),
        (GET, "0001", RetrieveOptions(enhanced_conversion=True)),
        (RETRIEVE_ROOT_GET, "0001", RetrieveOptions(enhanced_conversion=True)),
        # PS3.4 annex K: two bytes that are always 1, fuzzy, timezone
        (WORKLIST, "01010001", WorklistOptions(timezone=True)),
    ],
)
def test_bytes_of_the_clauses(sop_class: str, information: str, options: Options) -> None:
    item = ExtendedNegotiation(sop_class, bytes.fromhex(information))
    assert read_options(item) == options
    assert options.item(sop_class) == item


def test_short_and_long_information() -> None:
    assert FindOptions.decode(b"") == FindOptions()
    assert FindOptions.decode(b"\1") == FindOptions(relational=True)
    assert FindOptions.decode(b"\0\0\0\1\0\1\1\1") == FindOptions(timezone=True)
    assert StorageOptions.decode(b"\2") == StorageOptions(level=2)
    assert FindOptions.decode(b"\2\xff") == FindOptions()  # 1 is yes, nothing else is


@given(st.builds(FindOptions, *[st.booleans()] * 5) | st.builds(StorageOptions, *[st.integers(0, 255)] * 3))
def test_round_trip(options: Options) -> None:
    assert type(options).decode(options.encode()) == options


def test_what_has_no_meaning_here() -> None:
    assert read_options(ExtendedNegotiation("1.2.3", b"\1")) is None
    assert read_options(ExtendedNegotiation("1.2.840.10008.1.1", b"\1")) is None
    with pytest.raises(LocalProtocolError):
        StorageOptions(level=300).encode()


def agreed(asked: Any, offered: Any, sop_class: str) -> tuple[Options | None, Options | None, bytes | None]:
    """What requestor and acceptor conclude, and the bytes of the answer."""
    request = propose([(sop_class, [IMPLICIT])], calling_ae="A", called_ae="B", extended=asked)
    proposal = negotiate(request, Acceptance(supported={sop_class: (IMPLICIT,)}, extended=offered))
    assert proposal.accept is not None
    assert proposal.negotiated is not None
    mine = conclude(request, proposal.accept)
    answers = proposal.accept.user.extended
    return (
        options_for(sop_class, mine),
        options_for(sop_class, proposal.negotiated),
        answers[0].information if answers else None,
    )


def test_queries_get_what_both_have() -> None:
    mine, theirs, information = agreed(
        {FIND: FindOptions(relational=True, fuzzy=True)}, {FIND: FindOptions(fuzzy=True, timezone=True)}, FIND
    )
    assert mine == theirs == FindOptions(fuzzy=True)
    assert information == b"\0\0\1\0\0"


def test_an_answer_is_as_long_as_the_question() -> None:
    mine, _, information = agreed([ExtendedNegotiation(FIND, b"\1")], {FIND: FindOptions(True, True, True)}, FIND)
    assert information == b"\1"
    assert mine == FindOptions(relational=True)


def test_storage_answers_its_own_levels() -> None:
    own = StorageOptions(level=2, signature_level=1, coercion=1)
    mine, theirs, _ = agreed({CT: StorageOptions()}, {CT: own}, CT)
    assert mine == theirs == own


@pytest.mark.parametrize("offered", [None, {}, {MOVE: RetrieveOptions(True)}, lambda item: None])
def test_no_answer_leaves_the_defaults(offered: Any) -> None:
    assert agreed({FIND: FindOptions(relational=True)}, offered, FIND) == (None, None, None)


def test_nothing_is_answered_unasked() -> None:
    assert agreed((), {FIND: FindOptions(relational=True)}, FIND) == (None, None, None)


def test_an_answer_cannot_give_more_than_was_asked() -> None:
    mine, _, _ = agreed({FIND: FindOptions(fuzzy=True)}, lambda item: b"\1\1\1\1\1", FIND)
    assert mine == FindOptions(fuzzy=True)


def test_common_extended_negotiation_of_standard_classes() -> None:
    enhanced = common_extended("1.2.840.10008.5.1.4.1.1.88.22")  # Enhanced SR, PS3.4 B.3.1.4
    assert enhanced.service_class == "1.2.840.10008.4.2"
    assert "1.2.840.10008.5.1.4.1.1.88.33" in enhanced.related
    assert common_extended(CT).related == ()
    assert common_extended("1.2.3", [CT]).related == (CT,)
    assert common_extended("1.2.3").related == ()
    for row in sop_classes().values():
        assert all(general in sop_classes() and general != row.uid for general in row.related_general)
