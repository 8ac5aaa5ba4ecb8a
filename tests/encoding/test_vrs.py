"""VR resolution: headers, dictionary, private blocks, and the choices of PS3.6 by what is in effect."""

from __future__ import annotations

import pytest

from dicomcore.encoding.vrs import NO_CONTEXT, UNDEFINED_LENGTH, VRContext, dictionary_vr, resolve_vr, vr_for_value
from dicomcore.vocab.vr import VRS, vr_code

SIGNED = VRContext(pixel_representation=1)


@pytest.mark.parametrize("vr", list(VRS))
def test_an_explicit_header_is_believed(vr: str) -> None:
    expected = "US" if vr == "UN" else vr
    assert resolve_vr(0x00280010, vr_code(vr), 2) == expected


@pytest.mark.parametrize(
    ("tag", "context", "vr"),
    [
        (0x00100010, NO_CONTEXT, "PN"),
        (0x00100000, NO_CONTEXT, "UL"),  # group length
        (0x00280106, NO_CONTEXT, "US"),
        (0x00280106, VRContext(pixel_representation=0), "US"),
        (0x00280106, SIGNED, "SS"),
        (0x00281101, SIGNED, "SS"),
        (0x00283006, NO_CONTEXT, "OW"),
        (0x00283006, VRContext(lut_entries=1), "US"),
        (0x00283006, VRContext(lut_entries=256), "OW"),
        (0x00281200, NO_CONTEXT, "OW"),
        (0x7FE00010, VRContext(bits_allocated=8), "OW"),  # PS3.5 A.1
        (0x60023000, NO_CONTEXT, "OW"),
        (0x60020010, NO_CONTEXT, "US"),
        (0x50003000, NO_CONTEXT, "OB"),
        (0x500A3000, NO_CONTEXT, "OB"),
        (0x5000200C, NO_CONTEXT, "OW"),
        (0x54001010, NO_CONTEXT, "OW"),
        (0x002031AB, NO_CONTEXT, "CS"),
        (0x00280410, NO_CONTEXT, "US"),
        (0x00290010, NO_CONTEXT, "LO"),
        (0x00291010, NO_CONTEXT, "UN"),
        (0x00291010, VRContext(private_creators={0x00290010: "SIEMENS CSA HEADER"}), "OB"),
        (0x00291110, VRContext(private_creators={0x00290010: "SIEMENS CSA HEADER"}), "UN"),
        (0x00291110, VRContext(private_creators={0x00290011: "SIEMENS CSA HEADER"}), "OB"),
        (0x00290001, NO_CONTEXT, "UN"),
        (0x00080002, NO_CONTEXT, "UN"),
    ],
)
def test_implicit_elements_take_the_vr_of_their_dictionary(tag: int, context: VRContext, vr: str) -> None:
    assert resolve_vr(tag, 0, 2, context) == vr
    assert resolve_vr(tag, vr_code("UN"), 2, context) == vr


@pytest.mark.parametrize(
    ("tag", "raw", "vr"),
    [
        (0x7FE00010, "", "OB"),
        (0x7FE00010, "OW", "OW"),
        (0x7FE00010, "UN", "OB"),
        (0x300A00B0, "", "SQ"),
        (0x300A00B0, "UN", "SQ"),
        (0x00291010, "", "SQ"),
        (0x00291010, "UN", "SQ"),
        (0x00100010, "LO", "LO"),
    ],
)
def test_undefined_length_means_items(tag: int, raw: str, vr: str) -> None:
    assert resolve_vr(tag, vr_code(raw), UNDEFINED_LENGTH) == vr


def test_unknown_codes_go_by_the_dictionary() -> None:
    assert resolve_vr(0x00080002, vr_code("ZZ"), 4) == "UN"
    assert resolve_vr(0x00100010, vr_code("ZZ"), UNDEFINED_LENGTH) == "UN"
    assert resolve_vr(0x00100010, vr_code("ZZ"), 4) == "PN"


@pytest.mark.parametrize(
    ("tag", "context", "vr"),
    [
        (0x7FE00010, VRContext(bits_allocated=8), "OB"),
        (0x7FE00010, VRContext(bits_allocated=16), "OW"),
        (0x7FE00010, NO_CONTEXT, "OW"),
        (0x54001010, VRContext(bits_allocated=8, waveform_bits_allocated=16), "OW"),
        (0x54001010, VRContext(waveform_bits_allocated=8), "OB"),
        (0x60003000, VRContext(bits_allocated=8), "OW"),
        (0x00280106, SIGNED, "SS"),
        (0x00291010, NO_CONTEXT, "UN"),
        (0x00100010, NO_CONTEXT, "PN"),
    ],
)
def test_values_newly_assigned(tag: int, context: VRContext, vr: str) -> None:
    assert vr_for_value(tag, context) == vr


def test_alternatives_are_left_open_by_the_dictionary() -> None:
    assert dictionary_vr(0x00280106) == "US or SS"
    assert dictionary_vr(0x00080002) is None
    assert dictionary_vr(0xFFFEE000) is None
