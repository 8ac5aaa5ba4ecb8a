"""The N-services as asked by a user (PS3.7 10.1, 10.3): N-GET, N-SET, N-ACTION, N-CREATE, N-DELETE, N-EVENT-REPORT.

Each function builds one `Ask` and does no I/O. A SOP class is named by UID or keyword. ``context`` names another
abstract syntax under whose presentation context the message goes, where the standard wants that: a Meta SOP Class of
printing, or Unified Procedure Step Pull for instances of Push (PS3.4 H.3, CC.3.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypedDict, Unpack

from dicomcore.data.dataset import Dataset
from dicomcore.dimse.command import command
from dicomcore.limits import DEFAULT_LIMITS, Limits
from dicomcore.ul.negotiation import Negotiated
from dicomcore.vocab.tag import parse_tag

from .base import Answer, Invoke
from .messages import Ask, Elements, context_for, encoded_body, read_body, sop_class_uid

__all__ = ["Outcome", "n_action", "n_create", "n_delete", "n_event_report", "n_get", "n_set"]


class Outcome(NamedTuple):
    """A response to an N-service: its status, its data set (None: it has none), and its command elements by keyword.

    Among them AffectedSOPInstanceUID (of N-CREATE, when the peer chose it), AttributeIdentifierList (0107: the
    attributes that were not set), ErrorComment, ErrorID.
    """

    status: int
    dataset: Dataset | None
    elements: Mapping[str, Any]


class How(TypedDict, total=False):
    """What each call takes besides; ``context``: the abstract syntax, if it is not the SOP class itself."""

    context: str
    requestor: bool
    limits: Limits


class _Call:
    """What the six have in common: the context, the way a body is written, the way an answer is read."""

    def __init__(
        self,
        negotiated: Negotiated,
        sop_class: str,
        *,
        role: str = "scu",
        context: str = "",
        requestor: bool = True,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.sop_class = sop_class_uid(sop_class)
        abstract_syntax = sop_class_uid(context) if context else self.sop_class
        self.agreed = context_for(abstract_syntax, negotiated, role=role, requestor=requestor)
        self.limits = limits

    def ask(self, service: str, body: Elements | None = None, **elements: Any) -> Ask[Outcome]:
        encoded = None if body is None else encoded_body(body, self.agreed.transfer_syntax, self.limits)
        return Ask(Invoke(self.agreed.id, command(f"{service}-RQ", **elements), encoded), self.read, service)

    def read(self, answer: Answer) -> Outcome:
        dataset = read_body(answer, self.agreed.transfer_syntax, self.limits)
        return Outcome(answer.status, dataset, answer.command.elements)


def n_get(
    negotiated: Negotiated,
    sop_class: str,
    sop_instance: str,
    attributes: Iterable[Any] = (),
    **how: Unpack[How],
) -> Ask[Outcome]:
    """Ask for attributes of an instance (keywords or tags; none: all that there are)."""
    call = _Call(negotiated, sop_class, **how)
    tags = tuple(int(parse_tag(each)) for each in attributes)
    return call.ask(
        "N-GET",
        RequestedSOPClassUID=call.sop_class,
        RequestedSOPInstanceUID=sop_instance,
        AttributeIdentifierList=tags or None,
    )


def n_set(
    negotiated: Negotiated,
    sop_class: str,
    sop_instance: str,
    dataset: Elements,
    **how: Unpack[How],
) -> Ask[Outcome]:
    """Change attributes of an instance."""
    call = _Call(negotiated, sop_class, **how)
    ask = call.ask("N-SET", dataset, RequestedSOPClassUID=call.sop_class, RequestedSOPInstanceUID=sop_instance)
    return ask if ask.invoke.body is not None else ask._replace(invoke=ask.invoke._replace(body=b""))


def n_action(
    negotiated: Negotiated,
    sop_class: str,
    sop_instance: str,
    action_type: int,
    dataset: Elements | None = None,
    **how: Unpack[How],
) -> Ask[Outcome]:
    """Have an action done on an instance."""
    call = _Call(negotiated, sop_class, **how)
    return call.ask(
        "N-ACTION",
        dataset,
        RequestedSOPClassUID=call.sop_class,
        RequestedSOPInstanceUID=sop_instance,
        ActionTypeID=action_type,
    )


def n_create(
    negotiated: Negotiated,
    sop_class: str,
    sop_instance: str | None = None,
    dataset: Elements | None = None,
    **how: Unpack[How],
) -> Ask[Outcome]:
    """Have an instance made; without a UID the peer chooses one, which is in the elements of its answer."""
    call = _Call(negotiated, sop_class, **how)
    return call.ask("N-CREATE", dataset, AffectedSOPClassUID=call.sop_class, AffectedSOPInstanceUID=sop_instance)


def n_delete(
    negotiated: Negotiated,
    sop_class: str,
    sop_instance: str,
    **how: Unpack[How],
) -> Ask[Outcome]:
    """Have an instance deleted."""
    call = _Call(negotiated, sop_class, **how)
    return call.ask("N-DELETE", RequestedSOPClassUID=call.sop_class, RequestedSOPInstanceUID=sop_instance)


def n_event_report(
    negotiated: Negotiated,
    sop_class: str,
    sop_instance: str,
    event_type: int,
    dataset: Elements | None = None,
    **how: Unpack[How],
) -> Ask[Outcome]:
    """Report an event of an instance: the part of the SCP, so a requestor has to have proposed that role."""
    call = _Call(negotiated, sop_class, role="scp", **how)
    return call.ask(
        "N-EVENT-REPORT",
        dataset,
        AffectedSOPClassUID=call.sop_class,
        AffectedSOPInstanceUID=sop_instance,
        EventTypeID=event_type,
    )
