"""Specific Character Set: every defined term, the examples of PS3.5 annexes H to K, and what bad declarations get."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.valuerep import TEXT_VR_DELIMS

from dicomcore.encoding.text import decode_text, encode_text, fitting_charsets
from dicomcore.errors import EncodingError, Issue

KANJI = ("", "ISO 2022 IR 87")
KATAKANA = ("ISO 2022 IR 13", "ISO 2022 IR 87")
KOREAN = ("", "ISO 2022 IR 149")
CHINESE = ("", "ISO 2022 IR 58")

# PS3.5 annexes H (Japanese), I (Korean), J (Unicode, GB 18030), K (GBK, GB 2312)
EXAMPLES = [
    (
        KANJI,
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
    ),
    (
        KATAKANA,
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
        b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
    ),
    (
        KOREAN,
        "Hong^Gildong=洪^吉洞=홍^길동",
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
    ),
    (("ISO_IR 192",), "Wang^XiaoDong=王^小东=", "Wang^XiaoDong=王^小东=".encode()),
    (("GB18030",), "Wang^XiaoDong=王^小东=", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab="),
    (("GBK",), "Wang^XiaoDong=王^小东", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab"),
    (CHINESE, "Zhang^XiaoDong=张^小东=", b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab="),
    (("ISO_IR 100",), "Buc^Jérôme", b"Buc^J\xe9r\xf4me"),
    (("ISO_IR 101",), "Wałęsa", b"Wa\xb3\xeasa"),
    (("ISO_IR 109",), "antaŭnomo", b"anta\xfdnomo"),
    (("ISO_IR 110",), "vārds", b"v\xe0rds"),
    (("ISO_IR 126",), "Διονυσιος", b"\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2"),
    (("ISO_IR 127",), "قباني^لنزار", b"\xe2\xc8\xc7\xe6\xea^\xe4\xe6\xd2\xc7\xd1"),
    (("ISO_IR 138",), "שרון^דבורה", b"\xf9\xf8\xe5\xef^\xe3\xe1\xe5\xf8\xe4"),
    (("ISO_IR 144",), "Люксембург", b"\xbb\xee\xda\xe1\xd5\xdc\xd1\xe3\xe0\xd3"),
    (("ISO_IR 148",), "Çavuşoğlu", b"\xc7avu\xfeo\xf0lu"),
    (("ISO_IR 166",), "นามสกุล", b"\xb9\xd2\xc1\xca\xa1\xd8\xc5"),
    (("ISO_IR 203",), "Œuvre €", b"\xbcuvre \xa4"),
    (("ISO_IR 13",), "ﾔﾏﾀﾞ^ﾀﾛｳ", b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3"),
    (("ISO 2022 IR 6", "ISO 2022 IR 159"), "丂", b"\x1b$(D0!\x1b(B"),
    (("ISO 2022 IR 100", "ISO 2022 IR 144"), "é Д", b"\xe9 \x1b-L\xb4\x1b-A"),
]


@pytest.mark.parametrize(("terms", "text", "raw"), EXAMPLES)
def test_examples_both_ways(terms: tuple[str, ...], text: str, raw: bytes) -> None:
    issues: list[Issue] = []
    assert decode_text(raw, terms, "PN", issues) == text
    assert not issues
    assert encode_text(text, terms, "PN") == raw


@pytest.mark.parametrize(("terms", "text", "raw"), EXAMPLES)
def test_reading_agrees_with_pydicom(terms: tuple[str, ...], text: str, raw: bytes) -> None:
    if "203" in terms[0]:
        return  # pydicom 3.0 does not know ISO-IR 203
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = decode_bytes(raw, convert_encodings(list(terms)), TEXT_VR_DELIMS)
    assert reference.replace("\x1b$)A", "") == text  # pydicom 3.0 leaves this escape in the text


def test_backslash_within_two_byte_characters_separates_nothing() -> None:
    for terms in (("GB18030",), ("GBK",), KANJI):
        text = "誠" if terms != KANJI else "能"
        encoded = encode_text(text, terms)
        assert decode_text(encoded, terms) == text
    assert b"\\" in encode_text("誠", ("GB18030",))
    assert decode_text(encode_text("誠\\能", ("GB18030",)), ("GB18030",)).split("\\") == ["誠", "能"]


def test_sets_reset_at_delimiters() -> None:
    # after a backslash, or ^ and = in names, value 1 is active again without an escape (PS3.5 6.1.2.5.3)
    terms = ("ISO 2022 IR 100", "ISO 2022 IR 144")
    assert decode_text(b"\x1b-L\xb4\\\xe9", terms, "LO") == "Д\\é"
    assert decode_text(b"\x1b-L\xb4^\xe9", terms, "PN") == "Д^é"
    assert decode_text(b"\x1b-L\xb4^\xb4", terms, "LO") == "Д^Д"
    assert decode_text(b"\x1b-L\xb4\\\xb4", terms, "LT") == "Д\\Д"
    assert decode_text(b"\x1b$B;3\r\nabc", KANJI, "LT") == "山\r\nabc"


@pytest.mark.parametrize(
    ("raw", "terms", "text"),
    [
        (b"\xe9", (), "é"),  # nothing declared: what the field's readers do
        (b"\xe9", ("ISO-IR 100",), "é"),
        (b"\xe9", ("ISO_IR_100",), "é"),
        (b"\xe9", ("ISO 2022 IR 100",), "é"),
        (b"\xc3\xa9", ("utf8",), "é"),
        (b"\xe9", ("no such set",), "é"),
        (b"\xe9", ("rot13",), "é"),
        (b"\xe9", ("unicode_escape",), "é"),
        (b"a\xffb", ("ISO_IR 192",), "a\ufffdb"),
        (b"\xc3\xa9", ("ISO_IR 192", "ISO 2022 IR 87"), "é"),
        (b"\xe9", ("ISO_IR 100", "ISO_IR 192"), "é"),
        (b"\x1b$B;3\x1b(B", ("ISO_IR 100",), "山"),  # undeclared, yet plain
        (b"a\x1b%Gb", ("", "ISO 2022 IR 87"), "a\x1b%Gb"),
        (b"a\x1b", KANJI, "a\x1b"),
        (b"\x1b$B;", KANJI, "\ufffd"),
        (b"\x1b$)A\xd5\xc5\\\xd0\xa1", CHINESE, "张\\小"),  # the escape is not repeated behind the delimiter
    ],
)
def test_bad_declarations_and_bytes_are_issues(raw: bytes, terms: tuple[str, ...], text: str) -> None:
    issues: list[Issue] = []
    assert decode_text(raw, terms, "LO", issues) == text
    assert issues or terms == ("ISO 2022 IR 100",)


@given(st.binary(max_size=60), st.lists(st.sampled_from([*(t for e in EXAMPLES for t in e[0]), "x", "ISO 2022 IR 9"])))
def test_no_bytes_fail(raw: bytes, terms: list[str]) -> None:
    for vr in ("LO", "PN", "LT"):
        assert isinstance(decode_text(b"\x1b$)C" + raw, tuple(terms), vr), str)
        assert isinstance(decode_text(raw, tuple(terms), vr), str)


@given(st.sampled_from(EXAMPLES), st.data())
def test_what_is_written_reads_back(example: tuple[tuple[str, ...], str, bytes], data: st.DataObject) -> None:
    terms, alphabet, _ = example
    text = data.draw(st.text(alphabet=alphabet + "ab ^=\\\n", max_size=12))
    for vr in ("PN", "LO", "LT"):
        issues: list[Issue] = []
        assert decode_text(encode_text(text, terms, vr), terms, vr, issues) == text
        assert not issues


@pytest.mark.parametrize(("terms", "text"), [((), "é"), (("ISO_IR 100",), "山"), (KANJI, "한"), (("ISO_IR 13",), "山")])
def test_text_that_does_not_fit_is_refused(terms: tuple[str, ...], text: str) -> None:
    with pytest.raises(EncodingError, match="is not in") as caught:
        encode_text(f"ok {text}", terms)
    assert caught.value.hint
    assert caught.value.clause


@pytest.mark.parametrize(
    ("texts", "declared", "chosen"),
    [
        (["abc"], (), ()),
        (["é"], (), ("ISO_IR 100",)),
        (["é"], ("ISO_IR 192",), ("ISO_IR 192",)),
        (["Д"], ("ISO_IR 100",), ("ISO_IR 144",)),
        (["Д", "é"], (), ("ISO_IR 192",)),
        (["山田"], KANJI, KANJI),
        (["山田"], (), ("ISO_IR 192",)),
    ],
)
def test_a_set_is_found_that_holds_the_text(
    texts: list[str], declared: tuple[str, ...], chosen: tuple[str, ...]
) -> None:
    assert fitting_charsets(texts, declared) == chosen


def test_every_defined_term_is_known(request: pytest.FixtureRequest) -> None:
    table = Path(request.config.rootpath).parent / "shared" / "standard" / "charsets.tsv"
    if not table.exists():
        pytest.skip("the facts of the standard are not beside the checkout")
    rows = [line.split("\t") for line in table.read_text(encoding="utf-8").splitlines()[1:]]
    for term, *_ in rows:
        issues: list[Issue] = []
        decode_text(b"\xb0\xa1" if term else b"a", (term,), "LO", issues)
        assert not [issue for issue in issues if "defined term" in issue.message], term
