"""What SOP class extended negotiation says, as values (PS3.4 B.3.1, C.5; PS3.7 D.3.3.5 and D.3.3.6).

The service class application information of a sub-item is a run of bytes whose meaning the service class gives. Each
class here is one such meaning: ``encode`` and ``decode`` invert each other, bytes that are missing mean "not asked
for", bytes that are too many are ignored, reserved ones are written as the clause says and not tested.

``FindOptions(relational=True).item(uid)`` makes the sub-item of a request. The answer of an acceptor that offers
``own`` is ``own.answer(asked)``: of yes-or-no options what both have, of levels its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ..errors import LocalProtocolError
from ..vocab.sop_classes import sop_classes
from .pdu import CommonExtendedNegotiation, ExtendedNegotiation

if TYPE_CHECKING:
    from typing import Self

__all__ = [
    "STORAGE_SERVICE_CLASS",
    "FindOptions",
    "Options",
    "RetrieveOptions",
    "StorageOptions",
    "WorklistOptions",
    "checked_options",
    "common_extended",
    "read_options",
]

STORAGE_SERVICE_CLASS: Final = "1.2.840.10008.4.2"


@dataclass(frozen=True, slots=True)
class Options:
    """One byte for each entry of `layout`: the value of a field, or (a number) what a reserved byte is sent as."""

    layout: ClassVar[tuple[str | int, ...]] = ()

    def encode(self) -> bytes:
        """Service class application information."""
        values = [entry if isinstance(entry, int) else int(getattr(self, entry)) for entry in self.layout]
        if not all(0 <= value <= 255 for value in values):
            raise LocalProtocolError(f"{self} does not fit its bytes", clause="PS3.7 D.3.3.5")
        return bytes(values)

    @classmethod
    def decode(cls, information: bytes) -> Self:
        """The options that these bytes state."""
        flags = {entry.name for entry in fields(cls) if isinstance(entry.default, bool)}
        stated = {
            entry: byte == 1 if entry in flags else byte
            for entry, byte in zip(cls.layout, information, strict=False)
            if isinstance(entry, str)
        }
        return cls(**stated)

    def item(self, sop_class: str) -> ExtendedNegotiation:
        """The sub-item for a SOP class."""
        return ExtendedNegotiation(sop_class, self.encode())

    def answer(self, asked: Self) -> Self:
        """What an acceptor with these options answers."""
        own = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        both = {
            name: value and getattr(asked, name) if isinstance(value, bool) else value for name, value in own.items()
        }
        return type(self)(**both)


@dataclass(frozen=True, slots=True)
class StorageOptions(Options):
    """Storage (PS3.4 B.3.1). ``level`` 0, 1, 2 of an SCP, 3 = SCU only; ``signature_level`` 0 unspecified, 1 to 3;
    ``coercion`` of elements 0 none, 1 possible, 2 = SCU only. The defaults are what a missing item stands for."""

    level: int = 3
    signature_level: int = 0
    coercion: int = 2

    layout: ClassVar[tuple[str | int, ...]] = ("level", 0, "signature_level", 0, "coercion", 0)


@dataclass(frozen=True, slots=True)
class FindOptions(Options):
    """C-FIND of Query/Retrieve (PS3.4 C.5.1.1): relational queries, combined date-time matching, fuzzy semantic
    matching of person names, timezone query adjustment, the view of enhanced multi-frame image conversion."""

    relational: bool = False
    date_time: bool = False
    fuzzy: bool = False
    timezone: bool = False
    enhanced_conversion: bool = False

    layout: ClassVar[tuple[str | int, ...]] = ("relational", "date_time", "fuzzy", "timezone", "enhanced_conversion")


@dataclass(frozen=True, slots=True)
class RetrieveOptions(Options):
    """C-MOVE and C-GET of Query/Retrieve (PS3.4 C.5.2.1, C.5.3.1): relational retrieval, enhanced multi-frame image
    conversion."""

    relational: bool = False
    enhanced_conversion: bool = False

    layout: ClassVar[tuple[str | int, ...]] = ("relational", "enhanced_conversion")


@dataclass(frozen=True, slots=True)
class WorklistOptions(Options):
    """C-FIND of the Modality Worklist (PS3.4 annex K): its first two bytes are always 1."""

    fuzzy: bool = False
    timezone: bool = False

    layout: ClassVar[tuple[str | int, ...]] = (1, 1, "fuzzy", "timezone")


_MEANINGS: Final[Mapping[tuple[str, str], type[Options]]] = MappingProxyType(
    {  # (service class, DIMSE service) of the SOP class
        ("Storage", "C-STORE"): StorageOptions,
        ("Query/Retrieve", "C-FIND"): FindOptions,
        ("Query/Retrieve", "C-MOVE"): RetrieveOptions,
        ("Query/Retrieve", "C-GET"): RetrieveOptions,
        ("Basic Worklist Management", "C-FIND"): WorklistOptions,
    }
)


def read_options(item: ExtendedNegotiation) -> Options | None:
    """What a sub-item says; None when the meaning for its SOP class is not known."""
    row = sop_classes().get(item.sop_class)
    for service in row.dimse if row else ():
        meaning = _MEANINGS.get((row.service_class if row else "", service))
        if meaning is not None:
            return meaning.decode(item.information)
    return None


def common_extended(
    sop_class: str, related: Iterable[str] | None = None, *, service_class: str = STORAGE_SERVICE_CLASS
) -> CommonExtendedNegotiation:
    """The sub-item that tells what a SOP class specialises (PS3.7 D.3.3.6), so that an acceptor that does not know it
    may take it as one that it knows. ``related`` None = as PS3.4 B.3.1.4 lists them for a Standard SOP class."""
    if related is None:
        row = sop_classes().get(sop_class)
        related = row.related_general if row else ()
    return CommonExtendedNegotiation(sop_class, service_class, tuple(related))


def checked_options(extended: Mapping[str, Any]) -> Mapping[str, Options]:
    """The same. LocalProtocolError for a value that is no `Options`: bytes alone do not tell what they mean."""
    for sop_class, given in extended.items():
        if not isinstance(given, Options):
            what = type(given).__name__
            raise LocalProtocolError(f"extended: {sop_class}: {what}", hint="Options, such as FindOptions(fuzzy=True)")
    return extended
