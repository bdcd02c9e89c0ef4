"""The wheel, in an environment outside the checkout, trains with the presets that it brings.

It is built through the source distribution, so that this is complete as well. The new environment
borrows the libraries of the one that runs the tests instead of downloading them again, but not the
checkout; that the declared dependencies suffice is test_package's to check.
"""

import os
import subprocess
import sys
import sysconfig
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
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT, cwd=folder)
    assert len(list(folder.glob("*.tar.gz"))) == 1
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def clean(wheel, tmp_path_factory) -> Path:
    """A folder with a new environment that has the wheel and none of the checkout."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", wheel, cwd=folder)
    report = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(run(python, "-c", report, cwd=folder).strip())
    # A folder named in a .pth has its own .pth files ignored: the editable checkout stays unseen.
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
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


def test_it_trains_a_short_run_with_its_own_presets(clean, sizes):
    where = "import lpt, lpt_envs, lpt.config as c; print(lpt.__file__, lpt_envs.__file__, "
    where += "c.preset_folder())"
    scripts = clean / "venv" / "bin"
    for place in run(scripts / "python", "-c", where, cwd=clean).split():
        assert place.startswith(str(clean))
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
