"""The package as installed: version, commands, dependencies, pins."""

import ast
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import lpt
from lpt.config import preset, preset_folder, presets
from lpt_envs.mujoco.recipes import ROBOTS

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


def pins(python: str, file: str = "constraints.txt") -> dict[str, str]:
    """Pinned versions that hold for a Python version, by canonical name."""
    found: dict[str, str] = {}
    for line in (ROOT / file).read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        requirement = Requirement(line)
        assert requirement.url is None
        if requirement.marker is None or requirement.marker.evaluate({"python_version": python}):
            (specifier,) = requirement.specifier
            name = canonicalize_name(requirement.name)
            assert specifier.operator == "==" and name not in found, line
            found[name] = specifier.version
    return found


def required(name: str, extra: str = "") -> set[str]:
    """Everything an installed distribution needs here, directly or not, by canonical name."""
    seen: set[tuple[str, str]] = set()
    waiting = [(name, extra)]
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        for text in metadata.requires(current[0]) or []:
            requirement = Requirement(text)
            here = {**default_environment(), "extra": current[1]}
            if requirement.marker is None or requirement.marker.evaluate(here):
                found = canonicalize_name(requirement.name)
                waiting += [(found, "")] + [(found, e) for e in requirement.extras]
    return {found for found, _ in seen}


def test_the_version_is_stated_once():
    assert metadata.version("lpt-toolkit") == lpt.__version__


def test_everything_that_is_installed_is_pinned():
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert required("lpt-toolkit", "dev") - {"lpt-toolkit"} <= pins(here).keys()


@pytest.mark.parametrize("python", PYTHONS)
def test_every_python_has_pins_that_satisfy_the_metadata(python):
    pinned = pins(python)
    for text in metadata.requires("lpt-toolkit") or []:
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        if name != "lpt-toolkit":
            assert requirement.specifier.contains(pinned[name]), (text, pinned[name])


def test_the_lowest_pins_are_the_lower_bounds():
    lowest = pins("3.10", "constraints-lowest.txt")
    for text in metadata.requires("lpt-toolkit") or []:
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        if name != "lpt-toolkit":
            (bound,) = requirement.specifier
            assert bound.operator == ">=", text
            assert Version(bound.version) == Version(lowest[name]), (text, lowest[name])


def test_only_declared_packages_are_imported():
    """The development environment holds more than a user's: each import must be a dependency."""
    declared = {
        canonicalize_name(Requirement(text).name) for text in metadata.requires("lpt-toolkit") or []
    }
    owners = metadata.packages_distributions()
    files = [*(ROOT / "lpt").rglob("*.py"), *(ROOT / "envs").rglob("*.py")]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                modules = [node.module]
            else:
                continue
            for top in {module.partition(".")[0] for module in modules}:
                if top in sys.stdlib_module_names or top in ("lpt", "lpt_envs"):
                    continue
                names = {canonicalize_name(name) for name in owners[top]}
                assert names & declared, f"{file} imports {top}"


def test_the_environments_stand_on_their_own():
    for file in (ROOT / "envs").rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"^\s*(from|import) lpt(\.| |$)", text, re.MULTILINE), file


def test_commands_need_no_d4rl_no_mujoco_py_no_gym_and_no_test_tools():
    code = (
        "import sys, lpt.data, lpt.evaluation, lpt.export, lpt.sweep.runner, lpt.training\n"
        "print({'gym', 'd4rl', 'mujoco_py', 'pytest', 'imageio'} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"


BEHAVIOR_DATA = ("medium", "medium-replay", "medium-expert")


def test_presets_are_found_and_complete():
    robots = (f"{robot}-{data}" for robot in ROBOTS for data in BEHAVIOR_DATA)
    robotics = ("antmaze-umaze", "antmaze-umaze-diverse", "kitchen-partial", "kitchen-mixed")
    mazes = ("maze2d-umaze", "maze2d-medium", "maze2d-large")
    assert {*mazes, "connect-four", *robots, *robotics} <= presets().keys()
    assert all(preset(name).task == name for name in presets())
    assert preset_folder().is_dir()
