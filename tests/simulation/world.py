"""One simulated world made from a seed: a server on a disk, its clients good and bad, and what must hold in the end.

Everything is left to the seed: how bytes are split and delayed, what fails, who aborts, stalls, cuts the wire, speaks
garbage or never reads, when the process is killed or the power goes. `World.run` lets it happen and checks; what does
not hold is told with the seed and the last steps.
"""

from __future__ import annotations

import errno
import logging
import struct
import zlib
from collections import Counter, deque
from collections.abc import Callable, Generator
from contextlib import suppress
from functools import partial
from random import Random
from socket import SHUT_WR
from typing import Any, Literal

from dicomcore.data.files import dcmread
from dicomcore.errors import DicomError
from dicomcore.limits import Limits
from dicomcore.net.memory import Conduct, MemoryAssociation, MemoryServer, Network, Plug
from dicomcore.net.memory.links import Link
from dicomcore.services.sending import StorageSCU
from dicomcore.services.storage import StorageSCP
from dicomcore.services.stores import FolderStore
from dicomcore.services.verification import VerificationSCP
from dicomcore.ul import RoleSelection, State

from .audit import Auditor
from .disk import ROOT, Disk, ProcessKilled, installed
from .services import (
    CT,
    ECHO,
    FIND,
    GET,
    IMPLICIT,
    MOVE,
    Counted,
    FindSCP,
    ListStore,
    Object,
    RetrieveSCP,
    c_echo,
    c_find,
    c_retrieve,
    c_store,
    make_object,
)

SERVER = "SERVER"
LONGEST = 4 * 3600.0  # simulated seconds after which somebody hangs
MOST_STEPS = 400_000
BLOCK = 256 * 1024

FAULTS: dict[str, tuple[int, ...]] = {
    "open": (errno.EMFILE, errno.ENOSPC, errno.EACCES, errno.ENFILE),
    "write": (errno.ENOSPC, errno.EIO, errno.EDQUOT),
    "fsync": (errno.EIO, errno.ENOSPC),
    "close": (errno.EIO, errno.ENOSPC),
    "rename": (errno.EIO, errno.ENOSPC),
    "link": (errno.EIO, errno.EMLINK),
    "unlink": (errno.EIO,),
    "dup": (errno.EMFILE,),
    "flock": (errno.ENOLCK,),
}


class Broken(AssertionError):
    """An invariant does not hold."""


class Payload:
    """A body that is read while it is sent, and may turn out to be unreadable."""

    def __init__(self, data: bytes, fails: bool) -> None:
        self._data = data
        self._fails = fails

    def __len__(self) -> int:
        return len(self._data)

    def read(self, start: int, stop: int) -> bytes:
        if self._fails and stop > len(self._data) // 2:
            raise OSError(errno.EIO, "unreadable")
        return self._data[start:stop]


class World:
    """``run`` it; ``count`` then tells what happened."""

    def __init__(
        self,
        seed: int,
        *,
        durability: Literal["process", "power"] | None = None,
        faults: bool | None = None,
        quiet: bool = False,
        at_once: bool | None = None,
    ) -> None:
        """``quiet``: a single good client on a kind wire, as a base for systematic faults.

        ``at_once``: whether what can be answered without a provider is.
        """
        self.seed = seed
        self.random = chance = Random(seed)
        self.quiet = quiet
        self.kindly = quiet or chance.random() < 0.4  # wires and disk are quick, so that nobody good may fail
        levels: tuple[Literal["process", "power"], ...] = ("process", "power")
        self.durability: Literal["process", "power"] = chance.choice(levels) if durability is None else durability
        self.at_once = Random(seed + 3).random() < 0.7 if at_once is None else at_once
        self.count: Counter[str] = Counter()
        self.failures: list[str] = []
        self.trace: deque[str] = deque(maxlen=120)
        self.digest = 0
        self.acknowledged: list[Object] = []
        self.made: dict[str, list[Object]] = {}
        self.files: dict[str, set[bytes]] = {}
        self.generators: list[Any] = []
        self.links: list[Link] = []
        self.recorded: list[bytearray] = []
        self.lists: list[ListStore] = []
        self.strangers: set[str] = set()  # they may say anything
        self.kill_at: int | None = None
        self.kill_by: Literal["process", "power"] = "process"
        self.with_plug: Callable[[Plug], None] | None = None
        if quiet:
            conduct, latency, reaction, slow = Conduct(), (0.0, 0.001), (0.0, 0.0), 0.0
        else:
            conduct = self._conduct()
            latency = chance.choice(((0.0, 0.0), (0.0, 0.01), (0.0, 2.0), (0.0, 40.0))[: 2 if self.kindly else 4])
            reaction = chance.choice(((0.0, 0.0), (0.0, 0.001), (0.0, 0.5))[: 2 if self.kindly else 3])
            slow = chance.choice((0.0, 0.0, 0.2, 1.0))
        self.network = Network(seed, conduct=conduct, latency=latency, reaction=reaction, slow_writes=slow)
        self.limits = Limits().but(pdu_length=4096 if quiet else chance.choice((64, 200, 1024, 4096, 16384)))
        self.window = 1 if quiet else chance.choice((1, 1, 2, 3, 16))
        self.disk = Disk(Random(seed + 1), short_writes=0.0 if quiet else chance.choice((0.0, 0.3)))
        self.disk.log = lambda what: self.note(f"disk {what.rpartition('/')[2]}")
        if faults if faults is not None else (not quiet and chance.random() < 0.3):
            self.disk.fault = self._some_fault(chance.choice((0.01, 0.05, 0.3)))
        self.duplicates: Literal["replace", "keep", "refuse"] = (
            "replace" if quiet else chance.choice(("replace", "replace", "keep", "refuse"))
        )
        self.server: MemoryServer

    # chance

    def _conduct(self) -> Conduct:
        chance = self.random
        whole = 1 << 20, 1 << 20
        pieces = ((1, 20), (1, 300), (1, 300), (1, 5000), (1, 5000), (1, 5000), whole, whole, whole, whole)
        return Conduct(
            delay=chance.choice(((0.0, 0.0), (0.0001, 0.01), (0.0, 1.0))[: 2 if self.kindly else 3]),
            read=chance.choice(pieces),
            write=chance.choice(pieces),
            capacity=chance.choice((200, 4096, 1 << 16, 1 << 18)),
            stall=(1.0, 45.0),
            stalls=0.0 if self.kindly else chance.choice((0.0, 0.0, 0.0, 0.01)),
        )

    def _some_fault(self, likely: float) -> Callable[[str, int], int]:
        chance = Random(self.seed + 2)

        def fault(name: str, number: int) -> int:
            if name in FAULTS and chance.random() < likely:
                self.count["disk faults"] += 1
                return chance.choice(FAULTS[name])
            return 0

        return fault

    # what is remembered

    def note(self, what: str) -> None:
        line = f"{self.network.now:.6f} {what}"
        self.digest = zlib.crc32(line.encode(), self.digest)
        self.trace.append(line)

    def broken(self, what: str) -> Broken:
        self.failures.append(what)
        self.note(f"BROKEN {what}")
        return Broken(what)

    def must_not_fail(self, kind: str, failure: BaseException) -> None:
        """Where nothing stands in its way, whoever does no wrong is served, and in time."""
        if self.kindly and not self.quiet and kind in ("good", "stay"):
            raise self.broken(f"a good client on a kind wire is told: {failure}") from failure

    def make_object(self, uid: str | None = None) -> Object:
        chance = self.random
        uid = uid or f"2.25.{self.seed}.{sum(map(len, self.made.values())) + 1}"
        length = chance.choice((0, 10, 100, 300, 1000, 3000)) if not self.quiet else 300
        item = make_object(uid, chance.randbytes(length))
        self.made.setdefault(uid, []).append(item)
        self.files.setdefault(uid, set())
        return item

    def watch(self, link: Link, auditor: Auditor) -> None:
        """Follow one end: its bytes are audited and become part of the trace."""
        self.links.append(link)
        plug = link.plug
        number = plug.fileno()
        recorded = bytearray()
        if link.core.requestor:
            self.recorded.append(recorded)

        def tap(data: bytes) -> None:
            self.note(f"wire {number} {len(data)} {zlib.crc32(data):08x}")
            if len(recorded) < 20_000:
                recorded.extend(data)
            auditor(data)

        plug.tap = tap

    # life

    def begin_serving(self) -> None:
        store = FolderStore(ROOT, durability=self.durability, duplicates=self.duplicates)
        if self.disk.temporary():
            raise self.broken(f"leftovers after the start: {self.disk.temporary()}")
        after = (lambda stored: None) if self.random.random() < 0.3 else None
        storage = StorageSCP(store, supported={CT: (IMPLICIT,)}, on_stored=after)
        services = [
            Counted(VerificationSCP(), self.generators, prompt=True, at_once=self.at_once),
            Counted(storage, self.generators, prompt=storage.prompt, at_once=self.at_once),
            Counted(FindSCP(self), self.generators),
            Counted(RetrieveSCP(self), self.generators),
        ]
        network, chance = self.network, self.random
        workers = chance.choice((1, 2, 8))
        options: dict[str, Any] = {"limits": self.limits, "workers": workers, "window": self.window}
        self.server = network.serve(
            services, ae_title=SERVER, roles={CT: (True, True)}, conduct=self._conduct_of_server(), **options
        )
        self._see(self.server, "server")
        if "archive" not in network.servers:
            kept = ListStore()
            self.lists.append(kept)
            services = [
                Counted(VerificationSCP(), self.generators),
                Counted(StorageSCP(kept, supported={CT: (IMPLICIT,)}), self.generators),
            ]
            self._see(network.serve(services, host="archive", **options), "archive")

    def _conduct_of_server(self) -> Conduct:
        return self.network.conduct if self.quiet else self._conduct()

    def _see(self, server: MemoryServer, name: str) -> None:
        welcome = server.welcome

        def seen(plug: Plug, peer: str) -> Any:
            served = welcome(plug, peer)
            self.watch(served, Auditor(f"{name} to {peer}", self.broken))
            return served

        server.welcome = seen  # type: ignore[method-assign]

    def kill(self, power: bool) -> None:
        """The server's process ends, by itself or with the machine; another one begins on what is left."""
        self.note(f"killed, power {power}")
        self.count["power cuts" if power else "kills"] += 1
        self.disk.dead = True
        self.server.kill(power=power)
        gone = {served for served in self.links if served.closed and not served.core.requestor}
        self.links = [link for link in self.links if link not in gone]
        self.generators.clear()
        fault, self.disk.fault = self.disk.fault, None
        self.disk.restart(power=power)
        self.check_objects()
        self.begin_serving()
        self.disk.fault = fault

    def run(self) -> World:
        logger = logging.getLogger("dicomcore")
        level = logger.level
        logger.setLevel(logging.CRITICAL + 1)
        try:
            with installed(self.disk):
                fault, self.disk.fault = self.disk.fault, None
                self.begin_serving()
                self.disk.fault = fault
                self._invite()
                self._go_on()
                self._check()
        except Exception as error:
            if not isinstance(error, Broken):
                self.failures.append(f"{type(error).__name__}: {error}")
            raise Broken(self.report()) from error
        finally:
            logger.setLevel(level)
        if self.failures:
            raise Broken(self.report())
        return self

    def report(self) -> str:
        lines = "\n".join(self.trace)
        return f"{lines}\nseed {self.seed} ({self.durability}): {'; '.join(self.failures)}\n{dict(self.count)}"

    def _go_on(self) -> None:
        network = self.network
        while True:
            try:
                if self.kill_at is not None and network.steps >= self.kill_at:
                    self.kill_at = None
                    raise ProcessKilled
                if not network.step():
                    return
            except ProcessKilled:
                self.kill(self.kill_by == "power")
            if not network.steps % 8:
                self._look()
            if network.now > LONGEST or network.steps > MOST_STEPS:
                open_links = [link for link in self.links if not link.closed]
                states = [(link.plug.fileno(), link.core.state.name, link.operations.running) for link in open_links]
                raise self.broken(f"somebody hangs at {network.now:g} s: {states}")

    def _look(self) -> None:
        """Memory is bounded at all times."""
        for link in self.links:
            if link.core.held_length > BLOCK:
                raise self.broken(f"{link.plug.fileno()} holds {link.core.held_length} bytes")
            if not link.core.requestor and link.core.queued_length > 2 * BLOCK:
                raise self.broken(f"{link.plug.fileno()} has queued {link.core.queued_length} bytes")

    # what must hold

    def check_objects(self) -> None:
        """None visible that is not whole; none acknowledged that is not there."""
        final = self.disk.final()
        for path, data in final.items():
            uid = path.rpartition("/")[2].removesuffix(".dcm")
            if uid in self.made and data not in self.files[uid]:
                raise self.broken(f"{uid} is visible and not whole: {len(data)} bytes")
        for item in self.acknowledged:
            if f"{ROOT}/{item.uid}.dcm" not in final and not self._elsewhere(item):
                raise self.broken(f"{item.uid} was acknowledged and is not there")

    def _elsewhere(self, item: Object) -> bool:
        return any(item.uid in kept.stored for kept in self.lists)

    def _check(self) -> None:
        for link in self.links:
            name = f"{'client' if link.core.requestor else 'server'} {link.operations.peer}"
            if not link.closed or link.core.state is not State.Sta1:
                raise self.broken(f"{name} ends in {link.core.state.name}, closed: {link.closed}")
            operations = link.operations
            if operations.running or operations.inbox or link.orphans or operations.write is not None:
                raise self.broken(f"{name} leaves operations behind: {operations.running}")
            if link.tasks or link.waiting or link.performing:
                raise self.broken(f"{name} leaves users behind")
        for server in self.network.servers.values():
            if server.connections:
                raise self.broken(f"{len(server.connections)} connections are left")
        for generator in self.generators:
            if generator.gi_frame is not None:
                raise self.broken(f"{generator} was not closed")
        for kept in self.lists:
            if kept.open:
                raise self.broken(f"{kept.open} sinks were neither committed nor discarded")
            for uid, data in kept.stored.items():
                if not any(data.endswith(item.body) for item in self.made[uid]):
                    raise self.broken(f"{uid} is stored in memory and not whole")
        if self.disk.opened:
            raise self.broken(f"descriptors are left open: {self.disk.opened}")
        if len(self.disk.temporary()) > self.disk.unlinks_failed:
            raise self.broken(f"temporary files are left: {self.disk.temporary()}")
        self.check_objects()
        self.count["acknowledged"] += len(self.acknowledged)
        self.count["steps"] += self.network.steps

    # clients

    def _invite(self) -> None:
        chance, network = self.random, self.network
        if self.quiet:
            network.later(0.0, lambda: self._client("good"))
            return
        kinds = ("good",) * 6 + (
            "abort",
            "release",
            "cut",
            "cut",
            "deaf",
            "garbage",
            "mutant",
            "silent",
            "half",
            "stay",
        )
        for _ in range(chance.randint(1, 6)):
            kind = chance.choice(kinds)
            network.later(chance.choice((0.0, 1.0, 30.0)) * chance.random(), partial(self._client, kind))
        if chance.random() < 0.4 and not self.kindly:
            self.kill_at = chance.randint(5, 3000)
            self.kill_by = "process" if self.durability == "process" else chance.choice(("process", "power"))
            for _ in range(chance.randint(0, 2)):
                network.later(100.0 + chance.random(), lambda: self._client("good"))

    def _client(self, kind: str) -> None:
        self.count[kind] += 1
        self.note(f"client {kind}")
        if kind in ("garbage", "mutant", "silent"):
            self._bare(kind)
            return
        chance = self.random
        kept = ListStore()
        self.lists.append(kept)
        services = [Counted(StorageSCP(kept, supported={CT: (IMPLICIT,)}), self.generators)]
        window = 1 if self.quiet else chance.choice((1, self.window, 16))
        calling = f"CLIENT{len(self.links)}"
        association = self.network.open(
            self.server,
            lambda value, failure: self._opened(kind, calling, association, failure),
            contexts=[(abstract, (IMPLICIT,)) for abstract in (ECHO, CT, CT, FIND, GET, MOVE)],
            calling_ae=calling,
            called_ae=SERVER,
            window=window,
            services=services,
            roles=[RoleSelection(CT, True, True)],
            limits=self.limits,
            conduct=self.network.conduct if self.quiet else self._conduct(),
        )
        link = association.link
        link.operations.peer = calling
        auditor = Auditor(f"{calling}", self.broken)
        self.watch(link, auditor)
        if self.with_plug is not None:
            self.with_plug(link.plug)
        if kind == "cut":
            plug = chance.choice((link.plug, link.plug.peer))
            plug.cut(chance.choice((0, 300, 3000, 30_000)) + chance.randint(0, 700), chance.choice(CUTS))
        if kind == "deaf" and chance.random() < 0.3:
            link._read = _never  # type: ignore[method-assign]

    def _opened(self, kind: str, calling: str, association: MemoryAssociation, failure: BaseException | None) -> None:
        link = association.link
        if failure is not None:
            self.count[type(failure).__name__] += 1
            self.must_not_fail(kind, failure)
            return
        chance, network = self.random, self.network
        if kind == "deaf":
            link._read = _never  # type: ignore[method-assign]
        by_class: dict[str, list[int]] = {}
        for agreed in association.negotiated.contexts.values():
            by_class.setdefault(agreed.abstract_syntax, []).append(agreed.id)
        pending = [0]

        def done(value: Any, failure: BaseException | None) -> None:
            pending[0] -= 1
            if failure is not None:
                self.count[type(failure).__name__] += 1
                self.must_not_fail(kind, failure)
                if not isinstance(failure, DicomError | OSError | Broken):
                    raise self.broken(f"{failure!r} from a user") from failure
            else:
                self.count[f"{value:04X}"] += 1
            if not pending[0] and kind in ("good", "cut"):
                network.later(0.0, lambda: association.leave())

        names = ["store"] * 3 if self.quiet else chance.choices(OPERATIONS, k=chance.randint(1, 12))
        pending[0] = len(names)
        spread = 0.0 if self.quiet else chance.choice((0.0, 0.0, 2.0, 40.0))
        for name in names:
            network.later(spread * chance.random(), partial(self._operate, name, association, by_class, done))
        if kind in ("abort", "release"):
            delay = chance.choice((0.0, 0.1, 5.0)) * chance.random()
            network.later(delay, lambda: association.leave(aborting=kind == "abort"))
        elif kind == "stay":
            network.later(chance.choice((100.0, 1000.0)), lambda: association.leave())
        elif kind == "half":
            network.later(chance.random() * 5.0, lambda: _half_close(link))
            network.later(2000.0, lambda: association.leave())
        elif kind == "deaf":
            network.later(2000.0, link.close)

    def _operate(
        self,
        name: str,
        association: MemoryAssociation,
        by_class: dict[str, list[int]],
        done: Callable[[Any, BaseException | None], None],
    ) -> None:
        chance = self.random
        calling = association.negotiated.calling_ae
        if name == "echo":
            association.start(c_echo(self, by_class[ECHO][0]), done)
        elif name == "store":
            shared = not self.quiet and chance.random() < 0.1
            item = self.make_object(f"2.25.{self.seed}.{chance.randint(1000, 1002)}" if shared else None)
            self.files[item.uid].add(item.file(calling, SERVER))
            association.start(c_store(self, chance.choice(by_class[CT]), item, self._payload), done)
        elif name == "scu":
            item = self.make_object()
            whole = item.file(calling, SERVER)
            self.files[item.uid].add(whole)
            association.start(_with_scu(self, association, item, whole), done)
        elif name == "mismatch":
            item = self.make_object()
            other = make_object(item.uid + ".9", b"")
            wrong = c_store(self, by_class[CT][0], item, lambda item: other.body)
            association.start(_expect(self, wrong, {0xA900, 0xA700, 0x0110, 0x0111}, item), done)
        elif name == "find":
            mark = chance.randbytes(chance.choice((3, 40)))
            cancels = chance.random() < 0.3
            user: Any = None
            cancel = (lambda: _cancel(association.link, user)) if cancels else None
            user = c_find(self, by_class[FIND][0], chance.choice((0, 1, 5, 60)), mark, cancel, chance.randint(1, 4))
            association.start(user, done)
        else:
            sop_class = GET if name == "C-GET-RQ" else MOVE
            association.start(c_retrieve(self, by_class[sop_class][0], name, chance.randint(0, 4)), done)

    def _payload(self, item: Object) -> Any:
        chance, body = self.random, item.body
        kind = 0 if self.quiet else chance.randint(0, 5)
        if kind == 1:
            middle = chance.randint(0, len(body))
            return [body[:middle], memoryview(body)[middle:]]
        if kind == 2:
            return Payload(body, fails=False)
        if kind == 3 and not self.kindly and chance.random() < 0.1:
            return Payload(body, fails=True)
        return body

    def connect(self) -> Plug:
        return self.network.connect(self.server, self._conduct())

    def work(self) -> None:
        """What a provider has done elsewhere."""

    def _bare(self, kind: str) -> None:
        """A peer that is none."""
        chance, network = self.random, self.network
        plug = self.connect()
        number = plug.fileno()
        self.strangers.add(f"client {number}")
        if kind == "silent":
            data = b""
        elif kind == "garbage" or not self.recorded:
            start = chance.choice((b"", b"\1\0\0\0\0\xff", b"\4\0\xff\xff\xff\xff", b"\1\0\x7f\xff\xff\xff", b"GET / "))
            data = start + chance.randbytes(chance.choice((1, 10, 300, 9000)))
        else:
            # with UIDs of its own, so that its objects are taken for no one else's
            stream = bytearray(chance.choice(self.recorded).replace(b"2.25.%d." % self.seed, b"2.99.%d." % self.seed))
            for _ in range(chance.randint(1, 4)):
                if stream:
                    at = int(len(stream) * chance.random() ** 2)
                    what = chance.randint(0, 4)
                    if what == 0:
                        stream[at] = chance.randint(0, 255)
                    elif what == 1:
                        stream[at : at + 4] = struct.pack(">I", chance.choice((0, 1, 5, 0x7FFFFFFF, 0xFFFFFFFF)))
                    elif what == 2:
                        del stream[at : at + chance.randint(1, 50)]
                    elif what == 3:
                        stream[at:at] = chance.randbytes(chance.randint(1, 20))
                    else:
                        piece = stream[at : at + chance.randint(1, 400)]
                        stream[at:at] = piece
            data = bytes(stream)
        self.count["bare bytes"] += len(data)
        reads = chance.random() < 0.5
        rest = memoryview(data)

        def go_on() -> None:
            nonlocal rest
            if plug.closed:
                return
            try:
                while reads and plug.recv(1 << 16):
                    pass
            except OSError:
                pass
            try:
                while rest:
                    rest = rest[plug.send(rest) :]
            except BlockingIOError:
                return
            except OSError:
                rest = rest[:0]

        plug.wake = go_on
        network.later(0.0, go_on)
        self.note(f"bare {number} {len(data)} {zlib.crc32(data):08x}")
        if chance.random() < 0.5:
            network.later(chance.choice((0.0, 1.0, 100.0)), plug.close)


CUTS: tuple[Literal["reset", "end", "silence"], ...] = ("reset", "end", "silence")
OPERATIONS = ("echo", "store", "store", "store", "store", "scu", "mismatch", "find", "find", "C-GET-RQ", "C-MOVE-RQ")


def _with_scu(world: World, association: MemoryAssociation, item: Object, whole: bytes) -> Generator[Any, Any, int]:
    answer = yield from StorageSCU(association.negotiated).c_store(dcmread(whole))
    if answer.status == 0:
        world.acknowledged.append(item)
    return int(answer.status)


def _expect(world: World, user: Any, statuses: set[int], item: Object) -> Generator[Any, Any, int]:
    status: int = yield from user
    if status not in statuses:
        raise world.broken(f"an object that is not what the command says was answered {status:04X}")
    return status


def _cancel(link: Link, user: Any) -> None:
    for message_id, task in link.tasks.items():
        if task.user is user and message_id in link.exchange.invoked:
            link.exchange.cancel(link.exchange.invoked[message_id][0], message_id)


def _half_close(link: Link) -> None:
    if not link.closed:
        with suppress(OSError):
            link.plug.shutdown(SHUT_WR)


def _never() -> bool:
    return False
