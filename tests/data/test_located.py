"""Where values lie: in the file, in memory once edited, and in fragments that a scan has walked or has not."""

from __future__ import annotations

from pathlib import Path

from dicomcore import Dataset, dcmread
from dicomcore.data.located import locate
from dicomcore.encoding.source import BytesSource, FileSource
from dicomcore.errors import Issue
from tests.pixels.objects import PRIVATE, encapsulated, image, items


def test_a_value_of_a_file(tmp_path: Path) -> None:
    image(PixelData=bytes(range(100))).save_as(tmp_path / "x.dcm")
    ds = dcmread(tmp_path / "x.dcm")
    found = locate(ds, "PixelData", [])
    assert found is not None
    assert isinstance(found.source, FileSource)
    assert (found.length, found.fragments, found.is_marked) == (100, None, False)
    assert found.view() == bytes(range(100))
    assert (tmp_path / "x.dcm").read_bytes()[found.offset :][:100] == bytes(range(100))


def test_an_edited_value_lies_in_memory() -> None:
    ds = image(PixelData=b"abcd")
    found = locate(ds, 0x7FE00010, [])
    assert found is not None
    assert isinstance(found.source, BytesSource)
    assert (found.offset, found.length, bytes(found.view())) == (0, 4, b"abcd")


def test_no_value() -> None:
    assert locate(Dataset(), "PixelData", []) is None
    ds = encapsulated([[b"abcdef"]])
    del ds.PixelData
    assert locate(ds, "PixelData", []) is None
    assert locate(ds, "FloatPixelData", []) is None


def test_fragments_that_the_scan_has_walked() -> None:
    ds = encapsulated([[b"abcdef"], [b"gh", b"ij"]])
    found = locate(ds, "PixelData", [])
    assert found is not None
    assert found.is_marked
    assert found.fragments is not None
    assert [bytes(found.fragments.view(found.source, i)) for i in range(3)] == [b"abcdef", b"gh", b"ij"]


def test_fragments_that_no_scan_has_walked() -> None:
    issues: list[Issue] = []
    ds = image(PixelData=items([b"abcdef", b"gh"]))
    ds.file_meta.TransferSyntaxUID = PRIVATE
    plain = locate(ds, "PixelData", issues)
    assert plain is not None
    assert plain.fragments is None
    found = locate(ds, "PixelData", issues, encapsulated=True)
    assert found is not None
    assert found.fragments is not None
    assert not found.is_marked
    assert [bytes(found.fragments.view(found.source, i)) for i in range(2)] == [b"abcdef", b"gh"]
    assert not issues
