"""The layers of the house, checked over the syntax tree of every import: module level, function-local, TYPE_CHECKING.

A module imports lower layers along `ARROWS` (transitive), or siblings of its own package that form no cycle.
Two tables are the only declared upward edges: ``data/_late.py`` and the one in ``dicomcore/__init__.py``. They hold
strings, so that the syntax tree has no import to show; here it is checked that what they name exists.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = "dicomcore"
ROOT = Path(__file__).resolve().parent.parent / PACKAGE

# Each layer and the layers right below it. The whole allow-list.
ARROWS: dict[str, tuple[str, ...]] = {
    "_version": (),
    "errors": (),
    "limits": (),
    "vocab": ("errors", "limits", "_version"),
    "_core": ("errors",),
    "encoding": ("vocab", "_core"),
    "data": ("encoding",),
    "ul": ("vocab",),
    "pixels": ("data",),
    "dimse": ("ul", "encoding"),
    "iod": ("data", "vocab"),
    "rt": ("pixels", "iod"),
    "services": ("dimse", "data", "iod"),
    "archive": ("services",),
    "conformance": ("services", "iod"),
    "net": ("services",),
    "aio": ("net",),
    "events": ("net",),
    "cli": ("net", "rt", "archive", "conformance"),
    "__init__": ("cli", "aio", "events"),
    "__main__": ("cli",),
}

# What a layer may import from outside of the package, beside the standard library.
OUTSIDE: dict[str, frozenset[str]] = {
    "errors": frozenset(),
    "limits": frozenset(),
    "vocab": frozenset(),
    "ul": frozenset(),
    "dimse": frozenset({"numpy"}),
    "cli": frozenset({"numpy", "click", "rich"}),
}
OUTSIDE_DEFAULT = frozenset({"numpy"})
STUBS_ONLY = frozenset({"_typeshed"})  # never imported at run time: mypy's own
# Optional imports, by module: pydicom for conversion, imagecodecs for compressed frames, Pillow and matplotlib for
# pictures.
OPTIONAL: dict[str, frozenset[str]] = {
    "data": frozenset({"pydicom"}),
    "pixels": frozenset({"imagecodecs", "PIL"}),
    "rt": frozenset({"contourpy", "matplotlib"}),
}
# Sockets, threads, event loops and waiting belong to `net`; computing threads to one helper; `cli` drives `net`.
DRIVERS = frozenset({"asyncio", "select", "selectors", "socket", "socketserver", "ssl", "threading", "multiprocessing"})
DRIVER_LAYERS = frozenset({"net", "cli"})
DRIVER_MODULES = frozenset({"dicomcore.pixels.parallel"})
# Laziness shared by threads needs a lock and nothing more.
LOCK_ONLY = frozenset({"Lock", "RLock"})


class Import(NamedTuple):
    """``module`` (dotted, absolute) and ``names`` from it, imported at ``line`` by ``importer``."""

    importer: str
    line: int
    module: str
    names: tuple[str, ...]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    """Dotted name -> file, for everything in the package, kernels' stubs included."""
    found = {module_name(path): path for path in sorted(ROOT.rglob("*.pyi"))}
    found |= {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}
    return found


def imports_of(name: str, path: Path) -> Iterator[Import]:
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(name, node.lineno, alias.name, ())
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*up, *([node.module] if node.module else [])])
            yield Import(name, node.lineno, base, tuple(alias.name for alias in node.names))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"importlib.import_module", "__import__"}:
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield Import(name, node.lineno, first.value, ())


@cache
def all_imports() -> tuple[Import, ...]:
    return tuple(found for name, path in modules().items() for found in imports_of(name, path))


def targets(found: Import) -> set[str]:
    """The modules that an import runs: ``from package import module`` names the module, not the package."""
    submodules = {f"{found.module}.{name}" for name in found.names} & modules().keys()
    rest = len(submodules) < len(found.names) or not found.names
    return submodules | ({found.module} if rest else set())


def layer(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


@cache
def below(name: str) -> frozenset[str]:
    """Every layer that ``name`` may import: the arrows are transitive."""
    return frozenset(ARROWS[name]).union(*(below(lower) for lower in ARROWS[name]))


def test_every_module_has_a_layer() -> None:
    assert {layer(name) for name in modules()} <= ARROWS.keys()


def test_imports_go_down() -> None:
    wrong = [
        f"{found.importer}:{found.line} imports {target}"
        for found in all_imports()
        for target in targets(found)
        if target.split(".")[0] == PACKAGE
        and layer(target) != layer(found.importer)
        and layer(target) not in below(layer(found.importer))
    ]
    assert not wrong, "\n".join(wrong)


def test_nobody_imports_the_front_door() -> None:
    """``import dicomcore`` inside the package would run layer 8 from below; the command line, its peer, may."""
    wrong = [
        f"{found.importer}:{found.line}"
        for found in all_imports()
        if PACKAGE in targets(found) and layer(found.importer) not in {"cli", "__main__"}
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("package", sorted({layer(name) for name in modules()} - {"__init__"}))
def test_siblings_form_no_cycle(package: str) -> None:
    graph: dict[str, set[str]] = {}
    for found in all_imports():
        if layer(found.importer) == package:
            inside = {target for target in targets(found) if layer(target) == package and target in modules()}
            graph.setdefault(found.importer, set()).update(inside - {found.importer})
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"imports go round: {' -> '.join(error.args[1])}")


def test_outside_packages() -> None:
    from sys import stdlib_module_names

    wrong = []
    for found in all_imports():
        top, home = found.module.split(".")[0], layer(found.importer)
        allowed = OUTSIDE.get(home, OUTSIDE_DEFAULT) | OPTIONAL.get(home, frozenset())
        if top not in stdlib_module_names | STUBS_ONLY | allowed | {PACKAGE}:
            wrong.append(f"{found.importer}:{found.line} imports {found.module}")
    assert not wrong, "\n".join(wrong)


def test_only_the_driver_waits() -> None:
    wrong = [
        f"{found.importer}:{found.line} imports {found.module}"
        for found in all_imports()
        if found.module.split(".")[0] in DRIVERS
        and layer(found.importer) not in DRIVER_LAYERS
        and found.importer not in DRIVER_MODULES
        and not (found.module == "threading" and set(found.names) <= LOCK_ONLY and found.names)
    ]
    assert not wrong, "\n".join(wrong)


def test_ul_sees_neither_kernels_nor_data() -> None:
    assert below("ul") == {"vocab", "errors", "limits", "_version"}
    assert "data" not in below("dimse")
    assert "pixels" not in below("services")


def _table(path: Path) -> dict[str, str]:
    """The one table ``name -> "module:function"`` of a module, or ``name -> "module"`` that holds the name."""
    tables: list[dict[str, str]] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Dict) and node.keys:
            try:
                value = ast.literal_eval(node)
            except ValueError:
                continue
            if all(isinstance(item, str) and item.startswith(f"{PACKAGE}.") for item in value.values()):
                tables.append(value)
    assert len(tables) == 1, f"{path} has {len(tables)} tables of late names"
    return tables[0]


@pytest.mark.parametrize("path", [ROOT / "data" / "_late.py", ROOT / "__init__.py"], ids=["data._late", "dicomcore"])
def test_late_names_exist(path: Path) -> None:
    for name, where in _table(path).items():
        module, _, attribute = where.partition(":")
        assert hasattr(importlib.import_module(module), attribute or name), f"{name}: {where}"


def test_front_door_tells_mypy_the_same() -> None:
    """What is imported lazily and what the TYPE_CHECKING block names are one list, and it is ``__all__``."""
    import dicomcore

    eager = {"__version__"}
    typed = {
        name
        for found in imports_of(PACKAGE, ROOT / "__init__.py")
        if layer(found.module) not in {"__init__", "_version"} and found.module.startswith(f"{PACKAGE}.")
        for name in found.names
    }
    lazy = _table(ROOT / "__init__.py").keys()
    assert typed == lazy
    assert set(dicomcore.__all__) - eager == lazy


def test_the_check_sees_what_it_should(tmp_path: Path) -> None:
    """A local import, a TYPE_CHECKING one, a relative one and an importlib call are all found."""
    source = (
        "import importlib\nfrom typing import TYPE_CHECKING\nfrom . import sibling\n"
        "if TYPE_CHECKING:\n    from dicomcore.net import AE\n"
        "def f():\n    import dicomcore.cli\n    importlib.import_module('dicomcore.rt')\n"
    )
    path = tmp_path / "probe.py"
    path.write_text(source)
    found = {(item.module, item.names) for item in imports_of("dicomcore.data.probe", path)}
    assert {
        ("dicomcore.data", ("sibling",)),
        ("dicomcore.net", ("AE",)),
        ("dicomcore.cli", ()),
        ("dicomcore.rt", ()),
    } <= found
