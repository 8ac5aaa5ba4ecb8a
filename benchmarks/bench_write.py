"""Writing: a whole object from memory to memory in another transfer syntax, beside pydicom and beside DCMTK's C++."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from io import BytesIO

from benchmarks._floor import floor
from benchmarks._harness import OWN, Contest, Run, Sample, dcmtk_program, plain, ram_folder
from benchmarks._inputs import EXPLICIT, IMPLICIT, ct, enhanced_header, structure_set


class _Target:
    """Memory to write into, used again each time, as DCMTK's program does: fresh pages would measure the kernel."""

    def __init__(self, size: int) -> None:
        self._view = memoryview(bytearray(size))
        self._length = 0

    def rewind(self) -> None:
        self._length = 0

    def write(self, data: bytes | memoryview) -> int:
        end = self._length + len(data)
        self._view[self._length : end] = data
        self._length = end
        return len(data)


def _reencode(name: str, title: str, data: bytes, syntax: str, count: int) -> Contest:
    copied = bytearray(len(data))
    target = _Target(2 * len(data))

    def own() -> None:
        from dicomcore import dcmread

        for _ in range(count):
            target.rewind()
            dcmread(data).save_as(target, transfer_syntax=syntax)

    @contextmanager
    def memcpy() -> Iterator[Run]:
        copy = floor().copier(copied, data)

        def run() -> None:
            for _ in range(count):
                copy()

        yield run

    @contextmanager
    def pydicom() -> Iterator[Run]:
        import pydicom

        # One object is enough of it: it takes seconds where the others take milliseconds.
        repeats = max(1, count // 50)

        def run() -> Sample | None:
            start, cpu = time.perf_counter(), time.process_time()
            for _ in range(repeats):
                dataset = pydicom.dcmread(BytesIO(data))
                pydicom.dcmwrite(
                    BytesIO(), dataset, implicit_vr=syntax == IMPLICIT, little_endian=True, force_encoding=True
                )
            share = count / repeats
            return Sample((time.perf_counter() - start) * share, (time.process_time() - cpu) * share)

        yield run

    @contextmanager
    def dcmtk() -> Iterator[Run]:
        program = dcmtk_program("dcmtk_reencode")
        with ram_folder() as folder:
            path = folder / "object.dcm"
            path.write_bytes(data)

            def run() -> Sample:
                done = subprocess.run([program, path, syntax, str(count)], capture_output=True, text=True, check=True)
                seconds, cpu, _written = done.stdout.split()
                return Sample(float(seconds), float(cpu))

            yield run

    entrants: dict[str, Callable[[], AbstractContextManager[Run]]] = {
        OWN: plain(own),
        "DCMTK in C++": dcmtk,
        "pydicom": pydicom,
        "limit: memcpy": memcpy,
    }
    return Contest(name, title, "objects", count, entrants, unit_bytes=len(data), rounds=5, goals={"DCMTK in C++": 2})


def contests() -> Iterable[Contest]:
    objects: list[tuple[str, str, Callable[[str], bytes], int]] = [
        ("ct", "a 512 x 512 CT", ct, 200),
        ("structure-set", "an RT Structure Set of 7 MB", structure_set, 20),
        ("enhanced", "an enhanced CT header of 1,000 frames", enhanced_header, 20),
    ]
    for name, title, make, count in objects:
        yield _reencode(
            f"write-{name}-explicit", f"Re-encode {title}, implicit to explicit VR", make(IMPLICIT), EXPLICIT, count
        )
        yield _reencode(
            f"write-{name}-implicit", f"Re-encode {title}, explicit to implicit VR", make(EXPLICIT), IMPLICIT, count
        )
