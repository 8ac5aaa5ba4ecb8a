"""C-STORE over loopback from files to files: sizes of PDUs and objects, windows, TLS, asyncio, a long way, a disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from benchmarks._harness import OWN, ROOT, Contest, Missing, Run
from benchmarks._network import (
    FLOOR,
    OURS_312,
    PYDCM,
    Entrant,
    Server,
    User,
    Wire,
    dcmtk,
    far,
    floor_server,
    floor_user,
    orthanc,
    pair,
    peer,
    same_python,
    storescp,
    user,
)
from benchmarks._peers import CERTIFICATE

HALF = 512 * 1024
KiB = 1024
DELAY = 0.01  # seconds, either way
NOTE = (
    "One association, one request at a time, RAM disk; CPU of both ends; peak: the greater of both ends, above its idle"
    " size. DCMTK with TCP_NODELAY=1. Durability: ours, the bare C pair's and pydcm's files are complete, closed and"
    " renamed before the answer; DCMTK and pynetdicom write in place; Orthanc keeps a database besides. pynetdicom and"
    " Orthanc do a part of the work and their time is scaled. pydcm needs Python 3.12, so ours is held against it"
    " under the same."
)

Ends = tuple[Server, User]


@cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    """Gone when the process is."""
    return tempfile.TemporaryDirectory(prefix="dicomcore-bench-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)


@cache
def ct_files(count: int, length: int) -> Path:
    """A folder of CT files whose pixel data makes up the length; written in small steps, so that 1 GB costs no memory.

    Each is of another study and patient.
    """
    from dicomcore.data.part10 import encode_file_meta

    folder = Path(_scratch().name) / f"{count}x{length}"
    folder.mkdir()
    ct, explicit = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"
    for number in range(count):
        uid = f"2.25.{10**30 + number}"
        texts = [
            (b"\x08\x00\x16\x00UI", ct),
            (b"\x08\x00\x18\x00UI", uid),
            (b"\x08\x00\x20\x00DA", "20240131"),
            (b"\x10\x00\x10\x00PN", "Phantom^CT"),
            (b"\x10\x00\x20\x00LO", f"P{number}"),
            (b"\x20\x00\x0d\x00UI", f"{uid}.1"),
            (b"\x20\x00\x0e\x00UI", f"{uid}.2"),
        ]
        data = b""
        for head, text in texts:
            value = text.encode() + (b"\0" if head.endswith(b"UI") else b" ") * (len(text) % 2)
            data += head + len(value).to_bytes(2, "little") + value
        data += b"\xe0\x7f\x10\x00OW\0\0" + length.to_bytes(4, "little")
        with open(folder / f"{number:05}.dcm", "wb") as file:
            file.write(encode_file_meta(ct, uid, explicit) + data)
            block = bytes(range(256)) * 16
            for _ in range(length // len(block)):
                file.write(block)
            file.write(block[: length % len(block)])
    return folder


def _contest(
    name: str,
    title: str,
    entrants: Mapping[str, Ends | tuple[Server, User, Wire]],
    *,
    count: int,
    length: int,
    wire: Wire = Wire(),  # noqa: B008 - frozen
    shares: Mapping[str, int] = {},
    goals: Mapping[str, float] = {},
    rounds: int = 5,
    note: str = NOTE,
    folder: Path | None = None,
    pinned: bool = False,
) -> Contest:
    def entrant(label: str, server: Server, client: User, here: Wire = wire) -> Entrant:
        @contextmanager
        def made() -> Iterator[Run]:
            out = (folder or Path(_scratch().name)) / f"out-{name}-{label}".replace(" ", "-").replace(",", "")
            files = lambda: ct_files(count, length)  # noqa: E731
            with pair(server, client, here, out=out, files=files, pinned=pinned, share=shares.get(label, 1))() as run:
                yield run
            shutil.rmtree(out, ignore_errors=True)

        return made

    made = {label: entrant(label, *ends) for label, ends in entrants.items()}
    return Contest(name, title, "objects", count, made, length, rounds, goals, same_python(made), note)


BARE: Ends = floor_server, floor_user("store")
OURS: Ends = peer("own"), user("own")
AIO: Ends = peer("own-aio"), user("own-aio")
DCMTK: Ends = storescp, dcmtk("storescu")
PEERS: dict[str, Ends] = {
    OURS_312: (peer("own@3.12"), user("own@3.12")),
    PYDCM: (peer("pydcm"), user("pydcm")),
    "DCMTK": DCMTK,
    "pynetdicom": (peer("pynetdicom"), user("pynetdicom")),
    "Orthanc, from bare C": (orthanc(), floor_user("store")),
    FLOOR: BARE,
}
SHARES = {"pynetdicom": 20, "Orthanc, from bare C": 10}


def _tls_ends(name: str) -> Ends:
    """Both ends over TLS, with a certificate made for this."""

    def secured(server: Server) -> Server:
        @contextmanager
        def made(folder: Path, wire: Wire) -> Iterator[tuple[int, object]]:
            if not CERTIFICATE.exists():
                if shutil.which("openssl") is None:
                    raise Missing("apt-get install openssl")
                CERTIFICATE.parent.mkdir(parents=True, exist_ok=True)
                command = "openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=localhost"
                part = CERTIFICATE.with_suffix(".part")
                made_by = [*command.split(), "-keyout", str(part), "-out", str(part.with_suffix(".crt"))]
                subprocess.run(made_by, check=True, capture_output=True)
                CERTIFICATE.write_bytes(part.read_bytes() + part.with_suffix(".crt").read_bytes())
            with server(folder, wire) as found:
                yield found

        return made  # type: ignore[return-value]

    return secured(peer(name)), user(name)


def contests() -> Iterable[Contest]:
    for pdu in (16, 128, 256):
        yield _contest(
            "store-ct" if pdu == 128 else f"store-ct-{pdu}k",
            f"Store CT of 0.5 MB, PDUs of {pdu} KiB",
            {OWN: OURS, **PEERS},
            count=1000,
            length=HALF,
            wire=Wire(pdu=pdu * KiB),
            shares=SHARES,
            goals={"DCMTK": 2, "pynetdicom": 10}
            if pdu == 16
            else {"DCMTK": 2.5, PYDCM: 1.4, FLOOR: 0.7, "pynetdicom": 10},
        )
    wide = Wire(window=16)
    for pinned in (False, True):
        yield _contest(
            "store-small-pinned" if pinned else "store-small",
            f"Store objects of 5 KB{', both ends on one core' if pinned else ''}",
            {OWN: OURS, **PEERS},
            count=4000,
            length=5000,
            shares={"pynetdicom": 40, "Orthanc, from bare C": 20},
            goals={FLOOR: 0.35, "DCMTK": 1, PYDCM: 1},
            note=f"{NOTE} Goal besides: CPU of 0.12 ms an object at most on each side.",
            pinned=pinned,
        )
    yield _contest(
        "store-small-window",
        "Store objects of 5 KB, 16 under way at a time",
        {
            OWN: (*OURS, wide),
            "dicomcore, window 1": OURS,
            "dicomcore.aio": (*AIO, wide),
            FLOOR: (*BARE, wide),
            "limit: bare C, window 1": BARE,
        },
        count=4000,
        length=5000,
        goals={"dicomcore, window 1": 1.5},
    )
    yield _contest(
        "store-1gb",
        "Store one object of 1 GB, PDUs of 128 KiB",
        {OWN: OURS, "dicomcore.aio": AIO, **{name: ends for name, ends in PEERS.items() if name not in SHARES}},
        count=1,
        length=1 << 30,
        goals={"DCMTK": 1, PYDCM: 0.9},
        rounds=3,
        note=f"{NOTE} Goal besides: 90 % of the fastest system; memory flat. The slowest two are left out.",
    )
    yield _contest(
        "store-handler",
        "Store CT of 0.5 MB to a Python handler that reads 5 attributes of each",
        {
            OWN: (peer("own-handler"), user("own")),
            "dicomcore, to files": OURS,
            OURS_312: (peer("own-handler@3.12"), user("own@3.12")),
            PYDCM: (peer("pydcm-handler"), user("pydcm")),
            f"{PYDCM}, to files": PEERS[PYDCM],
        },
        count=500,
        length=HALF,
        goals={"dicomcore, to files": 0.5},
        note="A lazy Dataset in memory from ours, a Dataset from pydcm; nothing is written. CPU of both ends.",
    )
    for associations in (2, 4):
        wire = Wire(associations=associations)
        yield _contest(
            f"store-parallel-{associations}",
            f"Store CT of 0.5 MB on {associations} associations at a time",
            {
                OWN: (*OURS, wire),
                "dicomcore, one association": OURS,
                OURS_312: (*PEERS[OURS_312], wire),
                PYDCM: (*PEERS[PYDCM], wire),
                FLOOR: (*BARE, wire),
            },
            count=1000,
            length=HALF,
            note=f"As many threads in one process send; one server. Here are {os.cpu_count()} cores for both ends.",
        )
    yield _contest(
        "store-aio",
        "Store CT of 0.5 MB with asyncio",
        {OWN: AIO, "dicomcore, blocking": OURS, FLOOR: BARE},
        count=1000,
        length=HALF,
        goals={"dicomcore, blocking": 0.6},
    )
    yield _contest(
        "store-dcmtk",
        "Store CT of 0.5 MB with DCMTK at the other end",
        {
            OWN: (storescp, user("own")),
            "DCMTK to dicomcore": (peer("own"), dcmtk("storescu")),
            "DCMTK": DCMTK,
            "dicomcore to dicomcore": OURS,
        },
        count=1000,
        length=HALF,
        goals={"DCMTK": 1},
        note=f"{NOTE} Goal besides: DCMTK to dicomcore is not slower than DCMTK with itself.",
    )
    yield _contest(
        "store-tls",
        "Store CT of 0.5 MB over TLS",
        {OWN: _tls_ends("own-tls"), "limit: bare ssl loop": _tls_ends("ssl"), "dicomcore, no TLS": OURS},
        count=1000,
        length=HALF,
        goals={"limit: bare ssl loop": 0.7},
        note=(
            "The loop: Python's ssl, from file to socket 256 KiB at a time, from socket to file a record at a time, as"
            " it reads them; the file is renamed before the answer. No DICOM. Handshakes and associations count."
        ),
    )
    yield _contest(
        "store-far",
        f"Store objects of 5 KB over a way of {2000 * DELAY:.0f} ms there and back",
        {
            OWN: (far(peer("own"), DELAY), user("own"), wide),
            "dicomcore, window 1": (far(peer("own"), DELAY), user("own")),
            FLOOR: (far(floor_server, DELAY), floor_user("store"), wide),
            "limit: bare C, window 1": (far(floor_server, DELAY), floor_user("store")),
        },
        count=1600,
        length=5000,
        shares={"dicomcore, window 1": 10, "limit: bare C, window 1": 10},
        goals={"dicomcore, window 1": 14},
        rounds=3,
        note="Through a proxy that holds every byte back. 16 requests under way at a time; no peer here can do that.",
    )
    power = Wire(durability="power")
    yield _contest(
        "store-power",
        "Store CT of 0.5 MB that survive a power failure, on a disk",
        {OWN: (*OURS, power), "dicomcore, no fsync": OURS, FLOOR: (*BARE, power), "DCMTK, no fsync": DCMTK},
        count=100,
        length=HALF,
        rounds=3,
        note="Durability: file and folder are with the disk (fsync) before the answer, but where it says otherwise.",
        folder=ROOT / "build" / "benchmarks",
    )
    crowd = Wire(associations=64)
    yield _contest(
        "store-crowd",
        "Store 64 objects of 16 MB at once to a handler, in memory",
        {OWN: (peer("own-memory"), user("own"), crowd), "dicomcore, to files": (*OURS, crowd)},
        count=64,
        length=16 << 20,
        rounds=3,
        note="64 associations at a time. Peak: of the server's process, above idle; what is held in memory is bounded.",
    )
