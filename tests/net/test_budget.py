"""One budget for all objects in memory: what fits is given, the oldest goes on, nobody is forgotten."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from dicomcore.data.dataset import Dataset
from dicomcore.dimse.command import command
from dicomcore.dimse.exchange import ResponseReceived
from dicomcore.limits import Limits
from dicomcore.net import AE, Server
from dicomcore.net.budget import Budget, Share
from dicomcore.services.storage import StorageSCP, Stored

from .conftest import CT, PATIENCE, RawPeer, element, even, eventually, write_ct

Serving = Callable[..., Server]


def test_what_fits_is_given_and_comes_back() -> None:
    budget = Budget(100, 0, wake=lambda holder: None)
    assert budget.try_hold("a", 60)
    assert budget.try_hold("b", 40)
    assert budget.used == 100
    budget.release("a")
    assert budget.used == 40
    budget.release("a")  # twice is once
    assert budget.used == 40
    assert budget.peak == 100


def test_the_two_oldest_that_wait_go_on() -> None:
    woken: list[Hashable] = []
    budget = Budget(160, 50, wake=woken.append)
    assert budget.try_hold("first", 30)
    assert budget.try_hold("second", 30)  # the pool is used up
    assert budget.try_hold("second", 20)
    assert budget.try_hold("first", 40)
    assert not budget.try_hold("third", 50 + 11)
    assert not budget.try_hold("fourth", 50 + 11)
    budget.release("first")
    assert woken == ["third"]
    assert budget.try_hold("third", 50)
    assert budget.used == 100


def test_one_that_stalls_stands_in_nobodys_way() -> None:
    woken: list[Hashable] = []
    budget = Budget(100, 50, wake=woken.append)
    assert budget.try_hold("stalls", 10)  # and is never heard of again
    for name in ("b", "c", "d"):
        assert budget.try_hold(name, 50) is (name == "b")
    budget.release("b")
    assert budget.try_hold("c", 50)
    budget.release("c")
    assert budget.try_hold("d", 50)
    budget.release("d")
    assert woken == ["c", "d"]


def test_those_for_whom_there_is_room_are_woken_oldest_first() -> None:
    woken: list[Hashable] = []
    budget = Budget(100, 0, wake=woken.append)
    for name in ("x", "y"):
        assert budget.try_hold(name, 101)  # the slots are taken
    assert budget.try_hold("all", 100)
    for name in ("b", "c", "d"):
        assert not budget.try_hold(name, 40)
    budget.release("all")
    assert woken == ["b", "c"]
    assert budget.try_hold("b", 40)
    assert budget.try_hold("c", 40)
    assert not budget.try_hold("d", 40)
    budget.release("b")
    assert woken == ["b", "c", "d"]


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(1, 64)), min_size=1, max_size=60), st.integers(1, 200))
def test_everybody_finishes_within_the_bound(steps: list[tuple[int, int]], length: int) -> None:
    """Objects in pieces, served as they are woken: nobody is left waiting, and the bound holds."""
    pieces: dict[Hashable, list[int]] = {}
    for number, size in steps:
        pieces.setdefault(number, []).append(size)
    largest = max(sum(sizes) for sizes in pieces.values())
    ready: list[Hashable] = []
    budget = Budget(length, largest, wake=ready.append)
    ready += pieces
    rounds = 0
    while ready:
        rounds += 1
        assert rounds < 10_000
        holder = ready.pop(0)
        if not pieces[holder]:
            continue
        if budget.try_hold(holder, pieces[holder][0]):
            assert budget.used <= max(length, largest)
            pieces[holder].pop(0)
            if pieces[holder]:
                ready.append(holder)
            else:
                budget.release(holder)
    assert not any(pieces.values())
    assert budget.used == 0
    assert budget.waiting == 0


def test_a_share_asks_only_for_what_goes_to_memory() -> None:
    class InMemory:
        def needs_memory(self, length: int) -> int:
            return length

    rung: list[str] = []
    budget = Budget(10, 10)
    share, other = Share(budget, lambda: rung.append("share")), Share(budget, lambda: rung.append("other"))
    assert share.try_write("file", object(), 1_000_000)
    assert share.try_write("a", InMemory(), 10)
    assert not other.try_write("b", InMemory(), 5)
    assert [other.waits] == [True]
    share.release("a")
    assert rung == ["other"]
    assert [other.waits] == [False]
    assert other.try_write("b", InMemory(), 5)
    assert budget.used == 5
    other.release("b")
    assert budget.used == 0


def test_what_is_there_already_counts_and_takes_the_room_of_others() -> None:
    woken: list[Hashable] = []
    budget = Budget(200, 50, wake=woken.append)
    assert budget.hold("queue", 250, forced=True)
    assert budget.full
    assert budget.used == budget.peak == 250
    assert not budget.hold("block", 10, forced=False)
    for name, goes_on in (("a", True), ("b", True), ("c", False)):  # the two oldest may
        assert budget.try_hold(name, 40) is goes_on
    assert budget.hold("queue", 70, forced=True)
    assert woken == []
    assert budget.hold("queue", 60, forced=True)
    assert woken == ["c"]
    assert budget.hold("block", 40, forced=False)
    assert not budget.hold("block", 41, forced=False)
    for name in ("queue", "block", "a", "b", "c"):
        budget.release(name)
    assert budget.used == 0
    assert not budget.full


# a server


def test_many_senders_share_a_budget_for_two(serving: Serving, user: AE, tmp_path: Path) -> None:
    size, senders = 300_000, 64
    seen: list[int] = []
    lock = threading.Lock()

    def handler(dataset: Dataset, stored: Stored) -> None:
        with lock:
            seen.append(len(dataset.PixelData))

    write_ct(tmp_path / "ct.dcm", size)
    limits = Limits(memory_object=400_000, memory_budget=800_000)
    server = serving(StorageSCP(handler=handler), limits=limits, workers=4)
    together = threading.Barrier(16)

    def send(_: int) -> int:
        with user.associate("127.0.0.1", server.port, contexts=[tmp_path / "ct.dcm"]) as association:
            together.wait(PATIENCE)
            return association.c_store(tmp_path / "ct.dcm")

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(send, range(senders))) == [0] * senders
    assert len(seen) == senders
    assert server._budget.peak <= limits.memory_budget
    eventually(lambda: server._budget.used == 0)
    assert server._budget.waiting == 0


def instance(uid: str, pixels: int) -> bytes:
    return (
        element(8, 0x16, b"UI", even(CT))
        + element(8, 0x18, b"UI", even(uid))
        + element(0x7FE0, 0x10, b"OW", bytes(pixels))
    )


def begin_store(peer: RawPeer, uid: str, body: bytes) -> None:
    """All of the request but the last fragment."""
    asked = command("C-STORE-RQ", AffectedSOPClassUID=CT, AffectedSOPInstanceUID=uid, Priority=0)
    peer.exchange.request(1, asked, [body, b""])
    peer.core._outbound.queue.pop()  # the last fragment
    peer.flush()


def test_one_that_stalls_starves_nobody(serving: Serving, user: AE, tmp_path: Path) -> None:
    write_ct(tmp_path / "ct.dcm", 300_000)
    limits = Limits(memory_object=400_000, memory_budget=800_000, budget_wait=PATIENCE)
    server = serving(StorageSCP(handler=lambda dataset, stored: None), limits=limits)
    with RawPeer(server.port, CT) as stalled:
        begin_store(stalled, "1.2.3", instance("1.2.3", 300_000)[:200_000])
        eventually(lambda: server._budget.used > 100_000)
        with user.associate("127.0.0.1", server.port, contexts=[tmp_path / "ct.dcm"]) as association:
            assert [association.c_store(tmp_path / "ct.dcm") for _ in range(5)] == [0] * 5
    eventually(lambda: server._budget.used == 0)


def test_who_waits_too_long_is_answered_a700(serving: Serving) -> None:
    limits = Limits(memory_object=400_000, memory_budget=400_000, budget_wait=0.05)
    server = serving(StorageSCP(handler=lambda dataset, stored: None), limits=limits)
    with RawPeer(server.port, CT) as stalled, RawPeer(server.port, CT) as second:
        begin_store(stalled, "1.2.3", instance("1.2.3", 300_000)[:200_000])
        eventually(lambda: server._budget.used > 100_000)
        body = instance("1.2.4", 300_000)
        begin_store(second, "1.2.4", body[:200_000])
        second.core._outbound.send(1, False, body[200_000:], True)
        second.flush()
        (answer,) = second.receive()
        assert isinstance(answer, ResponseReceived)
        assert answer.command.Status == 0xA700
        assert "budget_wait" in answer.command.ErrorComment
        stalled.core._outbound.send(1, False, instance("1.2.3", 300_000)[200_000:], True)
        stalled.flush()
        assert stalled.receive()[0].command.Status == 0
    eventually(lambda: server._budget.used == 0)


def test_objects_that_spill_hold_no_memory(serving: Serving, user: AE, tmp_path: Path) -> None:
    write_ct(tmp_path / "ct.dcm", 3_000_000)
    lengths: list[int] = []
    limits = Limits(memory_object=100_000, memory_budget=100_000)
    server = serving(StorageSCP(handler=lambda dataset, stored: lengths.append(len(dataset.PixelData))), limits=limits)
    with user.associate("127.0.0.1", server.port, contexts=[tmp_path / "ct.dcm"]) as association:
        assert association.c_store(tmp_path / "ct.dcm") == 0
    assert lengths == [3_000_000 - 3_000_000 % 2]
    assert server._budget.peak <= 100_000
