"""The benchmarks compare like with like: which of ours a peer is held against, and that the tables say so."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NoReturn

import pytest

harness: Any = pytest.importorskip("benchmarks._harness", reason="no source tree: testing the wheel")
publish: Any = pytest.importorskip("benchmarks._publish")
OURS, OTHER = harness.OWN, "dicomcore, Python 3.12"


def taking(*seconds: float) -> Callable[[], AbstractContextManager[Callable[[], object]]]:
    """An entrant whose runs take these times, after one that does not count."""

    @contextmanager
    def entrant() -> Iterator[Callable[[], object]]:
        samples = iter([1.0, *seconds])
        yield lambda: harness.Sample(next(samples))

    return entrant


def contest(**changed: Any) -> Any:
    entrants = {
        OURS: taking(1, 1, 1),
        OTHER: taking(2, 4, 2),
        "peer": taking(8, 8, 40),
        "peer, Python 3.12": taking(8, 8, 40),
    }
    subjects = {"peer, Python 3.12": OTHER}
    goals = {"peer": 7, "peer, Python 3.12": 3.5}
    return harness.Contest("made", "Made", "runs", 1, {**entrants, **changed}, 0, 3, goals, subjects)


def test_an_entrant_is_compared_with_its_subject_round_by_round() -> None:
    ratios = {outcome.entrant: (outcome.subject, outcome.ratio) for outcome in harness.measure(contest())}
    assert ratios == {OURS: (OURS, 1), OTHER: (OURS, 2), "peer": (OURS, 8), "peer, Python 3.12": (OTHER, 4)}


def test_both_tables_name_the_subject_where_it_is_another() -> None:
    made = contest()
    outcomes = harness.measure(made)
    table = harness.markdown(made, outcomes)
    assert "8.00 x (goal 7)" in table
    assert f"4.00 x, as {OTHER} (goal 3.5)" in table
    assert f"| 2.00 x {OTHER}, 8.00 x peer, 4.00 x peer, Python 3.12 (as {OTHER}) |" in publish._line(made, outcomes)


def test_no_ratio_where_the_subject_is_missing() -> None:
    def absent() -> NoReturn:
        raise harness.Missing("no such Python")

    outcomes = {outcome.entrant: outcome for outcome in harness.measure(contest(**{OTHER: absent}))}
    assert outcomes[OTHER].missing == "no such Python"
    assert outcomes["peer, Python 3.12"].ratio is None
    assert outcomes["peer"].ratio == 8


@pytest.mark.parametrize("module", ["bench_store", "bench_echo", "bench_find"])
def test_what_runs_under_another_python_is_held_against_ours_under_the_same(module: str) -> None:
    for made in importlib.import_module(f"benchmarks.{module}").contests():
        assert {OURS, *made.goals, *made.subjects, *made.subjects.values()} <= set(made.entrants), made.name
        elsewhere = {entrant for entrant in made.entrants if "Python 3.12" in entrant} - {OTHER}
        assert made.subjects == dict.fromkeys(elsewhere, OTHER), made.name
