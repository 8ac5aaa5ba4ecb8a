"""What the tests against other implementations share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.net.conftest import write_ct


@pytest.fixture
def pynetdicom() -> Any:
    """The package; absent, it fails in CI and skips elsewhere."""
    try:
        import pynetdicom
    except ImportError:
        if os.environ.get("CI"):
            pytest.fail("pynetdicom is not installed")
        pytest.skip("pynetdicom is not installed")
    return pynetdicom


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """CT files of one word of pixels, of less than a PDU, and of many PDUs."""
    folder = tmp_path / "files"
    folder.mkdir()
    paths = [folder / f"{number}.dcm" for number in range(3)]
    for path, length in zip(paths, (2, 5_000, 1_000_000), strict=True):
        write_ct(path, length)
    return paths
