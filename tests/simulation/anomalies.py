"""One small scenario, and one thing that goes wrong in it, moved on step by step until it comes too late.

Three objects are stored by a good client on a kind wire; then the wire is cut at each byte of either direction, each
disk operation fails with each error that it may have, and the process, or the power, goes before each disk operation
and at each step of the schedule. ``at_once``: what can be answered without a provider is (`World`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Literal

from dicomcore.net.memory import Plug

from .disk import ProcessKilled
from .world import CUTS, FAULTS, World

Durability = Literal["process", "power"]
Cut = Literal["reset", "end", "silence"]


def cut_everywhere(
    hows: Callable[[int], tuple[Cut, ...]] = lambda position: CUTS, at_once: bool = False
) -> Iterator[World]:
    """The wire cut after each byte of each direction."""
    for by_client in (True, False):
        for position in count():
            worlds = [_cut(by_client, position, how, at_once) for how in hows(position)]
            yield from worlds
            if not any(world.count["was cut"] for world in worlds):
                break


def _cut(by_client: bool, position: int, how: Cut, at_once: bool) -> World:
    world = World(1, durability="process", quiet=True, at_once=at_once)
    plugs: list[Plug] = []

    def cut(near: Plug) -> None:
        plug = near if by_client else near.peer
        plug.cut(position, how)
        plugs.append(plug)

    world.with_plug = cut
    world.run()
    (plug,) = plugs
    world.count["was cut"] = plug.was_cut
    return world


def fail_each_operation(
    durability: Durability, duplicates: Literal["replace", "keep"] = "replace", at_once: bool = False
) -> Iterator[World]:
    """The n-th operation of the disk fails, in each way that it may."""
    for nth in count(1):
        way = 0
        while True:
            world = World(nth, durability=durability, quiet=True, at_once=at_once)
            world.duplicates = duplicates
            failed: list[str] = []
            ways = 1

            def fault(name: str, number: int, nth: int = nth, way: int = way, failed: list[str] = failed) -> int:
                nonlocal ways
                if number != nth:
                    return 0
                failed.append(name)
                ways = len(FAULTS[name])
                return FAULTS[name][way]

            world.disk.fault = fault
            yield world.run()
            if not failed:
                return
            way += 1
            if way >= ways:
                break


def kill_at_each_operation(
    durability: Durability, by: Durability, seeds: int = 1, at_once: bool = False
) -> Iterator[World]:
    """The process is killed, or the power goes, right before the n-th operation of the disk."""
    for nth in count(1):
        for seed in range(seeds):
            world = World(1000 * nth + seed, durability=durability, quiet=True, at_once=at_once)
            world.kill_by = by
            killed: list[int] = []

            def fault(name: str, number: int, nth: int = nth, killed: list[int] = killed) -> int:
                if number == nth and not killed:
                    killed.append(number)
                    raise ProcessKilled
                return 0

            world.disk.fault = fault
            yield world.run()
            if not killed:
                return


def kill_at_each_step(durability: Durability, by: Durability, seeds: int = 1, at_once: bool = False) -> Iterator[World]:
    """The same at each step of the schedule."""
    for step in count(1):
        for seed in range(seeds):
            world = World(1000 * step + seed, durability=durability, quiet=True, at_once=at_once)
            world.kill_by, world.kill_at = by, step
            yield world.run()
            if world.kill_at is not None:
                return
