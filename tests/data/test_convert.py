"""The thin methods of a data set: each reaches its function, and there are not too many of them."""

from __future__ import annotations

import inspect

from dicomcore import Dataset
from dicomcore.data._late import LATE, late
from dicomcore.data.convert import Convertible


def test_every_late_name_resolves() -> None:
    for name in LATE:
        assert callable(late(name))


def test_a_data_set_has_few_methods() -> None:
    names = [name for name in dir(Dataset) if not name.startswith("_")]
    methods = [name for name in names if not isinstance(inspect.getattr_static(Dataset, name), property)]
    assert len(methods) < 30, methods


def test_conversions_give_a_data_set() -> None:
    ds = Dataset({"PatientID": "7"})
    for back in (
        Dataset.from_json(ds.to_json()),
        Dataset.from_json(ds.to_json_dict()),
        Dataset.from_xml(ds.to_xml()),
        Dataset.from_pydicom(ds.to_pydicom()),
    ):
        assert type(back) is Dataset
        assert isinstance(back, Convertible)
        assert back == ds
    assert "Patient ID" in ds._repr_html_()
