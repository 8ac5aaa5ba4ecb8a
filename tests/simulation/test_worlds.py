"""Thousands of simulated worlds, and one small scenario with each thing that can go wrong in it (`make soak`: more)."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from .anomalies import Durability, cut_everywhere, fail_each_operation, kill_at_each_operation, kill_at_each_step
from .world import CUTS, World

BLOCK = 100
BLOCKS = 2 if "ASAN_OPTIONS" in os.environ else 20  # every world runs the same kernels


KILLED = pytest.mark.parametrize(
    ("durability", "by", "at_once"),
    [
        ("process", "process", False),
        ("process", "process", True),
        ("power", "process", False),
        ("power", "power", False),
    ],
)


@pytest.mark.parametrize("start", range(0, BLOCKS * BLOCK, BLOCK))
def test_worlds(start: int) -> None:
    """What holds in each is in `World`; what happens in all of them together shows that they are no idle ones."""
    told: Counter[str] = Counter()
    for seed in range(start, start + BLOCK):
        told.update(World(seed).run().count)
    happened = {what for what, number in told.items() if number}
    assert happened >= {"acknowledged", "good", "cut", "deaf", "garbage", "mutant", "disk faults", "A700", "A900"}
    assert happened >= {"C-GET-RQ done", "C-MOVE-RQ done"}


@pytest.mark.parametrize("seed", range(12))
def test_same_seed_same_run(seed: int) -> None:
    one, other = World(seed).run(), World(seed).run()
    assert one.digest == other.digest
    assert one.trace == other.trace
    assert one.network.steps == other.network.steps


@pytest.mark.parametrize("at_once", [True, False])
def test_the_wire_cut_at_every_byte(at_once: bool) -> None:
    told: Counter[int] = Counter()
    for world in cut_everywhere(lambda position: (CUTS[position % 3],), at_once):
        told[len(world.acknowledged)] += 1
    assert set(told) == {0, 1, 2, 3}


@pytest.mark.parametrize(("durability", "at_once"), [("process", False), ("process", True), ("power", False)])
@pytest.mark.parametrize("duplicates", ["replace", "keep"])
def test_every_operation_of_the_disk_fails(durability: Durability, at_once: bool, duplicates: str) -> None:
    worlds = list(fail_each_operation(durability, "keep" if duplicates == "keep" else "replace", at_once))
    assert len(worlds[-1].acknowledged) == 3
    assert any(world.count["A700"] for world in worlds)
    assert any(world.count["0110"] for world in worlds)


@KILLED
def test_killed_at_every_operation_of_the_disk(durability: Durability, by: Durability, at_once: bool) -> None:
    worlds = kill_at_each_operation(durability, by, 8 if by == "power" else 1, at_once)
    told = Counter(len(world.acknowledged) for world in worlds)
    assert set(told) == {0, 1, 2, 3}


@KILLED
def test_killed_at_every_step(durability: Durability, by: Durability, at_once: bool) -> None:
    worlds = kill_at_each_step(durability, by, 2 if by == "power" else 1, at_once)
    told = Counter(len(world.acknowledged) for world in worlds)
    assert set(told) == {0, 1, 2, 3}
