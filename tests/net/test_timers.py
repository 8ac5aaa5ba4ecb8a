"""Timers of connections: one row each, that keeps nobody alive who has ended."""

from __future__ import annotations

import weakref

from dicomcore.net.timers import NEVER, Timers


class Timed:
    timer: list[object] | None = None
    timer_at = NEVER

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline


def test_in_their_order_and_once() -> None:
    timers = Timers()
    late, soon = Timed(2.0), Timed(1.0)
    timers.schedule(late)
    timers.schedule(soon)
    assert timers.next == 1.0
    assert list(timers.due(0.5)) == []
    assert list(timers.due(3.0)) == [soon, late]
    assert list(timers.due(3.0)) == []
    assert timers.next == NEVER
    assert soon.timer_at == NEVER


def test_a_deadline_moves_forward_only() -> None:
    timers = Timers()
    timed = Timed(5.0)
    timers.schedule(timed)
    timed.deadline = 9.0
    timers.schedule(timed)
    assert len(timers) == 1
    timed.deadline = 1.0
    timers.schedule(timed)
    assert list(timers.due(1.0)) == [timed]
    assert list(timers.due(9.0)) == []


def test_who_has_ended_is_forgotten_at_once() -> None:
    timers = Timers()
    timed = Timed(60.0)
    gone = weakref.ref(timed)
    timers.schedule(timed)
    timers.forget(timed)
    timers.forget(timed)
    del timed
    assert gone() is None
    assert list(timers.due(61.0)) == []


def test_rows_of_those_do_not_pile_up() -> None:
    timers = Timers()
    stays = Timed(60.0)
    timers.schedule(stays)
    for _ in range(1000):
        timed = Timed(60.0)
        timers.schedule(timed)
        timers.forget(timed)
        list(timers.due(0.0))
    assert len(timers) < 300
    assert list(timers.due(60.0)) == [stays]
