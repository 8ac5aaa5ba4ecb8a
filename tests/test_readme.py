"""README keeps its word: its Python runs, in its order, on a made study; its commands and make targets exist."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.net.conftest import free_port

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
pytestmark = pytest.mark.skipif(not README.is_file(), reason="no source tree: testing the wheel")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)


def is_server(block: str) -> bool:
    return "server.wait()" in block


@pytest.fixture
def port() -> int:
    """A free port in place of README's 11112."""
    return free_port()


@pytest.fixture
def study(tmp_path: Path, port: int) -> Path:
    """A folder as README has it made: `dicomcore demo --out study`."""
    demo = [sys.executable, "-m", "dicomcore", "demo", "--out", "study"]
    subprocess.run(demo, cwd=tmp_path, capture_output=True, check=True, timeout=240)
    for number, block in enumerate(blocks("python")):
        kind = "server" if is_server(block) else f"block{number}"
        (tmp_path / f"{kind}.py").write_text(block.replace("11112", str(port)))
    return tmp_path


@pytest.fixture
def server(study: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-W", "error", "server.py"],
        cwd=study,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "listening" in line, process.stderr.read() if process.stderr else ""
        yield process
        process.send_signal(signal.SIGINT)


def test_python_blocks(study: Path, server: subprocess.Popen[str]) -> None:
    scripts = sorted(study.glob("block*.py"))
    assert len(scripts) == len(blocks("python")) - 1
    said = ""
    for script in scripts:
        done = subprocess.run(
            [sys.executable, "-W", "error", script], cwd=study, capture_output=True, text=True, check=False, timeout=240
        )
        assert done.returncode == 0, f"{script.read_text()}\n{done.stdout}\n{done.stderr}"
        said += done.stdout
    assert "C-ECHO answered 0000" in said
    assert "False" not in said
    assert len(list((study / "received").glob("*.dcm"))) == 2
    assert (study / "edited.dcm").stat().st_size > 0


def test_ten_lines() -> None:
    scu, scp = blocks("python")[:2]
    for block in (scu, scp):
        assert len([line for line in block.splitlines() if line.strip()]) <= 10


def test_commands_exist() -> None:
    from dicomcore.cli.program import COMMANDS

    shown = re.findall(r"^\$ dicomcore (\w+)", "".join(blocks("console")), re.MULTILINE)
    assert set(shown) == set(COMMANDS)
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"^\$ make (\w+)", "".join(blocks("console")), re.MULTILINE)) <= set(targets)


def test_named_files_exist() -> None:
    for page in (README, *ROOT.glob("docs/*.md")):
        for path in re.findall(r"`((?:dicomcore|tests|benchmarks|pyx)(?:/[\w.]+)*)`", page.read_text()):
            assert (ROOT / path).exists(), f"{page.name}: {path}"


@pytest.mark.parametrize("page", [README, *ROOT.glob("docs/*.md")], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """To files that are there, and headings that these have."""
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        name, _, heading = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        if heading:
            titles = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert heading in [re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles], link
