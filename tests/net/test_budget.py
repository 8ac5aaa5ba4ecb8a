"""One budget for all objects in memory: what fits is given, the oldest goes on, nobody is forgotten."""

from __future__ import annotations

from collections.abc import Hashable

from hypothesis import given
from hypothesis import strategies as st

from dicomcore.net.budget import Budget


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
