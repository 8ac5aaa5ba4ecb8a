"""The drivers under test, by name; each test runs once with each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .drivers import DRIVERS, Driver, LoopDriver


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    made = Driver() if request.param == "blocking" else LoopDriver(request.param)
    yield made
    made.close()
