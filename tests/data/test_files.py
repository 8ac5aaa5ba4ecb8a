"""What saving leaves of the file that was there: permissions, symbolic links."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dicomcore import Dataset, dcmread
from dicomcore.errors import EncodingError
from dicomcore.vocab.tag import format_tag


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "a.dcm"
    Dataset({"PatientID": "first", "SOPClassUID": "1.2", "SOPInstanceUID": "1.3"}).save_as(path)
    return path


@pytest.mark.skipif(not hasattr(os, "fchmod"), reason="no permissions here")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_a_file_that_is_replaced_keeps_its_permissions(saved: Path, mode: int) -> None:
    saved.chmod(mode)
    ds = dcmread(saved)
    ds.PatientID = "second"
    ds.save_as(saved)
    assert saved.stat().st_mode & 0o7777 == mode
    Dataset({"PatientID": "third"}).save_as(saved, enforce_file_format=False)
    assert saved.stat().st_mode & 0o7777 == mode


def test_a_symbolic_link_stays_one(saved: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.dcm"
    link.symlink_to(saved)
    ds = dcmread(link)
    ds.PatientID = "second"
    ds.save_as(link)
    assert link.is_symlink()
    assert dcmread(saved).PatientID == ds.PatientID == "second"
    with pytest.raises(FileExistsError):
        ds.save_as(link, replace=False)


@pytest.mark.parametrize(("tag", "vr"), [(0x00020010, "UI"), (0x00000002, "UI"), (0x00020000, "UL")])
def test_groups_that_belong_elsewhere_are_refused(saved: Path, tag: int, vr: str) -> None:
    ds = dcmread(saved)
    ds.add_new(tag, vr, 5 if vr == "UL" else "1.2.840.10008.1.2")
    before = saved.read_bytes()
    with pytest.raises(EncodingError) as caught:
        ds.save_as(saved)
    assert caught.value.path == format_tag(tag)
    assert saved.read_bytes() == before
    del ds[tag]
    ds.save_as(saved)
    assert dcmread(saved) == ds


def test_a_key_that_is_none_is_absent() -> None:
    ds = Dataset({"PatientID": "1"})
    for key in ("nope", None, 5.5):
        with pytest.raises(KeyError):
            ds[key]
        with pytest.raises(KeyError):
            del ds[key]
        with pytest.raises(KeyError):
            ds.pop(key)
        assert ds.pop(key, "default") == "default"
    assert ds.pop("PatientID").value == "1"
    assert len(ds) == 0
