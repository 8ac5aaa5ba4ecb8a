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

import numpy as np
import pydicom

from dicomcore import Dataset, DicomError, FileSet, dcmread, frames
from dicomcore.encoding.text import decode_text, encode_text
from dicomcore.pixels.codecs.rle import RLE
from dicomcore.pixels.image_model import ImageModel
from dicomcore.vocab.vr import VRS
from tests.anomaly.test_mutations import HOSTILE, LIMITS, SYNTAXES, attempt, exercise, made_files, mutate, saved, walk
from tests.data.faults import FAULTS
from tests.fuzz.pixel_targets import PIXEL_TARGETS

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


def rle(seed: int) -> None:
    """A damaged frame of RLE Lossless: all planes, or a documented error; what is whole decodes to what it was."""
    chance = random.Random(seed)
    samples, size = chance.choice([(1, 1), (1, 2), (3, 1), (1, 4), (3, 2), (4, 1), (1, 8)])
    rows, columns = chance.randint(1, 40), chance.choice([1, 3, 64, 127, 128, 129, 300])
    highest = chance.choice([0, 1, 3, (1 << 8 * size) - 1])
    values = np.random.default_rng(seed).integers(0, highest, (rows, columns, samples), np.uint64, endpoint=True)
    model = ImageModel(
        "PixelData", 1, rows, columns, samples, "RGB" if samples == 3 else "MONOCHROME2", False, 8 * size, 8 * size,
        8 * size - 1, "u",
    )  # fmt: skip
    frame = values.astype(model.dtype).reshape(model.frame_shape)
    assert RLE.encode is not None
    assert RLE.decode is not None
    data = RLE.encode(frame, model, model, {})
    out = np.empty_like(frame)
    attempt(RLE.decode, mutate(data, seed), model, out, lambda message, clause: None)
    assert RLE.decode(data, model, out, lambda message, clause: None) == model.photometric
    assert np.array_equal(out, frame)
    narrow = model.but(columns=chance.randint(1, columns))  # as a header that says something else
    attempt(RLE.decode, data, narrow, np.empty(narrow.frame_shape, model.dtype), lambda message, clause: None)


def pixels(seed: int) -> None:
    """Frames of an encapsulated object of several frames whose bytes are damaged anywhere, its fragments too."""
    chance = random.Random(seed)
    data = encapsulated_object()
    at = data.rindex(b"\xe0\x7f\x10\0")
    source = attempt(dcmread, data[:at] + mutate(data[at:], seed), limits=LIMITS)
    if source is None:
        return
    found = attempt(frames, source, limits=LIMITS, colour=chance.choice(["rgb", "stored"]))
    if found is None:
        return
    for i in range(min(len(found), 8)):
        attempt(found.__getitem__, i)
    attempt(found.decode_many, range(min(len(found), 8)))
    attempt(getattr, source, "pixel_array")


@cache
def encapsulated_object() -> bytes:
    """Four frames in RLE Lossless, with a Basic Offset Table."""
    chance = np.random.default_rng(7)
    model = ImageModel("PixelData", 1, 12, 16, 3, "RGB", False, 8, 8, 7, "u")
    assert RLE.encode is not None
    made = [RLE.encode(chance.integers(0, 3, model.frame_shape, np.uint8), model, model, {}) for _ in range(4)]
    ds = pydicom.Dataset()
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.5"
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7.4", "2.25.1"
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    ds.NumberOfFrames, ds.Rows, ds.Columns = 4, 12, 16
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    ds.PixelData = pydicom.encaps.encapsulate(made)
    ds["PixelData"].is_undefined_length = True
    out = BytesIO()
    pydicom.dcmwrite(out, ds, enforce_file_format=True)
    return out.getvalue()


TARGETS: dict[str, Callable[[int], None]] = {
    **{one.__name__: one for one in (reader, writer, charset, json, xml, dicomdir, rle, pixels)},
    **PIXEL_TARGETS,
}
