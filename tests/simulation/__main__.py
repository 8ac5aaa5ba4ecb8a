"""``make soak``: simulated worlds for as long as wanted, and every systematic anomaly in all its variants.

``python -m tests.simulation [--seeds N] [--start N]``; a seed that fails is told, with its last steps, and can be run
again alone: ``--start SEED --seeds 1``. Every fifth seed, and each with ``--threads``, runs the blocking drivers.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator

from .anomalies import cut_everywhere, fail_each_operation, kill_at_each_operation, kill_at_each_step
from .threaded import ThreadedWorld
from .world import Broken, World


def _anomalies() -> Iterator[World]:
    yield from cut_everywhere()
    yield from cut_everywhere(at_once=True)
    yield from fail_each_operation("process", at_once=True)
    yield from fail_each_operation("process", "keep", at_once=True)
    yield from kill_at_each_operation("process", "process", at_once=True)
    yield from kill_at_each_step("process", "process", at_once=True)
    for durability in ("process", "power"):
        yield from fail_each_operation(durability)
        yield from fail_each_operation(durability, "keep")
        yield from kill_at_each_operation(durability, "process")
        yield from kill_at_each_step(durability, "process")
    yield from kill_at_each_operation("power", "power", 50)
    yield from kill_at_each_step("power", "power", 10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20_000)
    parser.add_argument("--start", type=int, default=1_000_000)
    parser.add_argument("--threads", action="store_true", help="the blocking drivers only")
    options = parser.parse_args()
    began = time.monotonic()
    told: Counter[str] = Counter()
    failed: list[int] = []
    if options.seeds > 1:
        runs = 0
        for runs, world in enumerate(_anomalies(), 1):  # noqa: B007
            told.update(world.count)
        print(f"{runs} systematic anomalies, {time.monotonic() - began:.0f} s", flush=True)
    for done, seed in enumerate(range(options.start, options.start + options.seeds), 1):
        world = ThreadedWorld(seed) if options.threads or (seed % 5 == 0 and options.seeds > 1) else World(seed)
        try:
            world.run()
        except Broken as error:
            failed.append(seed)
            print(error, flush=True)
        told.update(world.count)
        if not done % 1000:
            print(f"{done} seeds, {len(failed)} failed, {time.monotonic() - began:.0f} s", flush=True)
    print(", ".join(f"{what}: {number}" for what, number in told.most_common()))
    if failed:
        raise SystemExit(f"failed: {failed}")
    print(f"{options.seeds} seeds from {options.start}: all is well")


if __name__ == "__main__":
    main()
