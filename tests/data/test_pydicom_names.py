"""What a pydicom user reaches for by name: there, and the same as pydicom's; or refused with advice that works."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pydicom
import pytest

from dicomcore import Dataset, Element, dcmread, dcmwrite
from dicomcore.data.convert import ELSEWHERE


def private(ds: Dataset) -> Dataset:
    ds.add_new(0x00090010, "LO", "MAKER")
    ds.add_new(0x00091001, "UN", b"ab")
    ds.BeamSequence = [Dataset({"BeamName": "AP"})]
    ds.BeamSequence[0].add_new(0x300B0010, "LO", "MAKER")
    return ds


def test_dir_is_pydicoms(pydicom_files: list[Path]) -> None:
    (path,) = (one for one in pydicom_files if one.name == "rtplan.dcm")
    ours, theirs = dcmread(path), pydicom.dcmread(path)
    assert ours.dir() == theirs.dir()
    for parts in (("patient",), ("Beam", "name"), ("nothing of the kind",)):
        assert ours.dir(*parts) == theirs.dir(*parts)
    assert ours.dir("PATIENTNAME") == ["PatientName"]
    assert private(Dataset()).dir() == ["BeamSequence"]


def test_walk_is_pydicoms(pydicom_files: list[Path]) -> None:
    (path,) = (one for one in pydicom_files if one.name == "rtplan.dcm")
    ours, theirs = dcmread(path), pydicom.dcmread(path)
    for recursive in (True, False):
        seen: list[tuple[int, int]] = []
        wanted: list[tuple[int, int]] = []
        ours.walk(lambda level, element, to=seen: to.append((len(level), int(element.tag))), recursive)  # type: ignore[misc]
        theirs.walk(lambda level, element, to=wanted: to.append((len(level), int(element.tag))), recursive)
        assert seen == wanted


def test_walk_lets_the_callback_edit_and_delete() -> None:
    ds = private(Dataset({"PatientName": "A^B"}))

    def clean(level: Dataset, element: Element) -> None:
        if element.tag.is_private:
            del level[element.tag]
        elif element.VR == "PN":
            element.value = ""

    ds.walk(clean)
    assert not [element for element in ds.iterall() if element.tag.is_private]
    assert ds.PatientName == ""


def test_filename_is_where_it_was_read_from(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    ds = Dataset({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "SOPInstanceUID": "1.2.3", "PatientName": "A^B"})
    assert ds.filename is None
    dcmwrite(path, ds)
    assert dcmread(path).filename == dcmread(str(path)).filename == str(path)
    assert dcmread(path.read_bytes()).filename is None
    with path.open("rb") as file:
        assert dcmread(file).filename == str(path)
    with path.open("rb") as file:
        assert dcmread(file, stop_before_pixels=True).filename == str(path)


def test_dcmwrite_is_save_as(tmp_path: Path) -> None:
    ds = Dataset({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "SOPInstanceUID": "1.2.3", "PatientName": "A^B"})
    one, other = BytesIO(), BytesIO()
    dcmwrite(one, ds, "1.2.840.10008.1.2", lengths="undefined")
    ds.save_as(other, "1.2.840.10008.1.2", lengths="undefined")
    assert one.getvalue() == other.getvalue()
    dcmwrite(tmp_path / "a.dcm", ds)
    with pytest.raises(FileExistsError):
        dcmwrite(tmp_path / "a.dcm", ds, replace=False)


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_is_done_otherwise_says_how(name: str) -> None:
    assert hasattr(pydicom.dataset.FileDataset, name) or hasattr(pydicom.dataset.Dataset(), name)
    with pytest.raises(AttributeError, match="there is no ") as caught:
        getattr(Dataset(), name)
    assert ELSEWHERE[name] in str(caught.value)
    assert not hasattr(Dataset(), name)
    with pytest.raises(AttributeError):
        setattr(Dataset(), name, True)


def test_advice_works() -> None:
    ds = private(Dataset({"PatientName": "A^B"}))
    call = ELSEWHERE["remove_private_tags"].removeprefix("use ")
    eval(f"ds.{call}", {"ds": ds})
    assert [element.keyword for element in ds.iterall()] == ["PatientName", "BeamSequence", "BeamName"]
    group = eval(ELSEWHERE["group_dataset"].removeprefix("use "), {"ds": ds, "group": 0x0010})
    assert [element.keyword for element in group] == ["PatientName"]
    assert eval("not ds.is_big_endian", {"ds": ds})
