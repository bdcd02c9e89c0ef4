"""The waypoint controller and the data generator."""

import math

import numpy as np
import pytest

from lpt_envs.maze2d.controller import WaypointController
from lpt_envs.maze2d.mazes import MAZES, parse_maze
from lpt_envs.maze2d.waypoint import generate, rollout_fresh_controller

SHAPES = {
    "observations": (4,),
    "actions": (2,),
    "rewards": (),
    "terminals": (),
    "timeouts": (),
    "infos/goal": (2,),
    "infos/qpos": (2,),
    "infos/qvel": (2,),
}


@pytest.fixture(scope="module")
def data():
    return generate("umaze", 20_000, seed=1)


@pytest.mark.parametrize("name", MAZES)
def test_paths_are_shortest_and_free_between_every_pair(name):
    maze = parse_maze(name)
    controller = WaypointController(maze, np.random.default_rng(0))
    for start in maze.cells:
        for target in maze.cells:
            path = controller.path(start, target)
            assert path[-1] == target and set(path) <= set(maze.cells)
            if start != target:
                steps = zip([start, *path], path, strict=False)
                assert all(math.dist(a, b) == 1 for a, b in steps)
                assert len(path) == len(controller.path(target, start))


def test_ties_go_to_lower_columns_first():
    controller = WaypointController(parse_maze("####/#OO#/#OO#/####"), np.random.default_rng(0))
    assert controller.path((2, 2), (1, 1)) == [(2, 1), (1, 1)]
    assert controller.path((1, 1), (2, 2)) == [(1, 2), (2, 2)]
    assert controller.path((1, 1), (1, 1)) == [(1, 1)]


def test_action_is_the_clipped_pd_law_towards_the_waypoint():
    controller = WaypointController(parse_maze("umaze"), np.random.default_rng(0))
    ax, ay, solved = controller.act((3.02, 0.98, 0.1, -0.2), (3.0, 1.0))
    assert solved and (ax, ay) == pytest.approx((10 * -0.02 - 0.1, 10 * 0.02 + 0.2))
    controller = WaypointController(parse_maze("umaze"), np.random.default_rng(0))
    ax, ay, solved = controller.act((3.0, 1.0, 0.0, 0.0), (1.0, 1.0))
    assert not solved and -1.0 <= ax <= 0.0 and ay == 1.0  # first along the corridor


def test_keys_shapes_and_types_are_d4rls(data):
    assert list(data) == list(SHAPES)
    for key, shape in SHAPES.items():
        assert data[key].shape == (20_000, *shape), key
        assert data[key].dtype == (bool if key in ("terminals", "timeouts") else np.float32), key
        assert data[key].flags.c_contiguous
    assert not data["terminals"].any() and np.abs(data["actions"]).max() == 1.0


def test_a_flagged_step_does_not_refresh_the_observation(data):
    observations, flagged = data["observations"], np.flatnonzero(data["timeouts"][:-1])
    state = np.concatenate([data["infos/qpos"], data["infos/qvel"]], axis=1)
    assert len(flagged) > 150
    assert np.array_equal(observations[flagged + 1], observations[flagged])
    fresh = np.setdiff1d(np.arange(1, len(observations)), flagged + 1)
    assert np.array_equal(observations[fresh], state[fresh])  # all other rows show the simulator
    assert not np.array_equal(observations[flagged + 1], state[flagged + 1])


def test_targets_change_after_flags_only_and_flags_mean_arrival(data):
    goal, flags = data["infos/goal"], data["timeouts"]
    assert np.array_equal(np.any(goal[1:] != goal[:-1], axis=1), flags[:-1])
    integer = np.round(goal)
    assert np.abs(goal - integer).max() <= 0.1
    away = np.linalg.norm(data["observations"][:, :2] - integer, axis=1)
    assert away[flags].max() < 0.1
    assert {tuple(cell) for cell in integer.astype(int).tolist()} == set(parse_maze("umaze").cells)


def test_rewards_are_those_of_the_fixed_goal_from_the_rows_own_observation(data):
    away = np.linalg.norm(data["observations"][:, :2].astype(float) - [1.0, 1.0], axis=1)
    assert np.array_equal(data["rewards"], (away <= 0.5).astype(np.float32))
    assert 0.0 < data["rewards"].mean() < 0.2


def test_data_are_fixed_by_the_seed_and_a_short_run_begins_a_long_one(data):
    short = generate("umaze", 9_000, seed=1)
    for key, values in short.items():
        assert np.array_equal(values, data[key][:9_000]), key
    assert not np.array_equal(generate("umaze", 100, seed=2)["actions"], data["actions"][:100])


def test_noise_is_added_to_the_controllers_action():
    quiet = generate("umaze", 3_000, noise=0.0)
    loud = generate("umaze", 3_000, noise=0.5)
    assert (np.abs(quiet["actions"][:200]) == 1.0).mean() > (np.abs(loud["actions"]) == 1.0).mean()
    assert quiet["timeouts"].sum() > 20


def test_horizon_ends_a_pursuit():
    flags = np.flatnonzero(generate("large", 500, horizon=20)["timeouts"])
    assert np.diff(flags).max() <= 21


def test_progress_is_reported_to_the_end():
    calls = []
    generate("umaze", 10_000, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (10_000, 10_000) and calls == sorted(calls) and len(calls) > 1


def test_ones_own_maze_is_recorded_too():
    data = generate("######/#OOOG#/######", 2_000)
    assert data["timeouts"].sum() > 10 and data["rewards"].sum() > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "steps must be an integer of at least 1, got 0"),
        ({"steps": 1e6}, "steps must be an integer"),
        ({"noise": -0.1}, "noise must be"),
        ({"noise": math.nan}, "noise must be"),
        ({"horizon": 0}, "horizon must be"),
        ({"seed": -1}, "non-negative"),
        ({"maze": "###/#G#/###"}, "one free cell"),
        ({"maze": "#####/#O#G#/#####"}, r"no path from cell \(1, 1\) to cell \(1, 3\)"),
        ({"maze": "middle"}, "known names"),
    ],
)
def test_bad_arguments_are_explained(arguments, message):
    with pytest.raises(ValueError, match=message):
        generate(**{"maze": "umaze", "steps": 10, **arguments})


def test_fresh_controller_beats_d4rls_reference():
    returns = rollout_fresh_controller("umaze", episodes=40, seed=0)
    assert returns.shape == (40,) and returns.mean() > 200  # D4RL's 100 is 161.86
    assert np.array_equal(returns, rollout_fresh_controller("umaze", episodes=40, seed=0))
    with pytest.raises(ValueError, match="episodes"):
        rollout_fresh_controller("umaze", episodes=0)
