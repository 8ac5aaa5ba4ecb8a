"""A bounded run of every target; ``make fuzz`` runs them without end. ``DICOMCORE_FUZZ=target:seed`` repeats one."""

from __future__ import annotations

import os

import pytest

from tests.fuzz.targets import TARGETS

COUNTS = {
    "reader": 60,
    "writer": 150,
    "charset": 400,
    "json": 100,
    "xml": 100,
    "dicomdir": 60,
    "rle": 300,
    "pixels": 150,
    "code_streams": 600,
    "image": 300,
    "dose": 150,
}


@pytest.mark.parametrize("target", TARGETS)
def test_only_documented_errors_leave(target: str) -> None:
    only, _, seed = os.environ.get("DICOMCORE_FUZZ", "").partition(":")
    if only and only != target:
        return
    for number in [int(seed)] if only else range(COUNTS[target]):
        try:
            TARGETS[target](number)
        except Exception as error:
            error.add_note(f"DICOMCORE_FUZZ={target}:{number}")
            raise
