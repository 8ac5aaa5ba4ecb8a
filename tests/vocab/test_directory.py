"""Directory record types and the storage classes that they list."""

from __future__ import annotations

from dicomcore.vocab.dictionary import lookup
from dicomcore.vocab.directory import record_types
from dicomcore.vocab.sop_classes import sop_classes, storage_uids

RETIRED = {"CURVE", "OVERLAY", "MODALITY LUT", "VOI LUT", "STORED PRINT"}


def test_radiotherapy_has_its_record_types() -> None:
    types = record_types()
    for name in ("RT DOSE", "RT STRUCTURE SET", "RT PLAN", "RT TREAT RECORD"):
        assert types[name].parents == ("SERIES",)
        assert (0x00200013, "1") in types[name].keys
    assert (0x300A0002, "1") in types["RT PLAN"].keys
    assert sop_classes()["1.2.840.10008.5.1.4.1.1.481.5"].directory_record == "RT PLAN"
    assert sop_classes()["1.2.840.10008.5.1.4.1.1.2"].directory_record == "IMAGE"


def test_every_record_hangs_on_another_and_every_key_is_known() -> None:
    types = record_types()
    for record in types.values():
        assert record.parents
        assert {parent for parent in record.parents if parent} <= types.keys()
        assert all(lookup(tag) and kind in {"1", "1C", "2", "3"} for tag, kind in record.keys)


def test_records_of_storage_classes_have_a_type() -> None:
    names = {sop_classes()[uid].directory_record for uid in storage_uids()} - {""}
    assert names - RETIRED <= record_types().keys()
