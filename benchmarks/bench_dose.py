"""Dose grids of 400 x 400 x 300 voxels of 32 bits: from a file and from memory to Gy; statistics, histograms, points.

The limit is ``np.copyto`` from a new memory map of the same file into the same array: as many bytes, by one core.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._harness import OWN, Contest, Run, Sample, child_python, plain, ram_folder
from benchmarks._inputs import EXPLICIT

SHAPE = (300, 400, 400)
VOXELS = 300 * 400 * 400
SCALING = 1.7e-8
LIMIT = "limit: np.copyto(out, mapped)"
RANGE = (0.0, 68.0)

Array = NDArray[Any]
Entrants = dict[str, Callable[[], AbstractContextManager[Run]]]


@cache
def stored_numbers() -> Array:
    """Three beams of 60 Gy together, with the noise of a simulation, as unsigned numbers of 32 bits."""
    chance = np.random.default_rng(20261125)
    frames, rows, columns = (np.linspace(-1, 1, count, dtype=np.float32) for count in SHAPE)
    made = np.empty(SHAPE, np.uint32)
    for plane, z in zip(made, frames, strict=True):
        dose = np.zeros(SHAPE[1:], np.float32)
        for angle in (0.0, 2.1, 4.2):
            along = columns * np.cos(angle) + rows[:, None] * np.sin(angle)
            across = rows[:, None] * np.cos(angle) - columns * np.sin(angle)
            dose += 20 * np.exp(-0.8 * (along + 1)) / (1 + np.exp(((across**2 + z * z) - 0.06) * 120))
        dose *= chance.normal(1, 0.01, dose.shape)
        plane[...] = np.clip(dose / SCALING, 0, 4e9)
    return made


def dose_file() -> bytes:
    """Written by pydicom, so that no reader here reads its own writing."""
    from pydicom import dcmwrite
    from pydicom.dataset import Dataset, FileMetaDataset

    dataset: Any = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = EXPLICIT
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.481.2", "2.25.481"
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [-200, -200, -375], [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing = [1.0, 1.0]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = SHAPE
    dataset.FrameIncrementPointer = 0x3004000C
    dataset.BitsAllocated = dataset.BitsStored = 32
    dataset.HighBit, dataset.PixelRepresentation = 31, 0
    dataset.DoseUnits, dataset.DoseType, dataset.DoseSummationType = "GY", "PHYSICAL", "PLAN"
    dataset.GridFrameOffsetVector = [2.5 * i for i in range(SHAPE[0])]
    dataset.DoseGridScaling = str(SCALING)
    dataset.PixelData = stored_numbers().tobytes()
    out = BytesIO()
    dcmwrite(out, dataset, enforce_file_format=True)
    return out.getvalue()


@contextmanager
def on_disk(make: Callable[[Path], Run]) -> Iterator[Run]:
    with ram_folder() as folder:
        path = folder / "dose.dcm"
        path.write_bytes(dose_file())
        yield make(path)


def from_file(make: Callable[[Path], Run]) -> Callable[[], AbstractContextManager[Run]]:
    return lambda: on_disk(make)


def own(**options: Any) -> Callable[[Path], Run]:
    """Opening the file and reading the grid; into one array again and again where ``out`` is an option."""
    if options.pop("out", False):
        options["out"] = np.ones(SHAPE, np.float32)

    def make(path: Path) -> Run:
        def run() -> None:
            from dicomcore import dcmread
            from dicomcore.rt.dose import Dose

            Dose(dcmread(path)).grid(np.float32, **options)

        return run

    return make


def copied(path: Path) -> Run:
    from dicomcore import dcmread
    from dicomcore.data.located import locate

    located = locate(dcmread(path), "PixelData", [])
    assert located is not None
    offset, out = located.offset, np.ones(SHAPE, np.float32)

    def run() -> None:
        np.copyto(out, np.memmap(path, "<u4", "r", offset, SHAPE), casting="same_kind")

    return run


def by_pydicom(path: Path) -> Run:
    def run() -> None:
        from pydicom import dcmread

        dataset = dcmread(path)
        dataset.pixel_array * np.float32(dataset.DoseGridScaling)

    return run


def files() -> Iterator[Contest]:
    peers: Entrants = {LIMIT: from_file(copied), "pydicom, times the scaling": from_file(by_pydicom)}
    common: dict[str, Any] = {"unit": "grids", "count": 1, "unit_bytes": VOXELS * 4, "rounds": 9}
    yield Contest(
        "dose-file",
        "Open an RT Dose of 192 MB, its grid in Gy, single precision, into an array that is there",
        entrants={OWN: from_file(own(out=True)), "one worker": from_file(own(out=True, workers=1)), **peers},
        goals={LIMIT: 0.85},
        **common,
    )
    yield Contest(
        "dose-file-new",
        "Open an RT Dose of 192 MB, its grid in Gy, single precision, into a new array",
        entrants={OWN: from_file(own()), "one worker": from_file(own(workers=1)), **peers},
        goals={LIMIT: 0.55},
        **common,
    )

    def child(code: str) -> Callable[[Path], Run]:
        def make(path: Path) -> Run:
            def run() -> Sample:
                return child_python(code, str(path))[0]

            return run

        return make

    yield Contest(
        "dose-process",
        "The same in a process of its own: peak memory, where the grid is 192 MB",
        entrants={
            OWN: from_file(
                child(
                    "import numpy as np\nfrom dicomcore import dcmread\nfrom dicomcore.rt.dose import Dose\n"
                    "with clock: grid = Dose(dcmread(sys.argv[1])).grid(np.float32)"
                )
            ),
            "pydicom, times the scaling": from_file(
                child(
                    "import numpy as np\nfrom pydicom import dcmread\n"
                    "with clock:\n ds = dcmread(sys.argv[1]); grid = ds.pixel_array * np.float32(ds.DoseGridScaling)"
                )
            ),
        },
        **common | {"rounds": 3},
    )


def memory() -> Iterator[Contest]:
    from dicomcore import dcmread
    from dicomcore.rt.dose import Dose

    @cache
    def dose() -> Dose:
        return Dose(dcmread(dose_file()))

    @cache
    def room() -> Array:
        return np.ones(SHAPE, np.float32)

    common: dict[str, Any] = {"unit": "grids", "count": 1, "unit_bytes": VOXELS * 4, "rounds": 9}
    multiply = "numpy's multiply into out"
    yield Contest(
        "dose-memory",
        "The grid of an RT Dose in memory, single precision, into an array that is there; one core each",
        entrants={
            OWN: plain(lambda: dose().grid(out=room(), workers=1)),
            "two workers": plain(lambda: dose().grid(out=room(), workers=2)),
            multiply: plain(
                lambda: np.multiply(
                    stored_numbers(), np.float32(SCALING), out=room(), dtype=np.float32, casting="same_kind"
                )
            ),
        },
        goals={multiply: 1.0},
        **common,
    )
    alone = "the grid alone"
    yield Contest(
        "dose-statistics",
        "The same with minimum, maximum and mean; one core each",
        entrants={
            OWN: plain(lambda: dose().read(out=room(), workers=1)),
            alone: plain(lambda: dose().grid(out=room(), workers=1)),
            "numpy's three of the grid": plain(lambda: (room().min(), room().max(), room().mean(dtype=np.float64))),
        },
        goals={alone: 0.8},
        **common,
    )
    single = "one worker"
    yield Contest(
        "dose-histogram",
        "1,000 bins of the grid of an RT Dose in memory, no array made",
        entrants={
            OWN: plain(lambda: dose().histogram(RANGE)),
            single: plain(lambda: dose().histogram(RANGE, workers=1)),
            "numpy.histogram of the grid": plain(lambda: np.histogram(room(), 1000, RANGE)),
        },
        goals={single: 1.7},
        note="One worker is to take 60 ms at most.",
        **common,
    )
    yield from points_and_back(dose, common)


def points_and_back(dose: Callable[[], Any], common: dict[str, Any]) -> Iterator[Contest]:
    from dicomcore.rt.dose import Dose

    @cache
    def grid() -> Any:
        return dose().read(np.float32)

    @cache
    def points() -> Array:
        return np.random.default_rng(3).uniform(0, 1, (1_000_000, 3)) * [399, 399, 747.5] - [200, 200, 375]

    def by_numpy() -> None:
        index = (points() + np.array([200, 200, 375])) / [1, 1, 2.5]
        low = np.minimum(index.astype(int), np.array(SHAPE[::-1]) - 2)
        part = index - low
        array, (x, y, z) = grid().array, low.T
        total = np.zeros(len(low))
        for dz, dy, dx in np.ndindex(2, 2, 2):
            weight = np.abs(1 - dx - part[:, 0]) * np.abs(1 - dy - part[:, 1]) * np.abs(1 - dz - part[:, 2])
            total += weight * array[z + dz, y + dy, x + dx]

    yield Contest(
        "dose-points",
        "Dose at a million points anywhere in the grid, trilinear",
        "points",
        1_000_000,
        {
            OWN: plain(lambda: grid().sample(points())),
            "one worker": plain(lambda: grid().sample(points(), workers=1)),
            "by hand in numpy": plain(by_numpy),
        },
        rounds=5,
    )
    yield Contest(
        "dose-encode",
        "Single precision into stored numbers of 32 bits, the scaling chosen and the greatest error measured",
        entrants={
            OWN: plain(lambda: Dose.encode(grid().array, 32)),
            "by hand in numpy": plain(
                lambda: np.rint(grid().array / np.float64(grid().array.max() / (2**32 - 256))).astype(np.uint32)
            ),
        },
        **common | {"rounds": 5},
    )


def contests() -> Iterator[Contest]:
    yield from files()
    yield from memory()
