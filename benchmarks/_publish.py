"""Figures as the project shows them: every table in docs/figures.md, a line of each at its top, some in README.md.

A contest's table stands between marks with its name, so that one may be run again without the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks._harness import OWN, Contest, Outcome, like, machine, markdown, short

__all__ = ["publish"]

ROOT = Path(__file__).parent.parent
START, END = "<!-- figures: make bench -->", "<!-- end of figures -->"
HEAD = """# Figures

Made by `python -m benchmarks --publish`; with names behind it, only those tables are made anew. Entrants take turns
within one run; a ratio is the median over rounds of ours divided by theirs, since absolute figures depend on the
machine and its mood. "as dicomcore, Python 3.12" behind a ratio says which of ours it is of, where that is another.
Peak memory is VmHWM. In italics: a limit that no implementation passes, such as a memcpy of the same bytes, or what a
program in bare C does that does only this.
"""
# What README shows: the questions that most people have.
CHOSEN = (
    "parse-file",
    "parse-contours",
    "write-ct-explicit",
    "values-encode-structure-set",
    "store-ct",
    "store-small",
    "store-1gb",
    "store-handler",
    "store-aio",
    "store-tls",
    "store-far",
    "echo",
    "associate",
    "find-scp",
    "find-scu",
    "rle-decode-rgb",
    "decode-jpeg-lossless",
    "dose-file",
)
ALL = "all"  # the mark around one line of each, in docs/figures.md
DIGEST = "| | dicomcore | beside others | beside the limit |\n|---|---|---|---|\n"


def publish(results: Mapping[str, tuple[Contest, Sequence[Outcome]]], order: Iterable[str]) -> None:
    """Put these results into both files; what was not run stays."""
    names = list(order)
    figures = ROOT / "docs" / "figures.md"
    sections = _sections(figures.read_text()) if figures.exists() else {}
    for name, (contest, outcomes) in results.items():
        sections[name] = markdown(contest, outcomes).strip()
    lines = {name: line for line, name in re.findall(r"^(\|[^\n]*\(`([\w-]+)`\)[^\n]*)$", sections.get(ALL, ""), re.M)}
    for name, (contest, outcomes) in results.items():
        lines[name] = _line(contest, outcomes)
    sections[ALL] = DIGEST + "\n".join(lines[name] for name in names if name in lines)
    parts = [f"<!-- {name} -->\n{sections[name]}\n<!-- /{name} -->" for name in (ALL, *names) if name in sections]
    figures.write_text(f"{HEAD}\n{machine()}\n\n" + "\n\n".join(parts) + "\n")

    readme = ROOT / "README.md"
    before, _, rest = readme.read_text().partition(START)
    after = rest.partition(END)[2]
    table = DIGEST + "\n".join(lines[name] for name in CHOSEN if name in lines)
    readme.write_text(f"{before}{START}\n\n{machine()}\n\n{table}\n\n{END}{after}")


def _sections(text: str) -> dict[str, str]:
    return {name: body.strip() for name, body in re.findall(r"<!-- ([\w-]+) -->\n(.*?)\n<!-- /\1 -->", text, re.S)}


def _line(contest: Contest, outcomes: Sequence[Outcome]) -> str:
    own = next(outcome for outcome in outcomes if outcome.entrant == OWN)
    peers: list[str] = []
    limits: list[str] = []
    for outcome in outcomes:
        if outcome is own or outcome.ratio is None or outcome.missing:
            continue
        limit = outcome.entrant.startswith("limit:")
        name = outcome.entrant.removeprefix("limit:").strip()
        told = like(outcome).removeprefix(", ")
        (limits if limit else peers).append(f"{short(outcome.ratio)} x {name}{told and f' ({told})'}")
    rate = f"{own.rate / 1e6:.3g} million" if own.rate >= 1e6 else short(own.rate)
    rate += f" {contest.unit}/s"
    if contest.unit_bytes:
        rate += f", {short(own.rate * contest.unit_bytes / 1e6)} MB/s"
    return f"| {contest.title} (`{contest.name}`) | {rate} | {', '.join(peers)} | {', '.join(limits)} |"
