import shutil
from dataclasses import replace
from pathlib import Path

import gymnasium
import h5py
import numpy as np
import pytest

from lpt.cli.data import main
from lpt.config import DatasetConfig
from lpt.data import Provenance, find_task, load, write_d4rl, write_minari, write_npz
from lpt.data.recipes.steps import MadeSteps
from lpt.data.sources.folders import data_folder, regenerated_path
from lpt.data.tasks import TASKS
from lpt_envs.mujoco.actors import actor_path, pack_actors, read_actors

STEPS = 3000


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    """No test may ask the net; what happens with one is tested on the loopback interface."""
    monkeypatch.setenv("LPT_OFFLINE", "1")
    monkeypatch.delenv("LPT_BEHAVIOR_DIR", raising=False)


@pytest.fixture
def small(monkeypatch):
    """A hopper-medium that is small in its full size."""
    task = TASKS["hopper-medium"]
    task = replace(task, recipe=replace(task.recipe, steps=1200))
    monkeypatch.setitem(TASKS, "hopper-medium", task)
    return task


def test_auto_regenerates_once_and_says_so(folders, capsys):
    lines = []
    first = load("maze2d-umaze", steps=STEPS, log=lines.append)
    again = load("maze2d-umaze-v1", steps=STEPS)
    path = regenerated_path(TASKS["maze2d-umaze"], STEPS)
    assert path.parent == data_folder() == folders / "lpt" and path.is_file()
    assert len(lines) == 1 and "regenerated now, 3000 steps with seed 0" in lines[0]
    assert "no D4RL file in" in lines[0]
    assert "regenerated before" in capsys.readouterr().out
    assert first.provenance == again.provenance
    record = first.provenance
    assert (record.source, record.id) == ("regenerated", "maze2d-umaze")
    assert record.env_id == "lpt_envs:lpt/Maze2D-umaze-v1" and first.config.horizon == 300
    assert record.details["seed"] == 0 and record.details["noise"] == 0.5
    assert record.details["maze"] == "umaze" and "mujoco" in record.details["versions"]


def test_a_d4rl_file_comes_first(make_dataset, folders):
    load("maze2d-umaze", steps=STEPS, log=None)  # a regenerated file is there as well
    for name in TASKS["maze2d-umaze"].files[::-1]:
        write_d4rl(folders / "d4rl" / name, make_dataset([len(name)]))
        lines = []
        dataset = load("maze2d-umaze", log=lines.append)
        assert name in lines[0] and "found in the D4RL cache" in lines[0]
        assert dataset.provenance.source == "d4rl" and dataset.num_steps == len(name)
        assert dataset.provenance.details["path"] == str(folders / "d4rl" / name)
    assert load("maze2d-umaze", source="d4rl", log=None).provenance.source == "d4rl"
    assert load("maze2d-umaze", source="regenerated", steps=STEPS, log=None).observation_dim == 4


def test_regenerated_data_say_so_wherever_they_lie(folders):
    load("maze2d-umaze", steps=STEPS, log=None)
    shutil.copy(
        regenerated_path(TASKS["maze2d-umaze"], STEPS), folders / "d4rl/maze2d-umaze-v1.hdf5"
    )
    assert load("maze2d-umaze", source="d4rl", log=None).provenance.source == "regenerated"


def test_d4rl_without_a_file_says_where_to_put_it(folders):
    with pytest.raises(FileNotFoundError, match=r"maze2d-umaze-sparse-v1\.hdf5.*Put the file"):
        load("maze2d-umaze", source="d4rl")
    with pytest.raises(FileNotFoundError, match=r"ant_medium_replay-v2\.hdf5.*D4RL_DATASET_DIR"):
        load("ant-medium-replay")
    with pytest.raises(FileNotFoundError, match=r"Put the file.*cannot be regenerated here\."):
        load("ant-medium", source="regenerated")
    for source in ("auto", "regenerated"):
        with pytest.raises(FileNotFoundError, match=r"scripts/train_behavior.py has trained"):
            load("hopper-medium-expert", source=source)
    with pytest.raises(FileNotFoundError, match=r"hopper_medium-v2\.hdf5 .*LPT_OFFLINE is set"):
        load("hopper-medium", source="d4rl")


def test_mujoco_data_are_regenerated_once_and_say_by_whom(folders, small):
    lines = []
    first = load("hopper-medium", log=lines.append)
    again = load("hopper-medium-v2", source="regenerated", log=lines.append)
    assert len(lines) == 2 and "regenerated now, 1200 steps with seed 0" in lines[0]
    assert "no D4RL file in" in lines[0] and "LPT_OFFLINE is set" in lines[0]
    assert "regenerated before; asked for" in lines[1]
    assert first.provenance == again.provenance
    record = first.provenance
    assert (record.source, record.id, record.env_id) == (
        "regenerated",
        "hopper-medium",
        "Hopper-v4",
    )
    assert (record.details["recipe"], record.details["seed"]) == ("medium", 0)
    assert "download" not in record.details
    sha256 = record.details["actors"]["sha256"]
    path = Path(record.details["path"])
    assert path.parent == data_folder() and f"-actors{sha256[:8]}" in path.name
    assert first.config.horizon == 1000 and first.observation_dim == 11 and first.terminated.any()
    assert "--source d4rl downloads one" in _line("hopper-medium")
    other = load("hopper-medium", seed=1, steps=1200, log=None)
    assert other.provenance.fingerprint != record.fingerprint


def test_data_of_other_actors_are_other_data(folders, monkeypatch):
    load("hopper-medium", steps=1000, log=None)
    file = read_actors(actor_path("hopper"))
    layers = {200_000: file.layers(200_000)}
    path = folders / "hopper.safetensors"
    named = {"warmup": 0, "medium": 200_000, "expert": 200_000}
    path.write_bytes(pack_actors("Hopper-v5", layers, **named))
    monkeypatch.setenv("LPT_BEHAVIOR_DIR", str(folders))
    lines = []
    own = load("hopper-medium", steps=1000, log=lines.append)
    assert "regenerated now" in lines[0]
    assert own.provenance.details["actors"]["medium"] == 200_000
    expert = load("hopper-expert", steps=1000, log=None)  # there is one now
    assert expert.provenance.details["recipe"] == "expert"


def test_data_recorded_in_another_version_are_evaluated_there(folders):
    made = replace(TASKS["hopper-medium"], env_id="Hopper-v5").make(steps=800)
    made.write(folders / "five.hdf5")
    lines = []
    data = load("hopper-medium", source=str(folders / "five.hdf5"), log=lines.append)
    assert data.provenance.env_id == "Hopper-v5" and "evaluated in Hopper-v5" in lines[1]


def test_minaris_own_data_go_before_regeneration_and_keep_their_environment(
    folders, make_dataset, small
):
    own = make_dataset([4, 5], provenance=Provenance("npz", "x", "Hopper-v5"))
    write_minari("mujoco/hopper/medium-v0", own)
    lines = []
    data = load("hopper-medium", log=lines.append)
    assert "local Minari data set mujoco/hopper/medium-v0" in lines[0]
    record = data.provenance
    assert (record.source, record.id, record.env_id) == ("minari", "hopper-medium", "Hopper-v5")
    assert record.details["minari_id"] == "mujoco/hopper/medium-v0"
    assert "evaluated in Hopper-v5" in lines[1] and len(lines) == 2
    assert load("hopper-medium", source="regenerated", log=None).num_steps != 9
    write_d4rl(folders / "d4rl" / small.files[0], make_dataset([7]))
    assert load("hopper-medium", log=None).provenance.source == "d4rl"


def test_minari_data_without_an_environment_take_the_tasks(make_dataset, folders):
    write_minari("own/hopper-v0", make_dataset([4]))
    data = load("hopper-medium", source="own/hopper-v0", log=None)
    assert data.provenance.env_id == "Hopper-v4"


def test_paths_with_and_without_a_task(make_dataset, folders):
    path = folders / "mine.npz"
    write_npz(path, make_dataset([4, 5], provenance=Provenance("npz", "own")))
    alone = load(path, log=None)
    assert alone.provenance.id == "own" and alone.provenance.env_id is None
    lines = []
    held = DatasetConfig(returns="held")
    tasked = load("maze2d-umaze", held, str(path), log=lines.append)
    assert "mine.npz (the path given)" in lines[0]
    assert (tasked.provenance.source, tasked.provenance.id) == ("npz", "maze2d-umaze")
    assert tasked.provenance.env_id == "lpt_envs:lpt/Maze2D-umaze-v1"
    assert tasked.config.horizon == 300
    assert alone.provenance.fingerprint == tasked.provenance.fingerprint
    with pytest.raises(FileNotFoundError, match="no such file"):
        load(folders / "absent.npz", log=None)


def test_minari_by_every_spelling(make_dataset, folders):
    write_minari("lpt/mine-v0", make_dataset([4, 5]))
    for name, source in [
        ("lpt/mine-v0", "auto"),
        ("minari:lpt/mine-v0", "auto"),
        ("lpt/mine-v0", "minari"),
        ("maze2d-umaze", "minari:lpt/mine-v0"),
        ("maze2d-umaze", "lpt/mine-v0"),
    ]:
        lines = []
        dataset = load(name, source=source, log=lines.append)
        assert dataset.provenance.source == "minari" and "lpt/mine-v0" in lines[0]
        expected = "maze2d-umaze" if name == "maze2d-umaze" else "lpt/mine-v0"
        assert dataset.provenance.id == expected


def test_unknown_names_and_sources(folders):
    with pytest.raises(ValueError, match=r"'maze2d-umazz' is no known task \(did you mean"):
        load("maze2d-umazz")
    with pytest.raises(ValueError, match=r"no known task"):
        load("maze2d-umaze-v0")  # other data than v1
    with pytest.raises(ValueError, match="source 'cloud': expected auto, d4rl"):
        load("maze2d-umaze", source="cloud")


def test_dropped_trajectories_are_reported(make_dataset, folders):
    path = folders / "mine.npz"
    write_npz(path, make_dataset([4, 5, 1]))
    lines = []
    load(path, DatasetConfig(min_length=5), log=lines.append)
    assert lines[-1] == "data: dropped 2 trajectories under 5 steps"


def test_task_names():
    umaze = find_task("maze2d-umaze")
    assert umaze is find_task("maze2d-umaze-v1") is find_task("maze2d-umaze-sparse-v1")
    assert umaze.files == ("maze2d-umaze-sparse-v1.hdf5", "maze2d-umaze-v1.hdf5")
    assert find_task("maze2d-large-dense").files == ("maze2d-large-dense-v1.hdf5",)
    assert [_size(f"maze2d-{m}") for m in ("umaze", "medium", "large")] == [
        1_000_000,
        2_000_000,
        4_000_000,
    ]
    robots = ("halfcheetah", "hopper", "walker2d")
    sizes = [_size(f"{robot}-medium-replay") for robot in robots]
    assert sizes == [202_000, 402_000, 302_000]
    assert {_size(f"{robot}-medium") for robot in robots} == {1_000_000}
    assert {_size(f"{robot}-medium-expert") for robot in robots} == {2_000_000}
    generated = {name for name, task in TASKS.items() if task.generated}
    assert {f"{robot}-{kind}" for robot in robots for kind in ("medium", "medium-replay")} < (
        generated
    )
    assert {"maze2d-large", "connect-four", "walker2d-random"} < generated
    assert not {"hopper-expert", "ant-medium", "ant-random"} & generated
    assert find_task("hopper-medium-v0") is None and find_task("") is None


def test_every_task_names_a_registered_environment():
    import gymnasium

    import lpt_envs  # noqa: F401

    for task in TASKS.values():
        module, _, env_id = task.env_id.rpartition(":")
        if module == "gymnasium_robotics":
            continue  # test_robotics makes these
        spec = gymnasium.spec(env_id)
        # A Connect Four game ends by itself within its horizon: the environment has no time limit.
        limit = None if task.name.startswith("connect-four") else task.horizon
        assert spec.max_episode_steps == limit


def test_regeneration_is_deterministic_in_its_seed():
    task = TASKS["maze2d-umaze"]
    a, b, c = (task.make(steps=STEPS, seed=seed).arrays for seed in (3, 3, 4))
    assert all(np.array_equal(a[key], b[key]) for key in a)
    assert not np.array_equal(a["actions"], c["actions"])
    with pytest.raises(ValueError, match="ant-medium has no recipe"):
        TASKS["ant-medium"].make()
    with pytest.raises(ValueError, match="antmaze-umaze has no recipe"):
        TASKS["antmaze-umaze"].file_name()


def test_dense_rewards_are_read_from_the_stored_observation():
    made = TASKS["maze2d-umaze-dense"].make(steps=STEPS)
    arrays, record = made.arrays, made.provenance
    goal = np.array([1, 1])
    distance = np.linalg.norm(arrays["observations"][:, :2] - goal, axis=1)
    np.testing.assert_allclose(arrays["rewards"], np.exp(-distance), rtol=1e-5)
    assert record.details["reward"] == "dense"
    assert record.env_id == "lpt_envs:lpt/Maze2D-umaze-dense-v1"


def test_final_observations_are_the_ones_that_followed():
    made = TASKS["maze2d-umaze"].make(steps=STEPS)
    arrays, offsets, final = made.arrays, made.dataset.offsets, made.final_observations()
    np.testing.assert_array_equal(offsets[1:], np.flatnonzero(arrays["timeouts"]) + 1)
    last = arrays["observations"][offsets[1:] - 1]
    moved = np.linalg.norm(final - last, axis=1)[:-1]
    assert 0 < moved.max() < 1.0  # one step on, though the next row repeats the observation
    np.testing.assert_array_equal(arrays["observations"][offsets[1:-1]], last[:-1])
    first = {key: array[: offsets[1]] for key, array in arrays.items()}
    ends_with_data = MadeSteps(first, made.provenance).final_observations()
    np.testing.assert_array_equal(ends_with_data, last[:1])
    made = TASKS["hopper-medium"].make(steps=1500)
    arrays, offsets, final = made.arrays, made.dataset.offsets, made.final_observations()
    np.testing.assert_array_equal(offsets[1:], np.flatnonzero(arrays["terminals"]) + 1)
    assert len(final) > 1 and not np.array_equal(final[0], arrays["observations"][offsets[1]])
    angle, height = final[:, 1], final[:, 0]
    assert ((height < 0.7) | (np.abs(angle) > 0.2)).all()  # fallen: the end of Hopper's task


def test_the_regenerated_file_has_d4rls_keys(folders):
    load("maze2d-umaze", steps=STEPS, log=None)
    with h5py.File(regenerated_path(TASKS["maze2d-umaze"], STEPS)) as file:
        keys = []
        file.visititems(lambda name, node: keys.append(name) if hasattr(node, "shape") else None)
        assert sorted(keys) == [
            "actions",
            "infos/goal",
            "infos/qpos",
            "infos/qvel",
            "observations",
            "rewards",
            "terminals",
            "timeouts",
        ]
        assert file["observations"].shape == (STEPS, 4)
        assert (
            file.attrs["generator"] == "lpt_envs.maze2d.waypoint.generate"
            and file.attrs["seed"] == 0
        )


def test_another_tasks_regenerated_file_keeps_its_own_environment(folders):
    """Trained under --env maze2d-umaze by mistake, it must not be scored in umaze."""
    path = folders / "mine.hdf5"
    main(["make", "maze2d-medium", "--steps", "2500", "--out", str(path)])
    record = load("maze2d-umaze", source=str(path)).provenance
    assert record.id == "maze2d-medium" and record.env_id == "lpt_envs:lpt/Maze2D-medium-v1"
    own = folders / "own.hdf5"
    main(["make", "#####/#GOO#/#####", "--steps", "2500", "--out", str(own)])
    record = load("maze2d-umaze", source=str(own)).provenance
    assert record.id == "maze2d-custom" and record.env_id == "lpt_envs:lpt/Maze2D-v1"
    with pytest.raises(ValueError, match="maze '' is empty; give rows such as"):
        gymnasium.make(record.env_id)


def _line(name: str) -> str:
    """The line that says which source was taken."""
    lines: list[str] = []
    load(name, log=lines.append)
    return lines[0]


def _size(name: str) -> int:
    """Rows of a task's published data."""
    return TASKS[name].recipe.size().count
