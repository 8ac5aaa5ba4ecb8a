from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore.vocab.tag import Tag, format_tag, is_private, is_private_creator, parse_tag


@given(st.integers(0, 0xFFFFFFFF))
def test_every_way_of_writing_a_tag(tag: int) -> None:
    text = format_tag(tag)
    assert (
        parse_tag(tag)
        == parse_tag(text)
        == parse_tag(text[1:5] + text[6:10])
        == parse_tag((tag >> 16, tag & 0xFFFF))
        == tag
    )
    assert str(Tag(tag)) == text
    assert (Tag(tag).group, Tag(tag).element) == (tag >> 16, tag & 0xFFFF)


def test_keywords() -> None:
    assert parse_tag("PatientName") == 0x00100010


@pytest.mark.parametrize("value", ["Patient", "", "0010", (1,), (0x10000, 0), -1, 2**32, None, 1.5, ("x",)])
def test_refused(value: object) -> None:
    with pytest.raises(ValueError, match="neither a tag nor a keyword"):
        parse_tag(value)


def test_private() -> None:
    assert is_private(0x00091001)
    assert not is_private(0x00101001)
    assert is_private_creator(0x00090010)
    assert not is_private_creator(0x00091001)
    assert not is_private_creator(0x00090001)
