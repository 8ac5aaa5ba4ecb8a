"""The fixture that finds other programs: what is preloaded for our own kernels does not reach them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest


def test_other_programs_run_without_what_is_preloaded(
    peer: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_PRELOAD", os.environ.get("LD_PRELOAD", ""))
    told = subprocess.run([peer("printenv"), "LD_PRELOAD"], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout, told.stderr) == (1, "", "")
    told = subprocess.run([peer("echo"), "a b", "$c", "*"], capture_output=True, text=True, check=True)
    assert told.stdout == "a b $c *\n"
    ours = "import os; print('LD_PRELOAD' in os.environ)"
    told = subprocess.run([sys.executable, "-c", ours], capture_output=True, text=True, check=True)
    assert told.stdout == "True\n"


def test_without_it_they_are_run_as_they_are(peer: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    assert os.path.basename(os.path.dirname(peer("echo"))) == "bin"
