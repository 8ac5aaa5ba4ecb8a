"""What every test leans on: a fixed, bounded Hypothesis profile; the installed sample files; scratch space in memory.

``HYPOTHESIS_PROFILE=thorough`` searches longer and with fresh seeds; everything else is the same every time. Under the
sanitizers (`.ci/sanitize`) half as many examples are tried: the ordinary run has judged the values of all of them.
Under ``LD_PRELOAD``, as `.ci/sanitize` sets it, our own processes inherit it and other programs do not.
In CI (``CI=true``) a peer that is not installed fails its test; elsewhere the test is skipped with the reason.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "steady",
    derandomize=True,
    database=None,
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "thorough",
    database=None,
    max_examples=3000,
    stateful_step_count=100,
    deadline=timedelta(seconds=20),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("sanitized", parent=settings.get_profile("steady"), max_examples=30)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "sanitized" if "ASAN_OPTIONS" in os.environ else "steady"))

# A shell starts background jobs (`make test &`, nohup) with SIGINT ignored, and children inherit that: then the servers
# which tests end by SIGINT would never end.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def pydicom_files() -> list[Path]:
    """The DICOM files that come with the installed pydicom, sorted; nothing is fetched."""
    import pydicom

    folder = Path(pydicom.__file__).parent / "data"
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and (path.suffix == ".dcm" or path.name == "DICOMDIR")
    )


@pytest.fixture
def ram_path() -> Iterator[Path]:
    """A fresh folder on a RAM disk where the machine has one, for tests that write much."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="dicomcore-test-", dir=base) as folder:
        yield Path(folder)


def without_preload(program: str, script: Path) -> str:
    """The path of a script that becomes the program, without the sanitizer that is meant for our own kernels."""
    script.write_text(f'#!/bin/sh\nunset LD_PRELOAD\nexec {shlex.quote(program)} "$@"\n')
    script.chmod(0o755)
    return str(script)


@pytest.fixture(scope="session")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """``peer("storescu")`` is the path of a program that is not Python; absent, it fails in CI and skips elsewhere."""
    scripts = tmp_path_factory.mktemp("peers")

    def find(program: str) -> str:
        # A virtual environment with pynetdicom has scripts named like DCMTK's programs.
        own_scripts = Path(sys.executable).parent
        folders = [folder for folder in [*os.get_exec_path(), "/usr/sbin"] if Path(folder) != own_scripts]
        path = shutil.which(program, path=os.pathsep.join(folders))
        if path is None:
            message = f"{program} is not installed; run .ci/peers as root (Debian: dcmtk, dicom3tools, orthanc)"
            if os.environ.get("CI"):
                pytest.fail(message)
            pytest.skip(message)
        return path if "LD_PRELOAD" not in os.environ else without_preload(path, scripts / program)

    return find
