"""Seeded damage to real and made files: whatever is read, walked, shown, converted or written back, only the documented
errors leave, no process dies, and no step takes long.

Every mutation is named by (file, seed): ``DICOMCORE_MUTATION=name:seed`` repeats a failure. Cuts at every byte and runs
of random bytes are mutations too. Under ``HYPOTHESIS_PROFILE=thorough`` each file gets fifty times as many.
"""

from __future__ import annotations

import os
import random
import time
import warnings
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from dicomcore import Dataset, DicomError, Limits, Policy, dcmread
from dicomcore.data.sequence import Sequence

ROUNDS = 50 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 1
# A mutated length may ask for much: what is answered stays small, so that a test machine never swaps.
LIMITS = Limits().but(inflated_length=64 << 20, memory_object=64 << 20)
LARGEST = 300_000
# CPU time of one mutation: far above what any of these files takes, sanitizers included, far below a quadratic step.
SECONDS = 20.0
HOSTILE = [b"\xff\xff\xff\xff", b"\xfe\xff\xff\xff", b"\x00\x00\x00\x80", b"\xff\xff\xff\x7f", b"\xff\xff", b"\x00\x00"]
DELIMITERS = [
    bytes.fromhex("FEFF00E0FFFFFFFF"),
    bytes.fromhex("FEFF0DE000000000"),
    bytes.fromhex("FEFFDDE000000000"),
    b"SQ\0\0\xff\xff\xff\xff",
    b"UN\0\0\xff\xff\xff\xff",
    b"OB\0\0\xff\xff\xff\xff",
]
VRS = [b"SQ", b"UN", b"OB", b"UC", b"US", b"FD", b"PN", b"AT", b"IS", b"DS", b"??", b"\0\0"]


def walk(dataset: Dataset) -> int:
    """Touch every value, nested ones too; the number of elements seen."""
    seen = 0
    for element in dataset:
        value = element.value
        seen += 1
        if isinstance(value, Sequence):
            seen += sum(walk(item) for item in value)
    return seen


def attempt(step: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """The step's answer, or None where it refused with a documented error."""
    try:
        return step(*arguments, **options)
    except DicomError as error:
        str(error)
        return None


SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99")


def exercise(data: bytes, seed: int) -> None:
    """All that one does with a file of unknown origin."""
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for policy in (None, Policy.strict()):
            dataset = attempt(dcmread, data, policy=policy, limits=LIMITS)
            if dataset is None:
                continue
            for step in (walk, str, meta, edit, saved):
                attempt(step, dataset)
            for method in (dataset.check, dataset.to_json, dataset.to_bytes):
                attempt(method)
            attempt(getattr, dataset, "pixel_array")
            again = attempt(saved, dataset, SYNTAXES[seed % len(SYNTAXES)])
            if again is not None:
                written = attempt(dcmread, again, limits=LIMITS)
                if written is not None:
                    attempt(walk, written)
    assert time.process_time() - start < SECONDS


def meta(dataset: Dataset) -> Any:
    return dataset.file_meta.get("TransferSyntaxUID")


def saved(dataset: Dataset, transfer_syntax: str | None = None) -> bytes:
    """A Part 10 file in memory."""
    out = BytesIO()
    dataset.save_as(out, transfer_syntax=transfer_syntax)
    return out.getvalue()


def edit(dataset: Dataset) -> bytes:
    """On a copy, so that the steps after it see what was read."""
    dataset = dataset.copy()
    dataset.PatientName = "Changed^By^Test"
    dataset.SpecificCharacterSet = "ISO_IR 192"
    return saved(dataset)


def mutate(data: bytes, seed: int) -> bytes:
    """One to four seeded wounds, mostly in the headers at the front, where they hurt."""
    chance = random.Random(seed)
    out = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        if len(out) < 16:
            break
        reach = len(out) if chance.random() < 0.3 else min(len(out), 4096)
        at = chance.randrange(reach)
        wound = chance.randrange(8)
        if wound == 0:
            out[at] ^= 1 << chance.randrange(8)
        elif wound == 1:
            piece = chance.choice(HOSTILE)
            out[at : at + len(piece)] = piece
        elif wound == 2:
            out[at : at + chance.randint(1, 64)] = b""
        elif wound == 3:
            out[at:at] = chance.randbytes(chance.randint(1, 32))
        elif wound == 4:
            out[at:at] = chance.choice(DELIMITERS)
        elif wound == 5:
            piece = chance.choice(DELIMITERS)
            out[at : at + len(piece)] = piece
        elif wound == 6:
            out[at : at + 2] = chance.choice(VRS)
        else:
            del out[at:]
    return bytes(out)


def small_files(paths: list[Path]) -> Iterator[tuple[str, bytes]]:
    for path in paths:
        if path.stat().st_size <= LARGEST:
            yield path.name, path.read_bytes()


def made_files() -> Iterator[tuple[str, bytes]]:
    """Nested, private and awkward: what the samples have little of, in every uncompressed syntax."""
    inner = Dataset()
    inner.CodeValue, inner.CodeMeaning = "C1", "Täst"
    outer = Dataset()
    outer.ContentSequence = [inner, Dataset()]
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.481.3", "2.25.99"
    dataset.PatientName = "Müller^Jörg=三田^太郎"
    dataset.Rows, dataset.Columns = 2, 2
    dataset.PixelRepresentation, dataset.SmallestImagePixelValue = 1, -3
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.ConceptNameCodeSequence = [outer, inner]
    block = dataset.private_block(0x0029, "DICOMCORE TEST", create=True)
    block.add_new(1, "UN", b"\x01\x02\x03\x04")
    block.add_new(2, "SQ", [inner])
    dataset.PixelData = b"\0\1\2\3\4\5\6\7"
    for syntax in SYNTAXES:
        yield f"made-{syntax}", saved(dataset, syntax)


def test_mutations(pydicom_files: list[Path]) -> None:
    only, _, wanted = os.environ.get("DICOMCORE_MUTATION", "").rpartition(":")
    for name, data in [*small_files(pydicom_files), *made_files()]:
        if only and name != only:
            continue
        made = name.startswith("made-")
        for seed in [int(wanted)] if only else range((150 if made else 30) * ROUNDS):
            try:
                exercise(mutate(data, seed) if seed else data, seed)
            except Exception as error:
                error.add_note(f"DICOMCORE_MUTATION={name}:{seed}")
                raise


@pytest.mark.parametrize("number", range(len(SYNTAXES)))
def test_cut_at_every_byte(number: int) -> None:
    _, data = list(made_files())[number]
    for length in range(len(data)):
        dataset = attempt(dcmread, data[:length], limits=LIMITS)
        if dataset is not None:
            attempt(walk, dataset)
            attempt(saved, dataset)


def test_random_bytes() -> None:
    for seed in range(200 * ROUNDS):
        chance = random.Random(seed)
        noise = chance.randbytes(chance.randint(0, 600))
        exercise(noise, seed)
        exercise(bytes(128) + b"DICM" + noise, seed)


def test_nesting_without_end() -> None:
    """Depth is bounded by `Limits`, whatever the bytes claim, and never by the interpreter's stack."""
    opened = bytes.fromhex("400030A7") + b"SQ\0\0\xff\xff\xff\xff" + DELIMITERS[0]
    exercise(opened * 20_000, 0)
    implicit = bytes.fromhex("400030A7FFFFFFFF") + DELIMITERS[0]
    exercise(implicit * 20_000, 1)
