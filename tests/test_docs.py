"""The pages of docs/ keep their word: their Python runs on a made study, or its imports do where it needs a network.

The page on queries runs in tests/net/test_examples.py, beside the providers that it asks.
"""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import dicomcore
from dicomcore import Dataset

DOCS = Path(__file__).resolve().parent.parent / "docs"
pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="no source tree: testing the wheel")
ALONE = ["pydicom.md"]  # what they show needs nothing but the study
PAGES = sorted(path.name for path in DOCS.glob("*.md")) if DOCS.is_dir() else []


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    demo = [sys.executable, "-m", "dicomcore", "demo", "--out", "study"]
    subprocess.run(demo, cwd=folder, capture_output=True, check=True, timeout=240)
    return folder


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_python_is_python_and_its_names_exist(page: str) -> None:
    for block in blocks(page):
        compile(block, page, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        for statement in re.findall(r"^(?:from|import) .*(?:\((?:.|\n)*?\))?$", block, re.MULTILINE):
            exec(statement, {})


PUBLIC = {"dicomcore", "dicomcore.aio", "dicomcore.events", "dicomcore.services"}


def imported(source: str) -> set[str]:
    """The modules of this package that a text imports from."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found.add(node.module)
    return {name for name in found if name.partition(".")[0] == "dicomcore"}


SHOWN = [*DOCS.glob("*.md"), *DOCS.glob("examples/*.py"), DOCS.parent / "README.md"]


@pytest.mark.parametrize("path", SHOWN, ids=lambda path: path.name)
def test_what_is_shown_imports_public_names_only(path: Path) -> None:
    text = path.read_text()
    sources = [text] if path.suffix == ".py" else re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for source in sources:
        assert imported(source) <= PUBLIC, source


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_public_modules_say_what_they_have(name: str) -> None:
    module = importlib.import_module(name)
    assert len(set(module.__all__)) == len(module.__all__)
    assert all(hasattr(module, public) for public in module.__all__)


@pytest.mark.parametrize("page", ALONE)
def test_python_blocks(page: str, study: Path) -> None:
    for block in blocks(page):
        command = [sys.executable, "-W", "error", "-c", block]
        done = subprocess.run(command, cwd=study, capture_output=True, text=True, check=False, timeout=240)
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"


def test_names_for_pydicom_users_exist() -> None:
    text = (DOCS / "pydicom.md").read_text()
    ours = [row.split(" | ", 1)[1] for row in re.findall(r"^\|(.*)\|$", text, re.MULTILINE) if " | " in row]
    assert len(ours) > 20
    for cell in ours:
        for name in re.findall(r"\b(?:ds|Dataset|contour)\.([a-z]\w*)", cell):
            assert hasattr(Dataset, name), name
        for name in re.findall(r"\bdicomcore\.(\w+)", cell):
            assert hasattr(dicomcore, name), name
