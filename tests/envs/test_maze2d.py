"""The Maze2D environment: spaces, resets, physics, rewards, copies, rendering, one's own mazes."""

import copy
import math
import os
import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from lpt_envs.maze2d import rendering
from lpt_envs.maze2d.env import HORIZONS, MAZES, Maze2DEnv
from lpt_envs.maze2d.mazes import parse_maze

CORRIDOR = """
    ######
    #OOOG#
    ######
"""


def _actions(steps: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (steps, 2)).astype(np.float32)


def _rollout(env, actions: np.ndarray) -> np.ndarray:
    return np.array([env.step(action)[0] for action in actions])


@pytest.mark.parametrize("name", ["umaze", "large-eval", "medium-dense", "umaze-eval-dense"])
def test_registered_environments_pass_gymnasiums_checker(name):
    env = gymnasium.make(f"lpt_envs:lpt/Maze2D-{name}-v1")
    check_env(env.unwrapped, skip_render_check=True)
    size = name.split("-")[0]
    assert env.spec is not None and env.spec.max_episode_steps == HORIZONS[size]


def test_episode_is_truncated_at_the_horizon_and_never_terminates():
    env = gymnasium.make("lpt_envs:lpt/Maze2D-umaze-v1")
    env.reset(seed=0)
    ends = [env.step(action)[2:4] for action in _actions(300)]
    assert not any(terminated for terminated, _ in ends)
    assert [truncated for _, truncated in ends] == [False] * 299 + [True]


def test_resets_are_uniform_over_cells_near_their_integer_points():
    env = Maze2DEnv("umaze")
    env.reset(seed=1)
    starts = np.array([env.reset()[0] for _ in range(2100)])
    cells = np.round(starts[:, :2]).astype(int)
    offsets = starts[:, :2] - cells
    assert (
        np.abs(offsets).max() <= 0.1 and np.abs(offsets.std(0) - 0.2 / math.sqrt(12)).max() < 0.003
    )
    found, counts = np.unique(cells, axis=0, return_counts=True)
    assert {tuple(cell) for cell in found.tolist()} == set(env.maze.cells)  # the goal cell too
    assert np.abs(counts - 300).max() < 80  # 5 standard deviations
    assert np.abs(starts[:, 2:].mean(0)).max() < 0.01
    assert np.abs(starts[:, 2:].std(0) - 0.1).max() < 0.01


def test_seed_fixes_the_episode_whatever_came_before():
    one, other = Maze2DEnv("medium"), Maze2DEnv("medium")
    other.reset(seed=5)
    _rollout(other, _actions(200, seed=9))
    assert np.array_equal(one.reset(seed=3)[0], other.reset(seed=3)[0])
    assert np.array_equal(_rollout(one, _actions(300)), _rollout(other, _actions(300)))
    assert np.array_equal(one.reset()[0], other.reset()[0])
    assert not np.array_equal(one.reset(seed=3)[0], one.reset(seed=4)[0])


@pytest.mark.parametrize(("distance", "expected"), [(0.497, 1.0), (0.503, 0.0)])
def test_sparse_reward_is_paid_within_half_a_meter_of_the_goal(distance, expected):
    env = Maze2DEnv("umaze")  # goal at (1, 1), the corridor runs along y
    env.reset(options={"state": (0.8, 1.0 + math.sqrt(distance**2 - 0.04), 0.0, 0.0)})
    observation, reward, _, _, info = env.step(np.zeros(2, dtype=np.float32))
    assert np.linalg.norm(observation[:2] - env.goal) == pytest.approx(distance)
    assert reward == expected and info["success"] is bool(expected)


def test_dense_reward_decays_with_the_next_positions_distance():
    env = Maze2DEnv("umaze", reward="dense")
    env.reset(seed=0)
    for action in _actions(50):
        observation, reward, *_ = env.step(action)
        assert reward == pytest.approx(math.exp(-np.linalg.norm(observation[:2] - env.goal)))


def test_force_accelerates_the_point_as_mass_gear_and_damping_say():
    env = Maze2DEnv("umaze")
    env.reset(options={"state": (2.8, 0.9, 0.0, 0.0)})
    observation, *_ = env.step(np.array([0.0, 0.5], dtype=np.float32))
    mass = 1000 * 4 / 3 * math.pi * 0.1**3
    # Euler's damping is implicit: (m + h c) dv = h F
    speed = 0.01 * 50 / (mass + 0.01)
    assert observation.tolist() == pytest.approx([2.8, 0.9 + 0.01 * speed, 0.0, speed])


def test_velocity_is_clipped_before_the_step_and_not_after_it():
    env = Maze2DEnv("large")
    env.reset(options={"state": (0.8, 1.0, 0.0, 40.0)})
    first, *_ = env.step(np.array([0.0, 1.0], dtype=np.float32))
    assert 5.0 < first[3] < 5.24
    fastest = max(env.step(np.array([0.0, 1.0], dtype=np.float32))[0][3] for _ in range(20))
    assert 5.2 < fastest < 5.2263


def test_actions_beyond_the_limits_act_as_the_limits():
    one, other = Maze2DEnv("umaze"), Maze2DEnv("umaze")
    one.reset(seed=0), other.reset(seed=0)
    assert np.array_equal(one.step(np.array([7.0, -3.0]))[0], other.step(np.array([1.0, -1.0]))[0])


@pytest.mark.parametrize("name", MAZES)
def test_point_stays_in_the_observation_space_and_out_of_the_walls(name):
    env = Maze2DEnv(name)
    env.reset(seed=0)
    bangs = np.sign(np.repeat(_actions(60), 50, axis=0))  # full throttle into the walls
    for action in bangs:
        observation, *_ = env.step(action)
        assert env.observation_space.contains(observation)
        assert env.maze.cell_at(*observation[:2]) in env.maze.cells


@pytest.mark.parametrize("action", [np.zeros(3), np.zeros((1, 2)), 0.5, np.array([np.nan, 0.0])])
def test_bad_actions_are_named(action):
    env = Maze2DEnv("umaze")
    env.reset(seed=0)
    with pytest.raises(ValueError, match="action"):
        env.step(action)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_copies_go_on_as_the_original_does(duplicate):
    env = Maze2DEnv("medium")
    env.reset(seed=0)
    # stop in contact with a wall, where the solver's warm start matters
    env.reset(options={"state": (1.0, 1.0, -2.0, 0.0)})
    _rollout(env, np.tile(np.float32([-1.0, 0.3]), (40, 1)))
    twin = duplicate(env)
    actions = _actions(200, seed=2) + np.float32([-0.5, 0.0])
    expected = _rollout(env, actions)
    assert np.array_equal(_rollout(twin, actions), expected)
    assert not np.array_equal(expected[0], expected[-1])
    assert np.array_equal(twin.reset(seed=7)[0], env.reset(seed=7)[0])


def test_ones_own_maze_is_given_by_its_string():
    env = gymnasium.make("lpt_envs:lpt/Maze2D-v1", maze=CORRIDOR, max_episode_steps=120)
    unwrapped = env.unwrapped
    assert isinstance(unwrapped, Maze2DEnv)
    assert unwrapped.maze.text == "######/#OOOG#/######"
    assert unwrapped.goal.tolist() == [1.0, 4.0]
    assert unwrapped.walls.shape == (3, 6) and unwrapped.walls.sum() == 14
    check_env(unwrapped, skip_render_check=True)
    env.reset(seed=0, options={"state": (0.8, 0.8, 0.0, 0.0)})
    rewards = [env.step(np.array([0.0, 1.0], dtype=np.float32))[1] for _ in range(120)]
    assert rewards[0] == 0.0 and rewards[-1] == 1.0


def test_goal_is_the_first_free_cell_where_none_is_marked():
    maze = parse_maze("####/##O#/#OO#/####")
    assert maze.goal == (1, 2) and maze.cells == ((1, 2), (2, 1), (2, 2))


@pytest.mark.parametrize(
    ("maze", "message"),
    [
        ("umazee", "row 0, column 0 is 'u'.*known names: umaze"),
        ("####/#oG#/####", "row 1, column 1 is 'o'.*expected"),
        ("####/#OG##/####", r"different lengths \[4, 5, 4\]"),
        ("#####/#GOG#/#####", "2 goals"),
        ("####/####/####", "no free cell"),
        ("####/#OGO/####", "open at row 1, column 3.*border"),
        ("", "empty"),
        (3, "must be a string, got int"),
    ],
)
def test_bad_mazes_are_explained(maze, message):
    with pytest.raises(ValueError, match=message):
        Maze2DEnv(maze)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": (1, 1, 0, 0)}, "know only 'state'"),
        ({"state": (1, 1)}, "4 finite numbers"),
        ({"state": (1.8, 0.8, 0, 0)}, r"in the wall at cell \(2, 1\)"),
        ({"state": (99, 1, 0, 0)}, "in the wall"),
    ],
)
def test_bad_reset_options_are_explained(options, message):
    with pytest.raises(ValueError, match=message):
        Maze2DEnv("umaze").reset(options=options)


def test_unknown_reward_and_render_mode_are_explained():
    with pytest.raises(ValueError, match="reward must be 'sparse' or 'dense'"):
        Maze2DEnv(reward="shaped")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="render_mode must be None or one of"):
        Maze2DEnv(render_mode="ansi")


def _can_render() -> bool:
    try:
        renderer = rendering._open_gl(16, 16)
    except RuntimeError:
        return False
    renderer.free()
    return True


needs_gl = pytest.mark.skipif(not _can_render(), reason="no OpenGL: see the README on rendering")


@needs_gl
@pytest.mark.parametrize(("name", "shape"), [("umaze", (480, 480, 3)), ("large", (352, 480, 3))])
def test_images_show_the_maze_as_its_string_is_written(name, shape):
    env = gymnasium.make(f"lpt_envs:lpt/Maze2D-{name}-v1", render_mode="rgb_array")
    env.reset(seed=0)
    image = env.render()
    assert isinstance(image, np.ndarray) and image.shape == shape and image.dtype == np.uint8
    walls = parse_maze(name).walls
    rows, columns = walls.shape
    scale = shape[0] / (1.02 * rows)  # pixels per meter: there is a margin of 1 % all round
    for (i, j), wall in np.ndenumerate(walls):
        # off the middle of the cell, where neither the point nor the goal's disc is
        row, column = (i + 0.2 - rows / 2) * scale, (j + 0.8 - columns / 2) * scale
        pixel = image[int(shape[0] / 2 + row), int(shape[1] / 2 + column)]
        assert (pixel.mean() < 130) == wall, (i, j, pixel)
    env.close()


@needs_gl
def test_pictures_follow_the_point_and_survive_a_copy():
    env = Maze2DEnv("umaze", render_mode="rgb_array", image_pixels=160)
    env.reset(options={"state": (2.8, 0.8, 0.0, 0.0)})
    before = env.render()
    twin = copy.deepcopy(env)
    assert np.array_equal(twin.render(), before)
    _rollout(env, np.tile(np.float32([0.0, 1.0]), (60, 1)))
    assert before.shape == (160, 160, 3) and not np.array_equal(env.render(), before)
    env.close(), twin.close()
    assert env.render().shape == (160, 160, 3)  # opens again
    env.close()


def test_missing_opengl_is_explained(monkeypatch):
    for variable in ("MUJOCO_GL", "PYOPENGL_PLATFORM", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(rendering.sys, "platform", "linux")
    monkeypatch.setattr(rendering.ctypes.util, "find_library", lambda name: None)
    env = Maze2DEnv(render_mode="rgb_array")
    env.reset(seed=0)
    with pytest.raises(RuntimeError, match=r"no EGL or OSMesa library.*apt-get install libegl1"):
        env.render()
    with pytest.raises(RuntimeError, match=r"needs a display.*rgb_array"):
        Maze2DEnv(render_mode="human").reset(seed=0)


@pytest.mark.skipif(not os.environ.get("DISPLAY"), reason="needs a display")
def test_window_opens_and_closes():
    env = gymnasium.make("lpt_envs:lpt/Maze2D-umaze-v1", render_mode="human")
    env.reset(seed=0)
    for action in _actions(10):
        env.step(action)
    assert env.render() is None
    env.close()
