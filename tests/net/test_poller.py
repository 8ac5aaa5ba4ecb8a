"""Waiting, with the platform's calls and without."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from dicomcore.net.poller import Bell, Facilities, Waiter, open_poller

from .conftest import PATIENCE


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        other.setblocking(False)
        yield one, other


def test_a_report_comes_once_until_it_is_asked_for_again(
    facilities: Facilities, pair: tuple[socket.socket, socket.socket]
) -> None:
    one, other = pair
    poller = open_poller(facilities)
    fd = one.fileno()
    poller.arm(fd, read=True, write=False)
    assert poller.wait(0) == []
    other.send(b"x")
    assert poller.wait(PATIENCE) == [fd]
    assert poller.wait(0) == []
    poller.arm(fd, read=True, write=False)
    assert poller.wait(PATIENCE) == [fd]
    poller.arm(fd, read=False, write=True)
    assert poller.wait(PATIENCE) == [fd]
    poller.arm(fd, read=True, write=False)
    poller.disarm(fd)
    poller.wait(0)  # one late report is allowed
    assert poller.wait(0) == []
    poller.arm(fd, read=True, write=True)
    poller.forget(fd)
    poller.forget(fd)
    assert poller.wait(0) == []
    poller.close()


def test_other_threads_arm_and_wake(facilities: Facilities, pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    other.send(b"x")
    poller = open_poller(facilities)
    waker = threading.Thread(target=poller.wake)
    waker.start()
    assert poller.wait(PATIENCE) == []
    waker.join()
    armer = threading.Thread(target=lambda: poller.arm(one.fileno(), read=True, write=False))
    armer.start()
    while not (ready := poller.wait(PATIENCE)):
        pass
    assert ready == [one.fileno()]
    armer.join()
    poller.close()


def test_a_bell_rings_until_it_is_silenced(facilities: Facilities) -> None:
    bell = Bell(facilities)
    waiter = Waiter(facilities)
    for _ in range(3):
        bell.ring()
    assert waiter.wait(bell.fileno(), read=True, write=False, timeout=0)
    bell.silence()
    bell.silence()
    assert not waiter.wait(bell.fileno(), read=True, write=False, timeout=0)
    bell.close()


def test_a_wait_ends_with_the_socket_the_bell_or_the_time(
    facilities: Facilities, pair: tuple[socket.socket, socket.socket]
) -> None:
    one, other = pair
    bell = Bell(facilities)
    waiter = Waiter(facilities, bell)
    assert not waiter.wait(one.fileno(), read=True, write=False, timeout=0.001)
    assert waiter.wait(one.fileno(), read=False, write=True, timeout=PATIENCE)
    bell.ring()
    assert not waiter.wait(one.fileno(), read=True, write=False, timeout=PATIENCE)
    other.send(b"x")
    assert waiter.wait(one.fileno(), read=True, write=False, timeout=PATIENCE)
    bell.close()


def test_one_waiter_for_many_sockets_in_turn(facilities: Facilities, pair: tuple[socket.socket, socket.socket]) -> None:
    """What was waited for before does not end a wait for something else."""
    one, other = pair
    waiter = Waiter(facilities)
    assert waiter.wait(one.fileno(), read=False, write=True, timeout=PATIENCE)
    assert not waiter.wait(one.fileno(), read=True, write=False, timeout=0.001)
    one.send(b"x")
    assert waiter.wait(other.fileno(), read=True, write=False, timeout=PATIENCE)
    assert not waiter.wait(one.fileno(), read=True, write=False, timeout=0.001)
    other.send(b"y")
    assert waiter.wait(one.fileno(), read=True, write=True, timeout=PATIENCE)
