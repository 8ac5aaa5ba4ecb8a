"""What saving leaves of the file that was there: permissions, symbolic links."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dicomcore import Dataset, dcmread


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
    Dataset({"PatientID": "third"}).save_as(saved)
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
