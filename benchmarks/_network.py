"""Entrants of the network benchmarks: one server process for all rounds, one user process for each.

A `Server` is a context manager factory that yields a port and a `Child`; a `User` answers the command of a process.
`pair` joins them. Our ends, pynetdicom's and pydcm's live in `_peers.py`, the bare C ones in `floor_wire.c`; DCMTK and
Orthanc are programs. ``pinned`` runs both ends on one core, which takes the waking of idle cores out of the figures.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from benchmarks._harness import FLOOR, OWN, ROOT, Child, Missing, Run, Sample, dicom_tool

__all__ = [
    "FLOOR",
    "OURS_312",
    "PYDCM",
    "Entrant",
    "Files",
    "Server",
    "User",
    "Wire",
    "dcmqrscp",
    "dcmtk",
    "far",
    "floor_server",
    "floor_user",
    "orthanc",
    "pair",
    "peer",
    "same_python",
    "storescp",
    "user",
]

PYDCM, OURS_312 = "pydcm, Python 3.12", f"{OWN}, Python 3.12"
NO_DELAY = {"TCP_NODELAY": "1"}  # without it DCMTK waits 40 ms for acknowledgements, and the comparison says nothing
DCMTK_PDU = 131072  # its greatest
PYTHON_312 = ROOT / "build" / "benchmarks" / "py312" / "bin" / "python"
INSTALL_312 = (
    "python3.12 -m venv build/benchmarks/py312 && "
    "build/benchmarks/py312/bin/pip install setuptools Cython numpy pydcm -e . (pydcm needs Python 3.12)"
)


@dataclass(frozen=True, slots=True)
class Wire:
    """What both ends are told; the rest is the same for all."""

    pdu: int = 131072
    window: int = 1
    associations: int = 1  # at a time
    count: int = 0  # of echoes, associations or queries, when no files are sent
    responses: int = 0  # to each query
    durability: str = "process"


Files = Callable[[], Path]  # answers the folder with what is to be sent, making it when it is first asked
Server = Callable[[Path, Wire], AbstractContextManager[tuple[int, Child]]]
User = Callable[[int, "Path | None", Wire], Sequence[str]]
Entrant = Callable[[], AbstractContextManager[Run]]


def same_python(entrants: Iterable[str]) -> dict[str, str]:
    """`Contest.subjects`: against pydcm stands the one of ours that runs under its Python."""
    return {name: OURS_312 for name in entrants if name.startswith(PYDCM)}


def emptied(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _python(name: str) -> str:
    """The interpreter of a peer: pydcm, and ours beside it, run under Python 3.12."""
    if name.startswith("pydcm") or name.endswith("@3.12"):
        return _python_312()
    if name == "pynetdicom":
        try:
            import pynetdicom  # noqa: F401
        except ImportError:
            raise Missing("pip install pynetdicom") from None
    return sys.executable


@cache
def _python_312() -> str:
    """Python 3.12, for which the kernels are up to date."""
    if not PYTHON_312.exists():
        raise Missing(INSTALL_312)
    command = [os.fspath(PYTHON_312), "setup.py", "-q", "build_ext", "--inplace"]
    if subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode:
        raise Missing(INSTALL_312)
    return os.fspath(PYTHON_312)


@cache
def floor_program() -> str:
    """`floor_wire.c`, compiled once into build/."""
    source, program = Path(__file__).with_name("floor_wire.c"), ROOT / "build" / "benchmarks" / "floor_wire"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            raise Missing("apt-get install gcc")
        program.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([compiler, "-O2", "-pthread", "-o", program, source], check=True)
    return os.fspath(program)


# -- servers -----------------------------------------------------------------------------------------------------------


def peer(name: str) -> Server:
    """A server of `_peers.SERVERS`; "NAME@3.12" runs it under Python 3.12."""

    @contextmanager
    def server(folder: Path, wire: Wire) -> Iterator[tuple[int, Child]]:
        plain = name.removesuffix("@3.12")
        told = [os.fspath(folder), json.dumps(asdict(wire))]
        command = [_python(name), "-m", "benchmarks._peers", "server", plain, *told]
        with Child(command) as child:
            yield int(child.read_line()), child

    return server


@contextmanager
def floor_server(folder: Path, wire: Wire) -> Iterator[tuple[int, Child]]:
    options = [str(wire.pdu), str(wire.window), str(wire.responses), wire.durability]
    with Child([floor_program(), "serve", os.fspath(folder), *options]) as child:
        yield int(child.read_line()), child


@contextmanager
def _program(command: Sequence[str | os.PathLike[str]], port: int) -> Iterator[tuple[int, Child]]:
    """A program that listens on a port that it was told, once it does."""
    with Child(command, environment=NO_DELAY) as child:
        for _ in range(250):
            if (
                subprocess.run(
                    [dicom_tool("echoscu"), "-aec", "SERVER", "127.0.0.1", str(port)], capture_output=True
                ).returncode
                == 0
            ):
                break
            time.sleep(0.02)
        else:
            raise Missing(f"{command[0]} does not answer an echo")
        yield port, child


@contextmanager
def storescp(folder: Path, wire: Wire) -> Iterator[tuple[int, Child]]:
    port = _free_port()
    options = ["-od", os.fspath(folder), "-pdu", str(min(wire.pdu, DCMTK_PDU)), str(port)]  # one process: see its CPU
    with _program([dicom_tool("storescp"), *options], port) as found:
        yield found


def dcmqrscp(files: Files) -> Server:
    """A query server that knows these files."""

    @contextmanager
    def server(folder: Path, wire: Wire) -> Iterator[tuple[int, Child]]:
        port, area = _free_port(), folder / "area"
        area.mkdir()
        names = [os.fspath(shutil.copy(path, area)) for path in sorted(files().iterdir())]
        subprocess.run([dicom_tool("dcmqridx"), area, *names], check=True, capture_output=True)
        configuration = folder / "dcmqrscp.cfg"
        configuration.write_text(
            f"NetworkTCPPort = {port}\nMaxPDUSize = {min(wire.pdu, DCMTK_PDU)}\nMaxAssociations = 16\n"
            "HostTable BEGIN\nHostTable END\nVendorTable BEGIN\nVendorTable END\n"
            f"AETable BEGIN\nSERVER {area} RW (500, 1024mb) ANY\nAETable END\n"
        )
        with _program([dicom_tool("dcmqrscp"), "-c", configuration, str(port)], port) as found:
            yield found

    return server


def orthanc(files: Files | None = None) -> Server:
    """Orthanc with its database on the RAM disk; ``files`` are in it before it is asked."""

    @contextmanager
    def server(folder: Path, wire: Wire) -> Iterator[tuple[int, Child]]:
        program = shutil.which("Orthanc")
        if program is None:
            raise Missing("apt-get install orthanc")
        base = "/dev/shm" if Path("/dev/shm").is_dir() else None
        with tempfile.TemporaryDirectory(prefix="dicomcore-bench-", dir=base) as place:
            port = _free_port()
            options = {
                "DicomAet": "SERVER",
                "DicomPort": port,
                "HttpServerEnabled": False,
                "StorageDirectory": place,
                "IndexDirectory": place,
                "OverwriteInstances": True,
                "MaximumPduLength": min(wire.pdu, 131072),
                "DicomAlwaysAllowEcho": True,
                "DicomAlwaysAllowStore": True,
                "DicomAlwaysAllowFind": True,
                "DicomThreadsCount": 8,
                "LimitFindResults": 0,
                "Plugins": [],
            }
            configuration = Path(place) / "orthanc.json"
            configuration.write_text(json.dumps(options))
            with _program([program, configuration], port) as found:
                if files is not None:
                    command = floor_user("store")(port, files(), Wire())
                    subprocess.run(command, check=True, capture_output=True)
                yield found

    return server


# -- users -------------------------------------------------------------------------------------------------------------


def user(name: str) -> User:
    """A user of `_peers.USERS`, which prints what it took; "NAME@3.12" runs it under Python 3.12."""

    def command(port: int, folder: Path | None, wire: Wire) -> Sequence[str]:
        source = "-" if folder is None else os.fspath(folder)
        plain = name.removesuffix("@3.12")
        options = json.dumps(asdict(wire))
        return [_python(name), "-m", "benchmarks._peers", "user", plain, str(port), source, options]

    return command


def floor_user(role: str) -> User:
    """``echo``, ``store``, ``associate`` or ``find`` in bare C, against any server."""

    def command(port: int, folder: Path | None, wire: Wire) -> Sequence[str]:
        told = {
            "echo": [wire.pdu, wire.count],
            "store": [wire.pdu, wire.window, wire.associations],
            "associate": [wire.associations, wire.count],
            "find": [wire.count, wire.responses],
        }
        paths = [] if folder is None else [os.fspath(path) for path in sorted(folder.iterdir())]
        return [floor_program(), role, str(port), *map(str, told[role]), *(paths if role == "store" else [])]

    return command


def dcmtk(name: str) -> User:
    """echoscu, storescu or findscu, timed from outside: the start of the process, some 20 ms, is in its time."""

    def command(port: int, folder: Path | None, wire: Wire) -> Sequence[str]:
        length = str(min(wire.pdu, DCMTK_PDU))
        what = {
            "echoscu": ["--repeat", str(wire.count)],
            "storescu": ["-pdu", length, "+sd"],
            "findscu": ["-q", "-S", "--repeat", str(wire.count), "-k", "0008,0052=STUDY", "-k", "0010,0020"],
        }
        path = [] if folder is None else [os.fspath(folder)]
        return [dicom_tool(name), *what[name], "-aec", "SERVER", "127.0.0.1", str(port), *path]

    return command


# -- both together -----------------------------------------------------------------------------------------------------


def far(server: Server, delay: float) -> Server:
    """A server behind a proxy that holds every byte back for ``delay`` seconds, in either direction."""

    @contextmanager
    def behind(folder: Path, wire: Wire) -> Iterator[tuple[int, Child]]:
        with server(folder, wire) as (port, child):
            command = [sys.executable, "-m", "benchmarks._peers", "proxy", str(port), str(delay)]
            with Child(command) as proxy:
                yield int(proxy.read_line()), child

    return behind


def pair(
    server: Server,
    client: User,
    wire: Wire,
    *,
    out: Path,
    files: Files | None = None,
    pinned: bool = False,
    share: int = 1,
) -> Entrant:
    """Both ends as an entrant; only the ``share``-th part of the work is done, and its time scaled."""
    if share > 1:
        wire = Wire(**{**asdict(wire), "count": max(1, wire.count // share)})

    @contextmanager
    def entrant() -> Iterator[Run]:
        emptied(out)
        source = None if files is None else files()
        if source is not None and share > 1:
            source = _part(source, share)
        with ExitStack() as stack:
            with _on_one_core(pinned):
                port, child = stack.enter_context(server(out, wire))
            command = client(port, source, wire)
            timed = Path(command[0]).name in ("echoscu", "storescu", "findscu")

            def run() -> Sample:
                for path in out.glob("*.dcm"):
                    path.unlink()
                child.mark()
                before = child.cpu
                with _on_one_core(pinned):
                    sample = _outside(command) if timed else _inside(command)
                assert sample.cpu is not None
                served = child.cpu - before
                peak = max(sample.peak or 0, child.peak - child.idle)
                return Sample(sample.seconds * share, (sample.cpu + served) * share, peak, served * share)

            yield run

    return entrant


def _part(source: Path, share: int) -> Path:
    """Every ``share``-th file in a folder of its own, as links."""
    part = source.with_name(f"{source.name}-{share}")
    if not part.exists():
        part.mkdir()
        for path in sorted(source.iterdir())[::share]:
            os.link(path, part / path.name)
    return part


@contextmanager
def _on_one_core(pinned: bool) -> Iterator[None]:
    """Processes that begin in here run on one core."""
    if not pinned:
        yield
        return
    if not hasattr(os, "sched_setaffinity"):
        raise Missing("processes are pinned to a core on Linux only")
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _inside(command: Sequence[str]) -> Sample:
    """Run a user that prints what it took."""
    for _attempt in range(5):  # pynetdicom under load now and then ends in an abort of its own; that run is void
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        if done.returncode == 0 or "pynetdicom" not in command:
            break
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:6])} failed: {done.stderr[-2000:]}")
    seconds, cpu, peak = map(float, done.stdout.split())
    return Sample(seconds, cpu, int(peak))


def _outside(command: Sequence[str]) -> Sample:
    """Time a program. Its peak cannot be told: wait4 counts in what this process held when it forked."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command, env={**os.environ, **NO_DELAY}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[0]} failed with {process.returncode}")
    return Sample(seconds, usage.ru_utime + usage.ru_stime)
