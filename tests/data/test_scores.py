import numpy as np
import pytest

from lpt.data import find_reference, normalized_score


@pytest.mark.parametrize(
    ("task", "returns", "score"),
    [
        ("maze2d-umaze", 161.86, 100),
        ("maze2d-umaze", 23.85, 0),
        ("maze2d-umaze-v1", 222.0, 143.58),
        ("maze2d-medium", 419.0, 153.59),
        ("maze2d-large", 557.0, 205.88),
        ("maze2d-large-dense", 30.569041, 0),
        ("hopper-medium-v2", 3234.3, 100),
        ("halfcheetah-medium-replay", -280.178953, 0),
        ("walker2d-medium", 4592.3, 100),
        ("ant-expert", 3879.7, 100),
        ("antmaze-umaze-diverse-v2", 0.5, 50),
        ("kitchen-mixed-v0", 3.0, 75),
    ],
)
def test_d4rl_scores(task, returns, score):
    result = normalized_score(task, [returns])
    assert result.mean == pytest.approx(score, abs=0.01)
    assert "D4RL reference" in result.label


def test_scores_keep_every_episode_and_name_the_reference():
    returns = np.array([0.0, 23.85, 161.86])
    result = normalized_score("maze2d-umaze", returns, "lpt_envs:lpt/Maze2D-umaze-v1")
    np.testing.assert_allclose(result.scores[1:], [0, 100], atol=1e-9)
    assert result.reference is find_reference("maze2d-umaze-sparse-v1")
    assert "0 = 23.85, 100 = 161.86" in result.label
    assert "practical ceiling 143.6 (return 222)" in result.label
    assert "not stated" not in result.label
    assert "environment not stated" in normalized_score("maze2d-umaze", returns).label


@pytest.mark.parametrize("task", ["connect-four", "maze2d-eval-umaze", "maze2d-custom", "my.npz"])
def test_no_reference_is_never_silent(task):
    result = normalized_score(task, [1.0])
    assert result.scores is None and result.mean is None and result.reference is None
    assert f"no D4RL reference for '{task}'" in result.label


def test_a_reference_holds_only_in_its_environment():
    exact = normalized_score("hopper-medium", [1.0], "Hopper-v4")
    assert exact.scores is not None and exact.exact
    assert "measured in v2 (v4 is the closest living one)" in exact.label
    for task, env in [
        ("hopper-medium", "HalfCheetah-v5"),
        ("maze2d-umaze", "gymnasium_robotics:PointMaze_UMaze-v3"),
        ("maze2d-umaze", "lpt_envs:lpt/Maze2D-umaze-eval-v1"),
        ("antmaze-umaze", "gymnasium_robotics:AntMaze_Medium-v4"),
    ]:
        result = normalized_score(task, [1.0], env)
        assert result.scores is None and not result.exact
        assert "no score" in result.label and env in result.label


@pytest.mark.parametrize("name", ["halfcheetah", "hopper", "walker2d", "ant"])
def test_scores_in_v5_are_shown_and_said_not_to_be_d4rls(name):
    env = find_reference(name).near_ids[0]
    result = normalized_score(f"{name}-medium", [find_reference(name).maximum], env)
    assert result.mean == pytest.approx(100) and not result.exact and env.endswith("-v5")
    assert result.label.startswith(f"D4RL reference {name}: 0 = ")
    assert result.label.endswith(
        f"; NOT D4RL's metric: valid in v2 (v4 is the closest living one), evaluated in {env}"
    )


@pytest.mark.parametrize(
    ("task", "env", "returns", "score"),
    [
        ("antmaze-umaze-diverse", "AntMaze_UMaze-v4", [0, 1, 1, 1], 75),
        ("kitchen-mixed", "FrankaKitchen-v1", [3, 2], 62.5),
    ],
)
def test_robotics_scores_hold_by_definition_in_another_environment(task, env, returns, score):
    for env_id in (env, f"gymnasium_robotics:{env}"):
        result = normalized_score(task, returns, env_id)
        assert result.mean == score and not result.exact
        where = f"valid in D4RL's own environment (mujoco-py), evaluated in {env_id}"
        assert f"NOT D4RL's metric: {where}" in result.label
