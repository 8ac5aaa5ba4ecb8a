"""The command line program ``dicomcore``. Results go to standard output, logs and progress to standard error.

Exit status: 0 done, 1 the peer or the data said no, 2 wrong usage. It needs the extra ``cli`` (click and rich), and
says so when that is missing; nothing else of the package is imported before a command runs.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the program with ``sys.argv`` and exit."""
    try:
        from dicomcore.cli.program import program

        program(prog_name="dicomcore")
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in ("click", "rich"):
            raise
        sys.exit(f"the command line needs {missing}: pip install 'dicomcore[cli]'")
    except OSError as error:  # standard output that takes no more, above all; a broken pipe has ended in click
        sys.exit(f"Error: {error}")
