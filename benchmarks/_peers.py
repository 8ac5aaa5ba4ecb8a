"""Both ends of the network benchmarks as processes: ours, pynetdicom's, pydcm's, and a loop over Python's ssl.

``python -m benchmarks._peers server NAME FOLDER OPTIONS`` serves until it is ended and prints its port; ``... user NAME
PORT FOLDER OPTIONS`` sends what is in the folder, or does ``count`` of what it is for when that is "-", and prints
seconds, CPU seconds and bytes of peak memory above idle. OPTIONS is a `_network.Wire` as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Generator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

CT = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION = "1.2.840.10008.1.1"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
BLOCK = 256 * 1024
READ = ("SOPInstanceUID", "PatientName", "SOPClassUID", "Rows", "PatientID")  # what a handler looks at
CERTIFICATE = Path(__file__).resolve().parent.parent / "build" / "benchmarks" / "loopback.pem"  # with its key

Wire = Any  # a namespace with the fields of _network.Wire
Work = Callable[[], None]


# -- ours --------------------------------------------------------------------------------------------------------------


def _found(number: int) -> Any:
    """A study of ten elements."""
    from dicomcore import Dataset

    row = Dataset()
    row.SpecificCharacterSet = "ISO_IR 100"
    row.StudyDate = "20240131"
    row.StudyTime = "120000"
    row.AccessionNumber = "A12345"
    row.QueryRetrieveLevel = "STUDY"
    row.StudyDescription = "Thorax with contrast"
    row.PatientName = "Phantom^Findable"
    row.PatientID = f"P{number}"
    row.StudyInstanceUID = f"1.2.826.0.1.3680043.10.1.{number}"
    row.StudyID = "S1"
    return row


class Finder:
    """A C-FIND provider that answers everything with as many studies: one prepared, or each a new one."""

    def __init__(self, responses: int, new: bool) -> None:
        from dicomcore.dimse.command import CommandField
        from dicomcore.services.messages import Prepared

        self.supported = {FIND: (EXPLICIT, IMPLICIT)}
        self.commands = frozenset({CommandField.C_FIND_RQ})
        self._responses = responses
        self._prepared = None if new else Prepared(_found(1))

    def handle(self, request: Any, context: Any) -> Generator[Any, Any, None]:
        from dicomcore.services.base import Response
        from dicomcore.services.messages import received_dataset

        yield from received_dataset(request, context)
        for number in range(self._responses):
            yield Response(0xFF00, self._prepared or _found(number))
        yield Response(0)


def _look(dataset: Any, _: object = None) -> int:
    for keyword in READ:
        getattr(dataset, keyword, None)
    return 0


def _services(name: str, folder: str, wire: Wire) -> list[Any]:
    from dicomcore.services.storage import StorageSCP
    from dicomcore.services.verification import VerificationSCP

    if name in ("own-handler", "own-memory"):
        return [StorageSCP(handler=_look), VerificationSCP()]
    finders = [Finder(wire.responses, name == "own-find-new")] if wire.responses else []
    return [StorageSCP(folder, durability=wire.durability), VerificationSCP(), *finders]


def _limits(wire: Wire) -> Any:
    from dicomcore import Limits

    return Limits(pdu_length=wire.pdu, association_count=2000, peer_association_count=2000)


def own_server(name: str, folder: str, wire: Wire) -> None:
    from dicomcore import AE

    ae = AE("SERVER", limits=_limits(wire))
    tls = None
    if name == "own-tls":
        from dicomcore.net.tls import server_context

        tls = server_context(certificate=CERTIFICATE)
    services = _services(name, folder, wire)
    with ae.serve(0, host="127.0.0.1", services=services, window=wire.window, tls=tls) as server:
        print(server.port, flush=True)
        server.wait()


def own_aio_server(name: str, folder: str, wire: Wire) -> None:
    from dicomcore.aio import AE

    async def serve() -> None:
        ae = AE("SERVER", limits=_limits(wire))
        services = _services(name, folder, wire)
        async with ae.serve(0, host="127.0.0.1", services=services, window=wire.window) as server:
            print(server.port, flush=True)
            await server.wait()

    asyncio.run(serve())


def own_user(name: str, port: int, paths: list[str], wire: Wire) -> Work:
    from dicomcore import AE

    tls = None
    if name == "own-tls":
        from dicomcore.net.tls import client_context

        tls = client_context(verify=False)
    ae = AE("USER", limits=_limits(wire))
    contexts: Any = paths[:1] or (FIND if wire.responses else VERIFICATION)

    def work(mine: list[str]) -> None:
        with ae.associate("127.0.0.1", port, contexts=contexts, window=wire.window, tls=tls) as association:
            for result in association.c_store_many(mine, window=wire.window):
                assert result.status == 0, str(result)
            if wire.responses:
                for _ in range(wire.count):
                    found = association.c_find({"QueryRetrieveLevel": "STUDY", "PatientID": ""}, FIND)
                    assert sum(row.PatientID != "" for _, row in found if row is not None) == wire.responses
            elif not mine:
                for _ in range(wire.count):
                    assert association.c_echo() == 0

    return _shared(work, paths, wire.associations)


def own_associate(name: str, port: int, paths: list[str], wire: Wire) -> Work:
    """Nothing but associations."""
    from dicomcore import AE

    ae = AE("USER", limits=_limits(wire))

    def work(mine: list[str]) -> None:
        for _ in range(wire.count // wire.associations):
            ae.associate("127.0.0.1", port).release()

    return _shared(work, [], wire.associations)


def own_aio_user(name: str, port: int, paths: list[str], wire: Wire) -> Work:
    from dicomcore.aio import AE

    ae = AE("USER", limits=_limits(wire))

    async def one(mine: list[str]) -> None:
        contexts: Any = mine[:1] or VERIFICATION
        async with ae.associate("127.0.0.1", port, contexts=contexts, window=wire.window) as association:
            async for result in association.c_store_many(mine, window=wire.window):
                assert result.status == 0, str(result)
            if not mine:
                for _ in range(wire.count):
                    assert await association.c_echo() == 0

    async def all_of_them() -> None:
        await asyncio.gather(*(one(paths[at :: wire.associations]) for at in range(wire.associations)))

    return lambda: asyncio.run(all_of_them())


def _shared(work: Callable[[list[str]], None], paths: list[str], associations: int) -> Work:
    """The work in as many threads, each with its part of the files."""
    if associations == 1:
        return lambda: work(paths)

    def run() -> None:
        failures: list[BaseException] = []

        def one(mine: list[str]) -> None:
            try:
                work(mine)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=one, args=(paths[at::associations],)) for at in range(associations)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]

    return run


# -- pynetdicom --------------------------------------------------------------------------------------------------------


def pynetdicom_server(name: str, folder: str, wire: Wire) -> None:
    from pydicom import Dataset
    from pynetdicom import AE, evt

    def store(event: Any) -> int:
        # Its quickest way to a file: the received bytes, not decoded.
        with open(os.path.join(folder, event.request.AffectedSOPInstanceUID + ".dcm"), "wb") as file:
            file.write(event.encoded_dataset())
        return 0

    row = Dataset()
    row.PatientName, row.PatientID, row.StudyInstanceUID = "Phantom^Findable", "P1", "1.2.826.0.1.3680043.10.1.1"
    row.StudyDate, row.StudyTime, row.AccessionNumber = "20240131", "120000", "A12345"
    row.QueryRetrieveLevel, row.StudyDescription, row.StudyID = "STUDY", "Thorax with contrast", "S1"
    row.SpecificCharacterSet = "ISO_IR 100"

    def find(event: Any) -> Generator[Any, None, None]:
        for _ in range(wire.responses):
            yield 0xFF00, row

    ae = AE("SERVER")
    ae.maximum_pdu_size = wire.pdu
    ae.maximum_associations = 100
    ae.add_supported_context(VERIFICATION)
    ae.add_supported_context(CT, EXPLICIT)
    ae.add_supported_context(FIND)
    handlers: Any = [(evt.EVT_C_STORE, store), (evt.EVT_C_FIND, find)]
    server: Any = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    print(server.socket.getsockname()[1], flush=True)
    server.serve_forever()


def pynetdicom_user(name: str, port: int, paths: list[str], wire: Wire) -> Work:
    from pydicom import Dataset
    from pynetdicom import AE

    ae = AE("USER")
    ae.add_requested_context(VERIFICATION)
    ae.add_requested_context(CT, EXPLICIT)
    ae.add_requested_context(FIND)
    query = Dataset()
    query.QueryRetrieveLevel, query.PatientID = "STUDY", ""

    def work() -> None:
        association = ae.associate("127.0.0.1", port, max_pdu=wire.pdu)
        assert association.is_established
        for path in paths:
            assert association.send_c_store(path).Status == 0
        for _ in range(0 if paths else wire.count):
            if wire.responses:
                found = association.send_c_find(query, FIND)
                assert sum(row.PatientID != "" for _, row in found if row is not None) == wire.responses
            else:
                assert association.send_c_echo().Status == 0
        association.release()

    return work


# -- pydcm -------------------------------------------------------------------------------------------------------------


def pydcm_server(name: str, folder: str, wire: Wire) -> None:
    dimse: Any = import_module("pydcm.dimse")
    row: Any = import_module("pydcm.dataset").Dataset()
    for keyword, value in {
        "PatientName": "Phantom^Findable",
        "PatientID": "P1",
        "StudyInstanceUID": "1.2.826.0.1.3680043.10.1.1",
        "StudyDate": "20240131",
        "StudyTime": "120000",
        "AccessionNumber": "A12345",
        "QueryRetrieveLevel": "STUDY",
        "StudyDescription": "Thorax with contrast",
        "StudyID": "S1",
        "SpecificCharacterSet": "ISO_IR 100",
    }.items():
        setattr(row, keyword, value)

    def find(event: Any) -> Generator[Any, None, None]:
        for _ in range(wire.responses):
            yield 0xFF00, row

    ae = dimse.AE("SERVER")
    ae.maximum_pdu_size = wire.pdu
    ae.maximum_associations = 100
    ae.add_supported_context(VERIFICATION)
    ae.add_supported_context(CT, [EXPLICIT])
    ae.add_supported_context(FIND)
    handlers = [(dimse.evt.EVT_C_STORE, lambda event: _look(event.dataset)), (dimse.evt.EVT_C_FIND, find)]
    place = None if name == "pydcm-handler" else folder
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers, store_dir=place)
    print(server.bound_port, flush=True)
    server.serve_forever()


def pydcm_user(name: str, port: int, paths: list[str], wire: Wire) -> Work:
    ae = import_module("pydcm.dimse").AE("USER")
    ae.add_requested_context(VERIFICATION)
    ae.add_requested_context(CT, [EXPLICIT])
    ae.add_requested_context(FIND)
    ae.maximum_pdu_size = wire.pdu
    query = import_module("pydcm.dataset").Dataset()
    query.QueryRetrieveLevel, query.PatientID = "STUDY", ""

    def work(mine: list[str]) -> None:
        association = ae.associate("127.0.0.1", port, max_pdu=wire.pdu, ae_title="SERVER")
        assert association.is_established
        if mine:
            assert association.send_c_store_files(mine)["succeeded"] == len(mine)
        for _ in range(0 if mine else wire.count):
            if wire.responses:
                found = association.send_c_find(query, FIND)
                assert sum(row.PatientID != "" for _, row in found if row is not None) == wire.responses
            else:
                assert association.send_c_echo().Status == 0
        association.release()

    return _shared(work, paths, wire.associations)


# -- a loop over ssl: a length in 8 bytes, the bytes; answered by 8 bytes when the file has its name -------------------


def ssl_server(name: str, folder: str, wire: Wire) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    block = memoryview(bytearray(BLOCK))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            plain, _ = listener.accept()
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with context.wrap_socket(plain, server_side=True) as sock:
                number = 0
                while head := sock.recv(8):
                    left = int.from_bytes(head, "big")
                    temporary, number = os.path.join(folder, ".part"), number + 1
                    with open(temporary, "wb", buffering=0) as file:
                        while left:
                            count = sock.recv_into(block, min(left, BLOCK))
                            file.write(block[:count])
                            left -= count
                    os.rename(temporary, os.path.join(folder, f"{number}.dcm"))
                    sock.sendall(head)


def ssl_user(name: str, port: int, paths: list[str], wire: Wire) -> Work:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    block = memoryview(bytearray(BLOCK))

    def work() -> None:
        with socket.create_connection(("127.0.0.1", port)) as plain, context.wrap_socket(plain) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for path in paths:
                with open(path, "rb", buffering=0) as file:
                    sock.sendall(os.fstat(file.fileno()).st_size.to_bytes(8, "big"))
                    while count := file.readinto(block):
                        sock.sendall(block[:count])
                assert len(sock.recv(8)) == 8

    return work


# -- a proxy that takes its time ---------------------------------------------------------------------------------------


def proxy(port: int, delay: float) -> None:
    """Passes bytes on ``delay`` seconds after they came, in both directions, however many there are."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while block := await reader.read(1 << 18):
            loop.call_later(delay, writer.write, block)
        loop.call_later(delay, writer.close)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, there_writer), pump(there_reader, writer))

    async def serve() -> None:
        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    asyncio.run(serve())


SERVERS: dict[str, Callable[[str, str, Wire], None]] = {
    "own": own_server,
    "own-handler": own_server,
    "own-memory": own_server,
    "own-find": own_server,
    "own-find-new": own_server,
    "own-tls": own_server,
    "own-aio": own_aio_server,
    "pynetdicom": pynetdicom_server,
    "pydcm": pydcm_server,
    "pydcm-handler": pydcm_server,
    "ssl": ssl_server,
}
USERS: dict[str, Callable[[str, int, list[str], Wire], Work]] = {
    "own": own_user,
    "own-associate": own_associate,
    "own-tls": own_user,
    "own-aio": own_aio_user,
    "pynetdicom": pynetdicom_user,
    "pydcm": pydcm_user,
    "ssl": ssl_user,
}


def _memory(key: str) -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(key))


def main() -> None:
    role, name, *rest = sys.argv[1:]
    if role == "proxy":
        proxy(int(name), float(rest[0]))
        return
    wire = SimpleNamespace(**json.loads(rest[-1]))
    if role == "server":
        SERVERS[name](name, rest[0], wire)
        return
    port, folder = int(rest[0]), rest[1]
    paths = [] if folder == "-" else [str(path) for path in sorted(Path(folder).iterdir())]
    work = USERS[name](name, port, paths, wire)
    idle = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    start, cpu = time.perf_counter(), time.process_time()
    work()
    print(time.perf_counter() - start, time.process_time() - cpu, _memory("VmHWM") - idle)


if __name__ == "__main__":
    main()
