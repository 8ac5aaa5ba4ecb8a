"""Round trips over loopback: C-ECHO on one association, and associations that do nothing else."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from benchmarks._harness import OWN, Contest
from benchmarks._network import (
    FLOOR,
    OURS_312,
    PYDCM,
    Server,
    User,
    Wire,
    dcmtk,
    floor_server,
    floor_user,
    orthanc,
    pair,
    peer,
    same_python,
    storescp,
    user,
)

COUNT = 5000
CLIENTS = 8
WAKING = " Unpinned, the rate depends on how long the machine takes to wake an idle core."


def _contest(
    name: str,
    title: str,
    unit: str,
    ends: dict[str, tuple[Server, User]],
    wire: Wire,
    shares: dict[str, int],
    goals: dict[str, float],
    note: str,
    *,
    pinned: bool = False,
) -> Contest:
    def out(label: str) -> Path:
        return Path(tempfile.gettempdir()) / f"dicomcore-bench-{name}-{label}".replace(" ", "-").replace(",", "")

    entrants = {
        label: pair(server, client, wire, out=out(label), pinned=pinned, share=shares.get(label, 1))
        for label, (server, client) in ends.items()
    }
    like = same_python(entrants)
    return Contest(name, title, unit, wire.count, entrants, rounds=5, goals=goals, subjects=like, note=note)


def contests() -> Iterable[Contest]:
    wire = Wire(count=COUNT)
    servers: dict[str, Server] = {
        OWN: peer("own"),
        "dicomcore.aio": peer("own-aio"),
        "DCMTK": storescp,
        OURS_312: peer("own@3.12"),
        PYDCM: peer("pydcm"),
        "Orthanc": orthanc(),
        "pynetdicom": peer("pynetdicom"),
        FLOOR: floor_server,
    }
    yield _contest(
        "echo",
        "Echo on one association",
        "echoes",
        {
            OWN: (peer("own"), user("own")),
            "dicomcore.aio": (peer("own-aio"), user("own-aio")),
            "DCMTK": (storescp, dcmtk("echoscu")),
            OURS_312: (peer("own@3.12"), user("own@3.12")),
            PYDCM: (peer("pydcm"), user("pydcm")),
            "pynetdicom": (peer("pynetdicom"), user("pynetdicom")),
            FLOOR: (floor_server, floor_user("echo")),
        },
        wire,
        {"pynetdicom": 25},
        {"DCMTK": 1},
        "Each with itself; CPU of both ends; goal besides: at most 60 us." + WAKING,
    )
    for pinned in (False, True):
        yield _contest(
            "echo-pinned" if pinned else "echo-served",
            f"Echo, served to a user in bare C{', both on one core' if pinned else ''}",
            "echoes",
            {label: (server, floor_user("echo")) for label, server in servers.items()},
            wire,
            {"pynetdicom": 25, "Orthanc": 5},
            {FLOOR: 0.38, "DCMTK": 1} if pinned else {"DCMTK": 1},
            "CPU of both ends." + ("" if pinned else WAKING),
            pinned=pinned,
        )
        many = Wire(count=2000, associations=CLIENTS)
        yield _contest(
            "associate-pinned" if pinned else "associate",
            f"Open and release associations, {CLIENTS} at a time, from bare C{', on one core' if pinned else ''}",
            "associations",
            {label: (server, floor_user("associate")) for label, server in servers.items()},
            many,
            {"pynetdicom": 20, "Orthanc": 4, "DCMTK": 4},
            {FLOOR: 0.5} if pinned else {},
            "CPU of both ends; goal besides: at most 0.5 ms. storescp serves one after the other.",
            pinned=pinned,
        )
