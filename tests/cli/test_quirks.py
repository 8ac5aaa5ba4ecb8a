"""``--quirk``: what a peer is forgiven reaches the association, or the server, whichever command is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dicomcore.cli.program import program
from dicomcore.errors import NegotiationError
from dicomcore.net import AE, store
from dicomcore.ul import Quirks
from tests.net.conftest import write_ct


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The quirks of every association and server that is asked for; none comes about."""
    found: list[Any] = []

    def refuse(self: AE, *arguments: Any, **options: Any) -> None:
        found.append(options["quirks"])
        raise NegotiationError("not today")

    monkeypatch.setattr(AE, "associate", refuse)
    monkeypatch.setattr(AE, "serve", refuse)
    return found


@pytest.mark.parametrize(
    "command",
    [
        "echo localhost 104",
        "store localhost 104 ct.dcm",
        "find localhost 104 -k PatientID=1",
        "get localhost 104 -k PatientID=1 --out got",
        "move localhost 104 -k PatientID=1",
        "serve --port 0 --out got",
    ],
)
def test_quirks_are_handed_on(given: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.chdir(tmp_path)
    write_ct(tmp_path / "ct.dcm")
    runner = CliRunner()
    words = command.split()
    assert runner.invoke(program, words).exit_code == 1
    assert runner.invoke(program, [*words, "--quirk", "no-async", "--quirk", "odd-padding"]).exit_code == 1
    assert given == [Quirks(), Quirks(no_async=True, odd_padding=True)]
    unknown = runner.invoke(program, [*words, "--quirk", "deaf"])
    assert unknown.exit_code == 2
    assert "deaf is none of no-async" in unknown.output


def test_quirks_of_a_store_in_one_call(given: list[Any], tmp_path: Path) -> None:
    write_ct(tmp_path / "ct.dcm")
    with pytest.raises(NegotiationError):
        store(tmp_path, "localhost:104", window=4, quirks=Quirks.named("no-async"))
    assert given == [Quirks(no_async=True)]
