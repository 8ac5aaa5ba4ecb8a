"""The pixel targets in a process that may take little more memory than it has: whoever lies gets none."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import re, resource
from tests.fuzz.pixel_targets import PIXEL_TARGETS
for target in PIXEL_TARGETS.values():
    for seed in range(20):
        target(seed)
with open("/proc/self/status") as status:
    taken = int(re.search(r"VmSize:\\s+(\\d+)", status.read())[1]) << 10
resource.setrlimit(resource.RLIMIT_AS, (taken + (512 << 20),) * 2)
resource.setrlimit(resource.RLIMIT_CPU, (120, 120))
for name, target in PIXEL_TARGETS.items():
    for seed in range(1000, 1150):
        try:
            target(seed)
        except BaseException as error:
            error.add_note(f"{name}:{seed}")
            raise
print("all")
"""


@pytest.mark.skipif("ASAN_OPTIONS" in os.environ, reason="the sanitizer takes terabytes of addresses")
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="only Linux tells")
def test_no_lie_takes_memory() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "all\n"), done.stderr[-3000:]
