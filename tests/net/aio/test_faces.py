"""The two application entities have the same names, and their calls the same arguments."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import dicomcore.aio
import dicomcore.net


def names(thing: Any) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


@pytest.mark.parametrize("name", ["AE", "Association", "Server"])
def test_same_names(name: str) -> None:
    missing = names(getattr(dicomcore.net, name)) - names(getattr(dicomcore.aio, name))
    assert not missing


@pytest.mark.parametrize(
    "name",
    [
        *("AE.associate", "AE.serve", "AE.__init__", "Server.close", "Server.wait"),
        *(
            f"Association.{call}"
            for call in sorted(names(dicomcore.net.Association) & names(dicomcore.aio.Association))
        ),
    ],
)
def test_same_arguments(name: str) -> None:
    owner, _, call = name.partition(".")
    faces = [getattr(getattr(module, owner), call) for module in (dicomcore.net, dicomcore.aio)]
    if not callable(faces[0]) or call == "open":
        return
    blocking, awaitable = (inspect.signature(face).parameters for face in faces)
    assert list(blocking) == list(awaitable)
    assert [row.default for row in blocking.values()] == [row.default for row in awaitable.values()]
