"""What may be assigned: the types that pydicom users assign, and nothing that would silently get lost."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any

import numpy as np
import pydicom
import pytest

from dicomcore import Dataset


@pytest.mark.parametrize("value", [Dataset(), Dataset({"PatientID": "1"}), {}, {"PatientID": "1"}, pydicom.Dataset()])
def test_one_data_set_is_no_sequence(value: Any) -> None:
    ds = Dataset()
    with pytest.raises(TypeError, match="list of Datasets"):
        ds.ReferencedImageSequence = value
    assert "ReferencedImageSequence" not in ds


@pytest.mark.parametrize(
    ("keyword", "value", "text"),
    [
        ("StudyDate", date(2020, 1, 2), "20200102"),
        ("StudyDate", datetime(2020, 1, 2, 3, tzinfo=UTC), "20200102"),
        ("StudyTime", time(1, 2, 3), "010203"),
        ("StudyTime", time(1, 2, 3, 45), "010203.000045"),
        ("AcquisitionDateTime", datetime(2020, 1, 2, 3, 4, 5), "20200102030405"),
        ("AcquisitionDateTime", datetime(2020, 1, 2, 3, 4, 5, 6, tzinfo=UTC), "20200102030405.000006+0000"),
        (
            "AcquisitionDateTime",
            datetime(2020, 1, 2, tzinfo=timezone(-timedelta(hours=3, minutes=30))),
            "20200102000000-0330",
        ),
        ("StudyDate", "2020", "2020"),
    ],
)
def test_dates_and_times(keyword: str, value: Any, text: str) -> None:
    ds = Dataset({keyword: value})
    assert ds.get(keyword) == text
    assert text.encode() in ds.to_bytes()


def test_a_time_is_no_date() -> None:
    with pytest.raises(TypeError):
        Dataset({"StudyDate": time(1, 2)})


def test_strings_of_numpy_become_strings() -> None:
    ds = Dataset({"ImageType": np.array(["ORIGINAL", "PRIMARY"]), "PatientID": np.str_("x")})
    assert [type(one) for one in (*ds.ImageType, ds.PatientID)] == [str] * 3
