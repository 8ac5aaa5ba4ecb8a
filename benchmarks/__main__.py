"""``python -m benchmarks [NAME ...]``: run the contests whose name or module contains NAME; print Markdown tables."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from benchmarks._harness import Contest, machine, markdown, measure

# What README holds between these marks is written by ``--into README.md``.
START, END = "<!-- figures: make bench -->", "<!-- end of figures -->"


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
    parser.add_argument("--into", metavar="FILE", type=Path, help="also put the tables between FILE's figures marks")
    options = parser.parse_args()
    if options.into and options.names:
        parser.error("--into wants all figures, so no NAME")

    figures: dict[str, list[dict[str, object]]] = {}
    tables = [machine() + "\n"]
    found = False
    for module, contest in contests():
        if options.names and not any(part in f"{module} {contest.name}" for part in options.names):
            continue
        if options.list:
            print(f"{contest.name:28} {contest.title}")
            found = True
            continue
        if not found:
            print(f"{machine()}\n", flush=True)
        found = True
        outcomes = measure(contest, options.rounds)
        tables.append(markdown(contest, outcomes))
        print(tables[-1], flush=True)
        figures[contest.name] = [asdict(outcome) for outcome in outcomes]
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "contests": figures}, indent=1))
    if options.into:
        before, _, rest = options.into.read_text().partition(START)
        _, _, after = rest.partition(END)
        options.into.write_text(f"{before}{START}\n\n" + "\n".join(tables) + f"\n{END}{after}")
    if not found:
        print("no contest of that name; see --list", file=sys.stderr)
    return 0 if found else 2


if __name__ == "__main__":
    sys.exit(main())
