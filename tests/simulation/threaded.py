"""A world whose server and clients are the blocking ones of the package, in simulated threads (`threads`)."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial
from typing import Any
from unittest.mock import patch

import dicomcore.net.server as server_module
from dicomcore.data.files import dcmread
from dicomcore.errors import DicomError
from dicomcore.net.ae import AE
from dicomcore.net.association import Association
from dicomcore.net.memory import Plug
from dicomcore.net.poller import Facilities
from dicomcore.net.provider import ServedConnection
from dicomcore.net.server import Server
from dicomcore.services.storage import StorageSCP
from dicomcore.services.stores import FolderStore
from dicomcore.services.verification import VerificationSCP
from dicomcore.ul import RoleSelection

from .audit import Auditor
from .disk import ROOT, installed
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
    RetrieveSCP,
    c_echo,
    c_find,
    c_retrieve,
    c_store,
)
from .threads import Task, Threads
from .threads import installed as threads_installed
from .world import CUTS, MOST_STEPS, OPERATIONS, SERVER, Broken, World

PORT = 11112
LONGEST = 24 * 3600.0
FACILITIES = Facilities(epoll=False, poll=True, eventfd=False, sendmsg=True, pump=False)


class ThreadedWorld(World):
    """The same invariants, over `AE.serve` and `AE.associate`."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        chance = self.random
        self.threads = Threads(self.network, chance.choice((0.0, 0.05, 0.3, 0.7)))
        self.threads.conduct = self._conduct
        self.threads.made = self._made
        self.latency = chance.choice(((0.0, 0.0), (0.0, 0.01), (0.0, 2.0), (0.0, 40.0))[: 2 if self.kindly else 4])
        self.disk_latency = chance.choice(((0.0, 0.0), (0.0, 0.001), (0.0, 1.0))[: 2 if self.kindly else 3])
        self.disk.log = self._disk_at_work
        self.servers: list[Server] = []
        self.served: list[ServedConnection] = []
        self.associations: list[Association] = []
        self.restarts = 0

    def _disk_at_work(self, what: str) -> None:
        self.note(f"disk {what.rpartition('/')[2]}")
        if self.disk_latency[1]:
            self.threads.pause(self.network.between(self.disk_latency))

    def work(self) -> None:
        self.threads.pause(self.network.between(self.latency))

    def _made(self, near: Plug, far: Plug) -> None:
        for plug in (near, far):
            plug.tap = partial(self._tap, plug.fileno())

    def _tap(self, number: int, data: bytes) -> None:
        self.note(f"wire {number} {len(data)}")

    def connect(self) -> Plug:
        plug = self.threads.connect("", PORT, 10.0)
        self.threads.plugs[plug.fileno()] = plug
        return plug

    # life

    def run(self) -> World:
        logger = logging.getLogger("dicomcore")
        level = logger.level
        logger.setLevel(logging.CRITICAL + 1)
        threads = self.threads
        director = Task(threads, self._direct, (), "director")
        served = self.served

        class Known(ServedConnection):
            def __init__(self, *arguments: Any, **options: Any) -> None:
                super().__init__(*arguments, **options)
                served.append(self)

        try:
            with (
                installed(self.disk),
                threads_installed(threads),
                patch.object(server_module, "ServedConnection", Known),
            ):
                try:
                    director.start()
                    while not director.over:
                        if not self.network.step():
                            raise self.broken("nothing more happens")
                        if self.network.now > LONGEST or self.network.steps > MOST_STEPS:
                            raise self.broken(f"somebody hangs at {self.network.now:g} s")
                        if not self.network.steps % 8:
                            self._look()
                    self._check()
                finally:
                    threads.end()
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
        alive = [task.name for task in self.threads.tasks if not task.over]
        return f"{super().report()}\n{alive}"

    def _direct(self) -> None:
        chance, threads = self.random, self.threads
        fault, self.disk.fault = self.disk.fault, None
        store = FolderStore(ROOT, durability=self.durability, duplicates=self.duplicates)
        after = (lambda stored: self.work()) if chance.random() < 0.3 else None
        storage = StorageSCP(store, supported={CT: (IMPLICIT,)}, on_stored=after)
        services: list[Any] = [
            Counted(VerificationSCP(), self.generators, prompt=True, at_once=self.at_once),
            Counted(storage, self.generators, prompt=storage.prompt, at_once=self.at_once),
            Counted(FindSCP(self), self.generators),
            Counted(RetrieveSCP(self), self.generators),
        ]
        kept = ListStore()
        self.lists.append(kept)
        there: list[Any] = [
            Counted(VerificationSCP(), self.generators),
            Counted(StorageSCP(kept, supported={CT: (IMPLICIT,)}), self.generators),
        ]
        workers = chance.choice((1, 2, 3, 8))
        for port, offered in ((PORT, services), (104, there)):
            ae = AE(SERVER if port == PORT else "ARCHIVE", limits=self.limits, facilities=FACILITIES)
            server = ae.serve(port, services=offered, workers=workers, window=self.window, roles={CT: (True, True)})
            self.servers.append(server)
        self.disk.fault = fault
        kinds = ("good",) * 6 + ("abort", "cut", "cut", "deaf", "garbage", "mutant", "silent", "stay", "other")
        clients = []
        for number in range(chance.randint(1, 5)):
            kind = chance.choice(kinds)
            task = Task(threads, self._come, (kind, number), f"client {number} {kind}")
            clients.append(task)
            task.start()
        early = chance.random() < 0.15 and not self.kindly
        if early:
            threads.pause(chance.choice((0.1, 10.0)) * chance.random())
        else:
            for task in clients:
                task.join()
            if chance.random() < 0.3:
                threads.pause(2 * 3600.0)  # everything that idles is over by then
                for server in self.servers:
                    if server.connection_count:
                        raise self.broken(f"connections idle for ever: {told(server._connections.values())}")
        for server in self.servers:
            server.close(chance.choice((0.0, 5.0, 200.0)))
            self.note("a server is closed")
        for task in clients:
            task.join()
        threads.pause(3600.0)  # providers that were at work when the server gave them up have ended

    def _look(self) -> None:
        for connection in self.served:
            if connection.core.queued_length > 1 << 19:
                raise self.broken(f"{connection.fd} has queued {connection.core.queued_length} bytes")

    def _check(self) -> None:
        for server in self.servers:
            left = [connection for connection in server._connections.values() if connection.sock.fileno() >= 0]
            if left:
                raise self.broken(f"{len(left)} connections are left")
        for connection in self.served:
            if not connection.sock.fileno() < 0:
                raise self.broken(f"the socket of {connection.fd} is open")
            if connection.operations.running or connection.orphans:
                raise self.broken(f"operations are left: {told([connection])}")
            if connection.lent or connection.performers:
                raise self.broken(f"{connection.fd}: lent {connection.lent}, {connection.performers} performers")
        for association in self.associations:
            if association._connection.sock.fileno() >= 0:
                raise self.broken(f"an association is left open: {association}")
        late = [task.name for task in self.threads.tasks if not task.over]
        if late:
            raise self.broken(f"threads are left: {late}")
        super()._check()

    # clients

    def _come(self, kind: str, number: int) -> None:
        chance, threads = self.random, self.threads
        self.count[kind] += 1
        threads.pause(chance.choice((0.0, 1.0, 30.0)) * chance.random())
        if kind in ("garbage", "mutant", "silent", "deaf"):
            try:
                self._bare("garbage" if kind == "deaf" else kind)
            except DicomError:
                self.count["not served"] += 1
            return
        calling = f"CLIENT{number}"
        kept = ListStore()
        self.lists.append(kept)
        services = [Counted(StorageSCP(kept, supported={CT: (IMPLICIT,)}), self.generators)]
        ae = AE(calling, limits=self.limits, facilities=FACILITIES)
        made, recorded = threads.made, bytearray()
        auditors: list[Auditor] = []

        def watch(near: Plug, far: Plug) -> None:
            threads.made = made
            self.recorded.append(recorded)
            for plug, name in ((near, calling), (far, f"server to {calling}")):
                auditor = Auditor(name, self.broken)
                auditors.append(auditor)
                plug.tap = partial(self._audited, plug.fileno(), auditor, recorded if plug is near else None)
            if kind == "cut":
                plug = chance.choice((near, far))
                plug.cut(chance.choice((0, 300, 3000, 30_000)) + chance.randint(0, 700), chance.choice(CUTS))

        threads.made = watch
        association: Association | None = None
        try:
            association = ae.associate(
                "server",
                PORT,
                called_ae=SERVER,
                contexts=[(abstract, (IMPLICIT,)) for abstract in (ECHO, CT, CT, FIND, GET, MOVE)],
                window=chance.choice((1, self.window, 16)),
                services=services,
                roles=[RoleSelection(CT, True, True)],
            )
            self.associations.append(association)
            if kind == "abort":
                stops = Task(threads, self._abort, (association,), "aborter")
                stops.start()
            self._use(kind, calling, association)
            if kind == "stay":
                threads.pause(chance.choice((100.0, 1000.0)))
            association.release()
        except (DicomError, OSError) as error:
            self.count[type(error).__name__] += 1
            self.must_not_fail(kind, error)
        finally:
            threads.made = made
            if association is not None:
                association.abort()

    def _audited(self, number: int, auditor: Auditor, recorded: bytearray | None, data: bytes) -> None:
        self._tap(number, data)
        if recorded is not None and len(recorded) < 20_000:
            recorded.extend(data)
        auditor(data)

    def _abort(self, association: Association) -> None:
        self.threads.pause(self.random.choice((0.0, 0.1, 5.0)) * self.random.random())
        association.abort()

    def _use(self, kind: str, calling: str, association: Association) -> None:
        chance = self.random
        by_class: dict[str, list[int]] = {}
        for agreed in association.negotiated.contexts.values():
            by_class.setdefault(agreed.abstract_syntax, []).append(agreed.id)
        for name in chance.choices((*OPERATIONS, "many", "wait"), k=chance.randint(1, 10)):
            user: Any
            if name == "many":
                self._store_many(calling, association)
                continue
            if name == "wait":
                association.wait(chance.choice((0.1, 10.0)))
                continue
            if name == "echo":
                user = c_echo(self, by_class[ECHO][0])
            elif name in ("store", "mismatch"):
                shared = chance.random() < 0.1
                item = self.make_object(f"2.25.{self.seed}.{chance.randint(1000, 1002)}" if shared else None)
                self.files[item.uid].add(item.file(calling, SERVER))
                user = c_store(self, chance.choice(by_class[CT]), item, self._payload)
            elif name == "scu":
                item = self.make_object()
                whole = item.file(calling, SERVER)
                self.files[item.uid].add(whole)
                status = association.c_store(dcmread(whole))
                if status == 0:
                    self.acknowledged.append(item)
                self.count[f"{status:04X}"] += 1
                continue
            elif name == "find":
                mark = chance.randbytes(chance.choice((3, 40)))
                user = c_find(self, by_class[FIND][0], chance.choice((0, 1, 5, 60)), mark)
            else:
                user = c_retrieve(self, by_class[GET if name == "C-GET-RQ" else MOVE][0], name, chance.randint(0, 4))
            status = association.perform(user)
            self.count[f"{status:04X}"] += 1

    def _store_many(self, calling: str, association: Association) -> None:
        items = {}
        datasets = []
        for _ in range(self.random.randint(1, 12)):
            item = self.make_object()
            whole = item.file(calling, SERVER)
            self.files[item.uid].add(whole)
            dataset = dcmread(whole)
            items[id(dataset)] = item
            datasets.append(dataset)
        for result in association.c_store_many(datasets, window=self.random.choice((1, 4, 16))):
            if result.status == 0:
                self.acknowledged.append(items[id(result.source)])
            if result.error is None:
                self.count[f"{result.status:04X}"] += 1


def told(connections: Iterable[ServedConnection]) -> str:
    """All that one has to know of these."""
    return "; ".join(
        f"{c.fd} {c.core.state.name} over={c.over} ended={c.ended} parting={c.parting} lent={c.lent} "
        f"performers={c.performers} deadline={c.deadline} timer={c.timer_at} empty={c.outbox.empty} "
        f"orphans={len(c.orphans)} inbox={len(c.inbox)} running="
        f"{[(o.request.command.name, o.waits, o.body_open, o.answered, o.over) for o in c.operations.running.values()]}"
        for c in connections
    )
