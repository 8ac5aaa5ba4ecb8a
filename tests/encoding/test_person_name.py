"""Person names: groups, parts, equality with text (PS3.5 section 6.2)."""

from __future__ import annotations

import copy
import pickle

import pytest
from pydicom.valuerep import PersonName as Reference

from dicomcore.encoding.person_name import PersonName

NAMES = [
    "",
    "Doe",
    "Doe^John",
    "Adams^John Robert Quincy^^Rev.^B.A. M.Div.",
    "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "=山田",
    "a=b=",
    "^^^",
]
PARTS = (
    "family_name",
    "given_name",
    "middle_name",
    "name_prefix",
    "name_suffix",
    "alphabetic",
    "ideographic",
    "phonetic",
)


@pytest.mark.parametrize("text", NAMES)
def test_parts_are_those_of_pydicom(text: str) -> None:
    name, reference = PersonName(text), Reference(text)
    assert [getattr(name, part) for part in PARTS] == [getattr(reference, part) for part in PARTS]
    assert name.components == (reference.components if text else ())
    assert name.family_comma_given() == reference.family_comma_given()
    assert name.formatted("%(given_name)s %(family_name)s") == reference.formatted("%(given_name)s %(family_name)s")


@pytest.mark.parametrize("text", NAMES)
def test_a_name_is_its_text(text: str) -> None:
    name = PersonName(text)
    assert name == text
    assert hash(name) == hash(text)
    assert len(name) == len(text)
    for twin in (pickle.loads(pickle.dumps(name)), copy.copy(name), copy.deepcopy(name)):
        assert type(twin) is PersonName
        assert twin == name


def test_from_parts() -> None:
    name = PersonName.from_named_components("Yamada", "Tarou", ideographic="山田^太郎", phonetic=["やまだ", "たろう"])
    assert name == "Yamada^Tarou=山田^太郎=やまだ^たろう"
    assert PersonName.from_named_components("Doe") == "Doe"
    with pytest.raises(ValueError, match="delimiter"):
        PersonName.from_named_components("Doe^John")
