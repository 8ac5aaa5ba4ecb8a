"""What every service shares: requests, responses, effects that a driver performs, and the way to the right service.

**Provider (SCP).** A driver that got a request calls ``handle(request, context)`` and runs the generator it returns:

- a yielded `Response` is sent (``response.command(request.command)`` builds its command set); a Pending one leaves the
  operation open, and the generator ends after the final one;
- a yielded effect is performed and answered with ``send``. `Receive` streams the body of the request into a sink and is
  answered when the body is over; a sink that refuses is written to no more, the rest is drained, and its exception
  handed over in ``Received.error``. `Call` runs blocking work on a worker and answers its result, or throws its
  exception into the generator. `Perform` runs a user generator, on the same association (sub-operations of C-GET) or on
  a `Channel` that `Associate` opened (C-MOVE, reports), and answers its result; channels left open are released when
  the provider ends, aborted when it fails. `Await` awaits a coroutine function (asyncio driver only). `At` has work
  done later, by the server, whatever becomes of the association;
- a body that no `Receive` asked for is drained before the first response is sent;
- when the association ends first, the driver closes the generator (GeneratorExit): what was begun is taken back there;
- an exception that leaves the generator is answered with ``status_of(exception)`` if no final response was sent;
- a service may have an attribute ``coroutines``: True says that it hands coroutine functions to `Call` or uses `Await`,
  so that only the asyncio driver can run it;
- a service may have an attribute ``prompt``: True says that nothing in it waits and no code of an application runs,
  so that the driver need not look out for a cancel or the peer's end meanwhile;
- a ``prompt`` service may also have a method ``at_once(request, context, views)``, which is asked instead of ``handle``
  where the whole body is at hand, in ``views`` (none, if the request has no body): it answers the final `Response`, and
  an exception of it is treated as one of a provider. Whoever overrides ``handle`` alone is asked by ``handle`` alone.

**User (SCU).** A generator that yields `Invoke` and is answered an `Answer`; after a Pending one it
yields `MORE` for the next. Its return value is the result. Generators do not know each other, so a driver may run
several at a time, up to the agreed window.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Generator, Iterable, Mapping
from dataclasses import dataclass
from inspect import isasyncgenfunction, iscoroutinefunction
from types import GeneratorType, MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeAlias

from dicomcore.dimse.command import Command, CommandField, response
from dicomcore.errors import DicomError, LocalProtocolError
from dicomcore.limits import DEFAULT_LIMITS, Limits
from dicomcore.vocab.status import StatusCategory, category
from dicomcore.vocab.syntaxes import EXPLICIT_LE, IMPLICIT_LE

if TYPE_CHECKING:
    from dicomcore.ul.negotiation import AgreedContext, Negotiated

__all__ = [
    "MORE",
    "PLAIN_SYNTAXES",
    "Answer",
    "Asking",
    "Associate",
    "At",
    "AtOnce",
    "Await",
    "BodySink",
    "Call",
    "Channel",
    "Effect",
    "Invoke",
    "More",
    "Perform",
    "Provider",
    "Receive",
    "Received",
    "Request",
    "Response",
    "Router",
    "ServiceContext",
    "ServiceProvider",
    "User",
    "is_coroutine_function",
    "out_of_resources",
    "status_of",
]

PLAIN_SYNTAXES: Final = (EXPLICIT_LE.uid, IMPLICIT_LE.uid)
"""Transfer syntaxes for what is no image: those that every system has, the better one first."""

PROCESSING_FAILURE = 0x0110
SOP_CLASS_NOT_SUPPORTED = 0x0122
UNRECOGNIZED_OPERATION = 0x0211
NO_SUCH_SOP_CLASS = 0x0118


# Required of the response when it has an Event Reply or an Action Reply (PS3.7 tables 10.3-2, 10.3-8)
_REPEATED: Final[Mapping[int, str]] = MappingProxyType(
    {CommandField.N_EVENT_REPORT_RQ: "EventTypeID", CommandField.N_ACTION_RQ: "ActionTypeID"}
)
_COUNTS: Final = frozenset(f"NumberOf{kind}Suboperations" for kind in ("Remaining", "Completed", "Failed", "Warning"))
# request -> what responses of a category have to hold, beside what every one does
_REQUIRED: Final[Mapping[int, tuple[StatusCategory, frozenset[str], str]]] = MappingProxyType(
    {
        CommandField.C_GET_RQ: (StatusCategory.PENDING, _COUNTS, "PS3.7 9.1.3.1"),
        CommandField.C_MOVE_RQ: (StatusCategory.PENDING, _COUNTS, "PS3.7 9.1.4.1"),
        CommandField.N_CREATE_RQ: (StatusCategory.SUCCESS, frozenset({"AffectedSOPInstanceUID"}), "PS3.7 10.1.5.1.4"),
    }
)


_REQUESTS: Final = tuple(field for field in CommandField if field < 0x8000 and field != CommandField.C_CANCEL_RQ)
_HANDLE: Final = "handle(request, context) is a generator function, which yields effects and responses"


class BodySink(Protocol):
    """Where a body goes, fragment by fragment. A view is valid only during the call.

    A sink that also has ``writev(views)`` is given several fragments at once where they have arrived.
    """

    def write(self, view: memoryview, /) -> object: ...


class Request(NamedTuple):
    """What a peer asks for: the command, whether a body follows, and on which context and association it came."""

    context_id: int
    command: Command
    has_body: bool
    context: AgreedContext
    calling_ae: str = ""
    called_ae: str = ""
    peer: Any = None


class Response(NamedTuple):
    """What a provider answers: a status, a body (anything with a length, or a list of such), elements by keyword."""

    status: int
    body: Any = None
    elements: Mapping[str, Any] = MappingProxyType({})

    def command(self, request: Command) -> Command:
        """The command set that answers `request`; a reply with a data set repeats what it is the reply to.

        LocalProtocolError when an element is missing that this request and this status require.
        """
        elements = self.elements
        if self.body is not None and (keyword := _REPEATED.get(request.field)) and keyword not in elements:
            elements = {keyword: request.elements[keyword], **elements}
        answer = response(request, self.status, **elements)
        rule = _REQUIRED.get(request.field)
        if rule is None or category(self.status) is not rule[0]:
            return answer
        if missing := rule[1] - answer.elements.keys():
            lacking = ", ".join(sorted(missing))
            raise LocalProtocolError(f"{answer.name} with status {self.status:04X} lacks {lacking}", clause=rule[2])
        return answer

    def is_plain(self, request: Command) -> bool:
        """Nothing but a status is answered to `request`, and nothing more is required."""
        return self.body is None and not self.elements and request.field not in _REQUIRED

    @property
    def is_pending(self) -> bool:
        return category(self.status) is StatusCategory.PENDING


class Receive(NamedTuple):
    """Effect: stream the body of the request into ``sink``. Answered by `Received`."""

    sink: BodySink


class Received(NamedTuple):
    """The body is over: how many bytes it had, and the exception with which the sink refused it, if any."""

    length: int
    error: Exception | None = None


class Call:
    """Effect: run ``fn(*args)``, which may block, on a worker. Answered by its result; its exception is thrown in."""

    __slots__ = ("args", "fn")

    def __init__(self, fn: Callable[..., Any], *args: Any) -> None:
        self.fn = fn
        self.args = args

    def __repr__(self) -> str:
        return f"Call({self.fn!r}, *{self.args!r})"


class Channel(Protocol):
    """An association that a driver opened for a provider; `Perform` runs users on it."""

    @property
    def negotiated(self) -> Negotiated: ...


class Associate:
    """Effect: open an association with ``host``, ``port``; ``options`` are those of `AE.associate`.

    Answered by a `Channel`; what `AE.associate` raises is thrown in.
    """

    __slots__ = ("host", "options", "port")

    def __init__(self, host: str, port: int, **options: Any) -> None:
        self.host = host
        self.port = port
        self.options = options

    def __repr__(self) -> str:
        return f"Associate({self.host!r}, {self.port}, {self.options})"


class Perform:
    """Effect: run a user on ``channel`` (None: the provider's own association). Answered by the user's result."""

    __slots__ = ("channel", "user")

    def __init__(self, user: User, channel: Channel | None = None) -> None:
        self.user = user
        self.channel = channel


class Await:
    """Effect: await ``fn(*args)`` in the event loop of the asyncio driver. Answered by its result."""

    __slots__ = ("args", "fn")

    def __init__(self, fn: Callable[..., Awaitable[Any]], *args: Any) -> None:
        self.fn = fn
        self.args = args


class At:
    """Effect: after ``delay`` seconds run ``work``, a function that yields effects as a provider does, save responses.

    Answered at once by None. The association may be over by then.
    """

    __slots__ = ("delay", "work")

    def __init__(self, delay: float, work: Callable[[], Generator[Any, Any, None]]) -> None:
        self.delay = delay
        self.work = work


class More(NamedTuple):
    """Effect of a user: wait for the next response to its last request, whose last status was Pending."""


MORE: Final = More()


class Invoke(NamedTuple):
    """Effect of a user: send this request and wait for its response, an `Answer`."""

    context_id: int
    command: Command
    body: Any = None


class Answer(NamedTuple):
    """A response as its user sees it."""

    status: int
    command: Command
    body: bytes | None = None


@dataclass(slots=True)
class ServiceContext:
    """What the driver tells a running provider; the flags are set while it runs.

    ``negotiated`` and ``requestor`` (whether this side asked for the association) are what a user needs that the
    provider performs on the same association.
    """

    limits: Limits = DEFAULT_LIMITS
    negotiated: Negotiated | None = None
    requestor: bool = False
    cancelled: bool = False
    peer_gone: bool = False


Effect: TypeAlias = Receive | Call | Perform | Associate | Await | At | Response
Provider: TypeAlias = Generator[Effect, Any, None]
User: TypeAlias = Generator[Invoke | More, Answer, Any]
Asking: TypeAlias = Generator[Invoke, Answer, Answer]  # a user that asks once and gets one answer
AtOnce: TypeAlias = Callable[[Request, ServiceContext, list[memoryview]], Response]


class ServiceProvider(Protocol):
    """An SCP: which abstract syntaxes, with which transfer syntaxes (best first), which commands, and how."""

    @property
    def supported(self) -> Mapping[str, tuple[str, ...]]: ...

    @property
    def commands(self) -> frozenset[CommandField]: ...

    def handle(self, request: Request, context: ServiceContext, /) -> Provider: ...


class Router:
    """Services side by side on one application entity. ``supported`` and ``roles`` are what `Acceptance` wants to know.

    ``at_once``: by abstract syntax and command, the methods of that name.

    A service may have an attribute ``roles``: the (scu, scp) roles that requestors may take for SOP classes, such as
    that of an SCP for the instances that a C-GET sends back to them.
    """

    def __init__(self, services: Iterable[ServiceProvider]) -> None:
        supported: dict[str, tuple[str, ...]] = {}
        roles: dict[str, tuple[bool, bool]] = {}
        providers: dict[tuple[str, int], ServiceProvider] = {}
        for service in services:
            _check_service(service)
            roles.update(getattr(service, "roles", {}))
            for abstract_syntax, transfer_syntaxes in service.supported.items():
                known = supported.get(abstract_syntax, ())
                supported[abstract_syntax] = known + tuple(uid for uid in transfer_syntaxes if uid not in known)
                for command_field in service.commands:
                    if providers.setdefault((abstract_syntax, command_field), service) is not service:
                        raise LocalProtocolError(
                            f"two services for {CommandField(command_field).name} of {abstract_syntax}"
                        )
        self.supported: Mapping[str, tuple[str, ...]] = MappingProxyType(supported)
        self.roles: Mapping[str, tuple[bool, bool]] = MappingProxyType(roles)
        self._providers = providers
        self._prompt = frozenset(key for key, service in providers.items() if getattr(service, "prompt", False))
        at_once = {key: found for key in self._prompt if (found := _try_at_once(providers[key])) is not None}
        self.at_once: Mapping[tuple[str, int], AtOnce] = MappingProxyType(at_once)

    def find(self, abstract_syntax: str, command_field: int) -> ServiceProvider | int:
        """The provider for a command on a context, or the status to refuse it with (PS3.7 Annex C)."""
        provider = self._providers.get((abstract_syntax, command_field))
        if provider is not None:
            return provider
        if abstract_syntax in self.supported:
            return UNRECOGNIZED_OPERATION
        return NO_SUCH_SOP_CLASS if 0x0100 <= command_field < 0x0FFF else SOP_CLASS_NOT_SUPPORTED

    def start(self, request: Request, context: ServiceContext) -> tuple[Provider, bool]:
        """The running provider of a request, one that only refuses when there is none; and whether it is prompt."""
        key = request.context.general or request.context.abstract_syntax, request.command.field
        service = self._providers.get(key)
        if service is not None:
            provider = service.handle(request, context)
            if type(provider) is not GeneratorType and not hasattr(provider, "send"):
                provider = _no_provider(service, provider)
            return provider, key in self._prompt
        found = self.find(*key)
        assert isinstance(found, int)
        return _refuse(found), True

    def handle(self, request: Request, context: ServiceContext) -> Provider:
        """The running provider of a request; one that only refuses when there is none."""
        return self.start(request, context)[0]


def _check_service(service: Any) -> None:
    """LocalProtocolError for what cannot serve, whatever is asked."""
    if isinstance(service, type) or not hasattr(service, "supported"):
        raise LocalProtocolError(f"{service!r} is no service", hint="an instance, such as VerificationSCP()")
    name = type(service).__name__
    handle = getattr(service, "handle", None)
    if not callable(handle) or is_coroutine_function(handle) or isasyncgenfunction(handle):
        what = "no function" if not callable(handle) else "a coroutine function"
        raise LocalProtocolError(f"handle of {name} is {what}", hint=_HANDLE)
    commands: Any = getattr(service, "commands", None)
    fits = isinstance(commands, Collection) and not isinstance(commands, str)
    if not fits or not all(field in _REQUESTS for field in commands):
        hint = "a set of requests, such as frozenset({CommandField.C_FIND_RQ})"
        raise LocalProtocolError(f"commands of {name} is {commands!r}", hint=hint)


def _try_at_once(service: ServiceProvider) -> AtOnce | None:
    """Its method of that name, unless what it does was changed by another ``handle``."""
    found: AtOnce | None = getattr(service, "at_once", None)
    for names in (getattr(service, "__dict__", {}), *map(vars, type(service).__mro__)):
        if "at_once" in names:
            return found
        if "handle" in names:
            return None
    return found


def _no_provider(service: ServiceProvider, found: object) -> Provider:
    """Runs, and fails at once: the peer is answered, and the log says why."""
    yield from ()
    raise LocalProtocolError(f"handle of {type(service).__name__} returned {type(found).__name__}", hint=_HANDLE)


def _refuse(status: int) -> Provider:
    yield Response(status)


def out_of_resources(command_field: int) -> int:
    """The status for a body that is more than is taken: of the C-services (PS3.7 C.4.2), or the N-services (C.5.15)."""
    return 0xA700 if command_field < CommandField.N_EVENT_REPORT_RQ else 0x0213


def status_of(error: BaseException) -> int:
    """The failure status that an exception in a provider becomes: its own, or Processing Failure."""
    if isinstance(error, DicomError) and isinstance(error.answer, int):
        return error.answer
    return PROCESSING_FAILURE


def is_coroutine_function(function: Any) -> bool:
    """Whether calling it makes a coroutine: functions, methods, partial ones, and objects with such a ``__call__``."""
    return iscoroutinefunction(function) or iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004
