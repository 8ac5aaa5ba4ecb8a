"""Seeded targets: each takes a seed, damages what its seed picks, and lets only documented errors (`DicomError`) out.

`reader` and `models` go through all that `tests.anomaly.test_mutations` does with a file; the others aim at one module.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom

from dicomcore import Dataset, DicomError, FileSet, dcmread
from dicomcore.encoding.text import decode_text, encode_text
from dicomcore.vocab.vr import VRS
from tests.anomaly.test_mutations import HOSTILE, LIMITS, SYNTAXES, attempt, exercise, made_files, mutate, saved, walk
from tests.data.faults import FAULTS

FOLDER = Path(pydicom.__file__).parent / "data" / "test_files"
TERMS = [
    *("ISO_IR 6", "ISO_IR 100", "ISO_IR 144", "ISO_IR 192", "GB18030", "GBK", "ISO 2022 IR 6", "ISO 2022 IR 13"),
    *("ISO 2022 IR 87", "ISO 2022 IR 149", "ISO 2022 IR 159", "ISO 2022 IR 58", "ISO 2022 IR 144", "", "nonsense"),
]
ESCAPES = [
    b"\x1b(B",
    b"\x1b(J",
    b"\x1b)I",
    b"\x1b$B",
    b"\x1b$(D",
    b"\x1b$)C",
    b"\x1b$)A",
    b"\x1b-L",
    b"\x1b",
    b"=",
    b"^",
]
TEXT_VRS = [code for code, row in VRS.items() if row.is_text]


@cache
def samples() -> list[bytes]:
    """Small files of every kind."""
    paths = [path for path in sorted(FOLDER.rglob("*.dcm")) if path.stat().st_size < 40_000]
    made = [data for _, data in made_files()]
    return [*made, *made, *[fault.data for fault in FAULTS], *[path.read_bytes() for path in paths]]


def reader(seed: int) -> None:
    chance = random.Random(seed)
    exercise(mutate(chance.choice(samples()), seed), seed)


def writer(seed: int) -> None:
    """Options and edits over damaged data; what is written is read again."""
    chance = random.Random(seed)
    data = chance.choice(samples())
    ds = attempt(dcmread, mutate(data, seed) if chance.random() < 0.7 else data, limits=LIMITS)
    if ds is None:
        return
    for element in [one for one in ds if chance.random() < 0.2]:
        attempt(ds.pop, element.tag)
    if chance.random() < 0.5:
        ds.SpecificCharacterSet = chance.choice(TERMS)
    if chance.random() < 0.5:
        ds.PixelRepresentation = chance.randrange(2)
    if chance.random() < 0.5:
        attempt(ds.add_new, 0x00290010, "LO", chance.choice(["SIEMENS CSA HEADER", "NOBODY"]))
    sequences = [one.value for one in ds.iterall() if one.VR == "SQ" and len(one.value)]
    if sequences and chance.random() < 0.5:
        ds.ContentSequence = [*chance.choice(sequences)]
    options: dict[str, Any] = {
        "lengths": chance.choice([None, "defined", "undefined"]),
        "group_lengths": chance.choice([None, True, False]),
    }
    out = BytesIO()
    try:
        deepcopy(ds).save_as(out, chance.choice(SYNTAXES), **options)
    except DicomError:
        return
    walk(dcmread(out.getvalue(), limits=LIMITS))


def charset(seed: int) -> None:
    chance = random.Random(seed)
    terms = tuple(chance.choices(TERMS, k=chance.randrange(4)))
    raw = b"".join(
        chance.choice([chance.choice(ESCAPES), chance.randbytes(chance.randrange(6)), b"\\", b"\x1b$B;3ED"])
        for _ in range(chance.randrange(8))
    )
    vr = chance.choice(TEXT_VRS)
    text = decode_text(raw, terms, vr, [])
    attempt(encode_text, text, terms, vr)
    ds = Dataset()
    ds.SpecificCharacterSet = list(terms)
    ds.PatientName = text
    attempt(saved, ds)
    declared = "\\".join(terms).encode()
    declared += b" " * (len(declared) & 1)
    raw += b" " * (len(raw) & 1)
    data = b"\x08\0\x05\0CS" + len(declared).to_bytes(2, "little") + declared
    data += b"\x10\0\x10\0PN" + len(raw).to_bytes(2, "little") + raw
    read = dcmread(data, limits=LIMITS)
    str(read), attempt(read.to_json), attempt(read.to_xml)
    read.SpecificCharacterSet = chance.choice(TERMS)
    attempt(saved, read)


def mutated_text(text: str, chance: random.Random) -> str:
    """Pieces cut out, doubled, exchanged, or put where they do not belong."""
    pieces = ["null", "[]", "{}", '"SQ"', "1e999", "-1", '"\\ud800"', "]", "<Value>", "</Item>", "&amp;", "\0", '"vr"']
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(text) + 1)
        end = at + chance.randrange(12)
        text = text[:at] + chance.choice([*pieces, "", text[at:end] * 2]) + text[end:]
    return text


@cache
def models() -> tuple[list[str], list[str]]:
    """JSON and XML of small data sets."""
    sources = [dcmread(data) for data in samples()[:40]]
    made = [(attempt(ds.to_json), attempt(ds.to_xml)) for ds in sources]
    return [one for one, _ in made if one], [one for _, one in made if one]


def json(seed: int) -> None:
    chance = random.Random(seed)
    read = attempt(Dataset.from_json, mutated_text(chance.choice(models()[0]), chance))
    if read is not None:
        for step in (walk, str, saved):
            attempt(step, read)


def xml(seed: int) -> None:
    chance = random.Random(seed)
    read = attempt(Dataset.from_xml, mutated_text(chance.choice(models()[1]), chance))
    if read is not None:
        for step in (walk, str, saved):
            attempt(step, read)


def dicomdir(seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray((FOLDER / "dicomdirtests" / "DICOMDIR").read_bytes()[:40_000])
    for _ in range(chance.randint(1, 3)):  # offsets of records, mostly: they lie everywhere
        at = chance.randrange(300, len(data))
        piece = chance.choice([*HOSTILE, chance.randbytes(4), (chance.randrange(len(data))).to_bytes(4, "little")])
        data[at : at + len(piece)] = piece
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "DICOMDIR"
        path.write_bytes(mutate(bytes(data), seed) if chance.random() < 0.3 else bytes(data))
        found = attempt(FileSet.open, path)
        if found is not None:
            attempt(lambda: [str(record) for record in found.walk()])
            attempt(found.check)
            attempt(lambda: [found.patients(), found.find("IMAGE")])


TARGETS: dict[str, Callable[[int], None]] = {
    one.__name__: one for one in (reader, writer, charset, json, xml, dicomdir)
}
