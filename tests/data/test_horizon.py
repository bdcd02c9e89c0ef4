"""The horizon is the environment's own time limit, and one line says what does not agree."""

import gymnasium
import numpy as np
import pytest

from lpt.config import DatasetConfig
from lpt.data import Provenance, TrajectoryDataset, load, write_npz
from lpt_envs.maze2d.waypoint import rollout_fresh_controller

LIMITED, ENDLESS = "Limited-v0", "Endless-v0"
HELD = DatasetConfig(returns="held")


@pytest.fixture(autouse=True, scope="module")
def _registered():
    maze = "lpt_envs.maze2d:Maze2DEnv"
    gymnasium.register(LIMITED, maze, max_episode_steps=7, kwargs={"maze": "umaze"})
    gymnasium.register(ENDLESS, maze, kwargs={"maze": "umaze"})
    yield
    for name in (LIMITED, ENDLESS):
        del gymnasium.registry[name]


@pytest.fixture
def file(tmp_path):
    """`file(env_id, horizon)`: two trajectories of five steps that pay 1 a step."""

    def write(env_id=None, horizon=None):
        path = tmp_path / "mine.npz"
        details = {} if horizon is None else {"horizon": horizon}
        data = TrajectoryDataset.from_offsets(
            np.zeros((10, 4)),
            np.zeros((10, 2)),
            np.ones(10),
            [0, 5, 10],
            provenance=Provenance("npz", "mine", env_id, details=details),
        )
        write_npz(path, data, overwrite=True)
        return str(path)

    return write


def read(*arguments, **options):
    lines = []
    return load(*arguments, log=lines.append, **options), lines


@pytest.mark.parametrize(
    ("stored", "env_id", "expected"),
    [((LIMITED, None), None, 7), ((LIMITED, 9), None, 7), ((None, 9), LIMITED, 7)],
)
def test_the_environments_time_limit_is_the_horizon(file, stored, env_id, expected):
    data, lines = read(file(*stored), env_id=env_id)
    assert data.config.horizon == data.provenance.details["horizon"] == expected
    told = [line for line in lines if "horizon" in line]
    assert len(told) == (stored[1] is not None)
    assert all(f"in {LIMITED}, labeled with horizon 7 (the file says 9)" in t for t in told)


def test_labels_follow_the_horizon(file):
    data, _ = read(file(LIMITED, 9), HELD)
    assert data.returns.tolist() == [7, 7]


def test_without_a_limit_the_files_horizon_stays(file):
    data, lines = read(file(ENDLESS, 9), HELD)
    assert data.config.horizon == 9 and len(lines) == 1


def test_what_is_configured_goes_first_and_the_environment_is_named(file):
    data, lines = read(file(LIMITED), DatasetConfig(horizon=20))
    assert data.config.horizon == 20
    assert "labeled with horizon 20 (the environment ends after 7)" in lines[1]


def test_the_right_environment_is_named_where_task_file_and_flag_disagree(file):
    source = file(ENDLESS, 9)
    data, lines = read("maze2d-umaze", HELD, source, env_id=LIMITED)
    assert data.config.horizon == 7 and data.returns.tolist() == [7, 7]
    assert len(lines) == 2
    for word in (f"evaluated in {LIMITED}", "horizon 7", "file says 9", "maze2d-umaze has 300"):
        assert word in lines[1]
    assert ENDLESS not in lines[1] or "another environment" in lines[1]


def test_a_controller_may_have_any_horizon():
    short, long = (rollout_fresh_controller("umaze", 5, horizon=h) for h in (60, 300))
    assert (short <= long).all() and long.sum() > short.sum() and short.max() <= 60
    assert np.array_equal(long, rollout_fresh_controller("umaze", 5))
    with pytest.raises(ValueError, match="horizon must be at least 1, got 0"):
        rollout_fresh_controller("umaze", 5, horizon=0)
