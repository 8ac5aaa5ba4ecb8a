"""The JSON model: as pydicom and DCMTK's dcm2json write it, there and back for every VR, and what is no such model."""

from __future__ import annotations

import json
import math
import subprocess
import warnings
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicomcore import Dataset, Element, dcmread
from dicomcore.data.json import from_json_array, to_json_array
from dicomcore.errors import DicomError, EncodingError, LimitExceeded
from dicomcore.vocab.vr import VRS
from tests.data.models import datasets

EXPLICIT_LE = "1.2.840.10008.1.2.1"

# Where another writer's model may differ from ours, and why: (file or *, element or *) -> reason. Anything else fails.
PYDICOM = {
    ("*", "gggg0000"): "it writes group lengths, which F.2.2 excludes",
    ("*", "empty"): 'an empty value among several is "" there; F.2.5 has null',
    ("*", "big endian OW"): "it writes words in the order of the file; F.2.7 has little endian",
    ("J2K_pixelrep_mismatch.dcm", "*"): "elements of known private creators stay UN there",
    ("*", "00191010"): "its private dictionary has SH where DCMTK's has ST for this element of AGFA",
    ("badVR.dcm", "*"): "it raises: IS 1A is no integer",
    ("no_meta.dcm", "*"): "nothing of it is DICOM; read with force=True only",
}
DCM2JSON = {
    ("*", "00080005"): "it says ISO_IR 192; F.2.2 note 3 (2025) keeps what the source said",
    ("*", "padding"): "it takes idle spaces off each of several values",
    ("*", "trailing ^"): "it takes idle delimiters off person names",
    ("*", "real"): "it writes 9 or 17 digits, the last of them at times not right",
    ("nested_priv_SQ.dcm", "00010002"): "it pads a value of odd length",
    ("meta_missing_tsyntax.dcm", "00010002"): "it pads a value of odd length",
    ("J2K_pixelrep_mismatch.dcm", "*"): "it refuses: the character set is not known to it",
    ("rtdose_rle.dcm", "*"): "all is UN in the file; we read known tags by their VR (PS3.5 6.2.2 note 2)",
    ("rtdose_rle_1frame.dcm", "*"): "all is UN in the file; we read known tags by their VR (PS3.5 6.2.2 note 2)",
    ("chrKoreanMulti.dcm", "*"): "its private elements are UN in the file; we read those of known creators by their VR",
    **dict.fromkeys(
        [
            (f"chr{name}.dcm", "*")
            for name in ("H31", "H32", "JapMulti", "JapMultiExplicitIR6", "SQEncoding", "SQEncoding1")
        ],
        "it refuses: Debian's iconv has no kanji by the names that it asks for",
    ),
    ("MR_truncated.dcm", "*"): "it refuses truncated files",
    ("rtplan_truncated.dcm", "*"): "it refuses truncated files",
    ("no_meta.dcm", "*"): "nothing of it is DICOM",
}


def differences(ours: dict[str, Any], theirs: dict[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """(element, sort of difference) for all that differs."""
    for key in sorted({*ours, *theirs}):
        one, other = ours.get(key), theirs.get(key)
        if one is None and key.endswith("0000"):
            yield "gggg0000", path
        elif one is None or other is None or one["vr"] != other["vr"]:
            yield key, f"{path}.{key}: {one!s:.80} or {other!s:.80}"
        elif one["vr"] == "SQ":
            items, twins = one.get("Value", []), other.get("Value", [])
            assert len(items) == len(twins), (path, key)
            for number, (item, twin) in enumerate(zip(items, twins, strict=True)):
                yield from differences(item, twin, f"{path}.{key}[{number}]")
        elif one != other and not (is_empty(one) and is_empty(other)):
            yield sort_of_difference(key, one, other), f"{path}.{key}: {one!s:.80} or {other!s:.80}"


def is_empty(row: dict[str, Any]) -> bool:
    nothing: tuple[Any, ...] = (None, "", {}, {"Alphabetic": ""})
    return not row.get("InlineBinary") and all(value in nothing for value in row.get("Value", []))


def sort_of_difference(key: str, one: dict[str, Any], other: dict[str, Any]) -> str:
    vr, values, others = one["vr"], one.get("Value", []), other.get("Value", [])
    if values == [None if value == "" else value for value in others] != []:
        return "empty"
    if vr == "PN" and without_idle(values) == without_idle(others):
        return "trailing ^"
    if values and [str(value).rstrip() for value in values] == [str(value) for value in others]:
        return "padding"
    if vr in ("FL", "FD", "DS") and len(values) == len(others):
        digits = 1e-6 if vr == "FL" else 1e-14
        if all(math.isclose(float(a), float(b), rel_tol=digits) for a, b in zip(values, others, strict=True)):
            return "real"
        if any(abs(float(a)) > 1.797e308 for a in values):  # rounded up to 15 digits, it is none
            return "real"
    return key


def without_idle(names: list[dict[str, str] | None]) -> list[dict[str, str]]:
    """Names without delimiters at the end of a component group."""
    groups = [{key: text.rstrip("^") for key, text in (name or {}).items()} for name in names]
    return [{key: text for key, text in name.items() if text} for name in groups if any(name.values())]


class Explained:
    """Holds differences against a table of reasons, and the table against what was needed of it."""

    def __init__(self, table: dict[tuple[str, str], str]) -> None:
        self.table = table
        self.needed: set[tuple[str, str]] = set()
        self.faults: list[str] = []
        self.count = 0

    def refused(self, name: str) -> None:
        self.needed.add((name, "*"))

    def compared(self, name: str, found: Iterator[tuple[str, str]]) -> None:
        self.count += 1
        for sort, text in found:
            reasons = {(name, "*"), (name, sort), ("*", sort)} & set(self.table)
            self.needed |= reasons
            if not reasons:
                self.faults.append(f"{name}: {text}")

    def check(self, count: int) -> None:
        assert not self.faults, "\n".join(self.faults)
        assert self.needed == set(self.table)
        assert self.count >= count


def test_as_pydicom(pydicom_files: list[Path]) -> None:
    explained = Explained(PYDICOM)
    for path in pydicom_files:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                theirs = pydicom.dcmread(path, force=True).to_json_dict()
                ours = dcmread(path)
            except (DicomError, ValueError):
                explained.refused(path.name)
                continue
        found = differences(ours.to_json_dict(), theirs)
        if ours.is_big_endian:
            found = (("big endian OW" if sort == "7FE00010" else sort, text) for sort, text in list(found))
        explained.compared(path.name, found)
        # What it wrote is read, and what we write it reads.
        explained.compared(path.name, differences(Dataset.from_json(json.dumps(theirs)).to_json_dict(), theirs))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            again = pydicom.Dataset.from_json(ours.to_json()).to_json_dict()
        explained.compared(path.name, differences(ours.to_json_dict(), again))
    explained.check(230)


def test_as_dcm2json(pydicom_files: list[Path], tmp_path: Path, peer: Callable[[str], str]) -> None:
    program, explained = peer("dcm2json"), Explained(DCM2JSON)
    for path in pydicom_files:
        try:
            ds = dcmread(path)
        except DicomError:
            explained.refused(path.name)
            continue
        file = path
        if ds.transfer_syntax not in (EXPLICIT_LE, "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"):
            # It has no form for compressed pixel data: all else is compared.
            ds = ds.copy()
            ds.pop("PixelData", None)
            file = tmp_path / "without.dcm"
            ds.save_as(file, transfer_syntax=EXPLICIT_LE)
        done = subprocess.run([program, "-q", str(file)], capture_output=True, check=False)
        if done.returncode:
            explained.refused(path.name)
        else:
            try:
                theirs = json.loads(done.stdout)
            except UnicodeDecodeError:  # text that it did not convert
                explained.refused(path.name)
                continue
            explained.compared(path.name, differences(ds.to_json_dict(), theirs))
            explained.compared(path.name, differences(Dataset.from_json(done.stdout).to_json_dict(), theirs))
    explained.check(145)


def test_there_and_back(pydicom_files: list[Path]) -> None:
    for path in pydicom_files:
        if path.name == "no_meta.dcm":
            continue
        ds = dcmread(path)
        back = Dataset.from_json(ds.to_json())
        assert back.to_json() == ds.to_json(), path
        for element in ds:
            if element.tag.element:
                assert back[element.tag] == element, path


@given(datasets())
def test_every_vr_there_and_back(ds: Dataset) -> None:
    text = ds.to_json()
    back = Dataset.from_json(text)
    assert back == ds
    assert back.to_json() == text
    file = BytesIO()
    back.save_as(file, enforce_file_format=False)
    assert dcmread(file.getvalue()) == ds


@given(datasets())
def test_pydicom_reads_what_is_written(ds: Dataset) -> None:
    model = ds.to_json_dict()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = pydicom.Dataset.from_json(ds.to_json())
    assert sorted(int(key, 16) for key in model) == [int(element.tag) for element in theirs]
    for element in theirs:
        row = model[f"{int(element.tag):08X}"]
        assert row["vr"] == element.VR
        assert element.VM == 1 if row["vr"] == "SQ" else len(row.get("Value", [])) - 1 <= element.VM


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(ds=datasets())
def test_every_vr_as_dcm2json(ds: Dataset, tmp_path: Path, peer: Callable[[str], str]) -> None:
    ds.save_as(tmp_path / "any.dcm", enforce_file_format=False)
    done = subprocess.run([peer("dcm2json"), "-q", str(tmp_path / "any.dcm")], capture_output=True, check=False)
    model = ds.to_json_dict()
    if done.returncode or "NaN" in str(model) or "Infinity" in str(model):  # which it refuses, or writes as no JSON
        assert "NaN" in str(model) or "Infinity" in str(model)
    else:
        sorts = {sort for sort, _ in differences(model, json.loads(done.stdout))}
        assert sorts <= {"real", "padding", "trailing ^"}


def test_what_json_lacks() -> None:
    ds = Dataset({"TubeAngle": math.nan, "SpecificCharacterSet": "ISO_IR 100"})
    ds.RotationPoint = [math.inf, -math.inf, 1.0]
    ds.PatientName = "A^B=山田^太郎=やまだ^たろう"
    ds.FrameIncrementPointer = [0x00181063, 0x00181065]
    ds.ImageType = ["A", "", "C"]
    model = ds.to_json_dict()
    assert model["00189303"]["Value"] == ["NaN"]
    assert model["00700273"]["Value"] == ["Infinity", "-Infinity", 1.0]
    assert model["00080005"]["Value"] == ["ISO_IR 100"]  # that of the source, F.2.2 note 3
    assert model["00100010"]["Value"][0]["Ideographic"] == "山田^太郎"
    assert model["00280009"]["Value"] == ["00181063", "00181065"]
    assert model["00080008"]["Value"] == ["A", None, "C"]
    back = Dataset.from_json(json.dumps(model))
    assert math.isnan(back.TubeAngle)
    assert back == ds
    assert Dataset.from_json('{"00189303": {"vr": "FD", "Value": [Infinity]}}').TubeAngle == math.inf


@pytest.mark.parametrize(
    "text", ["9999999999999999", "0.1234567890123456", "-123456789012345.", "1E400", "1234567890123456"]
)
def test_decimal_strings_lose_no_digit(text: str) -> None:
    ds = Dataset({"SliceThickness": text})
    (written,) = json.loads(ds.to_json(), parse_float=Decimal)["00180050"]["Value"]
    assert Decimal(written) == Decimal(text)
    back = Dataset.from_json(ds.to_json()).SliceThickness
    assert back == ds.SliceThickness
    assert Decimal(str(back)) == Decimal(text)


@pytest.mark.parametrize("number", [0, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)])
def test_long_integers_lose_no_digit(number: int) -> None:
    ds = Dataset({"SelectorSVValue": number, "SelectorUVValue": [abs(number), 2**64 - 1]})
    (written,) = ds.to_json_dict()["00720082"]["Value"]
    assert isinstance(written, int) is (abs(number) <= 2**53)
    assert Dataset.from_json(ds.to_json()) == ds
    assert Dataset.from_json({"00720082": {"vr": "SV", "Value": [number]}}).SelectorSVValue == number


def test_faulty_values_keep_their_text() -> None:
    ds = Dataset()
    ds.add_new(0x00090010, "LO", "X")
    raw = b"\x18\0\x50\0DS\x04\x001,5 \x20\0\x13\0IS\x04\x001.5 \x28\0\x10\0US\x03\0abc\x28\0\x11\0US\x02\0\x05\0"
    from dicomcore.data.files import read_dataset

    ds = read_dataset(raw, EXPLICIT_LE)
    assert ds.to_json_dict() == {
        "00180050": {"vr": "DS", "Value": ["1,5"]},
        "00200013": {"vr": "IS", "Value": [1.5]},
        "00280010": {"vr": "UN", "InlineBinary": "YWJj"},  # no number of whole words: the bytes
        "00280011": {"vr": "US", "Value": [5]},
    }
    back = Dataset.from_json(ds.to_json())
    assert (back.SliceThickness, back.InstanceNumber, back.Rows, back.Columns) == ("1,5", 1.5, b"abc", 5)


# bulk data


def test_bulk_data() -> None:
    ds = Dataset(
        {"PixelData": bytes(2000), "PatientComments": "é" * 600, "Rows": 4, "RedPaletteColorLookupTableData": b"ab"}
    )
    ds.ContourData = [1.5] * 400
    offered = []

    def hold(element: Element) -> str | None:
        offered.append(element.keyword)
        return None if element.keyword == "PatientComments" else f"/bulk/{element.tag:08X}"

    model = ds.to_json_dict(hold)
    assert offered == ["PatientComments", "ContourData", "PixelData"]
    assert model["7FE00010"] == {"vr": "OW", "BulkDataURI": "/bulk/7FE00010"}
    assert model["30060050"] == {"vr": "DS", "BulkDataURI": "/bulk/30060050"}
    assert model["00104000"]["Value"] == ["é" * 600]
    held: dict[str, Any] = {"/bulk/7FE00010": bytes(2000), "/bulk/30060050": b"1.5\\" * 399 + b"1.5 "}
    assert Dataset.from_json(model, held.__getitem__) == Dataset(
        {**dict(ds.items()), "SpecificCharacterSet": "ISO_IR 192"}
    )
    held["/bulk/30060050"] = [1.5] * 400  # the value itself will do
    assert Dataset.from_json(model, held.__getitem__).ContourData == ds.ContourData
    empty = Dataset.from_json(model)
    assert empty.PixelData is None
    assert empty.ContourData is None
    assert ds.to_json_dict(hold, threshold=1)["00281201"]["BulkDataURI"] == "/bulk/00281201"


def test_bulk_data_is_little_endian(pydicom_files: list[Path]) -> None:
    (path,) = (one for one in pydicom_files if one.name == "MR_small_bigendian.dcm")
    held: dict[str, bytes] = {}

    def hold(element: Element) -> str:
        held[element.keyword] = element.value
        return element.keyword

    ds = dcmread(path)
    back = Dataset.from_json(ds.to_json(hold), held.__getitem__)
    assert back["PixelData"] == ds["PixelData"]
    assert back.PixelData != ds.PixelData


@pytest.mark.parametrize("vr", sorted(set(VRS) - {"SQ"}))
def test_bytes_of_any_vr_are_taken(vr: str) -> None:
    raw = {"AT": b"\x10\0\x20\0", "DS": b"1.5 ", "IS": b"15  "}.get(vr, b"12345678")
    tag = "00091001"
    at_uri = Dataset.from_json({tag: {"vr": vr, "BulkDataURI": "u"}}, lambda uri: raw)
    inline = Dataset.from_json({tag: {"vr": vr, "InlineBinary": b64encode(raw).decode()}})
    assert at_uri == inline
    assert bytes(at_uri.view(tag)) == raw.rstrip() + b" " * (len(raw) - len(raw.rstrip())) or vr == "IS"


# arrays, character sets, meta information


def test_arrays_of_data_sets() -> None:
    many = [Dataset({"PatientID": str(number)}) for number in range(3)]
    text = to_json_array(many)
    assert from_json_array(text) == many
    assert from_json_array("[]") == []
    assert from_json_array(many[0].to_json()) == many[:1]
    assert Dataset.from_json(f"[{many[1].to_json()}]") == many[1]
    with pytest.raises(EncodingError, match="3 data sets where one is wanted"):
        Dataset.from_json(text)


def test_text_without_a_character_set_gets_one() -> None:
    ds = Dataset.from_json({"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Müller"}]}})
    assert ds.SpecificCharacterSet == "ISO_IR 192"
    assert "SpecificCharacterSet" not in Dataset.from_json({"00100010": {"vr": "PN", "Value": ["Miller"]}})
    nested = {"00081140": {"vr": "SQ", "Value": [{"00081090": {"vr": "LO", "Value": ["山"]}}]}}
    assert Dataset.from_json(nested).SpecificCharacterSet == "ISO_IR 192"


def test_file_meta_information_goes_where_it_belongs() -> None:
    rows = {"00020010": {"vr": "UI", "Value": [EXPLICIT_LE]}, "00280000": {"vr": "UL", "Value": [4]}}
    ds = Dataset.from_json({**rows, "00280010": {"vr": "US", "Value": [7]}})
    assert ds.file_meta.TransferSyntaxUID == EXPLICIT_LE
    assert [element.keyword for element in ds] == ["Rows"]


# refusals


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", None),
        ("[]", None),
        ("{", None),
        ("[" * 100_000, None),
        ('"ds"', None),
        (b"\xff\xfe\x00", None),
        ('{"00280010": {"vr": "US"}, "00280010": {"vr": "US"}}', None),
        ('{"00100010": 3}', "(0010,0010)"),
        ('{"0010": {"vr": "PN"}}', "0010"),
        ('{"xxxxxxxx": {"vr": "PN"}}', "xxxxxxxx"),
        ('{"+0100010": {"vr": "PN"}}', "+0100010"),
        ('{"FFFEE000": {"vr": "SQ"}}', "(FFFE,E000)"),
        ('{"00280010": {"vr": "US", "Value": ["x"]}}', "(0028,0010)"),
        ('{"00280010": {"vr": "US", "Value": 3}}', "(0028,0010)"),
        ('{"00280010": {"vr": "US", "Value": [3.5]}}', "(0028,0010)"),
        ('{"00280010": {"vr": "US", "Value": [true]}}', "(0028,0010)"),
        ('{"00280010": {"vr": "US", "Value": [65536]}}', "(0028,0010)"),
        ('{"00280010": {"vr": "US", "Value": [-1]}}', "(0028,0010)"),
        ('{"00280010": {"vr": "US", "Value": [1, null]}}', "(0028,0010)"),
        ('{"00280010": {"vr": "US", "Value": [{}]}}', "(0028,0010)"),
        ('{"00280010": {"vr": "US", "Value": [1e999]}}', "(0028,0010)"),
        ('{"00280010": {"vr": "??", "Value": [3]}}', "(0028,0010)"),
        ('{"00280010": {"vr": "US or SS", "Value": [3]}}', "(0028,0010)"),
        ('{"00280106": {"Value": [3]}}', "(0028,0106)"),
        ('{"00180050": {"vr": "DS", "Value": [NaN]}}', "(0018,0050)"),
        ('{"00189303": {"vr": "FD", "Value": ["much"]}}', "(0018,9303)"),
        ('{"00280009": {"vr": "AT", "Value": [5]}}', "(0028,0009)"),
        ('{"00280009": {"vr": "AT", "Value": ["0018_063"]}}', "(0028,0009)"),
        ('{"00100010": {"vr": "PN", "Value": [{"Alphabetic": 5}]}}', "(0010,0010)"),
        ('{"00100010": {"vr": "PN", "Value": [{"Alphabetic": "a=b"}]}}', "(0010,0010)"),
        ('{"00100020": {"vr": "LO", "Value": [["a"]]}}', "(0010,0020)"),
        ('{"00104000": {"vr": "LT", "Value": ["a", "b"]}}', "(0010,4000)"),
        ('{"7FE00010": {"vr": "OW", "InlineBinary": "*"}}', "(7FE0,0010)"),
        ('{"7FE00010": {"vr": "OW", "InlineBinary": 5}}', "(7FE0,0010)"),
        ('{"7FE00010": {"vr": "OW", "Value": [5]}}', "(7FE0,0010)"),
        ('{"7FE00010": {"vr": "OW", "BulkDataURI": 5}}', "(7FE0,0010)"),
        ('{"7FE00010": {"vr": "OW", "BulkDataURI": "u", "InlineBinary": ""}}', "(7FE0,0010)"),
        ('{"300A00B0": {"vr": "SQ", "Value": [3]}}', "(300A,00B0)[0]"),
        ('{"300A00B0": {"vr": "SQ", "InlineBinary": "AAAA"}}', "(300A,00B0)"),
        (
            '{"300A00B0": {"vr": "SQ", "Value": [{}, {"300A0111": {"vr": "DS", "Value": {}}}]}}',
            "(300A,00B0)[1].(300A,0111)",
        ),
    ],
)
def test_what_is_no_model_is_refused(text: str | bytes, path: str | None) -> None:
    with pytest.raises(EncodingError) as caught:
        Dataset.from_json(text)
    assert caught.value.clause == "PS3.18 F.2"
    assert caught.value.path == path


def test_depth_is_bounded() -> None:
    model: dict[str, Any] = {}
    for _ in range(128):
        model = {"300A00B0": {"vr": "SQ", "Value": [model]}}
    assert Dataset.from_json(json.dumps(model)).to_json_dict() == model
    model = {"300A00B0": {"vr": "SQ", "Value": [model]}}
    with pytest.raises(LimitExceeded):
        Dataset.from_json(model)
    ds = Dataset()
    for _ in range(400):
        ds = Dataset({"BeamSequence": [ds]})
    with pytest.raises(LimitExceeded):
        ds.to_json()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["vr", "Value", "InlineBinary", "BulkDataURI", "Alphabetic"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@given(st.sampled_from([*VRS, "XX", ""]), _JSON, st.sampled_from(["Value", "InlineBinary", "BulkDataURI"]))
def test_only_documented_errors_leave(vr: str, content: Any, member: str) -> None:
    model = {"300A00B0": {"vr": "SQ", "Value": [{"00091001": {"vr": vr, member: content}}, content]}}
    with suppress(DicomError):
        ds = Dataset.from_json(model, lambda uri: b"")
        assert Dataset.from_json(ds.to_json()) == ds
