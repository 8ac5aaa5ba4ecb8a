"""`floor.c` through cffi, compiled once into build/: what the machine gives to a program that does nothing else."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks._harness import ROOT, Missing

__all__ = ["BLOCK", "floor"]

BLOCK = 256 * 1024

DECLARATIONS = """
    void *memcpy(void *to, const void *from, size_t length);
    int floor_open_pread(const char *path, char *block, size_t length);
    int floor_open_map(const char *path);
"""


class Floor:
    """The functions of `floor.c`; what fails raises OSError."""

    def __init__(self, ffi: Any, lib: Any) -> None:
        self._ffi = ffi
        self._lib = lib
        self._block = ffi.new("char[]", BLOCK)

    def _check(self, result: int) -> None:
        if result:
            number = self._ffi.errno
            raise OSError(number, os.strerror(number))

    def copier(self, target: bytearray, source: bytes) -> Callable[[], None]:
        """A function without arguments that copies all of ``source`` to ``target``."""
        to, what, length = self._ffi.from_buffer(target), self._ffi.from_buffer(source), len(source)
        memcpy = self._lib.memcpy

        def copy() -> None:
            memcpy(to, what, length)

        return copy

    def open_pread(self, path: str, length: int) -> None:
        """open, fstat, pread of at most `BLOCK` bytes, close."""
        self._check(self._lib.floor_open_pread(os.fsencode(path), self._block, min(length, BLOCK)))

    def open_map(self, path: str) -> None:
        """open, fstat, mmap, touch, munmap, close."""
        self._check(self._lib.floor_open_map(os.fsencode(path)))


@cache
def floor() -> Floor:
    """Compiled at the first call. `Missing` without cffi or a C compiler."""
    try:
        from cffi import FFI, VerificationError
    except ImportError:
        raise Missing("pip install cffi") from None
    source, folder = Path(__file__).with_name("floor.c"), ROOT / "build" / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    built = sorted(folder.glob("_dicomcore_floor.*.so"))
    if not built or built[0].stat().st_mtime < source.stat().st_mtime:
        ffi = FFI()
        ffi.cdef(DECLARATIONS)
        ffi.set_source("_dicomcore_floor", source.read_text(), extra_compile_args=["-O3"])
        try:
            ffi.compile(tmpdir=str(folder))
        except VerificationError as error:
            raise Missing(f"a C compiler: {error}") from None
        built = sorted(folder.glob("_dicomcore_floor.*.so"))
    spec = importlib.util.spec_from_file_location("_dicomcore_floor", built[0])
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return Floor(module.ffi, module.lib)
