"""C-STORE over loopback from files to files, both ends ours, beside DCMTK, pynetdicom and two bare C programs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from benchmarks._harness import OWN, Contest
from benchmarks._network import Entrant, dcmtk_pair, python_pair

NOTE = (
    "One association, one request at a time, RAM disk; CPU of both ends; peak: the greater of both ends, above its idle"
    " size. DCMTK with TCP_NODELAY=1. Ours acknowledges a file that is complete, closed and renamed; DCMTK writes it in"
    " place; pynetdicom does a part of the work and its time is scaled."
)


def _files(folder: Path, count: int, length: int) -> None:
    """CT files whose pixel data makes up the length; written in small steps, so that 1 GB costs no memory."""
    from dicomcore.data.part10 import encode_file_meta

    folder.mkdir()
    ct, explicit = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"
    for number in range(count):
        uid = f"2.25.{10**30 + number}"
        value = uid.encode() + b"\0" * (len(uid) % 2)
        data = b"\x08\x00\x16\x00UI" + len(ct + " ").to_bytes(2, "little") + ct.encode() + b"\0"
        data += b"\x08\x00\x18\x00UI" + len(value).to_bytes(2, "little") + value
        data += b"\x10\x00\x10\x00PN\x0a\x00Phantom^CT"
        data += b"\xe0\x7f\x10\x00OW\0\0" + length.to_bytes(4, "little")
        with open(folder / f"{number:05}.dcm", "wb") as file:
            file.write(encode_file_meta(ct, uid, explicit) + data)
            block = bytes(range(256)) * 16
            for _ in range(length // len(block)):
                file.write(block)
            file.write(block[: length % len(block)])


def _contest(
    name: str, title: str, count: int, length: int, pdu: int, rounds: int, share: int, goals: Mapping[str, float]
) -> Contest:
    base = "/dev/shm" if Path("/dev/shm").is_dir() else None
    # Made when the contest is measured, gone when the process is.
    scratch: list[tempfile.TemporaryDirectory[str]] = []

    def files() -> Path:
        if not scratch:
            scratch.append(tempfile.TemporaryDirectory(prefix="dicomcore-bench-", dir=base))
            _files(Path(scratch[0].name) / "in", count, length)
        return Path(scratch[0].name) / "in"

    def within(entrant: Callable[[Path], Entrant]) -> Entrant:
        return lambda: entrant(files().parent / "out")()

    entrants = {
        OWN: within(lambda out: python_pair("own", files, out, pdu, count)),
        "DCMTK": within(lambda out: dcmtk_pair(files, out, pdu, count)),
        "pynetdicom": within(lambda out: python_pair("pynetdicom", files, out, pdu, count, share)),
        "limit: bare C": within(lambda out: python_pair("bare", files, out, pdu, count)),
    }
    return Contest(name, title, "objects", count, entrants, unit_bytes=length, rounds=rounds, goals=goals, note=NOTE)


def contests() -> Iterable[Contest]:
    half = 512 * 1024
    goals = {"DCMTK": 1.5, "pynetdicom": 10}
    yield _contest("store-ct", "Store CT of 0.5 MB, PDUs of 128 KiB", 1000, half, 131072, 5, 10, goals)
    goals = {"DCMTK": 1}
    yield _contest("store-ct-small-pdu", "Store CT of 0.5 MB, PDUs of 16 KiB", 1000, half, 16384, 5, 20, goals)
    yield _contest("store-small", "Store objects of 5 KB", 5000, 5000, 131072, 5, 50, goals)
    yield _contest("store-1gb", "Store one object of 1 GB, PDUs of 128 KiB", 1, 1 << 30, 131072, 3, 1, {})
