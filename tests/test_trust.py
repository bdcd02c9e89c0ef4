"""Ids of environments that files bring along import nothing that the user did not name."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import yaml

from lpt.cli.eval import main as lpt_eval
from lpt.config.command_line import Resume, parse
from lpt.config.trust import check_environment
from lpt.data import Provenance, read_minari, write_minari
from lpt.evaluation import evaluate
from lpt.evaluation.environments import environment_kwargs, make_environment
from lpt.training import resume

PACKAGE = "mischief_for_lpt"
EVIL = f"{PACKAGE}:Evil-v0"


@pytest.fixture
def mischief(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that can be imported, and leaves this file if it is."""
    mark = tmp_path / "it-ran"
    (tmp_path / "packages").mkdir()
    code = (
        f"from pathlib import Path\nPath({str(mark)!r}).touch()\nimport gymnasium\n"
        "gymnasium.register(id='Evil-v0', entry_point='lpt_envs.maze2d:Maze2DEnv', "
        "max_episode_steps=5, kwargs={'maze': 'umaze'})\n"
    )
    (tmp_path / "packages" / f"{PACKAGE}.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    yield mark
    sys.modules.pop(PACKAGE, None)
    gymnasium.registry.pop("Evil-v0", None)


@pytest.mark.parametrize(
    "env_id", ["Hopper-v4", "lpt_envs:lpt/Maze2D-umaze-v1", "gymnasium_robotics:X-v1", "json:X-v0"]
)
def test_known_and_imported_packages_are_trusted(env_id):
    assert check_environment(env_id, "x") == env_id


@pytest.mark.parametrize(
    "env_id", [EVIL, "lpt_envs_evil:X", "antigravity:X", "gymnasium/../x:Y", ":X", " lpt_envs:X"]
)
def test_others_are_refused_in_one_line_that_names_the_flag(env_id, mischief):
    with pytest.raises(ValueError, match="--env-id") as caught:
        check_environment(env_id, "a.json")
    assert "a.json" in str(caught.value) and "\n" not in str(caught.value)
    assert not mischief.exists()


def test_a_policy_does_not_run_the_code_it_names(make_policy, make_metadata, mischief):
    policy = make_policy()
    policy.metadata = replace(policy.metadata, env_id=EVIL)
    for act in (policy.environment, lambda: evaluate(policy, episodes=1)):
        with pytest.raises(ValueError, match=f"{EVIL}.*--env-id {EVIL}"):
            act()
    assert not mischief.exists()
    result = evaluate(policy, EVIL, episodes=1)  # named by the user
    assert mischief.exists() and result.env_id == EVIL
    policy.environment().close()  # imported by now


def test_a_run_does_not_run_the_code_that_its_data_name(
    make_data, tmp_path, flags, lpt_train, mischief, capsys
):
    data = make_data(tmp_path / "data.npz", steps=2000)
    rewrite(data, env_id=EVIL)
    assert lpt_train([*flags(data, tmp_path / "run"), "--env", "mine"]) == 2
    assert f"--env-id {EVIL}" in capsys.readouterr().err
    assert not mischief.exists() and not (tmp_path / "run").exists()


def test_a_resumed_run_does_not_either(umaze, tmp_path, flags, lpt_train, mischief, capsys):
    run = tmp_path / "run"
    assert lpt_train(flags(umaze, run, updates=2)) == 0
    (checkpoint,) = (run / "checkpoints").iterdir()
    record = json.loads((checkpoint / "policy.json").read_text())
    record["env_id"] = record["config"]["env_id"] = EVIL
    (checkpoint / "policy.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=f"--env-id {EVIL}"):
        resume(run, log=str)
    capsys.readouterr()
    assert lpt_eval([str(run), "--episodes", "1"]) == 2
    assert f"--env-id {EVIL}" in capsys.readouterr().err and not mischief.exists()
    assert lpt_eval([str(run), "--episodes", "1", "--env-id", EVIL]) == 0 and mischief.exists()
    assert resume(run, log=str, env_id=EVIL).env_id == EVIL
    asked = parse(["--resume", str(run), "--env-id", EVIL])
    assert isinstance(asked, Resume) and asked.env_id == EVIL


def test_a_stored_configuration_needs_the_flag_too(tmp_path, mischief):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"task": "maze2d-umaze", "env_id": EVIL}))
    with pytest.raises(ValueError, match=f"config.yaml names the environment.*--env-id {EVIL}"):
        parse(["--config", str(path)])
    assert parse(["--config", str(path), "--env-id", EVIL]).env_id == EVIL
    assert not mischief.exists()


def test_minari_data_run_no_code(dataset, folders_of_minari, mischief):
    """Minari makes the environment of a data set without spaces: its module's code would run."""
    with pytest.raises(ValueError, match="--env-id"):
        write_minari("theirs/some-v0", replace(dataset, provenance=Provenance("x", "y", EVIL)))
    write_minari("theirs/some-v0", dataset)
    path = folders_of_minari / "theirs" / "some-v0" / "data" / "metadata.json"
    record = json.loads(path.read_text())
    record["env_spec"] = json.dumps({"id": "Evil-v0", "entry_point": f"{PACKAGE}:run"})
    path.write_text(json.dumps(record))
    assert read_minari("theirs/some-v0").provenance.env_id == EVIL  # only a name
    del record["observation_space"]
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match="observation_space is missing"):
        read_minari("theirs/some-v0")
    assert not mischief.exists()


def test_a_checkpoint_chooses_no_files_for_its_environment(make_metadata):
    env_id = "Hopper-v4"
    origin = {"env_id": env_id, "details": {"env_kwargs": {"xml_file": "/tmp/x.xml"}}}
    metadata = make_metadata(env_id=env_id, provenance=origin)
    with pytest.raises(ValueError, match=r"xml_file='/tmp/x\.xml', a file of its choice"):
        environment_kwargs(metadata, env_id)
    assert environment_kwargs(metadata, "Hopper-v5") == {}


@pytest.mark.parametrize("env_id", ["a:b:c", "lpt_envs:lpt/None-v1", "lpt_envs:"])
def test_ids_of_nothing_get_one_line(env_id):
    with pytest.raises(ValueError) as caught:
        make_environment(env_id)
    assert env_id in str(caught.value)


def test_options_that_do_not_fit_get_one_line():
    with pytest.raises(ValueError, match="cannot make the environment"):
        make_environment("Hopper-v4", no_such_option=1)


@pytest.fixture
def folders_of_minari(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path / "minari"


def rewrite(path: Path, **fields: str) -> None:
    """Change the provenance in an NPZ file."""
    with np.load(path) as file:
        arrays = dict(file)
    record = json.loads(str(arrays.pop("provenance")))
    np.savez(path, **arrays, provenance=json.dumps({**record, **fields, "id": "mine"}))
