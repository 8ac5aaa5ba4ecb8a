"""The services of the simulated servers, and the users that ask them and check every answer."""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from dicomcore.data.part10 import encode_file_meta
from dicomcore.dimse.command import Command, CommandField, command
from dicomcore.encoding.sink import MemorySink
from dicomcore.errors import ServiceError
from dicomcore.services.base import (
    MORE,
    Answer,
    Associate,
    At,
    Call,
    Invoke,
    Perform,
    Provider,
    Receive,
    Request,
    Response,
    ServiceContext,
    ServiceProvider,
)
from dicomcore.services.stores import NewInstance

if TYPE_CHECKING:
    from .world import World

CT = "1.2.840.10008.5.1.4.1.1.2"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
GET = "1.2.840.10008.5.1.4.1.2.2.3"
MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
ECHO = "1.2.840.10008.1.1"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"


class Object(NamedTuple):
    """An instance: its data set in implicit little endian."""

    uid: str
    body: bytes

    def file(self, calling_ae: str, called_ae: str) -> bytes:
        """The file that a server makes of it."""
        return encode_file_meta(CT, self.uid, IMPLICIT, sending_ae=calling_ae, receiving_ae=called_ae) + self.body


def make_object(uid: str, pixels: bytes) -> Object:
    def element(group: int, number: int, value: bytes) -> bytes:
        value += b"\0" * (len(value) & 1)
        return struct.pack("<HHI", group, number, len(value)) + value

    return Object(
        uid,
        element(0x0008, 0x0016, CT.encode()) + element(0x0008, 0x0018, uid.encode()) + element(0x7FE0, 0x0010, pixels),
    )


class Counted:
    """A service whose generators are remembered, so that it can be seen that each was closed.

    ``at_once``: it is asked for none where the inner service answers without."""

    def __init__(
        self, inner: ServiceProvider, generators: list[Any], prompt: bool = False, at_once: bool = False
    ) -> None:
        self._inner = inner
        self._generators = generators
        self.supported = inner.supported
        self.commands = inner.commands
        self.prompt = prompt
        if at_once:
            self.at_once = getattr(inner, "at_once", None)

    def handle(self, request: Request, context: ServiceContext, /) -> Provider:
        generator = self._inner.handle(request, context)
        self._generators.append(generator)
        return generator


class FindSCP:
    """Answers as many matches as the first byte of the query says, each with its number."""

    commands = frozenset({CommandField.C_FIND_RQ})
    supported: Mapping[str, tuple[str, ...]] = {FIND: (IMPLICIT,)}

    def __init__(self, world: World) -> None:
        self._world = world

    def handle(self, request: Request, context: ServiceContext, /) -> Provider:
        sink = MemorySink(1 << 16)
        chance = self._world.random
        received = yield Receive(sink)
        if received.error is not None:
            raise received.error
        sink.commit()
        query = bytes(sink.value)
        calls = chance.random() < 0.6
        for number in range(query[0]):
            if context.cancelled:
                yield Response(0xFE00)
                return
            if calls:
                yield Call(self._world.work)
            yield Response(0xFF00, query + struct.pack("<H", number) + bytes(chance.choice((0, 2, 500))))
            if chance.random() < 0.003:
                raise ServiceError("refused half way", answer=0xA700)
        yield Response(0x0000)


class RetrieveSCP:
    """C-GET and C-MOVE: sends as many objects as the first byte of the query says, here or over there."""

    commands = frozenset({CommandField.C_GET_RQ, CommandField.C_MOVE_RQ})
    supported: Mapping[str, tuple[str, ...]] = {GET: (IMPLICIT,), MOVE: (IMPLICIT,)}

    def __init__(self, world: World) -> None:
        self._world = world

    def handle(self, request: Request, context: ServiceContext, /) -> Provider:
        sink = MemorySink(1 << 16)
        received = yield Receive(sink)
        if received.error is not None:
            raise received.error
        sink.commit()
        count = bytes(sink.value)[0]
        world = self._world
        channel: Any = None
        if request.command.field == CommandField.C_MOVE_RQ:
            channel = yield Associate("archive", 104, contexts=[(CT, (IMPLICIT,))], limits=world.limits)
            negotiated, requestor = channel.negotiated, True
        else:
            negotiated, requestor = context.negotiated, context.requestor
        contexts = [
            agreed.id
            for agreed in negotiated.contexts.values()
            if agreed.abstract_syntax == CT and (agreed.requestor_scu if requestor else agreed.requestor_scp)
        ]
        failed = 0
        for done in range(count):
            if context.cancelled:
                yield Response(0xFE00)
                return
            item = world.make_object()
            trusted = channel is not None or request.peer not in world.strangers
            status = yield Perform(c_store(world, contexts[0], item, lambda item: item.body, trusted), channel)
            failed += bool(status)
            yield Response(
                0xFF00,
                elements={
                    "NumberOfRemainingSuboperations": count - done - 1,
                    "NumberOfCompletedSuboperations": done + 1 - failed,
                    "NumberOfFailedSuboperations": failed,
                    "NumberOfWarningSuboperations": 0,
                },
            )
        if world.random.random() < 0.1:
            yield At(5.0, lambda: _afterwards(world))
        yield Response(0xB000 if failed else 0x0000)


def _afterwards(world: World) -> Generator[Any, Any, None]:
    channel = yield Associate("archive", 104, contexts=[(ECHO, (IMPLICIT,))], limits=world.limits)
    yield Perform(c_echo(world, next(iter(channel.negotiated.contexts))), channel)


class ListStore:
    """An `InstanceStore` in memory: what was committed, by UID."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.open = 0

    def create(self, instance: NewInstance, /) -> Any:
        self.open += 1
        return _ListSink(self, instance.sop_instance_uid)


class _ListSink(MemorySink):
    def __init__(self, store: ListStore, uid: str) -> None:
        super().__init__(1 << 20)
        self._store: ListStore | None = store
        self._uid = uid

    def commit(self) -> None:
        super().commit()
        if self._store is not None:
            self._store.stored[self._uid] = bytes(self.value)
            self._leave()

    def discard(self) -> None:
        super().discard()
        self._leave()

    def _leave(self) -> None:
        if self._store is not None:
            self._store.open -= 1
            self._store = None


# Users


def _matches(world: World, answer: Answer, invoke: Invoke, uid: str | None = None) -> None:
    if answer.command.field != invoke.command.field | 0x8000:
        raise world.broken(f"{answer.command.name} answers {invoke.command.name}")
    found = answer.command.AffectedSOPInstanceUID
    if uid is not None and found not in (None, uid):
        raise world.broken(f"the answer is about {found}, the question was about {uid}")


def c_echo(world: World, context_id: int) -> Generator[Any, Answer, int]:
    invoke = Invoke(context_id, command("C-ECHO-RQ", AffectedSOPClassUID=ECHO))
    answer = yield invoke
    _matches(world, answer, invoke)
    if answer.status:
        raise world.broken(f"C-ECHO answered {answer.status:04X}")
    return answer.status


def c_store(
    world: World, context_id: int, item: Object, payload: Callable[[Object], Any], trusted: bool = True
) -> Generator[Any, Answer, int]:
    elements = {"AffectedSOPClassUID": CT, "AffectedSOPInstanceUID": item.uid, "Priority": 0}
    invoke = Invoke(context_id, Command(CommandField.C_STORE_RQ, {**elements, "CommandDataSetType": 1}), payload(item))
    answer = yield invoke
    if not trusted:
        return answer.status
    _matches(world, answer, invoke, item.uid)
    if answer.status == 0:
        world.acknowledged.append(item)
    return answer.status


def c_find(
    world: World, context_id: int, matches: int, mark: bytes, cancel: Callable[[], None] | None = None, after: int = 0
) -> Generator[Any, Answer, int]:
    query = bytes([matches]) + mark
    query += b"\0" * (len(query) & 1)
    invoke = Invoke(context_id, command("C-FIND-RQ", AffectedSOPClassUID=FIND), query)
    answer = yield invoke
    number = 0
    while answer.status == 0xFF00:
        _matches(world, answer, invoke)
        if answer.body is None or answer.body[: len(query) + 2] != query + struct.pack("<H", number):
            raise world.broken(f"match {number} of {query!r} is {answer.body!r}")
        number += 1
        if cancel is not None and number == after:
            cancel()
        answer = yield MORE
    _matches(world, answer, invoke)
    if answer.status == 0 and number != matches:
        raise world.broken(f"{number} matches of {matches}")
    if answer.status == 0xFE00 and cancel is None:
        raise world.broken("cancelled by nobody")
    if answer.status == 0xFE00:
        world.count["cancelled"] += 1
    return answer.status


def c_retrieve(world: World, context_id: int, name: str, count: int) -> Generator[Any, Answer, int]:
    elements: dict[str, Any] = {"MoveDestination": "ARCHIVE"} if name == "C-MOVE-RQ" else {}
    sop_class = MOVE if name == "C-MOVE-RQ" else GET
    invoke = Invoke(context_id, command(name, AffectedSOPClassUID=sop_class, **elements), bytes([count, 0]))
    answer = yield invoke
    seen = 0
    while answer.status == 0xFF00:
        _matches(world, answer, invoke)
        seen += 1
        if answer.command.NumberOfRemainingSuboperations != count - seen:
            raise world.broken(f"{answer.command.NumberOfRemainingSuboperations} remain after {seen} of {count}")
        answer = yield MORE
    _matches(world, answer, invoke)
    if answer.status == 0 and seen != count:
        raise world.broken(f"{seen} sub-operations of {count}")
    if answer.status == 0 and count:
        world.count[f"{name} done"] += 1
    return answer.status
