"""The table of codecs against what happens: each transfer syntax decodes, or says by name why it does not."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from dicomcore import CODECS, Codec, frames
from dicomcore.errors import PixelError
from dicomcore.pixels import codec as module
from dicomcore.pixels.codec import CodecTable
from dicomcore.vocab.syntaxes import SYNTAXES
from tests.pixels.objects import COPY, PRIVATE, encapsulated, image, items

J = "1.2.840.10008.1.2.4"
NATIVE = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"}
BOTH = NATIVE | {
    "1.2.840.10008.1.2.1.98", "1.2.840.10008.1.2.8.1", "1.2.840.10008.1.2.5",
    *(f"{J}.{n}" for n in (50, 51, 57, 70, 80, 81, 90, 91, 110, 112, 201, 202, 203)),
}  # fmt: skip


def test_a_row_for_every_transfer_syntax() -> None:
    assert len(CODECS) == 63
    assert CODECS.keys() == SYNTAXES.keys()


def test_what_the_project_promises() -> None:
    assert {uid for uid, row in CODECS.items() if row.can_decode} == BOTH | {f"{J}.111"}
    assert {uid for uid, row in CODECS.items() if row.can_encode} == BOTH


@pytest.mark.parametrize("uid", SYNTAXES)
def test_every_no_has_a_reason(uid: str) -> None:
    row = CODECS[uid]
    assert bool(row.reason) is not (row.can_decode and row.can_encode)
    assert row.syntax.uid == row.uid == uid
    assert row.lossy == SYNTAXES[uid].pixel_loss


@pytest.mark.parametrize("uid", SYNTAXES)
def test_the_table_says_what_happens(uid: str) -> None:
    """A frame of each syntax: decoded where the table says so, else refused with the syntax and the reason."""
    row = CODECS[uid]
    if row.can_decode:
        codec = row.decoder()
        assert codec.view or codec.decode is not None
    else:
        with pytest.raises(PixelError) as caught:
            row.decoder("(7FE0,0010)")
        assert row.reason in str(caught.value)
        assert row.syntax.name in str(caught.value)
        ds = image(PixelData=items([b"what is in it"]) if row.syntax.encapsulated else bytes(6))
        ds.file_meta.TransferSyntaxUID = uid
        with pytest.raises(PixelError) as caught:
            frames(ds)[0]
        assert row.reason in str(caught.value)
        assert uid in str(caught.value)
    if row.can_encode:
        codec = row.encoder()
        assert codec.encode is not None
        assert codec.target is not None
    else:
        with pytest.raises(PixelError, match="cannot be encoded") as caught:
            row.encoder()
        assert row.reason in str(caught.value)


def test_a_syntax_that_nobody_registered() -> None:
    assert PRIVATE not in CODECS
    with pytest.raises(PixelError, match=r"2\.25\.1.*no transfer syntax that this codec table knows"):
        frames(encapsulated([[b"abcdef"]]))[0]


def test_a_codec_of_ones_own_in_three_lines() -> None:
    table = CODECS.with_codec(PRIVATE, Codec("copy", decode=COPY.decode))
    array = frames(encapsulated([[b"abcdef"]]), codecs=table)[0]
    assert array.tobytes() == b"abcdef"
    assert PRIVATE not in CODECS
    assert (len(table), table[PRIVATE].can_decode, table[PRIVATE].can_encode) == (64, True, False)
    assert table[PRIVATE].reason == "copy has no encoder"
    with pytest.raises(PixelError, match="copy has no encoder"):
        table.row(PRIVATE).encoder()


def test_a_codec_may_replace_one_of_the_table() -> None:
    video = f"{J}.100"
    table = CODECS.with_codec(video, COPY)
    assert table.row(video).decoder() is COPY
    assert not CODECS[video].can_decode


def test_rows_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        CODECS[f"{J}.50"].reason = "because"  # type: ignore[misc]
    with pytest.raises(TypeError):
        CODECS["1"] = CODECS[f"{J}.50"]  # type: ignore[index]


def test_a_missing_library_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    for requires, hint in (("imagecodecs", "pip install 'dicomcore[codecs]'"), ("nowhere", "pip install nowhere")):
        table = CODECS.with_codec(PRIVATE, replace(COPY, requires=requires))
        with pytest.raises(PixelError, match=f"cannot be decoded without {requires}") as caught:
            frames(encapsulated([[b"abcdef"]]), codecs=table)[0]
        assert caught.value.hint == hint


def test_installed_packages_fill_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point of the group is found by ``ds.pixel_array`` too; it replaces nothing."""
    entries = {PRIVATE: "tests.pixels.objects:COPY", f"{J}.50": "tests.pixels.objects:COPY"}
    monkeypatch.setattr(module, "entry_points", lambda group: [EntryPoint(*one, group) for one in entries.items()])
    module._offered.cache_clear()
    try:
        np.testing.assert_array_equal(encapsulated([[b"abcdef"]]).pixel_array, [[97, 98, 99], [100, 101, 102]])
        assert CODECS.row(f"{J}.50") is CODECS[f"{J}.50"]
    finally:
        module._offered.cache_clear()


def test_an_entry_point_that_is_no_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        module, "entry_points", lambda group: [EntryPoint(PRIVATE, "tests.pixels.objects:TABLE", group)]
    )
    module._offered.cache_clear()
    try:
        with pytest.raises(PixelError, match=r"TABLE is not a dicomcore\.Codec"):
            frames(encapsulated([[b"abcdef"]]))
    finally:
        module._offered.cache_clear()


def test_a_module_that_cannot_be_imported_is_told() -> None:
    row = replace(CODECS[f"{J}.50"], where="dicomcore.pixels.codecs.nowhere:CODEC")
    table = CodecTable({**CODECS, f"{J}.50": row})
    with pytest.raises(PixelError, match=r"JPEG Baseline.*nowhere"):
        frames(encapsulated([[b"abcdef"]], syntax=f"{J}.50"), codecs=table)[0]
