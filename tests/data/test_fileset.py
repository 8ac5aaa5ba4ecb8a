"""File-sets: what is written is what is read, whatever a DICOMDIR says, and nothing leaves the folder."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore import Dataset, DicomError, FileSet, Policy, Sequence, dcmread, new_uid
from dicomcore.data.directory import Record, descend
from dicomcore.data.file_ids import conforms
from dicomcore.errors import EncodingError, LimitExceeded, SourceChanged
from dicomcore.limits import Limits
from dicomcore.rt.phantom import Settings, iter_study

CT = "1.2.840.10008.5.1.4.1.1.2"
NEXT, LOWER, FIRST = "OffsetOfTheNextDirectoryRecord", "OffsetOfReferencedLowerLevelDirectoryEntity", 0x00041200
IMPLICIT = "1.2.840.10008.1.2"


@pytest.fixture(scope="module")
def study() -> list[Dataset]:
    return list(iter_study(Settings(slices=3, matrix=16, dose_spacing=30.0, contour_points=8, seed=3)))


@pytest.fixture
def phantom(tmp_path: Path, study: list[Dataset]) -> Path:
    """The folder of a saved file-set of the phantom study."""
    with FileSet.create(tmp_path / "set", file_set_id="PHANTOM") as fileset:
        for ds in study:
            fileset.add(ds)
    return tmp_path / "set"


def instance(**attributes: object) -> Dataset:
    """The least that a record asks for."""
    ds = Dataset()
    ds.update(
        {
            "SOPClassUID": CT,
            "SOPInstanceUID": new_uid(),
            "PatientID": "P1",
            "PatientName": "A^B",
            "StudyInstanceUID": "1.2.3",
            "StudyDate": "20260101",
            "StudyTime": "120000",
            "StudyID": "1",
            "SeriesInstanceUID": "1.2.3.4",
            "SeriesNumber": 1,
            "Modality": "CT",
            "InstanceNumber": 1,
            **attributes,
        }
    )
    return ds


def files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def outline(fileset: FileSet) -> list[tuple[int, str, tuple[str, ...], str]]:
    return [(len(r.ancestors), r.type, r.file_id, r.sop_instance_uid) for r in fileset.walk()]


def link_faults(path: Path) -> Iterator[str]:
    """What a reader that knows nothing but item headers finds wrong with the links."""
    raw = path.read_bytes()
    for item in dcmread(raw).DirectoryRecordSequence:
        for keyword in (NEXT, LOWER):
            offset = item[keyword].value
            if offset and raw[offset : offset + 4] != b"\xfe\xff\x00\xe0":
                yield f"{keyword} {offset}"


def patched(path: Path, number: int, keyword: str, value: int) -> None:
    """Overwrite an offset of a record in place."""
    raw = bytearray(path.read_bytes())
    ds = dcmread(bytes(raw))
    record = ds.DirectoryRecordSequence[number]
    at = record._origin.index.value_offset_at(record._origin.index.find(int(record[keyword].tag)))
    raw[at : at + 4] = pack("<L", value)
    path.write_bytes(raw)


# what is written is read


def test_round_trip_of_a_radiotherapy_study(phantom: Path, study: list[Dataset]) -> None:
    fileset = FileSet.open(phantom)
    assert fileset.issues == []
    assert fileset.check() == []
    assert fileset.file_set_id == "PHANTOM"
    assert fileset.is_consistent
    assert [record.type for record in fileset.records] == ["PATIENT"]
    assert (len(fileset.patients()), len(fileset.studies()), len(fileset.series())) == (1, 1, 5)
    assert [r.type for r in fileset] == ["IMAGE"] * 3 + ["RT STRUCTURE SET", "RT PLAN", "RT DOSE", "IMAGE"]
    for record, ds in zip(fileset, study, strict=True):
        assert record.read() == ds
        assert record.path.is_relative_to(phantom.resolve())
        assert (record.sop_class_uid, record.sop_instance_uid) == (ds.SOPClassUID, ds.SOPInstanceUID)
        assert (record.PatientID, record.Modality) == (ds.PatientID, ds.Modality)
        assert record.SeriesInstanceUID == ds.SeriesInstanceUID
        assert (record.SOPInstanceUID, record.TransferSyntaxUID) == (ds.SOPInstanceUID, ds.transfer_syntax)
        assert fileset.find(SOPInstanceUID=ds.SOPInstanceUID) == [record]
        assert conforms(record.file_id)
        assert fileset[ds.SOPInstanceUID] is record
    assert list(link_faults(fileset.path)) == []
    [plan] = fileset.find("RT PLAN")
    assert plan.RTPlanLabel == study[4].RTPlanLabel
    with pytest.raises(AttributeError, match="RTPlanDescription"):
        plan.RTPlanDescription  # noqa: B018
    [dose] = fileset.find("RT DOSE")
    assert dose.DoseSummationType == "PLAN"


def test_a_second_save_writes_the_same_bytes(phantom: Path) -> None:
    before = (phantom / "DICOMDIR").read_bytes()
    FileSet.open(phantom).save()
    assert (phantom / "DICOMDIR").read_bytes() == before


def test_root_order_and_last_record(tmp_path: Path) -> None:
    with FileSet.create(tmp_path) as fileset:
        for patient in ("P1", "P2", "P3"):
            fileset.add(instance(PatientID=patient, StudyInstanceUID=new_uid(), SeriesInstanceUID=new_uid()))
    ds = dcmread(tmp_path / "DICOMDIR")
    patients = FileSet.open(tmp_path).patients()
    assert [one.PatientID for one in patients] == ["P1", "P2", "P3"]
    assert ds[FIRST].value == patients[0].offset
    assert ds[0x00041202].value == patients[-1].offset
    assert patients[-1].dataset[NEXT].value == 0


def test_files_are_copied_byte_for_byte(tmp_path: Path, study: list[Dataset]) -> None:
    source = tmp_path / "some long name.dcm"
    study[0].save_as(source, IMPLICIT)
    with FileSet.create(tmp_path / "set") as fileset:
        record = fileset.add(source)
    assert record.path.read_bytes() == source.read_bytes()
    assert record.transfer_syntax_uid == IMPLICIT
    assert FileSet.open(tmp_path / "set").check() == []


def test_a_file_without_meta_information_gets_it(tmp_path: Path, study: list[Dataset]) -> None:
    bare = tmp_path / "bare"
    bare.write_bytes(study[0].to_bytes("1.2.840.10008.1.2.1"))
    with FileSet.create(tmp_path / "set") as fileset:
        record = fileset.add(bare)
    assert record.path.read_bytes()[128:132] == b"DICM"
    assert FileSet.open(tmp_path / "set").check() == []


def test_conforming_files_of_the_folder_stay_where_they_are(tmp_path: Path, study: list[Dataset]) -> None:
    (tmp_path / "CT").mkdir()
    study[0].save_as(tmp_path / "CT" / "A_1")
    study[1].save_as(tmp_path / "CT" / "second.dcm")
    with FileSet.create(tmp_path) as fileset:
        assert fileset.add(tmp_path / "CT" / "A_1").file_id == ("CT", "A_1")
        assert fileset.add(tmp_path / "CT" / "second.dcm").file_id == ("CT", "IM000000")
    assert files_in(tmp_path) == ["CT/A_1", "CT/IM000000", "CT/second.dcm", "DICOMDIR"]


def test_text_in_its_character_set(tmp_path: Path) -> None:
    names = {"ISO_IR 100": "Müller^Jörg", "ISO_IR 144": "Ж^Ф", "ISO_IR 192": "王^小東"}
    with FileSet.create(tmp_path) as fileset:
        for number, (charset, name) in enumerate(names.items()):
            uid = f"1.2.{number}"
            ids = {"PatientID": str(number), "StudyInstanceUID": uid, "SeriesInstanceUID": uid}
            fileset.add(instance(SpecificCharacterSet=charset, PatientName=name, **ids))
    patients = FileSet.open(tmp_path).patients()
    assert [str(one.PatientName) for one in patients] == list(names.values())
    assert [one.dataset.SpecificCharacterSet for one in patients] == list(names)


def test_text_that_the_character_set_lacks_is_kept_in_utf8(tmp_path: Path) -> None:
    ds = instance(SpecificCharacterSet="ISO_IR 192", PatientName="東", StudyDescription="plain")
    ds.save_as(tmp_path / "x.dcm")
    raw = (tmp_path / "x.dcm").read_bytes().replace(b"ISO_IR 192", b"ISO_IR 999")
    (tmp_path / "x.dcm").write_bytes(raw)
    with FileSet.create(tmp_path) as fileset:
        fileset.add(tmp_path / "x.dcm")
    reread = FileSet.open(tmp_path)
    assert reread.issues == []
    assert reread.studies()[0].dataset.get("SpecificCharacterSet") is None  # its keys are ASCII
    assert str(reread.patients()[0].PatientName) == str(dcmread(tmp_path / "x.dcm").PatientName)


def test_document_records_hold_the_modifiers_of_the_title_only(tmp_path: Path) -> None:
    title, modifier, content = Dataset(), Dataset(), Dataset()
    title.update({"CodeValue": "113000", "CodingSchemeDesignator": "DCM", "CodeMeaning": "Of Interest"})
    modifier.update({"RelationshipType": "HAS CONCEPT MOD", "ValueType": "CODE"})
    content.update({"RelationshipType": "CONTAINS", "ValueType": "IMAGE"})
    ds = instance(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.59", Modality="KO", ContentDate="20260101", ContentTime="12")
    ds.ConceptNameCodeSequence = Sequence([title])
    ds.ContentSequence = Sequence([modifier, content])
    with FileSet.create(tmp_path) as fileset:
        fileset.add(ds)
    [record] = FileSet.open(tmp_path).find("KEY OBJECT DOC")
    assert record.ConceptNameCodeSequence[0].CodeValue == "113000"
    assert [one.RelationshipType for one in record.ContentSequence] == ["HAS CONCEPT MOD"]


def test_document_records_say_when_they_were_verified_last(tmp_path: Path) -> None:
    observers = [Dataset({"VerificationDateTime": f"2026010{day}"}) for day in (1, 3, 2)]
    ds = instance(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", Modality="SR", VerificationFlag="VERIFIED")
    ds.VerifyingObserverSequence = Sequence(observers)
    with FileSet.create(tmp_path) as fileset:
        assert fileset.add(ds).VerificationDateTime == "20260103"


def test_instances_without_patient_hang_on_the_root(tmp_path: Path) -> None:
    palette = Dataset()
    palette.update({"SOPClassUID": "1.2.840.10008.5.1.4.39.1", "SOPInstanceUID": "1.2.3", "ContentLabel": "HOT"})
    with FileSet.create(tmp_path) as fileset:
        fileset.add(palette)
    [record] = FileSet.open(tmp_path).records
    assert (record.type, record.file_id, record.ContentLabel) == ("PALETTE", ("PA000000",), "HOT")
    assert "ContentDescription" in record.dataset


def test_dates_and_times_of_old_form_become_plain(tmp_path: Path) -> None:
    with FileSet.create(tmp_path) as fileset:
        record = fileset.add(instance(StudyDate="1997.04.24", StudyTime="14:04:38.5"))
    assert (record.StudyDate, record.StudyTime) == ("19970424", "140438.5")


def test_missing_keys_get_stand_ins_that_are_told(tmp_path: Path) -> None:
    ds = instance(StudyTime=None, AcquisitionTime="0830", InstanceNumber=None, StudyID=None)
    del ds.PatientID
    del ds.StudyDate
    with FileSet.create(tmp_path / "one") as fileset:
        first = fileset.add(ds)
        ds.SOPInstanceUID = new_uid()
        second = fileset.add(ds)
    assert len(fileset.patients()) == 1
    assert first.PatientID.startswith("NOID-")
    assert (first.StudyTime, first.StudyDate, first.StudyID) == ("0830", "19000101", "NONE")
    assert (first.InstanceNumber, second.InstanceNumber) == (1, 2)
    assert {issue.path for issue in fileset.issues} >= {"(0010,0020)", "(0008,0020)", "(0020,0013)"}
    with pytest.raises(EncodingError, match="PatientID"):
        FileSet.create(tmp_path / "two", policy=Policy.strict()).add(ds)


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"SOPClassUID": "1.2.840.10008.1.3.10"}, "no directory record lists"),
        ({"SOPClassUID": "2.25.1"}, "no directory record lists"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.9"}, "no directory record lists"),
        ({"SOPInstanceUID": None}, "has no SOPInstanceUID"),
        ({"StudyInstanceUID": "x.y"}, "wrong 'x.y' as StudyInstanceUID"),
    ],
)
def test_what_no_record_lists_is_refused(tmp_path: Path, attributes: dict[str, object], said: str) -> None:
    fileset = FileSet.create(tmp_path)
    with pytest.raises(EncodingError, match=said):
        fileset.add(instance(**attributes))
    assert (list(fileset.walk()), files_in(tmp_path)) == ([], [])


# find


def test_find(phantom: Path) -> None:
    fileset = FileSet.open(phantom)
    assert len(fileset.find(Modality="CT")) == 3
    assert len(fileset.find(Modality="RT*")) == 4
    assert len(fileset.find(Modality="R?PLAN")) == 1
    assert len(fileset.find("IMAGE", InstanceNumber=2)) == 1
    assert len(fileset.find(InstanceNumber=lambda number: number > 1)) == 2
    assert fileset.find(PatientName="Phantom^*", Modality="MR") == []
    assert fileset.find(RTImageLabel="*") == []
    assert len(fileset.find(RTImageLabel="*", load=True)) == 1
    assert [r.type for r in fileset.series()[3].instances()] == ["RT PLAN"] or fileset.series()[3].Modality == "RTDOSE"


# add and remove


def test_duplicates(tmp_path: Path) -> None:
    ds = instance()
    with FileSet.create(tmp_path) as fileset:
        first = fileset.add(ds)
        assert fileset.add(ds) is first
        with pytest.raises(FileExistsError):
            fileset.add(ds, duplicates="refuse")
        ds.InstanceNumber = 7
        second = fileset.add(ds, duplicates="replace")
        assert second is fileset[ds.SOPInstanceUID]
    assert len(fileset) == 1
    reread = FileSet.open(tmp_path)
    assert [record.InstanceNumber for record in reread] == [7]
    assert reread.check() == []
    assert files_in(tmp_path) == ["DICOMDIR", "/".join(second.file_id)]
    # The file itself, changed in place: the record follows, the file stays.
    ds = dcmread(second.path)
    ds.InstanceNumber = 8
    ds.save_as(second.path)
    with reread:
        assert reread.add(second.path, duplicates="replace").file_id == second.file_id
    assert [record.read().InstanceNumber for record in FileSet.open(tmp_path)] == [8]


def test_new_instances_join_their_series(phantom: Path, study: list[Dataset]) -> None:
    with FileSet.open(phantom) as fileset:
        before = fileset.find(Modality="CT")[0]
        ds = study[0].copy()
        ds.SOPInstanceUID = new_uid()
        added = fileset.add(ds)
        assert added.parent is before.parent
        assert added.file_id[:-1] == before.file_id[:-1]
        ds.SOPInstanceUID, ds.SeriesInstanceUID = new_uid(), new_uid()
        other = fileset.add(ds)
        assert other.file_id[:2] == before.file_id[:2]
        assert other.file_id[2] != before.file_id[2]
    assert len(FileSet.open(phantom).series()) == 6
    assert FileSet.open(phantom).check() == []


def test_remove_deletes_after_saving(phantom: Path) -> None:
    fileset = FileSet.open(phantom)
    [plan] = fileset.find("RT PLAN")
    path = plan.path
    assert fileset.remove(plan.sop_instance_uid) == 1
    assert path.exists()
    assert plan.sop_instance_uid not in fileset
    fileset.save()
    assert not path.parent.exists()  # its series is gone with its folder
    assert len(FileSet.open(phantom)) == 6
    assert fileset.remove(fileset.find(Modality="CT")[0].parent) == 3  # type: ignore[arg-type]
    fileset.remove(fileset.find("RT DOSE")[0], keep_files=True)
    fileset.save()
    assert len(FileSet.open(phantom).series()) == 2
    assert sum("RD" in name for name in files_in(phantom)) == 1
    with pytest.raises(KeyError):
        fileset.remove(plan)
    fileset.remove(fileset.patients()[0])
    fileset.save()
    empty = FileSet.open(phantom)
    assert (len(empty), empty.records, empty.issues) == (0, [], [])
    assert len(files_in(phantom)) == 2  # DICOMDIR, and the dose that was kept


def test_a_file_of_two_records_stays_with_the_second(phantom: Path) -> None:
    fileset = FileSet.open(phantom)
    first, second = fileset.find(Modality="CT")[:2]
    second.dataset.ReferencedFileID = list(first.file_id)
    fileset.save()
    fileset = FileSet.open(phantom)
    fileset.remove(fileset.find(Modality="CT")[0])
    fileset.save()
    assert fileset.find(Modality="CT")[0].path.exists()


def test_leaving_by_exception_takes_copies_back(phantom: Path, study: list[Dataset]) -> None:
    before = files_in(phantom), (phantom / "DICOMDIR").read_bytes()

    def work() -> None:
        with FileSet.open(phantom) as fileset:
            ds = study[0].copy()
            ds.SOPInstanceUID, ds.SeriesInstanceUID = new_uid(), new_uid()
            fileset.add(ds)
            assert files_in(phantom) != before[0]
            fileset.remove(fileset.find("RT PLAN")[0])
            fileset.remove("no such instance")

    with pytest.raises(KeyError):
        work()
    assert (files_in(phantom), (phantom / "DICOMDIR").read_bytes()) == before


def test_another_writer_is_not_overwritten(phantom: Path) -> None:
    mine, other = FileSet.open(phantom), FileSet.open(phantom)
    other.file_set_id = "OTHER"
    other.save()
    mine.file_set_id = "MINE"
    with pytest.raises(SourceChanged):
        mine.save()
    assert FileSet.open(phantom).file_set_id == "OTHER"
    with pytest.raises(FileExistsError):
        FileSet.create(phantom)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="looks descriptors up in /proc")
def test_saving_against_a_loss_of_power(phantom: Path, study: list[Dataset], monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        flushed.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    fileset = FileSet.open(phantom)
    ds = study[0].copy()
    ds.SOPInstanceUID, ds.SeriesInstanceUID = new_uid(), new_uid()
    record = fileset.add(ds)
    fileset.save(durability="power")
    assert flushed[0] == str(record.path)
    assert {str(record.path.parent), str(phantom)} <= set(flushed)
    assert FileSet.open(phantom).check() == []


def test_a_file_that_contradicts_itself_is_told(tmp_path: Path) -> None:
    ds = instance()
    ds.save_as(tmp_path / "x.dcm")
    raw = (tmp_path / "x.dcm").read_bytes()
    uid = ds.SOPInstanceUID.encode()
    (tmp_path / "x.dcm").write_bytes(raw.replace(uid, uid[:-1] + bytes([(uid[-1] - 47) % 10 + 48]), 1))
    with FileSet.create(tmp_path) as fileset:
        assert fileset.add(tmp_path / "x.dcm").sop_instance_uid == ds.SOPInstanceUID
    assert "its file meta information says" in fileset.issues[0].message
    assert len(FileSet.open(tmp_path).check()) == 1


def test_file_set_id_is_checked(phantom: Path) -> None:
    with pytest.raises(ValueError, match="File-set ID"):
        FileSet.open(phantom).file_set_id = "lower case"


# what is not ours is kept


def test_private_and_unknown_records_and_elements_are_kept(phantom: Path) -> None:
    made = FileSet.open(phantom)
    made.dataset.private_block(0x0009, "VENDOR", create=True).add_new(1, "LO", "root")
    made.dataset.add_new(0x0004FFF0, "UN", b"tail")
    made.records[0].dataset.private_block(0x0011, "VENDOR", create=True).add_new(1, "LO", "record")
    private = Dataset(
        {"DirectoryRecordType": "PRIVATE", "PrivateRecordUID": "2.25.7", "ReferencedFileID": ["ADD", "ON"]}
    )
    strange = Dataset({"DirectoryRecordType": "OF TOMORROW"})
    made._records += [Record(private, made._folder), Record(strange, made._folder)]
    made.save()
    with FileSet.open(phantom) as fileset:
        assert fileset.issues == []
        assert [r.type for r in fileset.records] == ["PATIENT", "PRIVATE", "OF TOMORROW"]
        assert len(fileset) == 8
        fileset.add(instance())
    fileset = FileSet.open(phantom)
    assert fileset.issues == []
    assert [r.type for r in fileset.records] == ["PATIENT", "PRIVATE", "OF TOMORROW", "PATIENT"]
    assert fileset.records[1].PrivateRecordUID == "2.25.7"
    assert fileset.dataset[0x00091001].value == "root"
    assert fileset.dataset[0x0004FFF0].value == b"tail"
    assert fileset.records[0].dataset[0x00111001].value == "record"
    assert list(link_faults(fileset.path)) == []


def test_inactive_records_are_passed_over_and_kept(phantom: Path) -> None:
    fileset = FileSet.open(phantom)
    fileset.series()[0].in_use = False
    fileset.save()
    fileset = FileSet.open(phantom)
    assert len(fileset) == 4
    assert len(fileset.series()) == 4
    fileset.file_set_id = "AGAIN"
    fileset.save()
    every = [item.RecordInUseFlag for item in dcmread(phantom / "DICOMDIR").DirectoryRecordSequence]
    assert (len(every), every.count(0)) == (14, 1)
    assert len(files_in(phantom)) == 8


def test_orphans_are_told_kept_and_adopted(phantom: Path) -> None:
    path = phantom / "DICOMDIR"
    fileset = FileSet.open(phantom)
    dose = fileset.find("RT DOSE")[0]
    number = [r.offset for r in fileset.walk()].index(dose.parent.offset)  # type: ignore[union-attr]
    patched(path, number - 2, NEXT, 0)  # the series of the plan was the way to those of dose and image
    fileset = FileSet.open(phantom)
    assert len(fileset) == 5
    assert [orphan.type for orphan in fileset.orphans] == ["SERIES", "SERIES"]
    assert any("linked from nowhere" in issue.message for issue in fileset.issues)
    fileset.save()
    assert [orphan.type for orphan in descend(FileSet.open(phantom).orphans)] == [
        "SERIES",
        "RT DOSE",
        "SERIES",
        "IMAGE",
    ]
    with FileSet.open(phantom) as fileset:
        assert [record.type for record in fileset.adopt()] == ["RT DOSE", "IMAGE"]
        assert fileset.orphans == []
    fileset = FileSet.open(phantom)
    assert (len(fileset), fileset.issues, fileset.check()) == (7, [], [])
    assert len(files_in(phantom)) == 8


def test_files_that_orphans_name_are_not_deleted(phantom: Path) -> None:
    fileset = FileSet.open(phantom)
    image = fileset.find(Modality="CT")[0]
    orphan = Record(image.dataset.copy(), fileset._folder)
    fileset._orphans.append(orphan)
    fileset._file_ids = fileset._count_file_ids()
    fileset.remove(image)
    fileset.save()
    assert orphan.path.exists()


def test_records_of_several_files_are_resolved(phantom: Path) -> None:
    """The retired MRDR: the file's name stands in a record of its own."""
    path = phantom / "DICOMDIR"
    fileset = FileSet.open(phantom)
    first = fileset.find(Modality="CT")[0]
    shared = first.dataset.copy()
    shared.DirectoryRecordType = "MRDR"
    first.dataset.add_new(0x00041504, "UL", 0)
    wanted = first.file_id
    for keyword in ("ReferencedFileID", "ReferencedSOPInstanceUIDInFile"):
        delattr(first.dataset, keyword)
    fileset._orphans.append(Record(shared, fileset._folder))
    fileset.save()
    ds = dcmread(path)
    records = ds.DirectoryRecordSequence
    patched(path, 3, "MRDRDirectoryRecordOffset", records[len(records) - 1]._origin.span.header_offset)
    fileset = FileSet.open(phantom)
    assert fileset.orphans == []
    assert fileset.find(Modality="CT")[0].file_id == wanted
    assert fileset.check() == []


# hostile and damaged directories


def test_loops_are_cut(phantom: Path) -> None:
    path = phantom / "DICOMDIR"
    offsets = [record.offset or 0 for record in FileSet.open(phantom).walk()]
    for number, keyword, target in ((0, NEXT, 0), (2, LOWER, 1), (5, NEXT, 3), (3, LOWER, 0)):
        shutil.copy(path, phantom / "LOOP")
        patched(phantom / "LOOP", number, keyword, offsets[target])
        fileset = FileSet.open(phantom / "LOOP")
        assert any("linked a second time" in issue.message for issue in fileset.issues)
        assert len(list(fileset.walk())) <= len(offsets)
        with pytest.raises(EncodingError, match="linked a second time") as caught:
            FileSet.open(phantom / "LOOP", policy=Policy.strict())
        assert caught.value.clause == "PS3.3 F.3.2"
        fileset.save()
        assert not any("second time" in issue.message for issue in FileSet.open(phantom / "LOOP").issues)


@pytest.mark.parametrize("offset", [1, 0xFFFFFFFF, 0x7FFFFFFF, 403])
def test_offsets_that_lead_nowhere(phantom: Path, offset: int) -> None:
    patched(phantom / "DICOMDIR", 2, LOWER, offset)
    fileset = FileSet.open(phantom)
    assert len(fileset) == 4
    [issue, *_] = fileset.issues
    assert (issue.path, issue.clause) == ("(0004,1420)", "PS3.3 F.3.2")
    assert f"no directory record starts at byte {offset}" in issue.message
    with pytest.raises(EncodingError, match="no directory record starts"):
        FileSet.open(phantom, policy=Policy.strict())


def test_endless_depth_is_refused(tmp_path: Path) -> None:
    fileset = FileSet.create(tmp_path)
    above: list[Record] = fileset._records
    for _ in range(200):
        keys = Dataset()
        keys.update({"RecordInUseFlag": 0xFFFF, "DirectoryRecordType": "PRIVATE"})
        record = Record(keys, fileset._folder)
        above.append(record)
        above = record._children
    fileset.save()
    with pytest.raises(LimitExceeded, match="deeper"):
        FileSet.open(tmp_path)
    assert len(list(FileSet.open(tmp_path, limits=Limits(nesting_depth=300)).walk())) == 200


@pytest.mark.parametrize(
    "file_id",
    [
        ("..", "SECRET"),
        ("A", "..", "..", "SECRET"),
        ("../SECRET",),
        ("/etc/passwd",),
        ("", "etc", "passwd"),
        (".",),
        ("A\0B",),
        ("LINK", "SECRET"),
        ("FILE",),
    ],
)
def test_no_file_id_leaves_the_folder(phantom: Path, file_id: tuple[str, ...]) -> None:
    secret = phantom.parent / "SECRET"
    secret.write_bytes(b"keep out")
    (phantom / "LINK").symlink_to(phantom.parent)
    (phantom / "FILE").symlink_to(secret)
    fileset = FileSet.open(phantom)
    record = fileset.find("RT PLAN")[0]
    record.dataset.ReferencedFileID = list(file_id) if len(file_id) > 1 else file_id[0]
    with pytest.raises(EncodingError, match="no file below") as caught:
        _ = record.path
    assert caught.value.clause == "PS3.10 8.2"
    with pytest.raises(EncodingError):
        record.read()
    assert any("no file below" in issue.message for issue in fileset.check())
    fileset._file_ids = fileset._count_file_ids()
    fileset.remove(record)
    fileset.save()
    assert secret.read_bytes() == b"keep out"
    assert any("a removed file is left" in issue.message for issue in fileset.issues)


def test_copies_do_not_follow_a_link_out_of_the_folder(phantom: Path) -> None:
    fileset = FileSet.open(phantom)
    outside = phantom.parent / "outside"
    outside.mkdir()
    series = fileset.find("RT PLAN")[0].path.parent
    shutil.rmtree(series)
    series.symlink_to(outside)
    ds = instance(PatientID="X")
    plan = fileset.find("RT PLAN")[0]
    for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID"):
        setattr(ds, keyword, plan.get(keyword))
    with pytest.raises(EncodingError, match="out of the folder"):
        fileset.add(ds)
    assert list(outside.iterdir()) == []


def test_a_dicomdir_never_deletes_itself(phantom: Path) -> None:
    fileset = FileSet.open(phantom)
    plan = fileset.find("RT PLAN")[0]
    plan.dataset.ReferencedFileID = "DICOMDIR"
    fileset._file_ids = fileset._count_file_ids()
    fileset.remove(plan)
    fileset.save()
    assert len(FileSet.open(phantom)) == 6


def test_names_of_media_in_another_case(phantom: Path) -> None:
    wanted = [record.read().SOPInstanceUID for record in FileSet.open(phantom)]
    for folder, folders, files in os.walk(phantom, topdown=False):
        for name in [*folders, *files]:
            os.rename(Path(folder) / name, Path(folder) / (name.lower() + (";1" if name in files else "")))
    fileset = FileSet.open(phantom)
    assert [record.read().SOPInstanceUID for record in fileset] == wanted
    assert fileset.check() == []


def test_what_is_no_dicomdir(tmp_path: Path, study: list[Dataset]) -> None:
    study[0].save_as(tmp_path / "ct.dcm")
    with pytest.raises(EncodingError, match="no DICOMDIR"):
        FileSet.open(tmp_path / "ct.dcm")
    with pytest.raises(FileNotFoundError):
        FileSet.open(tmp_path)


def test_missing_and_foreign_files_are_found_by_check(phantom: Path) -> None:
    fileset = FileSet.open(phantom)
    first, second, third = fileset.find(Modality="CT")
    first.path.unlink()
    shutil.copy(third.path, second.path)
    faults = [str(issue) for issue in fileset.check()]
    assert len(faults) == 2
    assert "/".join(first.file_id) in faults[0]
    assert f"the file {third.sop_instance_uid}" in faults[1]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("small")
    with FileSet.create(folder) as fileset:
        for number in range(2):
            fileset.add(instance(InstanceNumber=number))
    return (folder / "DICOMDIR").read_bytes()


@given(st.data())
def test_only_documented_errors_leave(
    small: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    raw = bytearray(small)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(128, len(raw) - 4))
        raw[at : at + 4] = data.draw(st.binary(min_size=1, max_size=4))
    del raw[data.draw(st.integers(132, len(raw))) :]
    folder = tmp_path_factory.mktemp("fuzz")
    path = folder / "DICOMDIR"
    path.write_bytes(raw)
    try:
        fileset = FileSet.open(path)
        outline(fileset)
        fileset.check()
        fileset.find(PatientID="*")
        fileset.add(instance(), duplicates="replace")
        fileset.save()
        again = FileSet.open(path)
    except (DicomError, OSError):
        return
    assert len(again) == len(fileset)


def test_ten_thousand_instances_are_opened_quickly(tmp_path: Path) -> None:
    fileset = FileSet.create(tmp_path)
    series = Record(Dataset({"DirectoryRecordType": "SERIES", "SeriesInstanceUID": "1.2"}), fileset._folder)
    fileset._records.append(series)
    for number in range(10_000):
        keys = Dataset({"DirectoryRecordType": "IMAGE", "InstanceNumber": number})
        keys.ReferencedFileID = ["A", f"I{number}"]
        keys.ReferencedSOPInstanceUIDInFile = f"1.2.{number}"
        series._children.append(Record(keys, fileset._folder))
    fileset.save()
    started = time.process_time()
    assert len(FileSet.open(tmp_path)) == 10_000
    assert time.process_time() - started < 20.0
