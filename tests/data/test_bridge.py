"""To and from pydicom: every VR, private blocks, nested items, empty values, names; all of its samples both ways."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import given
from pydicom.dataset import Dataset as Theirs
from pydicom.dataset import FileMetaDataset

from dicomcore import Dataset, dcmread, diff
from tests.data.models import datasets

PRIVATE = {
    "J2K_pixelrep_mismatch.dcm": "elements of known private creators stay UN there",
    **dict.fromkeys(
        ("chrJapMulti.dcm", "chrJapMultiExplicitIR6.dcm", "chrKoreanMulti.dcm"),
        "its private dictionary has SH where DCMTK's has ST for (0019,xx10) of AGFA",
    ),
}


def plain(dataset: Any) -> dict[str, Any]:
    """VR and value of every element, in types that both sides have; group lengths left out."""
    rows = {}
    for element in dataset:
        if int(element.tag) & 0xFFFF == 0:
            continue
        value = element.value
        if element.VR == "SQ":
            rows[f"{int(element.tag):08X}"] = ("SQ", [plain(item) for item in value])
            continue
        values = list(value) if isinstance(value, (list, pydicom.multival.MultiValue)) else [value]
        rows[f"{int(element.tag):08X}"] = (element.VR, [one(element.VR, single) for single in values])
    return rows


def one(vr: str, value: Any) -> Any:
    if value is None or value == "" or value == b"":
        return None
    if vr in ("DS", "FL", "FD"):
        return repr(float(value))
    if vr == "IS" or isinstance(value, int):
        return int(value)
    return value if isinstance(value, bytes) else str(value).rstrip("=") or None


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_samples_there_and_back(pydicom_files: list[Path]) -> None:
    count = 0
    for path in pydicom_files:
        if path.name in ("no_meta.dcm", "badVR.dcm"):
            continue
        theirs = pydicom.dcmread(path, force=True)
        ours = Dataset.from_pydicom(theirs)
        if path.name not in PRIVATE:
            assert plain(ours.to_pydicom()) == plain(ours), path
        read = dcmread(path)
        lengths = [tag for tag in read.keys() if not tag.element]  # noqa: SIM118
        assert [str(one) for one in diff(read, ours, ignore=lengths)] == [], path
        count += 1
    assert count > 100


@given(datasets())
def test_every_vr_there_and_back(ds: Dataset) -> None:
    theirs = ds.to_pydicom()
    assert plain(theirs) == plain(ds)
    assert Dataset.from_pydicom(theirs) == ds


@given(datasets())
def test_from_what_pydicom_was_told(ds: Dataset) -> None:
    """A pydicom Dataset made in memory, element by element, never encoded before."""
    assert Dataset.from_pydicom(rebuilt(ds)) == ds


def rebuilt(ds: Dataset) -> Theirs:
    theirs = Theirs()
    for element in ds:
        value: Any = element.value
        if element.VR == "SQ":
            value = [rebuilt(item) for item in value]
        elif element.VR == "PN" and value:
            value = [str(name) for name in value] if isinstance(value, list) else str(value)
        elif element.VR in ("DS", "IS") and value:
            value = [str(number) for number in value] if isinstance(value, list) else str(value)
        elif isinstance(value, list):
            value = list(value)
        theirs.add_new(int(element.tag), element.VR, value)
    return theirs


def test_private_blocks_and_character_sets() -> None:
    theirs = Theirs()
    theirs.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    theirs.PatientName = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    block = theirs.private_block(0x0029, "ACME", create=True)
    block.add_new(1, "PN", "山田^花子")
    item = Theirs()
    item.private_block(0x0031, "INNER", create=True).add_new(2, "DS", ["1.50", "2"])
    item.PatientComments = "山"
    theirs.ReferencedImageSequence = [item, Theirs()]
    ours = Dataset.from_pydicom(theirs)
    assert ours.PatientName.ideographic == "山田^太郎"
    assert ours.private_block(0x0029, "ACME")[1].value == "山田^花子"
    assert ours.ReferencedImageSequence[0].private_block(0x0031, "INNER")[2].value == [1.5, 2]
    assert [str(number) for number in ours.ReferencedImageSequence[0][0x00311002].value] == ["1.50", "2"]
    assert ours.ReferencedImageSequence[0].PatientComments == "山"
    assert len(ours.ReferencedImageSequence[1]) == 0
    assert plain(ours.to_pydicom()) == plain(ours)


def test_items_alone() -> None:
    ds = Dataset({"SpecificCharacterSet": "ISO_IR 100", "BeamSequence": [Dataset({"BeamName": "Übersicht"})]})
    file = io.BytesIO()
    ds.save_as(file, enforce_file_format=False)
    for source in (ds, dcmread(file.getvalue())):
        item = source.BeamSequence[0]
        assert item.to_pydicom().BeamName == "Übersicht"
    theirs = pydicom.dcmread(io.BytesIO(file.getvalue()))
    assert Dataset.from_pydicom(theirs.BeamSequence[0]).BeamName == "Übersicht"


def test_text_without_a_character_set() -> None:
    assert Dataset({"PatientID": "山"}).to_pydicom().PatientID == "山"
    theirs = Theirs()
    theirs.PatientID = "山"
    ours = Dataset.from_pydicom(theirs)
    assert (ours.PatientID, ours.SpecificCharacterSet) == ("山", "ISO_IR 192")
    theirs.PatientID = "7"
    assert "SpecificCharacterSet" not in Dataset.from_pydicom(theirs)
    undeclared = Dataset({"PatientID": "x"}).to_bytes().replace(b"x ", b"\xe4 ")
    read = pydicom.dcmread(io.BytesIO(undeclared), force=True)
    assert bytes(Dataset.from_pydicom(read).view("PatientID")) == b"\xe4 "  # nobody knows: the bytes stay


def test_file_meta_information_and_syntax(pydicom_files: list[Path]) -> None:
    for name in ("JPEG2000.dcm", "MR_small_bigendian.dcm", "image_dfl.dcm", "MR_small_implicit.dcm"):
        (path,) = (one for one in pydicom_files if one.name == name)
        theirs = pydicom.dcmread(path)
        ours = Dataset.from_pydicom(theirs)
        assert ours.transfer_syntax == theirs.file_meta.TransferSyntaxUID, name
        assert ours.file_meta.MediaStorageSOPInstanceUID == theirs.file_meta.MediaStorageSOPInstanceUID
        again = ours.to_pydicom()
        assert again.file_meta.TransferSyntaxUID == theirs.file_meta.TransferSyntaxUID
        assert again.PixelData == theirs.PixelData
    made = Theirs()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2"
    made.PatientID = "7"
    ours = Dataset.from_pydicom(made)
    assert (ours.transfer_syntax, ours.PatientID) == ("1.2.840.10008.1.2", "7")


def test_edits_and_deletions_travel(pydicom_files: list[Path]) -> None:
    (path,) = (one for one in pydicom_files if one.name == "rtplan.dcm")
    ds = dcmread(path)
    ds.BeamSequence[0].BeamName = "new"
    del ds.PatientName
    theirs = ds.to_pydicom()
    assert theirs.BeamSequence[0].BeamName == "new"
    assert "PatientName" not in theirs
    theirs.BeamSequence[0].BeamName = "newer"
    assert ds.BeamSequence[0].BeamName == "new"
    assert Dataset.from_pydicom(theirs).BeamSequence[0].BeamName == "newer"


def test_empty_values() -> None:
    theirs = Theirs()
    for keyword in (
        "PatientName",
        "Rows",
        "PixelSpacing",
        "BeamSequence",
        "FrameIncrementPointer",
        "PixelData",
    ):
        setattr(theirs, keyword, [] if keyword.endswith("Sequence") else None)
    theirs["PixelData"].VR = "OW"
    ours = Dataset.from_pydicom(theirs)
    assert [element.is_empty for element in ours if element.VR != "SQ"] == [True] * 5
    assert len(ours.BeamSequence) == 0
    assert plain(ours.to_pydicom()) == plain(ours)
