"""The notebook's view: complete for small data sets, escaped, bounded for large ones, well-formed always."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from dicomcore import Dataset, dcmread
from dicomcore.data.html import to_html


def parsed(dataset: Dataset) -> ElementTree.Element:
    return ElementTree.fromstring(dataset._repr_html_())


def test_small_and_nested() -> None:
    ds = Dataset({"PatientName": "A^B", "Rows": 3, "ReferencedImageSequence": [Dataset({"InstanceNumber": 4})]})
    root = parsed(ds)
    text = "".join(root.itertext())
    assert "Patient's Name" in text
    assert "(0008,1140)" in text
    assert "1 item" in text
    assert [one.text for one in root.iter("summary")] == ["1 item", "[0]"]
    assert "Instance Number" in text


def test_what_is_read_is_escaped() -> None:
    ds = Dataset({"PatientID": "<script>alert('1')</script>&"})
    block = ds.private_block(0x0011, "<b>", create=True)
    block.add_new(1, "LO", "</table>")
    html = ds._repr_html_()
    assert "<script" not in html
    assert "<b>" not in html
    assert "&lt;script&gt;" in html
    assert "</table>" in "".join(parsed(ds).itertext())


def test_large_ones_stay_small() -> None:
    ds = Dataset({"PatientComments": "x" * 100_000})
    ds.PerFrameFunctionalGroupsSequence = [Dataset({"Rows": n, "Columns": n}) for n in range(5000)]
    html = ds._repr_html_()
    assert len(html) < 40_000
    assert "and 4900 more" in html
    wide = Dataset()
    for tag in range(0x00091000, 0x00091000 + 5000):
        wide.add_new(tag, "LO", "x")
    assert "and 3000 more elements" in wide._repr_html_()


def test_deep_ones_are_cut() -> None:
    ds = Dataset({"Rows": 1})
    for _ in range(100):
        ds = Dataset({"ReferencedImageSequence": [ds]})
    assert "and 1 more" in to_html(ds)


def test_all_samples_are_well_formed(pydicom_files: list[Path]) -> None:
    for path in pydicom_files:
        if path.name == "no_meta.dcm":
            continue
        ds = dcmread(path)
        assert len(list(parsed(ds).iter("table"))) >= 1 + bool(len(ds.file_meta)), path
