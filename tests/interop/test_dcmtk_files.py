"""Files against DCMTK: what we write dcmdump reads, what dcmconv writes we read, in every uncompressed syntax."""

from __future__ import annotations

import json
import re
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from dicomcore import Dataset, dcmread
from dicomcore.errors import DicomError
from dicomcore.vocab.syntaxes import DEFLATED_LE, EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE, TransferSyntax

FOLDER = Path(pydicom.__file__).parent / "data" / "test_files"
NAMES = ["CT_small.dcm", "rtplan.dcm", "rtdose.dcm", "test-SR.dcm", "examples_overlay.dcm", "waveform_ecg.dcm"]
FAULTS = {"rtdose.dcm": ["PS3.5 6.2 UI"]}  # a UID with a leading zero
FLAGS = {IMPLICIT_LE: "+ti", EXPLICIT_LE: "+te", EXPLICIT_BE: "+tb", DEFLATED_LE: "+td"}


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stderr
    assert not [line for line in done.stderr.splitlines() if line.startswith("E:")], done.stderr
    return done.stdout


@pytest.mark.parametrize("syntax", FLAGS, ids=lambda one: one.keyword)
@pytest.mark.parametrize("name", NAMES)
def test_dcmdump_reads_what_we_write(
    name: str, syntax: TransferSyntax, tmp_path: Path, peer: Callable[[str], str]
) -> None:
    path = tmp_path / "ours.dcm"
    ds = dcmread(FOLDER / name)
    ds.PatientComments = "edited"
    ds.save_as(path, syntax.uid)
    text = run(peer("dcmdump"), "-q", "+L", str(path))
    assert "[edited]" in text
    assert text.count("\n(") >= len(ds) - 1


@pytest.mark.parametrize("syntax", FLAGS, ids=lambda one: one.keyword)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("lengths", ["+e", "-e"])
def test_we_read_what_dcmconv_writes(
    name: str, syntax: TransferSyntax, lengths: str, tmp_path: Path, peer: Callable[[str], str]
) -> None:
    original = tmp_path / "original.dcm"
    dcmread(FOLDER / name).save_as(original, EXPLICIT_LE.uid)
    path = tmp_path / "theirs.dcm"
    run(peer("dcmconv"), "-q", FLAGS[syntax], lengths, str(original), str(path))
    ds = dcmread(path)
    assert ds.transfer_syntax == syntax.uid
    assert [issue.clause for issue in ds.check()] == FAULTS.get(name, [])
    back = tmp_path / "back.dcm"
    ds.save_as(back)
    assert back.read_bytes() == path.read_bytes()
    ds.save_as(back, EXPLICIT_LE.uid)
    run(peer("dcmconv"), "-q", "+te", lengths, str(path), str(tmp_path / "again.dcm"))
    assert dcmread(back) == dcmread(tmp_path / "again.dcm")


@pytest.mark.parametrize("name", NAMES)
def test_json_as_dcm2json(name: str, tmp_path: Path, peer: Callable[[str], str]) -> None:
    ds = dcmread(FOLDER / name)
    theirs = json.loads(run(peer("dcm2json"), "-q", str(FOLDER / name)))
    ours = json.loads(ds.to_json())
    theirs = {key: row for key, row in theirs.items() if not key.startswith("0002") and not key.endswith("0000")}
    assert ours.keys() == theirs.keys()
    for key, row in theirs.items():
        if row["vr"] == ours[key]["vr"] and key != "00080005" and "Value" in row and row["vr"] not in ("SQ", "PN"):
            assert [str(one) for one in ours[key]["Value"]] == [str(one) for one in row["Value"]] or row["vr"] in (
                "DS",
                "FL",
                "FD",
            ), key
    assert Dataset.from_json(ours).to_json() == ds.to_json()


@pytest.mark.parametrize("syntax", [IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE], ids=lambda one: one.keyword)
@pytest.mark.parametrize("name", NAMES)
def test_group_lengths_of_every_level_are_dcmconvs(
    name: str, syntax: TransferSyntax, tmp_path: Path, peer: Callable[[str], str]
) -> None:
    """PS3.5 7.2: they come from one syntax, and are right in the other, in items too."""
    source, theirs, ours = (tmp_path / one for one in ("source.dcm", "theirs.dcm", "ours.dcm"))
    run(peer("dcmconv"), "-q", "+te", "+g", "+e", str(FOLDER / name), str(source))
    run(peer("dcmconv"), "-q", FLAGS[syntax], "+g", "+e", str(source), str(theirs))
    dcmread(source).save_as(ours, syntax.uid, group_lengths=True)
    bodies = []
    for path in (theirs, ours):
        origin = dcmread(path)._origin
        assert origin is not None
        bodies.append(path.read_bytes()[origin.index.header_offset_at(0) :])
    assert bodies[0] == bodies[1]


# Where dcmdump shows something else, or dciodvfy finds more, in a file whose every element was assigned anew
ANEW = {
    **dict.fromkeys(
        (
            "chrJapMulti.dcm",
            "chrJapMultiExplicitIR6.dcm",
            "chrKoreanMulti.dcm",
            "rtdose_rle.dcm",
            "rtdose_rle_1frame.dcm",
        ),
        "what is UN in the file is written by its VR",
    ),
    **dict.fromkeys(
        ("chrSQEncoding.dcm", "chrSQEncoding1.dcm"), "value 1 is ISO 2022 IR 13, so ESC ( J ends the kanji"
    ),
    **dict.fromkeys(("chrX1.dcm", "chrX2.dcm"), "the delimiter before an empty component group goes"),
    "J2K_pixelrep_mismatch.dcm": "private creators are UN in the file",
    "UN_sequence.dcm": "a sequence that was UN is written as SQ",
    **dict.fromkeys(
        ("MR_truncated.dcm", "rtplan_truncated.dcm"), "dcmdump refuses what is truncated, and reads what is left"
    ),
    "SC_rgb_jpeg.dcm": "dcmdump refuses what is not in the syntax that it declares",
}
REFUSED = {"badVR.dcm", "meta_missing_tsyntax.dcm", "nested_priv_SQ.dcm", "no_meta.dcm"}  # faults that none may assign


def shown(program: str, path: Path) -> list[bytes]:
    """What dcmdump says of every element; lengths and comments left out, and group lengths."""
    done = subprocess.run([program, "-q", "+L", str(path)], capture_output=True, check=False)
    lines = [re.sub(rb"\(.* with .*?\)|#.*|\s+", b" ", line).strip() for line in done.stdout.splitlines()]
    return [line for line in lines if not re.match(rb"$|\(0002|\(fffe|\(....,0000", line)]


def findings(program: str, path: Path) -> set[bytes]:
    return set(subprocess.run([program, str(path)], capture_output=True, check=False).stderr.splitlines())


def test_every_sample_written_anew(pydicom_files: list[Path], tmp_path: Path, peer: Callable[[str], str]) -> None:
    """The same content for dcmdump and pydicom, and nothing that dciodvfy did not find before."""
    dump, verify, path = peer("dcmdump"), peer("dciodvfy"), tmp_path / "anew.dcm"
    different, refused = set(), set()
    for original in pydicom_files:
        try:
            ds, anew = dcmread(original), Dataset()
            anew.update({element.tag: element for element in ds if element.tag & 0xFFFF})
            anew.file_meta = ds.file_meta
            for level in [anew, *(item for one in anew.iterall() if one.VR == "SQ" for item in one.value)]:
                for element in level:
                    if element.VR not in ("SQ", "UN") and not isinstance(element.value, bytes):
                        element.value = element.value
            anew.save_as(path, ds.transfer_syntax, enforce_file_format=False)
        except DicomError:
            refused.add(original.name)
            continue
        if shown(dump, original) != shown(dump, path) or findings(verify, path) - findings(verify, original):
            different.add(original.name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert len(pydicom.dcmread(path)) == len(anew)
    assert (different, refused) == (set(ANEW), REFUSED)
