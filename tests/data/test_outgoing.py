"""Files on their way out: what the kernel takes is what the ordinary reader would say, and the rest is the reader's."""

from __future__ import annotations

import os
import random
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore._core.opening import open_plain
from dicomcore.data import outgoing
from dicomcore.data.outgoing import open_instance
from dicomcore.data.part10 import encode_file_meta, read_layout
from dicomcore.encoding.policy import LENIENT
from dicomcore.encoding.source import BytesSource, FileSlice
from dicomcore.errors import EncodingError
from dicomcore.vocab.syntaxes import EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE, SYNTAXES
from tests.reference import opening as twin

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = b"\x08\0\x05\0CS\x0a\0ISO_IR 192" + b"\x08\0\x16\0UI\x02\x001\0"
IMPLICIT = b"\x08\0\x05\0\x0a\0\0\0ISO_IR 192" + b"\x08\0\x16\0\x02\0\0\x001\0"
TABLE: Any = outgoing._PLAIN


def file(syntax: str = EXPLICIT_LE.uid, body: bytes = EXPLICIT, instance: str = "1.2.3", **options: Any) -> bytes:
    return encode_file_meta(CT, instance, syntax, **options) + body


def opened(path: Path) -> tuple[Any, ...] | None:
    """What the kernel says of a file: UIDs, data set, offset."""
    found = open_plain(str(path), TABLE)
    if found is None:
        return None
    sop_class, sop_instance, syntax, data, offset, length, descriptor = found
    if data is None:
        data = os.pread(descriptor, length, offset)
        os.close(descriptor)
    else:
        assert descriptor == -1
    assert len(data) == length
    return sop_class, sop_instance, syntax, data, offset


def agrees(path: Path, data: bytes) -> bool:
    """Whether kernel, twin and ordinary reader say the same of this file; True where it was plain."""
    path.write_bytes(data)
    found, expected = opened(path), twin.plain(data, TABLE)
    if expected is None:
        assert found is None
        return False
    issues: list[Any] = []
    layout, values = read_layout(BytesSource(data), policy=LENIENT, issues=issues)
    assert not issues
    read = [values[number].rstrip(b"\0 ").decode() for number in (2, 3)]
    assert expected == (*read, layout.syntax.uid, layout.dataset_offset)
    assert layout.syntax.uid == layout.declared_syntax
    assert layout.syntax is SYNTAXES[layout.syntax.uid]
    assert found == (*expected[:3], data[layout.dataset_offset :], layout.dataset_offset)
    return True


@pytest.mark.parametrize("length", [0, 100, 32_768, 32_769, 200_000])
@pytest.mark.parametrize(("syntax", "body"), [(EXPLICIT_LE.uid, EXPLICIT), (IMPLICIT_LE.uid, IMPLICIT)])
def test_plain_files(tmp_path: Path, syntax: str, body: bytes, length: int) -> None:
    data = file(syntax, body)
    data += bytes(max(0, length - len(data)))
    assert agrees(tmp_path / "a.dcm", data)
    outgoing = open_instance(tmp_path / "a.dcm")
    assert outgoing[:3] == (CT, "1.2.3", syntax)
    assert isinstance(outgoing.body, FileSlice) == (length > 32_768)
    if isinstance(outgoing.body, FileSlice):
        with outgoing.body as piece:
            assert len(piece) == len(data) - piece.offset
            assert data.endswith(bytes(piece.read(0, len(piece))))
    else:
        assert data.endswith(outgoing.body)


def test_an_empty_meta_value_and_large_meta_are_the_readers(tmp_path: Path) -> None:
    preamble = bytes(range(128))
    assert agrees(tmp_path / "a", file(preamble=preamble, source_ae="SOURCE"))
    assert not agrees(tmp_path / "a", file(instance=""))
    assert not agrees(tmp_path / "a", file(instance="1.2.A"))
    assert not agrees(tmp_path / "a", file(instance="1" * 65))
    assert agrees(tmp_path / "a", file(instance="1" * 64))
    assert not agrees(tmp_path / "a", file("1.2.3.4"))
    assert not agrees(tmp_path / "a", file(EXPLICIT_BE.uid))
    assert not agrees(tmp_path / "a", file(EXPLICIT_LE.uid, IMPLICIT))
    assert not agrees(tmp_path / "a", file(IMPLICIT_LE.uid, EXPLICIT))
    assert not agrees(tmp_path / "a", file(body=b""))
    assert not agrees(tmp_path / "a", file(body=EXPLICIT[:7]))
    assert not agrees(tmp_path / "a", file()[128:])
    assert not agrees(tmp_path / "a", b"")


def test_every_cut_and_every_byte(tmp_path: Path) -> None:
    """As hostile as bytes can be: what the kernel still takes, the ordinary reader reads the same, without an issue."""
    for syntax, body in ((EXPLICIT_LE.uid, EXPLICIT), (IMPLICIT_LE.uid, IMPLICIT)):
        data = file(syntax, body)
        plain = [agrees(tmp_path / "a", data[:stop]) for stop in range(120, len(data) + 1)]
        assert plain.count(True) == len(body) - 7
        chance = random.Random(7)
        kept = 0
        for at in range(128, len(data)):
            for value in {0, 1, 0xFF, data[at] ^ 1, data[at] ^ 0x20, chance.randrange(256)} - {data[at]}:
                kept += agrees(tmp_path / "a", data[:at] + bytes([value]) + data[at + 1 :])
        assert kept > 100


@given(
    st.lists(st.tuples(st.integers(0, 0x20), st.sampled_from(["UI", "OB", "UL", "AE", "??"]), st.binary(max_size=9)))
)
def test_any_meta_group(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, str, bytes]]) -> None:
    group = b""
    for element, vr, value in rows:
        length = len(value).to_bytes(2, "little")
        group += b"\2\0" + bytes([element, 0]) + vr.encode()
        group += (b"\0\0" + length + b"\0\0" if vr == "OB" else length) + value
    rest = file()[144:]
    group += rest[: rest.index(b"\x08\0\x05\0")]
    data = bytes(128) + b"DICM\2\0\0\0UL\4\0" + len(group).to_bytes(4, "little") + group + EXPLICIT
    agrees(tmp_path_factory.mktemp("meta") / "a", data)


def test_what_is_no_regular_file_is_the_readers(tmp_path: Path) -> None:
    for name in (tmp_path, tmp_path / "absent", tmp_path / ("n" * 300)):
        assert open_plain(str(name), TABLE) is None
        with pytest.raises(OSError, match=r"folder|No such|too long"):
            open_instance(name)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(EncodingError, match="not a regular file"):
        open_instance(tmp_path / "fifo")
    assert open_plain("a\0b", TABLE) is None
    with pytest.raises(ValueError, match="null"):
        open_instance("a\0b")
    (tmp_path / "text").write_bytes(b"this is no DICOM file at all, is it?")
    with pytest.raises(EncodingError, match="not a DICOM file"):
        open_instance(tmp_path / "text")


def test_neither_descriptors_nor_memory_stay(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(file())
    (tmp_path / "large").write_bytes(file(body=EXPLICIT + bytes(50_000)))
    (tmp_path / "odd").write_bytes(file(instance="x"))
    (tmp_path / "unknown").write_bytes(file("1.2.3.4"))
    before = set(os.listdir("/proc/self/fd")) if sys.platform == "linux" else set()

    def work() -> None:
        for name in ("small", "large", "odd", "unknown"):
            body = open_instance(tmp_path / name).body
            if isinstance(body, FileSlice):
                body.close()

    work()
    tracemalloc.start()
    try:
        work()
        held, _ = tracemalloc.get_traced_memory()
        for _ in range(50):
            work()
        assert tracemalloc.get_traced_memory()[0] < held + 4096
    finally:
        tracemalloc.stop()
    if sys.platform == "linux":
        assert set(os.listdir("/proc/self/fd")) == before


def test_an_audit_hook_sees_what_is_opened(tmp_path: Path) -> None:
    """As it would see `os.open`; in a process of its own, since hooks stay."""
    import subprocess

    (tmp_path / "small").write_bytes(file())
    code = (
        "import sys; from dicomcore.data.outgoing import open_instance\n"
        "seen = []; sys.addaudithook(lambda name, args: seen.append(args) if name == 'open' else None)\n"
        "open_instance(sys.argv[1]); print([row[0] for row in seen] == [sys.argv[1]], seen[0][1], len(seen[0]))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "small")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True None 3\n"


def test_the_ordinary_way_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, data in (("small", file()), ("large", file(body=EXPLICIT + bytes(50_000)))):
        path = tmp_path / name
        path.write_bytes(data)
        results = []
        for kernel in (open_plain, lambda path, syntaxes: None):
            monkeypatch.setattr(outgoing, "open_plain", kernel)
            one = open_instance(path)
            body = one.body.read(0, len(one.body)) if isinstance(one.body, FileSlice) else bytes(one.body)
            if isinstance(one.body, FileSlice):
                one.body.close()
            results.append((*one[:3], bytes(body)))
        assert results[0] == results[1]
