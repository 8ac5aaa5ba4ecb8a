"""Requests find their service, or the status that refuses them."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from dicomcore.dimse.command import CommandField, command
from dicomcore.errors import EncodingError, LocalProtocolError, ServiceError
from dicomcore.services.base import Call, Provider, Request, Response, Router, ServiceContext, status_of
from dicomcore.services.verification import VerificationSCP
from dicomcore.ul.negotiation import AgreedContext
from tests.services.driver import RT_PLAN, Run

VERIFICATION = "1.2.840.10008.1.1"


class Small:
    """A service that answers with its own number."""

    supported: ClassVar = {RT_PLAN: ("1.2.840.10008.1.2",), VERIFICATION: ("1.2.3",)}
    commands = frozenset({CommandField.C_STORE_RQ, CommandField.N_GET_RQ})

    def handle(self, request: Request, context: ServiceContext, /) -> Provider:
        number = yield Call(int, "7")
        yield Response(number, elements={"ErrorComment": "seven"})


def asked(name: str, abstract_syntax: str, **elements: object) -> Request:
    message = command(name, AffectedSOPClassUID=abstract_syntax, **elements).but(MessageID=1)
    return Request(1, message, False, AgreedContext(1, abstract_syntax, "1.2.840.10008.1.2"))


def test_routes_and_refusals() -> None:
    router = Router([VerificationSCP(), Small()])
    assert router.supported[RT_PLAN] == ("1.2.840.10008.1.2",)
    assert router.supported[VERIFICATION][-1] == "1.2.3"  # both services' syntaxes, the first one's first
    assert len(router.supported[VERIFICATION]) == 5
    assert isinstance(router.find(VERIFICATION, CommandField.C_ECHO_RQ), VerificationSCP)
    assert isinstance(router.find(VERIFICATION, CommandField.C_STORE_RQ), Small)
    assert router.find(VERIFICATION, CommandField.C_FIND_RQ) == 0x0211
    assert router.find("1.2.9", CommandField.C_FIND_RQ) == 0x0122
    assert router.find("1.2.9", CommandField.N_CREATE_RQ) == 0x0118
    [refusal] = Run(router.handle(asked("C-FIND-RQ", RT_PLAN), ServiceContext())).responses
    assert refusal.status == 0x0211
    request = asked("C-STORE-RQ", RT_PLAN, AffectedSOPInstanceUID="1.2")
    [answer] = Run(router.handle(request, ServiceContext())).responses
    reply = answer.command(request.command)
    assert (reply.Status, reply.ErrorComment, reply.MessageIDBeingRespondedTo) == (7, "seven", 1)
    echo = asked("C-ECHO-RQ", VERIFICATION)
    assert [router.start(each, ServiceContext())[1] for each in (echo, request)] == [True, False]
    assert (answer.is_pending, Response(0xFF00).is_pending) == (False, True)


def test_two_services_for_one_command() -> None:
    with pytest.raises(LocalProtocolError, match="two services"):
        Router([Small(), Small()])


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ServiceError("no", answer=0xA900), 0xA900),
        (EncodingError("no"), 0x0110),
        (EncodingError("no", answer=(0, 0)), 0x0110),
        (ValueError("no"), 0x0110),
    ],
)
def test_status_of_an_exception(error: Exception, status: int) -> None:
    assert status_of(error) == status


class _Whole:
    supported: ClassVar = {VERIFICATION: ("1.2.840.10008.1.2",)}
    commands: Any = frozenset({CommandField.C_ECHO_RQ})

    def handle(self, request: Request, context: ServiceContext, /) -> Any:
        return None


class _Coroutine(_Whole):
    async def handle(self, request: Request, context: ServiceContext, /) -> Any:
        return None


class _AsyncGenerator(_Whole):
    async def handle(self, request: Request, context: ServiceContext, /) -> Any:
        yield Response(0)


class _NoHandle(_Whole):
    handle: Any = None


@pytest.mark.parametrize(
    ("service", "told"),
    [
        (_Coroutine(), "handle of _Coroutine is a coroutine function"),
        (_AsyncGenerator(), "handle of _AsyncGenerator is a coroutine function"),
        (_NoHandle(), "handle of _NoHandle is no function"),
        (_Whole, "no service"),
        (object(), "no service"),
    ],
)
def test_what_cannot_serve_is_refused(service: Any, told: str) -> None:
    with pytest.raises(LocalProtocolError, match=told):
        Router([service])


@pytest.mark.parametrize(
    "commands",
    [
        None,
        "C-ECHO-RQ",
        CommandField.C_ECHO_RQ,
        {0x7777},
        (CommandField.C_ECHO_RSP,),
        {CommandField.C_CANCEL_RQ},
        [{}],
    ],
)
def test_commands_are_requests(commands: Any) -> None:
    service = _Whole()
    service.commands = commands
    with pytest.raises(LocalProtocolError, match="commands of _Whole is"):
        Router([service])


def test_a_handler_that_yields_nothing_fails() -> None:
    provider = Router([_Whole()]).handle(asked("C-ECHO-RQ", VERIFICATION), ServiceContext())
    with pytest.raises(LocalProtocolError, match="handle of _Whole returned NoneType"):
        next(provider)
