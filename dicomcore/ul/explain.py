"""A negotiation in words: which side lacked what. Pure functions of a request and its answer.

``explain`` is for people: a head, then a table with a row for each presentation context. ``explain_rows`` gives the
same rows to programs, ``explain_missing`` the one sentence that an operation needs which finds no context to use.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from ..vocab.uids import UID
from .extended import read_options
from .negotiation import AgreedContext, Negotiated, contexts_for, settle
from .pdu import (
    CONTEXT_RESULTS,
    Abort,
    AssociateAC,
    AssociateRJ,
    AssociateRQ,
    AsyncWindow,
    ExtendedNegotiation,
    PresentationContext,
)
from .quirks import NO_QUIRKS, Quirks

__all__ = ["ContextRow", "advice", "explain", "explain_missing", "explain_rows"]

_HINTS: Final = MappingProxyType(
    {  # (source, reason) of a rejection (PS3.8 table 9-21): what it means for who asked
        (1, 2): "the peer does not speak the DICOM application context",
        (1, 3): "the peer does not know {calling!r}: have it added to those it lets in, or call by a title it knows",
        (1, 7): "the peer does not call itself {called!r}: call it by its own title",
        (2, 2): "the peer does not speak this version of the protocol",
        (3, 1): "try again later",
        (3, 2): "it has too many associations, or the request is too large for it",
    }
)
_HEADINGS: Final = ("id", "SOP class", "result", "transfer syntax", "requestor", "note")


class ContextRow(NamedTuple):
    """What became of one presentation context. ``roles`` are those of the requestor."""

    id: int
    abstract_syntax: str
    result: str
    transfer_syntax: str
    roles: tuple[str, ...]
    note: str

    @property
    def accepted(self) -> bool:
        return bool(self.transfer_syntax)


def explain(request: AssociateRQ, answer: AssociateAC | AssociateRJ | Abort | None, quirks: Quirks = NO_QUIRKS) -> str:
    """The whole in some lines, then a table of the presentation contexts; None = no answer came."""
    who = f"{request.calling_ae} -> {request.called_ae}"
    if not isinstance(answer, AssociateAC):
        return _plain(f"{who}: {'no answer' if answer is None else answer}{_behind(request, answer)}")
    rows = explain_rows(request, answer, quirks)
    count, accepted = len(rows), sum(row.accepted for row in rows)
    facts = [
        ("maximum length", f"{_length(request, request.calling_ae)}, {_length(answer, request.called_ae)}"),
        ("operations window", _window(request, answer)),
        ("implementations", f"{_implementation(request)}, {_implementation(answer)}"),
        *_identity(request, answer),
        *_extended(request, answer),
    ]
    width = max(len(name) for name, _ in facts)
    head = f"{who}: accepted, {accepted} of {count} presentation context{'s' if count != 1 else ''}"
    return "\n".join(map(_plain, [head, *[f"  {name:<{width}}  {text}" for name, text in facts], *_table(rows)]))


def explain_rows(request: AssociateRQ, answer: AssociateAC, quirks: Quirks = NO_QUIRKS) -> list[ContextRow]:
    """A row for each context proposed, in order."""
    negotiated = settle(request, answer, requestor=True, quirks=quirks)
    rows = []
    for context in request.contexts:
        agreed = negotiated.contexts.get(context.id)
        if agreed is not None:
            note = _role_note(request, answer, agreed, quirks)
            rows.append(
                ContextRow(
                    context.id, context.abstract_syntax, "accepted", agreed.transfer_syntax, _roles(agreed), note
                )
            )
        else:
            result, note = _refusal(negotiated, context)
            rows.append(ContextRow(context.id, context.abstract_syntax, result, "", (), note))
    return rows


def explain_missing(
    abstract_syntax: str,
    transfer_syntaxes: Iterable[str] | None,
    negotiated: Negotiated,
    role: Literal["scu", "scp"] = "scu",
    *,
    requestor: bool = True,
) -> str:
    """Why a side has no context for this SOP class in a role and in one of some transfer syntaxes (None = any)."""
    return _plain(_missing(abstract_syntax, transfer_syntaxes, negotiated, role, requestor))


def _missing(
    abstract_syntax: str,
    transfer_syntaxes: Iterable[str] | None,
    negotiated: Negotiated,
    role: Literal["scu", "scp"],
    requestor: bool,
) -> str:
    request = negotiated.request
    name = _both(abstract_syntax)
    proposed = [context for context in request.contexts if context.abstract_syntax == abstract_syntax]
    if not proposed:
        return f"{name} was not proposed by {request.calling_ae}"
    agreed = [context for context in negotiated.contexts.values() if context.abstract_syntax == abstract_syntax]
    if not agreed:
        reasons = dict.fromkeys(": ".join(filter(None, _refusal(negotiated, context))) for context in proposed)
        return f"{name} was not accepted: {'; '.join(reasons)}"
    usable = contexts_for(abstract_syntax, None, negotiated, role, requestor=requestor)
    if not usable:
        side = request.calling_ae if requestor else request.called_ae
        roles = sorted({each for context in agreed for each in _roles(context)})
        return (
            f"{name} was accepted, but {side} may not be its {role.upper()}: {request.calling_ae} is "
            f"{' and '.join(roles) or 'neither SCU nor SCP'} of it (PS3.7 D.3.3.4)"
        )
    wanted = ", ".join(_name(uid) for uid in transfer_syntaxes or ())
    there = ", ".join(dict.fromkeys(_name(context.transfer_syntax) for context in usable))
    return f"{name} was accepted in {there}, not in {wanted}"


def _refusal(negotiated: Negotiated, context: PresentationContext) -> tuple[str, str]:
    """The result of a context that was not accepted, and who lacks what."""
    refused, peer = negotiated.refused[context.id], negotiated.called_ae
    code = refused.result
    result = CONTEXT_RESULTS[code] if code < len(CONTEXT_RESULTS) else f"result {code}"
    if refused.why:
        return "not usable", f"{peer}: {refused.why}"
    if code == 3:
        return result, f"{peer} does not offer this SOP class"
    if code == 4:
        return result, f"{peer} takes none of {', '.join(map(_name, context.transfer_syntaxes))}"
    return result, ""


def _roles(agreed: AgreedContext) -> tuple[str, ...]:
    return tuple(role for role, yes in (("SCU", agreed.requestor_scu), ("SCP", agreed.requestor_scp)) if yes)


def _role_note(request: AssociateRQ, answer: AssociateAC, agreed: AgreedContext, quirks: Quirks) -> str:
    asked = next((role for role in request.user.roles if role.sop_class == agreed.abstract_syntax), None)
    if asked is None:
        return ""
    answered = any(role.sop_class == agreed.abstract_syntax for role in answer.user.roles)
    if not answered and quirks.no_role_answer:
        return f"{request.called_ae} did not answer the role selection; taken as agreed"
    if (asked.scu, asked.scp) == (agreed.requestor_scu, agreed.requestor_scp):
        return ""
    wanted = [role for role, yes in (("SCU", asked.scu), ("SCP", asked.scp)) if yes]
    words = f"{request.calling_ae} asked to be {' and '.join(wanted) or 'neither SCU nor SCP'}"
    if not answered:
        return f"{words}; {request.called_ae} did not answer that, so the default roles hold"
    return f"{words}; {request.called_ae} did not agree to all of it"


def _window(request: AssociateRQ, answer: AssociateAC) -> str:
    asked, given = request.user.async_window, answer.user.async_window
    if asked is None:
        return "1 invoked, 1 performed (not asked for more)"
    if given is None:
        return f"1 invoked, 1 performed ({request.calling_ae} asked for {_pair(asked)}, {request.called_ae} for none)"
    agreed = settle(request, answer, requestor=True).window
    return f"{_pair(agreed)} (asked: {_pair(asked)}, answered: {_pair(given)})"


def _pair(window: AsyncWindow) -> str:
    return f"{window.invoked or 'unlimited'} invoked, {window.performed or 'unlimited'} performed"


def _length(pdu: AssociateRQ | AssociateAC, title: str) -> str:
    return f"{title} takes {pdu.user.max_length or 'any'}"


def _implementation(pdu: AssociateRQ | AssociateAC) -> str:
    return pdu.user.implementation_version or pdu.user.implementation_class_uid or "unnamed"


def _identity(request: AssociateRQ, answer: AssociateAC) -> list[tuple[str, str]]:
    identity = request.user.user_identity
    if identity is None:
        return []
    text = f"{identity.kind} {identity.name!r}" if identity.name else identity.kind
    if not identity.response_requested:
        return [("user identity", f"{text}, no confirmation asked for")]
    came = answer.user.user_identity_response is not None
    told = "confirmed" if came else f"not confirmed: {request.called_ae} may not have read it"
    return [("user identity", f"{text}, {told}")]


def _extended(request: AssociateRQ, answer: AssociateAC) -> list[tuple[str, str]]:
    given = {item.sop_class: item for item in answer.user.extended}
    return [
        (
            "extended",
            f"{_name(item.sop_class)}: asked {_options(item)}, "
            + (f"answered {_options(given[item.sop_class])}" if item.sop_class in given else "not answered"),
        )
        for item in request.user.extended
    ]


def _options(item: ExtendedNegotiation) -> str:
    options = read_options(item)
    if options is None:
        return item.information.hex() or "nothing"
    pairs = [(entry.name, getattr(options, entry.name)) for entry in fields(options)]
    shown = [name if value is True else f"{name} {value}" for name, value in pairs if value is not False]
    return " + ".join(shown) or "nothing"


def _table(rows: Sequence[ContextRow]) -> list[str]:
    lines = [
        _HEADINGS,
        *[
            (
                str(row.id),
                _both(row.abstract_syntax),
                row.result,
                _name(row.transfer_syntax) if row.accepted else "-",
                ("+".join(row.roles) or "neither") if row.accepted else "-",
                row.note,
            )
            for row in rows
        ],
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    ]


def _plain(text: str) -> str:
    """Without what a peer may have put into its names to confuse a terminal or a log."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)


def _both(uid: str) -> str:
    name = _name(uid)
    return name if name == uid else f"{name} ({uid})"


def _name(uid: str) -> str:
    return str(UID(uid).name)


def _behind(request: AssociateRQ, answer: AssociateRJ | Abort | None) -> str:
    words = advice(request, answer)
    return f"; {words}" if words else ""


def advice(request: AssociateRQ, answer: AssociateRJ | Abort | None) -> str:
    """What who asked may do about a rejection, an abort or a silence (None); often there is nothing to say."""
    if isinstance(answer, AssociateRJ):
        hint = _HINTS.get((answer.source, answer.reason), "")
        return hint.format(called=request.called_ae, calling=request.calling_ae)
    if request.user.async_window is not None:
        return "some peers do not bear the asynchronous operations window: try without it (Quirks 'no-async')"
    return ""
