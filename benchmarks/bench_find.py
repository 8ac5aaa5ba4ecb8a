"""C-FIND over loopback: how fast responses are yielded, sent, received and looked at."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from benchmarks._harness import OWN, Contest
from benchmarks._network import (
    FLOOR,
    OURS_312,
    PYDCM,
    Wire,
    dcmqrscp,
    dcmtk,
    floor_server,
    floor_user,
    orthanc,
    pair,
    peer,
    user,
)
from benchmarks.bench_store import ct_files

RESPONSES = 500  # to a query: dcmqrscp holds no more studies
QUERIES = 40
WIRE = Wire(count=QUERIES, responses=RESPONSES)


def _out(name: str) -> Path:
    return Path(tempfile.gettempdir()) / f"dicomcore-bench-find-{name}"


def contests() -> Iterable[Contest]:
    def files() -> Path:
        return ct_files(RESPONSES, 1000)

    asking = floor_user("find")
    yield Contest(
        "find-scp",
        f"C-FIND, served to a user in bare C: {RESPONSES} responses to each query",
        "responses",
        QUERIES * RESPONSES,
        {
            OWN: pair(peer("own-find"), asking, WIRE, out=_out("own")),
            "dicomcore, each a new Dataset": pair(peer("own-find-new"), asking, WIRE, out=_out("new")),
            OURS_312: pair(peer("own-find@3.12"), asking, WIRE, out=_out("own-312")),
            PYDCM: pair(peer("pydcm"), asking, WIRE, out=_out("pydcm"), share=4),
            "DCMTK (dcmqrscp)": pair(dcmqrscp(files), asking, WIRE, out=_out("dcmtk"), share=10),
            "Orthanc": pair(orthanc(files), asking, WIRE, out=_out("orthanc"), share=10),
            "pynetdicom": pair(peer("pynetdicom"), asking, WIRE, out=_out("pynetdicom"), share=40),
            FLOOR: pair(floor_server, asking, WIRE, out=_out("bare")),
        },
        rounds=5,
        subjects={PYDCM: OURS_312},
        note=(
            "Ours yields one prepared Dataset of ten elements, or builds each (goals: 30,000/s and 15,000/s); so do the"
            " Python peers with one; dcmqrscp and Orthanc ask their databases. Bare C sends copies, many at a time."
        ),
    )
    yield Contest(
        "find-scu",
        "C-FIND, asked of a server in bare C: one attribute of each response is read",
        "responses",
        QUERIES * RESPONSES,
        {
            OWN: pair(floor_server, user("own"), WIRE, out=_out("scu-own")),
            "DCMTK (findscu)": pair(floor_server, dcmtk("findscu"), WIRE, out=_out("scu-dcmtk")),
            OURS_312: pair(floor_server, user("own@3.12"), WIRE, out=_out("scu-own-312")),
            PYDCM: pair(floor_server, user("pydcm"), WIRE, out=_out("scu-pydcm"), share=4),
            "pynetdicom": pair(floor_server, user("pynetdicom"), WIRE, out=_out("scu-pynetdicom"), share=20),
            FLOOR: pair(floor_server, asking, WIRE, out=_out("scu-bare")),
        },
        rounds=5,
        subjects={PYDCM: OURS_312},
        note="Goal: 25,000/s. findscu prints each of them, to nowhere.",
    )
