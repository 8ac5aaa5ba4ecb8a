"""The Native DICOM Model in XML (PS3.19 annex A.1), both ways; what it shares with the JSON model is in `fields`.

Promises: written piece by piece and read piece by piece, so that a document is never held as a tree. Private elements
stand as (gggg,00ee) beside their creator's name, as A.1.5 has it, and find their block again; numbers keep how they
were written; text with characters that XML 1.0 lacks, and names of more than five parts, are carried as UN.
Refuses (`EncodingError` with the path or offset): document type declarations, hence all entities but the five of XML;
what is no such model; `LimitExceeded`: items nested too deeply.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any
from xml.parsers import expat

from ..encoding.person_name import PersonName
from ..errors import EncodingError
from ..limits import DEFAULT_LIMITS, Limits
from ..vocab.dictionary import keyword_for_tag
from ..vocab.tag import format_tag, is_private, is_private_creator
from ..vocab.vr import VRS
from .dataset import Dataset
from .fields import (
    GROUPS,
    BulkReader,
    BulkWriter,
    FailingAt,
    Field,
    charsets_in,
    check_depth,
    checked_vr,
    is_within,
    iter_fields,
    place,
    settle,
    tag_of,
    value_of,
)
from .sequence import Sequence

__all__ = ["from_xml", "iter_xml", "to_xml"]

_CLAUSE = "PS3.19 A.1"
_NAMESPACE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
_PARTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
_UNFIT = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SPECIAL = re.compile('[&<>"\t\n\r\x85\u2028]')
_BLOCK_LENGTH = 1 << 20


# -- out ---------------------------------------------------------------------------------------------------------------


def to_xml(dataset: Dataset, bulk_data: BulkWriter | None = None, threshold: int = 1024) -> str:
    """The model as text; ``bulk_data`` is offered values over ``threshold`` bytes, and answers a URI or None."""
    return "".join(iter_xml(dataset, bulk_data, threshold))


def iter_xml(dataset: Dataset, bulk_data: BulkWriter | None = None, threshold: int = 1024) -> Iterator[str]:
    """The document element by element."""
    yield '<?xml version="1.0" encoding="UTF-8"?>\n'
    yield f'<NativeDicomModel xmlns="{_NAMESPACE}" xml:space="preserve">\n'
    yield from _level(dataset, bulk_data, threshold, (), 0)
    yield "</NativeDicomModel>\n"


def _level(
    dataset: Dataset, bulk_data: BulkWriter | None, threshold: int, charsets: tuple[str, ...], depth: int
) -> Iterator[str]:
    check_depth(depth, DEFAULT_LIMITS, "")
    charsets = charsets_in(dataset, charsets)
    creators = _creators(dataset)
    for field in iter_fields(dataset, bulk_data, threshold, _can_hold, charsets):
        yield _start(field, creators)
        if field.vr == "SQ" and field.values is not None:
            for number, item in enumerate(field.values, 1):
                yield f'<Item number="{number}">\n'
                yield from _level(item, bulk_data, threshold, charsets, depth + 1)
                yield "</Item>\n"
        else:
            yield from _content(field)
        yield "</DicomAttribute>\n"


def _creators(dataset: Dataset) -> dict[int, str]:
    """Creator tag -> name, of those that name one block only, so that (gggg,00ee) finds its way back."""
    found = {int(tag): dataset._value(tag, None) for tag in dataset._tags() if is_private_creator(tag)}
    names = {tag: name for tag, name in found.items() if isinstance(name, str) and name.strip() and _fits(name)}
    taken = [(tag >> 16, name.strip()) for tag, name in names.items()]
    return {tag: name.strip() for tag, name in names.items() if taken.count((tag >> 16, name.strip())) == 1}


def _start(field: Field, creators: Mapping[int, str]) -> str:
    tag, extra = field.tag, ""
    if is_private(tag):
        block = tag & 0xFFFF0000 | (tag & 0xFFFF) >> 8
        if tag & 0xFFFF >= 0x1000 and block in creators:
            tag &= 0xFFFF00FF
            extra = f' privateCreator="{_escaped(creators[block])}"'
    elif keyword := keyword_for_tag(tag):
        extra = f' keyword="{keyword}"'
    return f'<DicomAttribute tag="{tag:08X}" vr="{field.vr}"{extra}>\n'


def _content(field: Field) -> Iterator[str]:
    if field.uri is not None:
        yield f'<BulkData uri="{_escaped(field.uri)}"/>\n'
    elif field.inline:
        yield f"<InlineBinary>{b64encode(field.inline).decode('ascii')}</InlineBinary>\n"
    for number, value in enumerate(field.values or (), 1):
        if field.vr == "PN":
            yield f'<PersonName number="{number}">{"".join(_name(value or ""))}</PersonName>\n'
        elif value is None:
            yield f'<Value number="{number}"/>\n'
        else:
            yield f'<Value number="{number}">{_escaped(_shown(field.vr, value))}</Value>\n'


def _shown(vr: str, value: Any) -> str:
    if vr == "AT":
        return f"{value:08X}"
    if vr in ("FD", "FL"):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(text := repr(float(value)), text)
    return str(value)


def _name(value: str) -> Iterator[str]:
    """Component groups that are not empty; of a group its parts that are not, and the last: ``A^`` is not ``A``."""
    for group, text in zip(GROUPS, PersonName(value).components, strict=False):
        if text:
            parts = text.split("^")
            yield f"<{group}>"
            for number, (name, part) in enumerate(zip(_PARTS, parts, strict=False), 1):
                if part or number == len(parts):
                    yield f"<{name}>{_escaped(part)}</{name}>"
            yield f"</{group}>"


def _can_hold(vr: str, values: list[Any]) -> bool:
    if not is_within(vr, values):
        return False
    if vr == "PN" and any(one and max(group.count("^") for group in one.split("=")) >= len(_PARTS) for one in values):
        return False
    return not VRS[vr].is_string or all(one is None or _fits(str(one)) for one in values)


def _fits(text: str) -> bool:
    return _UNFIT.search(text) is None


def _escaped(text: str) -> str:
    """Line ends and tabs as references, since a parser of XML replaces them."""
    if _SPECIAL.search(text) is None:
        return text
    names = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}
    return _SPECIAL.sub(lambda found: names.get(found[0]) or f"&#{ord(found[0])};", text)


# -- in ----------------------------------------------------------------------------------------------------------------

_GROUP_CHILDREN = dict.fromkeys(GROUPS, frozenset(_PARTS))
_CHILDREN: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "": frozenset({"NativeDicomModel"}),
        "NativeDicomModel": frozenset({"DicomAttribute"}),
        "Item": frozenset({"DicomAttribute"}),
        "DicomAttribute": frozenset({"BulkData", "InlineBinary", "Item", "PersonName", "Value"}),
        "PersonName": frozenset(GROUPS),
        **_GROUP_CHILDREN,
    }
)
_TEXTS = frozenset({"InlineBinary", "Value", *_PARTS})


def from_xml(document: Any, bulk_data: BulkReader | None = None, limits: Limits = DEFAULT_LIMITS) -> Dataset:
    """A Dataset from a document: text, bytes, or a file open for reading, which is read block by block.

    Without ``bulk_data`` a value held elsewhere is empty.
    """
    reader = _Reader(bulk_data, limits)
    is_text = isinstance(document, str)
    parser = expat.ParserCreate("utf-8" if is_text else None, " ")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        if hasattr(document, "read"):
            while block := document.read(_BLOCK_LENGTH):
                parser.Parse(block, False)
            parser.Parse(b"", True)
        else:
            parser.Parse(document.encode("utf-8", "surrogatepass") if is_text else bytes(document), True)
    except EncodingError as error:
        if error.offset is None:
            error.offset = max(parser.CurrentByteIndex, 0)
        raise
    except expat.ExpatError as error:
        raise EncodingError(f"no XML: {error}", offset=max(parser.ErrorByteIndex, 0), clause=_CLAUSE) from None
    except (LookupError, UnicodeError) as error:
        raise EncodingError(f"no XML: {error}", clause=_CLAUSE) from None
    return settle(reader.dataset)


def _refuse_doctype(*declaration: object) -> None:
    raise EncodingError(
        "a document type declaration", clause=_CLAUSE, hint="the model has none, and entities could expand without end"
    )


class _Attribute:
    """A DicomAttribute that is being read."""

    __slots__ = ("bulk", "creator", "inline", "items", "kind", "name", "path", "tag", "values", "vr")

    def __init__(self, tag: int, vr: str, creator: str, path: str) -> None:
        self.tag = tag
        self.vr = vr
        self.creator = creator
        self.path = path
        self.kind = ""  # of its children, which are all alike
        self.values: list[Any] = []
        self.items: list[Dataset] = []
        self.name: dict[str, list[str]] = {}
        self.inline: str | None = None
        self.bulk: str | None = None


class _Reader:
    """Handlers of expat, over a stack of what is open."""

    __slots__ = ("_attributes", "_bulk_data", "_levels", "_limits", "_open", "_pieces", "dataset")

    def __init__(self, bulk_data: BulkReader | None, limits: Limits) -> None:
        self.dataset = Dataset()
        self._bulk_data = bulk_data
        self._limits = limits
        self._levels = [self.dataset]
        self._attributes: list[_Attribute] = []
        self._open = [""]
        self._pieces: list[str] = []

    def _path(self) -> str:
        return self._attributes[-1].path if self._attributes else ""

    def _fail(self, message: str) -> EncodingError:
        return EncodingError(message, path=self._path() or None, clause=_CLAUSE)

    def start(self, name: str, given: dict[str, str]) -> None:
        namespace, _, local = name.rpartition(" ")
        if namespace not in ("", _NAMESPACE) or local not in _CHILDREN.get(self._open[-1], ()):
            raise self._fail(f"{local!r:.40} within {self._open[-1] or 'the document'!r}")
        self._open.append(local)
        self._pieces = []
        if local == "DicomAttribute":
            self._start_attribute(given)
        elif self._open[-2] == "DicomAttribute":
            self._start_content(local, given)
        elif local in GROUPS:
            name_parts = self._attributes[-1].name
            if local in name_parts:
                raise self._fail(f"{local} is there twice")
            name_parts[local] = []

    def _start_attribute(self, given: dict[str, str]) -> None:
        outer = self._attributes[-1] if self._attributes else None
        prefix = f"{outer.path}[{len(outer.items) - 1}]." if outer else ""
        text = given.get("tag")
        with FailingAt(f"{prefix}{text!s:.40}", _CLAUSE):
            tag = tag_of(text)
            creator = given.get("privateCreator", "").strip() if is_private(tag) else ""
            if creator:
                block = self._levels[-1].private_block(tag >> 16, creator, create=True)
                tag = block.tag(tag & 0xFF)
            vr = checked_vr(given.get("vr"), tag)
        self._attributes.append(_Attribute(tag, vr, creator, f"{prefix}{format_tag(tag)}"))

    def _start_content(self, local: str, given: dict[str, str]) -> None:
        attribute = self._attributes[-1]
        one_only = local in ("BulkData", "InlineBinary")
        if attribute.kind and (attribute.kind != local or one_only):
            raise self._fail(f"{local} after {attribute.kind}")
        wanted = {"SQ": "Item", "PN": "PersonName"}.get(attribute.vr, "Value")
        if local != wanted and (not one_only or attribute.vr == "SQ"):
            raise self._fail(f"{local} in an attribute of {attribute.vr}")
        attribute.kind = local
        if local == "BulkData":
            attribute.bulk = given.get("uri") or given.get("uuid")
            if not attribute.bulk:
                raise self._fail("BulkData has neither uri nor uuid")
            return
        count = len(attribute.items) if local == "Item" else len(attribute.values)
        if not one_only and given.get("number", str(count + 1)).strip() != str(count + 1):
            raise self._fail(f"{local} number {given['number']!r:.20} is not {count + 1}")
        if local == "Item":
            item = Dataset()
            attribute.items.append(item)
            self._levels.append(item)
            check_depth(len(self._levels) - 1, self._limits, attribute.path)
        elif local == "PersonName":
            attribute.name = {}

    def text(self, data: str) -> None:
        if self._open[-1] in _TEXTS:
            self._pieces.append(data)
        elif not data.isspace():
            raise self._fail(f"text within {self._open[-1]}: {data!r:.40}")

    def end(self, _: str) -> None:
        local = self._open.pop()
        if local == "DicomAttribute":
            self._end_attribute(self._attributes.pop())
            return
        if local == "Item":
            self._levels.pop()
            return
        if not self._attributes:
            return
        attribute, text = self._attributes[-1], "".join(self._pieces)
        if local == "Value":
            attribute.values.append(text or None)
        elif local == "InlineBinary":
            attribute.inline = text
        elif local == "PersonName":
            groups = {group: "^".join(parts) for group, parts in attribute.name.items()}
            attribute.values.append(groups if any(groups.values()) else None)
        elif local in _PARTS:
            self._end_part(attribute.name[self._open[-1]], local, text)
        self._pieces = []

    def _end_part(self, parts: list[str], local: str, text: str) -> None:
        place_of = _PARTS.index(local)
        if place_of < len(parts):
            raise self._fail(f"{local} is there twice, or out of order")
        if "^" in text:
            raise self._fail(f"{local} holds a delimiter")
        parts += [""] * (place_of - len(parts))
        parts.append(text)

    def _end_attribute(self, attribute: _Attribute) -> None:
        with FailingAt(attribute.path, _CLAUSE):
            value: Any
            if attribute.vr == "SQ":
                value = Sequence(attribute.items)
            else:
                value = value_of(attribute.vr, attribute.values, attribute.inline, attribute.bulk, self._bulk_data)
            place(self._levels[-1], attribute.tag, attribute.vr, value)
