"""Known misbehaviour of peers as flags that are off unless asked for.

A `Quirks` is handed to `propose`, `Acceptance` and `Association`, for the peers that need it; the standard's rules
hold for all others. Some deviations need no flag, since they are understood from everybody: a command and its data set
in one P-DATA-TF (PS3.8 annex E allows it), names padded at their end by NUL or space, fragments longer than agreed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any, Final, TypeVar

from ..errors import LocalProtocolError
from .pdu import PDU, AssociateAC, AssociateRQ, UserInformation

__all__ = ["NO_QUIRKS", "Quirks", "mend"]

_T = TypeVar("_T", bound=PDU)


@dataclass(frozen=True, slots=True)
class Quirks:
    """What a peer is forgiven. ``|`` joins two."""

    no_async: bool = False
    """It drops connections on the asynchronous operations window item: neither propose nor answer one (window 1/1)."""
    no_role_answer: bool = False
    """As an acceptor it leaves the role selection items out of its answer: take the roles proposed as accepted."""
    odd_padding: bool = False
    """Its AE titles and UIDs end in NULs, blanks, dots or what a C string left behind: clean them before comparing."""
    drop_pending: bool = False
    """It asks for release while responses are due to it, and does not want them: break off quietly and respond."""

    @classmethod
    def named(cls, *names: str) -> Quirks:
        """The flags of these profiles together; LocalProtocolError for a name that is none."""
        found = cls()
        for name in names:
            flags = _PROFILES.get(name)
            if flags is None:
                raise LocalProtocolError(f"no quirk profile {name!r}", hint=f"there are {', '.join(_PROFILES)}")
            found |= cls(**flags)
        return found

    @staticmethod
    def names() -> tuple[str, ...]:
        """Names of the profiles that `named` knows."""
        return tuple(_PROFILES)

    def __or__(self, other: Quirks) -> Quirks:
        names = [entry.name for entry in fields(self)]
        return Quirks(**{name: getattr(self, name) or getattr(other, name) for name in names})


_PROFILES: Final[Mapping[str, Mapping[str, bool]]] = MappingProxyType(
    {
        "no-async": {"no_async": True},
        "no-role-answer": {"no_role_answer": True},
        "odd-padding": {"odd_padding": True},
        "release-pending": {"drop_pending": True},
        "one-pdu": {},  # command and data set in one P-DATA-TF: understood from everybody, sent to nobody
        "old": {"no_async": True, "no_role_answer": True, "odd_padding": True},
    }
)

NO_QUIRKS: Final = Quirks()


def mend(pdu: _T, quirks: Quirks) -> _T:
    """A PDU from a peer with its names as they were meant."""
    if not quirks.odd_padding or not isinstance(pdu, AssociateRQ | AssociateAC):
        return pdu
    changes: dict[str, Any] = {
        "application_context": _uid(pdu.application_context),
        "user": _user(pdu.user),
    }
    if isinstance(pdu, AssociateRQ):
        changes["called_ae"], changes["calling_ae"] = _title(pdu.called_ae), _title(pdu.calling_ae)
        changes["contexts"] = tuple(
            replace(
                context,
                abstract_syntax=_uid(context.abstract_syntax),
                transfer_syntaxes=tuple(map(_uid, context.transfer_syntaxes)),
            )
            for context in pdu.contexts
        )
    else:
        changes["results"] = tuple(
            replace(result, transfer_syntax=_uid(result.transfer_syntax)) for result in pdu.results
        )
    return replace(pdu, **changes)


def _user(user: UserInformation) -> UserInformation:
    return replace(
        user,
        implementation_class_uid=_uid(user.implementation_class_uid),
        implementation_version=_title(user.implementation_version),
        roles=tuple(replace(role, sop_class=_uid(role.sop_class)) for role in user.roles),
        extended=tuple(replace(item, sop_class=_uid(item.sop_class)) for item in user.extended),
        common_extended=tuple(
            replace(
                item,
                sop_class=_uid(item.sop_class),
                service_class=_uid(item.service_class),
                related=tuple(map(_uid, item.related)),
            )
            for item in user.common_extended
        ),
    )


def _title(text: str) -> str:
    return text.partition("\0")[0].strip(" \t\r\n")


def _uid(text: str) -> str:
    return text.partition("\0")[0].strip(" \t\r\n.")
