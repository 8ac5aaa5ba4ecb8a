"""C-ECHO over loopback on one association: the price of a message, beside DCMTK, pynetdicom and bare C."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from benchmarks._harness import OWN, Contest
from benchmarks._network import dcmtk_pair, python_pair

COUNT = 5000


def contests() -> Iterable[Contest]:
    out = Path(tempfile.gettempdir()) / "dicomcore-bench-echo"
    yield Contest(
        "echo",
        "Echo on one association",
        "echoes",
        COUNT,
        {
            OWN: python_pair("own", None, out, 131072, COUNT),
            "DCMTK": dcmtk_pair(None, out, 131072, COUNT),
            "pynetdicom": python_pair("pynetdicom", None, out, 131072, COUNT, 25),
            "limit: bare C": python_pair("bare", None, out, 131072, COUNT),
        },
        rounds=5,
        note="CPU of both ends; the rate depends on how long the machine takes to wake an idle core.",
    )
