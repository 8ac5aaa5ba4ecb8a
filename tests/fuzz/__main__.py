"""``python -m tests.fuzz SECONDS [TARGET ...]``: fresh seeds for so long, each failure with what repeats it."""

from __future__ import annotations

import sys
import time
import traceback
import warnings

from .targets import TARGETS


def main(arguments: list[str]) -> int:
    seconds = float(arguments[0]) if arguments else 60.0
    names = arguments[1:] or list(TARGETS)
    first = seed = time.time_ns() // 1_000_000_000 % 1_000_000 * 1000
    stop, failed = time.monotonic() + seconds, 0
    warnings.simplefilter("error")
    while time.monotonic() < stop:
        for name in names:
            try:
                TARGETS[name](seed)
            except Exception:
                failed += 1
                traceback.print_exc()
                print(f"DICOMCORE_FUZZ={name}:{seed} pytest tests/fuzz", flush=True)
        seed += 1
    print(f"{seed - first} seeds from {first} on, over {', '.join(names)}: {failed} failures")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
