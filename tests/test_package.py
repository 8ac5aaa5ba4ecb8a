"""Promises of the package as a whole: what an import costs, what ships beside a kernel, how large a file may grow."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parent
# Tests also run against the built wheel, where there is no source tree.
in_source_tree = pytest.mark.skipif(not (SOURCES / "pyx").is_dir(), reason="no source tree: testing the wheel")


def fresh(code: str) -> str:
    """What a new interpreter prints for ``code``; warnings are errors there too."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("module", ["dicomcore.ul", "dicomcore.ul.association", "dicomcore.vocab.dictionary"])
def test_upper_layer_needs_neither_numpy_nor_kernel(module: str) -> None:
    loaded = fresh(f"import sys, {module}; print(*sys.modules)").split()
    assert module in loaded
    heavy = [name for name in loaded if name.split(".")[0] == "numpy" or name.startswith("dicomcore._core.")]
    assert heavy == []
    assert not [name for name in loaded if name.startswith(("dicomcore.encoding", "dicomcore.data"))]


def test_import_of_the_package_is_light() -> None:
    """The front door imports nothing until a name is asked for."""
    loaded = fresh("import sys, dicomcore; print(*sys.modules)").split()
    assert "numpy" not in loaded
    assert [name for name in loaded if name.startswith("dicomcore.")] == ["dicomcore._version"] or not [
        name for name in loaded if name.startswith(("dicomcore.net", "dicomcore.data", "dicomcore.cli"))
    ]


def test_import_starts_nothing() -> None:
    """No thread and no open descriptor is left by importing every public name."""
    code = (
        "import os, threading, dicomcore\n"
        "def descriptors(): return len(os.listdir('/proc/self/fd')) if os.path.isdir('/proc/self/fd') else 0\n"
        "before = descriptors()\n"
        "for name in dicomcore.__all__: getattr(dicomcore, name)\n"
        "print(threading.active_count(), descriptors() - before)"
    )
    assert fresh(code) == "1 0"


def test_public_names() -> None:
    """The fixed public face: what documentation and other people's code lean on."""
    import dicomcore

    face = {"AE", "Dataset", "Limits", "DicomError", "dcmread", "__version__"}
    assert face <= set(dir(dicomcore))
    for name in dicomcore.__all__:
        assert getattr(dicomcore, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        dicomcore.no_such_name  # noqa: B018


def test_version_is_one() -> None:
    from importlib.metadata import version

    import dicomcore

    assert dicomcore.__version__ == version("dicomcore")


def test_typed_marker_ships() -> None:
    assert files("dicomcore").joinpath("py.typed").is_file()


@in_source_tree
def test_kernels_have_stub_and_twin() -> None:
    for kernel in sorted((SOURCES / "pyx").glob("*.pyx")):
        assert (SOURCES / "dicomcore" / "_core" / f"{kernel.stem}.pyi").is_file(), f"no stub for {kernel.name}"
        assert (HERE / "reference" / f"{kernel.stem}.py").is_file(), f"no plain-Python twin for {kernel.name}"
    stubs = {path.stem for path in (SOURCES / "dicomcore" / "_core").glob("*.pyi")}
    assert stubs == {path.stem for path in (SOURCES / "pyx").glob("*.pyx")}


@in_source_tree
def test_stubs_name_what_kernels_have() -> None:
    import importlib

    for stub in sorted((SOURCES / "dicomcore" / "_core").glob("*.pyi")):
        module = importlib.import_module(f"dicomcore._core.{stub.stem}")
        named = re.findall(r"^(?:def|class) (\w+)|^([A-Z_0-9]+):", stub.read_text(), re.MULTILINE)
        for name in {function or constant for function, constant in named}:
            assert hasattr(module, name), f"{stub.name} names {name}, which the kernel lacks"


@in_source_tree
def test_files_stay_readable() -> None:
    """Soft caps of the house: 500 lines a module, 700 a kernel; a tenth more passes, not more."""
    long = []
    for path in [*(SOURCES / "dicomcore").rglob("*.py"), *(SOURCES / "pyx").iterdir()]:
        cap = 700 if path.suffix in {".pyx", ".pxd"} else 500
        lines = len(path.read_text().splitlines())
        if lines > cap * 1.1:
            long.append(f"{path.relative_to(SOURCES)}: {lines} lines, over {cap}")
    assert not long, "\n".join(long)


@in_source_tree
def test_no_hidden_state() -> None:
    """No ``global`` statement anywhere: policy is an argument."""
    for path in (SOURCES / "dicomcore").rglob("*.py"):
        assert not re.search(r"^\s*global ", path.read_text(), re.MULTILINE), path
