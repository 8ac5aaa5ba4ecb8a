"""Data sets as bodies of messages, and calls as values: what users ask and how an answer reads, without I/O (PS3.7).

A body goes out in the transfer syntax of its presentation context and comes back as a lazy Dataset over the bytes that
arrived. What the blocking and the asyncio association call is the same `Ask`: what to send, and what to make of
each response to it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from dicomcore.data.chunks import iter_bytes
from dicomcore.data.dataset import Dataset
from dicomcore.data.files import read_dataset
from dicomcore.data.writer import encode_dataset
from dicomcore.dimse.command import Command
from dicomcore.encoding.sink import MemorySink
from dicomcore.errors import LimitExceeded, NegotiationError, ServiceError
from dicomcore.limits import DEFAULT_LIMITS, Limits
from dicomcore.ul.explain import explain_missing
from dicomcore.ul.negotiation import AgreedContext, Negotiated, contexts_for
from dicomcore.vocab.status import StatusCategory, category, describe
from dicomcore.vocab.tag import format_tag
from dicomcore.vocab.uids import uid_for_keyword

from .base import MORE, Answer, Effect, Invoke, More, Receive, Request, Response, ServiceContext, out_of_resources

__all__ = [
    "Ask",
    "Elements",
    "Prepared",
    "context_for",
    "encoded_body",
    "failure",
    "read_body",
    "received_dataset",
    "sop_class_uid",
    "with_encoded_body",
]

Elements: TypeAlias = Dataset | Mapping[str, Any]
"""A data set, or its values by keyword."""

T = TypeVar("T")


class Ask(NamedTuple, Generic[T]):
    """One call: the request, what a response to it means, and the name of the service for messages.

    ``read(answer)`` raises EncodingError for a body that cannot be read at all.
    """

    invoke: Invoke
    read: Callable[[Answer], T]
    service: str

    def last(self) -> Generator[Invoke | More, Answer, T]:
        """A user (see `base`) that waits for the final response; its result is what that one means."""
        answer = yield self.invoke
        while category(answer.status) is StatusCategory.PENDING:
            answer = yield MORE
        return self.read(answer)

    def all(self) -> Generator[Invoke | More, Answer, list[T]]:
        """A user whose result is what each response means, the final one last."""
        answer = yield self.invoke
        found = [self.read(answer)]
        while category(answer.status) is StatusCategory.PENDING:
            answer = yield MORE
            found.append(self.read(answer))
        return found


class Prepared:
    """A data set that is sent often: encoded once for each transfer syntax. Later changes of it are not seen."""

    __slots__ = ("_encoded", "dataset")

    def __init__(self, dataset: Elements) -> None:
        self.dataset = _as_dataset(dataset)
        self._encoded: dict[str, bytes] = {}

    def body(self, transfer_syntax_uid: str, limits: Limits = DEFAULT_LIMITS) -> bytes:
        """The bytes in this syntax. EncodingError when it cannot be encoded."""
        body = self._encoded.get(transfer_syntax_uid)
        if body is None:
            body = self._encoded[transfer_syntax_uid] = _encoded(self.dataset, transfer_syntax_uid, limits)
        return body


def encoded_body(body: Any, transfer_syntax_uid: str, limits: Limits = DEFAULT_LIMITS) -> Any:
    """What goes out for a body: a Dataset (or a mapping, or `Prepared`) encoded, everything else as it is.

    A data set without elements becomes no body at all: there is nothing that it could say.
    """
    if isinstance(body, Prepared):
        return body.body(transfer_syntax_uid, limits) or None
    if isinstance(body, Dataset | Mapping):
        return _encoded(_as_dataset(body), transfer_syntax_uid, limits) or None
    return body


def with_encoded_body(response: Response, transfer_syntax_uid: str, limits: Limits = DEFAULT_LIMITS) -> Response:
    """The response with the body that `encoded_body` makes of its own."""
    body = response.body
    encoded = encoded_body(body, transfer_syntax_uid, limits)
    return response if encoded is body else response._replace(body=encoded)


def _as_dataset(elements: Elements) -> Dataset:
    return elements if isinstance(elements, Dataset) else Dataset(elements)


def _encoded(dataset: Dataset, transfer_syntax_uid: str, limits: Limits) -> bytes:
    chunks = encode_dataset(dataset, transfer_syntax_uid, limits=limits)
    if len(chunks) == 1 and isinstance(chunks[0], bytes):
        return chunks[0]
    return b"".join(iter_bytes(chunks))


def read_body(answer: Answer, transfer_syntax_uid: str, limits: Limits = DEFAULT_LIMITS) -> Dataset | None:
    """The data set of a response, None when it has none."""
    return None if answer.body is None else read_dataset(answer.body, transfer_syntax_uid, limits=limits)


def received_dataset(request: Request, context: ServiceContext) -> Generator[Effect, Any, Dataset]:
    """The data set of a request, for providers: ``identifier = yield from received_dataset(request, context)``.

    Empty when the request has none. LimitExceeded above `Limits.memory_object`, EncodingError when it is none.
    """
    if not request.has_body:
        return Dataset()
    with MemorySink(context.limits.memory_object) as sink:
        received = yield Receive(sink)
        if received.error is not None:
            if isinstance(received.error, LimitExceeded) and received.error.answer is None:
                received.error.answer = out_of_resources(request.command.field)
            raise received.error
    return read_dataset(sink.value, request.context.transfer_syntax, limits=context.limits)


def context_for(
    abstract_syntax: str, negotiated: Negotiated, *, role: Any = "scu", requestor: bool = True
) -> AgreedContext:
    """The first context on which this side has this role. NegotiationError says which side lacks what."""
    agreed = contexts_for(abstract_syntax, None, negotiated, role, requestor=requestor)
    if agreed:
        return agreed[0]
    why = explain_missing(abstract_syntax, None, negotiated, role, requestor=requestor)
    raise NegotiationError(why, clause="PS3.7 D.3.3", hint="propose it with contexts=, and roles= for the SCP's part")


def sop_class_uid(sop_class: str) -> str:
    """A UID as it is, or the one with this keyword. NegotiationError for a name that is neither."""
    if sop_class[:1].isdigit():
        return sop_class
    uid = uid_for_keyword(sop_class)
    if uid is None:
        raise NegotiationError(f"{sop_class!r} is neither a UID nor the keyword of one", clause="PS3.6 Annex A")
    return uid


def failure(response: Command, service: str, peer: str = "the peer") -> ServiceError | None:
    """The error for a response whose status is a failure: with what PS3.7 Annex C lets it say about the reason."""
    status = response.elements["Status"]
    if category(status) is not StatusCategory.FAILURE:
        return None
    text = f"{peer} answered {service} with {describe(status, service)}"
    if response.ErrorComment:
        text += f" ({response.ErrorComment})"
    tags = response.OffendingElement or response.AttributeIdentifierList or ()
    return ServiceError(text, path=", ".join(map(format_tag, tags)) or None, answer=status)
