"""Both ends of the network benchmarks as processes: ours, pynetdicom's, and the bare C of `floor.c`.

``python -m benchmarks._peers SERVER FOLDER PDU`` serves until it is ended and prints its port;
``... USER PORT FOLDER PDU COUNT`` sends what is in the folder (or COUNT echoes, when the folder is "-") and prints
seconds, CPU seconds and bytes of peak memory above idle.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks._floor import floor

CT = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION = "1.2.840.10008.1.1"
EXPLICIT = "1.2.840.10008.1.2.1"


# servers


def own_server(folder: str, pdu: int) -> None:
    from dicomcore import Limits
    from dicomcore.net import AE
    from dicomcore.services.storage import StorageSCP
    from dicomcore.services.verification import VerificationSCP

    ae = AE("SERVER", limits=Limits(pdu_length=pdu))
    with ae.serve(0, host="127.0.0.1", services=[StorageSCP(folder), VerificationSCP()]) as server:
        print(server.port, flush=True)
        server.wait()


def pynetdicom_server(folder: str, pdu: int) -> None:
    from pynetdicom import AE, evt

    def store(event: Any) -> int:
        # Its quickest way to a file: the received bytes, not decoded.
        with open(os.path.join(folder, event.request.AffectedSOPInstanceUID), "wb") as file:
            file.write(event.encoded_dataset())
        return 0

    ae = AE("SERVER")
    ae.maximum_pdu_size = pdu
    ae.add_supported_context(VERIFICATION)
    ae.add_supported_context(CT, EXPLICIT)
    server: Any = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    print(server.socket.getsockname()[1], flush=True)
    server.serve_forever()


def bare_server(folder: str, pdu: int) -> None:
    limit = floor()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            sock, _ = listener.accept()
            with sock:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                limit.serve(sock.fileno(), folder)


# users; each answers the function that does the work


def own_user(port: int, paths: list[str], pdu: int, count: int) -> Callable[[], None]:
    from dicomcore import Limits
    from dicomcore.net import AE

    ae = AE("USER", limits=Limits(pdu_length=pdu))

    def work() -> None:
        with ae.associate("127.0.0.1", port, contexts=paths[:1] or None) as association:
            for result in association.c_store_many(paths):
                assert result.status == 0, str(result)
            for _ in range(count):
                assert association.c_echo() == 0

    return work


def pynetdicom_user(port: int, paths: list[str], pdu: int, count: int) -> Callable[[], None]:
    from pynetdicom import AE

    ae = AE("USER")
    ae.add_requested_context(VERIFICATION)
    ae.add_requested_context(CT, EXPLICIT)

    def work() -> None:
        association = ae.associate("127.0.0.1", port, max_pdu=pdu)
        assert association.is_established
        for path in paths:
            assert association.send_c_store(path).Status == 0
        for _ in range(count):
            assert association.send_c_echo().Status == 0
        association.release()

    return work


def bare_user(port: int, paths: list[str], pdu: int, count: int) -> Callable[[], None]:
    limit = floor()

    def work() -> None:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for path in paths:
                limit.ask(sock.fileno(), path)
            for _ in range(count):
                limit.ask(sock.fileno(), None)

    return work


SERVERS = {"own": own_server, "pynetdicom": pynetdicom_server, "bare": bare_server}
USERS = {"own": own_user, "pynetdicom": pynetdicom_user, "bare": bare_user}


def _memory(key: str) -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(key))


def main() -> None:
    role, name, *rest = sys.argv[1:]
    if role == "server":
        SERVERS[name](rest[0], int(rest[1]))
        return
    port, folder, pdu, count = int(rest[0]), rest[1], int(rest[2]), int(rest[3])
    paths = [] if folder == "-" else [str(path) for path in sorted(Path(folder).iterdir())[: count or None]]
    work = USERS[name](port, paths, pdu, 0 if paths else count)
    idle = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    start, cpu = time.perf_counter(), time.process_time()
    work()
    print(time.perf_counter() - start, time.process_time() - cpu, _memory("VmHWM") - idle)


if __name__ == "__main__":
    main()
