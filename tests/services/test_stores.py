"""A folder as a store: names that no peer chooses, duplicates, and what a dead process leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore.encoding import sink
from dicomcore.encoding.sink import TEMPORARY_PREFIX, FileSink
from dicomcore.errors import ServiceError
from dicomcore.services.stores import FolderStore, NewInstance, file_name
from tests.services.driver import IMPLICIT, INSTANCE, RT_PLAN

HOSTILE = [
    "../../x",
    "..",
    ".",
    "/etc/passwd",
    "1.2/../3",
    "1.2\\3",
    "1.2\0",
    "CON",
    ".hidden",
    "1.2.",
    "1..2",
    "-rf",
    "",
    "1" * 65,
    "1.2 3",
    "1.\uff12",  # a digit, but not an ASCII one
    "é",
    TEMPORARY_PREFIX + "1-2",
]


def instance(uid: str = INSTANCE) -> NewInstance:
    return NewInstance(RT_PLAN, uid, IMPLICIT)


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.mark.parametrize("uid", ["1.2.3", "0.0", "1.02.3", "2.25." + "9" * 59, "7"])
def test_valid_uids_name_their_files(uid: str) -> None:
    assert file_name(uid) == uid + ".dcm"


@pytest.mark.parametrize("uid", HOSTILE)
def test_hostile_uids_become_hashes(uid: str, tmp_path: Path) -> None:
    name = file_name(uid)
    assert name.startswith("sha256-")
    assert len(name) == len("sha256-.dcm") + 40
    sink = FolderStore(tmp_path / "in").create(instance(uid))
    sink.write(b"x")
    sink.commit()
    assert names(tmp_path) == ["in"]
    assert names(tmp_path / "in") == [name]


@given(st.text(max_size=80), st.text(max_size=80))
def test_names_are_plain_and_as_different_as_their_uids(one: str, other: str) -> None:
    for uid in (one, other):
        name = file_name(uid)
        assert name == os.path.basename(name)
        assert name.isascii()
        assert not name.startswith((".", "-"))
        assert len(name) <= 68
    assert (file_name(one) == file_name(other)) is (one == other)


def test_replace_keep_refuse(tmp_path: Path) -> None:
    rules: list[tuple[Any, int | None]] = [("replace", None), ("keep", 0), ("refuse", 0x0111)]
    for rule, status in rules:
        store = FolderStore(tmp_path / rule, duplicates=rule)
        early, late = store.create(instance()), store.create(instance())
        early.write(b"first")
        late.write(b"second")
        early.commit()
        if status is None:
            late.commit()
            store.create(instance()).discard()
        else:
            for attempt in (late.commit, lambda store=store: store.create(instance())):
                with pytest.raises(ServiceError) as caught:
                    attempt()
                assert caught.value.answer == status
        assert names(tmp_path / rule) == [INSTANCE + ".dcm"]
        assert Path(store.path_for(INSTANCE)).read_bytes() == (b"second" if status is None else b"first")


def test_unknown_rules(tmp_path: Path) -> None:
    wrong: list[dict[str, Any]] = [{"duplicates": "both"}, {"durability": "hope"}]
    for rules in wrong:
        with pytest.raises(ValueError, match="no such rule"):
            FolderStore(tmp_path, **rules)


WRITER = """
import sys
from dicomcore.encoding.sink import FileSink
sink = FileSink(sys.argv[1])
sink.write(b"half an object")
print("written", flush=True)
sys.stdin.read()
"""


def test_leftovers_of_a_killed_process_are_removed_and_those_of_a_living_one_are_not(tmp_path: Path) -> None:
    final = tmp_path / "1.2.3.dcm"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(final)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"written\n"
        [leftover] = names(tmp_path)
        assert leftover.startswith(TEMPORARY_PREFIX)
        assert FolderStore(tmp_path).removed == 0
        assert names(tmp_path) == [leftover]
        writer.kill()
        writer.wait()
    assert names(tmp_path) == [leftover]
    assert FolderStore(tmp_path).removed == 1
    assert names(tmp_path) == []


def test_leftovers_of_a_process_number_in_use_go_at_once(tmp_path: Path) -> None:
    """A server that is process 1 of its container is process 1 again after it was killed."""
    (tmp_path / f"{TEMPORARY_PREFIX}{os.getpid()}-00").write_bytes(b"x")
    writing = FileSink(tmp_path / "1.2.dcm")
    assert FolderStore(tmp_path).removed == 1
    assert names(tmp_path) == [os.path.basename(writing.temporary_path)]
    writing.commit()
    assert names(tmp_path) == ["1.2.dcm"]


def test_who_writes_on_another_machine_is_left_alone(tmp_path: Path) -> None:
    prefix = f"{TEMPORARY_PREFIX}999999999-"  # no process here has this number
    writing = FileSink(tmp_path / "1.2.dcm", temporary_prefix=prefix)
    assert FolderStore(tmp_path, stale_after=0).removed == 0
    writing.commit()
    assert names(tmp_path) == ["1.2.dcm"]


def test_a_file_that_is_being_committed_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    close = os.close
    writing = FileSink(tmp_path / "1.2.dcm")

    def closing(descriptor: int) -> None:
        monkeypatch.undo()
        close(descriptor)
        assert FolderStore(tmp_path, stale_after=0).removed == 0

    monkeypatch.setattr(os, "close", closing)
    writing.commit()
    assert names(tmp_path) == ["1.2.dcm"]


def test_a_file_taken_for_a_leftover_as_it_is_made_gets_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = sink.LOCKS.flock
    taken: list[str] = []

    def late(descriptor: int, operation: int) -> None:
        monkeypatch.undo()
        taken.extend(names(tmp_path))
        assert FolderStore(tmp_path).removed == 1
        lock(descriptor, operation)

    monkeypatch.setattr(sink.LOCKS, "flock", late)
    with FileSink(tmp_path / "1.2.dcm") as file:
        file.write(b"whole")
        assert taken != names(tmp_path) != []
    assert (tmp_path / "1.2.dcm").read_bytes() == b"whole"


def test_without_locks_leftovers_of_a_process_number_in_use_go_when_they_are_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink, "LOCKS", None)
    leftover = tmp_path / f"{TEMPORARY_PREFIX}{os.getpid()}-00"
    for name in (leftover, tmp_path / f"{TEMPORARY_PREFIX}strange", tmp_path / "1.2.dcm", tmp_path / "mine"):
        name.write_bytes(b"x")
    assert FolderStore(tmp_path).removed == 0
    past = os.stat(leftover).st_mtime - 3601
    os.utime(leftover, (past, past))
    assert FolderStore(tmp_path).removed == 1
    assert FolderStore(tmp_path, stale_after=0).removed == 1
    assert names(tmp_path) == ["1.2.dcm", "mine"]


# --- whole files ------------------------------------------------------------------------------------------------------


def test_put_keeps_to_what_the_store_says_now(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.put(instance(), [b"one"])
    store.duplicates = "refuse"
    with pytest.raises(ServiceError, match="stored already"):
        store.put(instance(), [b"two"])
    assert names(tmp_path) == [f"{INSTANCE}.dcm"]
    assert Path(store.path_for(INSTANCE)).read_bytes() == b"one"


@pytest.mark.parametrize("name", ["create", "path_for"])
@pytest.mark.parametrize("whose", ["class", "instance", "subclass"])
def test_put_asks_whoever_makes_the_sinks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, whose: str
) -> None:
    class Mine(FolderStore):
        pass

    store = Mine(tmp_path)
    original = getattr(FolderStore, name)

    def other(*arguments: Any) -> Any:
        asked = arguments[-1]
        if name == "create":
            return original(store, asked._replace(sop_instance_uid="7"))
        return original(store, "7")

    monkeypatch.setattr({"class": FolderStore, "instance": store, "subclass": Mine}[whose], name, other)
    store.put(instance(), [b"one", b"two"])
    assert names(tmp_path) == ["7.dcm"]
    assert (tmp_path / "7.dcm").read_bytes() == b"onetwo"
