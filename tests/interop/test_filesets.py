"""File-sets against pydicom's FileSet and DCMTK's dcmmkdir, both ways, and DICOMDIRs under dcmdump and dciodvfy."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.fileset import FileSet as TheirFileSet

from dicomcore import Dataset, FileSet, dcmread, new_uid
from dicomcore.data.directory import Record
from dicomcore.errors import DicomError
from dicomcore.rt.phantom import Settings, iter_study

SAMPLES = Path(pydicom.__file__).parent / "data" / "test_files"
DIRECTORIES = SAMPLES / "dicomdirtests"
NAMES = ["DICOMDIR", "DICOMDIR-bigEnd", "DICOMDIR-implicit", "DICOMDIR-nooffset", "DICOMDIR-reordered"]
LINKS = (0x00041400, 0x00041420)
OPTIONAL = (0x00080005, 0x00080008)  # dcmmkdir declares character sets for ASCII too, and adds Image Type
Key = tuple[str, ...]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The phantom study as a file-set of ours; tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("fileset") / "set"
    with FileSet.create(folder, file_set_id="PHANTOM") as fileset:
        for ds in iter_study(Settings(slices=3, matrix=16, dose_spacing=30.0, contour_points=8, seed=3)):
            fileset.add(ds)
    return folder


@pytest.fixture
def copied(tmp_path: Path, study: Path) -> Path:
    shutil.copytree(study, tmp_path / "set")
    return tmp_path / "set"


def run(*command: object, cwd: Path | None = None) -> str:
    """Standard output and error of a program that must be content."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False, cwd=cwd)
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert not [line for line in told.splitlines() if line.startswith(("E:", "W:", "Error", "Warning"))], told
    return told


def keys(record: Record) -> dict[int, Any]:
    """What a record says, links and what need not be there left out."""
    passed_over = (*LINKS, *OPTIONAL)
    return {int(one.tag): one.value for one in record.dataset if one.tag not in passed_over and one.tag & 0xFFFF}


def tree(fileset: FileSet) -> list[tuple[int, dict[int, Any]]]:
    return [(len(record.ancestors), keys(record)) for record in fileset.walk()]


def by_uid(fileset: FileSet) -> dict[str, list[dict[int, Any]]]:
    """For each instance its record and those above it."""
    return {one.sop_instance_uid: [keys(above) for above in (one, *one.ancestors)] for one in fileset}


@pytest.fixture
def theirs() -> Iterator[Callable[..., Any]]:
    """Makes FileSets of pydicom's; each holds a temporary folder that nobody else closes."""
    made = []

    def make(path: Path | None = None) -> Any:
        made.append(TheirFileSet(path))
        return made[-1]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield make
        for fileset in made:
            fileset._stage["t"].cleanup()


def members(fileset: Any) -> list[tuple[str, Path, str]]:
    """SOP Instance UID, file and patient of each instance, of a FileSet of pydicom's."""
    return sorted((str(one.SOPInstanceUID), Path(one.path).resolve(), str(one.PatientID)) for one in fileset)


def ours(fileset: FileSet) -> list[tuple[str, Path, str]]:
    return sorted((str(one.sop_instance_uid), one.path.resolve(), str(one.PatientID)) for one in fileset)


# DCMTK and dicom3tools


def test_dcmdump_and_dciodvfy_find_nothing_wrong(study: Path, peer: Callable[[str], str]) -> None:
    text = run(peer("dcmdump"), study / "DICOMDIR")
    for record in FileSet.open(study).walk():
        assert f'"Directory Record" {record.type}' in text
        assert f"#  offset=${record.offset}" in text
    assert "BasicDirectory" in run(peer("dciodvfy"), study / "DICOMDIR")


def test_dcmmkdir_updates_what_we_wrote(copied: Path, peer: Callable[[str], str]) -> None:
    before = FileSet.open(copied)
    files = ["/".join(record.file_id) for record in before]
    run(peer("dcmmkdir"), "+U", "-nb", *files, cwd=copied)
    after = FileSet.open(copied)
    assert after.issues == []
    assert by_uid(after) == by_uid(before)
    assert after.check() == []


def test_dcmmkdir_appends_to_what_we_wrote_and_we_to_that(copied: Path, peer: Callable[[str], str]) -> None:
    ds = FileSet.open(copied).find(Modality="CT")[0].read()
    ds.SOPInstanceUID = new_uid()
    ds.save_as(copied / "EXTRA")
    run(peer("dcmmkdir"), "+A", "-nb", "EXTRA", cwd=copied)
    fileset = FileSet.open(copied)
    assert (len(fileset), fileset.issues, fileset.check()) == (8, [], [])
    assert fileset[ds.SOPInstanceUID].file_id == ("EXTRA",)
    assert len(fileset.patients()) == len(fileset.studies()) == 1
    with fileset:
        ds.SOPInstanceUID = new_uid()
        fileset.add(ds)
        fileset.remove(fileset.find("RT PLAN")[0])
    run(peer("dcmdump"), "-q", copied / "DICOMDIR")
    run(peer("dcmmkdir"), "+U", "-nb", *("/".join(record.file_id) for record in fileset), cwd=copied)
    assert len(FileSet.open(copied)) == 8


def test_dcmmkdir_makes_of_the_same_files_the_same_records(copied: Path, peer: Callable[[str], str]) -> None:
    fileset = FileSet.open(copied)
    (copied / "DICOMDIR").unlink()
    run(peer("dcmmkdir"), "+F", "PHANTOM", *("/".join(record.file_id) for record in fileset), cwd=copied)
    made = FileSet.open(copied)
    assert made.issues == []
    assert made.check() == []
    assert made.file_set_id == "PHANTOM"
    assert by_uid(made) == by_uid(fileset)
    assert tree(made) == tree(fileset)
    before = tree(made)
    made.save()
    assert tree(FileSet.open(copied)) == before


# pydicom


def test_pydicom_reads_what_we_wrote(study: Path, theirs: Callable[..., Any]) -> None:
    fileset = FileSet.open(study)
    other = theirs(study / "DICOMDIR")
    assert (other.ID, str(other.UID)) == (fileset.file_set_id, fileset.uid)
    assert members(other) == ours(fileset)
    assert len(other.find(Modality="CT")) == 3
    for one in other:
        assert one.load().SOPInstanceUID == one.SOPInstanceUID
        assert fileset[one.SOPInstanceUID].transfer_syntax_uid == one.TransferSyntaxUID


def test_pydicom_changes_what_we_wrote(copied: Path, theirs: Callable[..., Any]) -> None:
    other = theirs(copied / "DICOMDIR")
    other.remove(other.find(Modality="RTDOSE"))
    other.add(SAMPLES / "CT_small.dcm")
    other.write()
    fileset = FileSet.open(copied)
    assert (fileset.issues, fileset.check()) == ([], [])
    assert ours(fileset) == members(theirs(copied / "DICOMDIR"))
    assert len(fileset) == 7


def test_we_change_what_pydicom_wrote(tmp_path: Path, theirs: Callable[..., Any]) -> None:
    other = theirs()
    for name in ("CT_small.dcm", "MR_small.dcm", "rtplan.dcm", "rtdose.dcm", "test-SR.dcm"):
        ds = pydicom.dcmread(SAMPLES / name)
        for keyword in ("PatientID", "StudyDate", "StudyTime", "StudyID", "SeriesNumber", "InstanceNumber"):
            if not ds.get(keyword):
                setattr(ds, keyword, "1" if keyword != "StudyDate" else "20200101")
        if "RTPlanLabel" in ds and not ds.RTPlanLabel:
            ds.RTPlanLabel = "PLAN"
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        other.add(ds)
    other.write(tmp_path / "set")
    with FileSet.open(tmp_path / "set") as fileset:
        assert (fileset.issues, fileset.check()) == ([], [])
        assert ours(fileset) == members(other)
        fileset.remove(fileset.find(Modality="MR")[0])
        added = fileset.add(next(iter_study(Settings(slices=1, matrix=16, seed=3))))
    assert members(theirs(tmp_path / "set" / "DICOMDIR")) == ours(FileSet.open(tmp_path / "set"))
    assert added.path.exists()
    assert len(FileSet.open(tmp_path / "set")) == 5


@pytest.mark.parametrize("name", [*NAMES, "TINY_ALPHA/DICOMDIR"])
def test_the_directories_that_come_with_pydicom(name: str, tmp_path: Path, theirs: Callable[..., Any]) -> None:
    fileset = FileSet.open(DIRECTORIES / name)
    plain = FileSet.open(DIRECTORIES / ("DICOMDIR" if name in NAMES else name))
    assert fileset.orphans == []
    assert fileset.check() == []
    assert ours(fileset) == ours(plain)
    assert ours(fileset) == members(theirs(plain.path))
    # Saved by us, from any encoding and order, it is what pydicom reads.
    folder = tmp_path / "set"
    shutil.copytree(fileset.path.parent, folder)
    with FileSet.open(folder / fileset.path.name) as copy:
        copy.file_set_id = "SAVED"
    saved = FileSet.open(copy.path)
    assert saved.issues == []
    assert [key for _, key in tree(saved)] == [key for _, key in tree(fileset)]
    assert members(theirs(copy.path)) == ours(saved)


def test_the_directory_without_patients_is_adopted(tmp_path: Path) -> None:
    """Its offsets lead into the middle of other records; the files are found again by the records that are left."""
    shutil.copytree(DIRECTORIES, tmp_path / "set")
    with FileSet.open(tmp_path / "set" / "DICOMDIR-nopatient") as fileset:
        assert len(fileset) == 1
        assert any("linked from nowhere" in issue.message for issue in fileset.issues)
        assert len(fileset.adopt()) > 20
    again = FileSet.open(fileset.path)
    assert again.orphans == []
    assert {record.sop_instance_uid for record in again} <= {
        record.sop_instance_uid for record in FileSet.open(DIRECTORIES / "DICOMDIR")
    }


def test_every_sample_that_has_its_uids(
    tmp_path: Path, pydicom_files: list[Path], peer: Callable[[str], str], theirs: Callable[..., Any]
) -> None:
    """All kinds of objects go in, and pydicom and DCMTK read the directory."""
    added: dict[str, Dataset] = {}
    with FileSet.create(tmp_path) as fileset:
        for path in pydicom_files:
            if path.parent == SAMPLES:
                try:
                    record = fileset.add(path)
                except DicomError:
                    continue
                added[record.sop_instance_uid] = dcmread(path)
    assert len(fileset) == len(added) > 30
    assert {record.type for record in fileset} >= {"IMAGE", "WAVEFORM", "SR DOCUMENT", "RT PLAN", "RT DOSE"}
    fileset = FileSet.open(tmp_path)
    assert fileset.issues == []
    for record in fileset:
        assert str(record.PatientName or "") == str(added[record.sop_instance_uid].get("PatientName") or "")
    assert members(theirs(tmp_path / "DICOMDIR")) == ours(fileset)
    run(peer("dcmdump"), "-q", tmp_path / "DICOMDIR")
    told = subprocess.run([peer("dciodvfy"), str(tmp_path / "DICOMDIR")], capture_output=True, text=True, check=False)
    assert not [line for line in (told.stdout + told.stderr).splitlines() if line.startswith("Error")]
