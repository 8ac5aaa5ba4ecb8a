"""A thousand associations on which nothing happens: what they cost a server."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks._harness import OWN, Child, Contest, Run, Sample
from benchmarks._network import FLOOR, Entrant, Server, Wire, emptied, floor_program, floor_server, peer

COUNT = 1000
QUIET = 5.0  # seconds for which they are watched


def _idle(server: Server, label: str) -> Entrant:
    @contextmanager
    def entrant() -> Iterator[Run]:
        out = Path(tempfile.gettempdir()) / f"dicomcore-bench-idle-{label}"
        emptied(out)

        def run() -> Sample:
            with server(out, Wire()) as (port, child):
                return _watched(port, child)

        with server(out, Wire()):
            pass  # it is there
        yield run

    return entrant


def _watched(port: int, child: Child) -> Sample:
    child.mark()
    start = time.perf_counter()
    holder = subprocess.Popen(
        [floor_program(), "idle", str(port), str(COUNT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        if holder.stdout.readline() != b"ready\n":
            raise RuntimeError(f"{COUNT} associations could not be opened")
        opened = time.perf_counter() - start
        before = child.cpu
        time.sleep(QUIET)
        return Sample(opened, child.cpu - before, child.peak - child.idle)
    finally:
        holder.kill()
        holder.communicate()


def contests() -> Iterable[Contest]:
    yield Contest(
        "idle",
        f"Hold {COUNT:,} associations on which nothing happens",
        "associations",
        COUNT,
        {
            OWN: _idle(peer("own"), "own"),
            "dicomcore.aio": _idle(peer("own-aio"), "aio"),
            FLOOR: _idle(floor_server, "bare"),
        },
        rounds=3,
        note=(
            f"The rate is that of opening them. CPU each: in {QUIET:.0f} s of silence (goal: under 100 us, 2 % of a"
            " core for all). Peak: of the server above itself without associations (goal: under 32 MB, 32 KB each)."
        ),
    )
