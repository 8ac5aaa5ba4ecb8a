from __future__ import annotations

import pickle

from dicomcore.errors import EncodingError, Issue, PeerTimeout
from dicomcore.limits import DEFAULT_LIMITS, Limits


def test_an_error_says_where_which_clause_and_what_to_do() -> None:
    error = EncodingError(
        "value ends early", offset=132, path="(0010,0010)", clause="PS3.5 7.1", hint="read it leniently"
    )
    assert str(error) == "value ends early at byte 132 in (0010,0010) [PS3.5 7.1]; read it leniently"
    assert isinstance(error, ValueError)


def test_errors_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(EncodingError("short", offset=1, answer=(2, 6))))
    assert (error.message, error.offset, error.answer) == ("short", 1, (2, 6))


def test_a_peer_timeout_is_a_timeout() -> None:
    assert issubclass(PeerTimeout, TimeoutError)


def test_issue_reads_like_an_error() -> None:
    assert str(Issue("odd length", 4, None, "PS3.5 7.1.1")) == "odd length at byte 4 [PS3.5 7.1.1]"


def test_limits_are_values() -> None:
    assert Limits().but(artim=1.0) == Limits(artim=1.0)
    assert DEFAULT_LIMITS.artim == 30.0
