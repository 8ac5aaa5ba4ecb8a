"""Builds every kernel of ``pyx/`` into ``dicomcore._core``; everything else is declared in pyproject.toml.

Switches, by environment:  DICOMCORE_DEBUG=1  bounds checks and assertions on, no optimisation
                           DICOMCORE_SANITIZE=1  AddressSanitizer and UndefinedBehaviorSanitizer
                           DICOMCORE_KERNELS=0   none: they are built in place next (an editable install starts afresh)
                           DICOMCORE_TRACE=1  line tracing, for coverage of the kernels
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG, SANITIZE, TRACE = (os.environ.get(f"DICOMCORE_{name}") == "1" for name in ("DEBUG", "SANITIZE", "TRACE"))

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": DEBUG,
    "wraparound": False,
    "initializedcheck": DEBUG,
    "cdivision": not DEBUG,
    "overflowcheck": DEBUG,
    "embedsignature": True,
    "linetrace": TRACE,
}

KERNELS = os.environ.get("DICOMCORE_KERNELS") != "0"

# What a kernel needs of the platform; the package does without it where that is not there.
ABSENT = {"deposit", "opening", "pump"} if sys.platform == "win32" else set()  # pread, writev, flock, sockets

compile_args: list[str] = []
link_args: list[str] = []
if sys.platform != "win32":
    compile_args = ["-O0", "-g"] if DEBUG else ["-O3"]
    if SANITIZE:
        flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
        compile_args += [*flags, "-fno-omit-frame-pointer", "-g", "-O1"]
        link_args += flags


def extension(path: Path) -> Extension:
    return Extension(
        f"dicomcore._core.{path.stem}",
        [str(path)],
        include_dirs=["pyx"],
        define_macros=[("CYTHON_TRACE_NOGIL", "1")] if TRACE else [],
        extra_compile_args=compile_args,
        extra_link_args=link_args,
    )


setup(
    ext_modules=cythonize(
        [extension(path) for path in sorted(Path("pyx").glob("*.pyx")) if path.stem not in ABSENT] if KERNELS else [],
        build_dir="build/cython",
        include_path=["pyx"],
        compiler_directives=DIRECTIVES,
        annotate=os.environ.get("DICOMCORE_ANNOTATE") == "1",
    ),
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
)
