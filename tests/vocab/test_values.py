"""VRs, UIDs, transfer syntaxes, SOP classes and status codes."""

from __future__ import annotations

import pytest

from dicomcore.vocab import sop_classes, status, syntaxes, uids, vr


def test_vrs() -> None:
    assert len(vr.VRS) == 34
    long_headers = {code for code, row in vr.VRS.items() if row.long_header}
    assert long_headers == {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
    assert vr.VRS["UI"].pad == b"\0"
    assert vr.VRS["CS"].pad == b" "
    assert {code for code, row in vr.VRS.items() if row.is_text} == {"LO", "LT", "PN", "SH", "ST", "UC", "UT"}
    assert [vr.VRS[code].word for code in ("OB", "OW", "AT", "OF", "OD", "OL", "OV", "US", "FD", "UN")] == [
        1, 2, 2, 4, 8, 4, 8, 2, 8, 1,
    ]  # fmt: skip


@pytest.mark.parametrize("code", ["OB", "SQ", ""])
def test_vr_codes_are_both_ways(code: str) -> None:
    assert vr.vr_name(vr.vr_code(code)) == code


@pytest.mark.parametrize("uid", ["1.2.840.10008.1.2", "0.1", "2.25.0", "1." + "2" * 62])
def test_valid_uids(uid: str) -> None:
    assert uids.is_valid_uid(uid)


@pytest.mark.parametrize("uid", ["", "1", "1.", ".1", "1..2", "1.02", "1.a", "../1.2", "1.2\n", "1." + "2" * 63])
def test_invalid_uids(uid: str) -> None:
    assert not uids.is_valid_uid(uid)


def test_new_uids_are_valid_and_differ() -> None:
    made = {uids.new_uid() for _ in range(100)}
    assert len(made) == 100
    assert all(uid.startswith("2.25.") and uid.is_valid for uid in made)


def test_implementation_identity() -> None:
    assert uids.IMPLEMENTATION_CLASS_UID.is_valid
    assert uids.IMPLEMENTATION_CLASS_UID.startswith("2.25.")
    assert len(uids.IMPLEMENTATION_VERSION_NAME) <= 16


def test_uid_names() -> None:
    assert uids.UID("1.2.840.10008.1.1").name == "Verification SOP Class"
    assert uids.UID("1.2.3").name == "1.2.3"
    assert uids.UID("1.2.3").is_private
    assert uids.uid_for_keyword("RTDoseStorage") == "1.2.840.10008.5.1.4.1.1.481.2"


def test_transfer_syntaxes() -> None:
    assert len(syntaxes.SYNTAXES) == 63
    assert not syntaxes.IMPLICIT_LE.explicit
    assert syntaxes.EXPLICIT_BE.big_endian
    assert syntaxes.DEFLATED_LE.deflated
    assert syntaxes.SYNTAXES["1.2.840.10008.1.2.5"].encapsulated
    unknown = syntaxes.transfer_syntax("1.2.3")
    assert (unknown.explicit, unknown.big_endian, unknown.known) == (True, False, False)


def test_storage_classes() -> None:
    storage = sop_classes.storage_uids()
    assert {"1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.481.5"} <= storage
    assert sop_classes.VERIFICATION not in storage


@pytest.mark.parametrize(
    ("code", "category"),
    [
        (0, "Success"),
        (0xFF00, "Pending"),
        (0xFF01, "Pending"),
        (0xFE00, "Cancel"),
        (0xB000, "Warning"),
        (0x0107, "Warning"),
        (0xA700, "Failure"),
        (0xC123, "Failure"),
        (0x0122, "Failure"),
        (0x7777, "Failure"),
    ],
)
def test_status_categories(code: int, category: str) -> None:
    assert status.category(code) == category


def test_status_text() -> None:
    assert status.describe(0) == "0000 Success"
    assert status.describe(0xA700, "C-STORE") == "A700 Failure: Out of resources"
    assert status.describe(0x7777) == "7777 Failure"
