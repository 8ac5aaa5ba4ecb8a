"""Query and retrieve as asked by a user (PS3.4 Annex C, K and their kin; PS3.7 9.1.2-9.1.4): C-FIND, C-GET, C-MOVE.

Each function builds one `Ask` and does no I/O. An information model is named by UID, by keyword, or by a short name
that means the right SOP class for each operation: "study-root", "patient-root", "worklist", "hanging-protocol".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypedDict, TypeVar, Unpack

from dicomcore.data.dataset import Dataset
from dicomcore.dimse.command import command
from dicomcore.errors import LocalProtocolError, NegotiationError
from dicomcore.limits import DEFAULT_LIMITS, Limits
from dicomcore.ul.negotiation import Negotiated
from dicomcore.ul.pdu import is_ae_title
from dicomcore.vocab.sop_classes import sop_classes
from dicomcore.vocab.uids import uid_for_keyword

from .base import Answer, Invoke
from .messages import Ask, Elements, context_for, encoded_body, read_body

__all__ = ["Found", "Progress", "c_find", "c_get", "c_move", "model_names", "model_uid", "model_uids"]

_OPERATIONS: Final = ("C-FIND", "C-MOVE", "C-GET")
_ALIASES: Final[Mapping[str, str]] = {"worklist": "modality-worklist"}
_TAIL: Final = re.compile(r"(Query|Retrieve)*(InformationModel)?(Find|Move|Get)$")


T = TypeVar("T")


class How(TypedDict, total=False):
    """What each call takes besides."""

    priority: int
    requestor: bool
    limits: Limits


class Found(NamedTuple):
    """A response to C-FIND: Pending (FF00, or FF01 when optional keys were not matched) with its identifier.

    The last one says how it ended, without an identifier.
    """

    status: int
    identifier: Dataset | None


class Progress(NamedTuple):
    """A response to C-GET or C-MOVE: how the sub-operations stand (PS3.7 9.1.3.1); None is a count not told.

    ``identifier`` of the final one lists what failed in FailedSOPInstanceUIDList.
    """

    status: int
    remaining: int | None
    completed: int | None
    failed: int | None
    warning: int | None
    identifier: Dataset | None

    @property
    def failed_instances(self) -> tuple[str, ...]:
        """The SOP Instance UIDs of FailedSOPInstanceUIDList (PS3.4 C.4.2.1.5)."""
        found = self.identifier.get("FailedSOPInstanceUIDList") if self.identifier is not None else None
        return (str(found),) if isinstance(found, str) and found else tuple(map(str, found or ()))


@cache
def _models() -> Mapping[str, Mapping[str, str]]:
    """Short name -> operation -> SOP class UID, from the keywords of all SOP classes with such an operation."""
    found: dict[str, dict[str, str]] = {}
    for row in sop_classes().values():
        for operation in _OPERATIONS:
            if operation in row.dimse:
                words = re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z]*", _TAIL.sub("", row.keyword))
                found.setdefault("-".join(words).lower(), {})[operation] = row.uid
    return found | {alias: found[name] for alias, name in _ALIASES.items()}


def model_names() -> tuple[str, ...]:
    """The short names of information models."""
    return tuple(_models())


def model_uids(name: str) -> tuple[str, ...]:
    """The SOP classes behind a short name, keyword or UID: find, move, get, as far as there are; () if it is none."""
    if name in _models():
        return tuple(_models()[name].values())
    uid = name if name[:1].isdigit() else uid_for_keyword(name)
    return (uid,) if uid else ()


def model_uid(model: str, operation: str) -> str:
    """The SOP class of an operation ("C-FIND", "C-GET", "C-MOVE"). NegotiationError for a model that has no such."""
    if (operations := _models().get(model)) is not None:
        if operation in operations:
            return operations[operation]
        raise NegotiationError(f"{model} has no {operation}", hint=f"it has {', '.join(operations)}")
    if isinstance(model, str) and (uids := model_uids(model)):
        return uids[0]
    near = get_close_matches(str(model), model_names(), n=3, cutoff=0.5) or ["study-root", "patient-root", "worklist"]
    hint = f"a UID, a keyword, or a name such as {', '.join(near)}"
    raise NegotiationError(f"no information model {model!r}", hint=hint)


def c_find(negotiated: Negotiated, query: Elements, model: str, **how: Unpack[How]) -> Ask[Found]:
    """Ask which entities match ``query``. NegotiationError without a context, EncodingError for a bad value."""
    return _ask("C-FIND", negotiated, query, model, _found, **how)


def c_get(negotiated: Negotiated, query: Elements, model: str, **how: Unpack[How]) -> Ask[Progress]:
    """Ask for instances over this association; raises as `c_find`."""
    return _ask("C-GET", negotiated, query, model, _progress, **how)


def c_move(negotiated: Negotiated, query: Elements, destination: str, model: str, **how: Unpack[How]) -> Ask[Progress]:
    """Ask the peer to send instances to the AE called ``destination``; raises as `c_find`."""
    if not is_ae_title(destination):
        raise LocalProtocolError(f"{destination!r} is no AE title", clause="PS3.5 6.2")
    return _ask("C-MOVE", negotiated, query, model, _progress, {"MoveDestination": destination}, **how)


def _ask(
    operation: str,
    negotiated: Negotiated,
    query: Elements,
    model: str,
    read: Callable[[Answer, Dataset | None], T],
    elements: Mapping[str, Any] = MappingProxyType({}),
    *,
    priority: int = 0,
    requestor: bool = True,
    limits: Limits = DEFAULT_LIMITS,
) -> Ask[T]:
    uid = model_uid(model, operation)
    agreed = context_for(uid, negotiated, requestor=requestor)
    asked = command(f"{operation}-RQ", AffectedSOPClassUID=uid, Priority=priority, **elements)
    body = encoded_body(query, agreed.transfer_syntax, limits)
    invoke = Invoke(agreed.id, asked, b"" if body is None else body)
    return Ask(invoke, lambda answer: read(answer, read_body(answer, agreed.transfer_syntax, limits)), operation)


def _found(answer: Answer, identifier: Dataset | None) -> Found:
    return Found(answer.status, identifier)


def _progress(answer: Answer, identifier: Dataset | None) -> Progress:
    get = answer.command.elements.get
    return Progress(
        answer.status,
        get("NumberOfRemainingSuboperations"),
        get("NumberOfCompletedSuboperations"),
        get("NumberOfFailedSuboperations"),
        get("NumberOfWarningSuboperations"),
        identifier,
    )
