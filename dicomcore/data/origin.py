"""What a Dataset was read from: bytes, their index, and the encoding context in which those bytes mean something.

Immutable but for what it works out once. An item's origin stays with it wherever the item moves, so its values keep
being read by the character set, private creators and deciding attributes (PS3.5 sections 6.1.2, 7.8, A.1) of the file
that it came from. Faults met on the way become Issues of the root; a read raises only `SourceChanged`, `LimitExceeded`.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any

from .._core.level import Place
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
# The first value counts entries, so it is unsigned even where the VR is SS (PS3.3 C.7.6.3.1.5, C.11.1.1.1)
LUT_DESCRIPTORS = frozenset([0x00281101, 0x00281102, 0x00281103, 0x00283002])
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

    __slots__ = ("is_whole", "issues", "layout", "limits", "policy", "source")

    def __init__(
        self,
        source: Source,
        layout: Layout | None,
        limits: Limits,
        policy: Policy,
        issues: list[Issue],
        *,
        is_whole: bool = True,  # false where reading may have stopped before the end
    ) -> None:
        self.is_whole = is_whole
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


class Origin(Place):
    """One level (data set or item) of what was read."""

    __slots__ = ()
    file: FileState
    source: Source
    index: ElementIndex
    parent: Origin | None
    _charsets: tuple[str, ...] | None
    _context: VRContext | None

    def path_of(self, tag: int) -> str:
        return f"{self.path}.{format_tag(tag)}" if self.path else format_tag(tag)

    def report(self, issue: Issue) -> None:
        """Accept a fault once, however often its value is read."""
        if issue not in self.file.issues:
            self.file.policy.accept(issue, self.file.issues)

    def _own_charsets(self) -> tuple[str, ...]:
        return as_charsets(decode("CS", self.raw(self.index.find(CHARSET)), self.big_endian, ()))

    @property
    def context(self) -> VRContext:
        """What decides ambiguous and private VRs here, values of enclosing levels included (PS3.5 A.1)."""
        if self._context is None:
            chain: list[Origin] = []  # no recursion: items may be nested deep
            level: Origin | None = self
            while level is not None and level._context is None:
                chain.append(level)
                level = level.parent
            inherited = level._context if level is not None else None
            for level in reversed(chain):
                inherited = level._context = level._own_context(inherited)
        assert self._context is not None
        return self._context

    def _own_context(self, inherited: VRContext | None) -> VRContext:
        values: dict[str, int | None] = {}
        for name, (tag, vr) in _CONTEXT_TAGS.items():
            row = self.index.find(tag)
            value = decode(vr, self.raw(row), self.big_endian, ()) if row >= 0 else None
            if isinstance(value, list):
                value = value[0] if value else None
            if not isinstance(value, int):
                value = None
            values[name] = value if value is not None or inherited is None else getattr(inherited, name)
        return VRContext(private_creators=self._creators(), **values)

    @property
    def pixel_representation(self) -> int | None:
        """Its own value, else that of the nearest enclosing level."""
        level: Origin | None = self
        while level is not None and (row := level.index.find(PIXEL_REPRESENTATION)) < 0:
            level = level.parent
        value = decode("US", level.raw(row), level.big_endian, ()) if level is not None else None
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
        if plain is not None:
            return plain
        if self.index.is_plain(row):  # no items, so no sequence
            known = resolve_vr(tag, code, 0, self.context)
            return known if known != "SQ" else "UN"
        return resolve_vr(tag, code, self.index.length_at(row), self.context)

    def value(self, tag: int, vr: str, raw: memoryview) -> Any:
        """The decoded value; what is wrong with it goes to the issues of the root."""
        faults: list[Issue] = []
        value = decode(vr, raw, self.big_endian, self.charsets, faults)
        if vr == "SS" and tag in LUT_DESCRIPTORS and isinstance(value, list) and value[0] < 0:
            value[0] += 1 << 16
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
