"""What a Dataset was read from: bytes, their index, and the encoding context in which those bytes mean something.

Immutable but for what it works out once. An item's origin stays with it wherever the item moves, so its values keep
being read by the character set, private creators and deciding attributes (PS3.5 sections 6.1.2, 7.8, A.1) of the file
that it came from. Faults met on the way become Issues of the root; a read raises only `SourceChanged`, `LimitExceeded`.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any

from ..encoding.index import ElementIndex, ItemSpan, items
from ..encoding.policy import Policy
from ..encoding.source import Source
from ..encoding.values import decode
from ..encoding.vrs import VRContext, resolve_vr
from ..errors import Issue
from ..limits import Limits
from ..vocab.tag import format_tag, is_private_creator
from ..vocab.vr import VRS, vr_code
from .part10 import Layout

__all__ = ["FileState", "Origin", "as_charsets", "in_order"]

CHARSET = 0x00080005
PIXEL_REPRESENTATION = 0x00280103
_SWAP_TYPES = {2: "H", 4: "I", 8: "Q"}
PLAIN_VRS: Mapping[int, str] = {vr_code(code): code for code in VRS if code not in ("SQ", "UN")}
TEXT_VRS = frozenset(code for code, row in VRS.items() if row.is_text)
_CONTEXT_TAGS = {
    "pixel_representation": (PIXEL_REPRESENTATION, "US"),
    "bits_allocated": (0x00280100, "US"),
    "waveform_bits_allocated": (0x54001004, "US"),
    "lut_entries": (0x00283002, "US"),
}


class FileState:
    """What all levels of one file share. ``source`` is the file itself, also where the data set is inflated from it."""

    __slots__ = ("issues", "layout", "limits", "policy", "source")

    def __init__(
        self, source: Source, layout: Layout | None, limits: Limits, policy: Policy, issues: list[Issue]
    ) -> None:
        self.source = source
        self.layout = layout
        self.limits = limits
        self.policy = policy
        self.issues = issues


def in_order(raw: bytes | memoryview, word: int, swap: bool) -> bytes:
    """The bytes, every word of ``word`` of them in the other order if ``swap``; a remainder stays."""
    if word == 1 or not swap:
        return bytes(raw)
    whole = len(raw) - len(raw) % word
    words = array(_SWAP_TYPES[word], bytes(raw[:whole]))
    words.byteswap()
    return words.tobytes() + bytes(raw[whole:])


def as_charsets(value: Any) -> tuple[str, ...]:
    """The terms of Specific Character Set as the text functions take them; () is the default repertoire."""
    if not value:
        return ()
    return (str(value),) if isinstance(value, str) else tuple(map(str, value))


class Origin:
    """One level (data set or item) of what was read."""

    __slots__ = ("_charsets", "_context", "big_endian", "file", "head", "index", "parent", "path", "source", "span")

    def __init__(
        self,
        file: FileState,
        source: Source,
        index: ElementIndex,
        parent: Origin | None = None,
        path: str = "",
        span: ItemSpan | None = None,
    ) -> None:
        self.file = file
        self.source = source
        self.index = index
        self.parent = parent
        self.path = path  # of the item, such as (300A,00B0)[2]; empty at the root
        self.span = span
        self.head = source.head
        self.big_endian = index.big_endian
        self._charsets: tuple[str, ...] | None = None
        self._context: VRContext | None = None

    def path_of(self, tag: int) -> str:
        return f"{self.path}.{format_tag(tag)}" if self.path else format_tag(tag)

    def report(self, issue: Issue) -> None:
        """Accept a fault once, however often its value is read."""
        if issue not in self.file.issues:
            self.file.policy.accept(issue, self.file.issues)

    @property
    def charsets(self) -> tuple[str, ...]:
        """Terms in effect here: its own, else those of the enclosing level (PS3.3 C.12.1.1.2)."""
        if self._charsets is None:
            row = self.index.find(CHARSET)
            if row >= 0:
                self._charsets = as_charsets(decode("CS", self.raw(row), self.big_endian, ()))
            else:
                self._charsets = self.parent.charsets if self.parent else ()
        return self._charsets

    @property
    def context(self) -> VRContext:
        """What decides ambiguous and private VRs here, values of enclosing levels included (PS3.5 A.1)."""
        if self._context is None:
            inherited = self.parent.context if self.parent else None
            values: dict[str, int | None] = {}
            for name, (tag, vr) in _CONTEXT_TAGS.items():
                row = self.index.find(tag)
                value = decode(vr, self.raw(row), self.big_endian, ()) if row >= 0 else None
                if not isinstance(value, int):
                    try:
                        value = value[0] if isinstance(value, list) else None
                    except IndexError:
                        value = None
                values[name] = value if value is not None or inherited is None else getattr(inherited, name)
            self._context = VRContext(private_creators=self._creators(), **values)
        return self._context

    @property
    def pixel_representation(self) -> int | None:
        """Its own value, else that of the nearest enclosing level."""
        row = self.index.find(PIXEL_REPRESENTATION)
        if row < 0:
            return self.parent.pixel_representation if self.parent else None
        value = decode("US", self.raw(row), self.big_endian, ())
        return value if isinstance(value, int) else None

    def _creators(self) -> dict[int, str]:
        return {
            tag: str(decode("LO", self.raw(self.index.find(tag)), self.big_endian, self.charsets)).strip()
            for tag in self.index.tags()
            if tag & 0x10000 and is_private_creator(tag)
        }

    def inherit(self, charsets: tuple[str, ...]) -> None:
        """Take ``charsets`` as what an enclosing level, no longer there, had in effect."""
        if self.index.find(CHARSET) < 0:
            self._charsets = charsets

    def raw(self, row: int) -> memoryview:
        """The value field; of an encapsulated one, its items without the delimiter."""
        offset = self.index.value_offset_at(row)
        end = self.index.content_end_at(row)
        return self.head[offset:end] if end <= len(self.head) else self.source.view(offset, end - offset)

    def vr(self, row: int, tag: int) -> str:
        """The VR by which the element is read."""
        code = self.index.vr_at(row)
        plain = PLAIN_VRS.get(code)
        return plain if plain is not None else resolve_vr(tag, code, self.index.length_at(row), self.context)

    def value(self, tag: int, vr: str, raw: memoryview) -> Any:
        """The decoded value; what is wrong with it goes to the issues of the root."""
        faults: list[Issue] = []
        value = decode(vr, raw, self.big_endian, self.charsets, faults)
        for fault in faults:
            self.report(Issue(fault.message, self.offset_of(tag), self.path_of(tag), fault.clause))
        return value

    def offset_of(self, tag: int) -> int | None:
        row = self.index.find(tag)
        return self.index.value_offset_at(row) if row >= 0 else None

    def spans(self, row: int, tag: int) -> list[ItemSpan]:
        """The items of a sequence; faults in their headers are issues."""
        file = self.file
        return items(
            self.index,
            row,
            self.source,
            limits=file.limits,
            policy=file.policy,
            issues=file.issues,
            path=self.path_of(tag),
        )

    def item(self, span: ItemSpan, path: str) -> Origin:
        return Origin(self.file, self.source, span.index, self, path, span)
