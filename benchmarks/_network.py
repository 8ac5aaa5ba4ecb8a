"""Entrants of the network benchmarks: one server process for all rounds, one user process for each."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from benchmarks._harness import Child, Missing, Run, Sample, dicom_tool

NO_DELAY = {"TCP_NODELAY": "1"}  # without it DCMTK waits 40 ms for acknowledgements, and the comparison says nothing
DCMTK_PDU = 131072  # its greatest

Entrant = Callable[[], AbstractContextManager[Run]]
Files = Callable[[], Path]  # answers the folder with what is to be sent, making it when it is first asked


def _emptied(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()


def python_pair(name: str, files: Files | None, out: Path, pdu: int, count: int, share: int = 1) -> Entrant:
    """Both ends of one of `benchmarks._peers`; only the ``share``-th part of the work is done, and its time scaled."""

    @contextmanager
    def entrant() -> Iterator[Run]:
        if name == "pynetdicom":
            try:
                import pynetdicom  # noqa: F401
            except ImportError:
                raise Missing("pip install pynetdicom") from None
        _emptied(out)
        module = [sys.executable, "-m", "benchmarks._peers"]
        with Child([*module, "server", name, out, str(pdu)]) as server:
            port = server.read_line()
            source = "-" if files is None else os.fspath(files())

            def run() -> Sample:
                for _ in range(5):  # pynetdicom under load now and then ends in an abort of its own; that run is void
                    _emptied(out)
                    server.mark()
                    cpu = server.cpu
                    command = [*module, "user", name, port, source, str(pdu), str(count // share)]
                    done = subprocess.run(command, capture_output=True, text=True, check=False)
                    if done.returncode == 0:
                        break
                    if name != "pynetdicom":
                        raise RuntimeError(done.stderr[-2000:])
                seconds, own_cpu, peak = map(float, done.stdout.split())
                both = own_cpu + server.cpu - cpu
                return Sample(seconds * share, both * share, int(max(peak, server.peak - server.idle)))

            yield run

    return entrant


def dcmtk_pair(files: Files | None, out: Path, pdu: int, count: int) -> Entrant:
    """storescu (or echoscu) to storescp. The start of its user process, some 20 ms, is in its time."""

    @contextmanager
    def entrant() -> Iterator[Run]:
        _emptied(out)
        length = str(min(pdu, DCMTK_PDU))
        user, server_program = dicom_tool("echoscu" if files is None else "storescu"), dicom_tool("storescp")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with Child([server_program, "-od", out, "-pdu", length, str(port)], environment=NO_DELAY) as server:
            for _ in range(200):
                if subprocess.run([dicom_tool("echoscu"), "127.0.0.1", str(port)], capture_output=True).returncode == 0:
                    break
                time.sleep(0.02)
            what = ["--repeat", str(count)] if files is None else ["-pdu", length, "+sd"]
            command = [user, *what, "127.0.0.1", str(port), *([] if files is None else [os.fspath(files())])]

            def run() -> Sample:
                _emptied(out)
                server.mark()
                cpu, start = server.cpu, time.perf_counter()
                process = subprocess.Popen(
                    command, env={**os.environ, **NO_DELAY}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
                _, status, usage = os.wait4(process.pid, 0)
                seconds = time.perf_counter() - start
                process.returncode = os.waitstatus_to_exitcode(status)
                if process.returncode:
                    raise RuntimeError(f"{command[0]} failed with {process.returncode}")
                # The peak of the user process cannot be told: wait4 counts in what this process held when it forked.
                return Sample(seconds, usage.ru_utime + usage.ru_stime + server.cpu - cpu, server.peak - server.idle)

            yield run

    return entrant
