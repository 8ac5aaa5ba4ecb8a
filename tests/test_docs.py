"""The pages of docs/ keep their word: their Python runs on a made study, or its imports do where it needs a network.

The page on queries runs in tests/net/test_examples.py, beside the providers that it asks.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pytest

import dicomcore
from dicomcore import AE, Dataset, Limits, Quirks, StorageSCP, events, services
from dicomcore.cli.program import program
from dicomcore.data import files
from dicomcore.services import Stored

DOCS = Path(__file__).resolve().parent.parent / "docs"
pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="no source tree: testing the wheel")
ALONE = ["data.md", "dose.md", "limits.md", "pixels.md", "pydicom.md"]  # what they show needs nothing but the study
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


PUBLIC = {"dicomcore", "dicomcore.aio", "dicomcore.events", "dicomcore.pixels", "dicomcore.services"}


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


@pytest.mark.parametrize("page", [DOCS.parent / "README.md", *DOCS.glob("*.md")], ids=lambda page: page.name)
def test_commands_are_understood(page: Path) -> None:
    """Every option that is shown is one of its command."""
    for block in re.findall(r"^```console\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
        for line in re.findall(r"^\$ dicomcore (.*)$", block, re.MULTILINE):
            context, words = click.Context(program), shlex.split(line, comments=True)
            while isinstance(group := context.command, click.Group):
                found = group.get_command(context, words[0])
                assert found is not None, line
                context = click.Context(found, info_name=words.pop(0))
            _, left, _ = context.command.make_parser(context).parse_args(args=words)
            assert not left, line


def test_storing(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page sends is sent to a server that keeps its word on windows; what it serves is served."""
    monkeypatch.chdir(study)
    names: dict[str, Any] = {}
    with AE("PACS").serve(0, host="127.0.0.1", services=[StorageSCP(tmp_path)], window=16) as server:
        for block in blocks("storing.md"):
            exec(block.replace("11112", str(server.port)), names)
    assert names["status"] == 0
    assert [result.status for result in names["results"]] == [0, 0]
    assert len(list(tmp_path.iterdir())) == 2


def test_names_for_pydicom_users_exist() -> None:
    text = (DOCS / "pydicom.md").read_text()
    ours = [row.split(" | ", 1)[1] for row in re.findall(r"^\|(.*)\|$", text, re.MULTILINE) if " | " in row]
    assert len(ours) > 20
    for cell in ours:
        for name in re.findall(r"\b(?:ds|Dataset|contour)\.([a-z]\w*)", cell):
            assert hasattr(Dataset, name), name
        for name in re.findall(r"\bdicomcore\.(\w+)", cell):
            assert hasattr(dicomcore, name), name


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the table below a heading, its own head left out."""
    section = (DOCS / page).read_text().partition(heading + "\n")[2].partition("\n## ")[0]
    table = re.findall(r"^\|(.*)\|$", section, re.MULTILINE)
    return [[cell.strip() for cell in row.split(" | ")] for row in table[2:]]


def names(cell: str) -> list[str]:
    return re.findall(r"`([\w-]+)`", cell)


def shown(name: str, value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,g} /s" if name.endswith("rate") else f"{value:g} s"
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if value >= size and value % size == 0:
            return f"{value // size} {unit}"
    return f"{value:,}"


def test_the_table_of_limits_is_that_of_the_code() -> None:
    told = [(*names(bound), default) for bound, default, _ in rows("limits.md", "## Limits")]
    assert told == [(field.name, shown(field.name, field.default)) for field in fields(Limits)]


def test_the_table_of_quirks_names_every_profile() -> None:
    told = [names(row[0]) for row in rows("limits.md", "## Quirks")]
    assert told == [[name] for name in Quirks.names()]


def test_the_table_of_events_is_that_of_the_code() -> None:
    told = {names(event)[0]: names(more) for event, _, more in rows("watching.md", "## Events")}
    ours = {name: getattr(events, name) for name in events.__all__ if name != "Event"}
    common = {field.name for field in fields(events.Event)}
    assert told == {
        name: [field.name for field in fields(kind) if field.name not in common] for name, kind in ours.items()
    }


def test_the_table_of_extended_negotiation_is_that_of_the_code() -> None:
    told = {names(kind)[0]: names(options) for kind, _, options in rows("query.md", "## Extended negotiation")}
    ours = {name: kind for name, kind in vars(services).items() if name.endswith("Options")}
    assert told == {name: [field.name for field in fields(kind)] for name, kind in ours.items()}


def test_the_table_of_what_is_stored_is_that_of_the_code() -> None:
    told = [name for row in rows("storing.md", "## Receive") for name in names(row[0])]
    assert told == list(Stored._fields)


def test_the_table_of_pixel_functions_is_that_of_the_code() -> None:
    for calls, _ in rows("pixels.md", "## What values mean"):
        for name, arguments in re.findall(r"`(\w+)\((.*?)\)`", calls):
            signature = inspect.signature(getattr(dicomcore.pixels, name))
            told = [one.partition("=")[0] for one in arguments.split(", ")]
            ours = list(signature.parameters)
            assert told == ours[: len(told)], name
            assert ours[len(told) :] in ([], ["limits"]), name


def test_the_table_of_save_as_is_that_of_the_code() -> None:
    told = [name for row in rows("data.md", "## Writing") for name in names(row[0])]
    options = inspect.signature(files.save_as).parameters.values()
    assert sorted(told) == sorted(one.name for one in options if one.kind is one.KEYWORD_ONLY)
