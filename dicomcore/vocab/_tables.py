"""Reads the tab-separated tables in ``data/``; each is read once, by the module that owns it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def read_table(name: str) -> Iterator[list[str]]:
    """The rows of ``data/<name>.tsv`` without the header row, split into columns."""
    lines = iter((Path(__file__).parent / "data" / f"{name}.tsv").read_text(encoding="utf-8").split("\n"))
    next(lines)
    return (line.split("\t") for line in lines if line)
