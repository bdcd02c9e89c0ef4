"""Wheel and source distribution, in an environment outside the checkout, with what they ask for.

The wheel is built through the source distribution, so that this is complete as well. The new
environment gets its dependencies from where pip does, at the pinned versions: those that developers
have besides are not there.
"""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


def run(*command: object, cwd: Path) -> str:
    words = [str(word) for word in command]
    hidden = ("PYTHONPATH", "VIRTUAL_ENV")
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the source distribution and the wheel."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(built) -> Path:
    (path,) = built.glob("*.whl")
    return path


def install(folder: Path, *what: object) -> None:
    """Install into the environment in a folder."""
    python = folder / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    run(*pip, "-c", ROOT / "constraints.txt", *what, cwd=folder)


@pytest.fixture(scope="module")
def clean(wheel, tmp_path_factory) -> Path:
    """A folder with a new environment that has the wheel, what it needs, and no checkout."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder / "venv", with_pip=False)
    install(folder, wheel)
    return folder


def test_the_wheel_holds_the_packages_and_presets_only(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    wanted = {
        "lpt/configs/maze2d.yaml",
        "lpt_envs/__init__.py",
        "lpt/cli/report.py",
        "lpt/py.typed",
        "lpt/pretrained/maze2d-umaze/policy.safetensors",
        "lpt/reporting/page.html",
    }
    assert wanted <= set(names)
    tops = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"lpt", "lpt_envs"}


def assert_own_code(folder: Path) -> None:
    where = "import lpt, lpt_envs, lpt.config as c; print(lpt.__file__, lpt_envs.__file__, "
    where += "c.preset_folder())"
    for place in run(folder / "venv" / "bin" / "python", "-c", where, cwd=folder).split():
        assert place.startswith(str(folder))


def test_it_trains_a_short_run_with_its_own_presets(clean, sizes):
    assert_own_code(clean)
    scripts = clean / "venv" / "bin"
    run(
        scripts / "lpt-data",
        "make",
        "maze2d-umaze",
        "--steps",
        5000,
        "--out",
        "u.hdf5",
        cwd=clean,
    )
    task = ["--env", "maze2d-umaze", "--source", "u.hdf5", "--updates", 10, *sizes]
    assert "ceiling" in run(scripts / "lpt-train", *task, cwd=clean)
    trained = clean / "runs" / "maze2d-umaze" / "langevin-seed0"
    assert "target: 240" in (trained / "config.yaml").read_text()  # the preset's
    run(scripts / "lpt-eval", trained, "--episodes", 1, "--plot", "paths.png", cwd=clean)
    assert (clean / "paths.png").stat().st_size > 1000


def test_what_is_needed_is_installed_and_nothing_that_only_developers_have(clean):
    python = clean / "venv" / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "check", cwd=clean)
    names = run(python, "-c", "from importlib import metadata as m\n"
        "print(*(d.name.lower() for d in m.distributions()))", cwd=clean).split()  # fmt: skip
    assert {"lpt-toolkit", "torch", "minari"} <= set(names)
    assert not {"pytest", "ruff", "numba", "transformers"} & set(names)


def test_the_source_distribution_installs_as_well(built, clean):
    (source,) = built.glob("*.tar.gz")
    install(clean, "--force-reinstall", "--no-deps", source)
    assert_own_code(clean)
    scripts = clean / "venv" / "bin"
    assert "lpt-toolkit" in run(scripts / "lpt-info", cwd=clean)
    assert "maze2d-umaze" in run(scripts / "lpt-data", "list", cwd=clean)
