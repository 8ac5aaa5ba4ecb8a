"""Specific Character Set (PS3.3 section C.12.1.1.2, PS3.5 section 6.1): every defined term, with code extensions.

Reading never fails: an unknown term falls back to ISO 8859-1, undecodable bytes become U+FFFD, an escape sequence that
was not declared is obeyed, and each of these is an `Issue`. Writing refuses what the declared sets cannot hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from ..errors import EncodingError, Issue

__all__ = ["decode_text", "encode_text", "fitting_charsets", "is_readable"]

_CLAUSE = "PS3.5 6.1.2"


class _Set(NamedTuple):
    """One coded character set: where it is invoked, by which escape, and the Python codec that knows it."""

    escape: bytes  # without ESC
    region: int  # 0: GL (21-7E), 1: GR (A1-FE)
    codec: str
    prefix: bytes = b""  # what the codec wants in front (two-byte sets in GL)


_ASCII = _Set(b"(B", 0, "ascii")
_ROMAJI = _Set(b"(J", 0, "ascii")  # yen and overline keep their ASCII look, since 5C separates values
_KATAKANA = _Set(b")I", 1, "shift_jis")
_KANJI = _Set(b"$B", 0, "iso2022_jp", b"\x1b$B")
_KANJI_EXTRA = _Set(b"$(D", 0, "iso2022_jp_2", b"\x1b$(D")

# registration number of the term -> the sets it brings, the one in GR first
_SETS: Mapping[str, tuple[_Set, ...]] = MappingProxyType(
    {
        "6": (_ASCII,),
        "100": (_Set(b"-A", 1, "iso8859_1"), _ASCII),
        "101": (_Set(b"-B", 1, "iso8859_2"), _ASCII),
        "109": (_Set(b"-C", 1, "iso8859_3"), _ASCII),
        "110": (_Set(b"-D", 1, "iso8859_4"), _ASCII),
        "126": (_Set(b"-F", 1, "iso8859_7"), _ASCII),
        "127": (_Set(b"-G", 1, "iso8859_6"), _ASCII),
        "138": (_Set(b"-H", 1, "iso8859_8"), _ASCII),
        "144": (_Set(b"-L", 1, "iso8859_5"), _ASCII),
        "148": (_Set(b"-M", 1, "iso8859_9"), _ASCII),
        "166": (_Set(b"-T", 1, "tis_620"), _ASCII),
        "203": (_Set(b"-b", 1, "iso8859_15"), _ASCII),
        "13": (_KATAKANA, _ROMAJI),
        "87": (_KANJI,),
        "159": (_KANJI_EXTRA,),
        "149": (_Set(b"$)C", 1, "euc_kr"),),
        "58": (_Set(b"$)A", 1, "gb2312"),),
    }
)
_BY_ESCAPE: Mapping[bytes, _Set] = MappingProxyType(
    {one.escape: one for sets in _SETS.values() for one in sets} | {b"$@": _KANJI}
)
_ALONE = MappingProxyType({"ISO_IR 192": "utf_8", "GB18030": "gb18030", "GBK": "gbk", "ISO 2022 GBK": "gbk"})
_TERM = re.compile(r"ISO[ _-]?(?P<extension>2022[ _-])?(?:IR[ _-]?)?(?P<number>\d+)", re.IGNORECASE)
_CODEC = re.compile(r"utf-?_?8|(iso|latin|cp|windows|gb|big5|euc|shift|sjis|koi8|(us-)?ascii)[\w-]*", re.IGNORECASE)
_TOKENS = re.compile(rb"\x1b(?:\$[()]?[@-~]|[(-/][@-~])?|[\x80-\xff]+|[^\x1b\x80-\xff]+")
_PAIRS = re.compile(rb"[\x21-\x7e]+|[^\x21-\x7e]+")
_RESET = re.compile(rb"[\t\n\f\r]")
_RESET_VALUES = re.compile(rb"[\t\n\f\r\\]")
_RESET_NAMES = re.compile(rb"[\t\n\f\r\\^=]")


class _Charset(NamedTuple):
    codec: str  # decodes a value without escapes
    g0: _Set
    g1: _Set | None
    extensions: tuple[_Set, ...]  # what escapes may invoke, in the order declared; () forbids escapes
    faults: tuple[str, ...]


@lru_cache(maxsize=256)
def _charset(terms: tuple[str, ...]) -> _Charset:
    faults: list[str] = []
    numbers: list[str] = []
    for position, raw in enumerate(terms or ("",)):
        term = raw.strip(" \0")
        if (alone := _ALONE.get(term)) is not None:
            if position == 0:
                if len(terms) > 1:
                    faults.append(f"{term} allows no code extensions; the other terms are ignored")
                return _Charset(alone, _ASCII, None, (), tuple(faults))
            faults.append(f"{term} cannot be a code extension and is ignored")
            continue
        match = _TERM.fullmatch(term)
        number = match["number"] if match else "" if term else "6"
        if number not in _SETS:
            faults.append(f"{term!r} is no defined term of Specific Character Set")
            if position == 0 and (codec := _python_codec(term)) is not None:
                return _Charset(codec, _ASCII, None, (), tuple(faults))
            number = "6"
        elif match is not None and term not in (f"ISO_IR {number}", f"ISO 2022 IR {number}"):
            faults.append(f"{term!r} is taken as ISO_IR {number}")
        numbers.append(number)
    first = _SETS[numbers[0]]
    g1 = first[0] if first[0].region == 1 else None
    g0 = _ROMAJI if _ROMAJI in first else _ASCII
    extensions: tuple[_Set, ...] = ()
    if len(numbers) > 1 or first[0].prefix or numbers[0] in ("149", "58"):
        extensions = tuple(dict.fromkeys([_ASCII, *(one for number in numbers for one in _SETS[number])]))
    return _Charset(g1.codec if g1 else "ascii", g0, g1, extensions, tuple(faults))


def _python_codec(name: str) -> str | None:
    if not _CODEC.fullmatch(name):
        return None
    try:
        b"a".decode(name)
    except (LookupError, UnicodeError):
        return None
    return name


def _note(issues: list[Issue] | None, message: str) -> None:
    if issues is not None:
        issues.append(Issue(message, clause=_CLAUSE))


def _decode(raw: bytes, codec: str, issues: list[Issue] | None) -> str:
    try:
        return raw.decode(codec)
    except UnicodeDecodeError:
        if codec == "ascii":
            _note(issues, "bytes above 7F without a Specific Character Set; read as ISO_IR 100")
            return raw.decode("iso8859_1")
        _note(issues, f"bytes that the declared character set ({codec}) does not have")
        return raw.decode(codec, "replace")


def decode_text(raw: bytes, charsets: tuple[str, ...], vr: str = "LO", issues: list[Issue] | None = None) -> str:
    """Text of a whole value field, values still joined by backslashes. ``charsets`` are the terms of (0008,0005)."""
    charset = _charset(charsets)
    for fault in charset.faults:
        _note(issues, fault)
    if b"\x1b" not in raw:
        return _decode(raw, charset.codec, issues)
    return "".join(_decode_extended(raw, charset, vr, issues))


def is_readable(raw: bytes, charsets: tuple[str, ...], vr: str = "LO") -> bool:
    """Whether the text of a value field stands for its bytes, so that it can be written in another set."""
    text = decode_text(raw, charsets, vr)
    try:
        return "\ufffd" not in text or encode_text(text, charsets, vr) == raw
    except EncodingError:
        return False


def _resets(vr: str) -> re.Pattern[bytes]:
    """Behind what the initial sets are invoked again (PS3.5 6.1.2.5.3)."""
    return _RESET_NAMES if vr == "PN" else _RESET if vr in ("ST", "LT", "UT") else _RESET_VALUES


def _decode_extended(raw: bytes, charset: _Charset, vr: str, issues: list[Issue] | None) -> Iterator[str]:
    reset = _resets(vr)
    g0, g1 = charset.g0, charset.g1
    last: _Set | None = None
    for token in _TOKENS.findall(raw):
        if token[0] == 0x1B:
            invoked = _BY_ESCAPE.get(token[1:])
            if invoked is None:
                _note(issues, f"unknown escape sequence {token.hex(' ')}")
                yield token.decode("ascii")
                continue
            if invoked not in charset.extensions and invoked is not _ASCII:
                _note(issues, f"escape sequence {token.hex(' ')} invokes an undeclared character set")
            if invoked.region == 0:
                g0 = invoked
            else:
                g1 = last = invoked
        elif token[0] >= 0x80:
            if g1 is None and last is not None:  # the escape should have been repeated behind the delimiter
                _note(issues, f"no set is invoked for bytes above 7F; read by the last one ({last.codec})")
            yield _decode(token, (g1 or last or charset).codec, issues)
        elif not g0.prefix:
            yield token.decode("ascii")
            if reset.search(token):
                g0, g1 = charset.g0, charset.g1
        else:
            for part in _PAIRS.findall(token):
                if g0.prefix and 0x21 <= part[0] <= 0x7E:
                    yield _decode(g0.prefix + part, g0.codec, issues)
                else:
                    yield part.decode("ascii")
                    if _RESET.search(part):
                        g0, g1 = charset.g0, charset.g1


def encode_text(text: str, charsets: tuple[str, ...], vr: str = "LO") -> bytes:
    """Bytes of text, values joined by backslashes, unpadded. EncodingError when the declared sets cannot hold it."""
    if text.isascii():
        return text.encode("ascii")
    charset = _charset(charsets)
    if (encoded := _encode_initial(text, charset)) is not None:
        return encoded
    parts = re.split(f"({_resets(vr).pattern.decode('ascii')})", text)
    return b"".join(_encode_component(part, charset, charsets) for part in parts)


def _encode_initial(text: str, charset: _Charset) -> bytes | None:
    try:
        encoded = text.encode(charset.codec)
    except UnicodeEncodeError:
        return None
    return None if charset.g1 is _KATAKANA and len(encoded) != len(text) else encoded


def _encode_component(text: str, charset: _Charset, charsets: tuple[str, ...]) -> bytes:
    if (encoded := _encode_initial(text, charset)) is not None:
        return encoded
    if not charset.extensions:
        raise _unfit(next(one for one in text if _encode_initial(one, charset) is None), charsets)
    out = bytearray()
    active: list[_Set | None] = [charset.g0, charset.g1]
    for character in text:
        candidates = [one for one in active if one is not None] + list(charset.extensions)
        for one in candidates:
            encoded = _encode_character(character, one)
            if encoded:
                break
        else:
            raise _unfit(character, charsets)
        if active[one.region] is not one:
            out += b"\x1b" + one.escape
            active[one.region] = one
        out += encoded
    for initial, now in zip((charset.g0, charset.g1), active, strict=True):
        if initial is not None and now is not initial:
            out += b"\x1b" + initial.escape
    return bytes(out)


def _encode_character(character: str, one: _Set) -> bytes | None:
    try:
        encoded = character.encode(one.codec)
    except UnicodeEncodeError:
        return None
    if one.prefix:
        if not encoded.startswith(one.prefix):
            return None
        return encoded[len(one.prefix) : encoded.index(b"\x1b", len(one.prefix))]
    if one is _KATAKANA and len(encoded) > 1:
        return None
    return encoded if (encoded[0] >= 0x80) == (one.region == 1) else None


def _unfit(character: str, charsets: tuple[str, ...]) -> EncodingError:
    declared = "\\".join(charsets) or "the default repertoire"
    return EncodingError(
        f"{character!r} is not in {declared}",
        clause=_CLAUSE,
        hint='set SpecificCharacterSet to "ISO_IR 192" (UTF-8), or let dicomcore.fit_charset(ds) choose one',
    )


_CHOICES = ("", *(f"ISO_IR {number}" for number in (100, 101, 109, 110, 144, 126, 148, 203, 138, 127, 166, 13)))


def fitting_charsets(texts: Iterable[str], declared: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The declared terms if they hold all texts, else the first single-byte set that does, else UTF-8."""
    texts = [text for text in texts if not text.isascii()]
    for terms in (declared, *((choice,) if choice else () for choice in _CHOICES)):
        try:
            for text in texts:
                encode_text(text, terms)
        except EncodingError:
            continue
        return terms
    return ("ISO_IR 192",)
