"""``python -m benchmarks [NAME ...]``: run the contests whose name or module contains NAME; print Markdown tables."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from benchmarks._harness import Contest, Outcome, machine, markdown, measure
from benchmarks._publish import publish


def contests() -> Iterator[tuple[str, Contest]]:
    """(module, contest) of every ``bench_*.py`` beside this file; each answers them from ``contests()``."""
    for path in sorted(Path(__file__).parent.glob("bench_*.py")):
        for contest in importlib.import_module(f"benchmarks.{path.stem}").contests():
            yield path.stem, contest


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of a contest's or a module's name, such as parse")
    parser.add_argument("--list", action="store_true", help="name the contests and stop")
    parser.add_argument("--rounds", type=int, help="rounds of each contest, instead of its own number")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write all figures to FILE")
    parser.add_argument("--publish", action="store_true", help="also put them into docs/figures.md and README.md")
    options = parser.parse_args()

    results: dict[str, tuple[Contest, list[Outcome]]] = {}
    known: list[str] = []
    for module, contest in contests():
        known.append(contest.name)
        if options.names and not any(part in f"{module} {contest.name}" for part in options.names):
            continue
        if options.list:
            print(f"{contest.name:28} {contest.title}")
            continue
        if not results:
            print(f"{machine()}\n", flush=True)
        outcomes = measure(contest, options.rounds)
        print(markdown(contest, outcomes), flush=True)
        results[contest.name] = contest, outcomes
    if options.list:
        return 0
    if not results:
        print("no contest of that name; see --list", file=sys.stderr)
        return 2
    if options.json:
        figures = {name: [asdict(outcome) for outcome in outcomes] for name, (_, outcomes) in results.items()}
        options.json.write_text(json.dumps({"machine": machine(), "contests": figures}, indent=1))
    if options.publish:
        publish(results, known)
    return 0


if __name__ == "__main__":
    sys.exit(main())
