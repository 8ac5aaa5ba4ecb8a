"""Opening: how long from a file, or from bytes in memory, to twenty values; what a data set costs; the scan alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from benchmarks._floor import floor
from benchmarks._harness import OWN, Contest, Missing, Run, Sample, child_python, plain, ram_folder
from benchmarks._inputs import EXPLICIT, TWENTY, ct, enhanced_header, flat_elements, structure_set

FILES = 50
HEAD = 32 * 1024


def _ask(dataset: Any) -> None:
    for keyword in TWENTY:
        getattr(dataset, keyword)


class _Folder:
    """The CT files of all entrants, written when the first asks and removed when the last is done."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self._users = 0
        self._folder: AbstractContextManager[Path] | None = None

    def __enter__(self) -> list[str]:
        if self._folder is None:
            self._folder = ram_folder()
            folder = self._folder.__enter__()
            for i in range(FILES):
                path = folder / f"ct{i:03d}.dcm"
                path.write_bytes(ct(EXPLICIT, i % 3 + 1))
                self.paths.append(str(path))
        self._users += 1
        return self.paths

    def __exit__(self, *_: object) -> None:
        self._users -= 1
        if not self._users and self._folder is not None:
            self._folder.__exit__(None, None, None)
            self._folder = None
            self.paths = []


def _over(folder: _Folder, load: Callable[[], Callable[[str], object]]) -> Callable[[], AbstractContextManager[Run]]:
    """An entrant that does ``load()(path)`` for each file; ``load`` imports what it needs."""

    @contextmanager
    def entrant() -> Iterator[Run]:
        work = load()
        with folder as paths:

            def run() -> None:
                for path in paths:
                    work(path)

            yield run

    return entrant


def _own() -> Callable[[Any], object]:
    from dicomcore import dcmread

    return lambda source: _ask(dcmread(source))


def _pydicom(**options: Any) -> Callable[[], Callable[[str], object]]:
    def load() -> Callable[[str], object]:
        from pydicom import dcmread

        return lambda path: _ask(dcmread(path, **options))

    return load


def _dicomsdl() -> Any:
    try:
        import dicomsdl
    except ImportError:
        raise Missing("pip install dicomsdl") from None
    return dicomsdl


def _dicomsdl_file() -> Callable[[str], object]:
    library = _dicomsdl()
    return lambda path: _ask(library.open(path))


def _bare_pread() -> Callable[[str], object]:
    limit = floor()
    return lambda path: limit.open_pread(path, HEAD)


def _bare_map() -> Callable[[str], object]:
    return floor().open_map


def from_file() -> Contest:
    folder = _Folder()
    return Contest(
        "parse-file",
        "Open a 512 x 512 CT file of 278 elements and read 20 attributes",
        "files",
        FILES,
        {
            OWN: _over(folder, _own),
            "pydicom": _over(folder, _pydicom()),
            "pydicom, stop_before_pixels": _over(folder, _pydicom(stop_before_pixels=True)),
            "dicomsdl": _over(folder, _dicomsdl_file),
            "limit: open, fstat, pread 32 KiB, close": _over(folder, _bare_pread),
            "limit: open, fstat, map, touch, close": _over(folder, _bare_map),
        },
        goals={"pydicom": 18, "dicomsdl": 2},
        note="The files lie on a RAM disk: no disk is measured.",
    )


def from_memory() -> Contest:
    count = 100
    data = ct()

    def times(load: Callable[[], Callable[[bytes], object]]) -> Callable[[], AbstractContextManager[Run]]:
        @contextmanager
        def entrant() -> Iterator[Run]:
            work = load()

            def run() -> None:
                for _ in range(count):
                    work(data)

            yield run

        return entrant

    def pydicom() -> Callable[[bytes], object]:
        from pydicom import dcmread

        return lambda octets: _ask(dcmread(BytesIO(octets)))

    def dicomsdl() -> Callable[[bytes], object]:
        library = _dicomsdl()
        return lambda octets: _ask(library.open_memory(octets))

    def memcpy() -> Callable[[bytes], object]:
        copy = floor().copier(bytearray(len(data)), data)
        return lambda octets: copy()

    return Contest(
        "parse-memory",
        "Open the same CT from bytes and read 20 attributes",
        "objects",
        count,
        {OWN: times(_own), "pydicom": times(pydicom), "dicomsdl": times(dicomsdl), "limit: memcpy": times(memcpy)},
        unit_bytes=len(data),
        goals={"pydicom": 60},
        rounds=9,
    )


def _scan(name: str, title: str, data: bytes, count: int, start: int, explicit: bool, goal: str) -> Contest:
    @contextmanager
    def own() -> Iterator[Run]:
        from dicomcore import Limits
        from dicomcore.encoding.index import read_index
        from dicomcore.encoding.policy import Policy
        from dicomcore.encoding.source import BytesSource

        limits, policy, source = Limits(), Policy(), BytesSource(data)

        def run() -> None:
            read_index(
                source, start, len(data), explicit=explicit, big_endian=False, limits=limits, policy=policy, issues=[]
            )

        yield run

    @contextmanager
    def pydicom() -> Iterator[Run]:
        from pydicom.filereader import data_element_generator

        def run() -> None:
            stream = BytesIO(data)
            stream.seek(start)
            for _ in data_element_generator(stream, not explicit, True):
                pass

        yield run

    @contextmanager
    def memcpy() -> Iterator[Run]:
        yield floor().copier(bytearray(len(data)), data)

    entrants: dict[str, Callable[[], AbstractContextManager[Run]]] = {OWN: own}
    if not start:
        entrants["pydicom, data_element_generator"] = pydicom
    entrants["limit: memcpy of the same bytes"] = memcpy
    return Contest(name, title, "elements", count, entrants, note=goal)


def _dataset_start(data: bytes) -> int:
    """Where the data set begins: behind preamble and file meta, whose length its first element tells."""
    return 144 + int.from_bytes(data[140:144], "little")


def scan_ct() -> Contest:
    """A data set as large as most are, its index in memory that was used before."""
    data = ct()
    goal = "Goal: at most 15 ns an element."
    return _scan(
        "scan-ct", "Scan alone: a CT of 278 elements", data, _count_elements(data), _dataset_start(data), True, goal
    )


def scan_flat() -> Contest:
    """So large that the index lies in fresh pages, which the system has to clear first."""
    return _scan("scan-flat", "Scan alone: 100,000 short elements", flat_elements(), 100_000, 0, True, "")


def scan_nested() -> Contest:
    data = enhanced_header(delimited=True)
    return _scan(
        "scan-nested",
        "Scan alone: functional groups of 1,000 frames, all lengths undefined",
        data,
        _count_elements(data),
        _dataset_start(data),
        True,
        "",
    )


def _count_elements(data: bytes) -> int:
    from pydicom import dcmread

    return sum(1 for _ in dcmread(BytesIO(data)).iterall())


HOLD_OWN = """
import dicomcore
with clock:
    held = []
    for i in range({count}):
        dataset = dicomcore.dcmread(sys.argv[1])
        dataset.PatientName, dataset.Rows
        held.append(dataset)
"""
HOLD_PYDICOM = """
import pydicom
with clock:
    held = []
    for i in range({count}):
        dataset = pydicom.dcmread(sys.argv[1], stop_before_pixels=True)
        dataset.PatientName, dataset.Rows
        held.append(dataset)
"""


def held() -> Contest:
    """Memory of many open data sets; a fresh process each, so that VmHWM is its own."""
    count = 2000

    def entrant(code: str) -> Callable[[], AbstractContextManager[Run]]:
        @contextmanager
        def opened() -> Iterator[Run]:
            with ram_folder() as folder:
                path = folder / "ct.dcm"
                path.write_bytes(ct())

                def run() -> Sample:
                    sample, idle = child_python(code.format(count=count), str(path))
                    return Sample(sample.seconds, sample.cpu, (sample.peak or idle) - idle)

                yield run

        return opened

    return Contest(
        "hold",
        f"Hold {count:,} open CT data sets: time and peak memory above idle",
        "files",
        count,
        {OWN: entrant(HOLD_OWN), "pydicom, stop_before_pixels": entrant(HOLD_PYDICOM)},
        rounds=2,
    )


def structure_set_values() -> Contest:
    """Every contour's points as numbers: what a planning script does first."""
    data = structure_set()

    def points(dataset: Any) -> int:
        return sum(
            len(contour.ContourData) for region in dataset.ROIContourSequence for contour in region.ContourSequence
        )

    def own() -> object:
        from dicomcore import dcmread

        return points(dcmread(data))

    def pydicom() -> object:
        from pydicom import dcmread

        return points(dcmread(BytesIO(data)))

    return Contest(
        "parse-contours",
        f"Open an RT Structure Set of {len(data) / 1e6:.1f} MB and read every contour's points",
        "files",
        1,
        {OWN: plain(own), "pydicom": plain(pydicom)},
        unit_bytes=len(data),
        rounds=3,
    )


def contests() -> Iterable[Contest]:
    yield from_file()
    yield from_memory()
    yield scan_ct()
    yield scan_flat()
    yield scan_nested()
    yield structure_set_values()
    yield held()
