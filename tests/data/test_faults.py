"""Every fault of `faults.py`: read leniently with its Issue, refused strictly, beside other readers, and rewritten."""

from __future__ import annotations

import io
import re
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest

from dicomcore import Dataset, Policy, dcmread
from dicomcore.errors import EncodingError
from dicomcore.vocab.syntaxes import SYNTAXES
from tests.data.faults import BE, EXPL, FAULTS, IMPL, SOUND, Fault

IDENTIFIERS = ("00080016", "00080018")
MENDED = {
    "truncated in a value": "half a number is padded to a whole one",
    "undefined sequence without item": "UN on a sequence's tag is read as a sequence",
}
each = pytest.mark.parametrize("fault", FAULTS, ids=lambda one: one.name)


def shown(dataset: Any) -> str:
    """Elements as tag:VR=value; of pydicom's data sets too."""
    parts = []
    for element in dataset:
        number = f"{int(element.tag):08X}"
        if number in IDENTIFIERS:
            continue
        value = element.value
        if element.VR == "SQ":
            text = "[" + "|".join(map(shown, value)) + "]"
        else:
            text = repr(value[:12] if isinstance(value, bytes) else str(value))[:26]
        parts.append(f"{number}:{element.VR}={text}")
    return " ".join(parts)


def tags(dataset: Dataset) -> list[str]:
    return [f"{element.tag >> 16:04x},{element.tag & 0xFFFF:04x}" for element in dataset.iterall()]


@each
def test_lenient_reading_tells_and_strict_reading_refuses(fault: Fault) -> None:
    ds = dcmread(fault.data)
    assert shown(ds) == fault.shown
    issue = ds.check()[0]
    assert issue.message.startswith(fault.message)
    assert issue.clause == fault.clause
    assert issue.offset is not None
    with pytest.raises(EncodingError) as caught:
        dcmread(fault.data, policy=Policy.strict())
    assert caught.value.clause
    assert caught.value.offset is not None
    assert (caught.value.message, caught.value.path) in [(one.message, one.path) for one in ds.issues]


@pytest.mark.parametrize("name", SOUND)
def test_what_is_sound_has_no_issue(name: str) -> None:
    assert not dcmread(SOUND[name], policy=Policy.strict()).check()


@each
def test_paths_and_streams_read_alike(fault: Fault, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(fault.data)
    whole = dcmread(fault.data)
    for origin in (path, io.BytesIO(fault.data)):
        ds = dcmread(origin)
        assert shown(ds) == fault.shown
        assert ds.check() == whole.check()
    stopped = dcmread(io.BytesIO(fault.data), stop_before_pixels=True)
    assert tags(stopped) == [one for one in tags(whole) if one not in ("7fe0,0010", "fffc,fffc", "ffff,ffff")]


@each
def test_pydicom_and_dcmdump_agree_where_they_read_it(fault: Fault, tmp_path: Path, peer: Callable[[str], str]) -> None:
    if "P" in fault.peers:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert shown(pydicom.dcmread(io.BytesIO(fault.data), force=True)) == fault.shown
    path = tmp_path / "file"
    path.write_bytes(fault.data)
    done = subprocess.run([peer("dcmdump"), "-q", str(path)], capture_output=True, check=False)
    found = re.findall(rb"(?m)^ *\(([0-9a-f]{4},[0-9a-f]{4})\)", done.stdout)
    same = [one.decode() for one in found if one[:4] not in (b"0002", b"fffe")] == tags(dcmread(fault.data))
    assert ("D" in fault.peers) == (same and done.returncode == 0)


@each
@pytest.mark.parametrize("syntax", [EXPL, IMPL, BE], ids=lambda uid: SYNTAXES[uid].keyword)
def test_written_in_another_syntax_nothing_is_lost(fault: Fault, syntax: str) -> None:
    """Written with a change, so that it is built anew; what comes out is sound and holds the same."""
    ds = dcmread(fault.data)
    if ds.file_meta.get("TransferSyntaxUID") in SYNTAXES and SYNTAXES[ds.file_meta.TransferSyntaxUID].encapsulated:
        if "PixelData" in ds:
            return
        ds.file_meta.TransferSyntaxUID = EXPL
    ds.PatientID = "1"
    for options in ({}, {"lengths": "defined"}, {"lengths": "undefined"}, {"group_lengths": False}):
        out = io.BytesIO()
        ds.save_as(out, syntax, **options)
        again = dcmread(out.getvalue())
        names = [tag for tag in tags(ds) if tag != "ffff,ffff"]
        assert [tag for tag in tags(again) if tag != "ffff,ffff"] == names
        if syntax == EXPL and fault.name not in MENDED:
            assert shown(again) == shown(ds)


def test_gzip_is_refused_with_a_hint() -> None:
    with pytest.raises(EncodingError, match="decompress it first"):
        dcmread(b"\x1f\x8b\x08\0" + bytes(200))


def test_broken_structure_is_told_from_bad_form() -> None:
    for fault in FAULTS:
        issues = dcmread(fault.data).check()
        if any(word in fault.name for word in ("truncated", "cut short", "overlong", "without delimiter")):
            assert any(issue.is_broken for issue in issues), fault.name
        elif any(word in fault.name for word in ("odd", "meta", "declared", "order", "explicit in")):
            assert not any(issue.is_broken for issue in issues), fault.name


@pytest.mark.parametrize("name", ["explicit", "implicit", "big endian", "empty items"])
def test_wherever_a_file_is_cut_its_structure_is_broken(name: str) -> None:
    data = SOUND[name]
    ds = dcmread(data)
    assert ds._origin is not None
    index = ds._origin.index
    ends = {index.header_offset_at(row) for row in range(len(index))} | {index.end_offset}
    for length in range(index.header_offset_at(0), len(data) + 1):
        broken = any(issue.is_broken for issue in dcmread(data[:length]).check())
        assert broken is (length not in ends), length
