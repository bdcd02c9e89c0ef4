import re

import minari
import numpy as np
import pytest

from lpt.cli.data import main
from lpt.data import load, read_file, read_minari

SHORT = ["--steps", "2500"]


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setenv("LPT_OFFLINE", "1")
    monkeypatch.delenv("LPT_BEHAVIOR_DIR", raising=False)


def test_make_writes_where_load_looks(folders, capsys):
    main(["make", "maze2d-umaze", *SHORT])
    out = capsys.readouterr().out
    dataset = load("maze2d-umaze", steps=2500)
    assert "regenerated before" in capsys.readouterr().out
    assert dataset.provenance.fingerprint in out and "wrote" in out and "quantiles" in out


def test_all_formats_hold_the_same_data(folders):
    main(["make", "maze2d-umaze", *SHORT, "--out", str(folders / "a.hdf5")])
    main(["make", "maze2d-umaze", *SHORT, "--format", "npz", "--out", str(folders / "a.npz")])
    main(["make", "maze2d-umaze", *SHORT, "--format", "minari"])
    sets = [read_file(folders / "a.hdf5"), read_file(folders / "a.npz")]
    sets.append(read_minari("lpt/maze2d-umaze-v1"))
    assert len({dataset.provenance.fingerprint for dataset in sets}) == 1
    assert {d.provenance.env_id for d in sets} == {"lpt_envs:lpt/Maze2D-umaze-v1"}
    assert {d.config.horizon for d in sets} == {300}


def test_mujoco_data_are_the_same_in_all_formats(folders, capsys):
    main(["make", "hopper-medium-replay", "--steps", "1500"])
    main(["make", "hopper-medium-replay", "--steps", "1500", "--format", "minari"])
    main(["make", "hopper-medium-replay", "--steps", "1500", "--format", "npz"])
    assert "source: regenerated" in capsys.readouterr().out
    sets = [load("hopper-medium-replay", steps=1500), read_minari("lpt/hopper-medium-replay-v2")]
    assert "regenerated before" in capsys.readouterr().out
    sets.append(read_file(next((folders / "lpt").glob("*.npz"))))
    assert len({dataset.provenance.fingerprint for dataset in sets}) == 1
    assert {d.provenance.env_id for d in sets} == {"Hopper-v4"}
    assert {d.config.horizon for d in sets} == {1000}
    episodes = list(minari.load_dataset("lpt/hopper-medium-replay-v2").iterate_episodes())
    assert len(episodes) == len(sets[0]) and all(e.terminations[-1] for e in episodes)
    moved = [np.abs(e.observations[-1] - e.observations[-2]).max() for e in episodes]
    assert min(moved) > 0  # the observation after the last action is the true one


def test_existing_files_need_overwrite(folders, capsys):
    path = folders / "a.hdf5"
    path.write_text("precious")
    command = ["make", "maze2d-umaze", *SHORT, "--out", str(path)]
    assert main(command) == 2
    assert "already exists and is not overwritten" in capsys.readouterr().err
    assert path.read_text() == "precious"
    main([*command, "--overwrite", "--seed", "7"])
    assert read_file(path).provenance.details["seed"] == 7
    main(["make", "maze2d-umaze", *SHORT, "--format", "minari"])
    assert main(["make", "maze2d-umaze", *SHORT, "--format", "minari"]) == 2
    assert "already exists" in capsys.readouterr().err


def test_ones_own_maze(folders):
    path = folders / "own.hdf5"
    main(["make", "######/#OOOG#/######", *SHORT, "--out", str(path)])
    dataset = read_file(path)
    assert dataset.provenance.id == "maze2d-custom"
    assert dataset.provenance.env_id == "lpt_envs:lpt/Maze2D-v1"
    assert dataset.provenance.details["env_kwargs"] == {"maze": "######/#OOOG#/######"}
    assert dataset.config.horizon == 800  # the time limit of lpt/Maze2D-v1
    assert dataset.rewards.max() == 1 and np.ptp(dataset.observations[:, 1]) > 1


def test_info(folders, capsys):
    path = folders / "a.npz"
    main(["make", "maze2d-umaze", *SHORT, "--format", "npz", "--out", str(path)])
    capsys.readouterr()
    main(["info", str(path), "--dataset.returns", "held"])
    out = capsys.readouterr().out
    for part in ("source: regenerated", "fingerprint", "held (horizon 300)", "quantiles"):
        assert part in out


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["make", "ant-medium"], "has no generator: give one of maze2d-umaze"),
        (["make", "hopper-expert"], "has no generator.*scripts/train_behavior.py"),
        (["make", "hopper-medium", "--noise", "0.1"], "hopper-medium has no action noise"),
        (["make", "hopper-medium", "--format", "games"], "hopper-medium has no games"),
        (["make", "hopper-medium", "--steps", "0"], "steps=0"),
        (["make", "maze2d-umaze", "--out", "x.npz"], r"a d4rl file ends in \.hdf5"),
        (["make", "maze2d-umaze", "--format", "minari", "--out", "x"], "no Minari id"),
        (["make", "maze2d-umaze", "--steps", "0"], "steps must be .* at least 1"),
        (["make", "#####/#O#G#/#####", "--steps", "100"], "path|connected"),
        (["info", "nothing"], "no known task"),
        (["info", "absent.npz"], "no such file"),
    ],
)
def test_user_errors_end_in_one_line(folders, monkeypatch, args, text, capsys):
    monkeypatch.chdir(folders)
    assert main(args) == 2
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert line.startswith("lpt-data: ") and re.search(text, line)


def test_list_says_what_is_here_and_from_where(folders, monkeypatch, capsys):
    monkeypatch.chdir(folders)
    main(["make", "maze2d-umaze", *SHORT])
    main(["make", "maze2d-umaze", *SHORT, "--format", "minari"])
    main(["make", "maze2d-umaze", *SHORT, "--format", "npz", "--out", "mine.npz"])
    capsys.readouterr()
    main(["list"])
    lines = capsys.readouterr().out.splitlines()
    found = {tuple(line.split()[:2]) for line in lines}
    assert ("maze2d-umaze", "regenerated") in found and ("mine.npz", "file") in found
    assert ("lpt/maze2d-umaze-v1", "minari") in found and ("connect-four", "shipped") in found
    assert "can be made" in lines[-1] and "hopper-medium" in lines[-1]


def test_show_draws_the_labels_that_the_preset_learns(folders, capsys):
    path, figure = folders / "maze2d-umaze.npz", folders / "shown.png"
    main(["make", "maze2d-umaze", *SHORT, "--format", "npz", "--out", str(path)])
    capsys.readouterr()
    main(["show", "maze2d-umaze", "--source", str(path), "--plot", str(figure)])
    out = capsys.readouterr().out
    assert "returns, held" in out and "dimension 1" in out and "█" in out
    assert figure.stat().st_size > 1000
    main(["show", str(path)])
    assert "returns, recorded" in capsys.readouterr().out
    main(["show", str(path), "--preset", "maze2d"])
    assert "returns, held" in capsys.readouterr().out
