"""Plain twin of pyx/deposit.pyx: the same steps by the module `os`, or by what a test has in its place."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

ANOTHER = -1
MOST = 64
FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


def deposit(
    temporary: str,
    final: str,
    pieces: list[bytes | memoryview],
    *,
    system: Any = os,
    flock: Callable[[int, int], object] = fcntl.flock,
) -> int:
    """As the kernel."""
    try:
        file = system.open(temporary, FLAGS, 0o666)
    except FileExistsError:
        return ANOTHER
    except OSError as failure:
        return failure.errno or 0
    try:
        flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        system.close(file)
        system.unlink(temporary)
        return ANOTHER
    except OSError:
        pass  # no locks here
    error = 0
    try:
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                rest = rest[system.write(file, rest) :]
    except OSError as failure:
        error = failure.errno or 0
    try:
        system.close(file)
    except OSError as failure:
        error = error or failure.errno or 0
    if not error:
        try:
            system.rename(temporary, final)
        except FileNotFoundError:
            try:
                system.unlink(temporary)
            except FileNotFoundError:
                return ANOTHER
            except OSError:
                pass
            return errno.ENOENT
        except OSError as failure:
            error = failure.errno or 0
        else:
            return 0
    with suppress(OSError):
        system.unlink(temporary)
    return error
