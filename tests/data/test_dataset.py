"""Dataset, Element and Sequence as a pydicom user expects them; edits over what was read; files that change below."""

from __future__ import annotations

import copy
import io
import pickle
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pydicom
import pytest

from dicomcore import Dataset, Element, Policy, Sequence, dcmread
from dicomcore.data.files import read_dataset
from dicomcore.errors import EncodingError, LimitExceeded, SourceChanged
from dicomcore.limits import Limits
from dicomcore.vocab.syntaxes import DEFLATED_LE, EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE

FOLDER = Path(pydicom.__file__).parent / "data" / "test_files"
CT, PLAN = FOLDER / "CT_small.dcm", FOLDER / "rtplan.dcm"


def again(dataset: Dataset, syntax: str | None = None) -> Dataset:
    written = io.BytesIO()
    dataset.save_as(written, syntax, enforce_file_format=False)
    return dcmread(written.getvalue())


# -- access


def test_reading_by_every_key() -> None:
    ds = dcmread(CT)
    assert ds.PatientName == "CompressedSamples^CT1"
    assert ds.PatientName.family_name == "CompressedSamples"
    for key in ("PatientID", 0x00100020, (0x0010, 0x0020), "00100020", "(0010,0020)"):
        assert ds[key].value == "1CT1"
        assert key in ds
    element = ds["PixelSpacing"]
    assert (element.tag, element.VR, element.VM, element.keyword, element.name) == (
        0x00280030,
        "DS",
        2,
        "PixelSpacing",
        "Pixel Spacing",
    )
    assert ds.get("Rows") == 128
    assert ds.get("BeamSequence", 7) == 7
    assert ds.get((0x0010, 0x0020)).value == "1CT1"
    assert ds.get("nonsense") is None
    with pytest.raises(KeyError):
        ds["BeamSequence"]
    with pytest.raises(AttributeError, match="300A,00B0"):
        _ = ds.BeamSequence
    with pytest.raises(AttributeError, match="PatientName"):
        _ = ds.PatientsName
    assert not hasattr(ds, "BeamSequence")
    assert "nonsense" not in ds
    assert "PatientName" in dir(ds)
    tags = [element.tag for element in ds]
    assert tags == sorted(tags) == list(ds.keys())
    assert len(ds) == len(tags)


def test_sequences_are_lists_of_datasets() -> None:
    ds = dcmread(PLAN)
    beams = ds.BeamSequence
    assert isinstance(beams, Sequence)
    assert beams is ds.BeamSequence
    assert beams[0] is beams[-len(beams)] is ds.BeamSequence[0]
    assert [type(item) for item in beams] == [Dataset] * len(beams)
    assert beams[0:1] == [beams[0]]
    assert beams[0].ControlPointSequence[1].ControlPointIndex == 1
    assert isinstance(ds["BeamSequence"].value, Sequence)
    assert ds["BeamSequence"].VM == 1
    assert [element.keyword for element in ds.iterall()].count("ControlPointIndex") == 2
    with pytest.raises(IndexError):
        beams[9]
    with pytest.raises(TypeError):
        beams.append({})


def test_sequences_are_put_in_another_order() -> None:
    ds = again(Dataset({"ReferencedImageSequence": [Dataset({"Rows": number}) for number in (3, 1, 2)]}))
    images = ds.ReferencedImageSequence
    first = images[1]
    images.sort(key=lambda item: item.Rows)
    assert images[0] is first
    images.append(images.pop(0))
    images[0].Rows = 9
    images += [Dataset({"Rows": 7})]
    images.reverse()
    del images[1]
    assert [item.Rows for item in again(ds).ReferencedImageSequence] == [7, 3, 9]


def test_assigning_makes_the_types_that_reading_gives() -> None:
    ds = Dataset()
    ds.PatientName = "A^B"
    ds.SliceThickness = "1.50"
    ds.PixelSpacing = [0.5, "0.25"]
    ds.InstanceNumber = 3
    ds.ImageType = "ORIGINAL\\PRIMARY"
    ds.Rows = 4
    ds.FrameIncrementPointer = "ImageType"
    ds.BeamSequence = [Dataset({"BeamNumber": 1})]
    ds.WindowCenter = [40.0]
    assert ds.PatientName.given_name == "B"
    assert (ds.SliceThickness, ds.SliceThickness.original_string) == (1.5, "1.50")
    assert ds.PixelSpacing == [0.5, 0.25]
    assert ds.InstanceNumber == 3
    assert ds.ImageType == ["ORIGINAL", "PRIMARY"]
    assert ds.FrameIncrementPointer == 0x00080008
    assert ds.BeamSequence[0].BeamNumber == 1
    assert ds.WindowCenter == 40.0
    assert again(ds) == ds
    for keyword, value in (("Rows", "many"), ("PatientName", 3), ("BeamSequence", [3]), ("SliceThickness", "thick")):
        with pytest.raises((TypeError, ValueError)):
            setattr(ds, keyword, value)
    with pytest.raises(AttributeError, match="PatientName"):
        ds.PatientNam = "x"
    with pytest.raises(AttributeError):
        ds.file_name = "x"
    with pytest.raises(AttributeError):
        del ds.Columns


def test_ambiguous_values_follow_pixel_representation() -> None:
    ds = Dataset({"SmallestImagePixelValue": 3})
    assert ds["SmallestImagePixelValue"].VR == "US"
    ds.PixelRepresentation = 1
    assert ds["SmallestImagePixelValue"].VR == "SS"
    ds.SmallestImagePixelValue = -3
    assert again(ds).SmallestImagePixelValue == -3
    assert again(ds, IMPLICIT_LE.uid).SmallestImagePixelValue == -3


def test_element_objects_write_through() -> None:
    ds = dcmread(CT)
    ds["PatientID"].value = "X1"
    ds.ImageType[0] = "DERIVED"
    ds.ImageType.append("MORE")
    ds["PixelSpacing"].value[1] = 0.5
    back = again(ds)
    assert back.PatientID == "X1"
    assert back.ImageType == ["DERIVED", "PRIMARY", "AXIAL", "MORE"]
    assert back.PixelSpacing[1] == 0.5
    assert back.PixelData == ds.PixelData


def test_mapping_methods() -> None:
    ds = dcmread(CT)
    other = Dataset()
    other.update({"PatientID": "a", 0x00100010: "N"})
    other.update({(0x0010, 0x0030): Element(0x00100030, "DA", "20000101")})
    assert [element.value for element in other.values()] == ["N", "a", "20000101"]
    assert other.pop("PatientID").value == "a"
    assert other.pop("PatientID", None) is None
    with pytest.raises(KeyError):
        other.pop("PatientID")
    assert other.setdefault("PatientID", "b").value == "b"
    assert other.setdefault("PatientID", "c").value == "b"
    assert [tag for tag, _ in other.items()] == [0x00100010, 0x00100020, 0x00100030]
    other.update(ds)
    assert other.PatientName == ds.PatientName
    other.clear()
    assert len(other) == 0
    del ds[0x00100010]
    assert "PatientName" not in ds
    with pytest.raises(KeyError):
        del ds["PatientName"]
    ds.add(Element("PatientName", "PN", "Back"))
    assert ds.PatientName == "Back"
    with pytest.raises(TypeError):
        ds["PatientName"] = cast(Any, "x")
    with pytest.raises(ValueError, match="is set under"):
        ds["PatientID"] = Element("PatientName", "PN", "x")
    with pytest.raises(ValueError, match="XX"):
        Element("PatientName", "XX", "x")


def test_private_blocks() -> None:
    ds = dcmread(CT)
    assert ds.private_creators(0x0009) == ["GEMS_IDEN_01"]
    block = ds.private_block(0x0009, "GEMS_IDEN_01")
    assert block[0x01].value == "GE_GENESIS_FF"
    assert ds[0x0009, 0x1001].name == "[Full Fidelity]"
    with pytest.raises(KeyError):
        ds.private_block(0x0009, "ME")
    mine = ds.private_block(0x0009, "ME", create=True)
    mine.add_new(0x10, "LO", "hello")
    assert 0x10 in mine
    for syntax in (EXPLICIT_LE, IMPLICIT_LE):
        back = again(ds, syntax.uid)
        assert back.private_block(0x0009, "ME")[0x10].value in ("hello", b"hello ")
        assert back.private_block(0x0009, "GEMS_IDEN_01")[0x01].value == "GE_GENESIS_FF"
    del mine[0x10]
    assert 0x10 not in mine
    with pytest.raises(ValueError, match="even"):
        ds.private_block(0x0008, "ME")


def test_copies_and_pickles_are_equal_and_apart() -> None:
    for path in (CT, PLAN, FOLDER / "MR_small_bigendian.dcm", FOLDER / "JPEG2000.dcm", FOLDER / "image_dfl.dcm"):
        ds = dcmread(path)
        for twin in (copy.copy(ds), copy.deepcopy(ds), pickle.loads(pickle.dumps(ds)), ds.copy()):
            assert twin == ds
            assert twin.file_meta == ds.file_meta
            twin.PatientID = "other"
            assert twin != ds
    plan = dcmread(PLAN)
    deep = copy.deepcopy(plan)
    deep.BeamSequence[0].BeamName = "Q"
    assert plan.BeamSequence[0].BeamName != "Q"
    item = pickle.loads(pickle.dumps(plan.BeamSequence[0]))
    assert item == plan.BeamSequence[0]
    assert copy.deepcopy(Element("PatientName", "PN", "A")) == Element("PatientName", "PN", "A")
    with pytest.raises(TypeError):
        hash(plan)


def test_dump_names_every_element() -> None:
    text = str(dcmread(PLAN))
    assert text.startswith("Dataset.file_meta")
    assert "(0010,0010) Patient's Name                      PN: 'Last^First^mid^pre'" in text
    assert "   (300A,0112) Control Point Index                 IS: '0'" in text
    assert "[0.661468, 0.661468]" in str(dcmread(CT))


# -- what writing keeps and what it changes


def test_an_edit_leaves_the_other_bytes_alone() -> None:
    original = CT.read_bytes()
    ds = dcmread(original)
    ds.PatientID = "1CT2"
    written = io.BytesIO()
    ds.save_as(written, enforce_file_format=False)
    at = original.index(b"\x10\x00\x20\x00LO\x04\x001CT1")
    assert written.getvalue() == original[: at + 8] + b"1CT2" + original[at + 12 :]
    ds.PatientID = "1CT1"
    written = io.BytesIO()
    ds.save_as(written, enforce_file_format=False)
    assert written.getvalue() == original


def test_lengths_along_the_path_of_an_edit() -> None:
    ds = dcmread(PLAN)
    ds.BeamSequence[0].ControlPointSequence[1].CumulativeMetersetWeight = "0.123456789"
    ds.BeamSequence[0].BeamDescription = "x" * 301
    back = again(ds)
    assert back == ds
    assert back.issues == []
    assert pydicom.dcmread(io.BytesIO(ds.to_bytes()), force=True).BeamSequence[0].BeamDescription == "x" * 301


def test_items_keep_their_meaning_when_they_move() -> None:
    latin = Dataset({"SpecificCharacterSet": "ISO_IR 100"})
    latin.BeamSequence = [Dataset({"BeamName": "Rück"}), Dataset({"BeamName": "plain"})]
    source = again(latin)
    for syntax in (EXPLICIT_LE, IMPLICIT_LE, EXPLICIT_BE, DEFLATED_LE):
        target = Dataset({"SpecificCharacterSet": "ISO_IR 192"})
        target.BeamSequence = list(source.BeamSequence)
        target.BeamSequence.append(dcmread(PLAN).BeamSequence[0])
        back = again(target, syntax.uid)
        assert [item.BeamName for item in back.BeamSequence] == ["Rück", "plain", "Field 1"]
        assert "Rück".encode() in back.BeamSequence[0].view("BeamName").tobytes()
    bare = Dataset()
    bare.BeamSequence = [source.BeamSequence[0]]
    back = again(bare)
    assert back.BeamSequence[0].SpecificCharacterSet == "ISO_IR 100"  # the default repertoire cannot hold it
    assert back.BeamSequence[0].BeamName == "Rück"


def test_a_new_character_set_re_encodes_what_depends_on_it() -> None:
    ds = Dataset({"SpecificCharacterSet": "ISO_IR 100", "PatientName": "Müller", "PatientID": "7"})
    ds.BeamSequence = [Dataset({"BeamName": "Ä"}), Dataset({"SpecificCharacterSet": "ISO_IR 192", "BeamName": "日"})]
    ds = again(ds)
    ds.SpecificCharacterSet = "ISO_IR 192"
    back = again(ds)
    assert back.view("PatientName").tobytes() == "Müller ".encode()
    assert [item.BeamName for item in back.BeamSequence] == ["Ä", "日"]
    ds.SpecificCharacterSet = "ISO_IR 144"
    with pytest.raises(EncodingError) as caught:
        ds.to_bytes()
    assert caught.value.path == "(0010,0010)"
    assert "ISO_IR 192" in str(caught.value)


def test_a_new_pixel_representation_relabels_what_fits() -> None:
    ds = Dataset({"PixelRepresentation": 0, "SmallestImagePixelValue": 5, "LargestImagePixelValue": 40000})
    ds = again(ds)
    ds.PixelRepresentation = 1
    back = again(ds)
    assert (back["SmallestImagePixelValue"].VR, back.SmallestImagePixelValue) == ("SS", 5)
    assert (back["LargestImagePixelValue"].VR, back.LargestImagePixelValue) == ("US", 40000)
    assert "does not fit the new Pixel Representation and stays US" in ds.issues[0].message


def test_a_pixel_representation_that_changes_what_implicit_data_mean_is_told() -> None:
    ds = again(Dataset({"PixelRepresentation": 0, "SmallestImagePixelValue": 5, "LargestImagePixelValue": 40000}))
    ds.PixelRepresentation = 1
    back = read_dataset(ds.to_bytes(IMPLICIT_LE.uid), IMPLICIT_LE.uid)
    assert (back.SmallestImagePixelValue, back.LargestImagePixelValue) == (5, 40000 - 0x10000)
    assert [(issue.path, issue.message[-34:]) for issue in ds.issues] == [
        ("(0028,0107)", "will be read as SS, in Implicit VR")
    ]


def test_a_long_short_value_goes_as_un_and_comes_back() -> None:
    ds = Dataset({"PatientID": "1"})
    item = Dataset({"ContourData": [float(n) for n in range(30_000)]})
    ds.ROIContourSequence = [Dataset({"ContourSequence": [item]})]
    for syntax in (EXPLICIT_LE, EXPLICIT_BE):
        back = again(ds, syntax.uid)
        contour = back.ROIContourSequence[0].ContourSequence[0]
        assert contour["ContourData"].VR == "DS"
        assert contour.ContourData == item.ContourData
        assert again(back, IMPLICIT_LE.uid) == ds


def test_pixel_data_is_not_transcoded_by_chance() -> None:
    native, encapsulated = dcmread(CT), dcmread(FOLDER / "JPEG2000.dcm")
    jpeg = encapsulated.transfer_syntax
    with pytest.raises(EncodingError, match=r"dicomcore\.transcode"):
        native.save_as(io.BytesIO(), jpeg)
    with pytest.raises(EncodingError, match=r"dicomcore\.transcode"):
        encapsulated.save_as(io.BytesIO(), EXPLICIT_LE.uid)
    native.PixelData = encapsulated.PixelData
    native.file_meta.TransferSyntaxUID = jpeg
    back = again(native)
    assert back.PixelData == encapsulated.PixelData
    assert back.transfer_syntax == jpeg
    plan = dcmread(PLAN)
    assert again(plan, jpeg) == plan  # nothing to encode


def test_an_item_that_contains_itself_is_refused() -> None:
    ds = Dataset()
    ds.BeamSequence = [ds]
    with pytest.raises(LimitExceeded):
        ds.to_bytes()


def test_file_meta_is_built_right(tmp_path: Path) -> None:
    ds = Dataset({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "SOPInstanceUID": "1.2.3", "PatientID": "x"})
    path = tmp_path / "new.dcm"
    ds.save_as(path)
    theirs = pydicom.dcmread(path)
    assert theirs.file_meta.MediaStorageSOPInstanceUID == "1.2.3"
    assert theirs.file_meta.TransferSyntaxUID == EXPLICIT_LE.uid
    ours = dcmread(path)
    ours.SOPInstanceUID = "1.2.4"
    ours.save_as(path)
    assert pydicom.dcmread(path).file_meta.MediaStorageSOPInstanceUID == "1.2.4"
    assert ours.PatientID == "x"
    ours.save_as(path, IMPLICIT_LE.uid)
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == IMPLICIT_LE.uid
    with pytest.raises(FileExistsError):
        ours.save_as(path, replace=False)
    assert [one.name for one in tmp_path.iterdir()] == ["new.dcm"]


# -- the file below


def test_saving_over_the_own_file_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "plan.dcm"
    path.write_bytes(PLAN.read_bytes())
    ds = dcmread(path)
    beam, points = ds.BeamSequence[0], ds.BeamSequence[0].ControlPointSequence
    beam.BeamDescription = "y" * 5000
    ds.BeamSequence.append(Dataset({"BeamNumber": 9}))
    expected = copy.deepcopy(ds)
    for _ in range(3):
        ds.save_as(path)
        assert ds == expected
        assert beam is ds.BeamSequence[0]
        assert points is beam.ControlPointSequence
        assert points[1].ControlPointIndex == 1
        assert not ds._edits
    ds.BeamSequence[1].BeamName = "Z"
    ds.save_as(path)
    assert dcmread(path).BeamSequence[1].BeamName == "Z"


@pytest.mark.parametrize("change", ["truncate", "replace", "delete", "rewrite"])
def test_a_file_that_changes_after_opening(tmp_path: Path, change: str) -> None:
    path = tmp_path / "ct.dcm"
    data = CT.read_bytes()
    big = dcmread(data)
    big.PixelData = bytes(100_000)
    big.save_as(path)
    ds = dcmread(path)
    if change == "truncate":
        with path.open("r+b") as file:
            file.truncate(50_000)
    elif change == "replace":
        (tmp_path / "new").write_bytes(path.read_bytes())
        (tmp_path / "new").replace(path)
    elif change == "delete":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes() + b"\0\0")
    assert ds.PatientID == "1CT1"  # the head is held
    with pytest.raises(SourceChanged):
        _ = ds.PixelData
    with pytest.raises(SourceChanged):
        ds.save_as(tmp_path / "copy.dcm")
    assert not (tmp_path / "copy.dcm").exists()


def test_ten_thousand_stay_open_with_few_descriptors(tmp_path: Path) -> None:
    script = (
        "import resource, sys; from dicomcore import dcmread\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))\n"
        "held = [dcmread(sys.argv[1]) for _ in range(10_000)]\n"
        "assert all(ds.Rows == 128 for ds in held) and len(held[5].PixelData) == 32768\n"
    )
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= 256
    subprocess.run([sys.executable, "-c", script, str(CT)], check=True, timeout=240)


def test_only_what_was_asked_for() -> None:
    ds = dcmread(CT, stop_before_pixels=True)
    assert "PixelData" not in ds
    assert "ImagePositionPatient" in ds
    ds = dcmread(CT, specific_tags=["PatientName", 0x00280010])
    assert [element.keyword for element in ds] == ["SpecificCharacterSet", "PatientName", "Rows"]


def test_deflated_data_is_bounded(tmp_path: Path) -> None:
    ds = Dataset({"PatientComments": "x" * 10_000})
    written = io.BytesIO()
    ds.save_as(written, DEFLATED_LE.uid, enforce_file_format=False)
    data = written.getvalue()
    assert dcmread(data).PatientComments == ds.PatientComments
    with pytest.raises(LimitExceeded):
        dcmread(data, limits=Limits(inflated_length=5000))
    for broken in (data[:-20], data[:-40] + b"\xff" * 20):
        found = dcmread(broken)
        assert found.issues
        assert found.issues[0].clause == "PS3.5 A.5"
        with pytest.raises(EncodingError):
            dcmread(broken, policy=Policy.strict())


def test_strict_reading_raises_what_lenient_reading_lists() -> None:
    bad = FOLDER / "badVR.dcm"
    ds = dcmread(bad)
    assert ds.issues == []
    assert ds.check()
    assert ds.check() == ds.issues
    assert ds.issues[0].path == "(0028,0008)"
    with pytest.raises(EncodingError) as caught:
        dcmread(bad, policy=Policy.strict())
    assert caught.value.path == "(0028,0008)"


def test_pydicom_both_ways() -> None:
    for path in (CT, PLAN, FOLDER / "MR_small_bigendian.dcm", FOLDER / "JPEG2000.dcm"):
        theirs = pydicom.dcmread(path)
        assert dcmread(path).to_pydicom() == theirs
        ours = Dataset.from_pydicom(theirs)
        groups_aside = [element for element in dcmread(path) if element.tag.element]
        assert list(ours) == groups_aside
        assert ours.transfer_syntax == theirs.file_meta.TransferSyntaxUID
        assert again(ours) == ours
    item = dcmread(PLAN).BeamSequence[0].to_pydicom()
    assert item.BeamName == "Field 1"
    plain = pydicom.Dataset()
    plain.PatientName = "A^B"
    assert Dataset.from_pydicom(plain).PatientName == "A^B"
