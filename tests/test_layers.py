"""The rooms of the house: which package may import which, no circles, and what each one says."""

import ast
import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]

ORDER = (
    "config",
    "machine",
    "model",
    "data",
    "inference",
    "algorithms",
    "checkpoint",
    "evaluation",
    "reporting",
    "export",
    "training",
    "sweep",
    "bench",
    "cli",
)
"""Packages of `lpt`, lowest first: each imports only those before it."""
APART = {("bench", "sweep"), ("model", "machine"), ("data", "model"), ("checkpoint", "data")}
"""Neighbors in this order that have nothing to do with each other all the same."""


def structure() -> ModuleType:
    """`scripts/imports.py`, which reads a tree's imports."""
    spec = spec_from_file_location("imports", ROOT / "scripts" / "imports.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    return structure().imports(ROOT)


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_every_package_of_the_toolkit_has_its_place():
    found = {path.parent.name for path in (ROOT / "lpt").glob("*/__init__.py")}
    assert found == set(ORDER)
    loose = {path.name for path in (ROOT / "lpt").glob("*.py")}
    assert loose == {"__init__.py", "version.py"}


def test_packages_import_only_what_lies_below_them(graph):
    wrong = []
    for name, found in graph.items():
        if not name.startswith("lpt.") or name == "lpt.version":
            continue
        for other in found:
            if other == "lpt" or not other.startswith("lpt.") or other == "lpt.version":
                wrong += [f"{name} -> {other}"] * (other == "lpt")
                continue
            here, there = ORDER.index(room(name)), ORDER.index(room(other))
            if there > here or (room(name), room(other)) in APART:
                wrong.append(f"{name} -> {other}")
    assert not wrong


def test_nothing_imports_in_circles(graph):
    """Not between packages, not between modules, and not for type checkers either."""
    tools = structure()
    inner = {n: f - {"lpt"} for n, f in graph.items() if n != "lpt"}  # the public names are on top
    assert tools.circles(tools.units(inner)) == []
    assert tools.circles(inner) == []


def test_the_environments_know_nothing_of_the_toolkit(graph):
    for name, found in graph.items():
        if name.startswith("lpt_envs"):
            assert not {other for other in found if other.split(".")[0] == "lpt"}, name


def test_every_package_says_what_lives_there():
    for path in [*(ROOT / "lpt").rglob("__init__.py"), *(ROOT / "envs").rglob("__init__.py")]:
        text = path.read_text(encoding="utf-8")
        assert ast.get_docstring(ast.parse(text)), f"{path} does not say what lives there"


def test_docstrings_use_one_kind_of_backtick():
    for folder in ("lpt", "envs", "scripts", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"(?<!`)`{2}(?!`)|:(?:class|func|meth|mod):`", text), path


def test_importing_the_package_loads_nothing_heavy():
    """`import lpt` is for those who want one name of it: torch and the rest come when asked for."""
    code = (
        "import sys, lpt\n"
        "heavy = {'torch', 'numpy', 'gymnasium', 'scipy', 'pydantic', 'tyro'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert lpt.preset('maze2d-umaze').task == 'maze2d-umaze'\n"
        "names = {name: getattr(lpt, name) for name in lpt.__all__}\n"
        "assert dir(lpt) == sorted(names)\n"
        "assert names['LPTPolicy'].__module__ == 'lpt.evaluation.policy'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
