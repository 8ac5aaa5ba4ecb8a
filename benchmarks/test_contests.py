"""The contests as pytest-benchmark sees them: ``pytest benchmarks``, with its saving, comparing and statistics.

Each entrant runs alone here, one after the other; ratios that are quoted come from ``python -m benchmarks``, where they
take turns.
"""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.__main__ import contests
from benchmarks._harness import Contest, Missing, Sample

CASES = [
    pytest.param(contest, entrant, id=f"{contest.name}-{entrant}")
    for _, contest in contests()
    for entrant in contest.entrants
]


@pytest.mark.parametrize(("contest", "entrant"), CASES)
def test_contest(benchmark: Any, contest: Contest, entrant: str) -> None:
    benchmark.group = contest.title
    samples: list[Sample] = []
    try:
        with contest.entrants[entrant]() as run:

            def once() -> None:
                sample = run()
                if sample is not None:
                    samples.append(sample)

            benchmark.pedantic(once, rounds=3, warmup_rounds=1)
    except Missing as missing:
        pytest.skip(str(missing))
    benchmark.extra_info["units in a round"] = f"{contest.count} {contest.unit}"
    if samples:  # taken by the processes that did the work; the table above holds their start too
        benchmark.extra_info["units a second"] = contest.count / min(sample.seconds for sample in samples)
