"""Values: every one as a Python object, contours as arrays, arrays as text, data sets that were assigned, memory."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from io import BytesIO
from typing import Any

from benchmarks._harness import OWN, Contest, Missing, Run, Sample, child_python, dcmtk_program, plain, ram_folder
from benchmarks._inputs import EXPLICIT, ct, enhanced_header, flat_elements, more_frames, structure_set

Entrants = dict[str, Callable[[], AbstractContextManager[Run]]]


def _dcmtk(question: str, data: bytes, count: int) -> Callable[[], AbstractContextManager[Run]]:
    @contextmanager
    def entrant() -> Iterator[Run]:
        program = dcmtk_program("dcmtk_values")
        with ram_folder() as folder:
            path = folder / "object.dcm"
            path.write_bytes(data)

            def run() -> Sample:
                argv = [str(program), question, str(path), str(count)]
                done = subprocess.run(argv, capture_output=True, text=True, check=True)
                seconds, cpu, _ = done.stdout.split()
                return Sample(float(seconds), float(cpu))

            yield run

    return entrant


def _dicomsdl() -> Any:
    try:
        import dicomsdl
    except ImportError:
        raise Missing("pip install dicomsdl") from None
    return dicomsdl


def _walk(dataset: Any) -> None:
    for element in dataset:
        value = element.value
        if element.VR == "SQ":
            for item in value:
                _walk(item)


def _walk_sdl(dataset: Any, sequence: Any, pixels: Any) -> None:
    for element in dataset:
        vr = element.vr()
        if vr == sequence:
            for item in element.toSequence():
                _walk_sdl(item, sequence, pixels)
        elif vr != pixels:
            element.value()


def _every_value(name: str, title: str, data: bytes) -> Contest:
    def own() -> None:
        from dicomcore import dcmread

        _walk(dcmread(data))

    def pydicom() -> None:
        from pydicom import dcmread

        _walk(dcmread(BytesIO(data)))

    @contextmanager
    def sdl() -> Iterator[Run]:
        library = _dicomsdl()

        def run() -> None:
            _walk_sdl(library.open_memory(data), library.VR.SQ, library.VR.PIXSEQ)

        yield run

    entrants: Entrants = {
        OWN: plain(own),
        "pydicom": plain(pydicom),
        "dicomsdl": sdl,
        "DCMTK in C++ (no Python objects)": _dcmtk("values", data, 1),
    }
    return Contest(name, title, "objects", 1, entrants, unit_bytes=len(data), rounds=5, goals={"dicomsdl": 3})


def contours() -> Contest:
    data, count = structure_set(), 5

    def own() -> None:
        from dicomcore import dcmread

        for _ in range(count):
            for region in dcmread(data).ROIContourSequence:
                region.ContourSequence.as_arrays("ContourData")

    def singly() -> None:
        from dicomcore import dcmread

        for _ in range(count):
            for region in dcmread(data).ROIContourSequence:
                for contour in region.ContourSequence:
                    contour.as_array("ContourData")

    return Contest(
        "values-contours",
        f"Open an RT Structure Set of {len(data) / 1e6:.1f} MB, every contour's points as an array of doubles",
        "objects",
        count,
        {
            OWN: plain(own),
            "one by one": plain(singly),
            "DCMTK in C++": _dcmtk("contours", data, count),
            "DCMTK's text, a loop by hand": _dcmtk("by-hand", data, count),
        },
        unit_bytes=len(data),
        goals={"DCMTK in C++": 5},
    )


def _text(write: bool) -> Contest:
    import numpy as np

    count = 1_000_000
    numbers = np.random.default_rng(1).uniform(-300, 300, count).round(4)

    def own() -> Run:
        from dicomcore.encoding.arrays import decode_array, encode_array

        text = encode_array("DS", numbers)
        return (lambda: encode_array("DS", numbers)) if write else (lambda: decode_array("DS", text))  # type: ignore[return-value]

    def python() -> Run:
        text = "\\".join(map(repr, numbers.tolist()))
        if write:
            return lambda: "\\".join(map(repr, numbers.tolist()))  # type: ignore[return-value]
        return lambda: np.array(text.split("\\"), np.float64)  # type: ignore[return-value]

    def late(make: Callable[[], Run]) -> Callable[[], AbstractContextManager[Run]]:
        @contextmanager
        def entrant() -> Iterator[Run]:
            work = make()

            def run() -> None:
                work()

            yield run

        return entrant

    title = "An array of doubles to decimal strings" if write else "Decimal strings to an array of doubles"
    name = "values-write" if write else "values-read"
    entrants: Entrants = {OWN: late(own), "repr and join" if write else "split and numpy": late(python)}
    return Contest(name, title, "values", count, entrants, note=f"Goal: {5 if write else 20} million a second.")


def _afresh(source: Any, make: Callable[[], Any]) -> Any:
    made = make()
    for element in source:
        value = element.value
        if element.VR == "SQ":
            value = [_afresh(item, make) for item in value]
        made.add_new(element.tag, element.VR, value)
    return made


def _encode(name: str, title: str, data: bytes, count: int) -> Contest:
    @contextmanager
    def own() -> Iterator[Run]:
        from dicomcore import Dataset, dcmread

        made = _afresh(dcmread(data), Dataset)

        def run() -> None:
            for _ in range(count):
                made.to_bytes(EXPLICIT)

        yield run

    @contextmanager
    def pydicom() -> Iterator[Run]:
        from pydicom import Dataset, dcmread, dcmwrite
        from pydicom.sequence import Sequence

        def make(source: Any) -> Any:
            made = Dataset()
            for element in source:
                value = element.value
                if element.VR == "SQ":
                    value = Sequence([make(item) for item in value])
                made.add_new(element.tag, element.VR, value)
            return made

        made = make(dcmread(BytesIO(data)))

        def run() -> None:
            for _ in range(count):
                dcmwrite(BytesIO(), made, implicit_vr=False, little_endian=True, force_encoding=True)

        yield run

    @contextmanager
    def sdl() -> Iterator[Run]:
        from dicomcore import dcmread

        library = _dicomsdl()

        def fill(made: Any, source: Any) -> Any:
            """From value fields, for its numbers would be written shorter than those of the others."""
            for element in source:
                added = made.addDataElement(int(element.tag), getattr(library.VR, element.VR))
                if element.VR == "SQ":
                    items = added.toSequence()
                    for item in element.value:
                        fill(items.addDataSet(), item)
                else:
                    added.fromBytes(bytes(source.view(element.tag)))
            return made

        made = fill(library.DataSet(), dcmread(data))
        if dcmread(made.saveToMemory()).to_bytes(EXPLICIT) != dcmread(data).to_bytes(EXPLICIT):
            raise Missing("a dicomsdl that writes what it was given")

        def run() -> None:
            for _ in range(count):
                made.saveToMemory()

        yield run

    # What each holds is its own affair: pydicom values, DCMTK and dicomsdl value fields, we values and fields of lists.
    # All encode the data set into memory; dicomsdl can only do so with 256 bytes of preamble and file meta before it.
    entrants: Entrants = {
        OWN: own,
        "pydicom": pydicom,
        "dicomsdl (value fields, to memory)": sdl,
        "DCMTK in C++": _dcmtk("encode", data, count),
    }
    goals = {"dicomsdl (value fields, to memory)": 2, "DCMTK in C++": 2}
    return Contest(name, title, "objects", count, entrants, unit_bytes=len(data), rounds=3, goals=goals)


def _from_lists() -> Contest:
    """What a planning program does: contours of plain Python numbers are assigned, then the object is encoded."""
    data, count = structure_set(), 1

    def lists(source: Any) -> list[list[float]]:
        return [
            list(map(float, contour.ContourData))
            for region in source.ROIContourSequence
            for contour in region.ContourSequence
        ]

    def program(library: Any, encode: Callable[[Any], object]) -> Callable[[], AbstractContextManager[Run]]:
        @contextmanager
        def entrant() -> Iterator[Run]:
            from dicomcore import dcmread

            numbers = lists(dcmread(data))

            def run() -> None:
                made = library.Dataset()
                made.ContourSequence = items = []
                for points in numbers:
                    item = library.Dataset()
                    item.ContourGeometricType = "CLOSED_PLANAR"
                    item.NumberOfContourPoints = len(points) // 3
                    item.ContourData = points
                    items.append(item)
                made.ContourSequence = items
                encode(made)

            yield run

        return entrant

    import dicomcore

    def pydicom() -> AbstractContextManager[Run]:
        import pydicom as library

        def encode(made: Any) -> None:
            library.dcmwrite(BytesIO(), made, implicit_vr=False, little_endian=True, force_encoding=True)

        return program(library, encode)()

    own = program(dicomcore, lambda made: made.to_bytes(EXPLICIT))
    entrants: Entrants = {OWN: own, "pydicom": pydicom}
    title = f"Assign the contours of {len(data) / 1e6:.1f} MB from lists of floats, and encode"
    return Contest("values-encode-lists", title, "objects", count, entrants, rounds=3)


def enhanced_open() -> Contest:
    data = more_frames(enhanced_header(EXPLICIT), 10)

    def own() -> None:
        from dicomcore import dcmread

        _ = dcmread(data).NumberOfFrames

    @contextmanager
    def sdl() -> Iterator[Run]:
        library = _dicomsdl()

        def run() -> None:
            _ = library.open_memory(data).NumberOfFrames

        yield run

    return Contest(
        "values-enhanced-open",
        "Open the header of an enhanced CT of 10,000 frames, all lengths defined",
        "objects",
        1,
        {OWN: plain(own), "dicomsdl": sdl},
        unit_bytes=len(data),
        goals={"dicomsdl": 10},
        note="Goal: under 5 ms.",
    )


HOLD = """
import dicomcore
from dicomcore.data.files import read_dataset
data = open(sys.argv[1], "rb").read()
read_dataset(data, "1.2.840.10008.1.2.1")
with clock:
    held = [read_dataset(data, "1.2.840.10008.1.2.1") for _ in range({count})]
"""


def memory() -> Contest:
    count, elements = 20, 100_000

    @contextmanager
    def own() -> Iterator[Run]:
        with ram_folder() as folder:
            path = folder / "flat.bin"
            path.write_bytes(flat_elements(elements))

            def run() -> Sample:
                sample, idle = child_python(HOLD.format(count=count), str(path))
                return Sample(sample.seconds, sample.cpu, (sample.peak or idle) - idle)

            yield run

    return Contest(
        "values-memory",
        f"Hold {count} untouched data sets of {elements:,} elements over the same bytes",
        "elements",
        count * elements,
        {OWN: own},
        rounds=2,
        note=f"Goal: 32 bytes an element, {count * elements * 32 / 1e6:.0f} MB in all.",
    )


def contests() -> Iterable[Contest]:
    objects: list[tuple[str, str, bytes, int]] = [
        ("ct", "a 512 x 512 CT", ct(EXPLICIT), 50),
        ("structure-set", "an RT Structure Set of 7 MB", structure_set(), 1),
        ("enhanced", "an enhanced CT header of 1,000 frames", enhanced_header(), 1),
    ]
    for name, title, data, _ in objects[1:]:
        yield _every_value(f"values-{name}", f"Open {title} and read every value at every depth", data)
    data = enhanced_header(delimited=True)
    yield _every_value("values-enhanced-undefined", "The same header, all lengths undefined", data)
    yield contours()
    yield _text(False)
    yield _text(True)
    for name, title, data, count in objects:
        yield _encode(f"values-encode-{name}", f"Encode {title} whose every element was assigned", data, count)
    yield _from_lists()
    yield enhanced_open()
    yield memory()
